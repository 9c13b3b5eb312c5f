// SPDX-License-Identifier: Apache-2.0
//
// Conditions of a StatefulSet (#79606), which upstream leaves empty:
//   type            True                         False                        Unknown
//   Available       MinimumReplicasAvailable     MinimumReplicasUnavailable
//   Progressing     RolloutComplete, -Progressing  ProgressDeadlineExceeded   RolloutPaused
//   ClaimsUpToDate  ClaimsFollowTemplates        ClaimsLagBehind   (once a template was edited)
// Available wants all replicas, during a rollout maxUnavailable less, but one at least. The time of
// the last progress isn't stored: it is the latest of what can be seen (a pod made, a pod ready, a
// revision, the condition's own change). Conditions of others are kept.
#include "base/timefmt.h"
#include "controllers/meta.h"
#include "controllers/statefulset.h"

struct condition {
    struct str type, status, reason, message;
};

static const struct val *find(const struct sts *sts, struct str type)
{
    return meta_condition(sts->obj, type);
}

/* Are there pods that the rollout has not come to yet? */
static bool is_rolling(const struct sts *sts)
{
    for (size_t i = 0; i < sts->pods_count && !sts->is_on_delete; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        if (!pod->is_condemned && pod->ordinal >= sts->update_from &&
            !str_eq(pod->revision, sts->update.name)) {
            return true;
        }
    }
    return false;
}

/* The lowest kept pod that is missing or not available; empty = none. */
static struct str first_missing(const struct sts *sts)
{
    int64_t next = set_options_skip(&sts->options, sts->start);
    for (size_t i = 0; i < sts->pods_count; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        if (pod->is_condemned) {
            continue;
        }
        if (pod->ordinal > next) {
            break;
        }
        if (sts_pod_is_unavailable(pod)) {
            return pod->name;
        }
        next = set_options_skip(&sts->options, pod->ordinal + 1);
    }
    return next >= sts->end
               ? S("")
               : arena_fmt(sts->arena, STR_FMT "-%lld", STR_ARG(sts->name), (long long)next);
}

static int64_t kept_available(const struct sts *sts)
{
    int64_t count = 0;
    for (size_t i = 0; i < sts->pods_count; i++) {
        count += !sts->pods[i].is_condemned && !sts_pod_is_unavailable(&sts->pods[i]);
    }
    return count;
}

static struct condition available(const struct sts *sts, const struct sts_status *status)
{
    /* A rollout may have its budget also where its last pod is being made. */
    bool has_budget = is_rolling(sts) || !str_eq(status->current_revision, status->update_revision);
    int64_t least = sts->replicas > 0 ? 1 : 0;
    int64_t need = sts->replicas - (has_budget && !sts->is_on_delete ? sts->max_unavailable : 0);
    need = need < least ? least : need;
    int64_t has = kept_available(sts);
    bool is_met = has >= need;
    return (struct condition){
        .type = S("Available"),
        .status = is_met ? S("True") : S("False"),
        .reason = is_met ? S("MinimumReplicasAvailable") : S("MinimumReplicasUnavailable"),
        .message =
            arena_fmt(sts->arena, "%lld of %lld replicas are available, %lld needed",
                      (long long)status->available, (long long)sts->replicas, (long long)need)};
}

static usec later(usec a, const struct val *obj, const char *path)
{
    usec b = 0;
    return time_parse(val_text_at(obj, path), &b) == 0 && b > a ? b : a;
}

static usec last_progress(const struct sts *sts)
{
    usec last = later(0, sts->obj, "metadata.creationTimestamp");
    last = later(last, sts->update.obj, "metadata.creationTimestamp");
    for (size_t i = 0; i < sts->pods_count; i++) {
        const struct val *pod = sts->pods[i].obj;
        last = later(last, pod, "metadata.creationTimestamp");
        if (pod_is_ready(pod)) {
            last = later(last, meta_condition(pod, S("Ready")), "lastTransitionTime");
        }
    }
    const struct val *own = find(sts, S("Progressing"));
    if (str_eq(val_text_at(own, "reason"), S("RolloutProgressing"))) {
        last = later(last, own, "lastTransitionTime");
    }
    return last;
}

