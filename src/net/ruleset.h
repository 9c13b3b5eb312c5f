// SPDX-License-Identifier: Apache-2.0
//
// What service traffic should look like, as plain structs, and the loader that makes the kernel's
// nftables agree with them. proxy/ fills a ruleset without knowing netlink; the loader compares
// with what it loaded last and sends one atomic batch of differences (slots of one map;
// spec/machine.md 4).
#ifndef CORACLE_NET_RULESET_H
#define CORACLE_NET_RULESET_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rule_endpoint {
    uint32_t address; /* host order */
    uint16_t port;
};

/* One address and port that services answer on. Sorted by (address, protocol, port), unique. */
struct rule_service {
    uint32_t
        address; /* cluster IP, external IP, load balancer IP; 0 = node port on any local address */
    uint16_t port;
    uint8_t protocol;                      /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
    uint32_t affinity_seconds;             /* 0 = none (sessionAffinity ClientIP: its timeout) */
    const struct rule_endpoint *endpoints; /* sorted; none = reject at once */
    size_t endpoints_count;
};

struct ruleset {
    const struct rule_service *services;
    size_t services_count;
    uint32_t pod_cidr; /* traffic from here to elsewhere is masqueraded */
    int pod_prefix;
    uint32_t service_cidr;
    int service_prefix;
};

struct rule_loader;
/* Opens the nftables socket of this network namespace. The first apply replaces the table "coracle"
 * that an earlier brain left, in one transaction with the first services: until then the old rules
 * serve on. */
struct rule_loader *rule_loader_open(struct err *err);
void rule_loader_close(struct rule_loader *loader); /* rules stay */
/* Makes the kernel agree with the set; one atomic change (batches of at most 200 services),
 * established connections go on, UDP flows to endpoints that left are forgotten. Keeps its own
 * copy.
 */
MUST_CHECK int rule_loader_apply(struct rule_loader *loader, const struct ruleset *set,
                                 struct err *err);
/* The set as readable text, one service a line, for tests and for debugging. */
int ruleset_write(struct buf *out, const struct ruleset *set);

#endif
