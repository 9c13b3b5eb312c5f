// SPDX-License-Identifier: Apache-2.0
#include "wire/http1.h"

#include "test.h"

#define SC(text)                                                                                   \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static void note(struct buf *log, struct http1 *h, int code)
{
    struct http1_message m;
    http1_take(h, &m);
    (void)buf_addf(log, "%d %.*s %.*s [", code, STR_ARG(m.method), STR_ARG(m.target));
    for (size_t i = 0; i < m.headers_count; i++) {
        (void)buf_addf(log, "%.*s=%.*s;", STR_ARG(m.headers[i].name), STR_ARG(m.headers[i].value));
    }
    (void)buf_addf(log, "] '%.*s' %s%s\n", STR_ARG(m.body), m.is_keep_alive ? "keep" : "close",
                   m.is_upgrade ? " upgrade" : "");
    arena_free(m.arena);
}

/* All messages of a text, fed in pieces of step bytes. */
static void run(struct str in, size_t step, struct buf *log)
{
    struct http1 *h = http1_new_request(200, 20);
    struct err err = {0};
    for (size_t at = 0; at < in.n; at += step) {
        struct str piece = str_sub(in, at, at + step);
        while (piece.n > 0) {
            size_t used = 0;
            int r = http1_feed(h, piece, &used, &err);
            piece = str_sub(piece, used, piece.n);
            if (r == HTTP1_CONTINUE) {
                (void)buf_add(log, S("continue\n"));
            } else if (r == HTTP1_MESSAGE) {
                note(log, h, 200);
                http1_next(h);
            } else if (r < 0) {
                (void)buf_addf(log, "%s%s\n", err_name(r), http1_is_head_over(h) ? " head" : "");
                http1_free(h);
                return;
            }
        }
    }
    http1_free(h);
}

TEST(http1_reads_requests_whole_and_bytewise)
{
    static const struct {
        struct str in;
        const char *want;
    } cases[] = {
        {SC("GET /api?x=1 HTTP/1.1\r\nHost: a\r\nEmpty:\r\nAccept:  x \r\n\r\n"),
         "200 GET /api?x=1 [Host=a;Empty=;Accept=x;] '' keep\n"                                                              },
        {SC("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n"),
         "200 POST /a [Content-Length=3;] 'abc' keep\n200 GET /b [] '' keep\n"                                               },
        {SC("PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
         "200 PUT /a [Transfer-Encoding=chunked;] 'abc' keep\n"                                                              },
        {SC("GET / HTTP/1.0\r\n\r\n"),                                                              "200 GET / [] '' close\n"},
        {SC("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
         "200 GET / [Connection=close;] '' close\n"                                                                          },
        {SC("GET /e HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
         "200 GET /e [Connection=Upgrade;Upgrade=websocket;] '' keep upgrade\n"                                              },
        {SC("POST / HTTP/1.1\r\nContent-Length: 21\r\n\r\n"),                                       "LIMIT\n"                },
        {SC("POST / HTTP/1.1\r\nTransfer-Encoding: "
            "chunked\r\n\r\n15\r\n012345678901234567890\r\n"),
         "LIMIT\n"                                                                                                           },
        {SC("FOO\r\n\r\n"),                                                                         "SYNTAX\n"               },
        {SC("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "SYNTAX\n"                                                                                                          },
        {SC("GET / HTTP/1.1\r\nA: "
            "0123456789012345678901234567890123456789012345678901234567890123456"
            "789\r\nB: "
            "012345678901234567890123456789012345678901234567890123456789012345678901234567"
            "89\r\nC: 01234567890123456789012345678901234567890123456789\r\n\r\n"),
         "LIMIT head\n"                                                                                                      },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step < 400; step = step * 3 + 1) {
            auto_buf struct buf log;
            buf_init(&log, 4096);
            run(cases[i].in, step, &log);
            EXPECT_STR(cases[i].want, buf_str(&log));
        }
    }
}

TEST(http1_tells_when_to_continue)
{
    auto_buf struct buf log;
    buf_init(&log, 4096);
    run(S("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"), 1, &log);
    EXPECT_STR("continue\n200 POST / [Expect=100-continue;Content-Length=1;] 'x' keep\n",
               buf_str(&log));
}

TEST(http1_reads_a_response_that_ends_with_its_connection)
{
    struct err err = {0};
    size_t used = 0;
    struct http1_message m;
    struct http1 *h = http1_new_response(1000, 4, false);
    struct str in =
        S("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nbodyand");
    EXPECT_INT(HTTP1_MORE, http1_feed(h, in, &used, &err));
    EXPECT_INT(HTTP1_MESSAGE, http1_end(h, &err));
    http1_take(h, &m);
    EXPECT_INT(302, m.code);
    EXPECT_STR("/x", http1_header(m.headers, m.headers_count, S("location")));
    EXPECT_STR("body", m.body);
    EXPECT(m.is_body_cut);
    arena_free(m.arena);
    http1_free(h);
}
