// SPDX-License-Identifier: Apache-2.0
//
// Port-forward: one TCP connection into the pod's network namespace, made on a pool thread (it
// changes that thread's namespace), then copied without blocking.
#include "node/session.h"

#include "base/mem.h"
#include "net/pod_net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct forward_session {
    struct session base;
    char *netns;
    uint16_t port;
    int fd; /* from the pool thread, until source and sink own it */
    struct err err;
    struct io *connecting;
    struct session_source source;
    struct session_sink sink;
};

static void on_forward_end(struct session *s)
{
    session_end(s, 0, NULL);
}

static void fail(struct forward_session *f)
{
    (void)err_wrap(&f->err, "failed to connect to localhost:%u inside namespace of the pod",
                   f->port);
    session_end(&f->base, -1, &f->err);
}

static void on_connected(void *ctx, int events)
{
    struct forward_session *f = ctx;
    int code = 0;
    socklen_t n = sizeof code;
    (void)events;
    (void)getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &code, &n);
    io_stop(f->connecting);
    f->connecting = NULL;
    if (code != 0) {
        errno = code;
        (void)err_errno(&f->err, "connect");
        fail(f);
        return;
    }
    int in = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
    /* io_stop keeps the old watch until the turn ends; a new descriptor has none. */
    int out = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
    (void)close(f->fd);
    f->fd = -1;
    if (source_start(&f->source, &f->base, out, SESSION_STDOUT, on_forward_end, &f->err) < 0 ||
        sink_start(&f->sink, in, &f->err) < 0) {
        fail(f);
    }
}

static void connect_work(void *ctx)
{
    struct forward_session *f = ctx;
    f->fd = pod_net_connect(f->netns, f->port, &f->err);
}

static void connect_done(void *ctx)
{
    struct forward_session *f = ctx;
    f->base.is_working = false;
    if (f->base.is_over) {
        if (f->fd >= 0) {
            (void)close(f->fd);
        }
        free(f->netns);
        session_release(&f->base);
        return;
    }
    f->connecting =
        f->fd < 0 ? NULL : io_start(f->base.owner->loop, f->fd, IO_WRITE, on_connected, f, &f->err);
    if (f->connecting == NULL) {
        fail(f);
    }
}

static void forward_input(struct session *s, struct str bytes, bool is_end)
{
    (void)sink_put(&container_of(s, struct forward_session, base)->sink, bytes, is_end);
}

static void forward_pause(struct session *s, bool is_paused)
{
    source_pause(&container_of(s, struct forward_session, base)->source, is_paused);
}

static size_t forward_backlog(const struct session *s)
{
    return ((const struct forward_session *)(const void *)s)->sink.backlog.n;
}

static void forward_stop(struct session *s)
{
    struct forward_session *f = container_of(s, struct forward_session, base);
    io_stop(f->connecting);
    source_stop(&f->source);
    sink_stop(&f->sink);
    if (!s->is_working) {
        if (f->fd >= 0) {
            (void)close(f->fd);
        }
        free(f->netns);
    }
}

static const struct session_class forward_class = {.input = forward_input,
                                                   .pause = forward_pause,
                                                   .backlog = forward_backlog,
                                                   .stop = forward_stop};

struct session *session_forward_open(struct sessions *owner, const struct session_request *request,
                                     const struct session_events *events, void *ctx,
                                     struct err *err)
{
    struct str netns = {0};
    if (owner->lookup.netns(owner->lookup.ctx, request->ns, request->pod, &netns, err) < 0) {
        return NULL;
    }
    struct forward_session *f = xcalloc(1, sizeof *f);
    f->netns = netns.n == 0 ? xstrdup("/proc/self/ns/net") : xasprintf(STR_FMT, STR_ARG(netns));
    f->port = request->port;
    f->fd = -1;
    session_init(&f->base, owner, &forward_class, events, ctx);
    sink_init(&f->sink, &f->base, /*is_socket=*/true);
    f->base.is_working = true;
    loop_work(owner->loop, connect_work, connect_done, f);
    return &f->base;
}
