// SPDX-License-Identifier: Apache-2.0
//
// A StatefulSet and its pods as the checks see them: read from the objects alone, by rules of the
// specification and not by the controller's code.
#ifndef CORACLE_TESTS_SIM_FACTS_H
#define CORACLE_TESTS_SIM_FACTS_H

#include "sim.h"

struct set_pod {
    const struct val *obj;
    struct str name, uid, revision;
    int64_t ordinal;
    bool is_terminating, is_ready, is_available, is_terminal;
};

struct facts {
    const struct val *set;
    struct str ns, name, uid, current, update;
    int64_t replicas, start, partition, max_unavailable, min_ready_us;
    bool is_parallel, is_on_delete, has_rolling, is_deleting;
    bool has_scaled_delete, has_deleted_delete;
    bool is_sick;            /* Parallel, and its template never gets ready */
    struct set_pod *members; /* owned, or to be adopted; by ordinal */
    size_t members_count;
};

/* Ordinal of "<set>-<n>", or -1. */
int64_t ordinal_of(struct str set, struct str name);
void facts_read(struct sim *sim, struct arena *arena, const struct val *set, struct facts *ret);
const struct set_pod *facts_member(const struct facts *facts, int64_t ordinal);
bool facts_in_range(const struct facts *facts, int64_t ordinal);
/* The revision that the pod's label names. */
struct str pod_revision(const struct val *pod);

/* The checks. */
void check_decision(struct sim *sim, const struct controller *controller, struct str ns,
                    struct str name, const struct actions *actions);
void check_change(struct sim *sim, const struct object *before, const struct object *after,
                  bool is_delete);
/* false: not at rest; why tells what is missing. */
bool check_rest(struct sim *sim, struct buf *why);
/* Once at rest: invariants of quiescence, and no controller has anything to do. */
void check_end(struct sim *sim);

#endif
