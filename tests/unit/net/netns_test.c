// SPDX-License-Identifier: Apache-2.0
//
// The network for real, in a network namespace of the test's own: pods that answer with their name
// and with the address they see, asked from pods and from the node. Needs root; skips without.
#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "net/link.h"
#include "net/pod_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NETNS_DIR "/mnt/netns"

enum { NODE = 0x0af40001, POD_A = 0x0af40002, POD_B = 0x0af40003, POD_C = 0x0af40004 };
enum { VIP = 0x0a600010, PORT = 80, NODE_PORT = 30080, SKIPPED = 77, ANSWER_MAX = 64 };

static struct err err;

/* Runs in a child, so a failure is an exit with a line on standard error. */
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            (void)fprintf(stderr, "%s:%d: %s (%s; %s)\n", __FILE__, __LINE__, #what, err.msg,      \
                          strerror(errno));                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define CHECK_ANSWER(want, got)                                                                    \
    do {                                                                                           \
        const char *got_ = (got);                                                                  \
        if (strcmp((want), got_) != 0) {                                                           \
            (void)fprintf(stderr, "%s:%d: %s: want \"%s\", got \"%s\"\n", __FILE__, __LINE__,      \
                          #got, (want), got_);                                                     \
            if (getenv("NET_TEST_SHOW") != NULL) {                                                 \
                (void)execlp("nft", "nft", "list", "ruleset", (char *)NULL);                       \
            }                                                                                      \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void enter(const char *pod)
{
    char path[128];
    (void)snprintf(path, sizeof(path), NETNS_DIR "/%s", pod);
    auto_close int ns = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(ns >= 0 && setns(ns, CLONE_NEWNET) == 0);
}

static int listener(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    int yes = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0);
    CHECK(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0);
    CHECK(type == SOCK_DGRAM || listen(fd, 64) == 0);
    return fd;
}

/* Answers "NAME CLIENT" over TCP and UDP until the test is over. */
static void serve(const char *pod, const char *name)
{
    int ready[2];
    char byte = 0;
    CHECK(pipe(ready) == 0);
    if (fork() != 0) {
        CHECK(read(ready[0], &byte, 1) == 1);
        return;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    enter(pod);
    struct pollfd fds[2] = {
        {.fd = listener(SOCK_STREAM), .events = POLLIN},
        {.fd = listener(SOCK_DGRAM),  .events = POLLIN}
    };
    CHECK(write(ready[1], &byte, 1) == 1);
    for (;;) {
        (void)poll(fds, 2, -1);
        struct sockaddr_in peer;
        socklen_t size = sizeof(peer);
        char answer[ANSWER_MAX];
        if ((fds[0].revents & POLLIN) != 0) {
            int client = accept(fds[0].fd, (struct sockaddr *)&peer, &size);
            int n = snprintf(answer, sizeof(answer), "%s %s", name, inet_ntoa(peer.sin_addr));
            (void)!write(client, answer, (size_t)n);
            (void)close(client);
        } else if (recvfrom(fds[1].fd, answer, sizeof(answer), 0, (struct sockaddr *)&peer,
                            &size) >= 0) {
            int n = snprintf(answer, sizeof(answer), "%s %s", name, inet_ntoa(peer.sin_addr));
            (void)sendto(fds[1].fd, answer, (size_t)n, 0, (struct sockaddr *)&peer, size);
        }
    }
}

static int home;

static int socket_of(const char *pod, int type)
{
    if (pod != NULL) {
        enter(pod);
    }
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    CHECK(setns(home, CLONE_NEWNET) == 0);
    const struct timeval patience = {.tv_sec = 2};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0);
    return fd;
}

static const char *ask_on(int fd, uint32_t address, uint16_t port)
{
    static char answer[ANSWER_MAX];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    ssize_t n = -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        send(fd, "?", 1, MSG_NOSIGNAL) == 1) {
        n = recv(fd, answer, sizeof(answer) - 1, 0);
    }
    if (n < 0) {
        (void)snprintf(answer, sizeof(answer), "%s", strerror(errno));
    } else {
        answer[n] = '\0';
    }
    return answer;
}

/* pod NULL asks from the node. */
static const char *ask(const char *pod, int type, uint32_t address, uint16_t port)
{
    auto_close int fd = socket_of(pod, type);
    return ask_on(fd, address, port);
}

static void apply(struct rule_loader *loader, const struct rule_service *services, size_t count)
{
    const struct ruleset set = {
        .services = services,
        .services_count = count,
        .pod_cidr = 0x0af40000,
        .pod_prefix = 16,
        .service_cidr = 0x0a600000,
        .service_prefix = 12,
    };
    CHECK(rule_loader_apply(loader, &set, &err) == 0);
}

static const struct rule_endpoint endpoints[] = {
    {POD_A, PORT},
    {POD_B, PORT},
    {POD_C, PORT}
};

static void check_direct(void)
{
    CHECK_ANSWER("b 10.244.0.2", ask("pod-a", SOCK_STREAM, POD_B, PORT));
    CHECK_ANSWER("b 10.244.0.2", ask("pod-a", SOCK_DGRAM, POD_B, PORT));
    CHECK_ANSWER("a 10.244.0.1", ask(NULL, SOCK_STREAM, POD_A, PORT));
    CHECK_ANSWER("Connection refused", ask("pod-a", SOCK_STREAM, POD_B, 81));
}

static void check_one_endpoint(struct rule_loader *loader)
{
    const struct rule_service services[] = {
        {.port = NODE_PORT,       .protocol = IPPROTO_TCP, .endpoints = endpoints,        .endpoints_count = 1},
        {.port = NODE_PORT,                       .protocol = IPPROTO_UDP,                              .endpoints = endpoints,              .endpoints_count = 1},
        {.address = VIP,
         .port = PORT,
         .protocol = IPPROTO_TCP,
         .endpoints = endpoints,
         .endpoints_count = 1},
        {.address = VIP, .port = 8080,                           .protocol = IPPROTO_TCP                                                           },
        {.address = VIP,
         .port = PORT,
         .protocol = IPPROTO_UDP,
         .endpoints = endpoints,
         .endpoints_count = 1},
        {.address = 0xcb007105,          .port = PORT,                                     .protocol = IPPROTO_TCP                                                        }, /* 203.0.113.5, external */
    };
    apply(loader, services, ARRAY_LEN(services));
    CHECK_ANSWER("a 10.244.0.3", ask("pod-b", SOCK_STREAM, VIP, PORT));
    CHECK_ANSWER("a 10.244.0.3", ask("pod-b", SOCK_DGRAM, VIP, PORT));
    CHECK_ANSWER("a 10.244.0.1", ask(NULL, SOCK_STREAM, VIP, PORT));
    CHECK_ANSWER("a 10.244.0.1", ask(NULL, SOCK_DGRAM, VIP, PORT));
    CHECK_ANSWER("a 10.244.0.1", ask("pod-a", SOCK_STREAM, VIP, PORT)); /* hairpin */
    CHECK_ANSWER("a 10.244.0.1", ask("pod-a", SOCK_DGRAM, VIP, PORT));
    CHECK_ANSWER("a 10.244.0.3", ask("pod-b", SOCK_STREAM, NODE, NODE_PORT));
    CHECK_ANSWER("a 10.244.0.3", ask("pod-b", SOCK_DGRAM, NODE, NODE_PORT));
    CHECK_ANSWER("a 10.244.0.1", ask(NULL, SOCK_STREAM, NODE, NODE_PORT));
    CHECK_ANSWER("Connection refused", ask("pod-b", SOCK_STREAM, VIP, 8080));
    CHECK_ANSWER("Connection refused", ask(NULL, SOCK_STREAM, VIP, 8080));
    CHECK_ANSWER("Connection refused", ask("pod-b", SOCK_STREAM, VIP, 99)); /* no such port */
    CHECK_ANSWER("Connection refused", ask("pod-b", SOCK_STREAM, VIP + 1, 80));
    CHECK_ANSWER("Connection refused", ask("pod-b", SOCK_STREAM, 0xcb007105, PORT));
    CHECK_ANSWER("Connection refused", ask("pod-b", SOCK_STREAM, NODE, 30081));
}

/* The last endpoint leaves and another comes: TCP and a UDP socket that stays open follow. */
static void check_swap(struct rule_loader *loader)
{
    auto_close int udp = socket_of("pod-c", SOCK_DGRAM);
    CHECK_ANSWER("a 10.244.0.4", ask_on(udp, VIP, PORT));
    const struct rule_service swapped[] = {
        {.address = VIP,
         .port = PORT,
         .protocol = IPPROTO_TCP,
         .endpoints = endpoints + 1,
         .endpoints_count = 1},
        {.address = VIP,
         .port = PORT,
         .protocol = IPPROTO_UDP,
         .endpoints = endpoints + 1,
         .endpoints_count = 1},
    };
    apply(loader, swapped, ARRAY_LEN(swapped));
    CHECK_ANSWER("b 10.244.0.4", ask("pod-c", SOCK_STREAM, VIP, PORT));
    CHECK_ANSWER("b 10.244.0.4", ask_on(udp, VIP, PORT));
    CHECK_ANSWER("Connection refused", ask("pod-c", SOCK_STREAM, NODE, NODE_PORT));
    struct rule_service none[] = {swapped[0], swapped[1]};
    none[0].endpoints_count = none[1].endpoints_count = 0;
    apply(loader, none, ARRAY_LEN(none));
    CHECK_ANSWER("Connection refused", ask("pod-c", SOCK_STREAM, VIP, PORT));
    CHECK_ANSWER("Connection refused", ask("pod-c", SOCK_DGRAM, VIP, PORT));
    apply(loader, swapped, ARRAY_LEN(swapped));
    CHECK_ANSWER("b 10.244.0.4", ask("pod-c", SOCK_STREAM, VIP, PORT));
}

static void check_spread(struct rule_loader *loader)
{
    const struct rule_service three = {.address = VIP,
                                       .port = PORT,
                                       .protocol = IPPROTO_TCP,
                                       .endpoints = endpoints,
                                       .endpoints_count = 3};
    apply(loader, &three, 1);
    int hits[3] = {0};
    for (int i = 0; i < 300; i++) {
        const char *answer = ask(NULL, SOCK_STREAM, VIP, PORT);
        CHECK(answer[0] >= 'a' && answer[0] <= 'c');
        hits[answer[0] - 'a']++;
    }
    CHECK(hits[0] > 50 && hits[1] > 50 && hits[2] > 50);
}

static void check_affinity(struct rule_loader *loader)
{
    struct rule_service sticky = {.address = VIP,
                                  .port = PORT,
                                  .protocol = IPPROTO_TCP,
                                  .affinity_seconds = 1,
                                  .endpoints = endpoints,
                                  .endpoints_count = 3};
    apply(loader, &sticky, 1);
    char first = *ask("pod-a", SOCK_STREAM, VIP, PORT);
    CHECK(first >= 'a' && first <= 'c');
    for (int i = 0; i < 30; i++) {
        CHECK(*ask("pod-a", SOCK_STREAM, VIP, PORT) == first);
    }
    /* Its endpoint leaves: another one is found at once, and kept. */
    struct rule_endpoint rest[2];
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        if ((char)('a' + i) != first) {
            rest[n++] = endpoints[i];
        }
    }
    sticky.endpoints = rest;
    sticky.endpoints_count = 2;
    apply(loader, &sticky, 1);
    char second = *ask("pod-a", SOCK_STREAM, VIP, PORT);
    CHECK(second != first && second >= 'a' && second <= 'c');
    for (int i = 0; i < 30; i++) {
        CHECK(*ask("pod-a", SOCK_STREAM, VIP, PORT) == second);
    }
    /* Silence for longer than the timeout, often enough, finds another endpoint. */
    bool has_moved = false;
    for (int i = 0; i < 8 && !has_moved; i++) {
        const struct timespec pause = {.tv_sec = 1, .tv_nsec = 300000000};
        (void)nanosleep(&pause, NULL);
        has_moved = *ask("pod-a", SOCK_STREAM, VIP, PORT) != second;
    }
    CHECK(has_moved);
}

