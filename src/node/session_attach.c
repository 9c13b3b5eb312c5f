// SPDX-License-Identifier: Apache-2.0
//
// Attach: conmon's packet socket in the bundle (spec/node.md 12.2). Its end is the container's.
#include "node/session.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct attach_session {
    struct session base;
    char *bundle;
    bool has_stdin;
    struct session_source source;
    struct session_sink sink;
};

static void on_attach_end(struct session *s)
{
    session_end(s, 0, NULL);
}

static void attach_input(struct session *s, struct str bytes, bool is_end)
{
    struct attach_session *a = container_of(s, struct attach_session, base);
    if (a->has_stdin) {
        (void)sink_put(&a->sink, bytes, is_end);
    }
}

static void attach_resize(struct session *s, int width, int height)
{
    const struct attach_session *a = container_of(s, struct attach_session, base);
    auto_free char *path = xasprintf("%s/ctl", a->bundle);
    auto_close int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    auto_free char *line = xasprintf("1 %d %d\n", height, width);
    if (fd < 0 || write(fd, line, strlen(line)) < 0) {
        return; /* the container is about to end: its size matters no more */
    }
}

static void attach_pause(struct session *s, bool is_paused)
{
    source_pause(&container_of(s, struct attach_session, base)->source, is_paused);
}

static size_t attach_backlog(const struct session *s)
{
    return ((const struct attach_session *)(const void *)s)->sink.backlog.n;
}

static void attach_stop(struct session *s)
{
    struct attach_session *a = container_of(s, struct attach_session, base);
    source_stop(&a->source);
    sink_stop(&a->sink);
    free(a->bundle);
}

static const struct session_class attach_class = {.input = attach_input,
                                                  .resize = attach_resize,
                                                  .pause = attach_pause,
                                                  .backlog = attach_backlog,
                                                  .stop = attach_stop};

static int connect_to(const char *bundle, struct err *err)
{
    auto_close int dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* Through the descriptor: bundles may be deeper than a socket's address is long. */
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/attach", dir);
    if (dir < 0 || fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        return err_errno(err, "attach to the container");
    }
    return take_fd(&fd);
}

struct session *session_attach_open(struct sessions *owner, const struct session_request *request,
                                    const struct session_events *events, void *ctx, struct err *err)
{
    struct pod_container c = {0};
    if (owner->lookup.container(owner->lookup.ctx, request->ns, request->pod, request->container,
                                false, false, &c, err) < 0) {
        return NULL;
    }
    if (!c.is_running) {
        (void)err_set(err, ERR_INVALID,
                      "container " STR_FMT " not found in pod " STR_FMT "_" STR_FMT,
                      STR_ARG(request->container), STR_ARG(request->pod), STR_ARG(request->ns));
        return NULL;
    }
    auto_free char *bundle = xasprintf(STR_FMT, STR_ARG(c.bundle));
    int fd = connect_to(bundle, err);
    if (fd < 0) {
        return NULL;
    }
    int in = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    struct attach_session *a = xcalloc(1, sizeof *a);
    a->bundle = take_ptr(&bundle);
    a->has_stdin = request->has_stdin && c.has_stdin;
    session_init(&a->base, owner, &attach_class, events, ctx);
    sink_init(&a->sink, &a->base, /*is_socket=*/true);
    if (source_start(&a->source, &a->base, fd, 0, on_attach_end, err) < 0 ||
        (a->has_stdin && sink_start(&a->sink, in, err) < 0)) {
        sessions_ops()->close(&a->base);
        return NULL;
    }
    if (!a->has_stdin && in >= 0) {
        (void)close(in);
    }
    return &a->base;
}
