// SPDX-License-Identifier: Apache-2.0
//
// A turn of the loop: read what has come, handle whole requests, commit once, send. A connection
// is in one of two states: reading (out == NULL) or replying (out != NULL, nothing is read, so a
// client can't make us buffer more than one request and one reply).
#include "http_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNS_MAX = 2000,
    EVENTS_MAX = 256,
    HEAD_TIMEOUT_MS = 10 * 1000, /* from its first byte, a request must be whole by then */
    IDLE_TIMEOUT_MS = 60 * 1000, /* kept alive, nothing asked */
    SEND_TIMEOUT_MS = 20 * 1000, /* a reply must be taken by then */
    LAME_DUCK_MS = 300,          /* after SIGTERM: still answering while endpoints forget us */
    DRAIN_TIMEOUT_MS = 5 * 1000, /* after that: waiting for replies under way */
    SWEEP_MS = 500,
};

struct conn {
    int fd; /* -1 = free slot */
    size_t in_len;
    char *out; /* the reply under way; its first out_len bytes */
    size_t out_len, out_at;
    bool needs_commit, keep_alive, is_head;
    bool may_hold_request; /* bytes came with the last request: look at them without a read */
    int64_t deadline_ms;
    char in[HTTP_HEAD_MAX];
};

struct server {
    const struct http_options *options;
    int epoll_fd, listen_fd, signal_fd;
    bool listening;  /* listen_fd is watched */
    int64_t stop_ms; /* 0, or when SIGTERM came */
    int conns_count, conns_max;
    struct conn *conns; /* CONNS_MAX of them */
};

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"                             },
    {400, "Bad Request"                    },
    {404, "Not Found"                      },
    {405, "Method Not Allowed"             },
    {408, "Request Timeout"                },
    {414, "URI Too Long"                   },
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"          },
    {503, "Service Unavailable"            },
    {505, "HTTP Version Not Supported"     },
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

static int64_t now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void http_reply_printf(struct http_reply *reply, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || reply->body_len + (size_t)n >= HTTP_BODY_MAX) {
        reply->status = 500;
        return;
    }
    if (reply->body_len + (size_t)n >= reply->body_cap) {
        size_t cap = (reply->body_len + (size_t)n + 1) * 2;
        char *grown = realloc(reply->body, cap);
        if (grown == NULL) {
            abort();
        }
        reply->body = grown;
        reply->body_cap = cap;
    }
    va_start(args, fmt);
    (void)vsnprintf(reply->body + reply->body_len, reply->body_cap - reply->body_len, fmt, args);
    va_end(args);
    reply->body_len += (size_t)n;
}

void http_reply_text(struct http_reply *reply, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            http_reply_printf(reply, "&amp;");
            break;
        case '<':
            http_reply_printf(reply, "&lt;");
            break;
        case '>':
            http_reply_printf(reply, "&gt;");
            break;
        case '"':
            http_reply_printf(reply, "&quot;");
            break;
        case '\'':
            http_reply_printf(reply, "&#39;");
            break;
        default:
            http_reply_printf(reply, "%c", *text);
        }
    }
}

/* Watching. The pointer of an event is its connection, or the address of the server's own fd. */
static bool watch(struct server *s, int op, int fd, uint32_t events, void *ptr)
{
    struct epoll_event ev = {.events = events, .data.ptr = ptr};
    return epoll_ctl(s->epoll_fd, op, fd, &ev) == 0;
}

static void set_listening(struct server *s, bool listening)
{
    if (s->listening != listening && s->listen_fd >= 0) {
        (void)watch(s, listening ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->listen_fd, EPOLLIN,
                    &s->listen_fd);
        s->listening = listening;
    }
}

static void conn_close(struct server *s, struct conn *c)
{
    (void)close(c->fd);
    free(c->out);
    c->out = NULL;
    c->fd = -1;
    s->conns_count--;
    set_listening(s, true);
}

/* Makes the bytes of the reply; the connection replies from here on. */
static void conn_reply(const struct server *s, struct conn *c, const struct http_reply *reply)
{
    char head[512];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\nX-Pod: %.63s\r\n%s%s\r\n",
                     reply->status, reason_of(reply->status), reply->content_type, reply->body_len,
                     s->options->pod, reply->status == 405 ? "Allow: GET, HEAD\r\n" : "",
                     c->keep_alive ? "" : "Connection: close\r\n");
    size_t body = c->is_head ? 0 : reply->body_len;
    free(c->out);
    c->out = malloc((size_t)n + body + 1);
    if (c->out == NULL) {
        abort();
    }
    memcpy(c->out, head, (size_t)n);
    if (body > 0) {
        memcpy(c->out + n, reply->body, body);
    }
    c->out_len = (size_t)n + body;
    c->out_at = 0;
    c->needs_commit = reply->needs_commit;
    c->deadline_ms = now_ms() + SEND_TIMEOUT_MS;
}

