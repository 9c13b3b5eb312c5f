// SPDX-License-Identifier: Apache-2.0
//
// Closing, reading and proposing. How a store comes back is load.c's matter, how proposals become
// durable commit.c's, how the past is listed list.c's, and how events reach watchers watch.c's.
#include "store/internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct door *door_ref(struct door *door)
{
    door->refs++;
    return door;
}

void door_unref(struct door *door)
{
    if (--door->refs == 0) {
        free(door);
    }
}

void store_bury(struct store *store, struct object *object)
{
    if (object == NULL) {
        return;
    }
    if (store->graveyard_count == store->graveyard_cap) {
        store->graveyard_cap = store->graveyard_cap == 0 ? 16 : store->graveyard_cap * 2;
        store->graveyard =
            xrealloc(store->graveyard, store->graveyard_cap * sizeof(struct object *));
    }
    store->graveyard[store->graveyard_count++] = object;
}

static void graveyard_empty(struct store *store)
{
    for (size_t i = 0; i < store->graveyard_count; i++) {
        object_unref(store->graveyard[i]);
    }
    store->graveyard_count = 0;
}

static void on_turn_end(void *ctx)
{
    struct store *store = ctx;
    graveyard_empty(store);
    commit_turn_end(store);
}

/* Opening. */

static void free_object(void *object)
{
    object_unref(object);
}

struct store *store_open(struct loop *loop, struct journal *journal, struct err *err)
{
    struct store *store = xcalloc(1, sizeof *store);
    store->loop = loop;
    store->journal = journal;
    store->scratch = arena_new(SCRATCH_ARENA_BYTES_MAX);
    store->queue_end = &store->queue;
    if (store_load(store, err) < 0) {
        arena_free(store->scratch);
        journal->ops->close(journal);
        free(store);
        return NULL;
    }
    store->door = xcalloc(1, sizeof *store->door);
    *store->door = (struct door){.store = store, .refs = 1};
    loop_on_turn_end(loop, on_turn_end, store);
    return store;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    commit_abandon(store);
    loop_off_turn_end(store->loop, on_turn_end, store);
    while (store->watches != NULL) {
        watch_close(store->watches);
    }
    window_done(store);
    retention_done(&store->retention);
    graveyard_empty(store);
    free(store->graveyard);
    map_done(&store->objects, free_object);
    map_done(&store->heads, NULL);
    arena_free(store->scratch);
    store->journal->ops->close(store->journal);
    store->door->store = NULL;
    door_unref(store->door);
    free(store);
}

/* Reading. */

uint64_t store_rev(const struct store *store)
{
    return store->rev;
}

bool store_is_broken(const struct store *store)
{
    return store->is_broken;
}

struct object *store_get(struct store *store, struct str key)
{
    return map_find(&store->objects, key);
}

struct object *store_head(struct store *store, struct str key)
{
    const struct proposal *proposal = map_find(&store->heads, key);
    if (proposal != NULL) {
        return proposal->is_delete ? NULL : proposal->object;
    }
    return store_get(store, key);
}

struct store_stats store_stats(const struct store *store)
{
    return (struct store_stats){
        .rev = store->rev,
        .objects_count = store->objects.count,
        .object_bytes = store->object_bytes,
        .window_bytes = store->window.bytes,
        .watches_count = store->watches_count,
        .commits_count = store->commits_count,
        .journal_bytes = store->journal->ops->size(store->journal),
    };
}

/* Proposing. */

static int check_sound(const struct store *store, struct err *err)
{
    return store->is_broken ? err_set(err, ERR_IO,
                                      "the journal failed: nothing is written until the store is "
                                      "opened again")
                            : 0;
}

static int check_expected(const struct object *head, struct str key, uint64_t expect_rev,
                          struct err *err)
{
    if (expect_rev == 0 && head != NULL) {
        return err_set(err, ERR_EXISTS, "\"" STR_FMT "\" already exists", STR_ARG(key));
    }
    if (expect_rev == 0 || expect_rev == STORE_ANY) {
        return 0;
    }
    if (head == NULL) {
        return err_set(err, ERR_NOT_FOUND, "\"" STR_FMT "\" not found", STR_ARG(key));
    }
    if (head->rev != expect_rev) {
        return err_set(err, ERR_CONFLICT,
                       "\"" STR_FMT "\" is at revision %" PRIu64 ", expected %" PRIu64,
                       STR_ARG(key), head->rev, expect_rev);
    }
    return 0;
}

static void propose(struct store *store, struct str key, const struct val *root, bool is_volatile,
                    bool is_delete, store_done_fn *done, void *ctx)
{
    struct proposal *proposal = xcalloc(1, sizeof *proposal);
    *proposal = (struct proposal){
        .object = object_make(store->scratch, key, ++store->rev_head, root),
        .is_delete = is_delete,
        /* A volatile write may show a revision only below the durable ceiling (1). */
        .needs_disk = !is_volatile || store->rev_head > store->rev_ceiling,
        .done = done,
        .ctx = ctx,
    };
    if (is_volatile) {
        object_set_volatile(proposal->object);
    }
    (void)map_put(&store->heads, key, proposal);
    commit_enqueue(store, proposal);
}

int store_put(struct store *store, struct str key, const struct val *root, uint64_t expect_rev,
              int flags, store_done_fn *done, void *ctx, struct err *err)
{
    const struct object *head = store_head(store, key);
    if (check_sound(store, err) < 0 || check_expected(head, key, expect_rev, err) < 0) {
        return err->code;
    }
    if (!val_is(root, VAL_MAP)) {
        return err_set(err, ERR_INVALID, "\"" STR_FMT "\" is not a map", STR_ARG(key));
    }
    /* What the journal holds already must not come back in an older state after a restart. */
    bool is_volatile = (flags & STORE_VOLATILE) != 0 && (head == NULL || object_is_volatile(head));
    propose(store, key, root, is_volatile, /*is_delete=*/false, done, ctx);
    return 0;
}

int store_delete(struct store *store, struct str key, const struct val *root, uint64_t expect_rev,
                 store_done_fn *done, void *ctx, struct err *err)
{
    const struct object *head = store_head(store, key);
    if (head == NULL) {
        return err_set(err, ERR_NOT_FOUND, "\"" STR_FMT "\" not found", STR_ARG(key));
    }
    if (check_sound(store, err) < 0 || check_expected(head, key, expect_rev, err) < 0) {
        return err->code;
    }
    if (root != NULL && !val_is(root, VAL_MAP)) {
        return err_set(err, ERR_INVALID, "\"" STR_FMT "\" is not a map", STR_ARG(key));
    }
    propose(store, key, root == NULL ? object_val(head) : root, object_is_volatile(head),
            /*is_delete=*/true, done, ctx);
    return 0;
}
