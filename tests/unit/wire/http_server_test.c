// SPDX-License-Identifier: Apache-2.0
//
// The server over a loopback socket: the client is a blocking script on a pool thread.
#include "wire/http.h"

#include "test.h"

#include "base/limits.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    struct str script; /* what the client sends; '\x01' in it waits for the next reply byte */
    struct buf got;
    size_t closed_count;
    struct http_exchange *held;
    int client;
    struct timer later;
};

static int listen_any(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&at, sizeof at));
    assert_int_equal(0, listen(fd, 8));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&at, &size));
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void echo_raw(void *ctx, struct str bytes)
{
    struct fixture *f = ctx;
    http_raw_write(f->held, bytes);
    if (bytes.n > 0 && bytes.p[bytes.n - 1] == '.') {
        http_raw_close(f->held);
    }
}

static void reply_later(void *ctx)
{
    struct fixture *f = ctx;
    http_reply(f->held, 200, NULL, 0, S("later"));
}

static void note_closed(void *ctx)
{
    struct fixture *f = ctx;
    f->closed_count++;
    http_stream_end(f->held);
    loop_stop(f->loop);
}

static void on_request(void *ctx, struct http_request *request)
{
    struct fixture *f = ctx;
    struct http_exchange *x = request->exchange;
    struct str q = S("");
    f->held = x;
    if (request->refused != 0) {
        http_reply(x, request->refused, NULL, 0, request->why);
    } else if (str_eq(request->path, S("/stream"))) {
        http_stream_begin(x, 200, NULL, 0);
        http_stream_write(x, S("one"));
        http_stream_write(x, S("two"));
        http_stream_end(x);
    } else if (str_eq(request->path, S("/hang"))) {
        http_on_closed(x, note_closed, f);
        http_stream_begin(x, 200, NULL, 0);
    } else if (str_eq(request->path, S("/flood"))) {
        http_on_closed(x, note_closed, f);
        http_stream_begin(x, 200, NULL, 0);
        while (http_backlog(x) <= STREAM_BACKLOG_MAX) {
            http_stream_write(
                x, S("0123456789012345678901234567890123456789012345678901234567890123"));
        }
    } else if (str_eq(request->path, S("/later"))) {
        timer_start(f->loop, &f->later, 1000, reply_later, f);
    } else if (str_eq(request->path, S("/upgrade"))) {
        struct http_header h = {S("Upgrade"), S("echo")};
        http_upgrade(x, &h, 1, echo_raw, f);
    } else {
        (void)http_query(request, S("q"), 1, &q);
        http_reply(x, 200, NULL, 0,
                   arena_fmt(request->arena, STR_FMT " " STR_FMT " [" STR_FMT "] " STR_FMT,
                             STR_ARG(request->method), STR_ARG(request->path), STR_ARG(q),
                             STR_ARG(request->body)));
    }
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)connect(fd, (struct sockaddr *)&at, sizeof at); /* what follows fails if this does */
    return fd;
}

static void client(void *ctx)
{
    struct fixture *f = ctx;
    char bytes[4096];
    ssize_t n;
    int fd = connect_to(f->port);
    for (struct str rest = f->script; rest.p != NULL;) {
        struct str piece = str_cut(&rest, '\x01');
        (void)send(fd, piece.p, piece.n, MSG_NOSIGNAL);
        if (rest.p != NULL && (n = recv(fd, bytes, sizeof bytes, 0)) > 0) {
            (void)buf_add(&f->got, (struct str){bytes, (size_t)n});
        }
    }
    while (!str_ends(f->script, S("\x01")) && (n = recv(fd, bytes, sizeof bytes, 0)) > 0) {
        (void)buf_add(&f->got, (struct str){bytes, (size_t)n});
    }
    (void)close(fd);
}

static void client_done(void *ctx)
{
    struct fixture *f = ctx;
    if (!str_ends(f->script, S("\x01"))) {
        loop_stop(f->loop);
    }
}

/* Runs a script; the replies without their Date lines. */
static void run(struct str script, struct buf *ret, size_t *ret_closed)
{
    struct err err = {0};
    struct fixture f = {.loop = loop_new(), .script = script};
    buf_init(&f.got, 1 << 20);
    struct http_server_config config = {.loop = f.loop, .request = on_request, .ctx = &f};
    f.server = http_server_new(&config);
    EXPECT_OK(http_server_listen(f.server, listen_any(&f.port), &err));
    loop_work(f.loop, client, client_done, &f);
    loop_run(f.loop);
    http_server_free(f.server);
    loop_free(f.loop);
    for (struct str rest = buf_str(&f.got); rest.p != NULL;) {
        struct str line = str_cut(&rest, '\n');
        if (!str_starts(line, S("Date: "))) {
            (void)buf_add(ret, line);
            (void)buf_add(ret, rest.p != NULL ? S("\n") : S(""));
        }
    }
    *ret_closed = f.closed_count;
    buf_done(&f.got);
}

