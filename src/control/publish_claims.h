// SPDX-License-Identifier: Apache-2.0
//
// Which ports of the host Services and pods ask for, and who gets them (spec/node.md 7.6). Pure:
// the same objects give the same answer in any order. TCP and UDP, IPv4.
//
//   who                       port of the host                  leads to
//   Service with node ports   nodePort                          cluster IP : port
//   Service LoadBalancer      port (not with a class of others) cluster IP : port
//   pod with a hostPort       hostPort (hostIP when that is     pod IP : containerPort
//                             127.x, else 127.0.0.1)
//
// Nothing is published beyond the host's loopback: whoever wants more puts a proxy in front.
#ifndef CORACLE_CONTROL_PUBLISH_CLAIMS_H
#define CORACLE_CONTROL_PUBLISH_CLAIMS_H

#include "client/client.h"

enum publish_purpose { PUBLISH_NODE_PORT, PUBLISH_LOAD_BALANCER, PUBLISH_HOST_PORT };

struct publish_claim {
    uint32_t address; /* of the host, host order */
    uint32_t target;  /* host order */
    uint16_t port;
    uint16_t target_port;
    uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
    bool is_winner;   /* first of those who ask for this port */
    enum publish_purpose purpose;
    struct object *owner; /* borrowed, as given */
};

/* Sorted by protocol, address and port; among the same by Services before pods, then namespace and
 * name: the first is the winner. The array lives in arena. */
void publish_claims(struct arena *arena, struct object *const *services, size_t services_count,
                    struct object *const *pods, size_t pods_count,
                    struct publish_claim **ret_claims, size_t *ret_count);
/* Has this object anything to do with ports of the host? */
bool publish_concerns_service(const struct val *service);
bool publish_concerns_pod(const struct val *pod);
/* spec.type LoadBalancer, and ours to serve. */
bool publish_is_load_balancer(const struct val *service);

#endif
