// SPDX-License-Identifier: Apache-2.0
#include "node/session.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKET_MAX = 8192, BACKLOG_FACTOR = 4 };

void session_init(struct session *s, struct sessions *owner, const struct session_class *class,
                  const struct session_events *events, void *ctx)
{
    s->owner = owner;
    s->class = class;
    s->events = *events;
    s->ctx = ctx;
    list_add_tail(&owner->list, &s->node);
}

bool session_output(struct session *s, int channel, struct str bytes)
{
    if (!s->is_over && bytes.n > 0) {
        s->events.output(s->ctx, channel, bytes);
    }
    return !s->is_over;
}

static void free_later(void *ctx)
{
    free(ctx);
}

void session_release(struct session *s)
{
    loop_defer(s->owner->loop, free_later, s);
}

static void end_quietly(struct session *s)
{
    s->is_over = true;
    list_remove(&s->node);
    timer_stop(&s->timer);
    s->class->stop(s);
    if (!s->is_working) {
        session_release(s);
    }
}

void session_end(struct session *s, int exit_code, const struct err *err)
{
    if (!s->is_over) {
        end_quietly(s);
        s->events.ended(s->ctx, exit_code, err);
    }
}

/* Sources. */

static void close_source(struct session_source *source)
{
    io_stop(source->io);
    source->io = NULL;
    if (source->fd >= 0) {
        (void)close(source->fd);
    }
    source->fd = -1;
    source->is_open = false;
}

int source_read(struct session_source *source)
{
    struct session *s = source->session;
    ssize_t n;
    do {
        n = read(source->fd, s->owner->chunk, sizeof s->owner->chunk);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return -1;
    }
    if (n <= 0) { /* a terminal ends with EIO */
        close_source(source);
        return 0;
    }
    struct str bytes = {s->owner->chunk, (size_t)n};
    if (source->channel == 0) {
        /* conmon: 2 = stdout, 3 = stderr */
        int channel = bytes.p[0] == 3 ? SESSION_STDERR : SESSION_STDOUT;
        (void)session_output(s, channel, str_sub(bytes, 1, bytes.n));
    } else {
        (void)session_output(s, source->channel, bytes);
    }
    return 1;
}

static void on_source(void *ctx, int events)
{
    struct session_source *source = ctx;
    (void)events;
    if (source_read(source) == 0 && source->ended != NULL && !source->session->is_over) {
        source->ended(source->session);
    }
}

int source_start(struct session_source *source, struct session *s, int fd, int channel,
                 void (*ended)(struct session *s), struct err *err)
{
    (void)fd_set_nonblock(fd);
    *source = (struct session_source){
        .session = s, .channel = channel, .fd = fd, .is_open = true, .ended = ended};
    source->io = io_start(s->owner->loop, fd, s->is_paused ? 0 : IO_READ, on_source, source, err);
    return source->io == NULL ? err->code : 0;
}

void source_pause(struct session_source *source, bool is_paused)
{
    if (source->io != NULL) {
        io_set(source->io, is_paused ? 0 : IO_READ);
    }
}

void source_stop(struct session_source *source)
{
    if (source->is_open) {
        close_source(source);
    }
}

/* Sinks. */

void sink_init(struct session_sink *sink, struct session *s, bool is_socket)
{
    *sink = (struct session_sink){.session = s, .fd = -1, .is_socket = is_socket};
    buf_init(&sink->backlog, (size_t)STREAM_BACKLOG_MAX * BACKLOG_FACTOR);
}

static void close_sink(struct session_sink *sink)
{
    io_stop(sink->io);
    sink->io = NULL;
    if (sink->fd >= 0) {
        if (sink->is_socket) {
            (void)shutdown(sink->fd, SHUT_WR);
        }
        (void)close(sink->fd);
    }
    sink->fd = -1;
    sink->is_closed = true;
    buf_clear(&sink->backlog);
}

static void flush(struct session_sink *sink)
{
    size_t done = 0;
    while (done < sink->backlog.n) {
        size_t want = sink->backlog.n - done;
        ssize_t n = write(sink->fd, sink->backlog.p + done, want > PACKET_MAX ? PACKET_MAX : want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            close_sink(sink); /* nobody reads it any more: as if it were taken */
            return;
        }
        if (n < 0) {
            break;
        }
        done += (size_t)n;
    }
    buf_consume(&sink->backlog, done);
    if (sink->backlog.n == 0 && sink->is_end) {
        close_sink(sink);
    } else {
        io_set(sink->io, sink->backlog.n > 0 ? IO_WRITE : 0);
    }
}

