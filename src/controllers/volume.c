// SPDX-License-Identifier: Apache-2.0
//
// The volume binder (spec/node.md 9.2): claims to volumes, their phases, and what becomes of a
// volume whose claim is gone. Keys with a namespace are claims, keys without are volumes.
//
// A binding is written in this order, so that a crash in between leaves no two claims with one
// volume: volume's claimRef, volume's phase, claim's volumeName, claim's phase. Only the first
// write of an object names the version it was made from.
#include "controllers/volume.h"

#include "api/kind.h"
#include "base/mem.h"
#include "controllers/meta.h"
#include "data/quantity.h"

struct binder {
    const struct view *view;
    struct arena *arena;
    struct actions *out;
    const struct val *claim;
};

static void set_phase(struct actions *out, enum kind_id id, const struct val *obj,
                      const char *phase)
{
    if (str_eq(val_text_at(obj, "status.phase"), str_of(phase))) {
        return;
    }
    struct val body = val_map();
    val_set_path(out->arena, &body, "status.phase", val_str(str_of(phase)));
    struct action *action =
        actions_add(out, ACTION_PATCH_STATUS, kind_of(id), meta_ns(obj), meta_name(obj));
    action->body = arena_val(out->arena, body);
    action->uid = meta_uid(obj);
}

static struct action *patch(struct actions *out, enum kind_id id, const struct val *obj,
                            struct val body)
{
    struct action *action =
        actions_add(out, ACTION_PATCH, kind_of(id), meta_ns(obj), meta_name(obj));
    action->body = arena_val(out->arena, body);
    action->uid = meta_uid(obj);
    action->rev = meta_rev(obj);
    return action;
}

static void claim_event(struct binder *b, const char *type, const char *reason, struct str text)
{
    actions_event(b->out, kind_of(KIND_PVC), b->claim, str_of(type), str_of(reason), text);
}

/* --- binding --- */

static void bind_volume(struct binder *b, const struct val *volume)
{
    if (!volume_is_for(volume, b->claim, /* is_exact= */ true)) {
        struct val ref = val_map();
        val_set(b->arena, &ref, S("apiVersion"), val_str(S("v1")));
        val_set(b->arena, &ref, S("kind"), val_str(S("PersistentVolumeClaim")));
        val_set(b->arena, &ref, S("namespace"), val_str(meta_ns(b->claim)));
        val_set(b->arena, &ref, S("name"), val_str(meta_name(b->claim)));
        val_set(b->arena, &ref, S("uid"), val_str(meta_uid(b->claim)));
        val_set(b->arena, &ref, S("resourceVersion"),
                val_str(val_text_at(b->claim, "metadata.resourceVersion")));
        struct val body = val_map();
        val_set_path(b->arena, &body, "spec.claimRef", ref);
        if (val_path(volume, "spec.claimRef") == NULL) {
            struct val annotations = val_map();
            val_set(b->arena, &annotations, ANN_BOUND_BY, val_str(S("yes")));
            val_set_path(b->arena, &body, "metadata.annotations", annotations);
        }
        patch(b->out, KIND_PV, volume, body);
    }
    set_phase(b->out, KIND_PV, volume, "Bound");
}

static void bind_claim(struct binder *b, const struct val *volume)
{
    struct str name = meta_name(volume);
    bool is_named = str_eq(val_text_at(b->claim, "spec.volumeName"), name);
    if (!is_named || !meta_has_annotation(b->claim, ANN_BIND_COMPLETED)) {
        struct val annotations = val_map();
        val_set(b->arena, &annotations, ANN_BIND_COMPLETED, val_str(S("yes")));
        struct val body = val_map();
        if (!is_named) {
            val_set(b->arena, &annotations, ANN_BOUND_BY, val_str(S("yes")));
            val_set_path(b->arena, &body, "spec.volumeName", val_str(name));
        }
        val_set_path(b->arena, &body, "metadata.annotations", annotations);
        patch(b->out, KIND_PVC, b->claim, body);
    }
    const struct val *old = val_get(b->claim, S("status"));
    const struct val *capacity = val_path(volume, "spec.capacity");
    const struct val *modes = val_path(volume, "spec.accessModes");
    if (str_eq(val_text(val_get(old, S("phase"))), S("Bound")) &&
        val_get(old, S("capacity")) != NULL) {
        return;
    }
    struct val body = val_map();
    val_set_path(b->arena, &body, "status.phase", val_str(S("Bound")));
    val_set_path(b->arena, &body, "status.accessModes", modes == NULL ? val_null() : *modes);
    val_set_path(b->arena, &body, "status.capacity", capacity == NULL ? val_null() : *capacity);
    struct action *action = actions_add(b->out, ACTION_PATCH_STATUS, kind_of(KIND_PVC),
                                        meta_ns(b->claim), meta_name(b->claim));
    action->body = arena_val(b->arena, body);
    action->uid = meta_uid(b->claim);
}

