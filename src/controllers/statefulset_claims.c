// SPDX-License-Identifier: Apache-2.0
//
// Claims of a StatefulSet's pods (spec/statefulset.md 4): names, creation, and the owner references
// by which the retention policy works. Claims are never deleted here: the garbage collector does it
// when their owner is gone.
#include "controllers/meta.h"
#include "controllers/statefulset.h"

struct str sts_claim_name(struct sts *sts, size_t index, int64_t ordinal)
{
    return arena_fmt(sts->arena, STR_FMT "-" STR_FMT "-%lld",
                     STR_ARG(meta_name(val_at(sts->templates, index))), STR_ARG(sts->name),
                     (long long)ordinal);
}

static const struct val *get_claim(struct sts *sts, struct str name)
{
    return sts->view->get(sts->view->ctx, KIND_PVC, sts->ns, name);
}

static bool is_ref_to(const struct val *ref, const struct kind *kind, struct str name)
{
    return str_eq(val_text(val_get(ref, S("kind"))), kind->name) &&
           str_eq(val_text(val_get(ref, S("name"))), name) &&
           str_eq(val_text(val_get(ref, S("apiVersion"))), kind_api_version(kind));
}

static bool has_uid(const struct val *ref, struct str uid)
{
    return str_eq(val_text(val_get(ref, S("uid"))), uid);
}

bool sts_has_stale_claim(struct sts *sts, int64_t ordinal, struct str pod_name, struct str uid)
{
    if (!sts->is_scaling_claims) {
        return false;
    }
    for (size_t i = 0; i < val_count(sts->templates); i++) {
        const struct val *refs =
            val_path(get_claim(sts, sts_claim_name(sts, i, ordinal)), "metadata.ownerReferences");
        for (size_t k = 0; k < val_count(refs); k++) {
            const struct val *ref = val_at(refs, k);
            if (is_ref_to(ref, sts->pod_kind, pod_name) && (uid.n == 0 || !has_uid(ref, uid))) {
                return true;
            }
        }
    }
    return false;
}

/* The template verbatim, with the selector's matchLabels over its labels. */
static struct val build_claim(struct sts *sts, const struct val *template, struct str name)
{
    struct arena *arena = sts->arena;
    struct val claim = val_copy(arena, template);
    val_set(arena, &claim, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &claim, S("kind"), val_str(S("PersistentVolumeClaim")));
    val_remove(&claim, S("status"));
    struct val *metadata = val_need_map(arena, &claim, S("metadata"));
    val_set(arena, metadata, S("name"), val_str(name));
    val_set(arena, metadata, S("namespace"), val_str(sts->ns));
    const struct val *match = val_path(sts->spec, "selector.matchLabels");
    if (val_count(match) > 0) {
        struct val *labels = val_need_map(arena, metadata, S("labels"));
        for (size_t i = 0; i < val_count(match); i++) {
            val_set(arena, labels, match->members[i].key, match->members[i].val);
        }
    }
    return claim;
}

bool sts_create_claims(struct sts *sts, struct actions *out, int64_t ordinal, struct str pod_name,
                       bool is_for_new_pod, struct str *ret_why)
{
    struct arena *arena = sts->arena;
    for (size_t i = 0; i < val_count(sts->templates); i++) {
        struct str name = sts_claim_name(sts, i, ordinal);
        const struct val *claim = get_claim(sts, name);
        if (claim != NULL && meta_is_deleting(claim)) {
            *ret_why = arena_fmt(arena, "pvc " STR_FMT " is being deleted", STR_ARG(name));
            return false;
        }
    }
    for (size_t i = 0; i < val_count(sts->templates); i++) {
        struct str name = sts_claim_name(sts, i, ordinal);
        if (get_claim(sts, name) != NULL) {
            continue;
        }
        struct action *action = actions_add(out, ACTION_CREATE, sts->claim_kind, sts->ns, name);
        action->body = arena_val(arena, build_claim(sts, val_at(sts->templates, i), name));
        action->failure_events[0] =
            sts_failure(sts, "FailedCreate",
                        arena_fmt(arena,
                                  "create Claim " STR_FMT " for Pod " STR_FMT
                                  " in StatefulSet " STR_FMT " failed error: %%s",
                                  STR_ARG(name), STR_ARG(pod_name), STR_ARG(sts->name)));
        if (is_for_new_pod) {
            struct str failure = sts_pod_text(sts, "create", pod_name, "failed error: ");
            action->failure_events[1] =
                sts_failure(sts, "FailedCreate",
                            arena_fmt(arena, STR_FMT "failed to create PVC " STR_FMT ": %%s",
                                      STR_ARG(failure), STR_ARG(name)));
        }
        sts_event(sts, out, "Normal", "SuccessfulCreate",
                  arena_fmt(arena,
                            "create Claim " STR_FMT " Pod " STR_FMT " in StatefulSet " STR_FMT
                            " success",
                            STR_ARG(name), STR_ARG(pod_name), STR_ARG(sts->name)));
    }
    return true;
}