/* A client keeps its endpoint when another brain replaces the table, though slots are dealt by a
 * history that the next one doesn't know. Ends loader and gives a new one. */
static struct rule_loader *check_affinity_outlives(struct rule_loader *loader)
{
    static const size_t joins[][3] = {
        {0, 1, 2},
        {2, 1, 0},
        {1, 2, 0}
    };
    static const char *const clients[] = {"pod-a", "pod-b", "pod-c"};
    for (uint32_t round = 0; round < 12; round++) { /* clients draw their slots */
        const size_t *join = joins[round % ARRAY_LEN(joins)];
        struct rule_endpoint list[3];
        char first[3];
        struct rule_service sticky = {.address = VIP + 7 + round,
                                      .port = PORT,
                                      .protocol = IPPROTO_TCP,
                                      .affinity_seconds = 600,
                                      .endpoints = list};
        for (size_t n = 1; n <= 3; n++) {
            size_t count = 0;
            for (size_t i = 0; i < 3 * n; i++) { /* sorted, whoever came first */
                if (join[i % n] == i / n) {
                    list[count++] = endpoints[i / n];
                }
            }
            sticky.endpoints_count = n;
            apply(loader, &sticky, 1);
        }
        for (size_t i = 0; i < 3; i++) {
            first[i] = *ask(clients[i], SOCK_STREAM, sticky.address, PORT);
        }
        rule_loader_close(loader);
        loader = rule_loader_open(&err);
        CHECK(loader != NULL);
        apply(loader, &sticky, 1);
        for (size_t i = 0; i < 3; i++) {
            CHECK(*ask(clients[i], SOCK_STREAM, sticky.address, PORT) == first[i]);
        }
    }
    return loader;
}

