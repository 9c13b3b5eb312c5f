// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES_MIN = 256, BLOCK_BYTES_MAX = 1 << 20 };

struct block {
    struct block *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *head; /* newest first */
    size_t bytes_max;
    size_t used;
};

static struct block *block_new(size_t size, struct block *next)
{
    struct block *b = xmalloc(sizeof *b + size);
    *b = (struct block){.next = next, .size = size};
    return b;
}

struct arena *arena_new(size_t bytes_max)
{
    struct arena *arena = xcalloc(1, sizeof *arena);
    arena->bytes_max = bytes_max;
    return arena;
}

static void blocks_free(struct block *b)
{
    while (b != NULL) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_free(struct arena *arena)
{
    if (arena != NULL) {
        blocks_free(arena->head);
        free(arena);
    }
}

void arena_reset(struct arena *arena)
{
    if (arena->head != NULL) {
        blocks_free(arena->head->next);
        arena->head->next = NULL;
        arena->head->used = 0;
    }
    arena->used = 0;
}

bool arena_is_over(const struct arena *arena)
{
    return arena->used > arena->bytes_max;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t need = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    assert(need >= size);
    struct block *b = arena->head;
    if (b == NULL || b->size - b->used < need) {
        size_t block_size = b == NULL ? BLOCK_BYTES_MIN : b->size * 2;
        block_size = block_size > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : block_size;
        b = block_new(need > block_size ? need : block_size, b);
        arena->head = b;
    }
    void *p = b->bytes + b->used;
    b->used += need;
    arena->used += need;
    if (arena->used / 2 > arena->bytes_max) {
        (void)fprintf(stderr, "coracle: arena grew to twice its ceiling of %zu bytes\n",
                      arena->bytes_max);
        abort();
    }
    memset(p, 0, size);
    return p;
}

void *arena_more(struct arena *arena, void *list, size_t count, size_t *cap, size_t item_bytes)
{
    enum { FIRST = 8 };
    if (count < *cap) {
        return list;
    }
    *cap = *cap == 0 ? FIRST : *cap * 2;
    void *grown = arena_alloc(arena, *cap * item_bytes);
    if (count > 0) {
        memcpy(grown, list, count * item_bytes);
    }
    return grown;
}

struct str arena_dup(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.n + 1);
    if (s.n != 0) {
        memcpy(copy, s.p, s.n);
    }
    return (struct str){copy, s.n};
}

struct str arena_fmt(struct arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(n >= 0);
    char *text = arena_alloc(arena, (size_t)n + 1);
    (void)vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct str){text, (size_t)n};
}

void auto_arena_cleanup(struct arena **arena)
{
    arena_free(*arena);
}
