// SPDX-License-Identifier: Apache-2.0
//
// Serving: accepts, reads requests, gives them to the gate; over HTTP/2 (http2.h) many at a time,
// over HTTP/1.1 one after the other: while one is being answered, what the client sends ahead is
// kept (at most PIPELINE_BYTES_MAX, then reading stops), so that its leaving is still seen.
//
// Clock of a connection: HEAD_TIMEOUT from its first byte (or from accept) to the end of the
// headers, BODY_TIMEOUT to the end of the body, none while a request is answered, idle_timeout in
// between; a reply that doesn't move for idle_timeout ends it, too, and so does a stream (a watch,
// a log) with more than STREAM_BACKLOG_MAX waiting.
#include "base/enc.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "wire/internal.h"
#include "wire/tls_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_ROOM     "wire"
#define HEAD_TIMEOUT (10 * USEC_PER_SEC)
#define BODY_TIMEOUT (60 * USEC_PER_SEC)
#define IDLE_TIMEOUT (180 * USEC_PER_SEC)

enum {
    PIPELINE_BYTES_MAX = HEADER_BYTES_MAX,
    LISTENERS_MAX = 4,
    ACCEPTS_A_TURN = 64,
    FRAMES_AHEAD_MAX = 256 << 10,
    KEEPALIVE_SECONDS = 30 /* a watcher whose machine vanished is found in about two minutes */
};

struct listener {
    int fd;
    struct io *io;
    struct http_server *server;
};

struct http_server {
    struct http_server_config c;
    struct listener listeners[LISTENERS_MAX];
    size_t listeners_count;
    struct list connections; /* struct served */
    size_t connections_count;
    struct timer pause; /* out of descriptors: accepts rest */
};

struct served {
    struct list node;
    struct http_server *server;
    struct conn *conn;
    struct http2 *h2;     /* NULL = HTTP/1.1 */
    struct timer work;    /* h2 has something to say */
    bool is_known;        /* which of the two it is */
    struct http1 *parser; /* NULL while idle */
    struct http_exchange *x;
    struct buf ahead; /* read while x is being answered */
    struct timer timer;
    size_t backlog_seen;
    bool is_feeding;
    bool is_ending;
    char peer[PEER_TEXT_MAX];
};

struct conn *served_conn(struct served *served)
{
    return served->conn;
}

usec served_wall(const struct served *served)
{
    return loop_wall(served->server->c.loop);
}

static void served_free(struct served *served)
{
    timer_stop(&served->timer);
    timer_stop(&served->work);
    list_remove(&served->node);
    served->server->connections_count--;
    conn_free(served->conn);
    http1_free(served->parser);
    buf_done(&served->ahead);
    free(served);
}

/* Sends what the kernel takes and a little ahead, so that streams share the connection fairly. */
static void send_frames(struct served *served)
{
    while (conn_backlog(served->conn) < FRAMES_AHEAD_MAX) {
        struct str frames = http2_out(served->h2);
        if (frames.n == 0) {
            break;
        }
        conn_add(served->conn, frames);
    }
    conn_flush(served->conn);
}

static void on_timeout(void *ctx)
{
    struct served *served = ctx;
    size_t backlog = conn_backlog(served->conn);
    if (served->x != NULL && backlog <= STREAM_BACKLOG_MAX) {
        return; /* a stream's client that caught up */
    }
    if (backlog > 0 && backlog != served->backlog_seen) {
        served->backlog_seen = backlog; /* slow, but it moves */
        timer_start(served->server->c.loop, &served->timer, served->server->c.idle_timeout,
                    on_timeout, served);
        return;
    }
    served->is_ending = true;
    if (served->h2 != NULL) {
        http2_go_away(served->h2);
        send_frames(served);
    }
    if (served->x != NULL) {
        conn_break(served->conn);
    } else {
        conn_finish(served->conn);
    }
}

static void set_timer(struct served *served, usec delay)
{
    served->backlog_seen = conn_backlog(served->conn);
    timer_start(served->server->c.loop, &served->timer, delay, on_timeout, served);
}

void served_is_behind(struct served *served)
{
    if (!timer_is_running(&served->timer)) {
        set_timer(served, served->server->c.idle_timeout);
    }
}

static void parser_drop(struct served *served)
{
    http1_free(served->parser);
    served->parser = NULL;
}

