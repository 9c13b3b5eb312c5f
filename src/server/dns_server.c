// SPDX-License-Identifier: Apache-2.0
//
// The DNS gate (spec/node.md 8): one UDP socket and one TCP socket on the service's address. Keeps
// the zone current from the client's watches and answers from it; other names go upstream.
// Datagrams are read and answered in batches.
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/dns_internal.h"
#include "wire/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_ROOM  "dns"
#define PEER_IDLE (10 * USEC_PER_SEC)

enum {
    BATCH = 16,
    BATCHES_A_TURN = 8,
    PEERS_MAX = 256,
    TCP_PREFIX = 2,
    ZONE_TTL = 5, /* as CoreDNS: service changes show soon in caches of clients, too */
    PEER_OUT_MAX = 1 << 20
};

struct dns_batch {
    struct mmsghdr in[BATCH];
    struct iovec in_iov[BATCH];
    struct sockaddr_in from[BATCH];
    char bytes[BATCH][DNS_UDP_LIMIT];
    struct mmsghdr out[BATCH];
    struct iovec out_iov[BATCH];
    struct sockaddr_in to[BATCH];
    struct buf answers[BATCH];
};

struct dns_peer {
    struct list node;
    struct dns_server *server;
    struct conn *conn;
    struct buf in;
    struct timer idle;
};

/* The zone. */

