// SPDX-License-Identifier: Apache-2.0
//
// Versions that the journal keeps though something replaced them, so that after a restart watches
// go on where they were. What is too much of them is forgotten with an append that is made anyhow,
// many at once: forgetting costs a write that nobody waits for alone.
#include "store/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void add(struct history *history, uint64_t rev, const struct object *dead)
{
    if (history->count == history->cap) {
        history->cap = history->cap == 0 ? 64 : history->cap * 2;
        history->items = xrealloc(history->items, history->cap * sizeof *history->items);
    }
    history->items[history->count++] =
        (struct dead_version){.rev = rev, .rev_dead = dead->rev, .bytes = dead->doc->bytes};
    history->bytes += dead->doc->bytes;
}

void history_add(struct history *history, const struct object *object, const struct object *before,
                 bool is_delete)
{
    if (object_is_volatile(object)) {
        return;
    }
    if (before != NULL && !object_is_volatile(before)) {
        add(history, object->rev, before);
    }
    if (is_delete) {
        add(history, object->rev, object);
    }
}

size_t history_excess(const struct history *history)
{
    size_t n = 0;
    size_t bytes = history->bytes;
    if (history->count < HISTORY_MAX + HISTORY_STEP &&
        bytes < HISTORY_BYTES_MAX + HISTORY_BYTES_STEP) {
        return 0;
    }
    while (n < history->count && (history->count - n > HISTORY_MAX || bytes > HISTORY_BYTES_MAX)) {
        bytes -= history->items[n++].bytes;
    }
    return n;
}

void history_drop(struct history *history, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        history->bytes -= history->items[i].bytes;
        history->rev_floor = history->items[i].rev;
    }
    history->count -= count;
    if (count > 0) {
        memmove(history->items, history->items + count, history->count * sizeof *history->items);
    }
}

void history_done(struct history *history)
{
    free(history->items);
    *history = (struct history){0};
}
