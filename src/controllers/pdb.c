// SPDX-License-Identifier: Apache-2.0
//
// Status of PodDisruptionBudgets (spec/node.md 11.11): how many pods are healthy, how many must be,
// how many may be evicted. The eviction itself is the API's. Keys are budgets.
#include "api/selector.h"
#include "base/timefmt.h"
#include "controllers/meta.h"

/* An eviction that has not led to a deletion by then is forgotten. */
#define DISRUPTED_TIMEOUT ((usec)120 * USEC_PER_SEC)

struct budget {
    const struct view *view;
    const struct env *env;
    const struct val *obj;
    struct objs pods;
    struct val disrupted; /* pod name -> time: evicted, not yet deleted */
    int64_t healthy, desired, expected;
};

/* Rounded up, as upstream does for both bounds. */
static int64_t scaled(const struct val *bound, int64_t total)
{
    struct str text = val_text(bound);
    int64_t percent = 0;
    if (!val_is(bound, VAL_STR)) {
        return val_number(bound, 0);
    }
    if (text.n < 2 || str_to_i64(str_sub(text, 0, text.n - 1), &percent) < 0) {
        return 0;
    }
    return (percent * total + 99) / 100;
}

/* The sum of the scales of the pods' distinct controllers; a pod without one counts for itself. */
static int64_t count_scale(const struct budget *b)
{
    int64_t total = 0;
    for (size_t i = 0; i < b->pods.count; i++) {
        const struct val *ref = meta_controller(b->pods.list[i]);
        struct str uid = val_text(val_get(ref, S("uid")));
        bool is_first = true;
        for (size_t k = 0; k < i && uid.n > 0 && is_first; k++) {
            is_first = !meta_is_controlled_by(b->pods.list[k], uid);
        }
        if (!is_first) {
            continue;
        }
        const struct val *set = str_eq(val_text(val_get(ref, S("kind"))), S("StatefulSet"))
                                    ? b->view->get(b->view->ctx, KIND_STATEFUL_SET, meta_ns(b->obj),
                                                   val_text(val_get(ref, S("name"))))
                                    : NULL;
        total += set == NULL ? 1 : val_number_at(set, "spec.replicas", 1);
    }
    return total;
}

static void read_pods(struct budget *b)
{
    struct selector *selector = NULL;
    struct err err;
    b->pods.arena = b->env->arena;
    if (selector_of_val(b->env->arena, val_path(b->obj, "spec.selector"), &selector, &err) < 0) {
        return;
    }
    struct objs all = view_objs(b->view, b->env->arena, KIND_POD, meta_ns(b->obj));
    for (size_t i = 0; i < all.count; i++) {
        if (!pod_is_terminal(all.list[i]) && selector_matches(selector, meta_labels(all.list[i]))) {
            objs_each(&b->pods, all.list[i]);
        }
    }
}

static bool is_disrupted(const struct budget *b, const struct val *pod, const struct val **ret)
{
    usec since = 0;
    *ret = val_get(val_path(b->obj, "status.disruptedPods"), meta_name(pod));
    return *ret != NULL && !meta_is_deleting(pod) && time_parse(val_text(*ret), &since) == 0 &&
           since + DISRUPTED_TIMEOUT > b->env->now_wall;
}

static void count(struct budget *b, struct actions *out)
{
    const struct val *min = val_path(b->obj, "spec.minAvailable");
    const struct val *max = val_path(b->obj, "spec.maxUnavailable");
    b->disrupted = val_map();
    for (size_t i = 0; i < b->pods.count; i++) {
        const struct val *pod = b->pods.list[i];
        const struct val *since;
        if (is_disrupted(b, pod, &since)) {
            val_set(out->arena, &b->disrupted, meta_name(pod), *since);
            actions_requeue(out, DISRUPTED_TIMEOUT);
        } else {
            b->healthy += pod_is_ready(pod) && !meta_is_deleting(pod);
        }
    }
    if (max != NULL) {
        b->expected = count_scale(b);
        b->desired = b->expected - scaled(max, b->expected);
    } else {
        b->expected = val_is(min, VAL_STR) ? count_scale(b) : (int64_t)b->pods.count;
        b->desired = min == NULL ? 1 : scaled(min, b->expected);
    }
    b->desired = b->desired < 0 ? 0 : b->desired;
}

