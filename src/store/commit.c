// SPDX-License-Identifier: Apache-2.0
//
// Group commit: at the end of a turn all that waits becomes one journal append on a pool thread;
// what comes meanwhile waits for the next. Completion keeps the order of proposals (3), and when an
// append fails, everything behind it fails too, because it may build on it (5).
//
// The append and its wake-up live in a block of their own that the pool thread and the loop share,
// so that store_flush can wait for the thread and store_close can leave before the loop's callback.
#include "store/internal.h"

#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct append {
    struct store *store; /* NULL once the loop has nothing to do any more */
    struct journal *journal;
    struct journal_batch batch;
    struct journal_version *versions; /* of the batch, as forget */
    uint64_t *forget;
    struct buf json; /* all texts, one behind the other */
    int result;
    struct err err;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool is_finished; /* under lock */
};

static void drain_volatile(struct store *store);

/* Completion. */

static struct proposal *queue_pop(struct store *store)
{
    struct proposal *proposal = store->queue;
    store->queue = proposal->next;
    if (store->queue == NULL) {
        store->queue_end = &store->queue;
    }
    return proposal;
}

static void head_forget(struct store *store, const struct proposal *proposal)
{
    if (map_find(&store->heads, proposal->object->key) == proposal) {
        (void)map_remove(&store->heads, proposal->object->key);
    }
}

static void proposal_commit(struct store *store, struct proposal *proposal)
{
    struct object *object = proposal->object;
    head_forget(store, proposal);
    struct object *before;
    if (proposal->is_delete) {
        before = map_remove(&store->objects, object->key);
    } else {
        before = map_put(&store->objects, object->key, object_ref(object));
        store->object_bytes += object_bytes(object);
    }
    if (before != NULL) {
        store->object_bytes -= object_bytes(before);
    }
    assert(object->rev > store->rev);
    store->rev = object->rev;
    retention_add(&store->retention, object, before, proposal->is_delete);
    window_push(store, object_ref(object), before, proposal->is_delete);
    if (proposal->done != NULL) {
        proposal->done(proposal->ctx, object, NULL);
    }
    store_bury(store, object);
    free(proposal);
}

static void proposal_fail(struct store *store, struct proposal *proposal, const struct err *err)
{
    head_forget(store, proposal);
    if (proposal->done != NULL) {
        proposal->done(proposal->ctx, NULL, err);
    }
    store_bury(store, proposal->object); /* store_head may have lent it */
    free(proposal);
}

/* Everything in the queue fails, but not what the callbacks propose meanwhile: that was checked
 * against a head without the failed ones only after the whole head fell back. */
static void fail_all(struct store *store, const struct err *err)
{
    struct proposal *failed = store->queue;
    store->queue = NULL;
    store->queue_end = &store->queue;
    store->flying_count = 0;
    for (struct proposal *p = failed; p != NULL; p = p->next) {
        head_forget(store, p);
    }
    while (failed != NULL) {
        struct proposal *next = failed->next;
        proposal_fail(store, failed, err);
        failed = next;
    }
}

static void append_free(struct append *append)
{
    (void)pthread_mutex_destroy(&append->lock);
    (void)pthread_cond_destroy(&append->finished);
    buf_done(&append->json);
    free(append->versions);
    free(append->forget);
    free(append);
}

/* The append is finished: completes or fails its proposals, and what was waiting for them. */
static void append_settle(struct store *store, struct append *append)
{
    append->store = NULL;
    store->append = NULL;
    store->is_settling = true;
    if (append->result < 0) {
        struct err err = append->err;
        store->is_broken = store->journal->is_broken;
        fail_all(store, &err);
    } else {
        store->commits_count++;
        store->rev_ceiling = append->batch.rev_ceiling;
        retention_drop(&store->retention, append->batch.forget_count);
        while (store->flying_count > 0) {
            store->flying_count--;
            proposal_commit(store, queue_pop(store));
        }
        drain_volatile(store);
    }
    store->is_settling = false;
}

/* Volatile proposals that wait for nothing durable are complete as they are. */
static void drain_volatile(struct store *store)
{
    while (store->flying_count == 0 && store->queue != NULL && !store->queue->needs_disk) {
        proposal_commit(store, queue_pop(store));
    }
}

static void on_drain(void *ctx)
{
    struct door *door = ctx;
    if (door->store != NULL) {
        door->store->is_drain_deferred = false;
        drain_volatile(door->store);
    }
    door_unref(door);
}

void commit_enqueue(struct store *store, struct proposal *proposal)
{
    bool is_first = store->queue == NULL;
    *store->queue_end = proposal;
    store->queue_end = &proposal->next;
    if (is_first && !proposal->needs_disk && !store->is_drain_deferred) {
        store->is_drain_deferred = true;
        loop_defer(store->loop, on_drain, door_ref(store->door));
    }
}