static void bind(struct binder *b, const struct val *volume)
{
    bind_volume(b, volume);
    bind_claim(b, volume);
}

/* --- a claim without a volume --- */

/* Who is to make a volume is written on the claim; the provisioner goes by it (9.3). */
static void ask_provisioner(struct binder *b, const struct val *class)
{
    struct str provisioner = val_text(val_get(class, S("provisioner")));
    if (str_eq(provisioner, S("kubernetes.io/no-provisioner"))) {
        claim_event(b, "Normal", "FailedBinding",
                    S("no persistent volumes available for this claim and no storage class is "
                      "set"));
        return;
    }
    if (!str_eq(meta_annotation(b->claim, ANN_PROVISIONER), provisioner)) {
        struct val annotations = val_map();
        val_set(b->arena, &annotations, ANN_PROVISIONER, val_str(provisioner));
        val_set(b->arena, &annotations, ANN_PROVISIONER_BETA, val_str(provisioner));
        struct val body = val_map();
        val_set_path(b->arena, &body, "metadata.annotations", annotations);
        patch(b->out, KIND_PVC, b->claim, body);
        claim_event(b, "Normal", "ExternalProvisioning",
                    arena_fmt(b->arena,
                              "Waiting for a volume to be created either by the external "
                              "provisioner '" STR_FMT
                              "' or manually by the system administrator. If volume creation is "
                              "delayed, please verify that the provisioner is running and "
                              "correctly registered.",
                              STR_ARG(provisioner)));
    }
}

struct default_class {
    const struct val *best;
};

/* The newest default class, the first by name among equals (9.1). */
static bool find_default(void *ctx, const struct val *class)
{
    struct default_class *found = ctx;
    bool is_default =
        str_eq(meta_annotation(class, S("storageclass.kubernetes.io/is-default-class")),
               S("true")) ||
        str_eq(meta_annotation(class, S("storageclass.beta.kubernetes.io/is-default-class")),
               S("true"));
    if (is_default && (found->best == NULL || meta_created(class) > meta_created(found->best))) {
        found->best = class;
    }
    return true;
}

/* A claim from before there was a default class gets it once there is one. */
static bool assign_default(struct binder *b)
{
    if (val_path(b->claim, "spec.storageClassName") != NULL ||
        meta_has_annotation(b->claim, ANN_CLASS_BETA)) {
        return false;
    }
    struct default_class found = {NULL};
    b->view->list(b->view->ctx, KIND_STORAGE_CLASS, S(""), find_default, &found);
    if (found.best == NULL) {
        return false;
    }
    struct val body = val_map();
    val_set_path(b->arena, &body, "spec.storageClassName", val_str(meta_name(found.best)));
    patch(b->out, KIND_PVC, b->claim, body);
    return true;
}

static void decide_unbound(struct binder *b)
{
    const struct val *class = claim_class_obj(b->view, b->claim);
    bool is_waiting = class_is_waiting(class) && !meta_has_annotation(b->claim, ANN_SELECTED_NODE);
    const struct val *volume = volume_find(b->view, b->arena, b->claim, is_waiting);
    if (volume != NULL) {
        bind(b, volume);
        return;
    }
    set_phase(b->out, KIND_PVC, b->claim, "Pending");
    struct str name = claim_class(b->claim);
    if (is_waiting) {
        claim_event(b, "Normal", "WaitForFirstConsumer",
                    S("waiting for first consumer to be created before binding"));
    } else if (class != NULL) {
        ask_provisioner(b, class);
    } else if (name.n > 0) {
        claim_event(b, "Warning", "ProvisioningFailed",
                    arena_fmt(b->arena, "storageclass.storage.k8s.io \"" STR_FMT "\" not found",
                              STR_ARG(name)));
    } else if (!assign_default(b)) {
        claim_event(b, "Normal", "FailedBinding",
                    S("no persistent volumes available for this claim and no storage class is "
                      "set"));
    }
}

