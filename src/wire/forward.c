// SPDX-License-Identifier: Apache-2.0
//
// TCP ports; forward_udp.c has the datagrams.
//
//   accept ──connect──▶ CONNECTING ──writable──▶ copying ──both ends finished──▶ closed
//                           │ refused, 10 s          │ either end broke
//                           └────────── reset ───────┴──────────────────────────▶ closed
#include "wire/forward_internal.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PAUSE (100 * USEC_PER_MS) /* after running out of descriptors */

enum { KEEPALIVE_IDLE_S = 60, KEEPALIVE_EACH_S = 10, KEEPALIVE_COUNT = 3 };

struct connection;
struct end {
    struct connection *connection;
    int fd;
    struct io *io;
    struct buf out; /* bytes for this end that its kernel didn't take yet */
    bool has_ended; /* nothing comes from it any more */
    bool is_told;   /* it knows that nothing comes for it any more */
};
struct connection {
    struct list node;
    struct forward *forward;
    struct end client;
    struct end target;
    bool is_connecting;
    struct timer deadline; /* of the connect */
};

static struct end *other(struct end *end)
{
    struct connection *c = end->connection;
    return end == &c->client ? &c->target : &c->client;
}

static void end_done(struct end *end)
{
    io_stop(end->io);
    if (end->fd >= 0) {
        (void)close(end->fd);
    }
    buf_done(&end->out);
}

static void listen_again(void *ctx)
{
    struct forward *f = ctx;
    io_set(f->io, IO_READ);
}

