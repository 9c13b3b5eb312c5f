// SPDX-License-Identifier: Apache-2.0
//
// A server that relays each request to a backend of canned bytes: what the backend is asked and
// what the client is told. Client and backend are blocking scripts on pool threads.
#include "wire/http_relay.h"

#include "test.h"

#include "base/limits.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct relay_case {
    const char *request;
    const char *answer; /* NULL = nobody listens; '\x01' in it waits for more bytes, '\x02' does so
                           for a moment only */
    const char *asked[4];
    const char *not_asked;
    const char *told[4];
    const char *not_told;
};

struct fixture {
    struct loop *loop;
    struct http_server *server;
    const struct relay_case *c;
    uint16_t port, back_port;
    int back_fd;
    struct buf asked, told;
    size_t over_count, failed_count;
    int threads_left;
    struct http_exchange *x;
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

static void on_failed(void *ctx, const struct err *err)
{
    struct fixture *f = ctx;
    f->failed_count++;
    http_reply(f->x, 503, NULL, 0, str_of(err->msg));
}

static void on_over(void *ctx)
{
    ((struct fixture *)ctx)->over_count++;
}

static void on_request(void *ctx, struct http_request *request)
{
    static const struct str secrets[] = {
        {"Authorization", 13},
        {"Impersonate-",  12},
    };
    struct fixture *f = ctx;
    struct http_relay_config config = {.loop = f->loop,
                                       .host = S("127.0.0.1"),
                                       .port = f->back_port,
                                       .target = S("/there?q=1"),
                                       .secrets = secrets,
                                       .secrets_count = ARRAY_LEN(secrets),
                                       .failed = on_failed,
                                       .over = on_over,
                                       .ctx = f};
    f->x = request->exchange;
    (void)http_relay_start(request->exchange, &config);
}

static void read_some(int fd, struct buf *into)
{
    char bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    (void)buf_add(into, (struct str){bytes, n > 0 ? (size_t)n : 0});
}

static void set_wait(int fd, usec limit)
{
    struct timeval wait = {.tv_sec = limit / USEC_PER_SEC, .tv_usec = limit % USEC_PER_SEC};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
}

static void client(void *ctx)
{
    struct fixture *f = ctx;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(f->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_wait(fd, 20 * USEC_PER_SEC);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        for (struct str rest = str_of(f->c->request); rest.p != NULL;) {
            struct str piece = str_cut(&rest, '\x01');
            (void)send(fd, piece.p, piece.n, MSG_NOSIGNAL);
            if (rest.p != NULL) {
                read_some(fd, &f->told);
            }
        }
        size_t before;
        do {
            before = f->told.n;
            read_some(fd, &f->told);
        } while (f->told.n > before);
    }
    (void)close(fd);
}

static void backend(void *ctx)
{
    struct fixture *f = ctx;
    int fd = accept(f->back_fd, NULL, NULL);
    set_wait(fd, 20 * USEC_PER_SEC);
    while (str_search(buf_str(&f->asked), S("\r\n\r\n")) < 0 && f->asked.n < 4096) {
        read_some(fd, &f->asked);
    }
    for (struct str rest = str_of(f->c->answer); rest.p != NULL;) {
        bool is_short = str_find(rest, '\x02') >= 0;
        struct str piece = str_cut(&rest, is_short ? '\x02' : '\x01');
        (void)send(fd, piece.p, piece.n, MSG_NOSIGNAL);
        if (rest.p != NULL) {
            set_wait(fd, is_short ? 200 * USEC_PER_MS : 20 * USEC_PER_SEC);
            read_some(fd, &f->asked);
        }
    }
    (void)close(fd);
}

static void thread_done(void *ctx)
{
    struct fixture *f = ctx;
    if (--f->threads_left == 0) {
        loop_stop(f->loop);
    }
}

static void check(const char *const *want, size_t count, const char * not, const struct buf *got)
{
    for (size_t i = 0; i < count && want[i] != NULL; i++) {
        if (str_search(buf_str(got), str_of(want[i])) < 0) {
            test_fail_text("holds", str_of(want[i]), buf_str(got), __FILE__, __LINE__);
        }
    }
    if (not != NULL && str_search(buf_str(got), str_of(not )) >= 0) {
        test_fail_text("must not hold", str_of(not ), buf_str(got), __FILE__, __LINE__);
    }
}

static void play(const struct relay_case *c)
{
    struct fixture f = {.loop = loop_new(), .c = c, .threads_left = c->answer == NULL ? 1 : 2};
    struct http_server_config config = {
        .loop = f.loop, .request = on_request, .ctx = &f, .idle_timeout = 60 * USEC_PER_SEC};
    struct err err = {0};
    buf_init(&f.asked, 1 << 20);
    buf_init(&f.told, 1 << 20);
    f.server = http_server_new(&config);
    EXPECT_OK(http_server_listen(f.server, listen_any(&f.port), &err));
    f.back_fd = listen_any(&f.back_port);
    if (c->answer == NULL) {
        (void)close(f.back_fd);
    } else {
        loop_work(f.loop, backend, thread_done, &f);
    }
    loop_work(f.loop, client, thread_done, &f);
    loop_run(f.loop);
    http_server_free(f.server);
    loop_free(f.loop);
    if (c->answer != NULL) {
        (void)close(f.back_fd);
    }
    EXPECT(f.over_count + f.failed_count == 1);
    check(c->asked, ARRAY_LEN(c->asked), c->not_asked, &f.asked);
    check(c->told, ARRAY_LEN(c->told), c->not_told, &f.told);
    buf_done(&f.asked);
    buf_done(&f.told);
}

#define GET "GET /here HTTP/1.1\r\nHost: front\r\n"

TEST(http_relay_rewrites_heads_alone)
{
    static const struct relay_case cases[] = {
        {GET "Authorization: Bearer t\r\nX-A: b\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\nhi",                                                                            {"GET /there?q=1 HTTP/1.1\r\n", "Host: front\r\n", "X-Forwarded-For: 127.0.0.1\r\n",
          "Connection: close\r\n\r\n"},
         "Bearer",      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"},
         "Keep-Alive"},
        {GET "Connection: X-Mine\r\nX-Mine: 1\r\nImpersonate-User: root\r\n\r\n",
         "HTTP/1.0 404 No\r\n\r\nuntil the end",                                                                                                               {"/there"},
         "X-Mine",      {"HTTP/1.0 404 No\r\nConnection: close\r\n\r\nuntil the end"},
         NULL        },
        {GET "Impersonate-Extra-a: root\r\n\r\n",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 "
         "None\r\n\r\n",                                                                                                                                       {"/there"},
         "Impersonate", {"HTTP/1.1 204 None\r\n"},
         "Early"     },
        {"POST /here HTTP/1.1\r\nHost: front\r\nTransfer-Encoding: "
         "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",                         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
         {"POST /there", "Content-Length: 3\r\n", "\r\n\r\nabc"},
         "chunked",     {"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
         NULL        },
        {"HEAD /here HTTP/1.1\r\nHost: front\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n",                                                                                                     {"HEAD /there"},
         NULL,          {"Content-Length: 700\r\n"},
         NULL        },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        play(&cases[i]);
    }
}

/* A next request on the connection would go to the backend with its credentials. */
TEST(http_relay_passes_nothing_behind_the_request)
{
    /* The first byte of the answer makes the client go on; the backend then waits a moment. */
    static const struct relay_case c = {GET "\r\n\x01GET /api HTTP/1.1\r\nX-Token: next\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh\x02i",
                                        {"/there"},
                                        "next",
                                        {"Connection: close"},
                                        NULL};
    play(&c);
}

TEST(http_relay_switches_protocols)
{
    static const struct relay_case cases[] = {
        {GET "Connection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n\x01ping",
         "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n\x01pong", {"Connection: Upgrade\r\nUpgrade: echo\r\n\r\n", "ping"},
         NULL, {"Connection: Upgrade\r\nUpgrade: echo\r\n\r\n", "pong"},
         "close"},
        {GET "\r\n",
         "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",         {"/there"},
         NULL, {"503 Service Unavailable", "malformed HTTP response"},
         NULL   },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        play(&cases[i]);
    }
}

TEST(http_relay_gives_failures_back)
{
    static const struct relay_case cases[] = {
        {GET "\r\n",
         NULL,              {NULL},
         NULL,                                {"503 Service", "dial tcp 127.0.0.1:", "connection refused"},
         NULL                                                                                                   },
        {GET "\r\n", "",    {"/there"}, NULL, {"503 Service", "EOF"},                                       NULL},
        {GET "\r\n",
         "SSH-2.0\r\n\r\n", {"/there"},
         NULL,                                {"503 Service", "malformed HTTP response"},
         NULL                                                                                                   },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        play(&cases[i]);
    }
}
