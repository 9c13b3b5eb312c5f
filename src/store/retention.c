// SPDX-License-Identifier: Apache-2.0
//
// Versions that the journal keeps though something replaced them, so that after a restart watches
// go on where they were. What is too much of them is forgotten with an append that is made anyhow,
// many at once: forgetting costs a write that nobody waits for alone.
#include "store/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void add(struct retention *retention, uint64_t rev, const struct object *dead)
{
    if (retention->count == retention->cap) {
        retention->cap = retention->cap == 0 ? 64 : retention->cap * 2;
        retention->items = xrealloc(retention->items, retention->cap * sizeof *retention->items);
    }
    retention->items[retention->count++] =
        (struct dead_version){.rev = rev, .rev_dead = dead->rev, .bytes = dead->doc->bytes};
    retention->bytes += dead->doc->bytes;
}

void retention_add(struct retention *retention, const struct object *object,
                   const struct object *before, bool is_delete)
{
    if (object_is_volatile(object)) {
        return;
    }
    if (before != NULL && !object_is_volatile(before)) {
        add(retention, object->rev, before);
    }
    if (is_delete) {
        add(retention, object->rev, object);
    }
}

size_t retention_excess(const struct retention *retention)
{
    size_t n = 0;
    size_t bytes = retention->bytes;
    if (retention->count < RETAINED_MAX + RETAINED_STEP &&
        bytes < RETAINED_BYTES_MAX + RETAINED_BYTES_STEP) {
        return 0;
    }
    while (n < retention->count &&
           (retention->count - n > RETAINED_MAX || bytes > RETAINED_BYTES_MAX)) {
        bytes -= retention->items[n++].bytes;
    }
    return n;
}

void retention_drop(struct retention *retention, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        retention->bytes -= retention->items[i].bytes;
        retention->rev_floor = retention->items[i].rev;
    }
    retention->count -= count;
    if (count > 0) {
        memmove(retention->items, retention->items + count,
                retention->count * sizeof *retention->items);
    }
}

void retention_done(struct retention *retention)
{
    free(retention->items);
    *retention = (struct retention){0};
}
