// SPDX-License-Identifier: Apache-2.0
//
// The StatefulSet controller (spec/statefulset.md 2): the set as a decision sees it, the order of
// its steps, and which keys a change concerns. Update stage: variant C of 2.8 with a budget of 1.
// The status is written before pods are touched: its counters describe what is stored, so they are
// true even when a later write is refused (#108837).
//
// Beyond upstream (docs/statefulsets.md): what stands in api/set_options.h and set_templates.h, and
// an OrderedReady set replaces a pod of an old revision that can't become ready (the trap of 6.5).
#include "controllers/statefulset.h"

#include "controllers/meta.h"

static int64_t percent_of(struct str text, int64_t total)
{
    int64_t percent = 0;
    if (text.n < 2 || text.p[text.n - 1] != '%' ||
        str_to_i64(str_sub(text, 0, text.n - 1), &percent) < 0) {
        return 0;
    }
    return percent * total / 100;
}

static void parse_strategy(struct sts *sts)
{
    const struct val *strategy = val_get(sts->spec, S("updateStrategy"));
    const struct val *rolling = val_get(strategy, S("rollingUpdate"));
    sts->is_on_delete = str_eq(val_text(val_get(strategy, S("type"))), S("OnDelete"));
    sts->has_rolling = rolling != NULL;
    sts->partition = val_number(val_get(rolling, S("partition")), 0);
    const struct val *max = val_get(rolling, S("maxUnavailable"));
    sts->max_unavailable =
        val_is(max, VAL_STR) ? percent_of(val_text(max), sts->replicas) : val_number(max, 1);
    if (sts->max_unavailable < 1) {
        sts->max_unavailable = 1;
    }
    const struct val *retention = val_get(sts->spec, S("persistentVolumeClaimRetentionPolicy"));
    sts->is_deleting_claims = str_eq(val_text(val_get(retention, S("whenDeleted"))), S("Delete"));
    sts->is_scaling_claims = str_eq(val_text(val_get(retention, S("whenScaled"))), S("Delete"));
}

static bool parse_set(struct sts *sts, const struct val *obj)
{
    sts->obj = obj;
    sts->spec = val_get(obj, S("spec"));
    sts->templates = val_get(sts->spec, S("volumeClaimTemplates"));
    sts->ns = meta_ns(obj);
    sts->name = meta_name(obj);
    sts->uid = meta_uid(obj);
    sts->replicas = val_number(val_get(sts->spec, S("replicas")), 1);
    sts->start = val_number_at(sts->spec, "ordinals.start", 0);
    sts->min_ready = val_number(val_get(sts->spec, S("minReadySeconds")), 0) * USEC_PER_SEC;
    sts->is_monotonic =
        !str_eq(val_text(val_get(sts->spec, S("podManagementPolicy"))), S("Parallel"));
    sts->is_deleting = meta_is_deleting(obj);
    set_options_read(val_path(obj, "metadata.annotations"), &sts->options);
    sts->collision_count = val_number_at(obj, "status.collisionCount", 0);
    parse_strategy(sts);
    sts->end = set_options_ordinal(&sts->options, sts->start, sts->replicas);
    sts->end = sts->end > SET_ORDINALS_MAX ? SET_ORDINALS_MAX : sts->end;
    sts->update_from = set_options_ordinal(&sts->options, sts->start, sts->partition);
    struct err err;
    return selector_of_val(sts->arena, val_get(sts->spec, S("selector")), &sts->selector, &err) ==
               0 &&
           !selector_is_everything(sts->selector);
}

void sts_event(struct sts *sts, struct actions *out, const char *type, const char *reason,
               struct str message)
{
    actions_event(out, sts->kind, sts->obj, str_of(type), str_of(reason), message);
}

const struct val *sts_failure(struct sts *sts, const char *reason, struct str message)
{
    return event_body(sts->arena, sts->kind, sts->obj, S("Warning"), str_of(reason), message);
}

/* The moment at which the next ready pod becomes available (2.1). Strictly later than the limit,
 * because clients compare strictly. */
