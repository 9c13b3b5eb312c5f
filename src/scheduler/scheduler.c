// SPDX-License-Identifier: Apache-2.0
//
// The attempt: what stands against the pod anywhere, then the filters node by node, then the node
// with the most room (spec/node.md 10). No preemption: priorities are not looked at. A pod that
// does not fit is looked at again when a pod, claim or node changes, and at latest after five
// minutes.
#include "scheduler/internal.h"

#include "base/timefmt.h"

#include <stdlib.h>

#define RETRY_MAX ((usec)300 * USEC_PER_SEC)
/* How long a new pod may wait for its claims in silence; creation times have whole seconds. */
#define CLAIM_GRACE (2 * USEC_PER_SEC)

enum { NOTE_BYTES_MAX = 1024 };

/* In upstream's order: the first filter that refuses a node gives its reasons. */
static const struct filter filters[] = {
    {filter_unschedulable,    false},
    {filter_node_name,        false},
    {filter_taints,           false},
    {filter_affinity,         false},
    {filter_ports,            true },
    {filter_resources,        true },
    {filter_exclusive_claims, true },
    {filter_volumes,          false},
    {filter_spread,           true },
    {filter_pod_affinity,     true },
};

void reasons_add(struct reasons *reasons, struct str why)
{
    reasons->list = arena_more(reasons->arena, reasons->list, reasons->count, &reasons->cap,
                               sizeof reasons->list[0]);
    reasons->list[reasons->count++] = why;
}

static void place_pod(struct node *node, const struct val *pod, const struct amounts *requests)
{
    amounts_add(&node->used, requests);
    node->pods_count++;
    objs_each(&node->pods, pod);
}

static void place_pods(struct attempt *attempt, const struct objs *pods)
{
    for (size_t i = 0; i < pods->count; i++) {
        const struct val *pod = pods->list[i];
        struct str where = val_text(val_get(val_get(pod, S("spec")), S("nodeName")));
        if (where.n == 0 || pod_is_terminal(pod)) {
            continue;
        }
        for (size_t n = 0; n < attempt->nodes_count; n++) {
            if (str_eq(attempt->nodes[n].name, where)) {
                struct amounts requests;
                pod_requests(pod, &requests);
                place_pod(&attempt->nodes[n], pod, &requests);
            }
        }
    }
}

static void read_nodes(struct attempt *attempt, const struct objs *pods)
{
    struct objs objs = view_objs(attempt->view, attempt->arena, KIND_NODE, S(""));
    attempt->nodes = arena_alloc(attempt->arena, (objs.count + 1) * sizeof *attempt->nodes);
    attempt->nodes_count = objs.count;
    for (size_t i = 0; i < objs.count; i++) {
        attempt->nodes[i].obj = objs.list[i];
        attempt->nodes[i].name = meta_name(objs.list[i]);
        attempt->nodes[i].labels = meta_labels(objs.list[i]);
        attempt->nodes[i].pods.arena = attempt->arena;
    }
    place_pods(attempt, pods);
}

/* true = the node takes the pod. */
static bool run_filters(const struct attempt *attempt, struct node *node, struct reasons *all)
{
    node->is_resolvable = false;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        size_t before = all->count;
        filters[i].run(attempt, node, all);
        if (all->count > before) {
            node->is_resolvable = filters[i].is_resolvable;
            return false;
        }
    }
    return true;
}

