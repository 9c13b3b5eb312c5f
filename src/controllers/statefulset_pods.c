// SPDX-License-Identifier: Apache-2.0
//
// Pods of a StatefulSet (spec/statefulset.md 2.4, 3): which are members, what is true of them, how
// a new one is built, how a live one is repaired. Members whose name is not canonical ("web-007")
// are ignored, so that no two pods ever claim one ordinal.
#include "base/timefmt.h"
#include "controllers/meta.h"
#include "controllers/statefulset.h"

#include <stdlib.h>

#define LABEL_POD_NAME S("statefulset.kubernetes.io/pod-name")
#define LABEL_INDEX    S("apps.kubernetes.io/pod-index")
#define LABEL_REVISION S("controller-revision-hash")

int64_t sts_ordinal(struct str set, struct str pod)
{
    if (!str_starts(pod, set) || pod.n < set.n + 2 || pod.p[set.n] != '-') {
        return -1;
    }
    struct str digits = str_sub(pod, set.n + 1, pod.n);
    uint64_t ordinal = 0;
    if (digits.n > 10 || (digits.p[0] == '0' && digits.n > 1) || str_to_u64(digits, &ordinal) < 0 ||
        ordinal > INT32_MAX) {
        return -1;
    }
    return (int64_t)ordinal;
}

bool sts_pod_is_unavailable(const struct sts_pod *pod)
{
    return !pod->is_available || pod->is_terminating;
}

/* Patched in place, and its node hasn't looked at the new specification yet: its conditions speak
 * of the old one. */
static bool is_settling(const struct sts *sts, const struct val *pod)
{
    return sts->options.is_in_place && val_number_at(pod, "status.observedGeneration", 0) <
                                           val_number_at(pod, "metadata.generation", 0);
}

static void read_ready(struct sts *sts, struct sts_pod *pod)
{
    const struct val *ready = meta_condition(pod->obj, S("Ready"));
    if (!str_eq(val_text(val_get(ready, S("status"))), S("True")) || is_settling(sts, pod->obj)) {
        return;
    }
    pod->is_running_ready = str_eq(pod->phase, S("Running"));
    usec since = 0;
    if (sts->min_ready == 0) {
        pod->is_available = true;
    } else if (time_parse(val_text(val_get(ready, S("lastTransitionTime"))), &since) == 0) {
        pod->is_available = since + sts->min_ready < sts->env->now_wall;
        pod->available_at = pod->is_available ? 0 : since + sts->min_ready;
    }
}

static void add_pod(struct sts *sts, const struct val *obj, int64_t ordinal, bool is_new_member)
{
    struct sts_pod *pod = &sts->pods[sts->pods_count++];
    *pod = (struct sts_pod){.obj = obj,
                            .name = meta_name(obj),
                            .ordinal = ordinal,
                            .phase = val_text(val_get(val_get(obj, S("status")), S("phase"))),
                            .revision = meta_label(obj, LABEL_REVISION),
                            .is_terminating = meta_is_deleting(obj),
                            .is_new_member = is_new_member,
                            .is_condemned = ordinal < sts->start || ordinal >= sts->end ||
                                            set_options_skip(&sts->options, ordinal) != ordinal,
                            .is_marked =
                                str_eq(meta_annotation(obj, POD_REPLACE_ANNOTATION), S("true"))};
    sts->kept_count += !pod->is_condemned;
    read_ready(sts, pod);
}

/* Table 3.5. */
static void claim_pod(struct sts *sts, const struct val *obj)
{
    int64_t ordinal = sts_ordinal(sts->name, meta_name(obj));
    const struct val *ref = meta_controller(obj);
    if (ref != NULL && !str_eq(val_text(val_get(ref, S("uid"))), sts->uid)) {
        return;
    }
    bool is_match = ordinal >= 0 && selector_matches(sts->selector, meta_labels(obj));
    if (ref != NULL) {
        if (is_match || (sts->is_deleting && ordinal >= 0)) {
            add_pod(sts, obj, ordinal, /* is_new_member= */ false);
        } else if (!sts->is_deleting) {
            struct val refs = owner_refs_edit(sts->arena, obj, sts->uid, NULL);
            actions_set_owners(sts->out, sts->pod_kind, obj, refs)->is_optional = true;
            sts->is_releasing = true;
        }
        return;
    }
    if (is_match && !sts->is_deleting && !meta_is_deleting(obj)) {
        struct val ours = owner_ref(sts->arena, sts->kind, sts->obj);
        struct val refs = owner_refs_edit(sts->arena, obj, S(""), &ours);
        actions_set_owners(sts->out, sts->pod_kind, obj, refs);
        add_pod(sts, obj, ordinal, /* is_new_member= */ true);
    }
}

