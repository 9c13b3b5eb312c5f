// SPDX-License-Identifier: Apache-2.0
//
// The provisioner "coracle.io/directory" (spec/node.md 9.3): a claim of one of its classes gets a
// volume that is a directory, "<class parameter path>/<namespace>/<claim>". Keys are claims.
//
// For the node: it makes the directory when it first mounts the volume (hostPath, type
// DirectoryOrCreate). A volume carries the finalizer coracle.io/directory. When a volume of this
// provisioner has a deletionTimestamp and no other finalizer, the node removes the directory
// spec.hostPath.path if spec.persistentVolumeReclaimPolicy is Delete, and then the finalizer; with
// any other policy it removes just the finalizer.
#include "controllers/meta.h"
#include "controllers/volume.h"

static struct val build_source(struct arena *arena, const struct val *class,
                               const struct val *claim)
{
    struct str base = val_text_at(class, "parameters.path");
    while (base.n > 1 && base.p[base.n - 1] == '/') {
        base = str_sub(base, 0, base.n - 1);
    }
    struct val source = val_map();
    val_set(arena, &source, S("path"),
            val_str(arena_fmt(arena, STR_FMT "/" STR_FMT "/" STR_FMT, STR_ARG(base),
                              STR_ARG(meta_ns(claim)), STR_ARG(meta_name(claim)))));
    val_set(arena, &source, S("type"), val_str(S("DirectoryOrCreate")));
    return source;
}

static struct val build_claim_ref(struct arena *arena, const struct val *claim)
{
    struct val ref = val_map();
    val_set(arena, &ref, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &ref, S("kind"), val_str(S("PersistentVolumeClaim")));
    val_set(arena, &ref, S("namespace"), val_str(meta_ns(claim)));
    val_set(arena, &ref, S("name"), val_str(meta_name(claim)));
    val_set(arena, &ref, S("uid"), val_str(meta_uid(claim)));
    val_set(arena, &ref, S("resourceVersion"),
            val_str(val_text_at(claim, "metadata.resourceVersion")));
    return ref;
}

static void copy_field(struct arena *arena, struct val *to, const char *to_path,
                       const struct val *from)
{
    if (from != NULL) {
        val_set_path(arena, to, to_path, *from);
    }
}

static struct val build_volume(struct arena *arena, const struct val *class,
                               const struct val *claim, struct str name)
{
    struct val volume = val_map();
    val_set(arena, &volume, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &volume, S("kind"), val_str(S("PersistentVolume")));
    val_set_path(arena, &volume, "metadata.name", val_str(name));
    struct val annotations = val_map();
    val_set(arena, &annotations, ANN_PROVISIONED_BY, val_str(DIRECTORY_PROVISIONER));
    val_set_path(arena, &volume, "metadata.annotations", annotations);
    struct val finalizers = val_list();
    val_push(arena, &finalizers, val_str(S("kubernetes.io/pv-protection")));
    val_push(arena, &finalizers, val_str(DIRECTORY_FINALIZER));
    val_set_path(arena, &volume, "metadata.finalizers", finalizers);
    struct val spec = val_map();
    val_set(arena, &spec, S("hostPath"), build_source(arena, class, claim));
    val_set(arena, &spec, S("claimRef"), build_claim_ref(arena, claim));
    val_set(arena, &spec, S("storageClassName"), val_str(claim_class(claim)));
    struct str policy = val_text(val_get(class, S("reclaimPolicy")));
    val_set(arena, &spec, S("persistentVolumeReclaimPolicy"),
            val_str(policy.n == 0 ? S("Delete") : policy));
    copy_field(arena, &spec, "capacity.storage",
               val_path(claim, "spec.resources.requests.storage"));
    copy_field(arena, &spec, "accessModes", val_path(claim, "spec.accessModes"));
    copy_field(arena, &spec, "volumeMode", val_path(claim, "spec.volumeMode"));
    copy_field(arena, &spec, "mountOptions", val_get(class, S("mountOptions")));
    val_set(arena, &volume, S("spec"), spec);
    return volume;
}

