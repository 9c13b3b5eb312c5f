// SPDX-License-Identifier: Apache-2.0
//
// Exec: "crun exec" as our child (spec/node.md 12.3), with pipes, or with a terminal that the
// runtime makes in the container and hands us over a console socket.
//
//   open ──▶ runtime runs ──▶ it ends ──▶ output that is left goes out ──▶ ended
//                  └─ client closes: the command is killed
//
// The pid file is written only when the command was started; without it the end is the runtime's
// own failure, told in its log file.
#include "node/session.h"

#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/container_record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXEC_ARENA_MAX = 8 << 20, RUNTIME_LOG_MAX = 64 << 10, EXEC_ARGS_MAX = 24 };

struct exec_session {
    struct session base;
    struct child *child;
    bool is_ended; /* the runtime has ended with code */
    int code;
    char *bundle;
    char *stem; /* "session-7": names of the files below */
    char *process_file;
    char *pid_file;
    char *log_file;
    char *console;  /* path of the console socket, NULL = no terminal */
    int console_fd; /* listens, then the runtime's connection */
    struct io *console_io;
    bool is_console_connected;
    int width, height;
    bool has_stdin;
    struct session_source out, err;
    struct session_sink in;
};

static void finish(void *ctx);

/* What the runtime said when it could not start the command. */
static void runtime_error(const struct exec_session *x, struct err *err)
{
    auto_arena struct arena *arena = arena_new(EXEC_ARENA_MAX);
    auto_buf struct buf text;
    struct val v;
    struct err ignored;
    struct str words = {0};
    buf_init(&text, RUNTIME_LOG_MAX);
    if (file_read(AT_FDCWD, x->log_file, &text, &ignored) == 0) {
        struct str rest = buf_str(&text);
        struct str line = str_cut(&rest, '\n');
        words = json_read(line, arena, NULL, &v, &ignored) == 0 ? val_text_at(&v, "msg") : line;
    }
    (void)runtime_conmon_exec_error(err, words);
}

static void on_source_end(struct session *s)
{
    (void)s; /* the end of the process counts, not of its output */
}

/* Output that came before the end still goes out, as fast as the client takes it. */
static void finish(void *ctx)
{
    struct session *s = ctx;
    struct exec_session *x = container_of(s, struct exec_session, base);
    struct session_source *sources[] = {&x->out, &x->err};
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        while (sources[i]->is_open) {
            if (s->is_paused || source_read(sources[i]) < 0) {
                break;
            }
            if (s->is_over) {
                return;
            }
        }
    }
    if (s->is_paused) {
        return; /* exec_pause comes back here */
    }
    struct err err = {0};
    if (access(x->pid_file, F_OK) != 0) {
        runtime_error(x, &err);
    }
    session_end(s, x->code, err.code < 0 ? &err : NULL);
}

static void on_runtime_end(void *ctx, int code, int signal)
{
    struct exec_session *x = ctx;
    x->child = NULL;
    x->is_ended = true;
    x->code = signal != 0 ? 128 + signal : code;
    source_pause(&x->out, true);
    source_pause(&x->err, true);
    finish(&x->base);
}

static void set_size(const struct exec_session *x)
{
    struct winsize size = {.ws_row = (unsigned short)x->height, .ws_col = (unsigned short)x->width};
    if (x->out.is_open && x->width > 0 && x->height > 0) {
        (void)ioctl(x->out.fd, TIOCSWINSZ, &size);
    }
}

/* The runtime connects, then sends the terminal's descriptor. */
static void on_console(void *ctx, int events)
{
    struct exec_session *x = ctx;
    struct err err = {0};
    char message[256];
    int terminal = -1;
    (void)events;
    if (!x->is_console_connected) {
        int fd = accept4(x->console_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            io_stop(x->console_io);
            (void)close(x->console_fd);
            x->console_fd = fd;
            x->is_console_connected = true;
            x->console_io = io_start(x->base.owner->loop, fd, IO_READ, on_console, x, &err);
        }
        return;
    }
    ssize_t n = fd_recv(x->console_fd, message, sizeof message, &terminal);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    io_stop(x->console_io);
    x->console_io = NULL;
    if (terminal < 0) {
        return; /* the runtime ends with an error of its own */
    }
    int in = fcntl(terminal, F_DUPFD_CLOEXEC, 0);
    if (source_start(&x->out, &x->base, terminal, SESSION_STDOUT, on_source_end, &err) < 0 ||
        sink_start(&x->in, in, &err) < 0) {
        session_end(&x->base, -1, &err);
        return;
    }
    set_size(x);
}