static int by_ordinal(const void *a, const void *b)
{
    const struct sts_pod *x = a;
    const struct sts_pod *y = b;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

void sts_claim_pods(struct sts *sts)
{
    struct objs objs = view_objs(sts->view, sts->arena, KIND_POD, sts->ns);
    sts->pods = arena_alloc(sts->arena, (objs.count + 1) * sizeof *sts->pods);
    for (size_t i = 0; i < objs.count; i++) {
        claim_pod(sts, objs.list[i]);
    }
    qsort(sts->pods, sts->pods_count, sizeof *sts->pods, by_ordinal);
}

/* A paused rollout has come down to here: a pod below that goes away comes back as it was. */
static bool is_held_back(const struct sts *sts, int64_t ordinal)
{
    for (size_t i = 0; sts->options.is_paused && i < sts->pods_count; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        if (!pod->is_condemned && str_eq(pod->revision, sts->update.name)) {
            return ordinal < pod->ordinal;
        }
    }
    return sts->options.is_paused;
}

/* 2.5 step 2. */
static const struct sts_revision *revision_for(const struct sts *sts, int64_t ordinal)
{
    if (sts->is_on_delete) {
        return &sts->update;
    }
    int64_t update_from = sts->update_from;
    if (!sts->has_rolling) {
        update_from = set_options_ordinal(&sts->options, sts->start,
                                          val_number_at(sts->obj, "status.currentReplicas", 0));
    }
    return ordinal < update_from || is_held_back(sts, ordinal) ? &sts->current : &sts->update;
}

/* The template's volumes after the claims', which replace those of the same name (3.3). */
static struct val build_volumes(struct sts *sts, const struct val *old, int64_t ordinal)
{
    struct arena *arena = sts->arena;
    struct val volumes = val_list();
    for (size_t i = 0; i < val_count(sts->templates); i++) {
        struct val source = val_map();
        val_set(arena, &source, S("claimName"), val_str(sts_claim_name(sts, i, ordinal)));
        struct val volume = val_map();
        val_set(arena, &volume, S("name"), val_str(meta_name(val_at(sts->templates, i))));
        val_set(arena, &volume, S("persistentVolumeClaim"), source);
        val_push(arena, &volumes, volume);
    }
    size_t claims = val_count(&volumes);
    for (size_t i = 0; i < val_count(old); i++) {
        const struct val *volume = val_at(old, i);
        bool is_taken = false;
        for (size_t k = 0; k < claims; k++) {
            is_taken = is_taken ||
                       val_eq(val_get(val_at(&volumes, k), S("name")), val_get(volume, S("name")));
        }
        if (!is_taken) {
            val_push(arena, &volumes, *volume);
        }
    }
    return volumes;
}

static struct val build_pod(struct sts *sts, const struct sts_revision *revision, int64_t ordinal,
                            struct str name)
{
    struct arena *arena = sts->arena;
    struct val pod = val_copy(arena, sts_revision_template(revision));
    val_remove(&pod, S("$patch"));
    val_set(arena, &pod, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &pod, S("kind"), val_str(S("Pod")));
    struct val *metadata = val_need_map(arena, &pod, S("metadata"));
    val_remove(metadata, S("creationTimestamp"));
    val_set(arena, metadata, S("name"), val_str(name));
    val_set(arena, metadata, S("generateName"),
            val_str(arena_fmt(arena, STR_FMT "-", STR_ARG(sts->name))));
    val_set(arena, metadata, S("namespace"), val_str(sts->ns));
    struct val refs = val_list();
    val_push(arena, &refs, owner_ref(arena, sts->kind, sts->obj));
    val_set(arena, metadata, S("ownerReferences"), refs);
    struct val *labels = val_need_map(arena, metadata, S("labels"));
    val_set(arena, labels, LABEL_POD_NAME, val_str(name));
    val_set(arena, labels, LABEL_INDEX, val_str(arena_fmt(arena, "%lld", (long long)ordinal)));
    val_set(arena, labels, LABEL_REVISION, val_str(revision->name));
    struct val *spec = val_need_map(arena, &pod, S("spec"));
    val_set(arena, spec, S("hostname"), val_str(name));
    struct str subdomain = val_text(val_get(sts->spec, S("serviceName")));
    if (subdomain.n > 0) {
        val_set(arena, spec, S("subdomain"), val_str(subdomain));
    } else {
        val_remove(spec, S("subdomain"));
    }
    if (val_count(sts->templates) > 0) {
        val_set(arena, spec, S("volumes"),
                build_volumes(sts, val_get(spec, S("volumes")), ordinal));
    }
    return pod;
}

struct str sts_pod_text(struct sts *sts, const char *verb, struct str pod, const char *end)
{
    return arena_fmt(sts->arena, "%s Pod " STR_FMT " in StatefulSet " STR_FMT " %s", verb,
                     STR_ARG(pod), STR_ARG(sts->name), end);
}

/* Is the name free for less than STS_REMAKE_PAUSE? Then asks for a decision when it is over. */
static bool is_resting(struct sts *sts, struct str name)
{
    usec gone_for = sts->view->gone_for(sts->view->ctx, KIND_POD, sts->ns, name);
    if (gone_for >= STS_REMAKE_PAUSE) {
        return false;
    }
    actions_requeue(sts->out, STS_REMAKE_PAUSE - gone_for);
    return true;
}

bool sts_create_pod(struct sts *sts, struct actions *out, int64_t ordinal)
{
    struct str name =
        arena_fmt(sts->arena, STR_FMT "-%lld", STR_ARG(sts->name), (long long)ordinal);
    if (is_resting(sts, name)) {
        return false;
    }
    /* Someone else's pod has the name: its end enqueues the set again. */
    if (sts->view->get(sts->view->ctx, KIND_POD, sts->ns, name) != NULL ||
        sts_has_stale_claim(sts, ordinal, name, S(""))) {
        return false;
    }
    struct str why;
    if (!sts_create_claims(sts, out, ordinal, name, /* is_for_new_pod= */ true, &why)) {
        sts_event(sts, out, "Warning", "FailedCreate",
                  arena_fmt(sts->arena, STR_FMT STR_FMT,
                            STR_ARG(sts_pod_text(sts, "create", name, "failed error: ")),
                            STR_ARG(why)));
        return false;
    }
    struct action *action = actions_add(out, ACTION_CREATE, sts->pod_kind, sts->ns, name);
    action->body = arena_val(sts->arena, build_pod(sts, revision_for(sts, ordinal), ordinal, name));
    action->failure_events[0] =
        sts_failure(sts, "FailedCreate", sts_pod_text(sts, "create", name, "failed error: %s"));
    sts_event(sts, out, "Normal", "SuccessfulCreate",
              sts_pod_text(sts, "create", name, "successful"));
    sts_update_claims(sts, out, ordinal, NULL, /* is_condemned= */ false);
    return true;
}

void sts_delete_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod)
{
    struct action *action = actions_delete(out, sts->pod_kind, pod->obj);
    action->failure_events[0] = sts_failure(
        sts, "FailedDelete", sts_pod_text(sts, "delete", pod->name, "failed error: %s"));
    sts_event(sts, out, "Normal", "SuccessfulDelete",
              sts_pod_text(sts, "delete", pod->name, "successful"));
}

