// SPDX-License-Identifier: Apache-2.0
//
// Strategies of roles and bindings (spec/api.md 10.4): defaults of groups, rules that say
// something, a roleRef that never changes. Escalation is the authorizer's business.
#include "api/strategy.h"

#include "api/meta.h"
#include "api/rules.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

static void check_rule_row(const struct val *rule, size_t i, bool is_namespaced,
                           struct causes *causes)
{
    struct arena *arena = causes->arena;
    bool has_urls = val_count(val_get(rule, S("nonResourceURLs"))) != 0;
    bool has_resources = val_count(val_get(rule, S("resources"))) != 0;
    bool has_groups = val_count(val_get(rule, S("apiGroups"))) != 0;
    if (val_count(val_get(rule, S("verbs"))) == 0) {
        cause_add(causes, CAUSE_REQUIRED, arena_fmt(arena, "rules[%zu].verbs", i), NULL,
                  S("verbs must contain at least one value"));
    }
    if (has_urls) {
        struct str path = arena_fmt(arena, "rules[%zu].nonResourceURLs", i);
        if (is_namespaced) {
            cause_add(causes, CAUSE_INVALID, path, val_get(rule, S("nonResourceURLs")),
                      S("namespaced rules cannot apply to non-resource URLs"));
        }
        if (has_resources || has_groups) {
            cause_add(causes, CAUSE_INVALID, path, val_get(rule, S("nonResourceURLs")),
                      S("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return;
    }
    if (!has_groups) {
        cause_add(causes, CAUSE_REQUIRED, arena_fmt(arena, "rules[%zu].apiGroups", i), NULL,
                  S("resource rules must supply at least one api group"));
    }
    if (!has_resources) {
        cause_add(causes, CAUSE_REQUIRED, arena_fmt(arena, "rules[%zu].resources", i), NULL,
                  S("resource rules must supply at least one resource"));
    }
}

static void check_rules(const struct val *obj, bool is_namespaced, struct causes *causes)
{
    const struct val *rules = val_get(obj, S("rules"));
    for (size_t i = 0; i < val_count(rules); i++) {
        check_rule_row(val_at(rules, i), i, is_namespaced, causes);
    }
}

static void role_validate(const struct val *obj, struct causes *causes)
{
    check_rules(obj, /*is_namespaced=*/true, causes);
}

static void cluster_role_validate(const struct val *obj, struct causes *causes)
{
    check_rules(obj, /*is_namespaced=*/false, causes);
}

const struct strategy strategy_role = {.validate = role_validate, .check_name = rule_path_segment};
const struct strategy strategy_cluster_role = {.validate = cluster_role_validate,
                                               .check_name = rule_path_segment};

static void binding_defaults(struct arena *arena, struct val *obj)
{
    struct val *ref = val_slot(obj, S("roleRef"));
    if (val_is(ref, VAL_MAP) && val_text(val_get(ref, S("apiGroup"))).n == 0) {
        (void)val_set(arena, ref, S("apiGroup"), val_str(S(RBAC_GROUP)));
    }
    struct val *subjects = val_slot(obj, S("subjects"));
    for (size_t i = 0; i < val_count(subjects); i++) {
        struct val *subject = &subjects->items[i];
        struct str kind = val_text(val_get(subject, S("kind")));
        bool is_rbac = str_eq(kind, S("User")) || str_eq(kind, S("Group"));
        if (is_rbac && val_text(val_get(subject, S("apiGroup"))).n == 0) {
            (void)val_set(arena, subject, S("apiGroup"), val_str(S(RBAC_GROUP)));
        }
    }
}

static void check_ref(const struct val *obj, bool is_namespaced, struct causes *causes)
{
    static const struct str kinds_both[] = {
        {"ClusterRole", 11},
        {"Role",        4 }
    };
    static const struct str groups[] = {
        {RBAC_GROUP, sizeof(RBAC_GROUP) - 1}
    };
    const struct val *ref = val_get(obj, S("roleRef"));
    const struct val *kind = val_get(ref, S("kind"));
    const struct val *group = val_get(ref, S("apiGroup"));
    struct val none = val_str(S(""));
    if (!str_eq(val_text(group), groups[0])) {
        cause_add_unsupported(causes, S("roleRef.apiGroup"), group == NULL ? &none : group, groups,
                              1);
    }
    bool is_known = str_eq(val_text(kind), kinds_both[0]) ||
                    (is_namespaced && str_eq(val_text(kind), kinds_both[1]));
    if (!is_known) {
        cause_add_unsupported(causes, S("roleRef.kind"), kind == NULL ? &none : kind, kinds_both,
                              is_namespaced ? 2 : 1);
    }
    const struct val *name = val_get(ref, S("name"));
    if (val_text(name).n == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("roleRef.name"), NULL, S(""));
    } else if (rule_path_segment(val_text(name), /*is_prefix=*/false).n != 0) {
        cause_add(causes, CAUSE_INVALID, S("roleRef.name"), name,
                  rule_path_segment(val_text(name), /*is_prefix=*/false));
    }
}

static void check_subjects(const struct val *obj, bool is_namespaced, struct causes *causes)
{
    static const struct str known[] = {
        {"Group",          5 },
        {"ServiceAccount", 14},
        {"User",           4 }
    };
    const struct val *subjects = val_get(obj, S("subjects"));
    for (size_t i = 0; i < val_count(subjects); i++) {
        const struct val *subject = val_at(subjects, i);
        const struct val *kind = val_get(subject, S("kind"));
        struct str text = val_text(kind);
        if (val_text(val_get(subject, S("name"))).n == 0) {
            cause_add(causes, CAUSE_REQUIRED, arena_fmt(causes->arena, "subjects[%zu].name", i),
                      NULL, S(""));
        }
        if (!str_eq(text, known[0]) && !str_eq(text, known[1]) && !str_eq(text, known[2])) {
            cause_add_unsupported(causes, arena_fmt(causes->arena, "subjects[%zu].kind", i), kind,
                                  known, 3);
        }
        if (!is_namespaced && str_eq(text, known[1]) &&
            val_text(val_get(subject, S("namespace"))).n == 0) {
            cause_add(causes, CAUSE_REQUIRED,
                      arena_fmt(causes->arena, "subjects[%zu].namespace", i), NULL, S(""));
        }
    }
}

static void role_binding_validate(const struct val *obj, struct causes *causes)
{
    check_ref(obj, /*is_namespaced=*/true, causes);
    check_subjects(obj, /*is_namespaced=*/true, causes);
}

static void cluster_role_binding_validate(const struct val *obj, struct causes *causes)
{
    check_ref(obj, /*is_namespaced=*/false, causes);
    check_subjects(obj, /*is_namespaced=*/false, causes);
}

static void binding_validate_update(const struct val *obj, const struct val *old,
                                    struct causes *causes)
{
    const struct val *is = val_get(obj, S("roleRef"));
    const struct val *was = val_get(old, S("roleRef"));
    if (is == NULL || was == NULL || !val_eq(is, was)) {
        cause_add(causes, CAUSE_INVALID, S("roleRef"), is, S("cannot change roleRef"));
    }
}

const struct strategy strategy_role_binding = {.defaults = binding_defaults,
                                               .validate = role_binding_validate,
                                               .validate_update = binding_validate_update,
                                               .check_name = rule_path_segment};
const struct strategy strategy_cluster_role_binding = {.defaults = binding_defaults,
                                                       .validate = cluster_role_binding_validate,
                                                       .validate_update = binding_validate_update,
                                                       .check_name = rule_path_segment};
