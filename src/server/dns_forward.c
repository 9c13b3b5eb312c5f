// SPDX-License-Identifier: Apache-2.0
//
// Questions for others: each goes out from a socket of its own (a fresh port) under a fresh id, to
// one upstream after the other, UPSTREAM_TIMEOUT each, two rounds. A truncated reply is passed on
// to a UDP client, who comes back over TCP; TCP clients and chases are asked over TCP then.
#include "base/mem.h"
#include "server/dns_internal.h"
#include "wire/conn.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define UPSTREAM_TIMEOUT (2 * USEC_PER_SEC)

enum { FORWARDS_MAX = 1000, ROUNDS = 2, TCP_PREFIX = 2 };

struct forward_query {
    struct list node;
    struct dns_server *server;
    struct dns_asker asker;
    bool is_asker_gone;
    struct buf query; /* the client's */
    struct buf chase; /* our answer so far, empty = none */
    struct buf sent;  /* what upstream was asked */
    size_t attempts;
    int fd;
    struct io *io;
    struct conn *conn;  /* TCP */
    struct buf stream;  /* what came over it */
    struct timer timer; /* UPSTREAM_TIMEOUT */
};

static void attempt(struct forward_query *f);

static void stop_asking(struct forward_query *f)
{
    timer_stop(&f->timer);
    io_stop(f->io);
    f->io = NULL;
    if (f->fd >= 0) {
        (void)close(f->fd);
    }
    f->fd = -1;
    conn_free(f->conn);
    f->conn = NULL;
    buf_clear(&f->stream);
}

static void forward_free(struct forward_query *f)
{
    stop_asking(f);
    list_remove(&f->node);
    f->server->forwards_count--;
    buf_done(&f->query);
    buf_done(&f->chase);
    buf_done(&f->sent);
    buf_done(&f->stream);
    free(f);
}

static void answer_and_free(struct forward_query *f, struct str answer)
{
    if (!f->is_asker_gone) {
        dns_reply(f->server, &f->asker, answer);
    }
    forward_free(f);
}

/* No upstream answered. */
static void give_up(struct forward_query *f)
{
    auto_buf struct buf out;
    buf_init(&out, DNS_TCP_BYTES);
    if (f->chase.n > 0) {
        (void)buf_add(&out, buf_str(&f->chase));
    } else {
        (void)dns_answer_error(f->server->zone, buf_str(&f->query), DNS_SERVFAIL, &out);
    }
    answer_and_free(f, buf_str(&out));
}

static bool is_reply_to(struct str reply, struct str sent)
{
    return reply.n >= DNS_HEADER_BYTES && sent.n >= DNS_HEADER_BYTES && reply.p[0] == sent.p[0] &&
           reply.p[1] == sent.p[1] && (reply.p[2] & 0x80) != 0;
}

/* The question comes back as it was sent; SERVFAIL and REFUSED may leave it out. */
static bool has_same_question(struct str reply, struct str sent)
{
    size_t end = DNS_HEADER_BYTES;
    struct dns_name name;
    if (reply.p[4] == 0 && reply.p[5] == 0) {
        return (reply.p[3] & 0x0f) != 0;
    }
    if (dns_name_read(sent, &end, &name) < 0 || end + 4 > sent.n || end + 4 > reply.n) {
        return false;
    }
    return str_eq(str_sub(reply, DNS_HEADER_BYTES, end + 4),
                  str_sub(sent, DNS_HEADER_BYTES, end + 4));
}

static void on_timeout(void *ctx)
{
    struct forward_query *f = ctx;
    stop_asking(f);
    attempt(f);
}

static uint32_t upstream_of(const struct forward_query *f)
{
    return f->server->upstreams[(f->attempts - 1) % f->server->c.upstreams_count];
}

static struct sockaddr_in upstream_address(const struct forward_query *f)
{
    uint16_t port = f->server->c.upstream_port;
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port == 0 ? 53 : port),
                                .sin_addr.s_addr = htonl(upstream_of(f))};
}

/* A reply that fits; false = it was none of ours and the wait goes on. */
static bool take_reply(struct forward_query *f, struct str reply)
{
    auto_buf struct buf out;
    buf_init(&out, DNS_TCP_BYTES);
    if (!is_reply_to(reply, buf_str(&f->sent)) || !has_same_question(reply, buf_str(&f->sent))) {
        return false;
    }
    unsigned rcode = (unsigned char)reply.p[3] & 0x0fU;
    if ((rcode == DNS_SERVFAIL || rcode == DNS_REFUSED || rcode == DNS_NOTIMP) &&
        f->attempts < f->server->c.upstreams_count) {
        stop_asking(f);
        attempt(f); /* another may know */
        return true;
    }
    if (f->chase.n > 0) {
        size_t limit = f->asker.peer == NULL ? DNS_UDP_LIMIT : 0;
        if (dns_chase_join(f->server->zone, buf_str(&f->query), buf_str(&f->chase), reply, limit,
                           &out) < 0) {
            buf_clear(&out);
            (void)buf_add(&out, buf_str(&f->chase));
        }
    } else {
        (void)buf_add(&out, reply);
        memcpy(out.p, f->query.p, 2); /* the client's id */
    }
    answer_and_free(f, buf_str(&out));
    return true;
}

/* TCP to the upstream: a length and a message. */

