// SPDX-License-Identifier: Apache-2.0
//
// What the files of control/ share: keys and their life, the index of dependents, a run of actions.
#ifndef CORACLE_CONTROL_INTERNAL_H
#define CORACLE_CONTROL_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "control/control.h"

enum {
    BACKOFF_FIRST_US = 5000,         /* 5 ms, doubling */
    BACKOFF_MAX_US = 1000 * 1000000, /* 1,000 s, as upstream's queues */
    KEYS_PER_ROUND = 64,             /* decisions between two looks at the rest of the loop */
    EVENT_SWEEP_US = 60 * 1000000    /* how often old Events are looked for */
};
#define EVENT_TTL ((usec)3600 * USEC_PER_SEC)

struct runner; /* one controller of this engine */

/* A key's life:
 *
 *   (no key) --enqueue--> QUEUED --decide--> RUNNING --all writes done--> (no key)
 *                           ^                  |  enqueued meanwhile, or failed:
 *                           +-- timer, enqueue-+- WAITING (timer runs) or QUEUED
 *
 * (1) A key is in the queue at most once. (2) It is not decided while its writes are under way.
 * (3) A key without timer, writes and failures is forgotten. */
enum key_state { KEY_WAITING, KEY_QUEUED, KEY_RUNNING };

struct key {
    struct list node; /* in control's queue while QUEUED */
    struct runner *runner;
    struct str ns, name; /* views of id */
    struct str id;       /* "<ns>/<name>", owned by the runner's map */
    enum key_state state;
    bool is_dirty; /* enqueued while RUNNING */
    bool is_failing_timer;
    unsigned failures;
    struct timer timer;
};

struct runner {
    struct control *control;
    const struct controller *controller;
    struct map keys; /* id -> struct key */
};

/* All objects of a kind, in key order. The list lives in the arena; the values are borrowed until
 * control is back in the loop. */
struct object_list {
    struct arena *arena;
    const struct val **list;
    size_t count;
    size_t cap;
};
struct object_list objects_of(struct client *client, enum kind_id kind, struct arena *arena);

struct kind_slot {
    struct control *control;
    enum kind_id id;
    struct runner **runners; /* who looks at this kind */
    size_t runners_count;
};

/* Objects by the uids of their owners. */
struct dependents {
    struct map owners;  /* uid -> struct owner */
    struct map objects; /* storage key -> struct dependent */
};
void dependents_done(struct dependents *dependents);
/* Takes in a new version of an object, or its end. */
void dependents_update(struct dependents *dependents, const struct kind *kind,
                       struct object *object, bool is_delete);
void dependents_each(const struct dependents *dependents, struct str uid,
                     bool (*each)(void *ctx, const struct kind *kind, struct object *object),
                     void *ctx);

/* Is this object's last version still in the index, so its end not heard of yet? */
bool dependents_has(const struct dependents *dependents, struct str key);

/* The owned objects that went away in the last VIEW_GONE_KEPT. */
struct gone {
    struct map by_key; /* storage key -> struct departure */
    struct list by_time;
};
void gone_init(struct gone *gone);
void gone_done(struct gone *gone);
void gone_add(struct gone *gone, struct str key, usec now);
/* When the object with this key went, or a time long past. */
usec gone_since(const struct gone *gone, struct str key);
/* Forgets what is older. */
void gone_sweep(struct gone *gone, usec now);

/* The objects that a decision has seen: its actions point into them until the last write is done.
 */
struct pins {
    struct object **objects;
    size_t count;
    size_t cap;
};
void pins_done(struct pins *pins);

struct control {
    struct loop *loop;
    struct rng *rng;
    struct client *client;
    bool is_remote;
    struct kind_slot slots[KIND_ID_COUNT];
    struct runner **runners;
    size_t runners_count;
    struct list queue;
    size_t queued;  /* keys in the queue */
    size_t running; /* keys whose writes are under way */
    size_t failing; /* keys in back-off */
    bool is_drain_planned;
    struct dependents dependents;
    struct gone gone;
    struct recorder *recorder;
    struct timer sweep;
    void (*trace)(void *ctx, const struct controller *controller, struct str ns, struct str name,
                  const struct actions *actions);
    void *trace_ctx;
    struct view view;
    struct pins *pins; /* of the decision that is being made, else NULL */
};

/* Performs actions in order; then calls ended once, from the loop or at once when nothing had to be
 * awaited. Owns arena (which holds actions) and pins from here on. */
struct run;
void run_start(struct control *control, struct runner *runner, struct arena *arena,
               const struct actions *actions, struct pins pins,
               void (*ended)(void *ctx, bool is_failed), void *ctx);

/* An event from a body as event_body() makes it. */
void recorder_send(struct recorder *recorder, struct event_source source, const struct val *body);
/* Forgets what is older than an hour. */
void recorder_sweep(struct recorder *recorder);
/* Deletes Event objects that are over their time. */
void events_sweep(struct client *client, usec now_wall);

#endif