/* Of two nodes that take the pod, the one with fewer pods; the first by name among equals. */
static struct node *choose(struct attempt *attempt, struct reasons *reasons)
{
    struct node *best = NULL;
    for (size_t i = 0; i < attempt->nodes_count; i++) {
        struct node *node = &attempt->nodes[i];
        if (run_filters(attempt, node, reasons) &&
            (best == NULL || node->pods_count < best->pods_count)) {
            best = node;
        }
    }
    return best;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* "1 Insufficient cpu, 2 node(s) were unschedulable" */
static struct str count_reasons(struct arena *arena, struct reasons *reasons)
{
    qsort(reasons->list, reasons->count, sizeof reasons->list[0], by_text);
    struct reasons lines = {.arena = arena};
    for (size_t i = 0, n; i < reasons->count; i += n) {
        for (n = 1; i + n < reasons->count && str_eq(reasons->list[i], reasons->list[i + n]);) {
            n++;
        }
        reasons_add(&lines, arena_fmt(arena, "%zu " STR_FMT, n, STR_ARG(reasons->list[i])));
    }
    if (lines.count == 0) {
        return S("");
    }
    qsort(lines.list, lines.count, sizeof lines.list[0], by_text);
    struct str text = lines.list[0];
    for (size_t i = 1; i < lines.count; i++) {
        text = arena_fmt(arena, STR_FMT ", " STR_FMT, STR_ARG(text), STR_ARG(lines.list[i]));
    }
    return text;
}

static struct str preemption_text(const struct attempt *attempt, bool is_prefilter)
{
    if (str_eq(val_text(val_get(attempt->spec, S("preemptionPolicy"))), S("Never"))) {
        return S("not eligible due to preemptionPolicy=Never.");
    }
    size_t resolvable = 0;
    for (size_t i = 0; i < attempt->nodes_count && !is_prefilter; i++) {
        resolvable += attempt->nodes[i].is_resolvable;
    }
    size_t rest = attempt->nodes_count - resolvable;
    struct str text = arena_fmt(attempt->arena, "0/%zu nodes are available:", attempt->nodes_count);
    if (resolvable > 0) {
        text =
            arena_fmt(attempt->arena, STR_FMT " %zu No preemption victims found for incoming pod%s",
                      STR_ARG(text), resolvable, rest > 0 ? "," : ".");
    }
    if (rest > 0) {
        text = arena_fmt(attempt->arena, STR_FMT " %zu Preemption is not helpful for scheduling.",
                         STR_ARG(text), rest);
    }
    return text;
}

static struct str failure_text(const struct attempt *attempt, struct str prefilter,
                               struct reasons *reasons)
{
    struct arena *arena = attempt->arena;
    if (attempt->nodes_count == 0) {
        return S("no nodes available to schedule pods");
    }
    struct str why = prefilter.n > 0 ? prefilter : count_reasons(arena, reasons);
    return arena_fmt(arena, "0/%zu nodes are available: " STR_FMT ". preemption: " STR_FMT,
                     attempt->nodes_count, STR_ARG(why),
                     STR_ARG(preemption_text(attempt, prefilter.n > 0)));
}

/* Condition PodScheduled=False, written only when it changes. */
static bool set_condition(const struct attempt *attempt, const struct env *env, struct actions *out,
                          struct str reason, struct str message)
{
    struct arena *arena = attempt->arena;
    const struct val *old = meta_condition(attempt->pod, S("PodScheduled"));
    if (str_eq(val_text(val_get(old, S("status"))), S("False")) &&
        str_eq(val_text(val_get(old, S("reason"))), reason) &&
        str_eq(val_text(val_get(old, S("message"))), message)) {
        return false;
    }
    struct val condition = val_map();
    val_set(arena, &condition, S("type"), val_str(S("PodScheduled")));
    val_set(arena, &condition, S("status"), val_str(S("False")));
    val_set(arena, &condition, S("reason"), val_str(reason));
    val_set(arena, &condition, S("message"), val_str(message));
    bool is_turned = !str_eq(val_text(val_get(old, S("status"))), S("False"));
    const struct val *since = val_get(old, S("lastTransitionTime"));
    val_set(arena, &condition, S("lastTransitionTime"),
            is_turned || since == NULL ? time_val(arena, env->now_wall) : *since);
    struct val list = val_list();
    const struct val *conditions = val_path(attempt->pod, "status.conditions");
    for (size_t i = 0; i < val_count(conditions); i++) {
        if (val_at(conditions, i) != old) {
            val_push(arena, &list, *val_at(conditions, i));
        }
    }
    val_push(arena, &list, condition);
    struct val body = val_map();
    val_set_path(arena, &body, "status.conditions", list);
    struct action *action = actions_add(out, ACTION_PATCH_STATUS, kind_of(KIND_POD), attempt->ns,
                                        meta_name(attempt->pod));
    action->body = arena_val(arena, body);
    action->uid = meta_uid(attempt->pod);
    action->rev = meta_rev(attempt->pod);
    action->is_optional = true; /* one pod's trouble is not the next one's */
    return true;
}

static void bind(const struct attempt *attempt, struct str node, struct actions *out)
{
    struct arena *arena = attempt->arena;
    const struct kind *kind = kind_of(KIND_POD);
    struct str name = meta_name(attempt->pod);
    struct val body = val_map();
    val_set(arena, &body, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &body, S("kind"), val_str(S("Binding")));
    val_set_path(arena, &body, "metadata.name", val_str(name));
    val_set_path(arena, &body, "metadata.namespace", val_str(attempt->ns));
    val_set_path(arena, &body, "metadata.uid", val_str(meta_uid(attempt->pod)));
    val_set_path(arena, &body, "target.kind", val_str(S("Node")));
    val_set_path(arena, &body, "target.apiVersion", val_str(S("v1")));
    val_set_path(arena, &body, "target.name", val_str(node));
    struct action *action = actions_add(out, ACTION_BIND, kind, attempt->ns, name);
    action->body = arena_val(arena, body);
    action->uid = meta_uid(attempt->pod);
    action->is_optional = true;
    actions_event(out, kind, attempt->pod, S("Normal"), S("Scheduled"),
                  arena_fmt(arena, "Successfully assigned " STR_FMT "/" STR_FMT " to " STR_FMT,
                            STR_ARG(attempt->ns), STR_ARG(name), STR_ARG(node)));
}

/* A claim whose class waits for its first consumer learns the node (spec/node.md 9.3). */
static bool select_node(const struct attempt *attempt, struct str node, struct actions *out)
{
    bool is_waiting = false;
    for (size_t i = 0; i < pod_volumes_count(attempt->pod); i++) {
        struct str name;
        if (!pod_claim(attempt->arena, attempt->pod, i, &name)) {
            continue;
        }
        const struct val *claim =
            attempt->view->get(attempt->view->ctx, KIND_PVC, attempt->ns, name);
        if (meta_has_annotation(claim, S("pv.kubernetes.io/bind-completed"))) {
            continue;
        }
        is_waiting = true;
        if (meta_has_annotation(claim, S("volume.kubernetes.io/selected-node"))) {
            continue;
        }
        struct val annotations = val_map();
        val_set(attempt->arena, &annotations, S("volume.kubernetes.io/selected-node"),
                val_str(node));
        struct val body = val_map();
        val_set_path(attempt->arena, &body, "metadata.annotations", annotations);
        struct action *action =
            actions_add(out, ACTION_PATCH, kind_of(KIND_PVC), attempt->ns, name);
        action->body = arena_val(attempt->arena, body);
        action->uid = meta_uid(claim);
        action->is_optional = true;
    }
    return is_waiting;
}

static bool is_ours(const struct val *pod)
{
    struct str scheduler = val_text_at(pod, "spec.schedulerName");
    return pod != NULL && val_text_at(pod, "spec.nodeName").n == 0 && !meta_is_deleting(pod) &&
           !pod_is_terminal(pod) && (scheduler.n == 0 || str_eq(scheduler, S("default-scheduler")));
}

/* A claim that was made beside its pod is bound some milliseconds later, and that wakes the
 * scheduler again: no word about it before. */
static bool is_just_made(const struct attempt *attempt, const struct env *env)
{
    usec created;
    return time_parse(val_text_at(attempt->pod, "metadata.creationTimestamp"), &created) == 0 &&
           env->now_wall - created < CLAIM_GRACE;
}

static void schedule(struct attempt *attempt, const struct env *env, struct actions *out)
{
    if (val_count(val_get(attempt->spec, S("schedulingGates"))) > 0) {
        set_condition(attempt, env, out, S("SchedulingGated"),
                      S("Scheduling is blocked due to non-empty scheduling gates"));
        return;
    }
    pod_requests(attempt->pod, &attempt->requests);
    struct reasons reasons = {.arena = env->arena};
    struct str prefilter = prefilter_claims(attempt);
    struct node *node = prefilter.n > 0 ? NULL : choose(attempt, &reasons);
    if (node != NULL) {
        if (!select_node(attempt, node->name, out)) {
            bind(attempt, node->name, out);
            place_pod(node, attempt->pod, &attempt->requests);
        }
        return;
    }
    if (prefilter.n > 0 && is_just_made(attempt, env)) {
        actions_requeue(out, CLAIM_GRACE);
        return;
    }
    struct str text = failure_text(attempt, prefilter, &reasons);
    if (set_condition(attempt, env, out, S("Unschedulable"), text)) {
        struct str note = text;
        if (note.n > NOTE_BYTES_MAX) {
            note = arena_fmt(env->arena, STR_FMT " ...",
                             STR_ARG(str_sub(text, 0, NOTE_BYTES_MAX - 4)));
        }
        actions_event(out, kind_of(KIND_POD), attempt->pod, S("Warning"), S("FailedScheduling"),
                      note);
    }
    actions_requeue(out, RETRY_MAX);
}

/* All waiting pods in one decision, each counted where it was put before the next is looked at: a
 * view shows stored bindings only. */
static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    (void)ns;
    (void)name;
    struct attempt attempt = {.view = view, .arena = env->arena};
    struct objs pods = view_objs(view, env->arena, KIND_POD, S(""));
    for (size_t i = 0; i < pods.count; i++) {
        const struct val *pod = pods.list[i];
        if (!is_ours(pod)) {
            continue;
        }
        if (attempt.pod == NULL) {
            read_nodes(&attempt, &pods);
        }
        attempt.pod = pod;
        attempt.spec = val_get(pod, S("spec"));
        attempt.ns = meta_ns(pod);
        attempt.requests.count = 0;
        schedule(&attempt, env, out);
    }
}

