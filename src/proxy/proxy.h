// SPDX-License-Identifier: Apache-2.0
//
// Services and EndpointSlices into what the network should do about them (spec/node.md 7.2, 7.3).
// Pure: no netlink, no clock; the same objects in any order give the same rule set. IPv4 alone.
//
// On one node every endpoint is local, so traffic policy Local equals Cluster here.
#ifndef CORACLE_PROXY_PROXY_H
#define CORACLE_PROXY_PROXY_H

#include "base/arena.h"
#include "data/val.h"
#include "net/ruleset.h"

struct proxy_config {
    uint32_t pod_cidr;
    int pod_prefix;
    uint32_t service_cidr;
    int service_prefix;
};

/* Fills ret, whose arrays live in arena: one rule_service for each address and port that services
 * answer on (cluster IPs, external IPs, load balancer IPs, node ports), sorted and unique; where
 * two services claim the same, the one whose namespace/name sorts first has it. Headless and
 * ExternalName services give nothing. Objects need metadata.namespace and metadata.name. */
void proxy_build(struct arena *arena, const struct val *const *services, size_t services_count,
                 const struct val *const *slices, size_t slices_count,
                 const struct proxy_config *config, struct ruleset *ret);

#endif