/* Why this provisioner can't serve the claim, or empty. */
static struct str refusal(const struct val *class, const struct val *claim)
{
    if (val_text_at(class, "parameters.path").n == 0) {
        return S("storage class has no parameter \"path\"");
    }
    if (val_path(claim, "spec.selector") != NULL) {
        return S("claim.Spec.Selector is not supported");
    }
    if (str_eq(val_text_at(claim, "spec.volumeMode"), S("Block"))) {
        return S("volumeMode Block is not supported: a directory is no block device");
    }
    return S("");
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    const struct val *claim = view->get(view->ctx, KIND_PVC, ns, name);
    const struct val *class = claim_class_obj(view, claim);
    if (claim == NULL || meta_is_deleting(claim) || val_text_at(claim, "spec.volumeName").n > 0 ||
        !str_eq(meta_annotation(claim, ANN_PROVISIONER), DIRECTORY_PROVISIONER) ||
        !str_eq(val_text(val_get(class, S("provisioner"))), DIRECTORY_PROVISIONER) ||
        (class_is_waiting(class) && !meta_has_annotation(claim, ANN_SELECTED_NODE))) {
        return;
    }
    struct arena *arena = env->arena;
    const struct kind *claim_kind = kind_of(KIND_PVC);
    struct str volume = arena_fmt(arena, "pvc-" STR_FMT, STR_ARG(meta_uid(claim)));
    if (view->get(view->ctx, KIND_PV, S(""), volume) != NULL) {
        return;
    }
    struct str why = refusal(class, claim);
    if (why.n > 0) {
        actions_event(out, claim_kind, claim, S("Warning"), S("ProvisioningFailed"),
                      arena_fmt(arena,
                                "failed to provision volume with StorageClass \"" STR_FMT
                                "\": " STR_FMT,
                                STR_ARG(claim_class(claim)), STR_ARG(why)));
        return;
    }
    actions_event(out, claim_kind, claim, S("Normal"), S("Provisioning"),
                  arena_fmt(arena,
                            "External provisioner is provisioning volume for claim \"" STR_FMT
                            "/" STR_FMT "\"",
                            STR_ARG(ns), STR_ARG(name)));
    struct action *action = actions_add(out, ACTION_CREATE, kind_of(KIND_PV), S(""), volume);
    action->body = arena_val(arena, build_volume(arena, class, claim, volume));
    action->failure_events[0] = event_body(
        arena, claim_kind, claim, S("Warning"), S("ProvisioningFailed"),
        arena_fmt(arena, "failed to provision volume with StorageClass \"" STR_FMT "\": %%s",
                  STR_ARG(claim_class(claim))));
    actions_event(out, claim_kind, claim, S("Normal"), S("ProvisioningSucceeded"),
                  arena_fmt(arena, "Successfully provisioned volume " STR_FMT, STR_ARG(volume)));
}

struct add_ctx {
    void (*add)(void *ctx, struct str ns, struct str name);
    void *ctx;
};

static bool add_claim(void *ctx, const struct val *claim)
{
    const struct add_ctx *to = ctx;
    if (val_text_at(claim, "spec.volumeName").n == 0) {
        to->add(to->ctx, meta_ns(claim), meta_name(claim));
    }
    return true;
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    (void)before;
    if (kind == kind_of(KIND_PVC)) {
        add(ctx, meta_ns(obj), meta_name(obj));
        return;
    }
    struct add_ctx to = {add, ctx};
    view->list(view->ctx, KIND_PVC, S(""), add_claim, &to);
}

static const enum kind_id kinds_watched[] = {KIND_PVC, KIND_STORAGE_CLASS};

const struct controller controller_provisioner = {
    .name = {"provisioner",          11},
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"coracle.io/directory", 20},
};