static int listen_console(struct exec_session *x, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(x->console) >= sizeof address.sun_path) {
        return err_set(err, ERR_LIMIT, "console socket '%s' has too long a path", x->console);
    }
    memcpy(address.sun_path, x->console, strlen(x->console) + 1);
    (void)unlink(x->console);
    x->console_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (x->console_fd < 0 ||
        bind(x->console_fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(x->console_fd, 1) < 0) {
        return err_errno(err, "console socket '%s'", x->console);
    }
    x->console_io = io_start(x->base.owner->loop, x->console_fd, IO_READ, on_console, x, err);
    return x->console_io == NULL ? err->code : 0;
}

static int start_runtime(struct exec_session *x, const char *id, const int *fds, struct err *err)
{
    const struct oci_command *oci = x->base.owner->oci;
    auto_free char *log = xasprintf("file:%s", x->log_file);
    const char *argv[EXEC_ARGS_MAX] = {oci->path,
                                       "--root",
                                       oci->root,
                                       "--cgroup-manager",
                                       oci->cgroup_manager,
                                       "--log",
                                       log,
                                       "--log-format=json",
                                       "exec",
                                       "--process",
                                       x->process_file,
                                       "--pid-file",
                                       x->pid_file};
    size_t n = 13;
    if (x->console != NULL) {
        argv[n++] = "--console-socket";
        argv[n++] = x->console;
    }
    argv[n++] = id;
    const struct child_options options = {
        .file = oci->path, .argv = argv, .envp = oci->envp, .fds = fds, .fds_count = 3};
    x->child = child_start(x->base.owner->loop, &options, on_runtime_end, x, err);
    return x->child == NULL ? err->code : 0;
}

/* A pipe whose `theirs` end becomes the child's descriptor `at`. */
static int make_pipe(int *fds, int at, int theirs, int *ret_ours, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    fds[at] = ends[theirs];
    *ret_ours = ends[1 - theirs];
    return 0;
}

static int start_with_pipes(struct exec_session *x, const struct session_request *request,
                            const char *id, struct err *err)
{
    int fds[3] = {-1, -1, -1};
    int ours = -1;
    int r = 0;
    if (request->has_stdin) {
        r = make_pipe(fds, 0, 0, &ours, err);
        r = r < 0 ? r : sink_start(&x->in, ours, err);
    }
    if (r == 0 && request->has_stdout) {
        r = make_pipe(fds, 1, 1, &ours, err);
        r = r < 0 ? r : source_start(&x->out, &x->base, ours, SESSION_STDOUT, on_source_end, err);
    }
    if (r == 0 && request->has_stderr) {
        r = make_pipe(fds, 2, 1, &ours, err);
        r = r < 0 ? r : source_start(&x->err, &x->base, ours, SESSION_STDERR, on_source_end, err);
    }
    r = r < 0 ? r : start_runtime(x, id, fds, err);
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    return r;
}

static int start_exec(struct exec_session *x, const struct session_request *request, const char *id,
                      struct err *err)
{
    auto_arena struct arena *arena = arena_new(EXEC_ARENA_MAX);
    struct val argv = val_list();
    for (size_t i = 0; i < request->command_count; i++) {
        (void)val_push(arena, &argv, val_str(request->command[i]));
    }
    (void)unlink(x->pid_file); /* of an earlier brain */
    if (runtime_conmon_write_process(x->bundle, x->process_file, &argv, request->has_tty, err) <
        0) {
        return err->code;
    }
    if (!request->has_tty) {
        return start_with_pipes(x, request, id, err);
    }
    const int none[3] = {-1, -1, -1};
    return listen_console(x, err) < 0 ? err->code : start_runtime(x, id, none, err);
}

