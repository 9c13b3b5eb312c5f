// SPDX-License-Identifier: Apache-2.0
#include "node/image_gc.h"

#include "base/log.h"
#include "base/mem.h"
#include "node/image_store.h"

#include <stdlib.h>

#define LOG_ROOM "node"

/* Unused images come with their age: seen_at is 0 for those that were there when the brain started.
 */
static bool is_before(const struct image_entry *a, const struct image_entry *b)
{
    return a->used_at != b->used_at ? a->used_at < b->used_at : a->seen_at < b->seen_at;
}

static struct image_entry *oldest(struct image_store *store, usec now)
{
    struct image_entry *found = NULL;
    for (size_t i = 0; i < store->images.count; i++) {
        struct image_entry *e = store->images.entries[i].value;
        bool is_old = e->seen_at == 0 || now - e->seen_at >= IMAGE_GC_AGE_SECONDS * USEC_PER_SEC;
        if (e->used_at < now && is_old && (found == NULL || is_before(e, found))) {
            found = e;
        }
    }
    return found;
}

/* As kubelet writes it: "46.0 MiB". */
static struct str size_text(struct arena *arena, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < ARRAY_LEN(units); unit++) {
        size /= 1024;
    }
    return arena_fmt(arena, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
}

int image_gc(struct image_store *store, const struct image_gc *gc, struct err *err)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    usec now = loop_now(store->loop);
    uint64_t bytes = 0;
    uint64_t before = 0;
    uint64_t freed = 0;
    for (size_t i = 0; i < store->images.count; i++) {
        struct image_entry *e = store->images.entries[i].value;
        if (rootfs_is_used(store, e->image.id) || gc->is_wanted(gc->ctx, &e->image)) {
            e->used_at = now;
        }
    }
    gc->disk(gc->ctx, &bytes, &before);
    unsigned percent = bytes == 0 ? 0 : 100 - (unsigned)(before * 100 / bytes);
    if (percent < IMAGE_GC_HIGH_PERCENT) {
        return 0;
    }
    if (!list_empty(&store->jobs)) {
        return err_set(err, ERR_AGAIN, "images are on their way");
    }
    uint64_t wanted = bytes * (100 - IMAGE_GC_LOW_PERCENT) / 100 - before;
    for (struct image_entry *e = oldest(store, now); freed < wanted && e != NULL;
         e = oldest(store, now)) {
        uint64_t size = e->image.bytes;
        uint64_t after;
        struct str name = e->image.names_count > 0 ? e->image.names[0] : e->image.id;
        log_info("the disk is at %u%%: removing image " STR_FMT, percent, STR_ARG(name));
        if (image_remove(store, arena_dup(arena, e->image.id), err) < 0) {
            return err->code;
        }
        /* Layers may be shared, and disks take their time: whichever is more. */
        gc->disk(gc->ctx, &bytes, &after);
        size += freed;
        freed = after > before && after - before > size ? after - before : size;
    }
    return freed >= wanted
               ? 0
               : err_set(
                     err, ERR_LIMIT,
                     "Insufficient free disk space on the node's image filesystem (%u%% of " STR_FMT
                     " used). Failed to free sufficient space by deleting unused images (freed "
                     "%llu "
                     "bytes). Investigate disk usage, as it could be used by active images, logs, "
                     "volumes, or other data.",
                     percent, STR_ARG(size_text(arena, bytes)), (unsigned long long)freed);
}
