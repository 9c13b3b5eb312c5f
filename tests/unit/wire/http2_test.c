// SPDX-License-Identifier: Apache-2.0
//
// The server's side of HTTP/2 against nghttp2's client side, in memory.
#include "test.h"

#include "base/limits.h"
#include "base/mem.h"
#include "wire/http2.h"

#include <nghttp2/nghttp2.h>

struct pair {
    struct loop *loop;
    struct http2 *server;
    nghttp2_session *client;
    struct buf log;              /* "1 GET /a [refused]", "gone 1", "drained 1" of the server */
    struct buf got;              /* "1 200 x-a=b", "1 +BYTES", "1 end CODE" of the client */
    bool is_echo;                /* answer each request at once with its body */
    struct http2_stream *stream; /* of the last request, when not */
    size_t data_got;
};

static void on_request(void *ctx, struct http2_stream *stream, int refused, struct str why)
{
    struct pair *pair = ctx;
    struct http1_message m;
    auto_buf struct buf body;
    http2_take(stream, &m, &body);
    (void)buf_addf(&pair->log, STR_FMT " " STR_FMT " %zu", STR_ARG(m.method), STR_ARG(m.target),
                   body.n);
    for (size_t i = 0; i < m.headers_count && m.headers[i].value.n < 32; i++) {
        (void)buf_addf(&pair->log, " " STR_FMT "=" STR_FMT, STR_ARG(m.headers[i].name),
                       STR_ARG(m.headers[i].value));
    }
    if (refused != 0) {
        (void)buf_addf(&pair->log, " refused %d " STR_FMT, refused, STR_ARG(why));
    }
    (void)buf_add(&pair->log, S("\n"));
    if (pair->is_echo) {
        const struct http_header headers[] = {
            {S("X-A"),               S("b\r\nx") },
            {S("Transfer-Encoding"), S("chunked")}
        };
        http2_head(stream, refused != 0 ? refused : 200, headers, 2, body.n == 0);
        if (body.n > 0) {
            http2_write(stream, buf_str(&body));
            http2_end(stream);
        }
        http2_release(stream);
    } else {
        http2_own(stream, pair);
        pair->stream = stream;
    }
    arena_free(m.arena);
}

static void on_gone(void *ctx, void *owner)
{
    struct pair *pair = ctx;
    EXPECT(owner == pair);
    (void)buf_addf(&pair->log, "gone\n");
}

static void on_drained(void *ctx, void *owner)
{
    struct pair *pair = ctx;
    EXPECT(owner == pair);
    (void)buf_addf(&pair->log, "drained\n");
}

static void on_work(void *ctx)
{
    (void)ctx;
}

static int client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                         size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                         void *ctx)
{
    struct pair *pair = ctx;
    (void)session;
    (void)frame;
    (void)flags;
    (void)buf_addf(&pair->got, "%.*s=%.*s ", (int)name_n, (const char *)name, (int)value_n,
                   (const char *)value);
    return 0;
}

static int client_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                       size_t n, void *ctx)
{
    struct pair *pair = ctx;
    (void)session;
    (void)flags;
    (void)id;
    (void)bytes;
    pair->data_got += n;
    return 0;
}

static int client_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct pair *pair = ctx;
    (void)session;
    (void)buf_addf(&pair->got, "end %d %u\n", id, code);
    return 0;
}

static void pair_open(struct pair *pair, bool is_echo)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    *pair = (struct pair){.loop = loop_new_virtual(0), .is_echo = is_echo};
    buf_init(&pair->log, 1 << 20);
    buf_init(&pair->got, 1 << 20);
    struct http2_config config = {.loop = pair->loop,
                                  .request_timeout = 60 * USEC_PER_SEC,
                                  .stall_timeout = 180 * USEC_PER_SEC,
                                  .request = on_request,
                                  .gone = on_gone,
                                  .drained = on_drained,
                                  .work = on_work,
                                  .ctx = pair};
    pair->server = http2_new(&config);
    EXPECT_INT(0, nghttp2_session_callbacks_new(&callbacks));
    nghttp2_session_callbacks_set_on_header_callback(callbacks, client_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_close);
    EXPECT_INT(0, nghttp2_option_new(&option)); /* the client's own limit is lower than ours */
    nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
    EXPECT_INT(0, nghttp2_session_client_new2(&pair->client, callbacks, pair, option));
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    EXPECT_INT(0, nghttp2_submit_settings(pair->client, NGHTTP2_FLAG_NONE, NULL, 0));
}

