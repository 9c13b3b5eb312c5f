// SPDX-License-Identifier: Apache-2.0
//
// Pods that nobody will end (spec/node.md 11.9): bound to a node that is gone, terminating without
// a node, or finished and too many. One key for all; looked at every 20 seconds from the first
// node on, never for each new pod: that would be quadratic.
#include "controllers/meta.h"

#include <stdlib.h>

enum { TERMINAL_PODS_MAX = 12500 };
#define PERIOD         ((usec)20 * USEC_PER_SEC)
#define NODE_GRACE     ((usec)40 * USEC_PER_SEC)
#define OUT_OF_SERVICE S("node.kubernetes.io/out-of-service")

static void force_delete(struct actions *out, const struct val *pod)
{
    struct action *action = actions_delete(out, kind_of(KIND_POD), pod);
    action->grace_seconds = 0;
    action->is_optional = true;
}

/* Phase Failed and the condition that says why, then the end. */
static void fail_and_delete(struct actions *out, const struct val *pod, usec now_wall)
{
    struct arena *arena = out->arena;
    if (!pod_is_terminal(pod)) {
        struct val condition = val_map();
        val_set(arena, &condition, S("type"), val_str(S("DisruptionTarget")));
        val_set(arena, &condition, S("status"), val_str(S("True")));
        val_set(arena, &condition, S("reason"), val_str(S("DeletionByPodGC")));
        val_set(arena, &condition, S("message"), val_str(S("PodGC: node no longer exists")));
        val_set(arena, &condition, S("lastTransitionTime"), time_val(arena, now_wall));
        struct val list = val_list();
        const struct val *old = val_path(pod, "status.conditions");
        for (size_t i = 0; i < val_count(old); i++) {
            if (val_at(old, i) != meta_condition(pod, S("DisruptionTarget"))) {
                val_push(arena, &list, *val_at(old, i));
            }
        }
        val_push(arena, &list, condition);
        struct val body = val_map();
        val_set_path(arena, &body, "status.phase", val_str(S("Failed")));
        val_set_path(arena, &body, "status.conditions", list);
        struct action *action =
            actions_add(out, ACTION_PATCH_STATUS, kind_of(KIND_POD), meta_ns(pod), meta_name(pod));
        action->body = arena_val(arena, body);
        action->uid = meta_uid(pod);
        action->rev = meta_rev(pod);
        action->is_optional = true;
    }
    force_delete(out, pod);
}

static bool is_out_of_service(const struct val *node)
{
    const struct val *taints = val_path(node, "spec.taints");
    for (size_t i = 0; i < val_count(taints); i++) {
        if (str_eq(val_text(val_get(val_at(taints, i), S("key"))), OUT_OF_SERVICE)) {
            return true;
        }
    }
    return false;
}

static int by_age(const void *a, const void *b)
{
    const struct val *x = *(const struct val *const *)a;
    const struct val *y = *(const struct val *const *)b;
    int order = str_cmp(val_text_at(x, "metadata.creationTimestamp"),
                        val_text_at(y, "metadata.creationTimestamp"));
    return order != 0 ? order : str_cmp(meta_uid(x), meta_uid(y));
}

static void trim_terminal(struct objs *terminal, struct actions *out)
{
    if (terminal->count <= TERMINAL_PODS_MAX) {
        return;
    }
    qsort(terminal->list, terminal->count, sizeof(const struct val *), by_age);
    for (size_t i = 0; i < terminal->count - TERMINAL_PODS_MAX; i++) {
        force_delete(out, terminal->list[i]);
    }
}

/* A pod's node is missing. Whether it has been so for long is told by nothing that is stored, so
 * the youngest thing that is known counts: the pod's own beginning. */
static bool is_abandoned(const struct val *pod, usec now_wall)
{
    return meta_created(pod) + NODE_GRACE < now_wall;
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    (void)ns;
    (void)name;
    struct objs pods = view_objs(view, env->arena, KIND_POD, S(""));
    struct objs terminal = {.arena = env->arena};
    for (size_t i = 0; i < pods.count; i++) {
        const struct val *pod = pods.list[i];
        struct str node_name = val_text_at(pod, "spec.nodeName");
        const struct val *node =
            node_name.n == 0 ? NULL : view->get(view->ctx, KIND_NODE, S(""), node_name);
        if (node_name.n == 0) {
            if (meta_is_deleting(pod)) {
                force_delete(out, pod);
            }
        } else if (node == NULL) {
            if (is_abandoned(pod, env->now_wall)) {
                fail_and_delete(out, pod, env->now_wall);
            }
        } else if (meta_is_deleting(pod) && is_out_of_service(node)) {
            fail_and_delete(out, pod, env->now_wall);
        } else if (pod_is_terminal(pod) && !meta_is_deleting(pod)) {
            objs_each(&terminal, pod);
        }
    }
    trim_terminal(&terminal, out);
    actions_requeue(out, PERIOD);
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    (void)view;
    bool is_stray = kind == kind_of(KIND_POD) && val_text_at(obj, "spec.nodeName").n == 0 &&
                    meta_is_deleting(obj);
    if (is_stray || (before == NULL && kind == kind_of(KIND_NODE))) {
        add(ctx, S(""), S("pods"));
    }
}

static const enum kind_id kinds_watched[] = {KIND_POD, KIND_NODE};

const struct controller controller_podgc = {
    .name = {"podgc",                 5 },
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"pod-garbage-collector", 21},
};
