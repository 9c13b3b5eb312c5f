// SPDX-License-Identifier: Apache-2.0
//
// StatefulSets (spec/statefulset.md 1): defaults, what may change, and upstream's words for
// mistakes. Rules that hold only for new sets or new templates run in admission, where the stored
// set is known: what was once accepted stays editable.
#include "api/defaults.h"
#include "api/rules.h"
#include "api/selector.h"
#include "api/set_options.h"
#include "api/set_templates.h"
#include "api/strategy.h"
#include "api/strategy_pod.h"
#include "base/mem.h"

enum { USEFUL_NAME_LEN = 52 }; /* "<set>-<hash>" has to fit a label value */

static void default_templates(struct arena *arena, struct val *spec)
{
    struct val *templates = val_slot(spec, S("volumeClaimTemplates"));
    for (size_t i = 0; i < val_count(templates); i++) {
        struct val *template = &templates->items[i];
        if (!val_is(template, VAL_MAP)) {
            continue;
        }
        default_text(arena, template, S("apiVersion"), S("v1"));
        default_text(arena, template, S("kind"), S("PersistentVolumeClaim"));
        default_text(arena, val_need_map(arena, template, S("spec")), S("volumeMode"),
                     S("Filesystem"));
        default_text(arena, val_need_map(arena, template, S("status")), S("phase"), S("Pending"));
    }
}

/* In the order of 1.4: an update strategy with a type but no rollingUpdate keeps none. */
static void set_defaults(struct arena *arena, struct val *obj)
{
    struct val *spec = val_need_map(arena, obj, S("spec"));
    default_text(arena, spec, S("podManagementPolicy"), S("OrderedReady"));
    struct val *strategy = val_need_map(arena, spec, S("updateStrategy"));
    if (val_text(val_get(strategy, S("type"))).n == 0) {
        (void)val_set(arena, strategy, S("type"), val_str(S("RollingUpdate")));
        (void)val_need_map(arena, strategy, S("rollingUpdate"));
    }
    struct val *rolling = val_slot(strategy, S("rollingUpdate"));
    if (val_is(rolling, VAL_MAP) &&
        str_eq(val_text(val_get(strategy, S("type"))), S("RollingUpdate"))) {
        default_val(arena, rolling, S("partition"), val_int(0));
        default_val(arena, rolling, S("maxUnavailable"), val_int(1));
    }
    struct val *retention = val_need_map(arena, spec, S("persistentVolumeClaimRetentionPolicy"));
    default_text(arena, retention, S("whenDeleted"), S("Retain"));
    default_text(arena, retention, S("whenScaled"), S("Retain"));
    default_val(arena, spec, S("replicas"), val_int(1));
    default_val(arena, spec, S("revisionHistoryLimit"), val_int(10));
    pod_template_defaults(arena, val_need_map(arena, spec, S("template")));
    default_templates(arena, spec);
}

static void set_prepare(struct arena *arena, struct val *obj, const struct val *old,
                        struct str subresource)
{
    if (old == NULL) {
        struct val status = val_map();
        (void)val_set(arena, &status, S("availableReplicas"), val_int(0));
        (void)val_set(arena, &status, S("replicas"), val_int(0));
        (void)val_set(arena, obj, S("status"), status);
        return;
    }
    struct str kept = str_eq(subresource, S("status")) ? S("spec") : S("status");
    const struct val *before = val_get(old, kept);
    if (before != NULL) {
        (void)val_set(arena, obj, kept, val_copy(arena, before));
    }
}

/* --- admission: rules for what is new --- */

static void warn(struct admission *a, struct str text)
{
    if (a->warn != NULL) {
        a->warn(a->warn_ctx, text);
    }
}

static void check_template(struct admission *a, const struct val *spec)
{
    const struct val *templates = val_get(spec, S("volumeClaimTemplates"));
    const struct val *template = val_get(spec, S("template"));
    const struct val *before = val_path(a->old, "spec.template");
    if (before != NULL && val_eq(template, before)) {
        return;
    }
    size_t count = val_count(templates);
    struct str *names = arena_alloc(a->arena, (count + 1) * sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = val_text_at(val_at(templates, i), "metadata.name");
    }
    pod_template_validate(template, S("spec.template"), names, count, a->causes);
}

