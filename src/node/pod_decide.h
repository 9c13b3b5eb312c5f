// SPDX-License-Identifier: Apache-2.0
//
// The pod worker's decision: facts in, steps out; pure. See pod_decide.c for the state drawing.
#ifndef CORACLE_NODE_POD_DECIDE_H
#define CORACLE_NODE_POD_DECIDE_H

#include "base/arena.h"
#include "node/pod_facts.h"

enum step_type {
    STEP_PREPARE_DIRS,
    STEP_NETWORK_UP,
    STEP_MOUNT_VOLUME, /* index of the volume */
    STEP_CREATE,       /* index of the slot; image, environment, root file system, container */
    STEP_START,
    STEP_POST_START,
    STEP_BACK_OFF, /* tell that the slot waits for its back-off */
    STEP_STOP,     /* grace, message */
    STEP_DISCARD,  /* created, never started: remove */
    STEP_CANCEL,   /* the pull of its image */
    STEP_FAIL,     /* the pod fails: message holds the reason's name */
    STEP_NETWORK_DOWN,
    STEP_UNMOUNT,
    STEP_DELETE_OBJECT,
    STEP_FORGET, /* nothing is left: free the worker */
};

struct step {
    enum step_type type;
    size_t index; /* of a slot or a volume */
    usec grace;   /* STOP */
    struct str message;
};

enum { PLAN_STEPS_MAX = 256 };
struct plan {
    struct step steps[PLAN_STEPS_MAX]; /* what doesn't fit comes with the next decision */
    size_t count;
    usec wake_at; /* monotonic; 0 = only facts wake it */
};

void pod_decide(const struct pod_facts *facts, struct arena *arena, struct plan *ret_plan);
/* One line a step, "CREATE app", for tests and traces. */
int plan_write(struct buf *out, const struct pod_facts *facts, const struct plan *plan);

#endif
