// SPDX-License-Identifier: Apache-2.0
//
// Filters on where other pods are: pod affinity, anti-affinity (both ways), topology spread
// (spec/node.md 10.1). A topology domain is a value of a node label.
#include "api/selector.h"
#include "scheduler/internal.h"

static struct selector *read_selector(struct arena *arena, const struct val *selector)
{
    struct selector *ret = NULL;
    struct err err;
    return selector_of_val(arena, selector, &ret, &err) == 0 ? ret : NULL;
}

static bool is_in(const struct val *list, struct str text)
{
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_at(list, i)), text)) {
            return true;
        }
    }
    return false;
}

/* Which pods an affinity term speaks of. owner_ns: the namespace of the pod that holds it. */
static bool term_selects(const struct attempt *attempt, const struct val *term, struct str owner_ns,
                         const struct val *pod)
{
    const struct val *namespaces = val_get(term, S("namespaces"));
    const struct val *ns_selector = val_get(term, S("namespaceSelector"));
    struct str ns = meta_ns(pod);
    bool is_ns = val_count(namespaces) == 0 && ns_selector == NULL ? str_eq(ns, owner_ns)
                                                                   : is_in(namespaces, ns);
    if (!is_ns && ns_selector != NULL) {
        const struct selector *selector = read_selector(attempt->arena, ns_selector);
        const struct val *space = attempt->view->get(attempt->view->ctx, KIND_NAMESPACE, S(""), ns);
        is_ns = selector != NULL && selector_matches(selector, meta_labels(space));
    }
    const struct selector *selector =
        is_ns ? read_selector(attempt->arena, val_get(term, S("labelSelector"))) : NULL;
    return selector != NULL && selector_matches(selector, meta_labels(pod));
}

static const struct val *required_terms(const struct val *pod, const char *which)
{
    const struct val *affinity = val_path(pod, "spec.affinity");
    return val_get(val_get(affinity, str_of(which)),
                   S("requiredDuringSchedulingIgnoredDuringExecution"));
}

/* The node's domain of the term's topology key; NULL = the node has none. */
static const struct val *domain_of(const struct node *node, const struct val *term)
{
    return val_get(node->labels, val_text(val_get(term, S("topologyKey"))));
}

/* Is a pod that the term selects in the node's domain? *ret_any: is there one anywhere? */
static bool has_selected(const struct attempt *attempt, const struct val *term,
                         const struct node *node, bool *ret_any)
{
    const struct val *domain = domain_of(node, term);
    *ret_any = false;
    for (size_t n = 0; n < attempt->nodes_count; n++) {
        const struct node *other = &attempt->nodes[n];
        for (size_t i = 0; i < other->pods.count; i++) {
            if (!term_selects(attempt, term, attempt->ns, other->pods.list[i])) {
                continue;
            }
            *ret_any = true;
            if (domain != NULL && val_eq(domain, domain_of(other, term))) {
                return true;
            }
        }
    }
    return false;
}

static bool affinity_holds(const struct attempt *attempt, const struct node *node)
{
    const struct val *terms = required_terms(attempt->pod, "podAffinity");
    for (size_t i = 0; i < val_count(terms); i++) {
        const struct val *term = val_at(terms, i);
        bool has_any = false;
        if (domain_of(node, term) == NULL) {
            return false;
        }
        /* The first pod of a group that wants to be with its like may go anywhere. */
        if (!has_selected(attempt, term, node, &has_any) &&
            (has_any || !term_selects(attempt, term, attempt->ns, attempt->pod))) {
            return false;
        }
    }
    return true;
}

static bool anti_affinity_holds(const struct attempt *attempt, const struct node *node)
{
    const struct val *terms = required_terms(attempt->pod, "podAntiAffinity");
    for (size_t i = 0; i < val_count(terms); i++) {
        bool has_any = false;
        if (has_selected(attempt, val_at(terms, i), node, &has_any)) {
            return false;
        }
    }
    return true;
}

/* Pods that are there already don't want this one in their domain. */
static bool others_agree(const struct attempt *attempt, const struct node *node)
{
    for (size_t n = 0; n < attempt->nodes_count; n++) {
        const struct node *other = &attempt->nodes[n];
        for (size_t i = 0; i < other->pods.count; i++) {
            const struct val *pod = other->pods.list[i];
            const struct val *terms = required_terms(pod, "podAntiAffinity");
            for (size_t k = 0; k < val_count(terms); k++) {
                const struct val *term = val_at(terms, k);
                const struct val *domain = domain_of(node, term);
                if (domain != NULL && val_eq(domain, domain_of(other, term)) &&
                    term_selects(attempt, term, meta_ns(pod), attempt->pod)) {
                    return false;
                }
            }
        }
    }
    return true;
}