/* The claim names its volume: by hand, or from a binding that was cut short. */
static void decide_named(struct binder *b, struct str name)
{
    const struct val *volume = b->view->get(b->view->ctx, KIND_PV, S(""), name);
    if (volume == NULL) {
        set_phase(b->out, KIND_PVC, b->claim, "Pending");
        return;
    }
    if (volume_is_for(volume, b->claim, /* is_exact= */ false)) {
        bind(b, volume);
        return;
    }
    set_phase(b->out, KIND_PVC, b->claim, "Pending");
    if (val_path(volume, "spec.claimRef") != NULL) {
        claim_event(b, "Warning", "FailedBinding",
                    arena_fmt(b->arena,
                              "volume \"" STR_FMT "\" already bound to a different claim.",
                              STR_ARG(name)));
        return;
    }
    struct str why = volume_misfit(volume, b->claim);
    if (why.n > 0) {
        claim_event(b, "Warning", "VolumeMismatch",
                    arena_fmt(b->arena, "Cannot bind to requested volume \"" STR_FMT "\": " STR_FMT,
                              STR_ARG(name), STR_ARG(why)));
        return;
    }
    bind(b, volume);
}

/* --- a bound claim --- */

static void lose(struct binder *b, const char *reason, struct str text)
{
    if (!str_eq(val_text_at(b->claim, "status.phase"), S("Lost"))) {
        set_phase(b->out, KIND_PVC, b->claim, "Lost");
        claim_event(b, "Warning", reason, text);
    }
}

/* A directory has no size of its own: growing is a matter of bookkeeping (9.7). */
static void expand(struct binder *b, const struct val *volume)
{
    const struct val *wanted = val_path(b->claim, "spec.resources.requests.storage");
    struct quantity want;
    struct quantity have;
    struct err err;
    if (!str_eq(meta_annotation(volume, ANN_PROVISIONED_BY), DIRECTORY_PROVISIONER) ||
        quantity_parse(val_text(wanted), &want, &err) < 0 ||
        quantity_parse(val_text_at(b->claim, "status.capacity.storage"), &have, &err) < 0 ||
        quantity_cmp(want, have) <= 0) {
        return;
    }
    struct val body = val_map();
    val_set_path(b->arena, &body, "spec.capacity.storage", *wanted);
    patch(b->out, KIND_PV, volume, body);
    body = val_map();
    val_set_path(b->arena, &body, "status.capacity.storage", *wanted);
    struct action *action = actions_add(b->out, ACTION_PATCH_STATUS, kind_of(KIND_PVC),
                                        meta_ns(b->claim), meta_name(b->claim));
    action->body = arena_val(b->arena, body);
    action->uid = meta_uid(b->claim);
    claim_event(b, "Normal", "VolumeResizeSuccessful", S("Resize volume succeeded"));
}

static void decide_bound(struct binder *b, struct str name)
{
    const struct val *volume =
        name.n == 0 ? NULL : b->view->get(b->view->ctx, KIND_PV, S(""), name);
    if (name.n == 0) {
        lose(b, "ClaimLost",
             S("Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"));
    } else if (volume == NULL) {
        lose(b, "ClaimLost",
             S("Bound claim has lost its PersistentVolume. Data on the volume is lost!"));
    } else if (val_path(volume, "spec.claimRef") != NULL &&
               !volume_is_for(volume, b->claim, /* is_exact= */ false)) {
        lose(b, "ClaimMisbound",
             S("Two claims are bound to the same volume, this one is bound incorrectly"));
    } else {
        bind(b, volume);
        if (claim_is_bound(b->claim)) {
            expand(b, volume);
        }
    }
}

/* --- a volume --- */

/* The directory's removal is the node's: it answers to the finalizer (provisioner.c). */
static void reclaim(struct actions *out, const struct val *volume)
{
    set_phase(out, KIND_PV, volume,
              str_eq(val_text_at(volume, "status.phase"), S("Failed")) ? "Failed" : "Released");
    if (!str_eq(val_text_at(volume, "spec.persistentVolumeReclaimPolicy"), S("Delete"))) {
        return;
    }
    struct str provisioner = meta_annotation(volume, ANN_PROVISIONED_BY);
    if (str_eq(provisioner, DIRECTORY_PROVISIONER)) {
        actions_delete(out, kind_of(KIND_PV), volume);
    } else if (provisioner.n == 0 && !str_eq(val_text_at(volume, "status.phase"), S("Failed"))) {
        set_phase(out, KIND_PV, volume, "Failed");
        actions_event(out, kind_of(KIND_PV), volume, S("Warning"), S("VolumeFailedDelete"),
                      arena_fmt(out->arena,
                                "error getting deleter volume plugin for volume \"" STR_FMT
                                "\": no deletable volume plugin matched",
                                STR_ARG(meta_name(volume))));
    }
}

