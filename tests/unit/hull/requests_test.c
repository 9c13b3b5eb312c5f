// SPDX-License-Identifier: Apache-2.0
//
// The line between brain and keeper: a child of the test is the keeper, the test one brain after
// the other.
#include "test.h"

#include "base/err.h"
#include "hull/internal.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct line {
    int brain_end;
    pid_t keeper;
};

static void line_open(struct line *line)
{
    int pair[2];
    EXPECT_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    line->keeper = fork();
    if (line->keeper == 0) {
        struct map sockets = {0};
        (void)close(pair[0]);
        while (keeper_serve(pair[1], 0, &sockets)) {
        }
        _exit(0);
    }
    (void)close(pair[1]);
    line->brain_end = pair[0];
}

static void line_close(struct line *line)
{
    int status;
    (void)close(line->brain_end);
    EXPECT_INT(line->keeper, waitpid(line->keeper, &status, 0));
    EXPECT_INT(0, status);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    EXPECT_INT(0, getsockname(fd, (struct sockaddr *)&at, &size));
    return ntohs(at.sin_port);
}

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_INT(0, bind(fd, (struct sockaddr *)&at, sizeof at));
    uint16_t port = port_of(fd);
    (void)close(fd);
    return port;
}

/* 0 when something listens there. */
static int try_connect(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(fd, (struct sockaddr *)&at, sizeof at);
    (void)close(fd);
    return result;
}

/* Runs body as a brain of its own, which then dies without a word. */
static void as_brain(const struct line *line, uint16_t port,
                     void (*body)(const struct line *line, uint16_t port))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        body(line, port);
        _exit(0);
    }
    EXPECT_INT(pid, waitpid(pid, &status, 0));
    EXPECT_INT(0, status);
}

static void listen_both(const struct line *line, uint16_t port)
{
    static const enum hull_net nets[] = {HULL_NET_HOST, HULL_NET_CLUSTER};
    struct err err = {0};
    for (size_t i = 0; i < 2; i++) {
        int fd =
            hull_listen(line->brain_end, nets[i], i == 0 ? "tcp" : "udp", "127.0.0.1", port, &err);
        if (fd < 0 || port_of(fd) != port) {
            _exit(1);
        }
    }
}

static void sweep(const struct line *line, uint16_t port)
{
    (void)port;
    hull_sweep(line->brain_end);
}

static void listen_and_sweep(const struct line *line, uint16_t port)
{
    listen_both(line, port);
    hull_sweep(line->brain_end);
}

/* A question whose brain died before it read the answer. */
static void ask_and_die(const struct line *line, uint16_t port)
{
    char text[64];
    int n = snprintf(text, sizeof text, "open %d 99 tcp 127.0.0.1 %u", (int)getpid(), port);
    (void)!send(line->brain_end, text, (size_t)n, 0);
}

TEST(sockets_outlive_the_brain)
{
    struct line line;
    line_open(&line);
    uint16_t port = free_port();
    EXPECT(try_connect(port) != 0);
    as_brain(&line, port, listen_both);
    EXPECT_INT(0, try_connect(port)); /* nobody serves it, but it waits */
    as_brain(&line, port, ask_and_die);
    as_brain(&line, port, listen_and_sweep);
    EXPECT_INT(0, try_connect(port));
    struct err err = {0};
    EXPECT_INT(-1, hull_listen(line.brain_end, HULL_NET_HOST, "tcp", "here", port, &err));
    EXPECT_INT(ERR_IO, err.code);
    as_brain(&line, port, sweep);
    EXPECT(try_connect(port) != 0);
    line_close(&line);
}

TEST(sockets_close_when_they_are_given_up)
{
    struct line line;
    struct err err = {0};
    line_open(&line);
    uint16_t port = free_port();
    int fd = hull_listen(line.brain_end, HULL_NET_HOST, "tcp", "127.0.0.1", port, &err);
    EXPECT(fd >= 0);
    int again = hull_listen(line.brain_end, HULL_NET_HOST, "tcp", "127.0.0.1", port, &err);
    EXPECT(again >= 0);
    EXPECT_INT(-1, hull_listen(line.brain_end, HULL_NET_HOST, "tcp", "127.0.0.001", port, &err));
    EXPECT_INT(-1, hull_listen(line.brain_end, HULL_NET_HOST, "tcp", "0.0.0.0", port, &err));
    EXPECT_INT(ERR_EXISTS, err.code); /* somebody has it: we do */
    hull_unlisten(line.brain_end, HULL_NET_HOST, "tcp", "127.0.0.1", port);
    EXPECT_INT(0, try_connect(port)); /* the brain's own copies */
    (void)close(fd);
    (void)close(again);
    EXPECT(try_connect(port) != 0);
    EXPECT(hull_run_image_worker(line.brain_end, -1, &err) < 0); /* without its descriptor */
    line_close(&line);
}