static void pair_close(struct pair *pair)
{
    http2_free(pair->server);
    nghttp2_session_del(pair->client);
    buf_done(&pair->log);
    buf_done(&pair->got);
    loop_free(pair->loop);
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void wait_for(struct pair *pair, usec span)
{
    struct timer timer = {0};
    timer_start(pair->loop, &timer, span, stop, pair->loop);
    loop_run(pair->loop);
}

/* Frames to and fro until both are silent. is_deaf: the client takes nothing. */
static int exchange(struct pair *pair, bool is_deaf)
{
    struct err err = {0};
    for (bool is_moving = true; is_moving;) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(pair->client, &bytes);
        is_moving = n > 0;
        if (n > 0 &&
            http2_feed(pair->server, (struct str){(const char *)bytes, (size_t)n}, &err) < 0) {
            return err.code;
        }
        http2_tell(pair->server);
        for (struct str out = S("x"); !is_deaf && out.n > 0;) {
            out = http2_out(pair->server);
            if (out.n > 0) {
                is_moving = true;
                EXPECT(nghttp2_session_mem_recv(pair->client, (const uint8_t *)out.p, out.n) >= 0);
            }
        }
    }
    return 0;
}

struct upload {
    size_t left;
};

static ssize_t upload_read(nghttp2_session *session, int32_t id, uint8_t *into, size_t max,
                           uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct upload *upload = source->ptr;
    size_t n = upload->left > max ? max : upload->left;
    (void)session;
    (void)id;
    (void)ctx;
    memset(into, 'u', n);
    upload->left -= n;
    if (upload->left == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static nghttp2_nv nv(const char *name, struct str value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .valuelen = value.n};
}

static int32_t ask(struct pair *pair, const char *method, const char *path, struct str extra,
                   struct upload *upload)
{
    const nghttp2_nv headers[] = {nv(":method", str_of(method)), nv(":scheme", S("https")),
                                  nv(":path", str_of(path)), nv(":authority", S("h")),
                                  nv("x-extra", extra)};
    nghttp2_data_provider body = {.source = {.ptr = upload}, .read_callback = upload_read};
    return nghttp2_submit_request(pair->client, NULL, headers, ARRAY_LEN(headers),
                                  upload == NULL ? NULL : &body, NULL);
}

TEST(http2_takes_requests_and_answers_them)
{
    struct pair pair;
    struct upload upload = {.left = 70000};
    pair_open(&pair, /*is_echo=*/true);
    (void)ask(&pair, "GET", "/a?b", S("1"), NULL);
    (void)ask(&pair, "POST", "/c", S("2"), &upload);
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT_STR("GET /a?b 0 host=h x-extra=1\nPOST /c 70000 host=h x-extra=2\n", buf_str(&pair.log));
    EXPECT_STR(":status=200 x-a=b  x end 1 0\n:status=200 x-a=b  x end 3 0\n", buf_str(&pair.got));
    EXPECT_INT(70000, pair.data_got);
    EXPECT(http2_is_idle(pair.server));
    pair_close(&pair);
}

TEST(http2_refuses_what_is_over_its_ceilings)
{
    struct pair pair;
    auto_buf struct buf big;
    struct upload upload = {.left = BODY_BYTES_MAX + 1};
    buf_init(&big, HEADER_BYTES_MAX);
    while (big.n < HEADER_BYTES_MAX / 2) {
        (void)buf_add(&big, S("0123456789"));
    }
    pair_open(&pair, /*is_echo=*/true);
    (void)ask(&pair, "POST", "/big", S("1"), &upload);
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT(str_search(buf_str(&pair.log), S("refused 413 limit is 3145728")) > 0);
    EXPECT(str_search(buf_str(&pair.got), S(":status=413")) >= 0);
    for (int i = 0; i < 2; i++) { /* near the ceiling, then over it */
        const nghttp2_nv headers[] = {
            nv(":method", S("GET")),  nv(":scheme", S("https")),
            nv(":path", S("/head")),  nv(":authority", S("h")),
            nv("x-a", buf_str(&big)), nv("x-b", i == 0 ? S("") : buf_str(&big))};
        buf_clear(&pair.log);
        EXPECT(nghttp2_submit_request(pair.client, NULL, headers, ARRAY_LEN(headers), NULL, NULL) >
               0);
        int r = exchange(&pair, false);
        bool is_taken = str_search(buf_str(&pair.log), S("GET /head 0")) >= 0 &&
                        str_search(buf_str(&pair.log), S("refused")) < 0;
        EXPECT(is_taken == (i == 0));
        EXPECT(i == 0 ? r == 0 : true);
    }
    pair_close(&pair);
}

TEST(http2_tells_when_a_client_gives_up)
{
    struct pair pair;
    pair_open(&pair, /*is_echo=*/false);
    int32_t id = ask(&pair, "GET", "/watch", S("1"), NULL);
    EXPECT_INT(0, exchange(&pair, false));
    http2_head(pair.stream, 200, NULL, 0, /*is_end=*/false);
    http2_write(pair.stream, S("event"));
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT_INT(5, pair.data_got);
    http2_write(pair.stream, S("more"));
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT_INT(9, pair.data_got);
    buf_clear(&pair.log);
    EXPECT_INT(0, nghttp2_submit_rst_stream(pair.client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL));
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT_STR("gone\n", buf_str(&pair.log));
    (void)ask(&pair, "GET", "/watch", S("1"), NULL);
    EXPECT_INT(0, exchange(&pair, false));
    buf_clear(&pair.log);
    http2_free(pair.server);
    pair.server = NULL;
    EXPECT_STR("gone\n", buf_str(&pair.log));
    pair_close(&pair);
}

TEST(http2_says_when_a_slow_client_caught_up_and_ends_one_that_does_not)
{
    struct pair pair;
    auto_free char *much = xcalloc(1, STREAM_BACKLOG_MAX + 1);
    pair_open(&pair, /*is_echo=*/false);
    (void)ask(&pair, "GET", "/watch", S("1"), NULL);
    EXPECT_INT(0, exchange(&pair, false));
    buf_clear(&pair.log);
    http2_head(pair.stream, 200, NULL, 0, /*is_end=*/false);
    http2_write(pair.stream, (struct str){much, STREAM_BACKLOG_MAX + 1});
    EXPECT_INT(STREAM_BACKLOG_MAX + 1, (int64_t)http2_backlog(pair.stream));
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT_INT(0, (int64_t)http2_backlog(pair.stream));
    EXPECT_STR("drained\n", buf_str(&pair.log));
    http2_write(pair.stream, (struct str){much, STREAM_BACKLOG_MAX + 1});
    EXPECT_INT(0, exchange(&pair, /*is_deaf=*/true));
    buf_clear(&pair.got);
    wait_for(&pair, 400 * USEC_PER_SEC);
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT(str_search(buf_str(&pair.got), S("end 1 8")) >= 0); /* CANCEL */
    EXPECT(str_search(buf_str(&pair.log), S("gone")) >= 0);
    pair_close(&pair);
}

TEST(http2_waits_a_minute_for_a_request)
{
    struct pair pair;
    struct upload never = {.left = 1 << 20};
    pair_open(&pair, /*is_echo=*/true);
    (void)ask(&pair, "POST", "/slow", S("1"), &never);
    for (int i = 0; i < 3; i++) { /* settings, headers, a first piece */
        const uint8_t *bytes;
        struct err err;
        ssize_t n = nghttp2_session_mem_send(pair.client, &bytes);
        EXPECT_OK(http2_feed(pair.server, (struct str){(const char *)bytes, (size_t)n}, &err));
        http2_tell(pair.server);
    }
    wait_for(&pair, 61 * USEC_PER_SEC);
    EXPECT_INT(0, exchange(&pair, false));
    EXPECT(str_search(buf_str(&pair.got), S("end 1 8")) >= 0);
    EXPECT_STR("", buf_str(&pair.log));
    pair_close(&pair);
}

TEST(http2_ends_a_session_that_resets_without_end)
{
    struct pair pair;
    int resets = 0;
    pair_open(&pair, /*is_echo=*/false);
    for (int code = 0; code == 0 && resets < 3000 && !http2_is_over(pair.server); resets++) {
        int32_t id = ask(&pair, "GET", "/", S("1"), NULL);
        code = exchange(&pair, false);
        if (id < 0 || code != 0 ||
            nghttp2_submit_rst_stream(pair.client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL) != 0) {
            break;
        }
        code = exchange(&pair, false);
        buf_clear(&pair.log);
    }
    EXPECT(resets > 900 && resets < 1100);
    pair_close(&pair);
}
