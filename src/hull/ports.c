// SPDX-License-Identifier: Apache-2.0
//
// The process that carries published ports: it holds their listening sockets, which are the host's,
// and connects from the cluster's own network, where the service rules choose the endpoint
// (wire/forward.h copies). The brain says over a line which ports there are and where they lead;
// between two brains it goes on with what it knows. It has no rights beyond its descriptors: no
// capability, no file, another user than root where there is one.
//
//   verb   argument                            is
//   aim    tcp 127.0.0.1 30080 10.96.0.7 80    leads there from now on; ENOENT: take it first
//   take   the same, with its socket           serves a port
//   drop   tcp 127.0.0.1 30080                 closes it and its connections
//   sweep                                      closes what this brain has not aimed or taken
#include "hull/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/pod_net.h"
#include "wire/forward.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOG_ROOM "ports"

enum { LINE_FD = 3, NOBODY = 65534 };

struct port {
    struct forward *forward;
    uint32_t target;
    uint16_t target_port;
    int brain; /* the last that asked for it */
};

static void port_free(void *value)
{
    struct port *port = value;
    if (port != NULL) {
        forward_free(port->forward);
        free(port);
    }
}

/* "tcp 127.0.0.1 30080 10.96.0.7 80" */
struct route {
    struct str name; /* the first three words */
    bool is_udp;
    uint32_t target;
    uint16_t target_port;
};

static int route_read(const char *argument, struct route *ret)
{
    struct str rest = str_of(argument);
    struct str protocol = str_cut(&rest, ' ');
    uint64_t target_port;
    (void)str_cut(&rest, ' ');
    struct str number = str_cut(&rest, ' ');
    if (number.p == NULL || ip4_parse(str_cut(&rest, ' '), &ret->target) < 0 ||
        str_to_u64(rest, &target_port) < 0 || target_port > UINT16_MAX) {
        errno = EINVAL;
        return -1;
    }
    ret->name = (struct str){argument, (size_t)(number.p + number.n - argument)};
    ret->is_udp = str_eq(protocol, S("udp"));
    ret->target_port = (uint16_t)target_port;
    return 0;
}

static int do_aim(void *ctx, struct request *request)
{
    struct ports *ports = ctx;
    struct route route;
    if (route_read(request->argument, &route) < 0) {
        return -1;
    }
    struct port *port = map_find(&ports->open, route.name);
    if (port == NULL) {
        errno = ENOENT;
        return -1;
    }
    port->brain = request->asker;
    if (port->target != route.target || port->target_port != route.target_port) {
        port->target = route.target;
        port->target_port = route.target_port;
        forward_aim(port->forward, route.target, route.target_port);
    }
    return 0;
}

static int do_take(void *ctx, struct request *request)
{
    struct ports *ports = ctx;
    struct route route;
    struct err err = {0};
    if (route_read(request->argument, &route) < 0 || request->given_fd < 0) {
        errno = EINVAL;
        return -1;
    }
    struct forward_config config = {.loop = ports->loop,
                                    .fd = request->given_fd,
                                    .is_udp = route.is_udp,
                                    .address = route.target,
                                    .port = route.target_port};
    request->given_fd = -1;
    struct forward *forward = forward_new(&config, &err);
    if (forward == NULL) {
        log_warn("serve %s: %s", request->argument, err.msg);
        errno = EIO;
        return -1;
    }
    struct port *port = xmalloc(sizeof *port);
    *port = (struct port){.forward = forward,
                          .target = route.target,
                          .target_port = route.target_port,
                          .brain = request->asker};
    port_free(map_put(&ports->open, route.name, port));
    return 0;
}

static int do_drop(void *ctx, struct request *request)
{
    struct ports *ports = ctx;
    port_free(map_remove(&ports->open, str_of(request->argument)));
    return 0;
}

static int do_sweep(void *ctx, struct request *request)
{
    struct ports *ports = ctx;
    for (size_t i = ports->open.count; i-- > 0;) {
        struct port *port = ports->open.entries[i].value;
        if (port->brain != request->asker) {
            port_free(map_remove(&ports->open, ports->open.entries[i].key));
        }
    }
    return 0;
}

static void on_request(void *ctx, int events)
{
    static const struct line_verb verbs[] = {
        {"aim",   do_aim  },
        {"take",  do_take },
        {"drop",  do_drop },
        {"sweep", do_sweep},
    };
    struct ports *ports = ctx;
    (void)events;
    if (!line_serve(ports->line, verbs, ARRAY_LEN(verbs), ports)) {
        loop_stop(ports->loop);
    }
}

int ports_serve(struct ports *ports, struct err *err)
{
    ports->loop = loop_new();
    struct io *io = io_start(ports->loop, ports->line, IO_READ, on_request, ports, err);
    if (io == NULL) {
        return err->code;
    }
    loop_run(ports->loop);
    io_stop(io);
    map_done(&ports->open, port_free);
    loop_free(ports->loop);
    return 0;
}

/* All that hostile bytes could reach from here: the sockets. A single-id user namespace has no
 * second user to become. */
static int confine(void)
{
    struct __user_cap_header_struct version = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    bool has_one_id = hull_has_one_id(); /* while /proc is there */
    if (chroot(HULL_EMPTY_DIR) < 0 || chdir("/") < 0) {
        return -1;
    }
    if (!has_one_id && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                        setresuid(NOBODY, NOBODY, NOBODY) < 0)) {
        return -1;
    }
    return syscall(SYS_capset, &version, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
               ? -1
               : 0;
}

void ports_run(int line)
{
    sigset_t none;
    struct err err = {0};
    (void)prctl(PR_SET_NAME, "coracle-ports");
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(line, LINE_FD) < 0 || close_range(LINE_FD + 1, ~0U, 0) < 0) {
        _exit(1);
    }
    fd_raise_limit();
    if (confine() < 0) {
        log_error("give up rights: %s", strerror(errno));
        _exit(1);
    }
    struct ports ports = {.line = LINE_FD};
    if (ports_serve(&ports, &err) < 0) {
        log_error("%s", err.msg);
    }
    _exit(1);
}
