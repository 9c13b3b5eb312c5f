// SPDX-License-Identifier: Apache-2.0
//
// An nghttp2 client session between conn and the caller. The session ends outside of nghttp2's own
// callbacks: they only take notes, settle() looks at the notes.
#include "wire/grpc_call.h"

#include "base/enc.h"
#include "base/mem.h"
#include "wire/conn.h"
#include "wire/dial.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <unistd.h>

enum { REPLY_BYTES_MAX = 64 << 10, OUT_BYTES_MAX = 256 << 10, PREFIX_BYTES = 5, STATUS_NONE = -1 };

struct grpc_call {
    struct loop *loop;
    grpc_called_fn *done;
    void *ctx;
    struct conn *conn;
    nghttp2_session *session;
    struct timer deadline;
    struct timer later;
    struct err err;
    char address[DIAL_ADDRESS_MAX];
    struct buf authority, path, user_agent;
    struct buf out; /* prefix and message */
    size_t sent;
    struct buf reply;
    struct buf message;
    int http_status;
    int status;
    bool is_connected;
    bool is_closed; /* the stream is over */
};

static void call_free(struct grpc_call *call)
{
    struct buf *all[] = {&call->authority, &call->path,  &call->user_agent,
                         &call->out,       &call->reply, &call->message};
    timer_stop(&call->deadline);
    timer_stop(&call->later);
    nghttp2_session_del(call->session);
    conn_free(call->conn);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        buf_done(all[i]);
    }
    free(call);
}

/* --- the end --- */

static void finish(struct grpc_call *call)
{
    struct grpc_answer answer = {.is_connected = call->is_connected,
                                 .status = call->status,
                                 .message = buf_str(&call->message)};
    struct str reply = buf_str(&call->reply);
    if (reply.n >= PREFIX_BYTES && reply.p[0] == 0) { /* not compressed */
        answer.reply = str_sub(reply, PREFIX_BYTES, reply.n);
    }
    timer_stop(&call->deadline);
    call->done(call->ctx, &answer, call->err.code == 0 ? NULL : &call->err);
    call_free(call);
}

static void fail(void *ctx)
{
    finish(ctx);
}

static void on_deadline(void *ctx)
{
    struct grpc_call *call = ctx;
    (void)err_set(&call->err, ERR_TIMEOUT, "context deadline exceeded");
    finish(call);
}

/* Sends what the session has to say; true = the call is over. */
static bool settle(struct grpc_call *call)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(call->session, &bytes)) > 0) {
        conn_add(call->conn, (struct str){(const char *)bytes, (size_t)n});
    }
    if (n < 0 && call->err.code == 0) {
        (void)err_set(&call->err, ERR_IO, "http2: %s", nghttp2_strerror((int)n));
    }
    if (call->err.code == 0 && !call->is_closed) {
        return false;
    }
    if (call->err.code == 0 && call->status == STATUS_NONE) {
        (void)err_set(&call->err, ERR_IO,
                      call->http_status == 200
                          ? "the stream ended without a grpc-status"
                          : "unexpected HTTP status code received from server: %d",
                      call->http_status);
    }
    finish(call);
    return true;
}

/* --- nghttp2 --- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct grpc_call *call = ctx;
    struct str key = {(const char *)name, name_n};
    struct str text = {(const char *)value, value_n};
    uint64_t number = 0;
    (void)session;
    (void)frame;
    (void)flags;
    if (str_eq(key, S(":status")) && str_to_u64(text, &number) == 0 && number < 1000) {
        call->http_status = (int)number;
    } else if (str_eq(key, S("grpc-status")) && str_to_u64(text, &number) == 0 && number < 1000) {
        call->status = (int)number;
    } else if (str_eq(key, S("grpc-message"))) {
        buf_clear(&call->message);
        if (percent_decode(&call->message, text, /*is_query=*/false) < 0) {
            buf_clear(&call->message);
        }
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes,
                   size_t n, void *ctx)
{
    struct grpc_call *call = ctx;
    (void)session;
    (void)flags;
    (void)stream;
    if (buf_add(&call->reply, (struct str){(const char *)bytes, n}) < 0) {
        (void)err_set(&call->err, ERR_LIMIT, "the answer is over %d bytes", REPLY_BYTES_MAX);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *ctx)
{
    struct grpc_call *call = ctx;
    (void)session;
    (void)stream;
    call->is_closed = true;
    if (code != NGHTTP2_NO_ERROR && call->status == STATUS_NONE && call->err.code == 0) {
        (void)err_set(&call->err, ERR_IO, "stream terminated by RST_STREAM with error code: %s",
                      nghttp2_http2_strerror(code));
    }
    return 0;
}

static ssize_t read_message(nghttp2_session *session, int32_t stream, uint8_t *into, size_t max,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct grpc_call *call = ctx;
    (void)session;
    (void)stream;
    (void)source;
    size_t n = call->out.n - call->sent;
    n = n > max ? max : n;
    memcpy(into, call->out.p + call->sent, n);
    call->sent += n;
    if (call->sent == call->out.n) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static nghttp2_nv pair(const char *name, struct str value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .valuelen = value.n};
}

static int open_session(struct grpc_call *call)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return -1;
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    int r = nghttp2_session_client_new(&call->session, callbacks, call);
    nghttp2_session_callbacks_del(callbacks);
    return r;
}

