// SPDX-License-Identifier: Apache-2.0
//
// What object.c, store.c, commit.c, list.c and watch.c share.
//
//   store_put/delete (store.c)      turn end or flush (commit.c)        append done (commit.c)
//   proposal ─────────────▶ queue ──────────────────────▶ flying ─────────────────────▶ committed
//                            ▲ └── only volatile ones before it: completed by a deferred call ──▲
//                            └────────────────── all fail together with the append ◀────────────┘
#ifndef CORACLE_STORE_INTERNAL_H
#define CORACLE_STORE_INTERNAL_H

#include "base/map.h"
#include "store/journal.h"
#include "store/store.h"

enum {
    REV_FIRST = 1,                     /* of an empty store: 0 means "any" to clients */
    REV_BLOCK = 10000,                 /* revisions reserved ahead in the journal */
    BATCH_BYTES_MAX = 8 << 20,         /* JSON of one append; the rest waits for the next */
    WINDOW_BYTES_MAX = 64 << 20,       /* documents that only the event window keeps alive */
    SCRATCH_ARENA_BYTES_MAX = 64 << 20 /* one object as a tree */
};

/* A write on its way. In the queue in order of revision. */
struct proposal {
    struct proposal *next;
    struct object *object; /* new state; of a deletion the last state */
    bool is_delete;
    bool needs_disk;
    store_done_fn *done;
    void *ctx;
};

struct append; /* commit.c: one journal append under way */

/* Ring of the last events; event number s (from 0 on) is at events[s % cap]. */
struct window {
    struct store_event *events;
    size_t cap;
    uint64_t seq_first;
    uint64_t seq_next;
    uint64_t rev_before; /* revision before the first event: watches may start here */
    size_t bytes;
};

struct watch {
    struct store *store;
    struct watch *next;
    struct watch *prev;
    struct watch *wake_next; /* in store->waking */
    struct str prefix;       /* owned */
    uint64_t seq;            /* number of the next event to look at */
    uint64_t rev;            /* of the last event looked at */
    bool is_awake;           /* told, and not drained since */
    bool is_queued;          /* in store->waking */
    struct store_event taken;
    void (*wake)(void *ctx);
    void *ctx;
};

/* What deferred calls hold: they may outlive the store. */
struct door {
    struct store *store; /* NULL once closed */
    int refs;
};

struct store {
    struct loop *loop;
    struct journal *journal;
    struct door *door;
    struct arena *scratch;
    struct map objects;   /* committed: key → struct object * */
    struct map heads;     /* keys with proposals on their way → the latest struct proposal * */
    uint64_t rev;         /* last committed */
    uint64_t rev_head;    /* last handed out */
    uint64_t rev_ceiling; /* durable: revisions up to here may be shown */
    struct proposal *queue;
    struct proposal **queue_end;
    size_t flying_count; /* proposals at the front of the queue that are in `append` */
    struct append *append;
    bool is_drain_deferred;
    bool is_settling; /* callbacks of an append run: its proposals are still in the queue */
    struct window window;
    struct watch *watches;
    struct watch *waking; /* to be woken by the deferred call */
    bool is_wake_deferred;
    struct object **graveyard; /* unreferenced at the turn's end, for those who borrowed */
    size_t graveyard_count;
    size_t graveyard_cap;
    size_t object_bytes;
    size_t watches_count;
    uint64_t commits_count;
};

/* object.c */
/* Freezes root as version rev of key, with metadata.resourceVersion set. */
struct object *object_make(struct arena *scratch, struct str key, uint64_t rev,
                           const struct val *root);
bool object_is_volatile(const struct object *object);
void object_set_volatile(struct object *object);
size_t object_bytes(const struct object *object); /* without object_json's cache */

/* store.c */
/* Unreferences object when the turn is over. */
void store_bury(struct store *store, struct object *object);
struct door *door_ref(struct door *door);
void door_unref(struct door *door);

/* commit.c */
void commit_enqueue(struct store *store, struct proposal *proposal);
void commit_turn_end(struct store *store);
/* Waits for the append under way and drops all proposals without a word. */
void commit_abandon(struct store *store);

/* watch.c */
/* Takes over the references to object and before. */
void window_push(struct store *store, struct object *object, struct object *before, bool is_delete);
void window_done(struct store *store);
/* Number of the first event with a revision > rev. */
uint64_t window_seek(const struct window *window, uint64_t rev);
const struct store_event *window_at(const struct window *window, uint64_t seq);

#endif
