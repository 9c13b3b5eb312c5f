// SPDX-License-Identifier: Apache-2.0
//
// Filters on what a node has left (ports, resources, room for pods) and on the pod's claims
// (spec/node.md 10.1).
#include "scheduler/host_ports.h"
#include "scheduler/internal.h"

/* --- amounts --- */

static void add_amount(struct amounts *amounts, struct str name, struct quantity q, bool is_max)
{
    for (size_t i = 0; i < amounts->count; i++) {
        if (str_eq(amounts->rows[i].name, name)) {
            struct quantity old = amounts->rows[i].amount;
            if (!is_max) {
                amounts->rows[i].amount = quantity_add(old, q);
            } else if (quantity_cmp(q, old) > 0) {
                amounts->rows[i].amount = q;
            }
            return;
        }
    }
    if (amounts->count < RESOURCES_MAX) {
        amounts->rows[amounts->count].name = name;
        amounts->rows[amounts->count++].amount = q;
    }
}

static void read_amounts(const struct val *map, struct amounts *to)
{
    for (size_t i = 0; i < val_count(map); i++) {
        struct quantity q;
        struct err err;
        if (quantity_parse(val_text(&map->members[i].val), &q, &err) == 0) {
            add_amount(to, map->members[i].key, q, /* is_max= */ false);
        }
    }
}

void amounts_add(struct amounts *to, const struct amounts *more)
{
    for (size_t i = 0; i < more->count; i++) {
        add_amount(to, more->rows[i].name, more->rows[i].amount, /* is_max= */ false);
    }
}

static void amounts_max(struct amounts *to, const struct amounts *other)
{
    for (size_t i = 0; i < other->count; i++) {
        add_amount(to, other->rows[i].name, other->rows[i].amount, /* is_max= */ true);
    }
}

struct quantity amounts_of(const struct amounts *amounts, struct str name)
{
    for (size_t i = 0; i < amounts->count; i++) {
        if (str_eq(amounts->rows[i].name, name)) {
            return amounts->rows[i].amount;
        }
    }
    return (struct quantity){0};
}

/* Init containers run one by one beside the sidecars that were started before them. */
void pod_requests(const struct val *pod, struct amounts *ret)
{
    const struct val *spec = val_get(pod, S("spec"));
    const struct val *inits = val_get(spec, S("initContainers"));
    struct amounts sidecars = {.count = 0};
    struct amounts peak = {.count = 0};
    for (size_t i = 0; i < val_count(inits); i++) {
        const struct val *init = val_at(inits, i);
        struct amounts step = sidecars;
        read_amounts(val_path(init, "resources.requests"), &step);
        amounts_max(&peak, &step);
        if (str_eq(val_text(val_get(init, S("restartPolicy"))), S("Always"))) {
            sidecars = step;
        }
    }
    const struct val *containers = val_get(spec, S("containers"));
    *ret = sidecars;
    for (size_t i = 0; i < val_count(containers); i++) {
        read_amounts(val_path(val_at(containers, i), "resources.requests"), ret);
    }
    amounts_max(ret, &peak);
    read_amounts(val_get(spec, S("overhead")), ret);
}

void filter_resources(const struct attempt *attempt, const struct node *node, struct reasons *out)
{
    const struct val *allocatable = val_path(node->obj, "status.allocatable");
    struct quantity room;
    struct err err;
    struct str pods = val_text(val_get(allocatable, S("pods")));
    int64_t pods_max = 110;
    if (pods.n > 0 && quantity_parse(pods, &room, &err) == 0) {
        pods_max = quantity_units(room);
    }
    if (node->pods_count + 1 > pods_max) {
        reasons_add(out, S("Too many pods"));
    }
    for (size_t i = 0; i < attempt->requests.count; i++) {
        struct str name = attempt->requests.rows[i].name;
        struct quantity want = attempt->requests.rows[i].amount;
        if (want.nano == 0) {
            continue;
        }
        room = (struct quantity){0};
        struct str text = val_text(val_get(allocatable, name));
        if (text.n > 0 && quantity_parse(text, &room, &err) < 0) {
            room = (struct quantity){0};
        }
        if (quantity_cmp(quantity_add(amounts_of(&node->used, name), want), room) > 0) {
            reasons_add(out, arena_fmt(attempt->arena, "Insufficient " STR_FMT, STR_ARG(name)));
        }
    }
}

/* --- host ports --- */

