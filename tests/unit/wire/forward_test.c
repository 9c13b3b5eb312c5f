// SPDX-License-Identifier: Apache-2.0
//
// Forwarded ports over real sockets of the loopback: the loop runs here, client and server are
// threads that may block.
#include "test.h"

#include "base/mem.h"
#include "wire/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { MUCH = 8 << 20, CLIENTS = 40 };

static int open_socket(int type, uint16_t *ret_port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sin;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    EXPECT(bind(fd, (struct sockaddr *)&sin, sizeof sin) == 0);
    EXPECT(type == SOCK_DGRAM || listen(fd, 64) == 0);
    EXPECT(getsockname(fd, (struct sockaddr *)&sin, &n) == 0);
    *ret_port = ntohs(sin.sin_port);
    return fd;
}

static int dial(int type, uint16_t port)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(fd, (struct sockaddr *)&sin, sizeof sin) == 0 ? fd : -1;
}

struct world {
    struct loop *loop;
    struct forward *forward;
    int server_fd;
    uint16_t server_port, port;
    int end[2]; /* the client's thread tells the loop that it is done */
    bool is_fine;
    void *(*client)(void *);
};

static void on_done(void *ctx, int events)
{
    (void)events;
    loop_stop(((struct world *)ctx)->loop);
}

static void *run_client(void *ctx)
{
    struct world *w = ctx;
    (void)w->client(w);
    (void)!write(w->end[1], "x", 1);
    return NULL;
}

/* Reads all of a client's stream, then sends the count of bytes back and closes. */
static void *count_server(void *ctx)
{
    struct world *w = ctx;
    char *chunk = xmalloc(65536);
    for (int fd = accept(w->server_fd, NULL, NULL); fd >= 0;
         fd = accept(w->server_fd, NULL, NULL)) {
        uint64_t count = 0;
        for (ssize_t n = read(fd, chunk, 65536); n > 0; n = read(fd, chunk, 65536)) {
            count += (uint64_t)n;
        }
        (void)!write(fd, &count, sizeof count);
        (void)close(fd);
    }
    free(chunk);
    return NULL;
}

static void *echo_server(void *ctx)
{
    struct world *w = ctx;
    char text[2048];
    for (;;) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(w->server_fd, text, sizeof text, 0, (struct sockaddr *)&from, &len);
        if (n <= 0) {
            return NULL;
        }
        (void)!sendto(w->server_fd, text, (size_t)n, 0, (struct sockaddr *)&from, len);
    }
}

static bool has_counted(uint16_t port, size_t bytes)
{
    int fd = dial(SOCK_STREAM, port);
    char *chunk = xcalloc(1, 65536);
    uint64_t count = 0;
    for (size_t sent = 0; sent < bytes;) {
        size_t want = bytes - sent < 65536 ? bytes - sent : 65536;
        ssize_t n = send(fd, chunk, want, MSG_NOSIGNAL);
        if (n <= 0) {
            break;
        }
        sent += (size_t)n;
    }
    (void)shutdown(fd, SHUT_WR);
    ssize_t n = recv(fd, &count, sizeof count, MSG_WAITALL);
    ssize_t end = recv(fd, chunk, 1, 0);
    (void)close(fd);
    free(chunk);
    return n == (ssize_t)sizeof count && count == bytes && end == 0;
}

static void *half_close_client(void *ctx)
{
    struct world *w = ctx;
    w->is_fine = has_counted(w->port, 0) && has_counted(w->port, 5) && has_counted(w->port, MUCH);
    for (int i = 0; i < CLIENTS; i++) {
        w->is_fine = w->is_fine && has_counted(w->port, 1000);
    }
    return NULL;
}

static void *refused_client(void *ctx)
{
    struct world *w = ctx;
    char byte;
    int fd = dial(SOCK_STREAM, w->port);
    w->is_fine = fd >= 0 && recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
    (void)close(fd);
    return NULL;
}

static void *datagram_client(void *ctx)
{
    struct world *w = ctx;
    w->is_fine = true;
    for (int i = 0; i < CLIENTS; i++) {
        char text[1400] = {0};
        int fd = dial(SOCK_DGRAM, w->port);
        w->is_fine = w->is_fine && send(fd, text, sizeof text, 0) == sizeof text &&
                     recv(fd, text, sizeof text, 0) == sizeof text;
        (void)close(fd);
    }
    return NULL;
}

static void run(struct world *w, int type, void *(*server)(void *), void *(*client)(void *))
{
    struct err err = {0};
    pthread_t threads[2];
    w->client = client;
    w->loop = loop_new();
    w->server_fd = open_socket(type, &w->server_port);
    int fd = open_socket(type, &w->port);
    EXPECT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && pipe2(w->end, O_CLOEXEC) == 0);
    struct forward_config config = {.loop = w->loop,
                                    .fd = fd,
                                    .is_udp = type == SOCK_DGRAM,
                                    .address = INADDR_LOOPBACK,
                                    .port = w->server_port};
    w->forward = forward_new(&config, &err);
    EXPECT(w->forward != NULL);
    struct io *done = io_start(w->loop, w->end[0], IO_READ, on_done, w, &err);
    if (server == NULL) {
        (void)close(w->server_fd);
    } else {
        EXPECT(pthread_create(&threads[0], NULL, server, w) == 0);
    }
    EXPECT(pthread_create(&threads[1], NULL, run_client, w) == 0);
    loop_run(w->loop);
    (void)pthread_join(threads[1], NULL);
    EXPECT(w->is_fine);
    forward_free(w->forward);
    io_stop(done);
    loop_free(w->loop);
    if (server != NULL) {
        (void)shutdown(w->server_fd, SHUT_RDWR);
        (void)pthread_join(threads[0], NULL);
        (void)close(w->server_fd);
    }
    (void)close(w->end[0]);
    (void)close(w->end[1]);
}

TEST(forward_passes_half_close_and_much)
{
    struct world w = {0};
    run(&w, SOCK_STREAM, count_server, half_close_client);
}

TEST(forward_resets_when_the_target_refuses)
{
    struct world w = {0};
    run(&w, SOCK_STREAM, NULL, refused_client);
}

TEST(forward_datagrams)
{
    struct world w = {0};
    run(&w, SOCK_DGRAM, echo_server, datagram_client);
}
