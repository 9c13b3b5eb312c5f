// SPDX-License-Identifier: Apache-2.0
//
// NetworkPolicies, pods and namespaces into what the network lets through (networking.k8s.io/v1).
// Pure: the same objects in any order give the same set. IPv4 alone: blocks of IPv6 match nothing.
#ifndef CORACLE_PROXY_POLICY_H
#define CORACLE_PROXY_POLICY_H

#include "base/arena.h"
#include "data/val.h"
#include "net/policy.h"

struct policy_objects {
    const struct val *const *list;
    size_t count;
};

/* Fills ret, whose arrays live in arena. Pods without an address, on the node's network, and ended
 * ones are no part of it. A named port stands for the containers' port of that name, pod by pod. */
void policy_build(struct arena *arena, struct policy_objects policies, struct policy_objects pods,
                  struct policy_objects namespaces, struct policy_set *ret);

/* Whether a change of a pod from before can change the set. */
bool policy_minds(const struct val *pod, const struct val *before);

#endif
