// SPDX-License-Identifier: Apache-2.0
//
// The brain's lines to the keeper and to the ports process: children of the test are these two, the
// test one brain after the other.
#include "test.h"

#include "base/err.h"
#include "hull/internal.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOPBACK = 0x7f000001 };

struct crew {
    int keeper_fd;
    int ports_fd;
    pid_t keeper;
    pid_t ports;
    int server; /* listens on target: where published ports lead */
    uint16_t target;
    int other; /* a second one */
    uint16_t other_target;
    uint16_t port; /* a free one, to be published */
};

static struct sockaddr_in at_port(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(LOOPBACK)};
}

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in at = at_port(0);
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_INT(0, bind(fd, (struct sockaddr *)&at, sizeof at));
    EXPECT_INT(0, listen(fd, 16));
    EXPECT_INT(0, getsockname(fd, (struct sockaddr *)&at, &size));
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void open_line(int pair[2])
{
    EXPECT_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

static void crew_start(struct crew *crew)
{
    int keeper[2];
    int ports[2];
    open_line(keeper);
    open_line(ports);
    crew->keeper = fork();
    if (crew->keeper == 0) {
        struct keeper k = {0};
        (void)close(keeper[0]);
        while (keeper_serve(keeper[1], &k)) {
        }
        _exit(0);
    }
    (void)close(keeper[1]);
    crew->ports = fork();
    if (crew->ports == 0) {
        struct ports p = {.line = ports[1]};
        struct err err = {0};
        (void)close(keeper[0]);
        (void)close(ports[0]);
        _exit(ports_serve(&p, &err) < 0 ? 1 : 0);
    }
    (void)close(ports[1]);
    crew->keeper_fd = keeper[0];
    crew->ports_fd = ports[0];
    crew->server = listen_somewhere(&crew->target);
    crew->other = listen_somewhere(&crew->other_target);
    (void)close(listen_somewhere(&crew->port));
}

static void crew_stop(struct crew *crew)
{
    int status;
    (void)close(crew->keeper_fd);
    (void)close(crew->ports_fd);
    (void)close(crew->server);
    (void)close(crew->other);
    EXPECT_INT(crew->keeper, waitpid(crew->keeper, &status, 0));
    EXPECT_INT(0, status);
    EXPECT_INT(crew->ports, waitpid(crew->ports, &status, 0));
    EXPECT_INT(0, status);
}

/* A connection, or -1 when nothing listens there. */
static int connect_to(uint16_t port)
{
    struct sockaddr_in at = at_port(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void expect_open(uint16_t port, bool is_open)
{
    int fd = connect_to(port);
    EXPECT_INT(is_open, fd >= 0);
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* What is written into one end comes out of the other. */
static void expect_joined(int from, int to)
{
    char byte = 0;
    EXPECT_INT(1, write(from, "x", 1));
    EXPECT_INT(1, read(to, &byte, 1));
    EXPECT_INT('x', byte);
}

static struct hull_port route(const struct crew *crew, bool is_to_other)
{
    return (struct hull_port){.address = LOOPBACK,
                              .port = crew->port,
                              .target = LOOPBACK,
                              .target_port = is_to_other ? crew->other_target : crew->target};
}

/* Runs body as a brain of its own, which then dies without a word. */
static void as_brain(const struct crew *crew, void (*body)(const struct crew *crew))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        body(crew);
        _exit(0);
    }
    EXPECT_INT(pid, waitpid(pid, &status, 0));
    EXPECT_INT(0, status);
}

static void publish(const struct crew *crew)
{
    struct err err = {0};
    struct hull_port port = route(crew, /*is_to_other=*/false);
    if (hull_publish(crew->keeper_fd, crew->ports_fd, &port, &err) < 0) {
        _exit(1);
    }
}

static void publish_elsewhere(const struct crew *crew)
{
    struct err err = {0};
    struct hull_port port = route(crew, /*is_to_other=*/true);
    if (hull_publish(crew->keeper_fd, crew->ports_fd, &port, &err) < 0) {
        _exit(1);
    }
    hull_sweep(crew->ports_fd);
}

static void sweep(const struct crew *crew)
{
    hull_sweep(crew->ports_fd);
}

/* Questions whose brain died before it read the answers: one of them brought a socket. */
static void ask_and_die(const struct crew *crew)
{
    char text[64];
    int n = snprintf(text, sizeof text, "open %d 99 tcp 127.0.0.1 %u", (int)getpid(), crew->port);
    (void)!send(crew->keeper_fd, text, (size_t)n, 0);
    (void)!send(crew->keeper_fd, "nonsense", 8, 0);
    (void)!send(crew->ports_fd, "sweep -1 x", 10, 0);
    (void)!send(crew->ports_fd, "take 7 7 tcp 127.0.0.1 1 10.0.0.1 1", 35, 0);
    (void)!send(crew->ports_fd, "aim 7 7 tcp", 11, 0);
}

static void listen_inside(const struct crew *crew)
{
    struct err err = {0};
    if (hull_listen(crew->keeper_fd, "tcp", "127.0.0.1", crew->port, &err) < 0) {
        _exit(1);
    }
}

TEST(connections_of_a_published_port_outlive_the_brain)
{
    struct crew crew;
    crew_start(&crew);
    expect_open(crew.port, false);
    as_brain(&crew, publish);
    int client = connect_to(crew.port);
    int served = accept(crew.server, NULL, NULL);
    expect_joined(client, served);
    as_brain(&crew, publish); /* the same again */
    expect_joined(client, served);
    as_brain(&crew, publish_elsewhere);
    expect_joined(served, client);
    int later = connect_to(crew.port);
    int served_elsewhere = accept(crew.other, NULL, NULL);
    expect_joined(later, served_elsewhere);
    expect_joined(client, served);
    as_brain(&crew, sweep); /* a brain that doesn't want it */
    char byte;
    EXPECT(read(served, &byte, 1) <= 0);
    expect_open(crew.port, false);
    (void)close(client);
    (void)close(served);
    (void)close(later);
    (void)close(served_elsewhere);
    crew_stop(&crew);
}

TEST(a_brain_that_dies_amid_a_question_takes_no_port)
{
    struct crew crew;
    struct err err = {0};
    crew_start(&crew);
    as_brain(&crew, ask_and_die);
    EXPECT(hull_listen(crew.keeper_fd, "tcp", "here", 1, &err) < 0); /* any answer comes behind */
    struct hull_port port = route(&crew, /*is_to_other=*/false);
    EXPECT_OK(hull_publish(crew.keeper_fd, crew.ports_fd, &port, &err));
    expect_open(crew.port, true);
    hull_unpublish(crew.ports_fd, &port);
    expect_open(crew.port, false);
    crew_stop(&crew);
}

TEST(a_port_that_another_has_is_told_by_name)
{
    struct crew crew;
    struct err err = {0};
    crew_start(&crew);
    struct hull_port port = route(&crew, /*is_to_other=*/true);
    port.port = crew.target; /* the test itself listens there */
    EXPECT_INT(ERR_EXISTS, hull_publish(crew.keeper_fd, crew.ports_fd, &port, &err));
    port.is_udp = true; /* that is another port */
    EXPECT_OK(hull_publish(crew.keeper_fd, crew.ports_fd, &port, &err));
    EXPECT(hull_run_image_worker(crew.keeper_fd, -1, &err) < 0); /* without its descriptor */
    crew_stop(&crew);
}

TEST(sockets_inside_outlive_the_brain)
{
    struct crew crew;
    crew_start(&crew);
    as_brain(&crew, listen_inside);
    expect_open(crew.port, true); /* nobody serves it, but it waits */
    as_brain(&crew, ask_and_die);
    as_brain(&crew, listen_inside);
    expect_open(crew.port, true);
    crew_stop(&crew);
}
