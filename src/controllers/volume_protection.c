// SPDX-License-Identifier: Apache-2.0
//
// Finalizers that keep volumes and claims while they are in use (spec/node.md 9.5): put on when
// absent, taken away once nothing uses the object any more. Keys with a namespace are claims, keys
// without are volumes.
//
// A pod without a node doesn't use its claims. But its binding may be under way, decided before the
// claim's deletion was known, so such a claim is let go only a moment later: a pod must not find
// its data gone while it starts.
#include "controllers/meta.h"

#include "base/timefmt.h"

#define PVC_PROTECTION S("kubernetes.io/pvc-protection")
#define PV_PROTECTION  S("kubernetes.io/pv-protection")

static const usec binding_max = 5 * USEC_PER_SEC; /* a slow disk included */

struct use {
    struct arena *arena;
    struct str claim;
    bool is_used;
    bool is_waited_for; /* by a pod without a node */
};

/* Would this pod be gone but for its finalizers? One that waits, deleted in the foreground, for a
 * claim of its own to go must not keep that claim. */
static bool is_over(const struct val *pod)
{
    return meta_is_deleting(pod) &&
           val_number_at(pod, "metadata.deletionGracePeriodSeconds", -1) == 0;
}

/* Finished pods count until their object is gone; pods without a node don't. */
static bool find_use(void *ctx, const struct val *pod)
{
    struct use *use = ctx;
    bool has_node = val_text_at(pod, "spec.nodeName").n > 0;
    for (size_t i = 0; !is_over(pod) && i < pod_volumes_count(pod); i++) {
        struct str claim;
        if (pod_claim(use->arena, pod, i, &claim) && str_eq(claim, use->claim)) {
            use->is_used = use->is_used || has_node;
            use->is_waited_for = true;
        }
    }
    return !use->is_used;
}

/* How long a binding that was decided before the deletion may still be under way. */
static usec binding_left(const struct val *obj, const struct env *env)
{
    usec deleted = 0;
    if (time_parse(val_text_at(obj, "metadata.deletionTimestamp"), &deleted) < 0 ||
        deleted > env->now_wall) {
        return 0;
    }
    usec since = env->now_wall - deleted;
    return since < binding_max ? binding_max - since : 0;
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    enum kind_id id = ns.n > 0 ? KIND_PVC : KIND_PV;
    struct str finalizer = ns.n > 0 ? PVC_PROTECTION : PV_PROTECTION;
    const struct val *obj = view->get(view->ctx, id, ns, name);
    bool is_protected = has_finalizer(obj, finalizer);
    if (obj == NULL) {
        return;
    }
    if (!meta_is_deleting(obj)) {
        if (!is_protected) {
            actions_add_finalizer(out, kind_of(id), obj, finalizer);
        }
        return;
    }
    if (!is_protected) {
        return;
    }
    struct use use = {.arena = env->arena, .claim = name};
    if (ns.n > 0) {
        view->list(view->ctx, KIND_POD, ns, find_use, &use);
    } else {
        use.is_used = str_eq(val_text_at(obj, "status.phase"), S("Bound"));
    }
    usec left = use.is_waited_for ? binding_left(obj, env) : 0;
    if (!use.is_used && left > 0) {
        actions_requeue(out, left);
    } else if (!use.is_used) {
        actions_drop_finalizer(out, kind_of(id), obj, finalizer);
    }
}

enum { ENQUEUE_ARENA_MAX = 1 << 20 };

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    (void)before;
    if (kind != kind_of(KIND_POD)) {
        add(ctx, meta_ns(obj), meta_name(obj));
        return;
    }
    const struct val *pod = view->get(view->ctx, KIND_POD, meta_ns(obj), meta_name(obj));
    if (pod != NULL && !is_over(pod)) {
        return; /* only a pod's end frees a claim */
    }
    auto_arena struct arena *arena = arena_new(ENQUEUE_ARENA_MAX);
    for (size_t i = 0; i < pod_volumes_count(obj); i++) {
        struct str claim;
        if (pod_claim(arena, obj, i, &claim)) {
            add(ctx, meta_ns(obj), claim);
        }
    }
}

static const enum kind_id kinds_watched[] = {KIND_PVC, KIND_PV, KIND_POD};

const struct controller controller_volume_protection = {
    .name = {"volume-protection",            17},
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"volume-protection-controller", 28},
};