static bool has_storage(struct sts *sts, const struct sts_pod *pod)
{
    const struct val *volumes = val_path(pod->obj, "spec.volumes");
    for (size_t i = 0; i < val_count(sts->templates); i++) {
        struct str want = meta_name(val_at(sts->templates, i));
        struct str claim = sts_claim_name(sts, i, pod->ordinal);
        bool is_there = false;
        for (size_t k = 0; k < val_count(volumes) && !is_there; k++) {
            const struct val *volume = val_at(volumes, k);
            is_there = str_eq(val_text(val_get(volume, S("name"))), want) &&
                       str_eq(val_text_at(volume, "persistentVolumeClaim.claimName"), claim);
        }
        if (!is_there) {
            return false;
        }
    }
    return true;
}

static void patch_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod,
                      bool has_wrong_storage)
{
    struct arena *arena = sts->arena;
    struct val labels = val_map();
    val_set(arena, &labels, LABEL_POD_NAME, val_str(pod->name));
    val_set(arena, &labels, LABEL_INDEX,
            val_str(arena_fmt(arena, "%lld", (long long)pod->ordinal)));
    struct val body = val_map();
    val_set_path(arena, &body, "metadata.labels", labels);
    if (has_wrong_storage) {
        val_set_path(arena, &body, "spec.volumes",
                     build_volumes(sts, val_path(pod->obj, "spec.volumes"), pod->ordinal));
    }
    struct action *action = actions_add(out, ACTION_PATCH, sts->pod_kind, sts->ns, pod->name);
    action->body = arena_val(arena, body);
    action->uid = meta_uid(pod->obj);
    action->failure_events[0] = sts_failure(
        sts, "FailedUpdate", sts_pod_text(sts, "update", pod->name, "failed error: %s"));
}

void sts_repair_pod(struct sts *sts, struct actions *out, const struct sts_pod *pod)
{
    if (pod->is_new_member) {
        return; /* its adoption comes back as an event */
    }
    bool has_wrong_name = !str_eq(meta_label(pod->obj, LABEL_POD_NAME), pod->name);
    bool has_wrong_storage = !has_storage(sts, pod);
    struct str why;
    if (has_wrong_storage &&
        !sts_create_claims(sts, out, pod->ordinal, pod->name, /* is_for_new_pod= */ false, &why)) {
        return;
    }
    size_t changed = sts_update_claims(sts, out, pod->ordinal, pod, /* is_condemned= */ false);
    if (has_wrong_name || has_wrong_storage) {
        patch_pod(sts, out, pod, has_wrong_storage);
        changed++;
    }
    if (changed > 0) {
        sts_event(sts, out, "Normal", "SuccessfulUpdate",
                  sts_pod_text(sts, "update", pod->name, "successful"));
    }
}
