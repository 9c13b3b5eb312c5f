// SPDX-License-Identifier: Apache-2.0
//
// The end of a command is the end of its process, not of its output: a background process that
// keeps the pipe open must not hold a probe up. What the process wrote is in the pipe by then.
#include "node/command.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const usec kill_grace = 2 * USEC_PER_SEC; /* for the runtime to notice that its child died */

struct command {
    struct loop *loop;
    command_done_fn *done;
    void *ctx;
    struct child *child;
    struct io *io;
    int fd;
    struct buf output;
    struct timer timer;
    char *pid_file;
    bool is_timeout;
};

static void command_free(struct command *c)
{
    timer_stop(&c->timer);
    io_stop(c->io);
    (void)close(c->fd);
    buf_done(&c->output);
    free(c->pid_file);
    free(c);
}

/* Reads what is there; false at the end of the stream. */
static bool drain(struct command *c)
{
    char chunk[8192];
    for (;;) {
        ssize_t n = read(c->fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        size_t left = c->output.max - c->output.n;
        (void)buf_add(&c->output, (struct str){chunk, (size_t)n < left ? (size_t)n : left});
    }
}

static void on_output(void *ctx, int events)
{
    struct command *c = ctx;
    (void)events;
    if (!drain(c)) {
        io_stop(c->io);
        c->io = NULL;
    }
}

static void on_exited(void *ctx, int code, int signal)
{
    struct command *c = ctx;
    (void)drain(c);
    struct command_result result = {.code = signal != 0 ? 128 + signal : code,
                                    .is_timeout = c->is_timeout,
                                    .output = buf_str(&c->output)};
    if (c->done != NULL) {
        c->done(c->ctx, &result);
    }
    command_free(c);
}

static pid_t read_pid(const char *path)
{
    auto_buf struct buf text;
    struct err err;
    uint64_t pid = 0;
    buf_init(&text, 64);
    if (path == NULL || file_read(AT_FDCWD, path, &text, &err) < 0 ||
        str_to_u64(str_trim(buf_str(&text)), &pid) < 0 || pid <= 1 || pid > INT32_MAX) {
        return -1;
    }
    return (pid_t)pid;
}

static void on_timeout(void *ctx)
{
    struct command *c = ctx;
    pid_t pid = c->is_timeout ? -1 : read_pid(c->pid_file);
    c->is_timeout = true;
    if (pid < 0) {
        child_kill(c->child, SIGKILL);
        return;
    }
    (void)kill(-pid, SIGKILL);
    (void)kill(pid, SIGKILL);
    timer_start(c->loop, &c->timer, kill_grace, on_timeout, c);
}

struct command *command_start(struct loop *loop, const struct command_options *options,
                              command_done_fn *done, void *ctx, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        (void)err_errno(err, "pipe");
        return NULL;
    }
    struct command *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->done = done;
    c->ctx = ctx;
    c->fd = ends[0];
    c->pid_file = options->pid_file == NULL ? NULL : xstrdup(options->pid_file);
    buf_init(&c->output, options->output_max);
    (void)fd_set_nonblock(c->fd);
    const int fds[] = {-1, ends[1], ends[1]};
    const struct child_options child = {.file = options->argv[0],
                                        .argv = options->argv,
                                        .envp = options->envp,
                                        .fds = fds,
                                        .fds_count = 3};
    c->io = io_start(loop, c->fd, IO_READ, on_output, c, err);
    c->child = c->io == NULL ? NULL : child_start(loop, &child, on_exited, c, err);
    (void)close(ends[1]);
    if (c->child == NULL) {
        command_free(c);
        return NULL;
    }
    if (options->timeout > 0) {
        timer_start(loop, &c->timer, options->timeout, on_timeout, c);
    }
    return c;
}

void command_cancel(struct command *c)
{
    if (c != NULL) {
        child_detach(c->child);
        command_free(c);
    }
}

char *program_find(const char *name)
{
    const char *path = getenv("PATH");
    auto_free char *all = xasprintf("%s:/usr/bin:/usr/sbin:/usr/local/bin:/bin:/sbin",
                                    path == NULL ? "/usr/local/sbin" : path);
    struct str rest = str_of(all);
    while (rest.p != NULL) {
        struct str dir = str_cut(&rest, ':');
        auto_free char *file = xasprintf(STR_FMT "/%s", STR_ARG(dir), name);
        if (dir.n > 0 && dir.p[0] == '/' && access(file, X_OK) == 0) {
            return take_ptr(&file);
        }
    }
    return NULL;
}
