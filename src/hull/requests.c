// SPDX-License-Identifier: Apache-2.0
//
// What the keeper does for the brain: it opens ports of the host, keeps the sockets of the
// cluster's own network under the name that brought them, and starts image workers.
#include "hull/internal.h"

#include "base/mem.h"
#include "net/pod_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEPT_MAX = 8 }; /* the API and DNS are three */

/* "tcp 127.0.0.1 30080" */
#define PORT_NAME_MAX 48

static void port_name(char ret[static PORT_NAME_MAX], bool is_udp, uint32_t address, uint16_t port)
{
    char text[IP4_TEXT_MAX];
    ip4_format(address, text);
    (void)snprintf(ret, PORT_NAME_MAX, "%s %s %u", is_udp ? "udp" : "tcp", text, port);
}

/* A socket that listens (tcp) or is bound (udp) there, or -1 with errno. */
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

/* The keeper's verbs. */

static int do_open(void *ctx, struct request *request)
{
    (void)ctx;
    request->answer_fd = open_port(request->argument);
    return request->answer_fd < 0 ? -1 : 0;
}

static int do_find(void *ctx, struct request *request)
{
    const struct keeper *keeper = ctx;
    const int *kept = map_find(&keeper->sockets, str_of(request->argument));
    if (kept == NULL) {
        errno = ENOENT;
        return -1;
    }
    request->answer_fd = *kept;
    request->is_answer_lent = true;
    return 0;
}

static int do_keep(void *ctx, struct request *request)
{
    struct keeper *keeper = ctx;
    if (request->given_fd < 0 || keeper->sockets.count >= KEPT_MAX) {
        errno = request->given_fd < 0 ? EBADF : ENOSPC;
        return -1;
    }
    int *kept = xmalloc(sizeof *kept);
    *kept = request->given_fd;
    request->given_fd = -1;
    int *before = map_put(&keeper->sockets, str_of(request->argument), kept);
    if (before != NULL) {
        (void)close(*before);
        free(before);
    }
    return 0;
}

static int do_work(void *ctx, struct request *request)
{
    const struct keeper *keeper = ctx;
    return image_worker_start(keeper->init, request->given_fd);
}

bool keeper_serve(int line, struct keeper *keeper)
{
    static const struct line_verb verbs[] = {
        {"open",         do_open},
        {"find",         do_find},
        {"keep",         do_keep},
        {"image-worker", do_work},
    };
    return line_serve(line, verbs, ARRAY_LEN(verbs), keeper);
}

/* The brain's end. */

int hull_listen(int keeper_fd, const char *protocol, const char *address, uint16_t port,
                struct err *err)
{
    char name[PORT_NAME_MAX];
    int fd;
    (void)snprintf(name, sizeof name, "%s %s %u", protocol, address, port);
    (void)line_ask(keeper_fd, "find", name, -1, &fd);
    if (fd < 0) {
        fd = open_port(name);
        if (fd < 0) {
            return err_errno(err, "listen on %s", name), -1;
        }
        (void)line_ask(keeper_fd, "keep", name, fd, NULL);
    }
    return fd;
}

int hull_publish(int keeper_fd, int ports_fd, const struct hull_port *port, struct err *err)
{
    char name[PORT_NAME_MAX];
    char target[IP4_TEXT_MAX];
    char argument[PORT_NAME_MAX + 32];
    port_name(name, port->is_udp, port->address, port->port);
    ip4_format(port->target, target);
    (void)snprintf(argument, sizeof argument, "%s %s %u", name, target, port->target_port);
    int code = line_ask(ports_fd, "aim", argument, -1, NULL);
    if (code == ENOENT) {
        int fd;
        code = line_ask(keeper_fd, "open", name, -1, &fd);
        if (fd >= 0) {
            code = line_ask(ports_fd, "take", argument, fd, NULL);
            (void)close(fd);
        }
    }
    if (code != 0) {
        errno = code;
        (void)err_errno(err, "listen on %s", name);
        err->code = code == EADDRINUSE ? ERR_EXISTS : err->code;
        return err->code;
    }
    return 0;
}

void hull_unpublish(int ports_fd, const struct hull_port *port)
{
    char name[PORT_NAME_MAX];
    port_name(name, port->is_udp, port->address, port->port);
    (void)line_ask(ports_fd, "drop", name, -1, NULL);
}

void hull_sweep(int ports_fd)
{
    (void)line_ask(ports_fd, "sweep", "", -1, NULL);
}

int hull_run_image_worker(int keeper_fd, int fd, struct err *err)
{
    errno = line_ask(keeper_fd, "image-worker", "", fd, NULL);
    return errno == 0 ? 0 : err_errno(err, "start the image worker on the host");
}
