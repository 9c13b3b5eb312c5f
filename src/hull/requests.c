// SPDX-License-Identifier: Apache-2.0
//
// The line between brain and keeper, both ends. A request is "VERB PID SERIAL ARGUMENT", with or
// without a descriptor; the answer is "ERRNO " and the request, so that a brain knows its own from
// those that a killed one left behind. Sockets that listen for the brain are kept here under the
// argument of the request that brought them.
#include "hull/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_ROOM "keeper"

enum {
    REQUEST_BYTES_MAX = 128,
    SOCKETS_MAX = 900 /* of 1,024 descriptors; more are handed in and not kept */
};

/* The beginning of a name in the cluster's network. */
#define INSIDE "inside "

struct kept {
    int fd;
    int brain; /* the last that asked */
};

/* A request as the keeper sees it. */
struct request {
    const char *argument;
    int brain;
    int given; /* descriptor that came with it; a verb that keeps it puts -1 here */
    pid_t init;
    int fd; /* goes with the answer; -1 = none */
    bool is_fd_kept;
};

/* "tcp 127.0.0.1 30080": a socket that listens there, or -1 with errno. */
static int open_port(const char *name)
{
    char protocol[8];
    char address[INET_ADDRSTRLEN];
    char digits[6];
    uint64_t port;
    struct sockaddr_in sin = {.sin_family = AF_INET};
    if (sscanf(name, "%7s %15s %5s", protocol, address, digits) != 3 ||
        str_to_u64(str_of(digits), &port) < 0 || port > UINT16_MAX ||
        inet_pton(AF_INET, address, &sin.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    bool is_tcp = strcmp(protocol, "tcp") == 0;
    sin.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd >= 0 && is_tcp) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&sin, sizeof sin) < 0 ||
                    (is_tcp && listen(fd, SOMAXCONN) < 0))) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* The keeper's verbs: 0 or -1 with errno; *ret_fd stays -1 unless a descriptor goes back, which is
 * lent when it is kept, and else closed behind the answer through *ret_mine. */

static void kept_drop(struct map *sockets, struct str name)
{
    struct kept *kept = map_remove(sockets, name);
    if (kept != NULL) {
        (void)close(kept->fd);
        free(kept);
    }
}

static bool keep(struct map *sockets, const struct request *request, int fd)
{
    if (sockets->count >= SOCKETS_MAX) {
        return false;
    }
    struct kept *kept = xmalloc(sizeof *kept);
    *kept = (struct kept){.fd = fd, .brain = request->brain};
    kept_drop(sockets, str_of(request->argument));
    (void)map_put(sockets, str_of(request->argument), kept);
    return true;
}

static int do_find(struct map *sockets, struct request *request)
{
    struct kept *kept = map_find(sockets, str_of(request->argument));
    if (kept == NULL) {
        errno = ENOENT;
        return -1;
    }
    kept->brain = request->brain;
    request->fd = kept->fd;
    request->is_fd_kept = true;
    return 0;
}

static int do_open(struct map *sockets, struct request *request)
{
    if (do_find(sockets, request) == 0) {
        return 0;
    }
    request->fd = open_port(request->argument);
    request->is_fd_kept = request->fd >= 0 && keep(sockets, request, request->fd);
    return request->fd < 0 ? -1 : 0;
}

static int do_keep(struct map *sockets, struct request *request)
{
    if (request->given < 0 || !keep(sockets, request, request->given)) {
        errno = request->given < 0 ? EBADF : ENOSPC;
        return -1;
    }
    request->given = -1;
    return 0;
}

static int do_drop(struct map *sockets, struct request *request)
{
    kept_drop(sockets, str_of(request->argument));
    return 0;
}

static int do_sweep(struct map *sockets, struct request *request)
{
    for (size_t i = sockets->count; i-- > 0;) {
        const struct kept *kept = sockets->entries[i].value;
        if (kept->brain != request->brain) {
            kept_drop(sockets, sockets->entries[i].key);
        }
    }
    return 0;
}

static int do_work(struct map *sockets, struct request *request)
{
    (void)sockets;
    return image_worker_start(request->init, request->given);
}

static int perform(struct map *sockets, struct str verb, struct request *request)
{
    static const struct {
        const char *verb;
        int (*fn)(struct map *sockets, struct request *request);
    } rows[] = {
        {"open",         do_open },
        {"find",         do_find },
        {"keep",         do_keep },
        {"drop",         do_drop },
        {"sweep",        do_sweep},
        {"image-worker", do_work },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_eq(verb, str_of(rows[i].verb))) {
            return rows[i].fn(sockets, request);
        }
    }
    errno = EINVAL;
    return -1;
}

