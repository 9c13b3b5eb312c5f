// SPDX-License-Identifier: Apache-2.0
//
// Filters on what a node is: cordoned, named, tainted, labelled (spec/node.md 10.1).
#include "scheduler/internal.h"

static bool tolerates(const struct val *toleration, struct str key, struct str value,
                      struct str effect)
{
    struct str wanted_effect = val_text(val_get(toleration, S("effect")));
    struct str wanted_key = val_text(val_get(toleration, S("key")));
    struct str op = val_text(val_get(toleration, S("operator")));
    if (wanted_effect.n > 0 && !str_eq(wanted_effect, effect)) {
        return false;
    }
    if (wanted_key.n > 0 && !str_eq(wanted_key, key)) {
        return false;
    }
    if (str_eq(op, S("Exists"))) {
        return true;
    }
    return wanted_key.n > 0 && str_eq(val_text(val_get(toleration, S("value"))), value);
}

static bool is_tolerated(const struct attempt *attempt, struct str key, struct str value,
                         struct str effect)
{
    const struct val *tolerations = val_get(attempt->spec, S("tolerations"));
    for (size_t i = 0; i < val_count(tolerations); i++) {
        if (tolerates(val_at(tolerations, i), key, value, effect)) {
            return true;
        }
    }
    return false;
}

void filter_unschedulable(const struct attempt *attempt, const struct node *node,
                          struct reasons *out)
{
    if (val_true_at(node->obj, "spec.unschedulable") &&
        !is_tolerated(attempt, S("node.kubernetes.io/unschedulable"), S(""), S("NoSchedule"))) {
        reasons_add(out, S("node(s) were unschedulable"));
    }
}

void filter_node_name(const struct attempt *attempt, const struct node *node, struct reasons *out)
{
    struct str name = val_text(val_get(attempt->spec, S("nodeName")));
    if (name.n > 0 && !str_eq(name, node->name)) {
        reasons_add(out, S("node(s) didn't match the requested node name"));
    }
}

void filter_taints(const struct attempt *attempt, const struct node *node, struct reasons *out)
{
    const struct val *taints = val_path(node->obj, "spec.taints");
    for (size_t i = 0; i < val_count(taints); i++) {
        const struct val *taint = val_at(taints, i);
        struct str effect = val_text(val_get(taint, S("effect")));
        if (!str_eq(effect, S("PreferNoSchedule")) &&
            !is_tolerated(attempt, val_text(val_get(taint, S("key"))),
                          val_text(val_get(taint, S("value"))), effect)) {
            reasons_add(out, S("node(s) had untolerated taint(s)"));
            return;
        }
    }
}

static bool is_listed(const struct val *values, struct str value)
{
    for (size_t i = 0; i < val_count(values); i++) {
        if (str_eq(val_text(val_at(values, i)), value)) {
            return true;
        }
    }
    return false;
}

static bool is_number_beyond(const struct val *values, struct str have, bool is_greater)
{
    int64_t limit = 0;
    int64_t number = 0;
    if (str_to_i64(val_text(val_at(values, 0)), &limit) < 0 || str_to_i64(have, &number) < 0) {
        return false;
    }
    return is_greater ? number > limit : number < limit;
}

static bool expression_matches(const struct val *expression, const struct val *have)
{
    struct str op = val_text(val_get(expression, S("operator")));
    const struct val *values = val_get(expression, S("values"));
    struct str text = val_text(have);
    if (str_eq(op, S("Exists"))) {
        return have != NULL;
    }
    if (str_eq(op, S("DoesNotExist"))) {
        return have == NULL;
    }
    if (str_eq(op, S("NotIn"))) {
        return have == NULL || !is_listed(values, text);
    }
    if (have == NULL) {
        return false;
    }
    if (str_eq(op, S("In"))) {
        return is_listed(values, text);
    }
    return (str_eq(op, S("Gt")) && is_number_beyond(values, text, /* is_greater= */ true)) ||
           (str_eq(op, S("Lt")) && is_number_beyond(values, text, /* is_greater= */ false));
}

static bool term_matches(const struct val *term, const struct node *node)
{
    const struct val *expressions = val_get(term, S("matchExpressions"));
    const struct val *fields = val_get(term, S("matchFields"));
    if (val_count(expressions) == 0 && val_count(fields) == 0) {
        return false; /* an empty term selects nothing */
    }
    for (size_t i = 0; i < val_count(expressions); i++) {
        const struct val *expression = val_at(expressions, i);
        struct str key = val_text(val_get(expression, S("key")));
        if (!expression_matches(expression, val_get(node->labels, key))) {
            return false;
        }
    }
    for (size_t i = 0; i < val_count(fields); i++) {
        const struct val *field = val_at(fields, i);
        struct val name = val_str(node->name);
        bool is_name = str_eq(val_text(val_get(field, S("key"))), S("metadata.name"));
        if (!expression_matches(field, is_name ? &name : NULL)) {
            return false;
        }
    }
    return true;
}

bool node_selector_matches(const struct val *selector, const struct node *node)
{
    if (selector == NULL) {
        return true;
    }
    const struct val *terms = val_get(selector, S("nodeSelectorTerms"));
    for (size_t i = 0; i < val_count(terms); i++) {
        if (term_matches(val_at(terms, i), node)) {
            return true;
        }
    }
    return false;
}

void filter_affinity(const struct attempt *attempt, const struct node *node, struct reasons *out)
{
    const struct val *wanted = val_get(attempt->spec, S("nodeSelector"));
    bool is_match = true;
    for (size_t i = 0; i < val_count(wanted) && is_match; i++) {
        const struct val *have = val_get(node->labels, wanted->members[i].key);
        is_match = have != NULL && val_eq(have, &wanted->members[i].val);
    }
    const struct val *required = val_path(
        attempt->spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    if (!is_match || !node_selector_matches(required, node)) {
        reasons_add(out, S("node(s) didn't match Pod's node affinity/selector"));
    }
}
