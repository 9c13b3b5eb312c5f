// SPDX-License-Identifier: Apache-2.0
//
// Asks the name servers of resolv.conf: UDP first, TCP when the answer is cut; names with few dots
// are tried below the search domains first (ndots), as a pod's resolv.conf wants it. Blocks, with
// bounded time. One lookup may hold at most RESOLVER_RECORDS_MAX records.
#ifndef CORACLE_EXAMPLES_RESOLVER_H
#define CORACLE_EXAMPLES_RESOLVER_H

#include "dns.h"

enum { RESOLVER_RECORDS_MAX = 512, RESOLVER_SERVERS_MAX = 3, RESOLVER_SEARCH_MAX = 8 };

struct resolver {
    uint8_t servers[RESOLVER_SERVERS_MAX][4];
    uint16_t port;
    int servers_count;
    char search[RESOLVER_SEARCH_MAX][DNS_NAME_MAX];
    int search_count;
    int ndots;
};

/* Reads a resolv.conf. Without one, or without a server in it, 127.0.0.1 is asked. */
void resolver_read(struct resolver *resolver, const char *path);
/* Records for name, and of its targets where the server adds them. */
enum dns_outcome resolver_lookup(const struct resolver *resolver, const char *name, uint16_t type,
                                 struct dns_record *records, int *ret_count);

#endif
