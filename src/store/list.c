// SPDX-License-Identifier: Apache-2.0
//
// Lists: now, at an earlier revision of the event window, and over the head. The last two are the
// committed objects with some keys replaced: by what the events since then replaced, or by what the
// proposals on their way will be.
#include "store/internal.h"

#include "base/mem.h"

#include <inttypes.h>

/* Merges the committed objects under prefix with `others` (same prefix or more keys), whose values
 * win; value_of gives the object of a value, NULL for none. */
static void merge(struct store *store, struct str prefix, const struct map *others,
                  struct object *(*value_of)(void *value), struct arena *arena,
                  struct object ***ret_objects, size_t *ret_count)
{
    const struct map *now = &store->objects;
    size_t a = map_seek(now, prefix);
    size_t b = map_seek(others, prefix);
    size_t a_end = a;
    size_t b_end = b;
    while (a_end < now->count && str_starts(now->entries[a_end].key, prefix)) {
        a_end++;
    }
    while (b_end < others->count && str_starts(others->entries[b_end].key, prefix)) {
        b_end++;
    }
    struct object **objects =
        arena_alloc(arena, ((a_end - a) + (b_end - b) + 1) * sizeof(struct object *));
    size_t count = 0;
    while (a < a_end || b < b_end) {
        int order = a == a_end   ? 1
                    : b == b_end ? -1
                                 : str_cmp(now->entries[a].key, others->entries[b].key);
        struct object *object =
            order < 0 ? now->entries[a].value : value_of(others->entries[b].value);
        a += order <= 0;
        b += order >= 0;
        if (object != NULL) {
            objects[count++] = object;
        }
    }
    *ret_objects = objects;
    *ret_count = count;
}

/* Past states: the event that first changed a key after the revision knows what was before. */
static struct object *value_before(void *value)
{
    return ((const struct store_event *)value)->before;
}

static struct object *value_proposed(void *value)
{
    const struct proposal *proposal = value;
    return proposal->is_delete ? NULL : proposal->object;
}

int store_list(struct store *store, struct str prefix, uint64_t rev, int flags, struct arena *arena,
               struct object ***ret_objects, size_t *ret_count, struct err *err)
{
    if (rev > store->rev) {
        return err_set(err, ERR_AGAIN, "Too large resource version: %" PRIu64 ", current: %" PRIu64,
                       rev, store->rev);
    }
    struct map changed = {0};
    if (rev != 0 && window_check(store, rev, flags, err) < 0) {
        return err->code;
    }
    uint64_t seq = rev == 0 ? store->window.seq_next : window_seek(&store->window, rev);
    for (uint64_t at = store->window.seq_next; at > seq; at--) {
        const struct store_event *event = window_at(&store->window, at - 1);
        if (str_starts(event->object->key, prefix)) {
            (void)map_put(&changed, event->object->key, (void *)(uintptr_t)event);
        }
    }
    merge(store, prefix, &changed, value_before, arena, ret_objects, ret_count);
    map_done(&changed, NULL);
    return 0;
}

void store_list_head(struct store *store, struct str prefix, struct arena *arena,
                     struct object ***ret_objects, size_t *ret_count)
{
    merge(store, prefix, &store->heads, value_proposed, arena, ret_objects, ret_count);
}