enum claim_state {
    CLAIM_FITS,
    CLAIM_DIFFERS,
    CLAIM_FOREIGN /* a stale ref, or another controller: the policy is ignored */
};

struct wanted_refs {
    bool has_set, has_pod;
    struct str pod_name, pod_uid;
};

/* Spec 4.3, in its order. *ret_refs: strangers' refs, then ours as wanted. */
static enum claim_state judge_claim(struct sts *sts, const struct val *claim,
                                    const struct wanted_refs *want, const struct sts_pod *pod,
                                    struct val *ret_refs)
{
    const struct val *refs = val_path(claim, "metadata.ownerReferences");
    bool is_policy = sts->is_scaling_claims || sts->is_deleting_claims;
    bool has_set = false;
    bool has_pod = false;
    bool has_other_controller = false;
    bool is_weak = false;
    *ret_refs = val_list();
    for (size_t i = 0; i < val_count(refs); i++) {
        const struct val *ref = val_at(refs, i);
        bool is_set = is_ref_to(ref, sts->kind, sts->name);
        bool is_pod = is_ref_to(ref, sts->pod_kind, want->pod_name);
        if ((is_set && !has_uid(ref, sts->uid)) || (is_pod && !has_uid(ref, want->pod_uid))) {
            return CLAIM_FOREIGN;
        }
        bool is_controller = val_is_true(val_get(ref, S("controller")));
        has_set = has_set || is_set;
        has_pod = has_pod || is_pod;
        is_weak = is_weak || ((is_set || is_pod) && !is_controller);
        if (!is_set && !is_pod) {
            has_other_controller = has_other_controller || is_controller;
            val_push(sts->arena, ret_refs, *ref);
        }
    }
    if (is_policy && has_other_controller) {
        return has_set || has_pod ? CLAIM_DIFFERS : CLAIM_FOREIGN;
    }
    if (want->has_set) {
        val_push(sts->arena, ret_refs, owner_ref(sts->arena, sts->kind, sts->obj));
    }
    if (want->has_pod && pod != NULL) {
        val_push(sts->arena, ret_refs, owner_ref(sts->arena, sts->pod_kind, pod->obj));
    }
    return is_weak || has_set != want->has_set || has_pod != want->has_pod ? CLAIM_DIFFERS
                                                                           : CLAIM_FITS;
}

static void warn_conflict(struct sts *sts, struct actions *out, struct str claim)
{
    sts_event(sts, out, "Warning", "ConflictingController",
              arena_fmt(sts->arena,
                        "PersistentVolumeClaim " STR_FMT
                        " has a conflicting OwnerReference that acts as a manging controller, the "
                        "retention policy is ignored for this claim",
                        STR_ARG(claim)));
}

/* A claim that this decision creates: it has no references yet and no version to rely on. */
static void stamp_new_claim(struct sts *sts, struct actions *out, struct str name)
{
    struct val refs = val_list();
    val_push(sts->arena, &refs, owner_ref(sts->arena, sts->kind, sts->obj));
    struct val body = val_map();
    val_set_path(sts->arena, &body, "metadata.ownerReferences", refs);
    struct action *action = actions_add(out, ACTION_PATCH, sts->claim_kind, sts->ns, name);
    action->body = arena_val(sts->arena, body);
}

size_t sts_update_claims(struct sts *sts, struct actions *out, int64_t ordinal,
                         const struct sts_pod *pod, bool is_condemned)
{
    struct wanted_refs want = {
        .has_set = sts->is_deleting_claims && !(is_condemned && sts->is_scaling_claims),
        .has_pod = is_condemned && sts->is_scaling_claims,
        .pod_name = pod != NULL ? pod->name
                                : arena_fmt(sts->arena, STR_FMT "-%lld", STR_ARG(sts->name),
                                            (long long)ordinal),
        .pod_uid = pod != NULL ? meta_uid(pod->obj) : S(""),
    };
    size_t changed = 0;
    for (size_t i = 0; i < val_count(sts->templates); i++) {
        struct str name = sts_claim_name(sts, i, ordinal);
        const struct val *claim = get_claim(sts, name);
        if (claim == NULL) {
            if (want.has_set && pod == NULL) {
                stamp_new_claim(sts, out, name);
                changed++;
            }
            continue;
        }
        struct val refs;
        enum claim_state state = judge_claim(sts, claim, &want, pod, &refs);
        if (state == CLAIM_DIFFERS) {
            actions_set_owners(out, sts->claim_kind, claim, refs);
            changed++;
        }
        if (state == CLAIM_FOREIGN && (pod == NULL || is_condemned)) {
            warn_conflict(sts, out, name);
        }
    }
    return changed;
}
