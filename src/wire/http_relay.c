// SPDX-License-Identifier: Apache-2.0
//
//   DIALING --connected--> ASKED --head of the answer--> ANSWERING --either end closes--> over
//      \---------------------\--failure--> failed
//
// The client leaving ends it from any state. An answer 1xx but 101 is dropped, and 101 opens the
// way for the client's bytes, which are dropped in any other case.
#include "wire/http_relay.h"

#include "base/limits.h"
#include "base/mem.h"
#include "wire/dial.h"
#include "wire/internal.h"
#include "wire/tls_internal.h"

#include <stdlib.h>

#define DIAL_LIMIT (10 * USEC_PER_SEC)

enum { RELAY_OUT_MAX = HEADER_BYTES_MAX + BODY_BYTES_MAX };
enum relay_state { RELAY_DIALING, RELAY_ASKED, RELAY_ANSWERING };

struct http_relay {
    struct http_relay_config c;
    struct http_exchange *x;
    struct conn *conn;
    enum relay_state state;
    struct timer timer; /* the dial's limit, or a failure found while starting */
    struct err err;
    struct buf head; /* of the answer, while it comes */
    struct buf out;
    char address[DIAL_ADDRESS_MAX];
    bool is_upgrade;  /* the client asks for another protocol */
    bool is_switched; /* and got it */
    bool is_paused;   /* the other server, by a slow client */
    bool is_client_paused;
};

static void relay_free(struct http_relay *r)
{
    timer_stop(&r->timer);
    conn_free(r->conn);
    buf_done(&r->head);
    buf_done(&r->out);
    free(r);
}

static void fail(void *ctx)
{
    struct http_relay *r = ctx;
    struct http_relay_config c = r->c;
    struct err err = r->err;
    http_on_closed(r->x, NULL, NULL);
    http_on_drained(r->x, NULL, NULL);
    relay_free(r);
    c.failed(c.ctx, &err);
}

void http_relay_end(struct http_relay *r)
{
    struct http_exchange *x = r->x;
    relay_free(r);
    http_raw_close(x);
}

/* is_whole: the answer came to its end; else a stream of it is cut off. */
static void finish(struct http_relay *r, bool is_whole)
{
    struct http_relay_config c = r->c;
    struct http_exchange *x = r->x;
    relay_free(r);
    (x->state == EXCHANGE_STREAMING && is_whole ? http_stream_end : http_raw_close)(x);
    c.over(c.ctx);
}

static void on_client_closed(void *ctx)
{
    finish(ctx, /*is_whole=*/false);
}

static void on_client_drained(void *ctx)
{
    struct http_relay *r = ctx;
    if (r->is_paused) {
        r->is_paused = false;
        conn_pause(r->conn, false);
    }
}

/* Bytes of the client behind its request. */
static void on_client_bytes(void *ctx, struct str bytes)
{
    struct http_relay *r = ctx;
    if (!r->is_switched) {
        return;
    }
    conn_add(r->conn, bytes);
    conn_flush(r->conn);
    if (conn_backlog(r->conn) > STREAM_BACKLOG_MAX) {
        r->is_client_paused = true;
        http_raw_pause(r->x, true);
    }
}

static void pass(struct http_relay *r, struct str bytes)
{
    (r->x->state == EXCHANGE_STREAMING ? http_stream_write : http_raw_write)(r->x, bytes);
    if (!r->is_paused && http_backlog(r->x) > STREAM_BACKLOG_MAX) {
        r->is_paused = true;
        conn_pause(r->conn, true);
    }
}

/* Headers of one connection, besides those that its Connection header names. */
static bool is_hop(struct str name)
{
    static const struct str hops[] = {
        {"Connection",          10},
        {"Keep-Alive",          10},
        {"Proxy-Connection",    16},
        {"Proxy-Authorization", 19},
        {"TE",                  2 },
        {"Upgrade",             7 },
    };
    for (size_t i = 0; i < ARRAY_LEN(hops); i++) {
        if (str_eq_nocase(name, hops[i])) {
            return true;
        }
    }
    return false;
}

static bool is_secret(const struct http_relay_config *config, struct str name)
{
    for (size_t i = 0; i < config->secrets_count; i++) {
        struct str secret = config->secrets[i];
        bool is_prefix = secret.n > 0 && secret.p[secret.n - 1] == '-';
        struct str head =
            is_prefix ? str_sub(name, 0, secret.n < name.n ? secret.n : name.n) : name;
        if (str_eq_nocase(head, secret)) {
            return true;
        }
    }
    return false;
}

