// SPDX-License-Identifier: Apache-2.0
//
// What the files of the scheduler share: a pod that is looked at, the nodes, and a filter row.
#ifndef CORACLE_SCHEDULER_INTERNAL_H
#define CORACLE_SCHEDULER_INTERNAL_H

#include "controllers/meta.h"
#include "data/quantity.h"
#include "scheduler/scheduler.h"

enum { RESOURCES_MAX = 64 }; /* distinct resource names of one pod; more are not looked at */

/* Amounts by resource name. */
struct amounts {
    struct {
        struct str name;
        struct quantity amount;
    } rows[RESOURCES_MAX];
    size_t count;
};
/* Effective request of a pod: containers and sidecars added up, against the largest init step, plus
 * overhead. */
void pod_requests(const struct val *pod, struct amounts *ret);
void amounts_add(struct amounts *to, const struct amounts *more);
struct quantity amounts_of(const struct amounts *amounts, struct str name);

struct node {
    const struct val *obj;
    struct str name;
    const struct val *labels;
    struct amounts used; /* of the non-terminal pods on it */
    int64_t pods_count;
    struct objs pods;
    bool is_resolvable; /* fewer pods could make it fit: preemption might help */
};

/* One pod's attempt. */
struct attempt {
    const struct view *view;
    struct arena *arena;
    const struct val *pod;
    const struct val *spec;
    struct str ns;
    struct amounts requests;
    struct node *nodes;
    size_t nodes_count;
};

/* Says why the pod does not fit the node, or nothing. A filter may name several reasons, one after
 * the other in *list. */
struct reasons {
    struct arena *arena;
    struct str *list;
    size_t count;
    size_t cap;
};
void reasons_add(struct reasons *reasons, struct str why);

typedef void filter_fn(const struct attempt *attempt, const struct node *node, struct reasons *out);
struct filter {
    filter_fn *run;
    bool is_resolvable;
};

/* filters_node.c */
filter_fn filter_unschedulable;
filter_fn filter_node_name;
filter_fn filter_taints;
filter_fn filter_affinity;
/* filters_use.c */
filter_fn filter_ports;
filter_fn filter_resources;
filter_fn filter_volumes;
filter_fn filter_exclusive_claims;
/* filters_spread.c */
filter_fn filter_pod_affinity;
filter_fn filter_spread;

/* A nodeSelector (v1.NodeSelector: terms ORed) matches; NULL matches all. */
bool node_selector_matches(const struct val *selector, const struct node *node);

/* What stands against the pod whichever node it is (claims that are absent, deleted, unbound):
 * empty = nothing. */
struct str prefilter_claims(const struct attempt *attempt);

#endif