void served_over(struct served *served, bool is_keep_alive)
{
    served->x = NULL;
    if (!is_keep_alive) {
        served->is_ending = true;
        timer_stop(&served->timer);
        conn_finish(served->conn);
        return;
    }
    set_timer(served, served->server->c.idle_timeout);
    conn_pause(served->conn, false);
    if (!served->is_feeding && served->ahead.n > 0) {
        conn_unread(served->conn, buf_str(&served->ahead));
        buf_done(&served->ahead);
        buf_init(&served->ahead, (size_t)2 * PIPELINE_BYTES_MAX);
    }
}

void served_raw(struct served *served)
{
    timer_stop(&served->timer);
    if (!served->is_feeding && served->ahead.n > 0) {
        conn_unread(served->conn, buf_str(&served->ahead));
        buf_clear(&served->ahead);
    }
    conn_pause(served->conn, false);
}

static void fill_target(struct http_request *request, struct str target)
{
    ptrdiff_t scheme = str_search(target, S("://"));
    if (scheme > 0 && target.p[0] != '/') {
        struct str rest = str_sub(target, (size_t)scheme + 3, target.n);
        ptrdiff_t slash = str_find(rest, '/');
        target = slash < 0 ? S("/") : str_sub(rest, (size_t)slash, rest.n);
    }
    request->target = target;
    struct str rest = target;
    struct str path = str_cut(&rest, '?');
    request->query = rest.p == NULL ? S("") : rest;
    auto_buf struct buf decoded;
    buf_init(&decoded, HEADER_BYTES_MAX);
    if (percent_decode(&decoded, path, false) < 0 && request->refused == 0) {
        request->refused = 400;
        request->why = S("invalid URL escape");
    }
    request->path = arena_dup(request->arena, buf_str(&decoded));
}

static void fill_cert(struct served *served, struct http_request *request)
{
    X509 *cert = conn_peer_cert(served->conn);
    if (cert != NULL) {
        struct str *groups = NULL;
        tls_cert_names(cert, request->arena, &request->cert_name, &groups,
                       &request->cert_groups_count);
        request->cert_groups = groups;
        request->has_client_cert = true;
        X509_free(cert);
    }
    request->has_bad_cert = conn_has_bad_cert(served->conn);
}

/* Hands x, which holds a message (refused 0) or what is known of it, to the gate. */
static void give(struct served *served, struct http_exchange *x, int refused, struct str why)
{
    struct http_request *request = &x->request;
    x->served = served;
    x->is_head = str_eq(x->message.method, S("HEAD"));
    *request = (struct http_request){
        .method = x->message.method,
        .headers = x->message.headers,
        .headers_count = x->message.headers_count,
        .body = buf_str(&x->body),
        .refused = refused,
        .why = arena_dup(x->message.arena, why),
        .arena = x->message.arena,
        .peer = str_of(served->peer),
        .exchange = x,
    };
    fill_target(request, x->message.target);
    fill_cert(served, request);
    served->server->c.request(served->server->c.ctx, request);
}

static void start_exchange(struct served *served, int refused, struct str why)
{
    struct http_exchange *x = xcalloc(1, sizeof *x);
    http1_take(served->parser, &x->message);
    buf_init(&x->body, BODY_BYTES_MAX + 1);
    (void)buf_add(&x->body, refused == 0 ? x->message.body : S(""));
    parser_drop(served);
    x->is_keep_alive = refused == 0 && x->message.is_keep_alive;
    if (x->message.is_upgrade) {
        x->is_keep_alive = refused == 0 && !x->message.is_http10;
    }
    timer_stop(&served->timer);
    served->x = x;
    give(served, x, refused, why);
}

/* HTTP/2. */

static void on_stream_request(void *ctx, struct http2_stream *stream, int refused, struct str why)
{
    struct served *served = ctx;
    struct http_exchange *x = xcalloc(1, sizeof *x);
    http2_take(stream, &x->message, &x->body);
    x->stream = stream;
    http2_own(stream, x);
    give(served, x, refused, why);
}

static void exchange_gone(struct http_exchange *x)
{
    x->served = NULL;
    x->stream = NULL;
    if (x->closed != NULL) {
        x->closed(x->closed_ctx);
    }
}

static void on_stream_gone(void *ctx, void *owner)
{
    (void)ctx;
    exchange_gone(owner);
}