/* The body came whole and unframed, whatever the client framed it with. */
static bool is_framing(struct str name)
{
    return str_eq_nocase(name, S("Content-Length")) ||
           str_eq_nocase(name, S("Transfer-Encoding")) || str_eq_nocase(name, S("Trailer")) ||
           str_eq_nocase(name, S("Expect"));
}

static void add_header(struct buf *out, struct str name, struct str value)
{
    (void)buf_addf(out, STR_FMT ": " STR_FMT "\r\n", STR_ARG(name), STR_ARG(value));
}

static void write_request(struct http_relay *r)
{
    const struct http_request *request = &r->x->request;
    struct str connection = http_header(request, S("Connection"));
    /* An answer for HTTP/2 is framed anew: as 1.0 it ends with the connection. */
    (void)buf_addf(&r->out, STR_FMT " " STR_FMT " HTTP/1.%d\r\n", STR_ARG(request->method),
                   STR_ARG(r->c.target), r->x->stream == NULL);
    for (size_t i = 0; i < request->headers_count; i++) {
        struct str name = request->headers[i].name;
        if (!is_hop(name) && !is_framing(name) && !http1_has_token(connection, name) &&
            !is_secret(&r->c, name)) {
            add_header(&r->out, name, request->headers[i].value);
        }
    }
    struct str peer = request->peer;
    add_header(&r->out, S("X-Forwarded-For"), str_sub(peer, 0, (size_t)str_rfind(peer, ':')));
    if (request->body.n > 0 || http_header(request, S("Content-Length")).n > 0) {
        (void)buf_addf(&r->out, "Content-Length: %zu\r\n", request->body.n);
    }
    if (r->is_upgrade) {
        add_header(&r->out, S("Connection"), S("Upgrade"));
        add_header(&r->out, S("Upgrade"), http_header(request, S("Upgrade")));
    } else {
        add_header(&r->out, S("Connection"), S("close"));
    }
    (void)buf_add(&r->out, S("\r\n"));
    (void)buf_add(&r->out, request->body);
}

/* "HTTP/1.1 200 OK": 200, or -1. */
static int status_code(struct str line)
{
    int64_t code = -1;
    struct str version = str_cut(&line, ' ');
    return str_starts(version, S("HTTP/1.")) && str_to_i64(str_cut(&line, ' '), &code) == 0 &&
                   code >= 100 && code <= 999
               ? (int)code
               : -1;
}

/* The same for a client of HTTP/2: the head as headers, what follows as a stream. */
static void send_head2(struct http_relay *r, int code, struct str head)
{
    auto_arena struct arena *arena = arena_new((size_t)4 * HEADER_BYTES_MAX);
    struct http_header *headers = NULL;
    size_t count = 0;
    size_t cap = 0;
    (void)str_cut(&head, '\n');
    while (head.p != NULL && head.n > 0) {
        struct str value = str_cut(&head, '\n');
        struct str name = str_trim(str_cut(&value, ':'));
        if (name.n > 0 && !is_hop(name) && !str_eq_nocase(name, S("Transfer-Encoding")) &&
            !str_eq_nocase(name, S("Date"))) { /* the stream has one */
            headers = arena_more(arena, headers, count, &cap, sizeof headers[0]);
            headers[count++] = (struct http_header){name, str_trim(value)};
        }
    }
    r->state = RELAY_ANSWERING;
    timer_stop(&r->timer);
    http_stream_begin(r->x, code, headers, count);
}

/* The answer's head for the client, and from here on the connection is a pipe. */
static void send_head(struct http_relay *r, struct str head, bool is_switched)
{
    auto_buf struct buf out;
    buf_init(&out, (size_t)2 * HEADER_BYTES_MAX);
    for (struct str rest = head; rest.p != NULL && rest.n > 0;) {
        struct str line = str_cut(&rest, '\n');
        struct str name = line;
        name = str_cut(&name, ':');
        if (is_switched || !is_hop(str_trim(name))) {
            (void)buf_addf(&out, STR_FMT "\r\n", STR_ARG(str_trim(line)));
        }
    }
    (void)buf_add(&out, is_switched ? S("\r\n") : S("Connection: close\r\n\r\n"));
    r->state = RELAY_ANSWERING;
    r->is_switched = is_switched;
    timer_stop(&r->timer);
    http_raw_begin(r->x, buf_str(&out), on_client_bytes, r);
}