void filter_ports(const struct attempt *attempt, const struct node *node, struct reasons *out)
{
    for (size_t i = 0; i < node->pods.count; i++) {
        if (host_ports_clash(attempt->spec, val_get(node->pods.list[i], S("spec")))) {
            reasons_add(out, S("node(s) didn't have free ports for the requested pod ports"));
            return;
        }
    }
}

/* --- claims --- */

static const struct val *claim_of(const struct attempt *attempt, struct str name)
{
    return attempt->view->get(attempt->view->ctx, KIND_PVC, attempt->ns, name);
}

static const struct val *volume_of(const struct attempt *attempt, const struct val *claim)
{
    struct str name = val_text_at(claim, "spec.volumeName");
    return name.n == 0 ? NULL : attempt->view->get(attempt->view->ctx, KIND_PV, S(""), name);
}

static bool is_waiting_class(const struct attempt *attempt, const struct val *claim)
{
    struct str name = val_text_at(claim, "spec.storageClassName");
    const struct val *class =
        name.n == 0 ? NULL
                    : attempt->view->get(attempt->view->ctx, KIND_STORAGE_CLASS, S(""), name);
    return str_eq(val_text(val_get(class, S("volumeBindingMode"))), S("WaitForFirstConsumer"));
}

struct str prefilter_claims(const struct attempt *attempt)
{
    bool is_unbound = false;
    for (size_t i = 0; i < pod_volumes_count(attempt->pod); i++) {
        struct str name;
        if (!pod_claim(attempt->arena, attempt->pod, i, &name)) {
            continue;
        }
        const struct val *claim = claim_of(attempt, name);
        if (claim == NULL || meta_is_deleting(claim)) {
            return arena_fmt(attempt->arena, "persistentvolumeclaim \"" STR_FMT "\" %s",
                             STR_ARG(name), claim == NULL ? "not found" : "is being deleted");
        }
        if (str_eq(val_text_at(claim, "status.phase"), S("Lost"))) {
            return arena_fmt(attempt->arena,
                             "persistentvolumeclaim \"" STR_FMT
                             "\" bound to non-existent persistentvolume \"" STR_FMT "\"",
                             STR_ARG(name), STR_ARG(val_text_at(claim, "spec.volumeName")));
        }
        bool is_bound = meta_has_annotation(claim, S("pv.kubernetes.io/bind-completed")) &&
                        val_text_at(claim, "spec.volumeName").n > 0;
        is_unbound = is_unbound || (!is_bound && !is_waiting_class(attempt, claim));
    }
    return is_unbound ? S("pod has unbound immediate PersistentVolumeClaims") : S("");
}

void filter_volumes(const struct attempt *attempt, const struct node *node, struct reasons *out)
{
    for (size_t i = 0; i < pod_volumes_count(attempt->pod); i++) {
        struct str name;
        if (!pod_claim(attempt->arena, attempt->pod, i, &name)) {
            continue;
        }
        const struct val *volume = volume_of(attempt, claim_of(attempt, name));
        if (volume != NULL &&
            !node_selector_matches(val_path(volume, "spec.nodeAffinity.required"), node)) {
            reasons_add(out, S("node(s) didn't match PersistentVolume's node affinity"));
            return;
        }
    }
}

static bool is_exclusive(const struct val *claim)
{
    const struct val *modes = val_path(claim, "spec.accessModes");
    for (size_t i = 0; i < val_count(modes); i++) {
        if (str_eq(val_text(val_at(modes, i)), S("ReadWriteOncePod"))) {
            return true;
        }
    }
    return false;
}

static bool uses_claim(const struct attempt *attempt, const struct val *pod, struct str claim)
{
    for (size_t i = 0; i < pod_volumes_count(pod); i++) {
        struct str name;
        if (pod_claim(attempt->arena, pod, i, &name) && str_eq(name, claim)) {
            return true;
        }
    }
    return false;
}

void filter_exclusive_claims(const struct attempt *attempt, const struct node *node,
                             struct reasons *out)
{
    for (size_t i = 0; i < pod_volumes_count(attempt->pod); i++) {
        struct str name;
        if (!pod_claim(attempt->arena, attempt->pod, i, &name) ||
            !is_exclusive(claim_of(attempt, name))) {
            continue;
        }
        for (size_t k = 0; k < node->pods.count; k++) {
            const struct val *pod = node->pods.list[k];
            if (str_eq(meta_ns(pod), attempt->ns) && uses_claim(attempt, pod, name)) {
                reasons_add(out, S("node(s) unavailable due to PersistentVolumeClaim with "
                                   "ReadWriteOncePod access mode already in-use by another pod"));
                return;
            }
        }
    }
}