static void show_time(const char *what, int count, const struct timespec t[static 2])
{
    if (getenv("NET_TEST_SHOW") != NULL) {
        (void)fprintf(stderr, "%s (%d): %ld us\n", what, count,
                      (t[1].tv_sec - t[0].tv_sec) * 1000000 + (t[1].tv_nsec - t[0].tv_nsec) / 1000);
    }
}

/* More services than one batch takes, and a brain that starts anew. */
static void check_many(struct rule_loader *loader)
{
    enum { MANY = 1000 };
    struct rule_service *many = xcalloc(MANY, sizeof(*many));
    for (uint32_t i = 0; i < MANY; i++) {
        many[i] = (struct rule_service){.address = VIP + i,
                                        .port = PORT,
                                        .protocol = IPPROTO_TCP,
                                        .endpoints = endpoints,
                                        .endpoints_count = i % 4};
    }
    struct timespec t[3];
    (void)clock_gettime(CLOCK_MONOTONIC, &t[0]);
    apply(loader, many, MANY);
    (void)clock_gettime(CLOCK_MONOTONIC, &t[1]);
    show_time("load services", MANY, t);
    CHECK_ANSWER("a 10.244.0.3", ask("pod-b", SOCK_STREAM, VIP + 997, PORT));
    CHECK_ANSWER("Connection refused", ask("pod-b", SOCK_STREAM, VIP + 996, PORT));
    many[997].endpoints++;
    (void)clock_gettime(CLOCK_MONOTONIC, &t[1]);
    apply(loader, many, MANY);
    (void)clock_gettime(CLOCK_MONOTONIC, &t[2]);
    CHECK_ANSWER("b 10.244.0.4", ask("pod-c", SOCK_STREAM, VIP + 997, PORT));
    show_time("change one endpoint of services", MANY, t + 1);
    struct rule_loader *second = rule_loader_open(&err);
    CHECK(second != NULL);
    apply(second, many, MANY);
    CHECK_ANSWER("b 10.244.0.4", ask("pod-c", SOCK_STREAM, VIP + 997, PORT));
    apply(second, many, 1);
    CHECK_ANSWER("Connection refused", ask("pod-b", SOCK_STREAM, VIP + 997, PORT));
    rule_loader_close(second);
    free(many);
}