static void on_head_bytes(struct http_relay *r, struct str bytes)
{
    if (buf_add(&r->head, bytes) < 0) {
        (void)err_set(&r->err, ERR_LIMIT, "net/http: server response headers exceeded %d bytes",
                      HEADER_BYTES_MAX);
        fail(r);
        return;
    }
    for (;;) {
        struct str all = buf_str(&r->head);
        ptrdiff_t end = str_search(all, S("\r\n\r\n"));
        if (end < 0) {
            return;
        }
        struct str head = str_sub(all, 0, (size_t)end);
        struct str rest = str_sub(all, (size_t)end + 4, all.n);
        struct str line = head;
        int code = status_code(str_cut(&line, '\r'));
        if (code < 0 || (code == 101 && !r->is_upgrade)) {
            (void)err_set(&r->err, ERR_SYNTAX, "net/http: malformed HTTP response");
            fail(r);
            return;
        }
        if (code >= 200 || code == 101) {
            if (r->x->stream != NULL) {
                send_head2(r, code, head);
            } else {
                send_head(r, head, code == 101);
            }
            pass(r, rest);
            return;
        }
        buf_consume(&r->head, (size_t)end + 4);
    }
}

static void on_bytes(void *ctx, struct str bytes)
{
    struct http_relay *r = ctx;
    if (r->state == RELAY_ANSWERING) {
        pass(r, bytes);
    } else {
        on_head_bytes(r, bytes);
    }
}

static void on_closed(void *ctx, const struct err *err)
{
    struct http_relay *r = ctx;
    if (r->state == RELAY_ANSWERING) {
        finish(r, err->code == 0);
        return;
    }
    struct err why = *err;
    dial_lower(&why);
    if (err->code == 0) {
        (void)err_set(&r->err, ERR_IO, "EOF");
    } else {
        (void)err_set(&r->err, ERR_IO, "%s tcp %s: %s", r->state == RELAY_DIALING ? "dial" : "read",
                      r->address, why.msg);
    }
    fail(r);
}

static void on_drained(void *ctx)
{
    struct http_relay *r = ctx;
    if (r->is_client_paused) {
        r->is_client_paused = false;
        http_raw_pause(r->x, false);
    }
}

static void on_opened(void *ctx)
{
    struct http_relay *r = ctx;
    timer_stop(&r->timer);
    r->state = RELAY_ASKED;
    conn_add(r->conn, buf_str(&r->out));
    conn_flush(r->conn);
    buf_done(&r->out);
    buf_init(&r->out, 0);
}

static void on_dial_limit(void *ctx)
{
    struct http_relay *r = ctx;
    (void)err_set(&r->err, ERR_TIMEOUT, "dial tcp %s: i/o timeout", r->address);
    fail(r);
}

static void dial(struct http_relay *r)
{
    int fd = dial_tcp(r->c.host, r->c.port, r->address, &r->err);
    if (fd < 0) {
        return;
    }
    SSL_CTX *tls = r->c.is_tls ? tls_client_ctx_unverified() : NULL;
    struct conn_config config = {
        .loop = r->c.loop,
        .fd = fd,
        .tls = tls,
        .is_client = true,
        .out_max = RELAY_OUT_MAX,
        .bytes = on_bytes,
        .closed = on_closed,
        .drained = on_drained,
        .opened = on_opened,
        .ctx = r,
    };
    r->conn = conn_new(&config, &r->err);
    SSL_CTX_free(tls);
}

struct http_relay *http_relay_start(struct http_exchange *x, const struct http_relay_config *config)
{
    struct http_relay *r = xcalloc(1, sizeof *r);
    r->c = *config;
    r->x = x;
    r->is_upgrade = http1_has_token(http_header(&x->request, S("Connection")), S("Upgrade")) &&
                    http_header(&x->request, S("Upgrade")).n > 0;
    buf_init(&r->head, HEADER_BYTES_MAX);
    buf_init(&r->out, RELAY_OUT_MAX);
    write_request(r);
    http_on_closed(x, on_client_closed, r);
    http_on_drained(x, on_client_drained, r);
    timer_start(config->loop, &r->timer, DIAL_LIMIT, on_dial_limit, r);
    dial(r);
    if (r->err.code != 0) {
        timer_start(config->loop, &r->timer, 0, fail, r);
    }
    return r;
}
