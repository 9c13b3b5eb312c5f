// SPDX-License-Identifier: Apache-2.0
//
// Heads of requests: what is served, what is refused with which status, whole and byte by byte.
#include "test.h"

#include "http_request.h"

#include <stdio.h>
#include <string.h>

#define H "Host: x\r\n"

/* request, status, path, HEAD, kept alive */
static const struct {
    const char *text;
    int status;
    const char *path;
    bool is_head, keep_alive;
} heads[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n",                               0,   "/",        false, true },
    {"\r\nGET / HTTP/1.1\r\n" H "\r\n",                           0,   "/",        false, true },
    {"GET /visits?x=1 HTTP/1.1\n" H "\n",                         0,   "/visits",  false, true },
    {"HEAD / HTTP/1.1\r\n" H "\r\n",                              0,   "/",        true,  true },
    {"GET http://a.b/metrics HTTP/1.1\r\n" H "\r\n",              0,   "/metrics", false, true },
    {"GET / HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n",       0,   "/",        false, false},
    {"GET / HTTP/1.0\r\n\r\n",                                    0,   "/",        false, false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",          0,   "/",        false, true },
    {"GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n",          0,   "/",        false, false},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",          0,   "/",        false, true },
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 0,   "/",        false, false},
    {"GET / HTTP/1.1\r\n\r\n",                                    400, "",         false, false},
    {"GET / HTTP/1.1\r\n" H H "\r\n",                             400, "",         false, false},
    {"GET  / HTTP/1.1\r\n" H "\r\n",                              400, "",         false, false},
    {"GET /\r\n\r\n",                                             400, "",         false, false},
    {"GET x HTTP/1.1\r\n" H "\r\n",                               400, "",         false, false},
    {"GET http://a HTTP/1.1\r\n" H "\r\n",                        400, "",         false, false},
    {"G(T / HTTP/1.1\r\n" H "\r\n",                               400, "",         false, false},
    {"GET / HTTP/1.1\r\n" H "No colon\r\n\r\n",                   400, "",         false, false},
    {"GET / HTTP/1.1\r\nHost : x\r\n\r\n",                        400, "",         false, false},
    {"GET / HTTP/1.1\r\n" H " folded\r\n\r\n",                    400, "",         false, false},
    {"GET / HTTP/1.1\r\n" H "A: b\rC: d\r\n\r\n",                 400, "",         false, false},
    {"POST / HTTP/1.1\r\n" H "\r\n",                              405, "",         false, false},
    {"PRI * HTTP/2.0\r\n\r\n",                                    505, "",         false, false},
    {"GET / HTTP/1.2\r\n" H "\r\n",                               505, "",         false, false},
    {"\x16\x03\x01 \n",                                           400, "",         false, false},
};

TEST(http_request_heads)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct http_request req;
        size_t n = strlen(heads[i].text);
        EXPECT_INT(n, http_request_read(heads[i].text, n, &req));
        EXPECT_INT(heads[i].status, req.status);
        if (req.status == 0) {
            EXPECT_STR(heads[i].path, str_of(req.path));
            EXPECT_INT(heads[i].is_head, req.is_head);
        }
        EXPECT_INT(heads[i].keep_alive, req.keep_alive);
    }
}

TEST(http_request_wants_more_until_whole)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct http_request req;
        size_t n = strlen(heads[i].text);
        for (size_t part = 0; heads[i].status == 0 && part < n; part++) {
            EXPECT_INT(0, http_request_read(heads[i].text, part, &req));
        }
    }
}

TEST(http_request_takes_one_of_two)
{
    static const char two[] = "GET /a HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n";
    struct http_request req;
    size_t first = http_request_read(two, sizeof two - 1, &req);
    EXPECT_STR("/a", str_of(req.path));
    EXPECT_INT(sizeof two - 1 - first,
               http_request_read(two + first, sizeof two - 1 - first, &req));
    EXPECT_STR("/b", str_of(req.path));
}

TEST(http_request_limits)
{
    static char text[HTTP_HEAD_MAX + 1] = "GET / HTTP/1.1\r\n" H "A: ";
    struct http_request req;
    size_t n = strlen(text);
    memset(text + n, 'a', HTTP_HEAD_MAX - n);
    EXPECT_INT(0, http_request_read(text, HTTP_HEAD_MAX - 1, &req));
    EXPECT_INT(HTTP_HEAD_MAX, http_request_read(text, HTTP_HEAD_MAX, &req));
    EXPECT_INT(431, req.status);

    memset(text, 'a', HTTP_HEAD_MAX);
    EXPECT_INT(HTTP_HEAD_MAX, http_request_read(text, HTTP_HEAD_MAX, &req));
    EXPECT_INT(431, req.status);

    n = (size_t)snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\n" H "\r\n", HTTP_PATH_MAX, 0);
    EXPECT_INT(n, http_request_read(text, n, &req));
    EXPECT_INT(414, req.status);
}