static void check_connect_inside(void)
{
    int fd = pod_net_connect(NETNS_DIR "/pod-a", PORT, &err);
    char answer[ANSWER_MAX] = {0};
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    CHECK(fd >= 0 && poll(&poll_fd, 1, 2000) == 1 && read(fd, answer, sizeof(answer) - 1) > 0);
    CHECK_ANSWER("a 127.0.0.1", answer);
    (void)close(fd);
    CHECK(pod_net_connect(NETNS_DIR "/pod-a", 81, &err) == -1);
    CHECK(strcmp(err.msg, "connect to 127.0.0.1:81 in the pod: Connection refused") == 0);
    CHECK(pod_net_connect(NETNS_DIR "/none", 81, &err) == -1);
}

static bool has_route_to(const char *hex)
{
    auto_buf struct buf routes;
    buf_init(&routes, 1 << 20);
    CHECK(file_read(AT_FDCWD, "/proc/thread-self/net/route", &routes, &err) == 0);
    return str_search(buf_str(&routes), str_of(hex)) >= 0;
}

static void check_remove(struct pod_net *net)
{
    CHECK(has_route_to("\t0500F40A\t"));
    CHECK(pod_net_add(net, "pod-d", 0x0af40006, &err) == ERR_EXISTS);
    CHECK(strcmp(err.msg, "network of pod \"pod-d\": has address 10.244.0.5 already") == 0);
    CHECK(pod_net_flush_udp(net, POD_C, &err) == 0);
    CHECK(pod_net_remove(net, "pod-d", &err) == 0);
    CHECK(pod_net_remove(net, "pod-d", &err) == 0); /* absent is fine */
    CHECK(access(NETNS_DIR "/pod-d", F_OK) != 0);
    CHECK(!has_route_to("\t0500F40A\t"));
    enum { PODS = 50 };
    struct timespec t[2];
    char id[16];
    (void)clock_gettime(CLOCK_MONOTONIC, &t[0]);
    for (uint32_t i = 0; i < PODS; i++) {
        (void)snprintf(id, sizeof(id), "p-%u", i);
        CHECK(pod_net_add(net, id, 0x0af40100 + i, &err) == 0);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &t[1]);
    show_time("add pods", PODS, t);
    (void)clock_gettime(CLOCK_MONOTONIC, &t[0]);
    for (uint32_t i = 0; i < PODS; i++) {
        (void)snprintf(id, sizeof(id), "p-%u", i);
        CHECK(pod_net_remove(net, id, &err) == 0);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &t[1]);
    show_time("remove pods", PODS, t);
    for (int i = 0; i < 5; i++) { /* the same pod again, while its last link may linger */
        CHECK(pod_net_add(net, "pod-d", 0x0af40005, &err) == 0);
        CHECK_ANSWER("Connection refused", ask(NULL, SOCK_STREAM, 0x0af40005, PORT));
        CHECK(pod_net_remove(net, "pod-d", &err) == 0);
    }
    CHECK(pod_net_add(net, "../x", POD_A, &err) == ERR_INVALID);
}