/* Appending. */

/* Takes versions from the front of the queue; marks as many proposals as flying. */
static void append_fill(struct store *store, struct append *append)
{
    size_t count = 0;
    for (const struct proposal *p = store->queue; p != NULL; p = p->next) {
        count++;
    }
    append->versions = xcalloc(count, sizeof *append->versions);
    buf_init(&append->json, SIZE_MAX / 2);
    count = 0;
    for (const struct proposal *p = store->queue; p != NULL; p = p->next) {
        if (append->json.n > BATCH_BYTES_MAX) {
            break;
        }
        store->flying_count++;
        append->batch.rev_ceiling = p->object->rev;
        if (object_is_volatile(p->object)) {
            continue;
        }
        size_t start = append->json.n;
        (void)buf_add(&append->json, object_json(p->object, OBJECT_JSON_SOON));
        append->versions[count++] = (struct journal_version){
            .rev = p->object->rev,
            .key = p->object->key,
            .json = {NULL, append->json.n - start},
            .is_delete = p->is_delete
        };
    }
    /* The texts have their final place only once the buffer has stopped growing. */
    const char *text = buf_str(&append->json).p;
    for (size_t i = 0; i < count; i++) {
        append->versions[i].json.p = text;
        text += append->versions[i].json.n;
    }
    append->batch.versions = append->versions;
    append->batch.versions_count = count;
}

static void append_forget(const struct retention *retention, struct append *append)
{
    size_t count = retention_excess(retention);
    append->batch.rev_floor = retention->rev_floor;
    if (count == 0) {
        return;
    }
    append->forget = xcalloc(count, sizeof *append->forget);
    for (size_t i = 0; i < count; i++) {
        append->forget[i] = retention->items[i].rev_dead;
    }
    append->batch.rev_floor = retention->items[count - 1].rev;
    append->batch.forget = append->forget;
    append->batch.forget_count = count;
}

/* Keys stay valid while the append runs: their proposals leave the queue only behind it. */
static struct append *append_new(struct store *store)
{
    struct append *append = xcalloc(1, sizeof *append);
    append->store = store;
    append->journal = store->journal;
    (void)pthread_mutex_init(&append->lock, NULL);
    (void)pthread_cond_init(&append->finished, NULL);
    append_fill(store, append);
    append_forget(&store->retention, append);
    /* A new block is reserved when half of the last is used: volatile writes then rarely wait. */
    uint64_t last = append->batch.rev_ceiling;
    bool has_room = store->rev_ceiling >= last + REV_BLOCK / 2;
    append->batch.rev_ceiling = has_room ? store->rev_ceiling : last + REV_BLOCK;
    store->append = append;
    return append;
}

static void append_work(void *ctx)
{
    struct append *append = ctx;
    struct journal *journal = append->journal;
    append->result = journal->ops->append(journal, &append->batch, &append->err);
    (void)pthread_mutex_lock(&append->lock);
    append->is_finished = true;
    (void)pthread_cond_signal(&append->finished);
    (void)pthread_mutex_unlock(&append->lock);
}

static void append_wait(struct append *append)
{
    (void)pthread_mutex_lock(&append->lock);
    while (!append->is_finished) {
        (void)pthread_cond_wait(&append->finished, &append->lock);
    }
    (void)pthread_mutex_unlock(&append->lock);
}

static void append_done(void *ctx)
{
    struct append *append = ctx;
    if (append->store != NULL) {
        append_settle(append->store, append);
    }
    append_free(append);
}

void commit_turn_end(struct store *store)
{
    drain_volatile(store);
    if (store->append == NULL && store->queue != NULL) {
        loop_work(store->loop, append_work, append_done, append_new(store));
    }
}

void store_flush(struct store *store)
{
    assert(!store->is_settling);
    uint64_t rev_last = store->rev_head; /* callbacks may propose more: not waited for */
    drain_volatile(store);
    while (store->queue != NULL && store->queue->object->rev <= rev_last) {
        struct append *append = store->append;
        if (append != NULL) {
            append_wait(append); /* append_done frees it later */
            append_settle(store, append);
        } else {
            append = append_new(store);
            append_work(append);
            append_settle(store, append);
            append_free(append);
        }
    }
}

void commit_abandon(struct store *store)
{
    if (store->append != NULL) {
        append_wait(store->append);
        store->append->store = NULL;
        store->append = NULL;
    }
    while (store->queue != NULL) {
        struct proposal *proposal = queue_pop(store);
        store_bury(store, proposal->object);
        free(proposal);
    }
}