static void connection_close(struct connection *c, bool is_reset)
{
    struct forward *f = c->forward;
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (is_reset) {
        (void)setsockopt(c->client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    timer_stop(&c->deadline);
    list_remove(&c->node);
    end_done(&c->client);
    end_done(&c->target);
    free(c);
    if (f->count-- == FORWARD_CONNECTIONS_MAX && !timer_is_running(&f->timer)) {
        listen_again(f);
    }
}

/* What each end is watched for follows from what is kept. */
static void watch_end(struct end *end)
{
    struct connection *c = end->connection;
    bool can_read = !c->is_connecting && !end->has_ended && other(end)->out.n == 0;
    bool must_write = c->is_connecting ? end == &c->target : end->out.n > 0;
    io_set(end->io, (can_read ? IO_READ : 0) | (must_write ? IO_WRITE : 0));
}

/* Sends what is kept for the end, then the news that its peer has finished. False: it broke. */
static bool flush(struct end *end)
{
    while (end->out.n > 0) {
        ssize_t n = send(end->fd, end->out.p, end->out.n, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        buf_consume(&end->out, (size_t)n);
    }
    buf_done(&end->out); /* idle connections hold no memory */
    buf_init(&end->out, FORWARD_CHUNK);
    if (other(end)->has_ended && !end->is_told) {
        end->is_told = true;
        return shutdown(end->fd, SHUT_WR) == 0;
    }
    return true;
}

/* One read of an end for the other one. 1: there may be more, 0: not now, -1: broken. */
static int copy_once(struct end *from, char *chunk)
{
    struct end *to = other(from);
    ssize_t n = recv(from->fd, chunk, FORWARD_CHUNK, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    if (n == 0) {
        from->has_ended = true;
        return flush(to) ? 0 : -1;
    }
    ssize_t sent = send(to->fd, chunk, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        return -1;
    }
    sent = sent < 0 ? 0 : sent;
    if (sent < n) {
        (void)buf_add(&to->out, (struct str){chunk + sent, (size_t)(n - sent)});
        return 0;
    }
    return n == FORWARD_CHUNK;
}

static bool copy(struct end *from)
{
    if (other(from)->out.n > 0) {
        return true;
    }
    auto_free char *chunk = xmalloc(FORWARD_CHUNK);
    int r = 1;
    for (int i = 0; i < FORWARD_TURNS && r > 0; i++) {
        r = copy_once(from, chunk);
    }
    return r >= 0;
}

static bool is_connected(struct connection *c)
{
    int code = 0;
    socklen_t n = sizeof code;
    if (getsockopt(c->target.fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0 || code != 0) {
        return false;
    }
    c->is_connecting = false;
    timer_stop(&c->deadline);
    return true;
}

static void on_end(void *ctx, int events)
{
    struct end *end = ctx;
    struct connection *c = end->connection;
    bool is_fine = (events & IO_HANGUP) == 0;
    if (is_fine && c->is_connecting) {
        is_fine = is_connected(c);
    } else {
        is_fine = is_fine && ((events & IO_WRITE) == 0 || flush(end));
        is_fine = is_fine && ((events & IO_READ) == 0 || copy(end));
    }
    if (!is_fine || (c->client.is_told && c->target.is_told)) {
        connection_close(c, /*is_reset=*/!is_fine);
        return;
    }
    watch_end(&c->client);
    watch_end(&c->target);
}

static void on_deadline(void *ctx)
{
    connection_close(ctx, /*is_reset=*/true);
}

static bool end_start(struct connection *c, struct end *end, int fd)
{
    struct err err;
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    end->connection = c;
    end->fd = fd;
    buf_init(&end->out, FORWARD_CHUNK);
    end->io = io_start(c->forward->loop, fd, 0, on_end, end, &err);
    return end->io != NULL;
}

/* A pod that is gone with its network says no goodbye: keep-alive finds out. */
static int connect_target(const struct forward *f)
{
    const struct {
        int level, option, value;
    } rows[] = {
        {SOL_SOCKET,  SO_KEEPALIVE,  1               },
        {IPPROTO_TCP, TCP_KEEPIDLE,  KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EACH_S},
        {IPPROTO_TCP, TCP_KEEPCNT,   KEEPALIVE_COUNT },
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(rows); i++) {
        (void)setsockopt(fd, rows[i].level, rows[i].option, &rows[i].value, sizeof rows[i].value);
    }
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&f->target, sizeof f->target) < 0 &&
        errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void connection_new(struct forward *f, int client_fd)
{
    struct connection *c = xcalloc(1, sizeof *c);
    c->forward = f;
    c->client.fd = c->target.fd = -1;
    c->is_connecting = true;
    list_add_tail(&f->members, &c->node);
    f->count++;
    bool is_fine = end_start(c, &c->client, client_fd);
    int fd = is_fine ? connect_target(f) : -1;
    if (fd < 0 || !end_start(c, &c->target, fd)) {
        connection_close(c, /*is_reset=*/true);
        return;
    }
    timer_start(f->loop, &c->deadline, FORWARD_CONNECT_LIMIT, on_deadline, c);
    watch_end(&c->target);
}

void forward_on_accept(void *ctx, int events)
{
    struct forward *f = ctx;
    (void)events;
    while (f->count < FORWARD_CONNECTIONS_MAX) {
        int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                io_set(f->io, 0);
                timer_start(f->loop, &f->timer, ACCEPT_PAUSE, listen_again, f);
            }
            return;
        }
        connection_new(f, fd);
    }
    io_set(f->io, 0); /* keeps (2): the next end of a connection listens again */
}

struct forward *forward_new(const struct forward_config *config, struct err *err)
{
    struct forward *f = xcalloc(1, sizeof *f);
    f->loop = config->loop;
    f->fd = config->fd;
    f->is_udp = config->is_udp;
    list_init(&f->members);
    f->io = io_start(f->loop, f->fd, IO_READ, f->is_udp ? forward_on_datagram : forward_on_accept,
                     f, err);
    if (f->io == NULL) {
        (void)close(f->fd);
        free(f);
        return NULL;
    }
    forward_aim(f, config->address, config->port);
    return f;
}

void forward_free(struct forward *f)
{
    struct list *it;
    struct list *next;
    if (f == NULL) {
        return;
    }
    if (f->is_udp) {
        forward_drop_flows(f);
    } else {
        list_foreach (it, next, &f->members) {
            connection_close(container_of(it, struct connection, node), /*is_reset=*/true);
        }
    }
    timer_stop(&f->timer);
    io_stop(f->io);
    (void)close(f->fd);
    map_done(&f->flows, NULL);
    free(f);
}

void forward_aim(struct forward *f, uint32_t address, uint16_t port)
{
    f->target = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    if (f->is_udp) {
        forward_drop_flows(f);
    }
}

size_t forward_count(const struct forward *f)
{
    return f->count;
}
