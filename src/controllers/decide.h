// SPDX-License-Identifier: Apache-2.0
//
// What a controller is: a pure function from what it sees to a list of actions. It performs
// nothing, reads no clock, draws no chance but from env, and looks at the cluster through a view
// whose answers don't change during the call. control/ runs deciders and performs their actions in
// order; the first that is refused ends the list, and the key is decided again later. So a decision
// must be idempotent: deciding on the state that its own actions produced gives no more actions.
#ifndef CORACLE_CONTROLLERS_DECIDE_H
#define CORACLE_CONTROLLERS_DECIDE_H

#include "api/kind.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "data/val.h"

#include <stdint.h>

/* The cluster at one revision; val pointers live for the call. Lists come in key order. */
struct view {
    const struct val *(*get)(void *ctx, enum kind_id kind, struct str ns, struct str name);
    void (*list)(void *ctx, enum kind_id kind, struct str ns, /* empty = all */
                 bool (*each)(void *each_ctx, const struct val *obj), void *each_ctx);
    /* Objects of any kind whose ownerReferences name uid (the garbage collector's index). */
    void (*dependents)(void *ctx, struct str uid,
                       bool (*each)(void *each_ctx, const struct kind *kind, const struct val *obj),
                       void *each_ctx);
    /* How long ago the owned object of this name went away; VIEW_GONE_KEPT when longer, never, or
     * before this process began. */
    usec (*gone_for)(void *ctx, enum kind_id kind, struct str ns, struct str name);
    void *ctx;
};
#define VIEW_GONE_KEPT USEC_PER_SEC

struct env {
    usec now_wall;
    struct rng *rng;
    struct arena *arena; /* of this decision: everything in actions lives here */
};

enum action_type {
    ACTION_CREATE,       /* body */
    ACTION_UPDATE,       /* body, with its metadata.resourceVersion as precondition */
    ACTION_STATUS,       /* body: UPDATE of the status subresource, same precondition */
    ACTION_PATCH,        /* body: a merge patch; uid and rev as preconditions when set */
    ACTION_PATCH_STATUS, /* the same on the status subresource */
    ACTION_DELETE,       /* uid as precondition */
    ACTION_BIND,         /* body: Binding */
    ACTION_FINALIZE,     /* Namespace: body to the finalize subresource */
    ACTION_EVENT /* body: {involvedObject, type, reason, message}: an Event is made or counted up */
};

struct action {
    enum action_type type;
    const struct kind *kind;
    struct str ns;
    struct str name;
    const struct val *body;
    struct str uid;         /* precondition, empty = none */
    uint64_t rev;           /* precondition, 0 = none */
    int64_t grace_seconds;  /* DELETE: -1 = the object's own */
    struct str propagation; /* DELETE: empty = default */
    bool is_optional; /* a refusal doesn't end the list (status writes, events, races told apart) */
    /* When the write is refused or fails: events to send about it, with "%s" for the error's text
     * in message. NULL = none. For ACTION_CREATE, EXISTS sends none. */
    const struct val *failure_events[2];
};

struct actions {
    struct arena *arena;
    struct action *list;
    size_t count;
    size_t cap;
    usec requeue_after; /* 0 = not; else decide this key again that much later */
};
void actions_init(struct actions *actions, struct arena *arena);
struct action *actions_add(struct actions *actions, enum action_type type, const struct kind *kind,
                           struct str ns, struct str name);
/* The body of an event about obj: what ACTION_EVENT and failure_events hold. */
const struct val *event_body(struct arena *arena, const struct kind *kind, const struct val *obj,
                             struct str type, struct str reason, struct str message);
/* An event about obj. message is in the arena. */
void actions_event(struct actions *actions, const struct kind *kind, const struct val *obj,
                   struct str type, struct str reason, struct str message);
/* Asks for a decision after delay; the soonest asked wins. */
void actions_requeue(struct actions *actions, usec delay);
/* One line an action, "CREATE pods default/web-0", for tests, traces and debugging. */
int actions_write(struct buf *out, const struct actions *actions);

typedef void decide_fn(const struct view *view, struct str ns, struct str name,
                       const struct env *env, struct actions *out);

/* Which keys of the controller an object's change concerns: calls add for each. before may be NULL.
 */
typedef void enqueue_fn(const struct view *view, const struct kind *kind, const struct val *obj,
                        const struct val *before,
                        void (*add)(void *ctx, struct str ns, struct str name), void *ctx);

struct controller {
    struct str name; /* "statefulset": logs, and the user's name and the events' source with
                        "-controller" */
    decide_fn *decide;
    enqueue_fn *enqueue;
    const enum kind_id *kinds; /* whose changes are looked at */
    size_t kinds_count;
    struct str event_source; /* "statefulset-controller" */
};

/* For controllers that look at every kind. */
extern const enum kind_id kinds_all[KIND_ID_COUNT];

/* Rows of all controllers of this room, in start order. */
const struct controller *const *controllers(size_t *ret_count);

#endif
