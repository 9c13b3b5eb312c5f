// SPDX-License-Identifier: Apache-2.0
//
// The DNS gate's parts: dns_server.c (clients, zone) and dns_forward.c (upstreams).
#ifndef CORACLE_SERVER_DNS_INTERNAL_H
#define CORACLE_SERVER_DNS_INTERNAL_H

#include "base/list.h"
#include "dns/answer.h"
#include "server/server.h"

#include <netinet/in.h>

struct dns_peer; /* a TCP client */

/* Who asked: a datagram's sender or a TCP client. */
struct dns_asker {
    struct sockaddr_in from; /* UDP */
    struct dns_peer *peer;   /* TCP; NULL = UDP */
};

struct dns_server {
    struct dns_server_config c;
    char *domain; /* owned; c.cluster_domain points here */
    uint32_t *upstreams;
    struct zone *zone;
    int udp, tcp;
    struct timer first;
    struct io *udp_io, *tcp_io;
    struct list peers;
    size_t peers_count;
    struct list forwards;
    size_t forwards_count;
    struct dns_batch *batch;
};

enum { DNS_UDP_LIMIT = 4096, DNS_UDP_ROOM = 65535 };

/* Sends an answer; a TCP client that left gets nothing. */
void dns_reply(struct dns_server *server, const struct dns_asker *asker, struct str answer);
/* Asks upstream; chase is the answer whose CNAME target is to be asked, empty = the query itself.
 * Always ends in one dns_reply. */
void dns_forward(struct dns_server *server, const struct dns_asker *asker, struct str query,
                 struct str chase);
void dns_forwards_forget(struct dns_server *server, const struct dns_peer *peer);
void dns_forwards_free(struct dns_server *server);

#endif