static void conn_fail(const struct server *s, struct conn *c, int status)
{
    struct http_reply reply = {.status = status, .content_type = "text/plain; charset=utf-8"};
    http_reply_printf(&reply, "%d %s\n", status, reason_of(status));
    c->keep_alive = false;
    conn_reply(s, c, &reply);
    free(reply.body);
}

/* Answers the request at the front of c->in, should it be whole. */
static void conn_handle(struct server *s, struct conn *c)
{
    struct http_request req;
    size_t used = http_request_read(c->in, c->in_len, &req);
    c->may_hold_request = false;
    if (used == 0) {
        return;
    }
    memmove(c->in, c->in + used, c->in_len - used);
    c->in_len -= used;
    c->is_head = req.is_head;
    c->keep_alive = req.keep_alive && s->stop_ms == 0;
    if (req.status != 0) {
        conn_fail(s, c, req.status);
        return;
    }
    struct http_reply reply = {.status = 200, .content_type = "text/html; charset=utf-8"};
    s->options->handle(s->options->ctx, &req, &reply);
    if (reply.status >= 400 && reply.body_len == 0) {
        http_reply_printf(&reply, "%d %s\n", reply.status, reason_of(reply.status));
        reply.content_type = "text/plain; charset=utf-8";
    }
    conn_reply(s, c, &reply);
    free(reply.body);
}

/* False: the connection is gone. */
static bool conn_read(struct server *s, struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (n == 0) {
        return false;
    }
    if (c->in_len == 0) {
        c->deadline_ms = now_ms() + HEAD_TIMEOUT_MS;
    }
    c->in_len += (size_t)n;
    conn_handle(s, c);
    return true;
}

/* False: the connection is done with, or gone. */
static bool conn_send(struct server *s, struct conn *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN && watch(s, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
        }
        c->out_at += (size_t)n;
    }
    free(c->out);
    c->out = NULL;
    if (!c->keep_alive) {
        /* What the client still sends must not turn our reply into a reset: take a little of it. */
        char rest[4096];
        (void)shutdown(c->fd, SHUT_WR);
        (void)!recv(c->fd, rest, sizeof rest, MSG_DONTWAIT);
        return false;
    }
    c->may_hold_request = c->in_len > 0;
    c->deadline_ms = now_ms() + (c->in_len > 0 ? HEAD_TIMEOUT_MS : IDLE_TIMEOUT_MS);
    return watch(s, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
}

/* The idle connection that waits longest gives its slot to a new one. */
static void drop_idlest(struct server *s)
{
    struct conn *idlest = NULL;
    for (int i = 0; i < s->conns_max; i++) {
        struct conn *c = &s->conns[i];
        if (c->fd >= 0 && c->out == NULL && c->in_len == 0 &&
            (idlest == NULL || c->deadline_ms < idlest->deadline_ms)) {
            idlest = c;
        }
    }
    if (idlest != NULL) {
        conn_close(s, idlest);
    }
}

static void server_accept(struct server *s)
{
    for (int burst = 0; burst < EVENTS_MAX; burst++) {
        if (s->conns_count == s->conns_max) {
            drop_idlest(s);
        }
        if (s->conns_count == s->conns_max) {
            set_listening(s, false);
            return;
        }
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        struct conn *c = s->conns;
        while (c->fd >= 0) {
            c++;
        }
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c->fd = fd;
        c->in_len = 0;
        c->out = NULL;
        c->may_hold_request = false;
        c->deadline_ms = now_ms() + HEAD_TIMEOUT_MS;
        s->conns_count++;
        if (!watch(s, EPOLL_CTL_ADD, fd, EPOLLIN, c)) {
            conn_close(s, c);
        }
    }
}

/* Keeps (1): replies of this turn leave after the commit, or become 503. */
static void server_commit_and_send(struct server *s)
{
    bool needed = false, committed = true;
    for (int i = 0; i < s->conns_max; i++) {
        needed = needed || (s->conns[i].fd >= 0 && s->conns[i].out && s->conns[i].needs_commit);
    }
    if (needed && s->options->commit != NULL) {
        committed = s->options->commit(s->options->ctx);
    }
    for (int i = 0; i < s->conns_max; i++) {
        struct conn *c = &s->conns[i];
        if (c->fd < 0 || c->out == NULL) {
            continue;
        }
        if (c->needs_commit && !committed) {
            conn_fail(s, c, 503);
        }
        c->needs_commit = false;
        if (!conn_send(s, c)) {
            conn_close(s, c);
        }
    }
}