static void decide_volume(const struct view *view, const struct val *volume, struct actions *out)
{
    const struct val *ref = val_path(volume, "spec.claimRef");
    struct str uid = val_text(val_get(ref, S("uid")));
    if (meta_is_deleting(volume)) {
        if (ref == NULL) {
            return;
        }
    } else if (uid.n == 0) {
        set_phase(out, KIND_PV, volume, "Available");
        return;
    }
    const struct val *claim = view->get(view->ctx, KIND_PVC, val_text(val_get(ref, S("namespace"))),
                                        val_text(val_get(ref, S("name"))));
    bool is_gone = claim == NULL || !str_eq(meta_uid(claim), uid);
    if (is_gone && meta_is_deleting(volume)) {
        set_phase(out, KIND_PV, volume, "Released");
    } else if (is_gone) {
        reclaim(out, volume);
    } else if (str_eq(val_text_at(claim, "spec.volumeName"), meta_name(volume))) {
        set_phase(out, KIND_PV, volume, "Bound");
    }
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    if (ns.n == 0) {
        const struct val *volume = view->get(view->ctx, KIND_PV, S(""), name);
        if (volume != NULL) {
            decide_volume(view, volume, out);
        }
        return;
    }
    struct binder b = {.view = view,
                       .arena = env->arena,
                       .out = out,
                       .claim = view->get(view->ctx, KIND_PVC, ns, name)};
    if (b.claim == NULL) {
        return;
    }
    struct str volume = val_text_at(b.claim, "spec.volumeName");
    if (meta_has_annotation(b.claim, ANN_BIND_COMPLETED)) {
        decide_bound(&b, volume);
    } else if (meta_is_deleting(b.claim)) {
        return;
    } else if (volume.n > 0) {
        decide_named(&b, volume);
    } else {
        decide_unbound(&b);
    }
}

struct add_ctx {
    void (*add)(void *ctx, struct str ns, struct str name);
    void *ctx;
};

static bool add_unbound(void *ctx, const struct val *claim)
{
    const struct add_ctx *to = ctx;
    if (!meta_has_annotation(claim, ANN_BIND_COMPLETED)) {
        to->add(to->ctx, meta_ns(claim), meta_name(claim));
    }
    return true;
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    struct add_ctx to = {add, ctx};
    if (kind == kind_of(KIND_PVC)) {
        struct str volume = val_text_at(obj, "spec.volumeName");
        struct str made = meta_uid(obj);
        add(ctx, meta_ns(obj), meta_name(obj));
        if (volume.n > 0) {
            add(ctx, S(""), volume);
        } else if (made.n > 0 &&
                   view->get(view->ctx, KIND_PVC, meta_ns(obj), meta_name(obj)) == NULL) {
            /* A claim that ended while its volume was being made. */
            auto_free char *name = xasprintf("pvc-" STR_FMT, STR_ARG(made));
            add(ctx, S(""), str_of(name));
        }
        return;
    }
    if (kind == kind_of(KIND_PV)) {
        const struct val *ref = val_path(obj, "spec.claimRef");
        const struct val *old_ref = val_path(before, "spec.claimRef");
        add(ctx, S(""), meta_name(obj));
        const struct val *refs[] = {ref, old_ref};
        for (size_t i = 0; i < 2; i++) {
            if (refs[i] != NULL) {
                add(ctx, val_text(val_get(refs[i], S("namespace"))),
                    val_text(val_get(refs[i], S("name"))));
            }
        }
        if (ref != NULL) {
            return;
        }
    }
    view->list(view->ctx, KIND_PVC, S(""), add_unbound, &to);
}

static const enum kind_id kinds_watched[] = {KIND_PVC, KIND_PV, KIND_STORAGE_CLASS};

const struct controller controller_volume = {
    .name = {"volume",                      6 },
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"persistentvolume-controller", 27},
};