/* Without a default route the node answers "network is unreachable" for external addresses. */
static void give_node_a_way_out(void)
{
    struct nl nl;
    struct link_info bridge;
    struct route route = {0};
    CHECK(nl_open(&nl, NETLINK_ROUTE, &err) == 0 && link_find(&nl, "cni0", &bridge, &err) == 0);
    route.index = bridge.index;
    CHECK(route_add(&nl, &route, &err) == 0);
    nl_close(&nl);
}

static void scenario(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/mnt", "tmpfs", 0, NULL) < 0) {
        _exit(SKIPPED);
    }
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    const struct pod_net_config config = {
        .pod_cidr = 0x0af40000,
        .pod_prefix = 16,
        .service_cidr = 0x0a600000,
        .service_prefix = 12,
        .netns_dir = NETNS_DIR,
    };
    struct pod_net *net = NULL;
    for (int brain = 0; brain < 2; brain++) { /* the second one finds everything there */
        pod_net_close(net);
        net = pod_net_open(&config, &err);
        CHECK(net != NULL);
        CHECK(pod_net_was_up(net) == (brain > 0));
        CHECK(pod_net_add_local(net, 0x0a60000a, &err) == 0);
        CHECK(pod_net_add(net, "pod-a", POD_A, &err) == 0);
        CHECK(pod_net_add(net, "pod-b", POD_B, &err) == 0);
        CHECK(pod_net_add(net, "pod-c", POD_C, &err) == 0);
        CHECK(pod_net_add(net, "pod-d", 0x0af40005, &err) == 0);
    }
    CHECK(pod_net_node_address(net) == NODE);
    give_node_a_way_out();
    serve("pod-a", "a");
    serve("pod-b", "b");
    serve("pod-c", "c");
    struct rule_loader *loader = rule_loader_open(&err);
    CHECK(loader != NULL);
    check_direct();
    check_one_endpoint(loader);
    check_swap(loader);
    check_spread(loader);
    check_affinity(loader);
    loader = check_affinity_outlives(loader);
    check_many(loader);
    check_connect_inside();
    check_remove(net);
    rule_loader_close(loader);
    pod_net_close(net);
    _exit(0);
}

TEST(network_carries_pods_and_services)
{
    pid_t child = fork();
    if (child == 0) {
        scenario();
    }
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        print_message("needs the right to make network namespaces\n");
        skip();
    }
    EXPECT_INT(0, status);
}