static void check_new_set(struct admission *a, const struct val *obj, const struct val *spec)
{
    const struct val *service = val_get(spec, S("serviceName"));
    if (val_text(service).n > 0) {
        check_rule(rule_dns_label(val_text(service), /*is_prefix=*/false), S("spec.serviceName"),
                   service, a->causes);
    }
    const struct val *templates = val_get(spec, S("volumeClaimTemplates"));
    for (size_t i = 0; i < val_count(templates); i++) {
        set_template_validate(val_at(templates, i),
                              arena_fmt(a->arena, "spec.volumeClaimTemplates[%zu]", i), a->causes);
    }
    const struct val *name = val_path(obj, "metadata.name");
    if (val_text(name).n > USEFUL_NAME_LEN) {
        cause_add(a->causes, CAUSE_INVALID, S("metadata.name"), name,
                  S("must be no more than 52 characters: the label controller-revision-hash of the "
                    "pods holds this name, '-' and 10 more, and a label has 63 at most"));
    }
}

static void set_admit(struct admission *a, struct val *obj)
{
    if (a->subresource.n > 0) {
        return;
    }
    const struct val *spec = val_get(obj, S("spec"));
    if (a->old == NULL) {
        check_new_set(a, obj, spec);
    } else {
        set_templates_admit(a, obj);
    }
    if (!val_eq(val_path(obj, "metadata.annotations"), val_path(a->old, "metadata.annotations"))) {
        set_options_check(val_path(obj, "metadata.annotations"), a->causes);
    }
    check_template(a, spec);
    if (val_number(val_get(spec, S("revisionHistoryLimit")), 0) < 0) {
        warn(a, S("spec.revisionHistoryLimit: a negative value retains all historical revisions; a "
                  "value >= 0 is recommended"));
    }
}

/* --- validation --- */

static void check_max_unavailable(const struct val *max, struct causes *causes)
{
    struct str path = S("spec.updateStrategy.rollingUpdate.maxUnavailable");
    struct str text = val_text(max);
    int64_t number = val_number(max, 0);
    if (max == NULL) {
        return;
    }
    if (val_is(max, VAL_STR)) {
        uint64_t percent = 0;
        if (text.n < 2 || text.p[text.n - 1] != '%' ||
            str_to_u64(str_sub(text, 0, text.n - 1), &percent) < 0) {
            cause_add(causes, CAUSE_INVALID, path, max,
                      S("a valid percent string must be a numeric string followed by an ending '%' "
                        "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"));
            return;
        }
        if (percent > 100) {
            cause_add(causes, CAUSE_INVALID, path, max, S("must not be greater than 100%"));
        }
        number = percent > 100 ? 1 : (int64_t)percent;
    }
    if (number == 0) {
        cause_add(causes, CAUSE_INVALID, path, max, S("cannot be 0"));
    } else if (number < 0) {
        check_not_negative(max, path, causes);
    }
}

static void check_strategy(const struct val *spec, struct causes *causes)
{
    const struct val *strategy = val_get(spec, S("updateStrategy"));
    const struct val *rolling = val_get(strategy, S("rollingUpdate"));
    struct str type = val_text(val_get(strategy, S("type")));
    if (str_eq(type, S("OnDelete"))) {
        if (rolling != NULL) {
            cause_add(causes, CAUSE_INVALID, S("spec.updateStrategy.rollingUpdate"), rolling,
                      S("only allowed for updateStrategy 'RollingUpdate'"));
        }
    } else if (str_eq(type, S("RollingUpdate"))) {
        check_not_negative(val_get(rolling, S("partition")),
                           S("spec.updateStrategy.rollingUpdate.partition"), causes);
        check_max_unavailable(val_get(rolling, S("maxUnavailable")), causes);
    } else {
        cause_add(causes, CAUSE_INVALID, S("spec.updateStrategy"), strategy,
                  S("must be 'RollingUpdate' or 'OnDelete'"));
    }
}