static void exec_input(struct session *s, struct str bytes, bool is_end)
{
    struct exec_session *x = container_of(s, struct exec_session, base);
    if (x->has_stdin) {
        /* The end of input is no end of a terminal. */
        (void)sink_put(&x->in, bytes, is_end && x->console == NULL);
    }
}

static void exec_resize(struct session *s, int width, int height)
{
    struct exec_session *x = container_of(s, struct exec_session, base);
    x->width = width;
    x->height = height;
    set_size(x);
}

static void exec_pause(struct session *s, bool is_paused)
{
    struct exec_session *x = container_of(s, struct exec_session, base);
    if (!x->is_ended) {
        source_pause(&x->out, is_paused);
        source_pause(&x->err, is_paused);
    } else if (!is_paused) {
        timer_start(s->owner->loop, &s->timer, 0, finish, s);
    }
}

static size_t exec_backlog(const struct session *s)
{
    return ((const struct exec_session *)(const void *)s)->in.backlog.n;
}

static void exec_stop(struct session *s)
{
    struct exec_session *x = container_of(s, struct exec_session, base);
    if (x->child != NULL) {
        auto_free char *name = xasprintf("%s.pid", x->stem);
        pid_t pid = pid_file_read(x->bundle, name);
        if (pid > 1) {
            (void)kill(-pid, SIGKILL);
            (void)kill(pid, SIGKILL);
        } else {
            child_kill(x->child, SIGKILL);
        }
        child_detach(x->child);
    }
    io_stop(x->console_io);
    if (x->console_fd >= 0) {
        (void)close(x->console_fd);
    }
    source_stop(&x->out);
    source_stop(&x->err);
    sink_stop(&x->in);
    const char *const files[] = {x->process_file, x->pid_file, x->log_file, x->console};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (files[i] != NULL) {
            (void)unlink(files[i]);
        }
    }
    free(x->bundle);
    free(x->stem);
    free(x->process_file);
    free(x->pid_file);
    free(x->log_file);
    free(x->console);
}

static const struct session_class exec_class = {.input = exec_input,
                                                .resize = exec_resize,
                                                .pause = exec_pause,
                                                .backlog = exec_backlog,
                                                .stop = exec_stop};

struct session *session_exec_open(struct sessions *owner, const struct session_request *request,
                                  const struct session_events *events, void *ctx, struct err *err)
{
    struct pod_container c = {0};
    if (owner->lookup.container(owner->lookup.ctx, request->ns, request->pod, request->container,
                                false, false, &c, err) < 0) {
        return NULL;
    }
    int r = 0;
    if (owner->oci == NULL) {
        r = err_set(err, ERR_UNSUPPORTED, "this runtime has no exec");
    } else if (request->command_count == 0) {
        r = err_set(err, ERR_INVALID, "you must specify at least one command for the container");
    } else if (!c.is_running) {
        r = err_set(err, ERR_INVALID, "container not found (\"" STR_FMT "\")",
                    STR_ARG(request->container));
    }
    if (r < 0) {
        return NULL;
    }
    unsigned long long serial = ++owner->serial;
    auto_free char *id = xasprintf(STR_FMT, STR_ARG(c.id));
    struct exec_session *x = xcalloc(1, sizeof *x);
    x->bundle = xasprintf(STR_FMT, STR_ARG(c.bundle));
    x->stem = xasprintf("session-%llu", serial);
    x->process_file = xasprintf("%s/%s.json", x->bundle, x->stem);
    x->pid_file = xasprintf("%s/%s.pid", x->bundle, x->stem);
    x->log_file = xasprintf("%s/%s.log", x->bundle, x->stem);
    x->console = request->has_tty ? xasprintf("%s.tty-%llu", owner->oci->root, serial) : NULL;
    x->console_fd = -1;
    x->has_stdin = request->has_stdin;
    session_init(&x->base, owner, &exec_class, events, ctx);
    sink_init(&x->in, &x->base, /*is_socket=*/false);
    if (start_exec(x, request, id, err) < 0) {
        sessions_ops()->close(&x->base);
        return NULL;
    }
    return &x->base;
}
