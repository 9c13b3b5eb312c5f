// SPDX-License-Identifier: Apache-2.0
//
// What a StatefulSet does to its pods in one decision: fill and repair the range in ascending
// order, remove the condemned in descending order, then replace old revisions
// (spec/statefulset.md 2.6 to 2.8). An OrderedReady set stops at the first pod that it has to wait
// for; a Parallel one goes on.
#include "base/timefmt.h"
#include "controllers/meta.h"
#include "controllers/statefulset.h"

/* Has the pod never been ready since it began? Ready=False is set once at the start and keeps that
 * time until the pod turns ready for the first time; times have a second's resolution, and a node
 * puts the loss of readiness two seconds after the start at the earliest. */
static bool was_never_ready(const struct sts_pod *pod)
{
    const struct val *ready = meta_condition(pod->obj, S("Ready"));
    usec since = 0;
    usec began = 0;
    if (ready == NULL) {
        return true;
    }
    if (str_eq(val_text(val_get(ready, S("status"))), S("True")) ||
        time_parse(val_text(val_get(ready, S("lastTransitionTime"))), &since) < 0 ||
        time_parse(val_text_at(pod->obj, "status.startTime"), &began) < 0) {
        return false;
    }
    return since <= began + USEC_PER_SEC;
}

/* A container that keeps ending, or whose image can't be had. */
static bool is_crashing(const struct sts_pod *pod)
{
    const struct val *list = val_path(pod->obj, "status.containerStatuses");
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text_at(val_at(list, i), "state.waiting.reason"), S("CrashLoopBackOff"))) {
            return true;
        }
    }
    return false;
}

/* The way out of a broken rollout (6.5): an OrderedReady set waits at a pod that was never ready,
 * or that keeps crashing, and that is to be replaced anyway. */
static bool is_trapped(const struct sts *sts, const struct sts_pod *pod)
{
    return !sts->options.is_strict && !sts->options.is_paused && !sts->is_on_delete &&
           !pod->is_terminating && !pod->is_running_ready && pod->ordinal >= sts->update_from &&
           !str_eq(pod->revision, sts->update.name) && (was_never_ready(pod) || is_crashing(pod));
}

static void replace_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod)
{
    if (!sts_update_in_place(sts, out, pod)) {
        sts_delete_pod(sts, out, pod);
        sts->decremented += str_eq(pod->revision, sts->current.name);
    }
}

static void free_trapped(struct sts *sts, struct actions *out, const struct sts_pod *pod)
{
    sts_event(sts, out, "Warning", "BrokenPodReplaced",
              arena_fmt(sts->arena,
                        "Pod " STR_FMT " does not get ready at revision " STR_FMT
                        " and is brought to " STR_FMT " without waiting for it",
                        STR_ARG(pod->name), STR_ARG(pod->revision), STR_ARG(sts->update.name)));
    replace_pod(sts, out, pod);
}

/* One slot with a pod: rows 1 and 3 to 8 of 2.6. false = wait here. */
static bool keep_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod)
{
    if (str_eq(pod->phase, S("Failed")) || str_eq(pod->phase, S("Succeeded"))) {
        if (!pod->is_terminating) {
            sts_delete_pod(sts, out, pod);
        }
        return false;
    }
    if (str_eq(pod->phase, S("Pending"))) {
        struct str why;
        if (!sts_create_claims(sts, out, pod->ordinal, pod->name, /* is_for_new_pod= */ false,
                               &why)) {
            return false;
        }
        sts_update_claims(sts, out, pod->ordinal, pod, /* is_condemned= */ false);
    }
    if (sts->is_monotonic &&
        (pod->is_terminating || !pod->is_running_ready || !pod->is_available)) {
        if (is_trapped(sts, pod)) {
            free_trapped(sts, out, pod);
        } else if (pod->is_marked && !pod->is_terminating) {
            sts_delete_pod(sts, out, pod);
        }
        return false;
    }
    if (!str_eq(pod->phase, S("Pending"))) {
        sts_repair_pod(sts, out, pod);
    }
    return true;
}

/* Creates the pods of the empty slots [from, to); *batch counts down. false = stop here. */
static bool fill_gap(struct sts *sts, struct actions *out, int64_t from, int64_t to, int *batch)
{
    for (int64_t ordinal = set_options_skip(&sts->options, from); ordinal < to;
         ordinal = set_options_skip(&sts->options, ordinal + 1)) {
        if (*batch == 0) {
            return true;
        }
        bool is_created = sts_create_pod(sts, out, ordinal);
        *batch -= is_created;
        if (sts->is_monotonic) {
            return false;
        }
    }
    return true;
}

