// SPDX-License-Identifier: Apache-2.0
//
// A unary call against an nghttp2 server on a socket of this process' own.
#include "wire/grpc_call.h"

#include "test.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    struct loop *loop;
    nghttp2_session *session;
    struct io *accept_io, *io;
    int listener, fd;
    uint16_t port;
    const char *status; /* NULL = never answers */
    const char *reply;
    size_t reply_n, reply_sent;
    struct buf path, body;
    bool is_done;
    int got_status;
    int got_err;
    struct buf got;
};

static ssize_t give(nghttp2_session *session, int32_t stream, uint8_t *into, size_t max,
                    uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct peer *p = ctx;
    size_t n = p->reply_n > max ? max : p->reply_n;
    nghttp2_nv trailer = {(uint8_t *)(uintptr_t) "grpc-status", (uint8_t *)(uintptr_t)p->status, 11,
                          strlen(p->status), 0};
    (void)source;
    memcpy(into, p->reply, n);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    EXPECT_INT(0, nghttp2_submit_trailer(session, stream, &trailer, 1));
    return (ssize_t)n;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct peer *p = ctx;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && p->status) {
        nghttp2_nv head[] = {
            {(uint8_t *)(uintptr_t) ":status",      (uint8_t *)(uintptr_t) "200",              7,  3, 0},
            {(uint8_t *)(uintptr_t) "content-type", (uint8_t *)(uintptr_t) "application/grpc", 12,
             16,                                                                                      0}
        };
        nghttp2_data_provider body = {.read_callback = give};
        EXPECT_INT(0, nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &body));
    }
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes,
                    size_t n, void *ctx)
{
    struct peer *p = ctx;
    (void)session;
    (void)flags;
    (void)stream;
    return buf_add(&p->body, (struct str){(const char *)bytes, n});
}

static int on_head(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                   size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct peer *p = ctx;
    (void)session;
    (void)frame;
    (void)flags;
    struct str key = {(const char *)name, name_n};
    return str_eq(key, S(":path")) ? buf_add(&p->path, (struct str){(const char *)value, value_n})
                                   : 0;
}

static void on_io(void *ctx, int events)
{
    struct peer *p = ctx;
    uint8_t bytes[4096];
    const uint8_t *out;
    ssize_t n = read(p->fd, bytes, sizeof bytes);
    (void)events;
    if (n <= 0) {
        io_stop(p->io);
        p->io = NULL;
        return;
    }
    EXPECT_INT(n, nghttp2_session_mem_recv(p->session, bytes, (size_t)n));
    while ((n = nghttp2_session_mem_send(p->session, &out)) > 0) {
        EXPECT_INT(n, write(p->fd, out, (size_t)n));
    }
}

static void on_accept(void *ctx, int events)
{
    struct peer *p = ctx;
    struct err err = {0};
    nghttp2_session_callbacks *callbacks;
    (void)events;
    p->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    io_stop(p->accept_io);
    p->accept_io = NULL;
    EXPECT_INT(0, nghttp2_session_callbacks_new(&callbacks));
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_head);
    EXPECT_INT(0, nghttp2_session_server_new(&p->session, callbacks, p));
    nghttp2_session_callbacks_del(callbacks);
    EXPECT_INT(0, nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, NULL, 0));
    p->io = io_start(p->loop, p->fd, IO_READ, on_io, p, &err);
    EXPECT(p->io != NULL);
}

static void on_called(void *ctx, const struct grpc_answer *answer, const struct err *err)
{
    struct peer *p = ctx;
    p->is_done = true;
    p->got_status = answer->status;
    p->got_err = err ? err->code : 0;
    (void)buf_add(&p->got, answer->reply);
    loop_stop(p->loop);
}

static void run(struct peer *p, bool has_server)
{
    struct err err = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t in_n = sizeof in;
    p->loop = loop_new();
    p->fd = -1;
    buf_init(&p->path, 4096);
    buf_init(&p->body, 4096);
    buf_init(&p->got, 4096);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    EXPECT_INT(0, bind(p->listener, (struct sockaddr *)&in, sizeof in));
    EXPECT_INT(0, getsockname(p->listener, (struct sockaddr *)&in, &in_n));
    if (has_server) {
        EXPECT_INT(0, listen(p->listener, 1));
        p->accept_io = io_start(p->loop, p->listener, IO_READ, on_accept, p, &err);
    }
    struct grpc_call_config config = {.host = S("127.0.0.1"),
                                      .port = ntohs(in.sin_port),
                                      .path = S("/a.B/C"),
                                      .message = S("hello"),
                                      .user_agent = S("test"),
                                      .timeout = 200 * USEC_PER_MS};
    EXPECT(grpc_call(p->loop, &config, on_called, p) != NULL);
    loop_run(p->loop);
    io_stop(p->accept_io);
    io_stop(p->io);
    nghttp2_session_del(p->session);
    (void)close(p->listener);
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    loop_free(p->loop);
}

static void done(struct peer *p)
{
    buf_done(&p->path);
    buf_done(&p->body);
    buf_done(&p->got);
}

TEST(grpc_call_carries_a_message_there_and_back)
{
    struct peer p = {.status = "0", .reply = "\0\0\0\0\2ok", .reply_n = 7};
    run(&p, true);
    EXPECT(p.is_done);
    EXPECT_INT(0, p.got_err);
    EXPECT_INT(0, p.got_status);
    EXPECT_STR("ok", buf_str(&p.got));
    EXPECT_STR("/a.B/C", buf_str(&p.path));
    EXPECT_INT(10, p.body.n);
    EXPECT_STR("hello", str_sub(buf_str(&p.body), 5, 10));
    done(&p);
}

TEST(grpc_call_tells_status_timeout_and_refusal)
{
    struct peer unimplemented = {.status = "12", .reply = ""};
    run(&unimplemented, true);
    EXPECT_INT(0, unimplemented.got_err);
    EXPECT_INT(12, unimplemented.got_status);
    done(&unimplemented);
    struct peer silent = {.status = NULL};
    run(&silent, true);
    EXPECT_INT(ERR_TIMEOUT, silent.got_err);
    done(&silent);
    struct peer absent = {.status = NULL};
    run(&absent, false);
    EXPECT_INT(ERR_IO, absent.got_err);
    done(&absent);
}
