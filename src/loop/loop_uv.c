// SPDX-License-Identifier: Apache-2.0
//
// The loop of the program, on libuv: poll handles for descriptors, the thread pool for work,
// process handles for children. Our timer heap decides how long libuv may sleep, through one
// uv_timer.
#include "loop/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct loop_uv {
    uv_loop_t uv;
    uv_timer_t wake;
};

struct io {
    uv_poll_t poll;
    void (*fn)(void *ctx, int events);
    void *ctx;
};

struct child {
    uv_process_t process;
    void (*exited)(void *ctx, int code, int signal);
    void *ctx;
};

struct job {
    uv_work_t req;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void read_clocks(struct loop *loop)
{
    const struct clock *clock = clock_system();
    loop->now = clock->mono(clock->ctx);
    loop->wall = clock->wall(clock->ctx);
}

static void on_wake(uv_timer_t *timer)
{
    (void)timer;
}

/* Sleeps until something is ready or our next deadline; rounds up so that it is really due. */
static void poll_once(struct loop *loop, struct loop_uv *u)
{
    usec next = loop_next_deadline(loop);
    if (loop->deferred_count > 0) {
        (void)uv_run(&u->uv, UV_RUN_NOWAIT);
        return;
    }
    if (next >= 0) {
        usec left = next - clock_system()->mono(NULL);
        uint64_t ms = left <= 0 ? 0 : (uint64_t)((left + USEC_PER_MS - 1) / USEC_PER_MS);
        if (ms == 0) {
            (void)uv_run(&u->uv, UV_RUN_NOWAIT);
            return;
        }
        /* uv_run fires due timers before it polls; the repeat keeps that poll from having no end.
         */
        uv_update_time(&u->uv);
        (void)uv_timer_start(&u->wake, on_wake, ms, /*repeat=*/1);
    } else {
        (void)uv_timer_stop(&u->wake);
    }
    (void)uv_run(&u->uv, UV_RUN_ONCE);
}

static void uv_loop_run(struct loop *loop)
{
    struct loop_uv *u = loop->impl;
    while (!loop->is_stopping) {
        loop_run_hooks(loop);
        poll_once(loop, u);
        read_clocks(loop);
        loop_run_timers(loop);
        loop_run_deferred(loop);
    }
}

static void job_work(uv_work_t *req)
{
    struct job *job = req->data;
    job->work(job->ctx);
}

static void job_done(uv_work_t *req, int status)
{
    struct job *job = req->data;
    (void)status;
    job->done(job->ctx);
    free(job);
}

static void uv_loop_work(struct loop *loop, void (*work)(void *), void (*done)(void *), void *ctx)
{
    struct loop_uv *u = loop->impl;
    struct job *job = xcalloc(1, sizeof *job);
    *job = (struct job){.work = work, .done = done, .ctx = ctx};
    job->req.data = job;
    (void)uv_queue_work(&u->uv, &job->req, job_work, job_done);
}

static void uv_loop_close_all(struct loop *loop)
{
    struct loop_uv *u = loop->impl;
    uv_close((uv_handle_t *)&u->wake, NULL);
    while (uv_run(&u->uv, UV_RUN_NOWAIT) != 0) {
    }
    (void)uv_loop_close(&u->uv);
    free(u);
}

struct loop *loop_new(void)
{
    static const struct loop_ops ops = {uv_loop_run, uv_loop_work, uv_loop_close_all};
    struct loop *loop = loop_new_base();
    struct loop_uv *u = xcalloc(1, sizeof *u);
    loop->ops = &ops;
    loop->impl = u;
    (void)uv_loop_init(&u->uv);
    (void)uv_timer_init(&u->uv, &u->wake);
    read_clocks(loop);
    return loop;
}

/* Descriptor callbacks come from inside uv_run: the turn's clock is read for the first of them. */
static struct loop *of_uv(uv_loop_t *uv)
{
    return uv->data;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct io *io = poll->data;
    read_clocks(of_uv(poll->loop));
    int ready = (events & UV_READABLE ? IO_READ : 0) | (events & UV_WRITABLE ? IO_WRITE : 0) |
                (status < 0 || (events & UV_DISCONNECT) ? IO_HANGUP : 0);
    io->fn(io->ctx, ready);
}

void io_set(struct io *io, int events)
{
    int wanted = (events & IO_READ ? UV_READABLE : 0) | (events & IO_WRITE ? UV_WRITABLE : 0);
    if (wanted == 0) {
        (void)uv_poll_stop(&io->poll);
    } else {
        (void)uv_poll_start(&io->poll, wanted, on_poll);
    }
}

static void free_handle_data(uv_handle_t *handle)
{
    free(handle->data);
}

struct io *io_start(struct loop *loop, int fd, int events, void (*fn)(void *ctx, int events),
                    void *ctx, struct err *err)
{
    struct loop_uv *u = loop->impl;
    u->uv.data = loop;
    struct io *io = xcalloc(1, sizeof *io);
    io->fn = fn;
    io->ctx = ctx;
    int r = uv_poll_init(&u->uv, &io->poll, fd);
    if (r < 0) {
        free(io);
        (void)err_set(err, ERR_IO, "watch descriptor %d: %s", fd, uv_strerror(r));
        return NULL;
    }
    io->poll.data = io;
    io_set(io, events);
    return io;
}

void io_stop(struct io *io)
{
    if (io != NULL) {
        (void)uv_poll_stop(&io->poll);
        uv_close((uv_handle_t *)&io->poll, free_handle_data);
    }
}

static void on_exit_of_child(uv_process_t *process, int64_t code, int signal)
{
    struct child *child = process->data;
    read_clocks(of_uv(process->loop));
    if (child->exited != NULL) {
        child->exited(child->ctx, (int)code, signal);
    }
    uv_close((uv_handle_t *)process, free_handle_data);
}

enum { CHILD_FDS_MAX = 16 };

struct child *child_start(struct loop *loop, const struct child_options *options,
                          void (*exited)(void *ctx, int code, int signal), void *ctx,
                          struct err *err)
{
    struct loop_uv *u = loop->impl;
    u->uv.data = loop;
    uv_stdio_container_t stdio[CHILD_FDS_MAX] = {0};
    size_t count = options->fds == NULL ? 3 : options->fds_count;
    for (size_t i = 0; i < count && i < CHILD_FDS_MAX; i++) {
        bool is_given = options->fds != NULL && options->fds[i] >= 0;
        stdio[i].flags = is_given ? UV_INHERIT_FD : UV_IGNORE;
        stdio[i].data.fd = is_given ? options->fds[i] : 0;
    }
    struct child *child = xcalloc(1, sizeof *child);
    child->exited = exited;
    child->ctx = ctx;
    uv_process_options_t o = {0};
    o.file = options->file;
    /* libuv takes char ** but never writes through it. */
    memcpy(&o.args, &options->argv, sizeof o.args);
    memcpy(&o.env, &options->envp, sizeof o.env);
    o.cwd = options->cwd;
    o.stdio = stdio;
    o.stdio_count = (int)count;
    o.exit_cb = on_exit_of_child;
    child->process.data = child;
    int r = uv_spawn(&u->uv, &child->process, &o);
    if (r < 0) {
        uv_close((uv_handle_t *)&child->process, free_handle_data);
        (void)err_set(err, r == UV_ENOENT ? ERR_NOT_FOUND : ERR_IO, "start '%s': %s", options->file,
                      uv_strerror(r));
        return NULL;
    }
    return child;
}

pid_t child_pid(const struct child *child)
{
    return child->process.pid;
}

void child_kill(struct child *child, int signal)
{
    (void)uv_process_kill(&child->process, signal);
}

void child_detach(struct child *child)
{
    child->exited = NULL;
}
