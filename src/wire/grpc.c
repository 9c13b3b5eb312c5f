// SPDX-License-Identifier: Apache-2.0
//
// Nothing ends inside of nghttp2's own callbacks: they only take notes, grpc_feed looks at them.
#include "wire/grpc.h"

#include "base/enc.h"
#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

enum { REPLY_BYTES_MAX = 64 << 10, OUT_BYTES_MAX = 256 << 10, PREFIX_BYTES = 5, STATUS_NONE = -1 };

struct grpc {
    nghttp2_session *session;
    struct buf request; /* prefix and message */
    size_t sent;
    struct buf reply;
    struct buf message;
    struct buf out;
    struct err err;
    int http_status;
    int status;
    bool is_closed; /* the stream is over */
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct grpc *g = ctx;
    struct str key = {(const char *)name, name_n};
    struct str text = {(const char *)value, value_n};
    uint64_t number = 0;
    (void)session;
    (void)frame;
    (void)flags;
    if (str_eq(key, S(":status")) && str_to_u64(text, &number) == 0 && number < 1000) {
        g->http_status = (int)number;
    } else if (str_eq(key, S("grpc-status")) && str_to_u64(text, &number) == 0 && number < 1000) {
        g->status = (int)number;
    } else if (str_eq(key, S("grpc-message"))) {
        buf_clear(&g->message);
        if (percent_decode(&g->message, text, /*is_query=*/false) < 0) {
            buf_clear(&g->message);
        }
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes,
                   size_t n, void *ctx)
{
    struct grpc *g = ctx;
    (void)session;
    (void)flags;
    (void)stream;
    if (buf_add(&g->reply, (struct str){(const char *)bytes, n}) < 0) {
        (void)err_set(&g->err, ERR_LIMIT, "the answer is over %d bytes", REPLY_BYTES_MAX);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *ctx)
{
    struct grpc *g = ctx;
    (void)session;
    (void)stream;
    g->is_closed = true;
    if (code != NGHTTP2_NO_ERROR && g->err.code == 0) {
        (void)err_set(&g->err, ERR_IO, "stream terminated by RST_STREAM with error code: %s",
                      nghttp2_http2_strerror(code));
    }
    return 0;
}

static ssize_t read_message(nghttp2_session *session, int32_t stream, uint8_t *into, size_t max,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct grpc *g = ctx;
    (void)session;
    (void)stream;
    (void)source;
    size_t n = g->request.n - g->sent;
    n = n > max ? max : n;
    memcpy(into, g->request.p + g->sent, n);
    g->sent += n;
    if (g->sent == g->request.n) {
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

static int open_session(struct grpc *g)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return -1;
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    int r = nghttp2_session_client_new(&g->session, callbacks, g);
    nghttp2_session_callbacks_del(callbacks);
    return r;
}

static int submit(struct grpc *g, struct str authority, struct str path, struct str user_agent)
{
    const nghttp2_nv headers[] = {pair(":method", S("POST")),
                                  pair(":scheme", S("http")),
                                  pair(":path", path),
                                  pair(":authority", authority),
                                  pair("content-type", S("application/grpc")),
                                  pair("user-agent", user_agent),
                                  pair("te", S("trailers"))};
    nghttp2_data_provider body = {.read_callback = read_message};
    return open_session(g) != 0 ||
                   nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, NULL, 0) != 0 ||
                   nghttp2_submit_request(g->session, NULL, headers, ARRAY_LEN(headers), &body,
                                          NULL) < 0
               ? -1
               : 0;
}

/* What the session has to say. */
static void gather(struct grpc *g)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(g->session, &bytes)) > 0) {
        if (buf_add(&g->out, (struct str){(const char *)bytes, (size_t)n}) < 0 &&
            g->err.code == 0) {
            (void)err_set(&g->err, ERR_LIMIT, "http2: the server doesn't read");
        }
    }
    if (n < 0 && g->err.code == 0) {
        (void)err_set(&g->err, ERR_IO, "http2: %s", nghttp2_strerror((int)n));
    }
}

struct grpc *grpc_new(struct str authority, struct str path, struct str message,
                      struct str user_agent, struct err *err)
{
    const unsigned char prefix[PREFIX_BYTES] = {
        0, (unsigned char)(message.n >> 24), (unsigned char)(message.n >> 16),
        (unsigned char)(message.n >> 8), (unsigned char)message.n};
    struct grpc *g = xcalloc(1, sizeof *g);
    g->status = STATUS_NONE;
    buf_init(&g->request, PREFIX_BYTES + message.n + 1);
    (void)buf_add(&g->request, (struct str){(const char *)prefix, sizeof prefix});
    (void)buf_add(&g->request, message);
    buf_init(&g->reply, REPLY_BYTES_MAX);
    buf_init(&g->message, REPLY_BYTES_MAX);
    buf_init(&g->out, OUT_BYTES_MAX);
    int r = submit(g, authority, path, user_agent);
    if (r == 0) {
        gather(g);
    }
    if (r < 0 || g->err.code != 0) {
        (void)err_set(err, ERR_INTERNAL, "no HTTP/2 session could be made");
        grpc_free(g);
        return NULL;
    }
    return g;
}

void grpc_free(struct grpc *g)
{
    if (g != NULL) {
        nghttp2_session_del(g->session);
        buf_done(&g->request);
        buf_done(&g->reply);
        buf_done(&g->message);
        buf_done(&g->out);
        free(g);
    }
}

struct buf *grpc_out(struct grpc *g)
{
    return &g->out;
}

int grpc_feed(struct grpc *g, struct str bytes, struct grpc_result *ret, struct err *err)
{
    ssize_t n = nghttp2_session_mem_recv(g->session, (const uint8_t *)bytes.p, bytes.n);
    bool is_answered = g->is_closed; /* what goes wrong after that is nobody's business */
    if (n < 0 && g->err.code == 0 && !is_answered) {
        (void)err_set(&g->err, ERR_IO, "connection error: %s", nghttp2_strerror((int)n));
    } else if (!is_answered) {
        gather(g);
    }
    bool is_dead =
        nghttp2_session_want_read(g->session) == 0 && nghttp2_session_want_write(g->session) == 0;
    if (g->err.code == 0 && is_dead && !g->is_closed) {
        (void)err_set(&g->err, ERR_IO, "connection error: the server broke the HTTP/2 protocol");
    }
    if (g->err.code == 0 && g->is_closed && g->status == STATUS_NONE) {
        (void)err_set(&g->err, ERR_IO,
                      g->http_status == 200
                          ? "the stream ended without a grpc-status"
                          : "unexpected HTTP status code received from server: %d",
                      g->http_status);
    }
    if (g->err.code != 0) {
        *err = g->err;
        return err->code;
    }
    struct str reply = buf_str(&g->reply);
    bool is_plain = reply.n >= PREFIX_BYTES && reply.p[0] == 0; /* not compressed */
    *ret = (struct grpc_result){.status = g->status,
                                .message = buf_str(&g->message),
                                .reply = is_plain ? str_sub(reply, PREFIX_BYTES, reply.n)
                                                  : (struct str){0}};
    return g->is_closed ? 1 : 0;
}