static void submit(struct grpc_call *call)
{
    const nghttp2_nv headers[] = {pair(":method", S("POST")),
                                  pair(":scheme", S("http")),
                                  pair(":path", buf_str(&call->path)),
                                  pair(":authority", buf_str(&call->authority)),
                                  pair("content-type", S("application/grpc")),
                                  pair("user-agent", buf_str(&call->user_agent)),
                                  pair("te", S("trailers"))};
    nghttp2_data_provider body = {.read_callback = read_message};
    if (open_session(call) != 0 ||
        nghttp2_submit_settings(call->session, NGHTTP2_FLAG_NONE, NULL, 0) != 0 ||
        nghttp2_submit_request(call->session, NULL, headers, ARRAY_LEN(headers), &body, NULL) < 0) {
        (void)err_set(&call->err, ERR_INTERNAL, "no HTTP/2 session could be made");
    }
}

/* --- the connection --- */

static void on_opened(void *ctx)
{
    struct grpc_call *call = ctx;
    call->is_connected = true;
    submit(call);
    if (call->err.code != 0) {
        timer_start(call->loop, &call->later, 0, fail, call);
    } else {
        (void)settle(call);
    }
}

static void on_bytes(void *ctx, struct str bytes)
{
    struct grpc_call *call = ctx;
    if (call->session == NULL) {
        return;
    }
    ssize_t n = nghttp2_session_mem_recv(call->session, (const uint8_t *)bytes.p, bytes.n);
    if (n < 0 && call->err.code == 0) {
        (void)err_set(&call->err, ERR_IO, "connection error: %s", nghttp2_strerror((int)n));
    }
    (void)settle(call);
}

static void on_closed(void *ctx, const struct err *err)
{
    struct grpc_call *call = ctx;
    struct err why = *err;
    dial_lower(&why);
    if (call->err.code == 0 && !call->is_connected) {
        (void)err_set(
            &call->err, ERR_IO,
            "connection error: desc = \"transport: Error while dialing: dial tcp %s: %s\"",
            call->address, why.msg);
    } else if (call->err.code == 0) {
        (void)err_set(&call->err, ERR_IO, "error reading from server: %s",
                      err->code == 0 ? "EOF" : why.msg);
    }
    finish(call);
}

static void add_text(struct buf *out, struct str text)
{
    buf_init(out, text.n + 1);
    (void)buf_add(out, text);
}

struct grpc_call *grpc_call(struct loop *loop, const struct grpc_call_config *config,
                            grpc_called_fn *done, void *ctx)
{
    struct grpc_call *call = xcalloc(1, sizeof *call);
    const unsigned char prefix[PREFIX_BYTES] = {
        0, (unsigned char)(config->message.n >> 24), (unsigned char)(config->message.n >> 16),
        (unsigned char)(config->message.n >> 8), (unsigned char)config->message.n};
    call->loop = loop;
    call->done = done;
    call->ctx = ctx;
    call->status = STATUS_NONE;
    add_text(&call->path, config->path);
    add_text(&call->user_agent, config->user_agent);
    buf_init(&call->out, PREFIX_BYTES + config->message.n + 1);
    (void)buf_add(&call->out, (struct str){(const char *)prefix, sizeof prefix});
    (void)buf_add(&call->out, config->message);
    buf_init(&call->reply, REPLY_BYTES_MAX);
    buf_init(&call->message, REPLY_BYTES_MAX);
    timer_start(loop, &call->deadline, config->timeout, on_deadline, call);
    int fd = dial_tcp(config->host, config->port, call->address, &call->err);
    add_text(&call->authority, str_of(call->address));
    if (fd >= 0) {
        struct conn_config conn = {.loop = loop,
                                   .fd = fd,
                                   .is_client = true,
                                   .out_max = OUT_BYTES_MAX,
                                   .bytes = on_bytes,
                                   .closed = on_closed,
                                   .opened = on_opened,
                                   .ctx = call};
        call->conn = conn_new(&conn, &call->err);
    }
    if (call->conn == NULL) {
        timer_start(loop, &call->later, 0, fail, call);
    }
    return call;
}

void grpc_call_cancel(struct grpc_call *call)
{
    if (call != NULL) {
        call_free(call);
    }
}
