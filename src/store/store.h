// SPDX-License-Identifier: Apache-2.0
//
// The store: every object of the cluster in memory, in key order, with the revision semantics of
// etcd, made durable through a journal. Reads are synchronous and see committed state only; writes
// are proposals that complete from the loop.
//
// Keys: "<plural>[.<group>]/[<namespace>/]<name>", as in "pods/default/web-0", "nodes/node-1",
// "statefulsets.apps/default/web". Prefixes end in '/'.
//
// Invariants:
// (1) One counter numbers all changes; a revision is never used twice, not even over restarts.
// (2) No one sees an object or event before its batch is durable.
// (3) Writes of one turn share one journal append; they complete in the order they were proposed.
// (4) A write is checked against the head (committed state plus proposals on their way), so a
//     read-modify-write that starts from store_head never loses a race inside this process.
// (5) When an append fails, its proposals and all later ones that are waiting fail, and the head
//     falls back to the committed state.
// (6) A watcher that starts at revision R gets every event > R of its prefix once, in order, or it
//     is told GONE. R may come from before a restart: the journal keeps the last changes.
// (7) metadata.resourceVersion of a stored object is its revision, written by the store.
#ifndef CORACLE_STORE_STORE_H
#define CORACLE_STORE_STORE_H

#include "base/arena.h"
#include "base/str.h"
#include "data/val.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct store;
struct journal;

/* One immutable version of one object, reference-counted. */
struct object {
    int refs;
    uint64_t rev;   /* revision that wrote it (for the object of a DELETED event: the deletion's) */
    struct str key; /* owned */
    struct doc *doc; /* owned */
    struct str json; /* object_json's cache */
};
struct object *object_ref(struct object *object);
void object_unref(struct object *object); /* NULL is fine */
static inline const struct val *object_val(const struct object *object)
{
    return &object->doc->root;
}
/* The compact JSON text, encoded once and kept for a while: SOON for what is written and watched (1
 * MB of texts), LIST for what is read together (32 MB). Borrowed until the next call. */
enum object_json_use { OBJECT_JSON_SOON, OBJECT_JSON_LIST };
struct str object_json(struct object *object, enum object_json_use use);
/* Frees the texts: for a process that has nothing to do. */
void objects_rest(void);
/* A version outside the store (rev 0, or of the caller's choice): dry runs, tests, remote caches.
 */
struct object *object_new(struct str key, uint64_t rev, const struct val *root);

enum { STORE_VOLATILE = 1 }; /* memory only: events and leases; gone after a restart */

/* Opens a store over a journal (owned from here on) and loads it. */
struct store *store_open(struct loop *loop, struct journal *journal, struct err *err);
/* Waits for nothing: commit first (store_flush) what must survive. */
void store_close(struct store *store);
/* Blocks until every proposal so far is durable and completed. Not from a done callback. */
void store_flush(struct store *store);

uint64_t store_rev(const struct store *store); /* last committed revision */
/* The journal can't say any more what is on the disk: every write fails, reads go on, and only
 * opening the store again helps. A full disk is not that: writes fail until there is room. */
bool store_is_broken(const struct store *store);

/* Committed state. Borrowed until the next turn; object_ref keeps it. NULL when absent. */
struct object *store_get(struct store *store, struct str key);
/* The version that the next write of key builds on, whether committed yet or not. */
struct object *store_head(struct store *store, struct str key);

/* All objects whose key starts with prefix, in key order, as of revision rev (0 = now), each
 * borrowed until the next turn; the array lives in arena. ERR_GONE when rev is older than the
 * window, or with STORE_VOLATILE (objects put so) than this store; ERR_AGAIN when it lies ahead of
 * store_rev. */
MUST_CHECK int store_list(struct store *store, struct str prefix, uint64_t rev, int flags,
                          struct arena *arena, struct object ***ret_objects, size_t *ret_count,
                          struct err *err);
/* As store_list at now, but over the head: what admission checks (quota, address allocation) need.
 */
void store_list_head(struct store *store, struct str prefix, struct arena *arena,
                     struct object ***ret_objects, size_t *ret_count);

/* done gets the committed object (for deletes the last state with the deletion's revision), or err;
 * exactly one of them. Borrowed for the call. */
typedef void store_done_fn(void *ctx, struct object *object, const struct err *err);

#define STORE_ANY UINT64_MAX /* expect_rev: whatever is there */

/* Proposes root (frozen here, with the new resourceVersion) as the next version of key.
 * expect_rev: 0 = must be absent (else ERR_EXISTS), STORE_ANY, or the head's revision (else
 * ERR_CONFLICT; ERR_NOT_FOUND when absent). Fails at once without calling done, or returns 0 and
 * calls done later from the loop. done may be NULL. */
MUST_CHECK int store_put(struct store *store, struct str key, const struct val *root,
                         uint64_t expect_rev, int flags, store_done_fn *done, void *ctx,
                         struct err *err);
/* Proposes the removal of key. root, when given, is the last state to show in the event instead of
 * the head's. */
MUST_CHECK int store_delete(struct store *store, struct str key, const struct val *root,
                            uint64_t expect_rev, store_done_fn *done, void *ctx, struct err *err);

struct store_event {
    uint64_t rev;
    struct object
        *object; /* new state; of a deletion the last state, with the deletion's revision */
    struct object *before; /* state before, NULL when created */
    bool is_delete;
};

struct watch;
/* A cursor over events of prefix with revision > after. wake(ctx) is called (deferred, once until
 * the cursor is drained) when there is something to take. flags and errors as of store_list. */
struct watch *store_watch(struct store *store, struct str prefix, uint64_t after, int flags,
                          void (*wake)(void *ctx), void *ctx, struct err *err);
/* Next event: 1 and *ret (borrowed until the next call), 0 when drained, ERR_GONE when the cursor
 * fell out of the window: close it. */
int watch_next(struct watch *watch, struct store_event *ret);
/* Every event of the prefix with a revision up to this one has been taken once watch_next gave 0.
 */
uint64_t watch_rev(const struct watch *watch);
void watch_close(struct watch *watch);

struct store_stats {
    uint64_t rev;
    size_t objects_count;
    size_t object_bytes;
    size_t window_bytes; /* versions that are kept for watches alone */
    size_t watches_count;
    uint64_t commits_count;
    uint64_t journal_bytes;
};
struct store_stats store_stats(const struct store *store);

#endif