static struct val build_conditions(const struct budget *b, bool is_allowed, int64_t generation)
{
    struct arena *arena = b->env->arena;
    const struct val *old = meta_condition(b->obj, S("DisruptionAllowed"));
    struct str status = is_allowed ? S("True") : S("False");
    const struct val *since = val_get(old, S("lastTransitionTime"));
    bool is_same = since != NULL && str_eq(val_text(val_get(old, S("status"))), status);
    struct val condition = val_map();
    val_set(arena, &condition, S("type"), val_str(S("DisruptionAllowed")));
    val_set(arena, &condition, S("status"), val_str(status));
    val_set(arena, &condition, S("reason"),
            val_str(is_allowed ? S("SufficientPods") : S("InsufficientPods")));
    val_set(arena, &condition, S("message"), val_str(S("")));
    val_set(arena, &condition, S("observedGeneration"), val_int(generation));
    val_set(arena, &condition, S("lastTransitionTime"),
            is_same ? *since : time_val(arena, b->env->now_wall));
    struct val list = val_list();
    val_push(arena, &list, condition);
    return list;
}

/* Replaced whole: a merge would keep disrupted pods for ever. */
static void write_status(struct budget *b, struct actions *out)
{
    struct arena *arena = b->env->arena;
    int64_t allowed = b->expected <= 0 || b->healthy < b->desired ? 0 : b->healthy - b->desired;
    int64_t generation = val_number_at(b->obj, "metadata.generation", 0);
    struct val status = val_map();
    val_set(arena, &status, S("currentHealthy"), val_int(b->healthy));
    val_set(arena, &status, S("desiredHealthy"), val_int(b->desired));
    val_set(arena, &status, S("expectedPods"), val_int(b->expected));
    val_set(arena, &status, S("disruptionsAllowed"), val_int(allowed));
    val_set(arena, &status, S("observedGeneration"), val_int(generation));
    val_set(arena, &status, S("conditions"), build_conditions(b, allowed > 0, generation));
    if (val_count(&b->disrupted) > 0) {
        val_set(arena, &status, S("disruptedPods"), b->disrupted);
    }
    const struct val *old = val_get(b->obj, S("status"));
    if (old != NULL && val_eq(old, &status)) {
        return;
    }
    struct val body = val_copy(arena, b->obj);
    val_set(arena, &body, S("status"), status);
    actions_add(out, ACTION_STATUS, kind_of(KIND_PDB), meta_ns(b->obj), meta_name(b->obj))->body =
        arena_val(arena, body);
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    struct budget b = {.view = view, .env = env, .obj = view->get(view->ctx, KIND_PDB, ns, name)};
    if (b.obj == NULL || meta_is_deleting(b.obj)) {
        return;
    }
    read_pods(&b);
    count(&b, out);
    write_status(&b, out);
}

struct add_ctx {
    void (*add)(void *ctx, struct str ns, struct str name);
    void *ctx;
};

static bool add_budget(void *ctx, const struct val *budget)
{
    const struct add_ctx *to = ctx;
    to->add(to->ctx, meta_ns(budget), meta_name(budget));
    return true;
}

/* Budgets are few: any pod's change looks at those of its namespace. */
static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    (void)before;
    if (kind == kind_of(KIND_PDB)) {
        add(ctx, meta_ns(obj), meta_name(obj));
        return;
    }
    struct add_ctx to = {add, ctx};
    view->list(view->ctx, KIND_PDB, meta_ns(obj), add_budget, &to);
}

static const enum kind_id kinds_watched[] = {KIND_PDB, KIND_POD, KIND_STATEFUL_SET};

const struct controller controller_pdb = {
    .name = {"pdb",                   3 },
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"disruption-controller", 21},
};