static void requeue_for_availability(struct sts *sts)
{
    for (size_t i = 0; i < sts->pods_count; i++) {
        if (sts->pods[i].available_at > 0) {
            actions_requeue(sts->out, sts->pods[i].available_at - sts->env->now_wall + USEC_PER_MS);
        }
    }
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    const struct val *obj = view->get(view->ctx, KIND_STATEFUL_SET, ns, name);
    struct sts sts = {.view = view,
                      .env = env,
                      .arena = env->arena,
                      .out = out,
                      .kind = kind_of(KIND_STATEFUL_SET),
                      .pod_kind = kind_of(KIND_POD),
                      .claim_kind = kind_of(KIND_PVC)};
    if (obj == NULL || !parse_set(&sts, obj)) {
        return;
    }
    sts_claim_pods(&sts);
    sts_choose_revisions(&sts);
    struct actions stages;
    actions_init(&stages, env->arena);
    if (!sts.is_deleting) {
        sts_run_stages(&sts, &stages);
    }
    sts_write_status(&sts);
    for (size_t i = 0; i < stages.count; i++) {
        struct action *action = actions_add(out, stages.list[i].type, stages.list[i].kind,
                                            stages.list[i].ns, stages.list[i].name);
        *action = stages.list[i];
    }
    if (!sts.is_deleting && !sts.is_releasing) {
        sts_truncate_history(&sts);
    }
    if (sts.min_ready > 0) {
        requeue_for_availability(&sts);
    }
}

static void add_owner(const struct val *obj, struct str ns,
                      void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    const struct val *ref = meta_controller(obj);
    if (str_eq(val_text(val_get(ref, S("kind"))), S("StatefulSet"))) {
        add(ctx, ns, val_text(val_get(ref, S("name"))));
    }
}

struct claim_search {
    struct str claim;
    struct str ns;
    void (*add)(void *ctx, struct str ns, struct str name);
    void *ctx;
};

/* Is the claim "<template>-<set>-<digits>" of this set? Such a set looks again: a missing claim
 * may be made, a deleted one no longer stands in the way. */
static bool search_claim(void *ctx, const struct val *set)
{
    const struct claim_search *search = ctx;
    const struct val *templates = val_path(set, "spec.volumeClaimTemplates");
    for (size_t i = 0; i < val_count(templates); i++) {
        struct str rest = search->claim;
        struct str template = meta_name(val_at(templates, i));
        if (str_starts(rest, template) && rest.n > template.n && rest.p[template.n] == '-' &&
            sts_ordinal(meta_name(set), str_sub(rest, template.n + 1, rest.n)) >= 0) {
            search->add(search->ctx, search->ns, meta_name(set));
            return true;
        }
    }
    return true;
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    struct str ns = meta_ns(obj);
    struct str name = meta_name(obj);
    if (kind == kind_of(KIND_STATEFUL_SET)) {
        add(ctx, ns, name);
        return;
    }
    if (kind == kind_of(KIND_PVC)) {
        struct claim_search search = {name, ns, add, ctx};
        view->list(view->ctx, KIND_STATEFUL_SET, ns, search_claim, &search);
        return;
    }
    add_owner(obj, ns, add, ctx);
    add_owner(before, ns, add, ctx);
    /* Membership goes by name, so the name also finds who could adopt this pod, or who waits for
     * its name to be free again. */
    ptrdiff_t dash = str_rfind(name, '-');
    if (kind == kind_of(KIND_POD) && dash > 0 && meta_controller(obj) == NULL) {
        struct str parent = str_sub(name, 0, (size_t)dash);
        if (view->get(view->ctx, KIND_STATEFUL_SET, ns, parent) != NULL) {
            add(ctx, ns, parent);
        }
    }
}

static const enum kind_id kinds_watched[] = {KIND_STATEFUL_SET, KIND_POD, KIND_PVC,
                                             KIND_CONTROLLER_REVISION};

const struct controller controller_statefulset = {
    .name = {"statefulset",            11},
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"statefulset-controller", 22},
};