static void on_tcp_bytes(void *ctx, struct str bytes)
{
    struct forward_query *f = ctx;
    (void)buf_add(&f->stream, bytes);
    if (f->stream.n < TCP_PREFIX) {
        return;
    }
    size_t n = (size_t)(unsigned char)f->stream.p[0] << 8 | (unsigned char)f->stream.p[1];
    if (f->stream.n < n + TCP_PREFIX) {
        return;
    }
    auto_buf struct buf reply;
    buf_init(&reply, DNS_TCP_BYTES);
    (void)buf_add(&reply, str_sub(buf_str(&f->stream), TCP_PREFIX, n + TCP_PREFIX));
    if (!take_reply(f, buf_str(&reply))) {
        timer_start(f->server->c.loop, &f->timer, 0, on_timeout, f);
    }
}

static void on_tcp_closed(void *ctx, const struct err *err)
{
    (void)err;
    on_timeout(ctx);
}

static void ask_tcp(struct forward_query *f)
{
    struct err err = {0};
    struct sockaddr_in to = upstream_address(f);
    stop_asking(f);
    timer_start(f->server->c.loop, &f->timer, UPSTREAM_TIMEOUT, on_timeout, f);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    (void)connect(fd, (struct sockaddr *)&to, sizeof to); /* its failure comes as closed */
    struct conn_config config = {.loop = f->server->c.loop,
                                 .fd = fd,
                                 .is_client = true,
                                 .out_max = DNS_TCP_BYTES + TCP_PREFIX,
                                 .bytes = on_tcp_bytes,
                                 .closed = on_tcp_closed,
                                 .ctx = f};
    f->conn = conn_new(&config, &err);
    if (f->conn != NULL) {
        char prefix[TCP_PREFIX] = {(char)(f->sent.n >> 8), (char)f->sent.n};
        conn_add(f->conn, (struct str){prefix, sizeof prefix});
        conn_add(f->conn, buf_str(&f->sent));
    }
}

static void on_udp(void *ctx, int events)
{
    struct forward_query *f = ctx;
    char bytes[DNS_UDP_LIMIT * 2];
    (void)events;
    ssize_t n = recv(f->fd, bytes, sizeof bytes, 0);
    if (n < 0) {
        /* A port that is closed: the next one, from the timer. */
        timer_start(f->server->c.loop, &f->timer, 0, on_timeout, f);
        io_set(f->io, 0);
        return;
    }
    struct str reply = {bytes, (size_t)n};
    bool is_cut = reply.n >= DNS_HEADER_BYTES && (reply.p[2] & 0x02) != 0;
    if (is_cut && is_reply_to(reply, buf_str(&f->sent)) &&
        (f->asker.peer != NULL || f->chase.n > 0)) {
        ask_tcp(f);
        return;
    }
    (void)take_reply(f, reply);
}

static void attempt(struct forward_query *f)
{
    struct err err = {0};
    if (f->attempts >= f->server->c.upstreams_count * ROUNDS) {
        give_up(f);
        return;
    }
    f->attempts++;
    struct sockaddr_in to = upstream_address(f);
    f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    timer_start(f->server->c.loop, &f->timer, UPSTREAM_TIMEOUT, on_timeout, f);
    if (f->fd < 0 || connect(f->fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        send(f->fd, f->sent.p, f->sent.n, MSG_NOSIGNAL) < 0) {
        timer_start(f->server->c.loop, &f->timer, 0, on_timeout, f);
        return;
    }
    f->io = io_start(f->server->c.loop, f->fd, IO_READ, on_udp, f, &err);
}

void dns_forward(struct dns_server *server, const struct dns_asker *asker, struct str query,
                 struct str chase)
{
    struct forward_query *f = xcalloc(1, sizeof *f);
    f->server = server;
    f->asker = *asker;
    f->fd = -1;
    buf_init(&f->query, DNS_TCP_BYTES);
    buf_init(&f->chase, DNS_TCP_BYTES);
    buf_init(&f->sent, DNS_TCP_BYTES);
    buf_init(&f->stream, DNS_TCP_BYTES + TCP_PREFIX);
    (void)buf_add(&f->query, query);
    (void)buf_add(&f->chase, chase);
    list_add_tail(&server->forwards, &f->node);
    server->forwards_count++;
    uint16_t id = (uint16_t)rng_below(server->c.rng, UINT16_MAX + 1);
    bool is_ready = server->c.upstreams_count > 0 && server->forwards_count <= FORWARDS_MAX;
    if (chase.n > 0) {
        is_ready = is_ready && dns_chase_query(chase, id, &f->sent) == 0;
    } else {
        (void)buf_add(&f->sent, query);
        f->sent.p[0] = (char)(id >> 8);
        f->sent.p[1] = (char)id;
    }
    if (is_ready) {
        attempt(f);
    } else {
        give_up(f);
    }
}

void dns_forwards_forget(struct dns_server *server, const struct dns_peer *peer)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &server->forwards) {
        struct forward_query *f = container_of(it, struct forward_query, node);
        f->is_asker_gone = f->is_asker_gone || f->asker.peer == peer;
    }
}

void dns_forwards_free(struct dns_server *server)
{
    for (struct list *node = list_take(&server->forwards); node != NULL;
         node = list_take(&server->forwards)) {
        forward_free(container_of(node, struct forward_query, node));
    }
}
