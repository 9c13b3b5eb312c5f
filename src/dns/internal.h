// SPDX-License-Identifier: Apache-2.0
//
// How the zone's index looks from answer.c.
//
// Invariants: (1) an entry of zone->entries has a service or a slice; (2) hosts are those of all
// slices of the entry that are ready, sorted by (name, address); addresses are theirs, sorted and
// unique; (3) zone->reverse has the key "<4 bytes of address><entry key>" for each cluster address
// and each of addresses, of entries with a service.
#ifndef CORACLE_DNS_INTERNAL_H
#define CORACLE_DNS_INTERNAL_H

#include "base/map.h"
#include "dns/wire.h"
#include "dns/zone.h"

enum { DNS_LABEL_ROOM = DNS_LABEL_BYTES_MAX + 1, PROTOCOL_ROOM = 5 };

struct dns_port {
    char name[DNS_LABEL_ROOM];    /* "" for an unnamed one */
    char protocol[PROTOCOL_ROOM]; /* "tcp", "udp", "sctp" */
    uint16_t number;
};

struct dns_host {
    char name[DNS_LABEL_ROOM];
    uint32_t address;
    const struct dns_slice *slice; /* has the ports */
};

struct dns_slice {
    char *owner; /* key of the entry */
    struct dns_host *hosts;
    size_t hosts_count;
    struct dns_port *ports;
    size_t ports_count;
};

struct dns_entry {
    struct str ns; /* both views of the map's key */
    struct str name;
    bool has_service;
    bool is_headless;
    bool is_external;
    struct dns_name external; /* ExternalName's target */
    uint32_t *cluster;        /* cluster addresses */
    size_t cluster_count;
    struct dns_port *ports;
    size_t ports_count;
    struct dns_slice **slices;
    size_t slices_count;
    struct dns_host *hosts;
    size_t hosts_count;
    uint32_t *addresses;
    size_t addresses_count;
};

struct zone {
    struct zone_config config; /* domain is not kept here */
    struct dns_name domain;
    char *domain_text;
    uint32_t serial;
    struct map entries;    /* "<namespace>/<name>" -> struct dns_entry */
    struct map slices;     /* "<namespace>/<name>" of the slice -> struct dns_slice */
    struct map namespaces; /* name -> the zone (not NULL) */
    struct map reverse;    /* see (3) -> struct dns_entry */
};

/* NULL = none, or one without a service. Labels come from the wire: any bytes. */
const struct dns_entry *zone_find(const struct zone *zone, struct str ns, struct str name);
bool zone_has_namespace(const struct zone *zone, struct str name);

/* Most bytes of an answer to query over a carrier of udp_limit (0 = TCP). */
size_t dns_answer_limit(const struct dns_query *query, size_t udp_limit);

#endif
