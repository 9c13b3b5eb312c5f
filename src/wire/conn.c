// SPDX-License-Identifier: Apache-2.0
//
// States of a connection:
//
//   DIALING --connected--> SHAKING --handshake over--> OPEN --conn_finish--> CLOSING --sent-->
//   LINGERING any --error or end--> BROKEN (closed was or will be called)
//
// A server starts in SHAKING (TLS) or OPEN. OpenSSL sits directly on the socket; its buffers are
// released while idle (SSL_MODE_RELEASE_BUFFERS), so that an idle watcher costs little.
#include "wire/conn.h"

#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum conn_state { DIALING, SHAKING, OPEN, CLOSING, LINGERING, BROKEN };

enum {
    READ_CHUNK = 8 << 10,     /* on the stack */
    READ_ROUNDS = 8,          /* of one turn: others want the loop, too */
    WRITE_CHUNK_MAX = 1 << 20 /* handed to the kernel at once */
};

struct conn {
    struct conn_config c;
    enum conn_state state;
    SSL *ssl;
    struct io *io;
    int io_events;
    struct buf out;
    size_t out_at; /* sent so far */
    struct buf unread;
    struct timer kick;   /* work that must not happen inside a call: (1) */
    struct timer linger; /* in CLOSING and LINGERING */
    size_t linger_seen;  /* backlog when it was started */
    struct err *why;     /* it broke; NULL = the peer ended in good order, or it lives */
    bool is_paused;
    bool is_eof;
    bool wants_write; /* TLS asked for it */
    bool is_drain_due;
    bool is_close_due;
    bool is_more_due; /* TLS holds bytes that poll doesn't know of */
    bool is_goodbye_sent;
    int busy; /* callbacks on the stack */
    bool is_dead;
};

static void on_kick(void *ctx);
static void on_io(void *ctx, int events);

static void kick(struct conn *conn)
{
    if (!timer_is_running(&conn->kick)) {
        timer_start(conn->c.loop, &conn->kick, 0, on_kick, conn);
    }
}

/* Where the reason of the end goes: few connections ever have one. */
static struct err *why(struct conn *conn)
{
    if (conn->why == NULL) {
        conn->why = xcalloc(1, sizeof *conn->why);
    }
    return conn->why;
}

/* Keeps (3). Returns false when the connection is gone. */
static bool enter(struct conn *conn)
{
    conn->busy++;
    return !conn->is_dead;
}

static bool leave(struct conn *conn)
{
    conn->busy--;
    if (conn->is_dead && conn->busy == 0) {
        buf_done(&conn->out);
        buf_done(&conn->unread);
        free(conn->why);
        free(conn);
        return false;
    }
    return !conn->is_dead;
}

static void set_events(struct conn *conn)
{
    int events = 0;
    bool has_out = conn->out.n > conn->out_at;
    switch (conn->state) {
    case DIALING:
        events = IO_WRITE;
        break;
    case SHAKING:
        events = conn->wants_write ? IO_WRITE : IO_READ;
        break;
    case OPEN:
        events = (conn->is_paused || conn->is_eof ? 0 : IO_READ) | (has_out ? IO_WRITE : 0);
        break;
    case CLOSING:
        events = IO_WRITE;
        break;
    case LINGERING:
        events = IO_READ;
        break;
    case BROKEN:
        break;
    }
    if (events != conn->io_events && conn->io != NULL) {
        conn->io_events = events;
        io_set(conn->io, events);
    }
}

/* Ends the connection; the callback comes from the kick. */
static void broke(struct conn *conn)
{
    if (conn->state == BROKEN) {
        return;
    }
    conn->state = BROKEN;
    conn->is_close_due = true;
    io_stop(conn->io);
    conn->io = NULL;
    timer_stop(&conn->linger);
    kick(conn);
}

static void tls_failed(struct conn *conn, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? "connection closed" : ERR_reason_error_string(e);
    ERR_clear_error();
    (void)err_set(why(conn), ERR_IO, "%s: tls: %s", what, reason == NULL ? "failed" : reason);
    broke(conn);
}