/* Ends what is over its time; after SIGTERM also what is idle. */
static void server_sweep(struct server *s, int64_t now)
{
    for (int i = 0; i < s->conns_max; i++) {
        struct conn *c = &s->conns[i];
        if (c->fd < 0) {
            continue;
        }
        if (now >= c->deadline_ms && c->out == NULL && c->in_len > 0) {
            c->is_head = false;
            conn_fail(s, c, 408);
        } else if (now >= c->deadline_ms || (s->listen_fd < 0 && !c->out && c->in_len == 0)) {
            conn_close(s, c);
        }
    }
}

/* True when the loop may end. */
static bool server_stopping(struct server *s, int64_t now)
{
    if (s->stop_ms == 0 || now < s->stop_ms + LAME_DUCK_MS) {
        return false;
    }
    if (s->listen_fd >= 0) {
        (void)close(s->listen_fd);
        s->listen_fd = -1;
        s->listening = false;
        server_sweep(s, now);
    }
    return s->conns_count == 0 || now >= s->stop_ms + LAME_DUCK_MS + DRAIN_TIMEOUT_MS;
}

static void server_event(struct server *s, const struct epoll_event *ev)
{
    if (ev->data.ptr == &s->listen_fd) {
        server_accept(s);
    } else if (ev->data.ptr == &s->signal_fd) {
        struct signalfd_siginfo info;
        (void)!read(s->signal_fd, &info, sizeof info);
        s->stop_ms = s->stop_ms == 0 ? now_ms() : s->stop_ms;
    } else {
        struct conn *c = ev->data.ptr;
        if (c->fd >= 0 && c->out == NULL && !conn_read(s, c)) {
            conn_close(s, c);
        }
    }
}

static void server_run(struct server *s)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t swept_ms = now_ms();
    for (;;) {
        bool again = false;
        for (int i = 0; i < s->conns_max; i++) {
            again = again || (s->conns[i].fd >= 0 && s->conns[i].may_hold_request);
        }
        int n = epoll_wait(s->epoll_fd, events, EVENTS_MAX,
                           again ? 0 : (s->stop_ms == 0 ? SWEEP_MS : LAME_DUCK_MS / 3));
        for (int i = 0; i < n; i++) {
            server_event(s, &events[i]);
        }
        for (int i = 0; again && i < s->conns_max; i++) {
            struct conn *c = &s->conns[i];
            if (c->fd >= 0 && c->out == NULL && c->may_hold_request) {
                conn_handle(s, c);
            }
        }
        int64_t now = now_ms();
        if (now >= swept_ms + SWEEP_MS) {
            swept_ms = now;
            server_sweep(s, now);
        }
        server_commit_and_send(s);
        if (server_stopping(s, now)) {
            return;
        }
    }
}

static int listen_on(uint16_t port)
{
    /* One socket for both families; a kernel without IPv6 gets an IPv4 one. */
    int on = 1, off = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, (struct sockaddr *)&any6, sizeof any6) == 0 && listen(fd, SOMAXCONN) == 0) {
            return fd;
        }
        (void)close(fd);
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(fd, SOMAXCONN) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* As many slots as descriptors allow, some left for files and other sockets. */
static int conns_max(void)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) < 0) {
        return 64;
    }
    lim.rlim_cur = lim.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &lim);
    (void)getrlimit(RLIMIT_NOFILE, &lim);
    if (lim.rlim_cur >= CONNS_MAX + 32) {
        return CONNS_MAX;
    }
    return lim.rlim_cur > 64 ? (int)lim.rlim_cur - 32 : 32;
}

int http_serve(const struct http_options *options)
{
    static struct conn conns[CONNS_MAX];
    struct server s = {.options = options, .conns = conns, .conns_max = conns_max()};
    for (int i = 0; i < CONNS_MAX; i++) {
        conns[i].fd = -1;
    }
    sigset_t stop;
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    s.signal_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    s.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s.listen_fd = listen_on(options->port);
    if (s.signal_fd < 0 || s.epoll_fd < 0 || s.listen_fd < 0) {
        (void)fprintf(stderr, "listen on port %u: %s\n", options->port, strerror(errno));
        return -1;
    }
    set_listening(&s, true);
    (void)watch(&s, EPOLL_CTL_ADD, s.signal_fd, EPOLLIN, &s.signal_fd);
    server_run(&s);
    (void)close(s.signal_fd);
    (void)close(s.epoll_fd);
    for (int i = 0; i < CONNS_MAX; i++) {
        if (conns[i].fd >= 0) {
            conn_close(&s, &conns[i]);
        }
    }
    if (s.listen_fd >= 0) {
        (void)close(s.listen_fd);
    }
    return 0;
}
