// SPDX-License-Identifier: Apache-2.0
//
// One request on a connection of its own, and the bare TCP connect, for probes and hooks. Errors
// are worded as Go's net/http does, since users read them in pod events.
#include "base/limits.h"
#include "base/mem.h"
#include "wire/conn.h"
#include "wire/dial.h"
#include "wire/http1.h"
#include "wire/tls_internal.h"

#include <stdlib.h>

enum { CALL_OUT_MAX = HEADER_BYTES_MAX + BODY_BYTES_MAX };

struct http_call {
    struct loop *loop;
    http_called_fn *done;
    void *ctx;
    struct conn *conn;
    struct http1 *parser; /* NULL = bare TCP */
    struct timer deadline;
    struct timer later; /* a failure found while starting */
    struct err err;
    char address[DIAL_ADDRESS_MAX];
    bool is_connected;
    struct buf out;
};

static void call_free(struct http_call *call)
{
    timer_stop(&call->deadline);
    timer_stop(&call->later);
    conn_free(call->conn);
    http1_free(call->parser);
    buf_done(&call->out);
    free(call);
}

static void finish(struct http_call *call, int code, struct str location, struct str body)
{
    http_called_fn *done = call->done;
    timer_stop(&call->deadline);
    done(call->ctx, code, location, body, call->err.code == 0 ? NULL : &call->err);
    call_free(call);
}

static void fail(void *ctx)
{
    finish(ctx, 0, S(""), S(""));
}

static void on_deadline(void *ctx)
{
    struct http_call *call = ctx;
    if (call->parser == NULL) {
        (void)err_set(&call->err, ERR_TIMEOUT, "dial tcp %s: i/o timeout", call->address);
    } else {
        (void)err_set(&call->err, ERR_TIMEOUT,
                      "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
    }
    fail(call);
}

static void answer(struct http_call *call)
{
    struct http1_message message;
    http1_take(call->parser, &message);
    struct str location = http1_header(message.headers, message.headers_count, S("Location"));
    finish(call, message.code, location, message.body);
    arena_free(message.arena);
}

static void on_bytes(void *ctx, struct str bytes)
{
    struct http_call *call = ctx;
    size_t used = 0;
    if (call->parser == NULL) {
        return;
    }
    int r = http1_feed(call->parser, bytes, &used, &call->err);
    if (r == HTTP1_MESSAGE) {
        answer(call);
    } else if (r < 0) {
        struct err cause = call->err;
        (void)err_set(&call->err, cause.code, "net/http: HTTP/1.x transport connection broken: %s",
                      cause.msg);
        fail(call);
    }
}

static void on_closed(void *ctx, const struct err *err)
{
    struct http_call *call = ctx;
    struct err why = *err;
    dial_lower(&why);
    if (err->code != 0 && !call->is_connected) {
        (void)err_set(&call->err, ERR_IO, "dial tcp %s: %s", call->address, why.msg);
    } else if (err->code != 0) {
        (void)err_set(&call->err, ERR_IO, "read tcp %s: %s", call->address, why.msg);
    } else if (call->parser != NULL && http1_end(call->parser, &call->err) == HTTP1_MESSAGE) {
        answer(call);
        return;
    } else if (call->err.code == 0) {
        (void)err_set(&call->err, ERR_IO, "EOF");
    }
    fail(call);
}

static void on_opened(void *ctx)
{
    struct http_call *call = ctx;
    call->is_connected = true;
    if (call->parser == NULL) {
        /* Done at once; from the timer, since the connection is on the stack. */
        timer_start(call->loop, &call->later, 0, fail, call);
        return;
    }
    conn_add(call->conn, buf_str(&call->out));
    buf_done(&call->out);
}

static void dial(struct http_call *call, struct str host, uint16_t port, bool is_tls)
{
    int fd = dial_tcp(host, port, call->address, &call->err);
    if (fd < 0) {
        return;
    }
    SSL_CTX *tls = is_tls ? tls_client_ctx_unverified() : NULL;
    struct conn_config config = {
        .loop = call->loop,
        .fd = fd,
        .tls = tls,
        .is_client = true,
        .out_max = CALL_OUT_MAX,
        .bytes = on_bytes,
        .closed = on_closed,
        .opened = on_opened,
        .ctx = call,
    };
    call->conn = conn_new(&config, &call->err);
    SSL_CTX_free(tls);
}

static struct http_call *start(struct loop *loop, usec timeout, http_called_fn *done, void *ctx)
{
    struct http_call *call = xcalloc(1, sizeof *call);
    call->loop = loop;
    call->done = done;
    call->ctx = ctx;
    buf_init(&call->out, CALL_OUT_MAX);
    timer_start(loop, &call->deadline, timeout, on_deadline, call);
    return call;
}

static void check_started(struct http_call *call)
{
    if (call->err.code != 0) {
        timer_start(call->loop, &call->later, 0, fail, call);
    }
}

static void write_request(struct buf *out, const struct http_call_config *config)
{
    (void)buf_add(out, config->method);
    (void)buf_addc(out, ' ');
    (void)buf_add(out, config->target);
    (void)buf_add(out, S(" HTTP/1.1\r\n"));
    if (http1_header(config->headers, config->headers_count, S("Host")).n == 0) {
        bool is_v6 = str_find(config->host, ':') >= 0;
        (void)buf_addf(out, is_v6 ? "Host: [%.*s]:%d\r\n" : "Host: %.*s:%d\r\n",
                       STR_ARG(config->host), config->port);
    }
    for (size_t i = 0; i < config->headers_count; i++) {
        (void)buf_add(out, config->headers[i].name);
        (void)buf_add(out, S(": "));
        (void)buf_add(out, config->headers[i].value);
        (void)buf_add(out, S("\r\n"));
    }
    (void)buf_add(out, S("Connection: close\r\n\r\n"));
}

struct http_call *http_call(struct loop *loop, const struct http_call_config *config,
                            http_called_fn *done, void *ctx)
{
    struct http_call *call = start(loop, config->timeout, done, ctx);
    call->parser = http1_new_response(HEADER_BYTES_MAX, config->body_bytes_max,
                                      str_eq(config->method, S("HEAD")));
    write_request(&call->out, config);
    dial(call, config->host, config->port, config->is_tls);
    check_started(call);
    return call;
}

void http_call_cancel(struct http_call *call)
{
    if (call != NULL) {
        call_free(call);
    }
}

struct http_call *tcp_call(struct loop *loop, struct str host, uint16_t port, usec timeout,
                           http_called_fn *done, void *ctx)
{
    struct http_call *call = start(loop, timeout, done, ctx);
    dial(call, host, port, /*is_tls=*/false);
    check_started(call);
    return call;
}