static struct condition waiting(const struct sts *sts)
{
    struct arena *arena = sts->arena;
    const struct val *own = find(sts, S("Progressing"));
    usec deadline = sts->options.progress_seconds * USEC_PER_SEC;
    usec left = last_progress(sts) + deadline - sts->env->now_wall;
    bool is_begun = own != NULL && !str_eq(val_text_at(own, "reason"), S("RolloutComplete")) &&
                    !str_eq(val_text_at(own, "reason"), S("RolloutPaused"));
    struct str pod = first_missing(sts);
    struct str why = pod.n > 0 ? arena_fmt(arena, "waiting for Pod " STR_FMT, STR_ARG(pod))
                               : arena_fmt(arena, "bringing pods to revision " STR_FMT,
                                           STR_ARG(sts->update.name));
    if (is_begun && left <= 0) {
        return (struct condition){
            .type = S("Progressing"),
            .status = S("False"),
            .reason = S("ProgressDeadlineExceeded"),
            .message = arena_fmt(arena, "no progress for %lld seconds, " STR_FMT,
                                 (long long)sts->options.progress_seconds, STR_ARG(why))};
    }
    actions_requeue(sts->out, (is_begun ? left : deadline) + USEC_PER_MS);
    return (struct condition){.type = S("Progressing"),
                              .status = S("True"),
                              .reason = S("RolloutProgressing"),
                              .message = why};
}

static struct condition progressing(const struct sts *sts, const struct sts_status *status)
{
    bool is_whole = kept_available(sts) == sts->replicas && status->replicas == sts->replicas;
    bool has_rest = is_rolling(sts);
    if (is_whole && !has_rest) {
        return (struct condition){.type = S("Progressing"),
                                  .status = S("True"),
                                  .reason = S("RolloutComplete"),
                                  .message = arena_fmt(sts->arena, "%lld replicas are available",
                                                       (long long)sts->replicas)};
    }
    if (is_whole && sts->options.is_paused) {
        return (struct condition){.type = S("Progressing"),
                                  .status = S("Unknown"),
                                  .reason = S("RolloutPaused"),
                                  .message = S("annotation coracle.io/paused is set")};
    }
    return waiting(sts);
}

static bool claims(struct sts *sts, struct condition *ret)
{
    bool is_done;
    struct str text;
    if (!sts_templates_progress(sts, &is_done, &text)) {
        return false;
    }
    *ret = (struct condition){.type = S("ClaimsUpToDate"),
                              .status = is_done ? S("True") : S("False"),
                              .reason = is_done ? S("ClaimsFollowTemplates") : S("ClaimsLagBehind"),
                              .message = text};
    return true;
}

static bool is_text(const struct val *obj, const char *key, struct str text)
{
    return str_eq(val_text_at(obj, key), text);
}

/* Puts it in its old place, or at the end. true = it changed. */
static bool put(struct sts *sts, struct val *list, const struct condition *c)
{
    struct arena *arena = sts->arena;
    const struct val *old = find(sts, c->type);
    bool is_same = is_text(old, "status", c->status) && is_text(old, "reason", c->reason);
    if (is_same && is_text(old, "message", c->message)) {
        return false;
    }
    struct val made = val_map();
    val_set(arena, &made, S("lastTransitionTime"),
            is_same && val_get(old, S("lastTransitionTime")) != NULL
                ? *val_get(old, S("lastTransitionTime"))
                : time_val(arena, sts->env->now_wall));
    val_set(arena, &made, S("message"), val_str(c->message));
    val_set(arena, &made, S("reason"), val_str(c->reason));
    val_set(arena, &made, S("status"), val_str(c->status));
    val_set(arena, &made, S("type"), val_str(c->type));
    for (size_t i = 0; i < val_count(list); i++) {
        if (is_text(val_at(list, i), "type", c->type)) {
            list->items[i] = made;
            return true;
        }
    }
    val_push(arena, list, made);
    return true;
}

bool sts_conditions(struct sts *sts, const struct sts_status *status, struct val *ret_list)
{
    const struct val *stored = val_path(sts->obj, "status.conditions");
    *ret_list = stored == NULL ? val_list() : val_copy(sts->arena, stored);
    struct condition list[3] = {available(sts, status), progressing(sts, status)};
    size_t count = 2 + claims(sts, &list[2]);
    bool is_changed = false;
    for (size_t i = 0; i < count; i++) {
        is_changed = put(sts, ret_list, &list[i]) || is_changed;
    }
    return is_changed;
}