static void check_retention(const struct val *spec, struct causes *causes)
{
    static const struct str supported[] = {
        {"Retain", 6},
        {"Delete", 6}
    };
    static const char *const keys[] = {"whenDeleted", "whenScaled"};
    const struct val *retention = val_get(spec, S("persistentVolumeClaimRetentionPolicy"));
    for (size_t i = 0; i < ARRAY_LEN(keys) && retention != NULL; i++) {
        const struct val *policy = val_get(retention, str_of(keys[i]));
        if (!str_eq(val_text(policy), supported[0]) && !str_eq(val_text(policy), supported[1])) {
            cause_add_unsupported(
                causes,
                arena_fmt(causes->arena, "spec.persistentVolumeClaimRetentionPolicy.%s", keys[i]),
                policy, supported, ARRAY_LEN(supported));
        }
    }
}

static void check_selector(const struct val *spec, struct causes *causes)
{
    const struct val *selector = val_get(spec, S("selector"));
    const struct val *labels = val_path(spec, "template.metadata.labels");
    if (selector == NULL) {
        cause_add(causes, CAUSE_REQUIRED, S("spec.selector"), NULL, S(""));
        cause_add(causes, CAUSE_INVALID, S("spec.template.metadata.labels"), labels,
                  S("`selector` does not match template `labels`"));
        return;
    }
    check_label_selector(selector, S("spec.selector"), causes);
    struct selector *parsed = NULL;
    struct err err;
    if (selector_of_val(causes->arena, selector, &parsed, &err) < 0) {
        return;
    }
    if (selector_is_everything(parsed)) {
        cause_add(causes, CAUSE_INVALID, S("spec.selector"), selector,
                  S("empty selector is invalid for statefulset"));
    } else if (!selector_matches(parsed, labels)) {
        struct val none = val_map();
        cause_add(causes, CAUSE_INVALID, S("spec.template.metadata.labels"),
                  labels == NULL ? &none : labels,
                  S("`selector` does not match template `labels`"));
    }
}

static void check_template_rules(const struct val *spec, struct causes *causes)
{
    static const struct str always[] = {
        {"Always", 6}
    };
    const struct val *policy = val_path(spec, "template.spec.restartPolicy");
    if (!str_eq(val_text(policy), always[0])) {
        cause_add_unsupported(causes, S("spec.template.spec.restartPolicy"), policy, always, 1);
    }
    if (val_path(spec, "template.spec.activeDeadlineSeconds") != NULL) {
        cause_add(causes, CAUSE_FORBIDDEN, S("spec.template.spec.activeDeadlineSeconds"), NULL,
                  S("activeDeadlineSeconds in StatefulSet is not Supported"));
    }
    /* Every pod made from it would be replaced at once, without end. */
    if (val_get(val_path(spec, "template.metadata.annotations"), POD_REPLACE_ANNOTATION) != NULL) {
        cause_add(causes, CAUSE_FORBIDDEN,
                  S("spec.template.metadata.annotations[coracle.io/replace]"), NULL,
                  S("is for single pods"));
    }
}

/* Where upstream's validation tells of a cause. */
static size_t rank_of(struct str path)
{
    static const char *const fields[] = {
        "metadata",
        "spec.podManagementPolicy",
        "spec.updateStrategy",
        "spec.persistentVolumeClaimRetentionPolicy",
        "spec.volumeClaimTemplates",
        "spec.replicas",
        "spec.minReadySeconds",
        "spec.ordinals",
        "spec.serviceName",
        "spec.selector",
        "spec.template",
    };
    size_t rank = 0;
    while (rank < ARRAY_LEN(fields) && !str_starts(path, str_of(fields[rank]))) {
        rank++;
    }
    return rank;
}

/* What admission and the checks of all objects found stands before: brings all into one order. */
static void sort_causes(struct causes *causes)
{
    for (size_t i = 1; i < causes->count; i++) {
        struct cause cause = causes->list[i];
        size_t k = i;
        for (; k > 0 && rank_of(causes->list[k - 1].field) > rank_of(cause.field); k--) {
            causes->list[k] = causes->list[k - 1];
        }
        causes->list[k] = cause;
    }
}

