// SPDX-License-Identifier: Apache-2.0
//
// The cluster's names: an index over Services, EndpointSlices and namespaces that is kept up to
// date change by change, so that a query costs a few look-ups and an answer is never older than the
// objects that were told (spec/node.md 8). IPv4 alone. Copies what it needs of the objects.
#ifndef CORACLE_DNS_ZONE_H
#define CORACLE_DNS_ZONE_H

#include "data/val.h"

#include <stdint.h>

struct zone;

struct zone_config {
    struct str domain;     /* "cluster.local" */
    uint32_t ttl;          /* of service records; 5 as CoreDNS, 30 as kubeadm sets it */
    uint32_t address;      /* where this server answers, host order: 10.96.0.10 */
    uint32_t service_cidr; /* reverse names of these ranges are ours alone: what is not there is */
    int service_prefix;    /* NXDOMAIN instead of being forwarded; prefix 0 = no such range */
    uint32_t pod_cidr;
    int pod_prefix;
    bool is_recursive; /* the caller forwards what is not ours: sets RA */
};

/* NULL with err when the domain is no name. Free with zone_free (NULL is fine). */
struct zone *zone_new(const struct zone_config *config, struct err *err);
void zone_free(struct zone *zone);

/* Keys are "<namespace>/<name>" of the object. Setting replaces; removing what is absent is fine.
 * Objects that make no sense (a name longer than a label, an address that is none) are left out
 * silently: the API has validated them. */
void zone_set_service(struct zone *zone, struct str key, const struct val *service);
void zone_remove_service(struct zone *zone, struct str key);
void zone_set_slice(struct zone *zone, struct str key, const struct val *slice);
void zone_remove_slice(struct zone *zone, struct str key);
void zone_set_namespace(struct zone *zone, struct str name);
void zone_remove_namespace(struct zone *zone, struct str name);
/* Serial of the SOA: the wall time in seconds of the last change. */
void zone_set_serial(struct zone *zone, uint32_t serial);

#endif