/* "<verb> <pid of the brain> <number> <argument>" */
static int read_and_perform(struct map *sockets, const char *text, struct request *request)
{
    struct str rest = str_of(text);
    struct str verb = str_cut(&rest, ' ');
    uint64_t brain;
    if (str_to_u64(str_cut(&rest, ' '), &brain) < 0 || brain > INT_MAX) {
        errno = EINVAL;
        return -1;
    }
    request->brain = (int)brain;
    (void)str_cut(&rest, ' ');
    request->argument = rest.p == NULL ? "" : rest.p;
    return perform(sockets, verb, request);
}

bool keeper_serve(int line, pid_t init, struct map *sockets)
{
    char text[REQUEST_BYTES_MAX];
    struct request request = {.init = init, .fd = -1};
    ssize_t n = fd_recv(line, text, sizeof text - 1, &request.given);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    text[n] = '\0';
    int result = read_and_perform(sockets, text, &request);
    char answer[REQUEST_BYTES_MAX + 16];
    int len = snprintf(answer, sizeof answer, "%d %s", result == 0 ? 0 : errno, text);
    struct err err;
    if (fd_send(line, (struct str){answer, (size_t)len}, request.fd, &err) < 0) {
        log_warn("answer to '%s': %s", text, err.msg);
    }
    if (request.given >= 0) {
        (void)close(request.given);
    }
    if (request.fd >= 0 && !request.is_fd_kept) {
        (void)close(request.fd);
    }
    return true;
}

/* The brain's end. */

/* The answer to request, past those that a killed brain left behind: 0 or the keeper's errno. */
static int await_answer(int line, struct str request, int *ret_fd)
{
    for (;;) {
        int fd = -1;
        char answer[REQUEST_BYTES_MAX + 16];
        ssize_t n = fd_recv(line, answer, sizeof answer, &fd);
        struct str rest = {answer, n > 0 ? (size_t)n : 0};
        uint64_t code = 0;
        bool is_code = str_to_u64(str_cut(&rest, ' '), &code) == 0;
        if (n > 0 && is_code && str_eq(rest, request)) {
            *ret_fd = fd;
            return (int)code;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        if (n <= 0) {
            return EIO;
        }
    }
}

/* 0 and, where one is due, a descriptor in *ret_fd (else -1), or an errno. */
static int ask(int line, const char *verb, const char *argument, int given, int *ret_fd)
{
    static unsigned serial;
    char text[REQUEST_BYTES_MAX];
    struct err err;
    *ret_fd = -1;
    int n = snprintf(text, sizeof text, "%s %d %u %s", verb, (int)getpid(), serial++, argument);
    struct str request = {text, (size_t)n};
    return fd_send(line, request, given, &err) < 0 ? EIO : await_answer(line, request, ret_fd);
}

static void name_port(char name[static REQUEST_BYTES_MAX], enum hull_net net, const char *protocol,
                      const char *address, uint16_t port)
{
    (void)snprintf(name, REQUEST_BYTES_MAX, "%s%s %s %u", net == HULL_NET_CLUSTER ? INSIDE : "",
                   protocol, address, port);
}

int hull_listen(int keeper_fd, enum hull_net net, const char *protocol, const char *address,
                uint16_t port, struct err *err)
{
    char name[REQUEST_BYTES_MAX];
    int fd;
    int unused;
    name_port(name, net, protocol, address, port);
    int code = ask(keeper_fd, net == HULL_NET_HOST ? "open" : "find", name, -1, &fd);
    if (fd < 0 && net == HULL_NET_CLUSTER) {
        fd = open_port(name + strlen(INSIDE));
        code = errno;
        if (fd >= 0 && ask(keeper_fd, "keep", name, fd, &unused) != 0) {
            log_warn("%s closes with this process", name);
        }
    }
    if (fd < 0) {
        errno = code;
        (void)err_errno(err, "listen on %s %s:%u", protocol, address, port);
        err->code = code == EADDRINUSE ? ERR_EXISTS : err->code;
    }
    return fd;
}

void hull_unlisten(int keeper_fd, enum hull_net net, const char *protocol, const char *address,
                   uint16_t port)
{
    char name[REQUEST_BYTES_MAX];
    int unused;
    name_port(name, net, protocol, address, port);
    (void)ask(keeper_fd, "drop", name, -1, &unused);
}

void hull_sweep(int keeper_fd)
{
    int unused;
    (void)ask(keeper_fd, "sweep", "", -1, &unused);
}

int hull_run_image_worker(int keeper_fd, int fd, struct err *err)
{
    int unused;
    errno = ask(keeper_fd, "image-worker", "", fd, &unused);
    return errno == 0 ? 0 : err_errno(err, "start the image worker on the host");
}