static void set_validate(const struct val *obj, struct causes *causes)
{
    const struct val *spec = val_get(obj, S("spec"));
    const struct val *policy = val_get(spec, S("podManagementPolicy"));
    if (!str_eq(val_text(policy), S("OrderedReady")) && !str_eq(val_text(policy), S("Parallel"))) {
        cause_add(causes, CAUSE_INVALID, S("spec.podManagementPolicy"), policy,
                  S("must be 'OrderedReady' or 'Parallel'"));
    }
    check_strategy(spec, causes);
    check_retention(spec, causes);
    check_not_negative(val_get(spec, S("replicas")), S("spec.replicas"), causes);
    check_not_negative(val_get(spec, S("minReadySeconds")), S("spec.minReadySeconds"), causes);
    check_not_negative(val_path(spec, "ordinals.start"), S("spec.ordinals.start"), causes);
    check_selector(spec, causes);
    check_template_rules(spec, causes);
    sort_causes(causes);
}

/* Upstream compares nil and empty as equal: empties go at every depth. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void drop_empties(struct val *v)
{
    if (val_is(v, VAL_LIST)) {
        for (size_t i = 0; i < v->n; i++) {
            drop_empties(&v->items[i]);
        }
    }
    if (!val_is(v, VAL_MAP)) {
        return;
    }
    for (size_t i = v->n; i-- > 0;) {
        struct val *member = &v->members[i].val;
        drop_empties(member);
        bool is_container = val_is(member, VAL_LIST) || val_is(member, VAL_MAP);
        if (val_is(member, VAL_NULL) || (is_container && val_count(member) == 0)) {
            (void)val_remove(v, v->members[i].key);
        }
    }
}

static struct val immutable_part(struct arena *arena, const struct val *spec)
{
    static const char *const mutable_fields[] = {
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    };
    struct val part = val_copy(arena, spec);
    for (size_t i = 0; i < ARRAY_LEN(mutable_fields); i++) {
        (void)val_remove(&part, str_of(mutable_fields[i]));
    }
    drop_empties(&part);
    return part;
}

static void check_status(const struct val *obj, const struct val *old, struct causes *causes)
{
    static const char *const counters[] = {
        "replicas",          "readyReplicas",      "currentReplicas", "updatedReplicas",
        "availableReplicas", "observedGeneration", "collisionCount",
    };
    static const struct {
        const char *key;
        const char *limit;
    } limits[] = {
        {"readyReplicas",     "replicas"     },
        {"currentReplicas",   "replicas"     },
        {"updatedReplicas",   "replicas"     },
        {"availableReplicas", "replicas"     },
        {"availableReplicas", "readyReplicas"},
    };
    const struct val *status = val_get(obj, S("status"));
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        check_not_negative(val_get(status, str_of(counters[i])),
                           arena_fmt(causes->arena, "status.%s", counters[i]), causes);
    }
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        const struct val *v = val_get(status, str_of(limits[i].key));
        if (val_number(v, 0) > val_number(val_get(status, str_of(limits[i].limit)), 0)) {
            cause_add(
                causes, CAUSE_INVALID, arena_fmt(causes->arena, "status.%s", limits[i].key), v,
                arena_fmt(causes->arena, "cannot be greater than status.%s", limits[i].limit));
        }
    }
    const struct val *count = val_get(status, S("collisionCount"));
    if (val_number(count, 0) < val_number_at(old, "status.collisionCount", 0)) {
        cause_add(causes, CAUSE_INVALID, S("status.collisionCount"), count,
                  S("cannot be decremented"));
    }
}

static void set_validate_update(const struct val *obj, const struct val *old, struct causes *causes)
{
    struct val masked = val_copy(causes->arena, val_get(obj, S("spec")));
    set_templates_mask(causes->arena, &masked, val_get(old, S("spec")));
    struct val now = immutable_part(causes->arena, &masked);
    struct val before = immutable_part(causes->arena, val_get(old, S("spec")));
    if (!val_eq(&now, &before)) {
        cause_add(causes, CAUSE_FORBIDDEN, S("spec"), NULL,
                  S("updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                    "'template', 'updateStrategy', 'revisionHistoryLimit', "
                    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
    }
    check_status(obj, old, causes);
}

const struct strategy strategy_stateful_set = {
    .defaults = set_defaults,
    .prepare = set_prepare,
    .admit = set_admit,
    .validate = set_validate,
    .validate_update = set_validate_update,
    .check_name = rule_dns_label,
};
