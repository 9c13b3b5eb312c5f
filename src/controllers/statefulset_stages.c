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
 * time until the pod turns ready for the first time; times have a second's resolution. */
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

/* The way out of a broken rollout (6.5): an OrderedReady set waits at a pod that was never ready,
 * and that is to be replaced anyway. */
static bool is_trapped(const struct sts *sts, const struct sts_pod *pod)
{
    return !sts->is_strict && !sts->is_on_delete && !pod->is_terminating &&
           !pod->is_running_ready && pod->ordinal >= sts->start + sts->partition &&
           !str_eq(pod->revision, sts->update.name) && was_never_ready(pod);
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
        if (!sts_create_claims(sts, out, pod->ordinal, pod->name, &why)) {
            return false;
        }
        sts_update_claims(sts, out, pod->ordinal, pod, /* is_condemned= */ false);
    }
    if (sts->is_monotonic &&
        (pod->is_terminating || !pod->is_running_ready || !pod->is_available)) {
        if (is_trapped(sts, pod)) {
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
    for (int64_t ordinal = from; ordinal < to; ordinal++) {
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
    for (size_t i = sts->range_from; i < sts->range_to; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        if (!fill_gap(sts, out, next, pod->ordinal, &batch)) {
            return false;
        }
        next = pod->ordinal + 1;
        if (!keep_pod(sts, out, pod) && sts->is_monotonic) {
            return false;
        }
    }
    return fill_gap(sts, out, next, sts->start + sts->replicas, &batch);
}

static bool is_condemned(const struct sts *sts, size_t i)
{
    return i < sts->range_from || i >= sts->range_to;
}

/* The lowest condemned pod that is unavailable: the only one that may go while it is so (2.7). In a
 * monotonic set all kept pods are available here. */
static const struct sts_pod *first_unavailable(const struct sts *sts)
{
    for (size_t i = 0; i < sts->pods_count; i++) {
        if (is_condemned(sts, i) && sts_pod_is_unavailable(&sts->pods[i])) {
            return &sts->pods[i];
        }
    }
    return NULL;
}

static bool condemned_pass(struct sts *sts, struct actions *out)
{
    for (size_t i = sts->pods_count; i-- > 0;) {
        if (is_condemned(sts, i)) {
            sts_update_claims(sts, out, sts->pods[i].ordinal, &sts->pods[i],
                              /* is_condemned= */ true);
        }
    }
    const struct sts_pod *first = first_unavailable(sts);
    for (size_t i = sts->pods_count; i-- > 0;) {
        const struct sts_pod *pod = &sts->pods[i];
        if (!is_condemned(sts, i)) {
            continue;
        }
        if (pod->is_terminating) {
            if (sts->is_monotonic) {
                return false;
            }
            continue;
        }
        if (sts->is_monotonic && pod != first && (!pod->is_running_ready || !pod->is_available)) {
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

static void replace_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod)
{
    sts_delete_pod(sts, out, pod);
    sts->decremented += str_eq(pod->revision, sts->current.name);
}

/* Terminal pods and the replica pass: a pod that was deleted there is not deleted again. */
static bool is_replaceable(const struct sts *sts, const struct sts_pod *pod)
{
    return is_outdated(sts, pod) && !pod_is_terminal(pod->obj) &&
           pod->ordinal >= sts->start + sts->partition;
}

/* Variant C of 2.8. */
static void update_stage(struct sts *sts, struct actions *out)
{
    int64_t unavailable = sts->replicas - (int64_t)(sts->range_to - sts->range_from);
    int64_t broken = 0;
    for (size_t i = sts->range_from; i < sts->range_to; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        unavailable += sts_pod_is_unavailable(pod);
        broken += sts_pod_is_unavailable(pod) && is_outdated(sts, pod);
    }
    if (!sts->is_monotonic) {
        for (size_t i = sts->range_to; broken > 0 && i-- > sts->range_from;) {
            const struct sts_pod *pod = &sts->pods[i];
            if (!pod->is_available && is_replaceable(sts, pod)) {
                replace_pod(sts, out, pod);
            }
        }
    }
    int64_t budget = sts->max_unavailable - unavailable;
    for (size_t i = sts->range_to; budget > 0 && i-- > sts->range_from;) {
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
    bool goes_on = replica_pass(sts, out);
    if (goes_on || !sts->is_monotonic) {
        goes_on = condemned_pass(sts, out);
    }
    if ((goes_on || !sts->is_monotonic) && !sts->is_on_delete) {
        update_stage(sts, out);
    }
}
