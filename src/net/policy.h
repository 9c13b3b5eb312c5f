// SPDX-License-Identifier: Apache-2.0
//
// Which forwarded traffic network policies let through, as plain structs, and the loader that makes
// the kernel agree: a table of its own, replaced in one transaction when something differs.
// proxy/policy.h fills a set from the API's objects. Traffic between a pod and its node is no
// forwarded traffic and always goes (as the NetworkPolicy API has it); so are DNS and the API,
// which the node serves.
#ifndef CORACLE_NET_POLICY_H
#define CORACLE_NET_POLICY_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

struct policy_range {
    uint32_t first; /* host order, both included */
    uint32_t last;
};
/* Sorted, with gaps between. */
struct policy_addresses {
    const struct policy_range *list;
    size_t count;
};

/* New connections between the pods and the peers that are let through. */
struct policy_rule {
    struct policy_addresses pods;  /* those that the policy selects */
    struct policy_addresses peers; /* the other side */
    uint8_t protocol;              /* IPPROTO_...; 0 = any, whatever the port */
    uint16_t port_first;
    uint16_t port_last;
};

enum policy_way { POLICY_INGRESS, POLICY_EGRESS, POLICY_WAYS };
struct policy_set {
    struct {
        struct policy_addresses isolated; /* pods that nothing passes but by a rule */
        const struct policy_rule *rules;
        size_t rules_count;
    } ways[POLICY_WAYS];
};

struct policy_loader;
/* Opens the nftables socket of this network namespace; loads nothing. */
struct policy_loader *policy_loader_open(struct err *err);
void policy_loader_close(struct policy_loader *loader); /* rules stay */
/* Makes the kernel agree with the set in one transaction: connections that are established go on.
 * A set that isolates nobody leaves no rule. After a failure the old rules stay, and the next apply
 * loads again. */
MUST_CHECK int policy_loader_apply(struct policy_loader *loader, const struct policy_set *set,
                                   struct err *err);
/* The set as readable text, one rule a line, for comparison, tests and debugging. */
int policy_set_write(struct buf *out, const struct policy_set *set);

#endif
