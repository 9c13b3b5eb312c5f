// SPDX-License-Identifier: Apache-2.0
//
// Memory of one job (a request, a decision, a parse), released in one call. An arena is born with a
// ceiling; going over it sets arena_is_over() and further memory still comes (from the heap,
// tracked), so that callers check once at the end of a step instead of at every allocation, and a
// job that asks for more than twice its ceiling aborts: inputs are capped long before that.
#ifndef CORACLE_BASE_ARENA_H
#define CORACLE_BASE_ARENA_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* New arena of at most bytes_max. Free with arena_free (NULL is fine). */
struct arena *arena_new(size_t bytes_max);
void arena_free(struct arena *arena);
/* Forgets everything, keeps the first block. */
void arena_reset(struct arena *arena);
bool arena_is_over(const struct arena *arena);
size_t arena_used(const struct arena *arena);

/* Zeroed, aligned for any type; lives until the arena is reset or freed. Never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
/* A list that grows: room for one item more behind count, in list itself or in a copy of twice the
 * capacity; *cap in items, 0 at first with any list. */
void *arena_more(struct arena *arena, void *list, size_t count, size_t *cap, size_t item_bytes);
/* NUL-terminated copies in the arena. */
struct str arena_dup(struct arena *arena, struct str s);
struct str arena_fmt(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);

void auto_arena_cleanup(struct arena **arena);
#define auto_arena __attribute__((cleanup(auto_arena_cleanup)))

#endif