/* One write; bytes sent, 0 = the kernel is full, -1 = broken. */
static ssize_t put(struct conn *conn, const char *p, size_t n)
{
    if (conn->ssl != NULL) {
        ERR_clear_error();
        int r = SSL_write(conn->ssl, p, (int)n);
        if (r > 0) {
            return r;
        }
        int e = SSL_get_error(conn->ssl, r);
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
            return 0;
        }
        tls_failed(conn, "write");
        return -1;
    }
    ssize_t r = send(conn->c.fd, p, n, MSG_NOSIGNAL);
    if (r >= 0) {
        return r;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }
    (void)err_errno(why(conn), "write");
    broke(conn);
    return -1;
}

static void on_linger_over(void *ctx)
{
    struct conn *conn = ctx;
    size_t left = conn_backlog(conn);
    if (conn->state == CLOSING && left < conn->linger_seen) {
        conn->linger_seen = left; /* slow, but it moves */
        timer_start(conn->c.loop, &conn->linger, CONN_STALL, on_linger_over, conn);
        return;
    }
    broke(conn);
}

static void say_goodbye(struct conn *conn)
{
    if (conn->ssl != NULL) {
        ERR_clear_error();
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
    (void)shutdown(conn->c.fd, SHUT_WR);
    conn->state = LINGERING;
    timer_start(conn->c.loop, &conn->linger, CONN_LINGER, on_linger_over, conn);
    if (conn->is_eof) {
        broke(conn);
    }
}

static void pump_out(struct conn *conn)
{
    if (conn->state != OPEN && conn->state != CLOSING) {
        return;
    }
    bool had = conn->out.n > conn->out_at;
    while (conn->out.n > conn->out_at) {
        size_t n = conn->out.n - conn->out_at;
        ssize_t sent =
            put(conn, conn->out.p + conn->out_at, n > WRITE_CHUNK_MAX ? WRITE_CHUNK_MAX : n);
        if (sent <= 0) {
            break;
        }
        conn->out_at += (size_t)sent;
    }
    if (conn->state == BROKEN) {
        return;
    }
    if (conn->out.n == conn->out_at) {
        buf_done(&conn->out);
        buf_init(&conn->out, conn->c.out_max);
        conn->out_at = 0;
        if (had) {
            conn->is_drain_due = true;
            kick(conn);
        }
        if (conn->state == CLOSING && !conn->is_goodbye_sent) {
            conn->is_goodbye_sent = true;
            say_goodbye(conn);
        }
    } else if (conn->out_at > conn->out.n / 2) {
        buf_consume(&conn->out, conn->out_at);
        conn->out_at = 0;
    }
    set_events(conn);
}

/* One read: > 0 bytes, 0 = nothing now, -1 = end or broken. */
static ssize_t take(struct conn *conn, char *p, size_t n)
{
    if (conn->ssl != NULL) {
        ERR_clear_error();
        int r = SSL_read(conn->ssl, p, (int)n);
        if (r > 0) {
            return r;
        }
        int e = SSL_get_error(conn->ssl, r);
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
            return 0;
        }
        if (e == SSL_ERROR_ZERO_RETURN) {
            conn->is_eof = true;
            broke(conn);
            return -1;
        }
        tls_failed(conn, "read");
        return -1;
    }
    ssize_t r = recv(conn->c.fd, p, n, 0);
    if (r > 0) {
        return r;
    }
    if (r < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (r < 0) {
        (void)err_errno(why(conn), "read");
    }
    conn->is_eof = true;
    broke(conn);
    return -1;
}

static void give_unread(struct conn *conn)
{
    struct buf text = conn->unread;
    buf_init(&conn->unread, text.max);
    if (conn->state != CLOSING && conn->state != LINGERING) {
        conn->c.bytes(conn->c.ctx, buf_str(&text));
    }
    buf_done(&text);
}

static void pump_in(struct conn *conn)
{
    char chunk[READ_CHUNK];
    if (conn->unread.n > 0 && !conn->is_paused) {
        give_unread(conn);
        if (conn->is_dead) {
            return;
        }
    }
    conn->is_more_due = false;
    for (int round = 0; conn->state == OPEN && !conn->is_paused; round++) {
        if (round == READ_ROUNDS) {
            conn->is_more_due = true; /* TLS may hold the rest: poll won't wake us for it */
            kick(conn);
            break;
        }
        ssize_t n = take(conn, chunk, sizeof chunk);
        if (n <= 0) {
            break;
        }
        conn->c.bytes(conn->c.ctx, (struct str){chunk, (size_t)n});
        if (conn->is_dead) {
            return;
        }
    }
    if (conn->is_paused && conn->ssl != NULL && conn->state == OPEN) {
        conn->is_more_due = true;
    }
    while (conn->state == LINGERING) {
        ssize_t n = take(conn, chunk, sizeof chunk);
        if (n <= 0) {
            break;
        }
    }
}

static void opened(struct conn *conn)
{
    conn->state = OPEN;
    if (conn->c.opened != NULL) {
        conn->c.opened(conn->c.ctx);
    }
    if (!conn->is_dead) {
        pump_out(conn);
    }
}

static void shake(struct conn *conn)
{
    ERR_clear_error();
    int r = SSL_do_handshake(conn->ssl);
    if (r == 1) {
        /* The end of the handshake has no answer that could carry its ACK: a client with Nagle's
         * algorithm would hold its first request for 40 ms. */
        int on = 1;
        (void)setsockopt(conn->c.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        conn->wants_write = false;
        opened(conn);
        if (!conn->is_dead && conn->state == OPEN) {
            pump_in(conn);
        }
        return;
    }
    int e = SSL_get_error(conn->ssl, r);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        conn->wants_write = e == SSL_ERROR_WANT_WRITE;
        return;
    }
    tls_failed(conn, "handshake");
}

static void dialed(struct conn *conn)
{
    int e = 0;
    socklen_t size = sizeof e;
    (void)getsockopt(conn->c.fd, SOL_SOCKET, SO_ERROR, &e, &size);
    if (e != 0) {
        errno = e;
        (void)err_errno(why(conn), "connect");
        broke(conn);
        return;
    }
    if (conn->ssl != NULL) {
        conn->state = SHAKING;
        shake(conn);
    } else {
        opened(conn);
    }
}

static void on_io(void *ctx, int events)
{
    struct conn *conn = ctx;
    if (!enter(conn)) {
        (void)leave(conn);
        return;
    }
    if (conn->state == DIALING) {
        dialed(conn);
    } else if (conn->state == SHAKING) {
        shake(conn);
    } else {
        if ((events & IO_WRITE) != 0) {
            pump_out(conn);
        }
        if ((events & (IO_READ | IO_HANGUP)) != 0 && !conn->is_dead) {
            pump_in(conn);
        }
    }
    if (leave(conn)) {
        set_events(conn);
    }
}

static void on_kick(void *ctx)
{
    struct conn *conn = ctx;
    (void)enter(conn);
    if (conn->unread.n > 0 && !conn->is_paused) {
        give_unread(conn);
    }
    if (!conn->is_dead && conn->is_more_due && !conn->is_paused) {
        pump_in(conn);
    }
    if (!conn->is_dead && conn->is_drain_due) {
        conn->is_drain_due = false;
        if (conn->c.drained != NULL && conn->state == OPEN) {
            conn->c.drained(conn->c.ctx);
        }
    }
    if (!conn->is_dead && conn->is_close_due) {
        conn->is_close_due = false;
        static const struct err good = {0};
        conn->c.closed(conn->c.ctx, conn->why == NULL ? &good : conn->why);
    }
    if (leave(conn)) {
        set_events(conn);
    }
}

struct conn *conn_new(const struct conn_config *config, struct err *err)
{
    struct conn *conn = xcalloc(1, sizeof *conn);
    conn->c = *config;
    buf_init(&conn->out, config->out_max);
    buf_init(&conn->unread, config->out_max);
    /* OpenSSL writes with write(2): a vanished peer would otherwise kill the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (config->tls != NULL) {
        conn->ssl = SSL_new(config->tls);
        if (conn->ssl == NULL || SSL_set_fd(conn->ssl, config->fd) != 1) {
            (void)err_set(err, ERR_INTERNAL, "new TLS connection failed");
            conn_free(conn);
            return NULL;
        }
        if (config->is_client) {
            SSL_set_connect_state(conn->ssl);
        } else {
            SSL_set_accept_state(conn->ssl);
        }
    }
    conn->state = config->is_client ? DIALING : (conn->ssl != NULL ? SHAKING : OPEN);
    conn->io_events = conn->state == DIALING ? IO_WRITE : IO_READ;
    conn->io = io_start(config->loop, config->fd, conn->io_events, on_io, conn, err);
    if (conn->io == NULL) {
        conn_free(conn);
        return NULL;
    }
    return conn;
}

void conn_free(struct conn *conn)
{
    if (conn == NULL || conn->is_dead) {
        return;
    }
    conn->is_dead = true;
    timer_stop(&conn->kick);
    timer_stop(&conn->linger);
    io_stop(conn->io);
    conn->io = NULL;
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    if (conn->c.fd >= 0) {
        (void)close(conn->c.fd);
    }
    conn->c.fd = -1;
    conn->state = BROKEN;
    conn->busy++;
    (void)leave(conn);
}

void conn_add(struct conn *conn, struct str bytes)
{
    if (conn->state == BROKEN || conn->state == CLOSING || conn->state == LINGERING) {
        return;
    }
    if (buf_add(&conn->out, bytes) < 0) {
        (void)err_set(why(conn), ERR_LIMIT, "more than %zu bytes wait to be sent", conn->c.out_max);
        broke(conn);
    }
}

void conn_flush(struct conn *conn)
{
    if (conn->state == OPEN) {
        pump_out(conn);
    }
}

size_t conn_backlog(const struct conn *conn)
{
    return conn->out.n - conn->out_at;
}

void conn_pause(struct conn *conn, bool is_paused)
{
    if (conn->is_paused == is_paused) {
        return;
    }
    conn->is_paused = is_paused;
    if (!is_paused && (conn->unread.n > 0 || conn->is_more_due)) {
        kick(conn);
    }
    set_events(conn);
}

void conn_finish(struct conn *conn)
{
    if (conn->state == BROKEN || conn->state == CLOSING || conn->state == LINGERING) {
        return;
    }
    if (conn->state != OPEN) {
        broke(conn);
        return;
    }
    conn->state = CLOSING;
    conn->linger_seen = conn_backlog(conn);
    timer_start(conn->c.loop, &conn->linger, conn->out.n == 0 ? CONN_LINGER : CONN_STALL,
                on_linger_over, conn);
    pump_out(conn);
}

void conn_break(struct conn *conn)
{
    (void)err_set(why(conn), ERR_TIMEOUT, "the other side doesn't read");
    broke(conn);
}

bool conn_is_open(const struct conn *conn)
{
    return conn->state == OPEN;
}

X509 *conn_peer_cert(const struct conn *conn)
{
    if (conn->ssl == NULL || SSL_get_verify_result(conn->ssl) != X509_V_OK) {
        return NULL;
    }
    return SSL_get1_peer_certificate(conn->ssl);
}

bool conn_is_http2(const struct conn *conn)
{
    const unsigned char *name = NULL;
    unsigned n = 0;
    if (conn->ssl != NULL) {
        SSL_get0_alpn_selected(conn->ssl, &name, &n);
    }
    return str_eq((struct str){(const char *)name, n}, S("h2"));
}

bool conn_has_bad_cert(const struct conn *conn)
{
    return conn->ssl != NULL && SSL_get_verify_result(conn->ssl) != X509_V_OK;
}

void conn_unread(struct conn *conn, struct str bytes)
{
    if (bytes.n > 0 && buf_add(&conn->unread, bytes) == 0) {
        kick(conn);
    }
}