void filter_pod_affinity(const struct attempt *attempt, const struct node *node,
                         struct reasons *out)
{
    if (!affinity_holds(attempt, node)) {
        reasons_add(out, S("node(s) didn't match pod affinity rules"));
    } else if (!anti_affinity_holds(attempt, node)) {
        reasons_add(out, S("node(s) didn't match pod anti-affinity rules"));
    } else if (!others_agree(attempt, node)) {
        reasons_add(out, S("node(s) didn't satisfy existing pods anti-affinity rules"));
    }
}

static bool counts_node(const struct attempt *attempt, const struct val *constraint,
                        const struct node *node)
{
    struct reasons none = {.arena = attempt->arena};
    if (!str_eq(val_text(val_get(constraint, S("nodeAffinityPolicy"))), S("Ignore"))) {
        filter_affinity(attempt, node, &none);
    }
    if (str_eq(val_text(val_get(constraint, S("nodeTaintsPolicy"))), S("Honor"))) {
        filter_taints(attempt, node, &none);
    }
    return domain_of(node, constraint) != NULL && none.count == 0;
}

static int64_t count_selected(const struct attempt *attempt, const struct selector *selector,
                              const struct node *node)
{
    int64_t count = 0;
    for (size_t i = 0; i < node->pods.count; i++) {
        const struct val *pod = node->pods.list[i];
        count += str_eq(meta_ns(pod), attempt->ns) && !meta_is_deleting(pod) &&
                 selector_matches(selector, meta_labels(pod));
    }
    return count;
}

/* Pods of the domain that node is in, over all nodes of the domain. */
static int64_t count_domain(const struct attempt *attempt, const struct val *constraint,
                            const struct selector *selector, const struct node *node)
{
    int64_t count = 0;
    for (size_t n = 0; n < attempt->nodes_count; n++) {
        const struct node *other = &attempt->nodes[n];
        if (counts_node(attempt, constraint, other) &&
            val_eq(domain_of(node, constraint), domain_of(other, constraint))) {
            count += count_selected(attempt, selector, other);
        }
    }
    return count;
}

static bool is_first_of_domain(const struct attempt *attempt, const struct val *constraint,
                               size_t at)
{
    for (size_t n = 0; n < at; n++) {
        if (counts_node(attempt, constraint, &attempt->nodes[n]) &&
            val_eq(domain_of(&attempt->nodes[n], constraint),
                   domain_of(&attempt->nodes[at], constraint))) {
            return false;
        }
    }
    return true;
}

/* Pods in the emptiest domain; 0 when there are fewer domains than wanted. */
static int64_t count_least(const struct attempt *attempt, const struct val *constraint,
                           const struct selector *selector)
{
    int64_t least = INT64_MAX;
    int64_t domains = 0;
    for (size_t n = 0; n < attempt->nodes_count; n++) {
        if (!counts_node(attempt, constraint, &attempt->nodes[n]) ||
            !is_first_of_domain(attempt, constraint, n)) {
            continue;
        }
        int64_t count = count_domain(attempt, constraint, selector, &attempt->nodes[n]);
        least = count < least ? count : least;
        domains++;
    }
    return domains < val_number(val_get(constraint, S("minDomains")), 1) ? 0 : least;
}

/* The constraint's selector, narrowed by matchLabelKeys. */
static const struct selector *spread_selector(const struct attempt *attempt,
                                              const struct val *constraint)
{
    const struct val *own = val_get(constraint, S("labelSelector"));
    const struct val *keys = val_get(constraint, S("matchLabelKeys"));
    struct val selector = own == NULL ? val_map() : val_copy(attempt->arena, own);
    for (size_t i = 0; i < val_count(keys); i++) {
        struct str key = val_text(val_at(keys, i));
        const struct val *label = val_get(meta_labels(attempt->pod), key);
        if (label != NULL) {
            val_set(attempt->arena, val_need_map(attempt->arena, &selector, S("matchLabels")), key,
                    *label);
        }
    }
    return own == NULL ? NULL : read_selector(attempt->arena, &selector);
}

void filter_spread(const struct attempt *attempt, const struct node *node, struct reasons *out)
{
    const struct val *constraints = val_get(attempt->spec, S("topologySpreadConstraints"));
    for (size_t i = 0; i < val_count(constraints); i++) {
        const struct val *constraint = val_at(constraints, i);
        if (str_eq(val_text(val_get(constraint, S("whenUnsatisfiable"))), S("ScheduleAnyway"))) {
            continue;
        }
        if (domain_of(node, constraint) == NULL) {
            reasons_add(out, S("node(s) didn't match pod topology spread constraints (missing "
                               "required label)"));
            return;
        }
        const struct selector *selector = spread_selector(attempt, constraint);
        if (selector == NULL) {
            continue;
        }
        int64_t self = selector_matches(selector, meta_labels(attempt->pod));
        int64_t skew = count_domain(attempt, constraint, selector, node) + self -
                       count_least(attempt, constraint, selector);
        if (skew > val_number(val_get(constraint, S("maxSkew")), 1)) {
            reasons_add(out, S("node(s) didn't match pod topology spread constraints"));
            return;
        }
    }
}