#define CLOSE "Connection: close\r\n\r\n"

TEST(http_server_answers_over_a_socket)
{
    static const struct {
        const char *send;
        const char *want;
    } cases[] = {
        {"GET /a%20b?q=1&q=x%2By+z HTTP/1.1\r\n" CLOSE,
         "HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\nGET /a b [x+y z] "                                                      },
 /* Pipelined; the first is answered later than it is read. */
        {"GET /later HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 2\r\nConnection: "
         "close\r\n\r\nhi",                                                            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlaterHTTP/1.1 200 OK\r\nContent-Length: "
         "13\r\nConnection: close\r\n\r\nPOST /b [] hi"                                                         },
        {"GET /stream HTTP/1.1\r\n" CLOSE,                                                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                           "chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"             },
        {"GET /stream HTTP/1.0\r\n\r\n",                                                        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo"},
        {"HEAD /x HTTP/1.1\r\n" CLOSE,
         "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n"                                                                       },
        {"GET /upgrade HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly\x01 end.",
         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nearly end."                                                                      },
        {"POST / HTTP/1.1\r\nContent-Length: 3145729\r\n\r\nabc",
         "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 16\r\nConnection: "
         "close\r\n\r\nlimit is 3145728"                                                                                                            },
        {"GET /%zz HTTP/1.1\r\n" CLOSE,
         "HTTP/1.1 400 Bad Request\r\nContent-Length: 18\r\nConnection: close\r\n\r\ninvalid URL "
         "escape"                                                                                                                                   },
        {"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: "
         "close\r\n\r\n\x01x",                                                         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: "
         "close\r\n\r\nPOST / [] x"                                                                          },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_buf struct buf got;
        size_t closed = 0;
        buf_init(&got, 1 << 20);
        run(str_of(cases[i].send), &got, &closed);
        EXPECT_STR(cases[i].want, buf_str(&got));
        EXPECT_INT(0, closed);
    }
}

TEST(http_server_tells_when_the_client_goes)
{
    auto_buf struct buf got;
    size_t closed = 0;
    buf_init(&got, 1 << 20);
    run(S("GET /hang HTTP/1.1\r\n\r\n\x01"), &got, &closed);
    EXPECT_INT(1, closed);
}

/* A client that asks for a flood and reads nothing of it. */
static void ask_for_a_flood(struct fixture *f)
{
    static const char ask[] = "GET /flood HTTP/1.1\r\n\r\n";
    f->client = connect_to(f->port);
    (void)send(f->client, ask, sizeof ask - 1, MSG_NOSIGNAL);
}

TEST(http_server_sheds_a_stream_that_nobody_reads)
{
    struct err err = {0};
    struct fixture f = {.loop = loop_new()};
    struct http_server_config config = {
        .loop = f.loop, .request = on_request, .ctx = &f, .idle_timeout = 1000};
    f.server = http_server_new(&config);
    EXPECT_OK(http_server_listen(f.server, listen_any(&f.port), &err));
    ask_for_a_flood(&f);
    loop_run(f.loop); /* until note_closed */
    EXPECT_INT(1, f.closed_count);
    (void)close(f.client);
    http_server_free(f.server);
    loop_free(f.loop);
}

static void serve_with(struct fixture *f, struct http_server_config config,
                       void (*client_of)(void *ctx))
{
    struct err err = {0};
    f->loop = config.loop = loop_new();
    config.request = on_request;
    config.ctx = f;
    f->server = http_server_new(&config);
    EXPECT_OK(http_server_listen(f->server, listen_any(&f->port), &err));
    loop_work(f->loop, client_of, client_done, f);
    loop_run(f->loop);
    http_server_free(f->server);
    loop_free(f->loop);
}

/* Sends the script, then waits: closed_count is 1 when the server has closed without a word. */
static void stall(void *ctx)
{
    struct fixture *f = ctx;
    char byte;
    int fd = connect_to(f->port);
    (void)send(fd, f->script.p, f->script.n, MSG_NOSIGNAL);
    f->closed_count = recv(fd, &byte, 1, 0) == 0;
    (void)close(fd);
}

TEST(http_server_cuts_off_who_stalls)
{
    static const struct {
        const char *script;
        bool is_in_body;
    } rows[] = {
        {"",                                                                  false},
        {"GET / HT",                                                          false},
        {"GET / HTTP/1.1\r\nHost: a\r\n",                                     false},
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",                      true },
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcd",                  true },
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f = {.script = str_of(rows[i].script)};
        struct http_server_config config = {.head_timeout = 3600 * USEC_PER_SEC,
                                            .body_timeout = 3600 * USEC_PER_SEC};
        *(rows[i].is_in_body ? &config.body_timeout : &config.head_timeout) = 1000;
        serve_with(&f, config, stall);
        EXPECT_INT(1, f.closed_count);
    }
}

/* "200" or what came instead. */
static void ask_on(int fd, char ret[static 4])
{
    char bytes[256] = "";
    (void)send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
    ssize_t n = recv(fd, bytes, sizeof bytes - 1, 0);
    memcpy(ret, n > 12 ? bytes + 9 : n == 0 ? "end" : "???", 3);
    ret[3] = '\0';
}

/* Two connections are let in, the third is not; it is once one of them has gone. */
static void come_in_threes(void *ctx)
{
    struct fixture *f = ctx;
    char answer[4];
    int first = connect_to(f->port);
    int second = connect_to(f->port);
    ask_on(first, answer);
    (void)buf_addf(&f->got, "%s ", answer);
    ask_on(second, answer);
    (void)buf_addf(&f->got, "%s ", answer);
    int third = connect_to(f->port);
    (void)buf_addf(&f->got, "%s ", recv(third, answer, 1, 0) <= 0 ? "closed" : "open");
    (void)close(third);
    (void)close(first);
    answer[0] = '\0';
    for (int i = 0; i < 2000 && strcmp(answer, "200") != 0; i++) {
        third = connect_to(f->port);
        ask_on(third, answer);
        (void)close(third);
    }
    (void)buf_addf(&f->got, "%s ", answer);
    ask_on(second, answer);
    (void)buf_addf(&f->got, "%s", answer);
    (void)close(second);
}

TEST(http_server_has_so_many_connections)
{
    struct fixture f = {.script = S("")};
    buf_init(&f.got, 256);
    serve_with(&f, (struct http_server_config){.connections_max = 2}, come_in_threes);
    EXPECT_STR("200 200 closed 200 200", buf_str(&f.got));
    buf_done(&f.got);
}

/* http_call against the same server. */

struct called {
    struct loop *loop;
    int code;
    char body[64];
    struct err err;
};

static void on_called(void *ctx, int code, struct str location, struct str body,
                      const struct err *err)
{
    struct called *c = ctx;
    (void)location;
    c->code = code;
    if (body.n > 0 && body.n < sizeof c->body) {
        memcpy(c->body, body.p, body.n);
    }
    if (err != NULL) {
        c->err = *err;
    }
    loop_stop(c->loop);
}

TEST(http_call_speaks_and_words_its_failures)
{
    struct err err = {0};
    struct fixture f = {.loop = loop_new()};
    struct http_server_config config = {.loop = f.loop, .request = on_request, .ctx = &f};
    f.server = http_server_new(&config);
    EXPECT_OK(http_server_listen(f.server, listen_any(&f.port), &err));
    uint16_t closed_port = 0;
    (void)close(listen_any(&closed_port));
    struct http_call_config call = {.host = S("127.0.0.1"),
                                    .port = f.port,
                                    .method = S("GET"),
                                    .target = S("/p"),
                                    .timeout = 5 * USEC_PER_SEC,
                                    .body_bytes_max = 6};
    struct called c = {.loop = f.loop};
    (void)http_call(f.loop, &call, on_called, &c);
    loop_run(f.loop);
    EXPECT_INT(200, c.code);
    EXPECT_STR("GET /p", str_of(c.body));
    EXPECT_INT(0, c.err.code);

    auto_free char *refused =
        xasprintf("dial tcp 127.0.0.1:%d: connect: connection refused", closed_port);
    call.port = closed_port;
    c = (struct called){.loop = f.loop};
    (void)http_call(f.loop, &call, on_called, &c);
    loop_run(f.loop);
    EXPECT_STR(refused, str_of(c.err.msg));
    c = (struct called){.loop = f.loop};
    (void)tcp_call(f.loop, S("127.0.0.1"), closed_port, USEC_PER_SEC, on_called, &c);
    loop_run(f.loop);
    EXPECT_STR(refused, str_of(c.err.msg));
    c = (struct called){.loop = f.loop};
    (void)tcp_call(f.loop, S("127.0.0.1"), f.port, USEC_PER_SEC, on_called, &c);
    loop_run(f.loop);
    EXPECT_INT(0, c.err.code);

    call.port = f.port;
    call.target = S("/hang");
    call.timeout = 50 * USEC_PER_MS;
    c = (struct called){.loop = f.loop};
    (void)http_call(f.loop, &call, on_called, &c);
    loop_run(f.loop);
    EXPECT_STR("context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
               str_of(c.err.msg));
    http_server_free(f.server);
    loop_free(f.loop);
}
