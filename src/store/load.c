// SPDX-License-Identifier: Apache-2.0
//
// From the journal's versions to the state before the restart: the last version of each key is the
// object, and what came after the floor is the event window again. Volatile objects and their
// events are gone.
#include "store/internal.h"

#include "base/mem.h"
#include "data/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct version {
    struct object *object;
    struct object *before; /* borrowed from the version that this one replaced */
    bool is_delete;
};

/* By ascending revision. */
struct loading {
    struct store *store;
    struct version *versions;
    size_t count;
    size_t cap;
};

/* What no append can have written. */
static const char *why_corrupt(const struct loading *loading, const struct journal_version *version,
                               const struct val *root)
{
    uint64_t rev_before =
        loading->count == 0 ? 0 : loading->versions[loading->count - 1].object->rev;
    return version->rev <= rev_before ? "a revision that doesn't ascend"
           : version->key.n == 0      ? "no key"
           : !val_is(root, VAL_MAP)   ? "no object"
                                      : NULL;
}

static int load_version(void *ctx, const struct journal_version *version, struct err *err)
{
    struct loading *loading = ctx;
    struct arena *scratch = loading->store->scratch;
    struct val root;
    arena_reset(scratch);
    const char *why = NULL;
    if (json_read(version->json, scratch, NULL, &root, err) < 0) {
        why = arena_dup(scratch, str_of(err->msg)).p;
    } else {
        why = why_corrupt(loading, version, &root);
    }
    if (why != NULL) {
        return err_set(err, ERR_CORRUPT, "object \"" STR_FMT "\" in the journal: %s",
                       STR_ARG(version->key), why);
    }
    if (loading->count == loading->cap) {
        loading->cap = loading->cap == 0 ? 64 : loading->cap * 2;
        loading->versions = xrealloc(loading->versions, loading->cap * sizeof *loading->versions);
    }
    loading->versions[loading->count++] = (struct version){
        .object = object_new(version->key, version->rev, &root), .is_delete = version->is_delete};
    return 0;
}

static int compare_versions(const void *a, const void *b)
{
    const struct object *left = (*(struct version *const *)a)->object;
    const struct object *right = (*(struct version *const *)b)->object;
    int order = str_cmp(left->key, right->key);
    return order != 0 ? order : left->rev < right->rev ? -1 : left->rev > right->rev;
}

/* In order of keys, which the map likes best. */
static void load_objects(const struct loading *loading)
{
    struct store *store = loading->store;
    struct version **by_key = xmalloc((loading->count + 1) * sizeof(struct version *));
    for (size_t i = 0; i < loading->count; i++) {
        by_key[i] = &loading->versions[i];
    }
    qsort(by_key, loading->count, sizeof(struct version *), compare_versions);
    for (size_t i = 0; i < loading->count; i++) {
        struct version *version = by_key[i];
        assert(version != NULL);
        struct object *living = version->is_delete ? NULL : version->object;
        struct version *next = i + 1 < loading->count ? by_key[i + 1] : NULL;
        if (next != NULL && str_eq(next->object->key, version->object->key)) {
            next->before = living;
        } else if (living != NULL) {
            (void)map_put(&store->objects, living->key, object_ref(living));
            store->object_bytes += object_bytes(living);
        }
    }
    free(by_key);
}

static void load_events(const struct loading *loading)
{
    struct store *store = loading->store;
    store->window.rev_before = store->retention.rev_floor;
    for (size_t i = 0; i < loading->count; i++) {
        const struct version *version = &loading->versions[i];
        retention_add(&store->retention, version->object, version->before, version->is_delete);
        if (version->object->rev > store->retention.rev_floor) {
            window_push(store, object_ref(version->object),
                        version->before == NULL ? NULL : object_ref(version->before),
                        version->is_delete);
        }
    }
}

/* Revisions of new writes begin behind the ceiling: it must lie above all that was written. */
static int check_limits(const struct loading *loading, const struct journal_batch *limits,
                        struct err *err)
{
    uint64_t rev_last = loading->count == 0 ? 0 : loading->versions[loading->count - 1].object->rev;
    if (rev_last > limits->rev_ceiling || limits->rev_floor > limits->rev_ceiling ||
        limits->rev_ceiling >= INT64_MAX) {
        return err_set(err, ERR_CORRUPT,
                       "the journal's revisions end at %" PRIu64 ", with a ceiling of %" PRIu64
                       " and a floor of %" PRIu64,
                       rev_last, limits->rev_ceiling, limits->rev_floor);
    }
    return 0;
}

int store_load(struct store *store, struct err *err)
{
    struct loading loading = {.store = store};
    struct journal *journal = store->journal;
    struct journal_batch limits;
    int result = journal->ops->load(journal, load_version, &loading, &limits, err);
    arena_reset(store->scratch);
    result = result == 0 ? check_limits(&loading, &limits, err) : result;
    if (result == 0) {
        load_objects(&loading);
        store->retention.rev_floor = limits.rev_floor;
        load_events(&loading);
        /* Up to the ceiling, revisions may have been shown that the journal knows nothing of: the
         * count goes on behind them (1). Nobody was shown this one with another state, because
         * what changes the state again takes a new ceiling first. */
        store->rev_ceiling = limits.rev_ceiling;
        store->rev = store->rev_head = store->rev_start = store->rev_ceiling + 1;
    }
    for (size_t i = 0; i < loading.count; i++) {
        object_unref(loading.versions[i].object);
    }
    free(loading.versions);
    return result;
}
