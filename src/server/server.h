// SPDX-License-Identifier: Apache-2.0
//
// The HTTP gate: listens, authenticates, routes URLs to API requests, negotiates formats, streams
// watches and sessions; and the DNS gate on UDP and TCP.
#ifndef CORACLE_SERVER_SERVER_H
#define CORACLE_SERVER_SERVER_H

#include "api/api.h"
#include "api/streams.h"
#include "auth/auth.h"
#include "client/client.h"
#include "wire/tls.h"

struct server;
struct server_config {
    struct loop *loop;
    struct api *api;
    struct auth *auth;
    struct tls_server *tls;
    const struct session_ops *sessions; /* NULL = exec and friends answer 501 */
    void *sessions_node;
    struct str address;          /* "127.0.0.1:6443", told in /api */
    bool (*is_ready)(void *ctx); /* /readyz */
    void *ctx;
};
struct server *server_new(const struct server_config *config, struct err *err);
MUST_CHECK int server_listen(struct server *server, int fd,
                             struct err *err); /* fd owned from here on */
void server_free(struct server *server);

struct dns_server;
struct dns_server_config {
    struct loop *loop;
    struct rng *rng;
    struct client *client; /* services, slices, namespaces come from its watches */
    uint32_t address;      /* 10.96.0.10, host order; on lo already */
    struct str cluster_domain;
    const uint32_t *upstreams; /* resolvers for other names; none = SERVFAIL; our own is skipped */
    size_t upstreams_count;
    uint32_t service_cidr; /* reverse names of these ranges are ours alone; prefix 0 = none */
    int service_prefix;
    uint32_t pod_cidr;
    int pod_prefix;
    int udp_fd; /* bound, and listening: non-blocking, owned from here on */
    int tcp_fd;
    uint16_t port;          /* of both; 0 = 53 */
    uint16_t upstream_port; /* 0 = 53 */
};
struct dns_server *dns_server_new(const struct dns_server_config *config, struct err *err);
/* After its client: client watches have no end of their own. NULL is fine. */
void dns_server_free(struct dns_server *server);

#endif