/* false = wait: an OrderedReady set does nothing else in this decision. */
static bool replica_pass(struct sts *sts, struct actions *out)
{
    int batch = STS_CREATE_BATCH;
    int64_t next = sts->start;
    for (size_t i = 0; i < sts->pods_count; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        if (pod->is_condemned) {
            continue;
        }
        if (!fill_gap(sts, out, next, pod->ordinal, &batch)) {
            return false;
        }
        next = pod->ordinal + 1;
        if (!keep_pod(sts, out, pod) && sts->is_monotonic) {
            return false;
        }
    }
    return fill_gap(sts, out, next, sts->end, &batch);
}

/* Ended for good: nothing is to be waited for. Upstream waits, and two such pods stop an ordered
 * scale-down until somebody deletes one. */
static bool is_over(const struct sts *sts, const struct sts_pod *pod)
{
    return !sts->options.is_strict && pod_is_terminal(pod->obj);
}

/* The lowest condemned pod that is unavailable: the only one that may go while it is so (2.7). In a
 * monotonic set all kept pods are available here. */
static const struct sts_pod *first_unavailable(const struct sts *sts)
{
    for (size_t i = 0; i < sts->pods_count; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        if (pod->is_condemned && sts_pod_is_unavailable(pod) && !is_over(sts, pod)) {
            return pod;
        }
    }
    return NULL;
}

static bool condemned_pass(struct sts *sts, struct actions *out)
{
    for (size_t i = sts->pods_count; i-- > 0;) {
        if (sts->pods[i].is_condemned) {
            sts_update_claims(sts, out, sts->pods[i].ordinal, &sts->pods[i],
                              /* is_condemned= */ true);
        }
    }
    const struct sts_pod *first = first_unavailable(sts);
    for (size_t i = sts->pods_count; i-- > 0;) {
        const struct sts_pod *pod = &sts->pods[i];
        if (!pod->is_condemned) {
            continue;
        }
        if (pod->is_terminating) {
            if (sts->is_monotonic) {
                return false;
            }
            continue;
        }
        if (sts->is_monotonic && pod != first && !is_over(sts, pod) &&
            (!pod->is_running_ready || !pod->is_available)) {
            return false;
        }
        sts_delete_pod(sts, out, pod);
        if (sts->is_monotonic) {
            return false;
        }
    }
    return true;
}

static bool is_outdated(const struct sts *sts, const struct sts_pod *pod)
{
    return !pod->is_terminating && !str_eq(pod->revision, sts->update.name);
}

/* Terminal pods and the replica pass: a pod that was deleted there is not deleted again. */
static bool is_replaceable(const struct sts *sts, const struct sts_pod *pod)
{
    return is_outdated(sts, pod) && !pod_is_terminal(pod->obj) && !pod->is_condemned &&
           !pod->is_marked && pod->ordinal >= sts->update_from;
}

/* Pods that the user marked, whatever their revision: within the budget, broken ones beyond it. */
static int64_t replace_marked(struct sts *sts, struct actions *out, int64_t budget)
{
    for (size_t i = sts->pods_count; i-- > 0;) {
        const struct sts_pod *pod = &sts->pods[i];
        if (!pod->is_marked || pod->is_condemned || pod->is_terminating ||
            pod_is_terminal(pod->obj) || (pod->is_available && budget <= 0)) {
            continue;
        }
        budget -= pod->is_available;
        sts_delete_pod(sts, out, pod);
    }
    return budget;
}

/* Variant C of 2.8, after the marked pods. */
static void update_stage(struct sts *sts, struct actions *out)
{
    int64_t unavailable = sts->replicas - (int64_t)sts->kept_count;
    for (size_t i = 0; i < sts->pods_count; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        unavailable += !pod->is_condemned && sts_pod_is_unavailable(pod);
    }
    int64_t budget = replace_marked(sts, out, sts->max_unavailable - unavailable);
    if (sts->is_on_delete || sts->options.is_paused) {
        return;
    }
    for (size_t i = sts->pods_count; !sts->is_monotonic && i-- > 0;) {
        const struct sts_pod *pod = &sts->pods[i];
        if (!pod->is_available && is_replaceable(sts, pod)) {
            replace_pod(sts, out, pod);
        }
    }
    for (size_t i = sts->pods_count; budget > 0 && i-- > 0;) {
        const struct sts_pod *pod = &sts->pods[i];
        bool is_done = !sts->is_monotonic && !pod->is_available;
        if (!is_done && is_replaceable(sts, pod)) {
            replace_pod(sts, out, pod);
            budget--;
        }
    }
}

void sts_run_stages(struct sts *sts, struct actions *out)
{
    sts_carry_templates(sts, out);
    bool goes_on = replica_pass(sts, out);
    if (goes_on || !sts->is_monotonic) {
        goes_on = condemned_pass(sts, out);
    }
    if (goes_on || !sts->is_monotonic) {
        update_stage(sts, out);
    }
}
