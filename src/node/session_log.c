// SPDX-License-Identifier: Apache-2.0
//
// Logs: the file through log_reader, a piece a turn. A follower sleeps on inotify and looks by
// itself once a second; it ends when the container has ended and the file is read to its end, and
// goes over to the new file when the log was rotated.
#include "node/session.h"

#include "base/mem.h"
#include "node/logfile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static const usec look_first = 10 * USEC_PER_MS;
static const usec look_last = USEC_PER_SEC;

struct log_session {
    struct session base;
    char *id;
    char *path;
    int fd;
    int watch; /* -1 = none */
    bool is_follow;
    bool is_file_over; /* the next end of the file is the last one */
    usec pause;
    struct log_reader reader;
    struct buf out;
};

static void step(void *ctx);

static void again(struct log_session *l, usec delay)
{
    timer_start(l->base.owner->loop, &l->base.timer, delay, step, &l->base);
}

static void watch(struct log_session *l)
{
    l->watch = inotify_add_watch(l->base.owner->inotify_fd, l->path,
                                 IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE_SELF);
}

static bool was_rotated(const struct log_session *l)
{
    struct stat mine;
    struct stat present;
    return stat(l->path, &present) == 0 && fstat(l->fd, &mine) == 0 &&
           present.st_ino != mine.st_ino;
}

/* The file is read to its end. */
static void at_end(struct log_session *l)
{
    struct sessions *owner = l->base.owner;
    bool has_successor = l->is_follow && was_rotated(l);
    bool is_running = l->is_follow && owner->lookup.is_running(owner->lookup.ctx, str_of(l->id));
    if (!l->is_follow || (!has_successor && !is_running && l->is_file_over)) {
        session_end(&l->base, 0, NULL);
    } else if (!has_successor && is_running) {
        again(l, l->pause);
        l->pause = l->pause * 2 > look_last ? look_last : l->pause * 2;
    } else if (!l->is_file_over) {
        l->is_file_over = true; /* once more: what came between the read and the look */
        again(l, 0);
    } else {
        int fd = open(l->path, O_RDONLY | O_CLOEXEC);
        l->is_file_over = false;
        if (fd >= 0) {
            (void)close(l->fd);
            l->fd = fd;
            watch(l);
        }
        again(l, fd >= 0 ? 0 : look_first);
    }
}

static void step(void *ctx)
{
    struct log_session *l = ctx;
    struct session *s = &l->base;
    if (s->is_over || s->is_paused) {
        return;
    }
    ssize_t n = log_reader_is_full(&l->reader) ? 0 : read(l->fd, s->owner->chunk, SESSION_CHUNK);
    if (n > 0) {
        buf_clear(&l->out);
        log_reader_feed(&l->reader, (struct str){s->owner->chunk, (size_t)n}, &l->out);
        l->pause = look_first;
        if (session_output(s, SESSION_STDOUT, buf_str(&l->out)) && !s->is_paused) {
            again(l, 0);
        }
    } else if (log_reader_is_full(&l->reader)) {
        session_end(s, 0, NULL);
    } else {
        at_end(l);
    }
}

static void log_pause(struct session *s, bool is_paused)
{
    struct log_session *l = container_of(s, struct log_session, base);
    if (!is_paused) {
        again(l, 0);
    }
}

static void log_stop(struct session *s)
{
    struct log_session *l = container_of(s, struct log_session, base);
    bool is_shared = false;
    struct list *it;
    struct list *next;
    list_foreach (it, next, &s->owner->list) {
        const struct session *other = container_of(it, struct session, node);
        is_shared =
            is_shared || (other->class == s->class &&
                          ((const struct log_session *)(const void *)other)->watch == l->watch);
    }
    if (l->watch >= 0 && !is_shared) {
        (void)inotify_rm_watch(s->owner->inotify_fd, l->watch);
    }
    if (l->fd >= 0) {
        (void)close(l->fd);
    }
    log_reader_done(&l->reader);
    buf_done(&l->out);
    free(l->id);
    free(l->path);
}

static const struct session_class log_class = {.pause = log_pause, .stop = log_stop};

void session_log_wake(void *ctx, int events)
{
    struct sessions *owner = ctx;
    (void)events;
    /* Which file it was does not matter: a look costs one read that finds nothing. */
    while (read(owner->inotify_fd, owner->chunk, sizeof owner->chunk) > 0) {
    }
    struct list *it;
    struct list *next;
    list_foreach (it, next, &owner->list) {
        struct session *s = container_of(it, struct session, node);
        if (s->class == &log_class && ((struct log_session *)(void *)s)->is_follow &&
            !s->is_paused) {
            again((struct log_session *)(void *)s, 0);
        }
    }
}

struct session *session_log_open(struct sessions *owner, const struct session_request *request,
                                 const struct session_events *events, void *ctx, struct err *err)
{
    struct pod_container c = {0};
    int64_t offset = 0;
    if (owner->lookup.container(owner->lookup.ctx, request->ns, request->pod, request->container,
                                request->is_previous, true, &c, err) < 0) {
        return NULL;
    }
    auto_free char *path = xasprintf(STR_FMT, STR_ARG(c.log_path));
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)err_errno(err, "open log of container \"" STR_FMT "\"", STR_ARG(request->container));
        return NULL;
    }
    if (logfile_tail(fd, request->tail_lines, &offset, err) < 0 ||
        lseek(fd, offset, SEEK_SET) < 0) {
        return NULL;
    }
    struct log_session *l = xcalloc(1, sizeof *l);
    l->fd = take_fd(&fd);
    l->path = take_ptr(&path);
    l->id = xasprintf(STR_FMT, STR_ARG(c.id));
    l->is_follow = request->is_follow;
    l->pause = look_first;
    l->watch = -1;
    /* A piece of the file with a time stamp each two bytes of text is the worst case. */
    buf_init(&l->out, (size_t)SESSION_CHUNK * 4 + LOG_LINE_MAX);
    log_reader_init(&l->reader, request->stream, request->since_wall, request->limit_bytes,
                    request->has_timestamps);
    session_init(&l->base, owner, &log_class, events, ctx);
    if (l->is_follow) {
        watch(l);
    }
    again(l, 0);
    return &l->base;
}