static void on_stream_drained(void *ctx, void *owner)
{
    struct http_exchange *x = owner;
    (void)ctx;
    if (x->drained != NULL) {
        x->drained(x->drained_ctx);
    }
}

static void do_work(void *ctx)
{
    struct served *served = ctx;
    http2_tell(served->h2);
    send_frames(served);
    if (http2_is_over(served->h2) && !served->is_ending) {
        served->is_ending = true;
        conn_finish(served->conn);
    }
    if (!http2_is_idle(served->h2)) {
        timer_stop(&served->timer);
    } else if (!served->is_ending) {
        set_timer(served, served->server->c.idle_timeout);
    }
}

static void on_work(void *ctx)
{
    struct served *served = ctx;
    if (!timer_is_running(&served->work)) {
        timer_start(served->server->c.loop, &served->work, 0, do_work, served);
    }
}

static void open_http2(struct served *served)
{
    struct http2_config config = {.loop = served->server->c.loop,
                                  .request_timeout = served->server->c.body_timeout,
                                  .stall_timeout = served->server->c.idle_timeout,
                                  .request = on_stream_request,
                                  .gone = on_stream_gone,
                                  .drained = on_stream_drained,
                                  .work = on_work,
                                  .ctx = served};
    served->h2 = http2_new(&config);
}

static void feed_http2(struct served *served, struct str bytes)
{
    struct err err = {0};
    int r = http2_feed(served->h2, bytes, &err);
    do_work(served);
    if (r < 0 && !served->is_ending) {
        log_debug("connection from %s: %s", served->peer, err.msg);
        served->is_ending = true;
        conn_finish(served->conn);
    }
}

/* One step of reading; false = no more to do with the bytes. */
static bool feed_some(struct served *served, struct str *bytes)
{
    struct err err = {0};
    size_t used = 0;
    if (served->parser == NULL) {
        served->parser = http1_new_request(HEADER_BYTES_MAX, BODY_BYTES_MAX);
        set_timer(served, served->server->c.head_timeout);
    }
    bool was_in_head = http1_is_idle(served->parser) || http1_is_in_head(served->parser);
    int r = http1_feed(served->parser, *bytes, &used, &err);
    *bytes = str_sub(*bytes, used, bytes->n);
    if (was_in_head && !http1_is_in_head(served->parser)) {
        set_timer(served, served->server->c.body_timeout);
    }
    if (r == HTTP1_CONTINUE) {
        conn_add(served->conn, S("HTTP/1.1 100 Continue\r\n\r\n"));
        conn_flush(served->conn);
        return bytes->n > 0;
    }
    if (r == HTTP1_MESSAGE) {
        start_exchange(served, 0, S(""));
        return true;
    }
    if (r < 0) {
        int code = r == ERR_LIMIT ? (http1_is_head_over(served->parser) ? 431 : 413) : 400;
        start_exchange(served, code, str_of(err.msg));
        return false;
    }
    return false;
}

static void on_bytes(void *ctx, struct str bytes)
{
    struct served *served = ctx;
    if (!served->is_known) {
        served->is_known = true;
        if (conn_is_http2(served->conn)) {
            open_http2(served);
        }
    }
    if (served->h2 != NULL) {
        feed_http2(served, bytes);
        return;
    }
    served->is_feeding = true;
    while (bytes.n > 0 && served->x == NULL && !served->is_ending) {
        if (!feed_some(served, &bytes)) {
            break;
        }
    }
    served->is_feeding = false;
    if (bytes.n == 0 || served->is_ending || served->x == NULL) {
        return;
    }
    if (served->x->state == EXCHANGE_RAW) {
        served->x->bytes(served->x->bytes_ctx, bytes);
        return;
    }
    (void)buf_add(&served->ahead, bytes);
    if (served->ahead.n > PIPELINE_BYTES_MAX) {
        conn_pause(served->conn, true);
    }
}

static void on_drained(void *ctx)
{
    struct served *served = ctx;
    struct http_exchange *x = served->x;
    if (served->h2 != NULL) {
        on_work(served);
    } else if (x != NULL && x->was_over) {
        x->was_over = false;
        if (x->drained != NULL) {
            x->drained(x->drained_ctx);
        }
    }
}

static void on_closed(void *ctx, const struct err *err)
{
    struct served *served = ctx;
    struct http_exchange *x = served->x;
    struct http2 *h2 = served->h2;
    (void)err;
    served_free(served);
    http2_free(h2);
    if (x != NULL) {
        exchange_gone(x);
    }
}