static void on_sink(void *ctx, int events)
{
    struct session_sink *sink = ctx;
    struct session *s = sink->session;
    (void)events;
    flush(sink);
    if (sink->was_full && sink->backlog.n <= STREAM_BACKLOG_MAX / 2) {
        sink->was_full = false;
        if (s->events.drained != NULL) {
            s->events.drained(s->ctx);
        }
    }
}

int sink_start(struct session_sink *sink, int fd, struct err *err)
{
    (void)fd_set_nonblock(fd);
    sink->fd = fd;
    /* Waiting input, or a waiting end, goes out with the first event. */
    sink->io = io_start(sink->session->owner->loop, fd, IO_WRITE, on_sink, sink, err);
    return sink->io == NULL ? err->code : 0;
}

static void on_overflow(void *ctx)
{
    struct err err;
    (void)err_set(&err, ERR_LIMIT, "more than %d bytes of input wait to be read",
                  STREAM_BACKLOG_MAX * BACKLOG_FACTOR);
    session_end(ctx, -1, &err);
}

bool sink_put(struct session_sink *sink, struct str bytes, bool is_end)
{
    struct session *s = sink->session;
    if (sink->is_closed) {
        return true;
    }
    sink->is_end = sink->is_end || is_end;
    if (buf_add(&sink->backlog, bytes) < 0) {
        timer_start(s->owner->loop, &s->timer, 0, on_overflow, s);
        return false;
    }
    sink->was_full = sink->was_full || sink->backlog.n > STREAM_BACKLOG_MAX;
    if (sink->io != NULL) {
        io_set(sink->io, IO_WRITE);
    }
    return true;
}

void sink_stop(struct session_sink *sink)
{
    close_sink(sink);
    buf_done(&sink->backlog);
}

/* The door. */

static struct session *open_session(void *node, const struct session_request *request,
                                    const struct session_events *events, void *ctx, struct err *err)
{
    struct sessions *owner = node;
    switch (request->kind) {
    case SESSION_EXEC:
        return session_exec_open(owner, request, events, ctx, err);
    case SESSION_ATTACH:
        return session_attach_open(owner, request, events, ctx, err);
    case SESSION_LOG:
        return session_log_open(owner, request, events, ctx, err);
    case SESSION_FORWARD:
        return session_forward_open(owner, request, events, ctx, err);
    }
    (void)err_set(err, ERR_INTERNAL, "unknown kind of session");
    return NULL;
}

static void session_input(struct session *s, struct str bytes, bool is_end)
{
    if (!s->is_over && s->class->input != NULL) {
        s->class->input(s, bytes, is_end);
    }
}

static void session_resize(struct session *s, int width, int height)
{
    if (!s->is_over && s->class->resize != NULL) {
        s->class->resize(s, width, height);
    }
}

static void session_pause(struct session *s, bool is_paused)
{
    if (!s->is_over && s->is_paused != is_paused) {
        s->is_paused = is_paused;
        s->class->pause(s, is_paused);
    }
}

static void session_close(struct session *s)
{
    if (!s->is_over) {
        end_quietly(s);
    }
}

static size_t session_backlog(const struct session *s)
{
    return s->is_over || s->class->backlog == NULL ? 0 : s->class->backlog(s);
}

const struct session_ops *sessions_ops(void)
{
    static const struct session_ops ops = {.open = open_session,
                                           .input = session_input,
                                           .resize = session_resize,
                                           .pause = session_pause,
                                           .close = session_close,
                                           .backlog = session_backlog};
    return &ops;
}

struct sessions *sessions_open(struct loop *loop, struct runtime *runtime,
                               const struct pod_lookup *lookup, struct err *err)
{
    struct sessions *owner = xcalloc(1, sizeof *owner);
    owner->loop = loop;
    owner->runtime = runtime;
    owner->oci = runtime_conmon_command(runtime);
    owner->lookup = *lookup;
    list_init(&owner->list);
    /* A command that ends while its input is written must not end the brain. */
    (void)signal(SIGPIPE, SIG_IGN);
    owner->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (owner->inotify_fd < 0) {
        (void)err_errno(err, "inotify");
    } else {
        owner->inotify_io =
            io_start(loop, owner->inotify_fd, IO_READ, session_log_wake, owner, err);
    }
    if (owner->inotify_io == NULL) {
        sessions_close(owner);
        return NULL;
    }
    return owner;
}

void sessions_close(struct sessions *owner)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &owner->list) {
        end_quietly(container_of(it, struct session, node));
    }
    io_stop(owner->inotify_io);
    if (owner->inotify_fd >= 0) {
        (void)close(owner->inotify_fd);
    }
    free(owner);
}