/* A node's heartbeat changes nothing for the scheduler. */
static bool is_same_node(const struct val *a, const struct val *b)
{
    return b != NULL && val_eq(val_get(a, S("spec")), val_get(b, S("spec"))) &&
           val_eq(meta_labels(a), meta_labels(b)) &&
           val_eq(val_path(a, "status.allocatable"), val_path(b, "status.allocatable"));
}

/* Does this pod's change make room, or change what others see of it? */
static bool frees_room(const struct view *view, const struct val *pod, const struct val *before)
{
    if (val_text_at(pod, "spec.nodeName").n == 0) {
        return false;
    }
    return view->get(view->ctx, KIND_POD, meta_ns(pod), meta_name(pod)) == NULL ||
           (pod_is_terminal(pod) && !pod_is_terminal(before)) ||
           (before != NULL && !val_eq(meta_labels(pod), meta_labels(before)));
}

/* One key for the whole queue. */
static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    bool is_concerned = true;
    if (kind == kind_of(KIND_POD)) {
        is_concerned = is_ours(obj) || frees_room(view, obj, before);
    } else if (kind == kind_of(KIND_NODE)) {
        is_concerned = !is_same_node(obj, before);
    }
    if (is_concerned) {
        add(ctx, S(""), S("pods"));
    }
}

static const enum kind_id kinds_watched[] = {KIND_POD, KIND_NODE, KIND_PVC};

const struct controller scheduler_controller = {
    .name = {"scheduler",         9 },
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"default-scheduler", 17},
};
