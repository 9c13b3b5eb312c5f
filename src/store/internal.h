// SPDX-License-Identifier: Apache-2.0
//
// What the store's files share.
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
    REV_BLOCK = 10000,             /* revisions reserved ahead in the journal */
    BATCH_BYTES_MAX = 8 << 20,     /* JSON of one append; the rest waits for the next */
    WINDOW_BYTES_MAX = 64 << 20,   /* documents that only the event window keeps alive; ... */
    WINDOW_BYTES_OLD = 2 << 20,    /* ... of those older than WINDOW_AGE */
    RETAINED_MAX = 2000,           /* versions kept in the journal though replaced, ... */
    RETAINED_BYTES_MAX = 16 << 20, /* ... and their documents; ... */
    RETAINED_STEP = 256,           /* ... so many more before they are forgotten together */
    RETAINED_BYTES_STEP = 4 << 20,
    SCRATCH_ARENA_BYTES_MAX = 64 << 20 /* one object as a tree */
};

#define WINDOW_AGE (300 * USEC_PER_SEC) /* upstream forgets (compacts etcd) as often */

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
    uint64_t seq_old; /* events before this one are WINDOW_AGE old when `age` fires */
    struct timer age; /* runs while there are more than WINDOW_BYTES_OLD */
};

/* Version rev_dead was replaced, or is the last state of what was deleted, by the change rev. */
struct dead_version {
    uint64_t rev;
    uint64_t rev_dead;
    size_t bytes;
};

/* What the journal could forget, by ascending rev. */
struct retention {
    struct dead_version *items;
    size_t count;
    size_t cap;
    size_t bytes;
    uint64_t rev_floor; /* durable: every version that a later change replaced is kept */
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
    uint64_t rev_start;   /* when it was opened: what was volatile before is gone */
    struct proposal *queue;
    struct proposal **queue_end;
    size_t flying_count; /* proposals at the front of the queue that are in `append` */
    struct append *append;
    bool is_drain_deferred;
    bool is_broken;   /* the journal is: nothing is committed any more */
    bool is_settling; /* callbacks of an append run: its proposals are still in the queue */
    struct window window;
    struct retention retention;
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

/* load.c */
MUST_CHECK int store_load(struct store *store, struct err *err);

/* commit.c */
void commit_enqueue(struct store *store, struct proposal *proposal);
void commit_turn_end(struct store *store);
/* Waits for the append under way and drops all proposals without a word. */
void commit_abandon(struct store *store);

/* retention.c */
/* A durable change from before (NULL: created) to object. Volatile ones are passed over. */
void retention_add(struct retention *retention, const struct object *object,
                   const struct object *before, bool is_delete);
/* How many of the first items the next append should forget. */
size_t retention_excess(const struct retention *retention);
/* The first count items are forgotten. */
void retention_drop(struct retention *retention, size_t count);
void retention_done(struct retention *retention);

/* watch.c */
/* Takes over the references to object and before. */
void window_push(struct store *store, struct object *object, struct object *before, bool is_delete);
void window_done(struct store *store);
/* ERR_GONE when what came after rev is not known any more. */
MUST_CHECK int window_check(const struct store *store, uint64_t rev, int flags, struct err *err);
/* Number of the first event with a revision > rev. */
uint64_t window_seek(const struct window *window, uint64_t rev);
const struct store_event *window_at(const struct window *window, uint64_t seq);

#endif