static void peer_text(int fd, char out[static PEER_TEXT_MAX])
{
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof a;
    auto_buf struct buf text;
    char host[INET6_ADDRSTRLEN] = "";
    buf_init(&text, PEER_TEXT_MAX - 1);
    if (getpeername(fd, (struct sockaddr *)&a, &size) == 0 && a.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void)buf_addf(&text, "%s:%d", host, ntohs(in->sin_port));
    } else if (a.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        (void)buf_addf(&text, "[%s]:%d", host, ntohs(in6->sin6_port));
    } else {
        (void)buf_add(&text, S("local"));
    }
    memcpy(out, text.p, text.n + 1);
}

static void tune(int fd)
{
    int on = 1;
    int idle = KEEPALIVE_SECONDS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
}

static void serve(struct http_server *server, int fd)
{
    struct served *served = xcalloc(1, sizeof *served);
    struct err err = {0};
    tune(fd);
    peer_text(fd, served->peer);
    struct conn_config config = {
        .loop = server->c.loop,
        .fd = fd,
        .tls = server->c.tls == NULL ? NULL : tls_server_ctx(server->c.tls),
        .out_max = (size_t)JSON_BYTES_MAX + STREAM_BACKLOG_MAX,
        .bytes = on_bytes,
        .closed = on_closed,
        .drained = on_drained,
        .ctx = served,
    };
    served->conn = conn_new(&config, &err);
    if (served->conn == NULL) {
        log_debug("connection from %s: %s", served->peer, err.msg);
        free(served);
        return;
    }
    served->server = server;
    buf_init(&served->ahead, (size_t)2 * PIPELINE_BYTES_MAX);
    list_add_tail(&server->connections, &served->node);
    server->connections_count++;
    set_timer(served, server->c.head_timeout);
}

static void accept_again(void *ctx)
{
    struct http_server *server = ctx;
    for (size_t i = 0; i < server->listeners_count; i++) {
        io_set(server->listeners[i].io, IO_READ);
    }
}

static void on_accept(void *ctx, int events)
{
    struct listener *listener = ctx;
    struct http_server *server = listener->server;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && server->connections_count >= server->c.connections_max) {
            (void)close(fd);
        } else if (fd >= 0) {
            serve(server, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_warn("accept: out of descriptors or memory, retrying in 1 s");
            for (size_t k = 0; k < server->listeners_count; k++) {
                io_set(server->listeners[k].io, 0);
            }
            timer_start(server->c.loop, &server->pause, USEC_PER_SEC, accept_again, server);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

struct http_server *http_server_new(const struct http_server_config *config)
{
    struct http_server *server = xcalloc(1, sizeof *server);
    server->c = *config;
    server->c.head_timeout = config->head_timeout > 0 ? config->head_timeout : HEAD_TIMEOUT;
    server->c.body_timeout = config->body_timeout > 0 ? config->body_timeout : BODY_TIMEOUT;
    server->c.idle_timeout = config->idle_timeout > 0 ? config->idle_timeout : IDLE_TIMEOUT;
    server->c.connections_max =
        config->connections_max > 0 ? config->connections_max : CONNECTIONS_MAX;
    list_init(&server->connections);
    return server;
}

int http_server_listen(struct http_server *server, int fd, struct err *err)
{
    if (server->listeners_count == LISTENERS_MAX) {
        (void)close(fd);
        return err_set(err, ERR_LIMIT, "more than %d listening sockets", LISTENERS_MAX);
    }
    struct listener *listener = &server->listeners[server->listeners_count];
    (void)fd_set_nonblock(fd);
    listener->fd = fd;
    listener->server = server;
    listener->io = io_start(server->c.loop, fd, IO_READ, on_accept, listener, err);
    if (listener->io == NULL) {
        (void)close(fd);
        return err->code;
    }
    server->listeners_count++;
    return 0;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    timer_stop(&server->pause);
    for (size_t i = 0; i < server->listeners_count; i++) {
        io_stop(server->listeners[i].io);
        (void)close(server->listeners[i].fd);
    }
    for (struct list *node = list_take(&server->connections); node != NULL;
         node = list_take(&server->connections)) {
        struct err err = {0};
        on_closed(container_of(node, struct served, node), &err);
    }
    free(server);
}
