// SPDX-License-Identifier: Apache-2.0
//
// What the files of the StatefulSet controller share (spec/statefulset.md 2 to 7): one decision's
// view of a set, its revisions, its pods and its claims. Everything lives in the decision's arena.
//
// Invariants:
// (1) pods[] holds the claimed members with canonical names, by ascending ordinal, each ordinal
//     once; ordinals of [start, end) that are neither in it nor reserved are empty slots.
// (2) Nothing is allocated per empty slot: replicas may be any int32.
// (3) No action deletes a claim, and no pod is created outside the range.
#ifndef CORACLE_CONTROLLERS_STATEFULSET_H
#define CORACLE_CONTROLLERS_STATEFULSET_H

#include "api/selector.h"
#include "api/set_options.h"
#include "controllers/decide.h"

enum { STS_CREATE_BATCH = 500 }; /* pods that one decision of a Parallel set creates (2.7) */

/* Between a pod's end and a new pod of its name. kubectl delete looks at one pod after the other:
 * GET, then watch by name, some milliseconds later. A new pod between the two is all that it sees,
 * and it waits for ever. Much longer, and a kubectl wait that follows a delete finds no pod. */
#define STS_REMAKE_PAUSE (30 * USEC_PER_MS)

struct sts_pod {
    const struct val *obj;
    struct str name;
    int64_t ordinal;
    struct str phase;
    struct str revision; /* controller-revision-hash */
    bool is_terminating;
    bool is_running_ready;
    bool is_available;
    bool is_new_member; /* adopted in this decision: its version on the server has moved on */
    bool is_condemned;  /* out of range, or its ordinal is reserved */
    bool is_marked;     /* the user wants it replaced (POD_REPLACE_ANNOTATION) */
    usec available_at;  /* when a ready pod becomes available; 0 = not ready or already */
};

struct sts_revision {
    struct str name;
    int64_t number;
    struct str created;
    const struct val *obj;  /* NULL = created in this decision */
    const struct val *data; /* {"spec":{"template":…}} */
};

struct sts_status {
    int64_t replicas, ready, available, current, updated;
    struct str current_revision, update_revision;
};

struct sts {
    const struct view *view;
    const struct env *env;
    struct arena *arena;
    struct actions *out;
    const struct kind *kind;
    const struct kind *pod_kind;
    const struct kind *claim_kind;

    const struct val *obj;
    const struct val *spec;
    const struct val *templates; /* volumeClaimTemplates */
    struct str ns, name, uid;
    struct selector *selector;
    int64_t replicas, start;
    usec min_ready;
    bool is_monotonic, is_on_delete, has_rolling, is_deleting;
    struct set_options options;
    int64_t partition;
    int64_t max_unavailable;
    int64_t end;         /* the slots' ordinals lie in [start, end) */
    int64_t update_from; /* from this ordinal on pods are updated: the partition's slot */
    bool is_deleting_claims, is_scaling_claims; /* whenDeleted, whenScaled are Delete */
    int64_t collision_count;

    struct sts_revision *revisions; /* as stored, sorted (2.3) */
    size_t revisions_count;
    struct sts_revision current, update;

    struct sts_pod *pods;
    size_t pods_count;
    size_t kept_count;   /* pods that aren't condemned */
    bool is_releasing;   /* a pod is let go in this decision, if it hasn't come back meanwhile */
    int64_t decremented; /* pods at the current revision deleted by the update stage */
};

/* statefulset_pods.c: members, predicates, construction. */

/* Ordinal of a canonical member name "<set>-<ordinal>", else -1. */
int64_t sts_ordinal(struct str set, struct str pod);
/* Claims (adopts, releases) pods and fills pods[]. */
void sts_claim_pods(struct sts *sts);
bool sts_pod_is_unavailable(const struct sts_pod *pod);
/* Claims and pod of an empty slot, with their events. false = it must wait. */
bool sts_create_pod(struct sts *sts, struct actions *out, int64_t ordinal);
/* DELETE with the pod's uid, and its events. */
void sts_delete_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod);
/* "<verb> Pod <pod> in StatefulSet <set> <end>". */
struct str sts_pod_text(struct sts *sts, const char *verb, struct str pod, const char *end);
/* Row 7 and 8 of 2.6: repairs identity, storage and claims of a pod that stays. */
void sts_repair_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod);

/* statefulset_claims.c */

struct str sts_claim_name(struct sts *sts, size_t index, int64_t ordinal);
/* A claim of the slot carries a ref to an earlier pod of this name (4.5). uid empty = unborn. */
bool sts_has_stale_claim(struct sts *sts, int64_t ordinal, struct str pod_name, struct str uid);
/* Creates what is missing; is_for_new_pod: what is refused is told as the pod's failure, too. false
 * = one is being deleted: *ret_why says so. */
bool sts_create_claims(struct sts *sts, struct actions *out, int64_t ordinal, struct str pod_name,
                       bool is_for_new_pod, struct str *ret_why);
/* Brings the owner references of the slot's existing claims to table 4.2. pod NULL = just created
 * in this decision. Returns how many were changed. */
size_t sts_update_claims(struct sts *sts, struct actions *out, int64_t ordinal,
                         const struct sts_pod *pod, bool is_condemned);

/* statefulset_revisions.c */

/* Lists, adopts, chooses, records: fills revisions, current, update. */
void sts_choose_revisions(struct sts *sts);
void sts_truncate_history(struct sts *sts);
/* The pod template of a revision. */
const struct val *sts_revision_template(const struct sts_revision *revision);
/* "<hash>" of a revision's data (2.3). */
struct str sts_revision_hash(struct arena *arena, const struct val *data, int64_t collision_count);

/* statefulset_in_place.c: brings a pod to the update revision without a new pod. false = the
 * difference doesn't allow it, or the set doesn't ask for it. */
bool sts_update_in_place(struct sts *sts, struct actions *out, const struct sts_pod *pod);

/* statefulset_templates.c: edits of claim templates, carried to the claims of kept pods. */
void sts_carry_templates(struct sts *sts, struct actions *out);
/* How far that is, for the condition; false = no template was edited. */
bool sts_templates_progress(struct sts *sts, bool *ret_is_done, struct str *ret_text);

/* statefulset_stages.c: replica pass, condemned pass, update stage (2.6 to 2.8). */
void sts_run_stages(struct sts *sts, struct actions *out);

/* statefulset_status.c */
void sts_write_status(struct sts *sts);

/* statefulset_conditions.c: the list with ours brought up to date among those of others. true = it
 * differs from the stored one. */
bool sts_conditions(struct sts *sts, const struct sts_status *status, struct val *ret_list);

/* An event about the set, "create Pod web-0 in StatefulSet web successful", and what a write sends
 * when it fails. */
void sts_event(struct sts *sts, struct actions *out, const char *type, const char *reason,
               struct str message);
const struct val *sts_failure(struct sts *sts, const char *reason, struct str message);

#endif