static void on_object(void *ctx, const struct kind *kind, struct object *object,
                      struct object *before, bool is_delete)
{
    struct dns_server *server = ctx;
    const struct val *v = object_val(object);
    struct str ns = val_text_at(v, "metadata.namespace");
    struct str name = val_text_at(v, "metadata.name");
    auto_buf struct buf key;
    (void)before;
    buf_init(&key, 1024);
    (void)buf_addf(&key, STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    zone_set_serial(server->zone, (uint32_t)(loop_wall(server->c.loop) / USEC_PER_SEC));
    if (kind == kind_of(KIND_SERVICE)) {
        is_delete ? zone_remove_service(server->zone, buf_str(&key))
                  : zone_set_service(server->zone, buf_str(&key), v);
    } else if (kind == kind_of(KIND_ENDPOINT_SLICE)) {
        is_delete ? zone_remove_slice(server->zone, buf_str(&key))
                  : zone_set_slice(server->zone, buf_str(&key), v);
    } else {
        is_delete ? zone_remove_namespace(server->zone, name)
                  : zone_set_namespace(server->zone, name);
    }
}

/* UDP. */

static void batch_init(struct dns_batch *b)
{
    for (size_t i = 0; i < BATCH; i++) {
        b->in_iov[i] = (struct iovec){b->bytes[i], sizeof b->bytes[i]};
        b->in[i].msg_hdr =
            (struct msghdr){.msg_name = &b->from[i], .msg_iov = &b->in_iov[i], .msg_iovlen = 1};
        buf_init(&b->answers[i], DNS_TCP_BYTES);
    }
}

/* Answers one datagram into the batch, or hands it on. Returns whether an answer was added. */
static bool answer_datagram(struct dns_server *server, size_t i, size_t out_at)
{
    struct dns_batch *b = server->batch;
    struct buf *out = &b->answers[out_at];
    struct str query = {b->bytes[i], b->in[i].msg_len};
    struct dns_asker asker = {.from = b->from[i]};
    switch (dns_answer(server->zone, query, DNS_UDP_LIMIT, server->c.rng, out)) {
    case DNS_ANSWERED:
        break;
    case DNS_FORWARD:
        dns_forward(server, &asker, query, S(""));
        return false;
    case DNS_CHASE:
        if (server->c.upstreams_count > 0) {
            dns_forward(server, &asker, query, buf_str(out));
            return false;
        }
        break;
    case DNS_DROP:
        return false;
    }
    b->to[out_at] = b->from[i];
    b->out_iov[out_at] = (struct iovec){out->p, out->n};
    b->out[out_at].msg_hdr = (struct msghdr){.msg_name = &b->to[out_at],
                                             .msg_namelen = sizeof b->to[out_at],
                                             .msg_iov = &b->out_iov[out_at],
                                             .msg_iovlen = 1};
    return true;
}

static void on_udp(void *ctx, int events)
{
    struct dns_server *server = ctx;
    struct dns_batch *b = server->batch;
    (void)events;
    for (int round = 0; round < BATCHES_A_TURN; round++) {
        for (size_t i = 0; i < BATCH; i++) {
            b->in[i].msg_hdr.msg_namelen = sizeof b->from[i];
        }
        int n = recvmmsg(server->udp, b->in, BATCH, MSG_DONTWAIT, NULL);
        if (n <= 0) {
            return;
        }
        unsigned count = 0;
        for (size_t i = 0; i < (size_t)n; i++) {
            if (answer_datagram(server, i, count)) {
                count++;
            }
        }
        /* A full socket loses answers, as the network would; clients ask again. */
        if (count > 0) {
            (void)sendmmsg(server->udp, b->out, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        if (n < BATCH) {
            return;
        }
    }
}

/* TCP. */

static void peer_free(struct dns_peer *peer)
{
    struct dns_server *server = peer->server;
    dns_forwards_forget(server, peer);
    timer_stop(&peer->idle);
    list_remove(&peer->node);
    server->peers_count--;
    conn_free(peer->conn);
    buf_done(&peer->in);
    free(peer);
}

static void on_peer_idle(void *ctx)
{
    peer_free(ctx);
}

static void on_peer_closed(void *ctx, const struct err *err)
{
    (void)err;
    peer_free(ctx);
}

void dns_reply(struct dns_server *server, const struct dns_asker *asker, struct str answer)
{
    if (answer.n == 0) {
        return;
    }
    if (asker->peer == NULL) {
        (void)sendto(server->udp, answer.p, answer.n, MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&asker->from, sizeof asker->from);
        return;
    }
    char prefix[TCP_PREFIX] = {(char)(answer.n >> 8), (char)answer.n};
    conn_add(asker->peer->conn, (struct str){prefix, sizeof prefix});
    conn_add(asker->peer->conn, answer);
    conn_flush(asker->peer->conn);
}

static void answer_peer(struct dns_peer *peer, struct str query)
{
    struct dns_server *server = peer->server;
    struct dns_asker asker = {.peer = peer};
    auto_buf struct buf out;
    buf_init(&out, DNS_TCP_BYTES);
    enum dns_outcome outcome = dns_answer(server->zone, query, 0, server->c.rng, &out);
    if (outcome == DNS_FORWARD) {
        dns_forward(server, &asker, query, S(""));
    } else if (outcome == DNS_CHASE && server->c.upstreams_count > 0) {
        dns_forward(server, &asker, query, buf_str(&out));
    } else if (outcome != DNS_DROP) {
        dns_reply(server, &asker, buf_str(&out));
    }
}

static void on_peer_bytes(void *ctx, struct str bytes)
{
    struct dns_peer *peer = ctx;
    timer_start(peer->server->c.loop, &peer->idle, PEER_IDLE, on_peer_idle, peer);
    if (buf_add(&peer->in, bytes) < 0) {
        timer_start(peer->server->c.loop, &peer->idle, 0, on_peer_idle, peer);
        return;
    }
    while (peer->in.n >= TCP_PREFIX) {
        size_t n = (size_t)(unsigned char)peer->in.p[0] << 8 | (unsigned char)peer->in.p[1];
        if (peer->in.n < TCP_PREFIX + n) {
            break;
        }
        answer_peer(peer, str_sub(buf_str(&peer->in), TCP_PREFIX, TCP_PREFIX + n));
        buf_consume(&peer->in, TCP_PREFIX + n);
    }
}

static void on_accept(void *ctx, int events)
{
    struct dns_server *server = ctx;
    struct err err = {0};
    (void)events;
    int fd = accept4(server->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (server->peers_count == PEERS_MAX) {
        (void)close(fd);
        return;
    }
    struct dns_peer *peer = xcalloc(1, sizeof *peer);
    struct conn_config config = {.loop = server->c.loop,
                                 .fd = fd,
                                 .out_max = PEER_OUT_MAX,
                                 .bytes = on_peer_bytes,
                                 .closed = on_peer_closed,
                                 .ctx = peer};
    peer->server = server;
    peer->conn = conn_new(&config, &err);
    if (peer->conn == NULL) {
        free(peer);
        return;
    }
    buf_init(&peer->in, (size_t)2 * (DNS_TCP_BYTES + TCP_PREFIX));
    list_add_tail(&server->peers, &peer->node);
    server->peers_count++;
    timer_start(server->c.loop, &peer->idle, PEER_IDLE, on_peer_idle, peer);
}

/* The beginning and the end. */

/* Behind the first events of the watches: questions that waited for this process, in sockets that
 * outlived the last one, must not be told that their names don't exist. */
static void open_door(void *ctx)
{
    struct dns_server *server = ctx;
    struct err err = {0};
    server->udp_io = io_start(server->c.loop, server->udp, IO_READ, on_udp, server, &err);
    server->tcp_io = io_start(server->c.loop, server->tcp, IO_READ, on_accept, server, &err);
    if (server->udp_io == NULL || server->tcp_io == NULL) {
        log_error("dns: %s", err.msg);
    }
}

static void copy_upstreams(struct dns_server *server, const struct dns_server_config *config)
{
    server->upstreams = xcalloc(config->upstreams_count + 1, sizeof *server->upstreams);
    server->c.upstreams_count = 0;
    for (size_t i = 0; i < config->upstreams_count; i++) {
        bool is_self =
            config->upstreams[i] == config->address && config->upstream_port == config->port;
        if (!is_self) {
            server->upstreams[server->c.upstreams_count++] = config->upstreams[i];
        }
    }
    server->c.upstreams = server->upstreams;
}

struct dns_server *dns_server_new(const struct dns_server_config *config, struct err *err)
{
    struct dns_server *server = xcalloc(1, sizeof *server);
    server->c = *config;
    server->domain = xstrndup(config->cluster_domain.p, config->cluster_domain.n);
    server->c.cluster_domain = str_of(server->domain);
    server->udp = config->udp_fd;
    server->tcp = config->tcp_fd;
    list_init(&server->peers);
    list_init(&server->forwards);
    copy_upstreams(server, config);
    server->batch = xcalloc(1, sizeof *server->batch);
    batch_init(server->batch);
    struct zone_config zone = {
        .domain = server->c.cluster_domain,
        .ttl = ZONE_TTL,
        .address = config->address,
        .service_cidr = config->service_cidr,
        .service_prefix = config->service_prefix,
        .pod_cidr = config->pod_cidr,
        .pod_prefix = config->pod_prefix,
        .is_recursive = server->c.upstreams_count > 0,
    };
    server->zone = zone_new(&zone, err);
    if (server->zone == NULL) {
        dns_server_free(server);
        return NULL;
    }
    zone_set_serial(server->zone, (uint32_t)(loop_wall(config->loop) / USEC_PER_SEC));
    config->client->ops->watch(config->client, KIND_NAMESPACE, on_object, server);
    config->client->ops->watch(config->client, KIND_SERVICE, on_object, server);
    config->client->ops->watch(config->client, KIND_ENDPOINT_SLICE, on_object, server);
    timer_start(config->loop, &server->first, 0, open_door, server);
    log_debug("answering for %s, %zu upstreams", server->domain, server->c.upstreams_count);
    return server;
}

void dns_server_free(struct dns_server *server)
{
    if (server == NULL) {
        return;
    }
    dns_forwards_free(server);
    for (struct list *node = list_take(&server->peers); node != NULL;
         node = list_take(&server->peers)) {
        peer_free(container_of(node, struct dns_peer, node));
    }
    timer_stop(&server->first);
    io_stop(server->udp_io);
    io_stop(server->tcp_io);
    if (server->udp >= 0) {
        (void)close(server->udp);
    }
    if (server->tcp >= 0) {
        (void)close(server->tcp);
    }
    for (size_t i = 0; i < BATCH; i++) {
        buf_done(&server->batch->answers[i]);
    }
    zone_free(server->zone);
    free(server->batch);
    free(server->upstreams);
    free(server->domain);
    free(server);
}
