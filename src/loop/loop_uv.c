// SPDX-License-Identifier: Apache-2.0
//
// The loop of the program, on libuv: poll handles for descriptors, the thread pool for work. Our
// timer heap decides how long libuv may sleep, through one uv_timer. Children are started by
// posix_spawn, which shares the memory until exec where uv_spawn copies its page tables (4 ms when
// 10,000 pods are stored), and a pidfd tells of their end.
#include "loop/internal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
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
    uv_poll_t poll;
    int fd; /* pidfd */
    pid_t pid;
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

static void free_child(uv_handle_t *handle)
{
    struct child *child = handle->data;
    (void)close(child->fd);
    free(child);
}

static void on_exit_of_child(uv_poll_t *poll, int status, int events)
{
    struct child *child = poll->data;
    siginfo_t info = {0};
    (void)status;
    (void)events;
    if (waitid(P_PIDFD, (id_t)child->fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) {
        return; /* not yet */
    }
    read_clocks(of_uv(poll->loop));
    (void)uv_poll_stop(poll);
    bool is_exit = info.si_code == CLD_EXITED;
    if (child->exited != NULL) {
        child->exited(child->ctx, is_exit ? info.si_status : 0, is_exit ? 0 : info.si_status);
    }
    uv_close((uv_handle_t *)poll, free_child);
}

enum { CHILD_FDS_MAX = 16 };

/* Descriptors to hand over, moved above all targets, so that no dup2 hits one that is still to be
 * read. */
struct handover {
    int fds[CHILD_FDS_MAX];
    size_t count;
};

static int handover_add(struct handover *h, posix_spawn_file_actions_t *actions,
                        const struct child_options *options)
{
    size_t count = options->fds == NULL ? 3 : options->fds_count;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count && i < CHILD_FDS_MAX; i++) {
        bool is_given = options->fds != NULL && options->fds[i] >= 0;
        if (is_given) {
            int fd = fcntl(options->fds[i], F_DUPFD_CLOEXEC, CHILD_FDS_MAX);
            h->fds[h->count++] = fd;
            r = fd < 0 ? errno : posix_spawn_file_actions_adddup2(actions, fd, (int)i);
        } else if (i < 3) {
            r = posix_spawn_file_actions_addopen(actions, (int)i, "/dev/null", O_RDWR, 0);
        }
    }
    return r;
}

/* 0 or an errno. */
static int spawn(const struct child_options *options, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    sigset_t all;
    struct handover h = {.count = 0};
    char *const *argv;
    char *const *envp = environ;
    /* The strings are not written to: const is lost in the old interface only. */
    memcpy(&argv, &options->argv, sizeof argv);
    if (options->envp != NULL) {
        memcpy(&envp, &options->envp, sizeof envp);
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attr);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int r = handover_add(&h, &actions, options);
    if (r == 0 && options->cwd != NULL) {
        r = posix_spawn_file_actions_addchdir_np(&actions, options->cwd);
    }
    r = r != 0 ? r : posix_spawnp(ret_pid, options->file, &actions, &attr, argv, envp);
    for (size_t i = 0; i < h.count; i++) {
        (void)close(h.fds[i]);
    }
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

struct child *child_start(struct loop *loop, const struct child_options *options,
                          void (*exited)(void *ctx, int code, int signal), void *ctx,
                          struct err *err)
{
    struct loop_uv *u = loop->impl;
    u->uv.data = loop;
    pid_t pid = -1;
    int r = spawn(options, &pid);
    if (r != 0) {
        (void)err_set(err, r == ENOENT ? ERR_NOT_FOUND : ERR_IO, "start '%s': %s", options->file,
                      strerror(r));
        return NULL;
    }
    struct child *child = xcalloc(1, sizeof *child);
    *child = (struct child){.exited = exited, .ctx = ctx, .pid = pid};
    child->fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (child->fd < 0 || uv_poll_init(&u->uv, &child->poll, child->fd) < 0) {
        (void)err_errno(err, "watch process %d", (int)pid);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        if (child->fd >= 0) {
            (void)close(child->fd);
        }
        free(child);
        return NULL;
    }
    child->poll.data = child;
    (void)uv_poll_start(&child->poll, UV_READABLE, on_exit_of_child);
    return child;
}

pid_t child_pid(const struct child *child)
{
    return child->pid;
}

void child_kill(struct child *child, int signal)
{
    (void)syscall(SYS_pidfd_send_signal, child->fd, signal, NULL, 0);
}

void child_detach(struct child *child)
{
    child->exited = NULL;
}
