// SPDX-License-Identifier: Apache-2.0
//
// `coracle up`: prepares the data folder, opens the sockets, starts the hull and shows what the
// brain reports until it is ready. Progress lines are "step<TAB>detail", "note<TAB>text" for what
// is not enforced here, "error<TAB>text", and at last "ready".
#include "auth/pki.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/json.h"
#include "data/yaml.h"
#include "hull/hull.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORT_FIRST = 6443, PORTS_TRIED = 100, READY_TIMEOUT_S = 60, LINE_BYTES_MAX = 512 };

struct up {
    struct cli *cli;
    usec started;
    usec step_started;
    int lock_fd, api_fd, control_fd;
    int port;
    struct str config_path; /* kubeconfig that was written */
};

static usec now(void)
{
    return clock_system()->mono(NULL);
}

static void show_step(struct up *up, struct str name, struct str detail)
{
    usec t = now();
    (void)printf("  %-10.*s %-52.*s %6.1f ms\n", STR_ARG(name), STR_ARG(detail),
                 (double)(t - up->step_started) / 1000);
    (void)fflush(stdout);
    up->step_started = t;
}

static int listen_on(int port, struct err *err)
{
    auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&sin, sizeof sin) < 0 || listen(fd, SOMAXCONN) < 0) {
        (void)err_errno(err, "listen on 127.0.0.1:%d", port);
        return -1;
    }
    return take_fd(&fd);
}

/* The port of --port, the one used last time, or the next free one. */
static int open_api(struct up *up, struct err *err)
{
    if (up->cli->port != 0) {
        up->port = up->cli->port;
        up->api_fd = listen_on(up->port, err);
        return up->api_fd < 0 ? err_wrap(err, "--port %d can't be used", up->port) : 0;
    }
    auto_buf struct buf text;
    buf_init(&text, 64);
    uint64_t last = 0;
    if (file_read(AT_FDCWD, cluster_path(up->cli, "port"), &text, err) == 0) {
        (void)!str_to_u64(str_trim(buf_str(&text)), &last);
    }
    for (int i = last == 0 ? 0 : -1; up->api_fd < 0 && i < PORTS_TRIED; i++) {
        up->port = i < 0 ? (int)last : PORT_FIRST + i;
        up->api_fd = listen_on(up->port, err);
    }
    return up->api_fd < 0
               ? err_wrap(err, "no free port from %d on; choose one with --port", PORT_FIRST)
               : 0;
}

/* <data>/control.sock for status and images, this user's alone. Bound through the directory's
 * descriptor, since paths of Unix sockets end at 108 bytes. */
static int open_control(struct up *up, struct err *err)
{
    auto_close int dir = open(up->cli->data.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (dir < 0 || fd < 0) {
        return err_errno(err, "open '%s'", up->cli->data.p);
    }
    (void)unlinkat(dir, "control.sock", 0);
    (void)snprintf(sun.sun_path, sizeof sun.sun_path, "/proc/self/fd/%d/control.sock", dir);
    mode_t mask = umask(0177);
    int r = bind(fd, (struct sockaddr *)&sun, sizeof sun);
    (void)umask(mask);
    if (r < 0 || listen(fd, 64) < 0) {
        return err_errno(err, "listen on '%s/control.sock'", up->cli->data.p);
    }
    up->control_fd = take_fd(&fd);
    return 0;
}

/* Data folders hold keys and secrets: this user's alone. */
static int prepare(struct up *up, struct err *err)
{
    static const char *const dirs[] = {"volumes", "images", "node", "logs"};
    struct cli *cli = up->cli;
    if (dir_make_all(cli->data.p, 0711, err) < 0) {
        return err_wrap(err, "data folder; choose another with --data DIR");
    }
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        if (dir_make_all(cluster_path(cli, dirs[i]), 0711, err) < 0) {
            return err_wrap(err, "data folder; choose another with --data DIR");
        }
    }
    usec renew_at;
    return pki_ensure(cluster_path(cli, "pki"), clock_system()->wall(NULL), &renew_at, err);
}

static int start(struct up *up, int progress_fd, struct err *err)
{
    struct cli *cli = up->cli;
    const char *port = arena_fmt(cli->arena, "%d", up->port).p;
    const char *const argv[] = {"coracle-brain", "brain",  "--data", cli->data.p, "--name",
                                cli->name.p,     "--port", port,     NULL};
    struct hull_config config = {.name = cli->name.p,
                                 .data_dir = cli->data.p,
                                 .log_path = cluster_path(cli, "coracle.log"),
                                 .lock_fd = up->lock_fd,
                                 .api_fd = up->api_fd,
                                 .control_fd = up->control_fd,
                                 .progress_fd = progress_fd,
                                 .brain_argv = argv};
    pid_t keeper;
    hull_clean(cli->name.p);
    if (hull_start(&config, &keeper, err) < 0) {
        return err->code;
    }
    struct str pid = arena_fmt(cli->arena, "%d\n", (int)keeper);
    if (ftruncate(up->lock_fd, 0) < 0 || pwrite(up->lock_fd, pid.p, pid.n, 0) != (ssize_t)pid.n) {
        return err_errno(err, "write '%s'", cluster_path(cli, "lock"));
    }
    return file_write_atomic(AT_FDCWD, cluster_path(cli, "port"),
                             arena_fmt(cli->arena, "%d\n", up->port), 0644, err);
}

/* True when it was the last line. */
static bool on_line(struct up *up, struct str line, struct err *err)
{
    struct str name = str_cut(&line, '\t');
    if (str_eq(name, S("ready"))) {
        return true;
    }
    if (str_eq(name, S("error"))) {
        (void)err_set(err, ERR_INTERNAL, STR_FMT, STR_ARG(line));
        return true;
    }
    if (str_eq(name, S("note"))) {
        (void)printf("  note: " STR_FMT "\n", STR_ARG(line));
        return false;
    }
    show_step(up, name, line);
    return false;
}

static int follow(struct up *up, int fd, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, (size_t)16 * LINE_BYTES_MAX);
    usec deadline = now() + READY_TIMEOUT_S * USEC_PER_SEC;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)((deadline - now()) / 1000)) <= 0) {
            return err_set(err, ERR_TIMEOUT, "not ready after %d s", READY_TIMEOUT_S);
        }
        char *room = buf_room(&text, LINE_BYTES_MAX);
        ssize_t n = room == NULL ? 0 : read(fd, room, LINE_BYTES_MAX);
        if (n <= 0) {
            return err_set(err, ERR_INTERNAL, "the cluster ended while it started");
        }
        buf_grew(&text, (size_t)n);
        for (ptrdiff_t end = str_find(buf_str(&text), '\n'); end >= 0;
             end = str_find(buf_str(&text), '\n')) {
            err->code = 0;
            if (on_line(up, str_sub(buf_str(&text), 0, (size_t)end), err)) {
                return err->code;
            }
            buf_consume(&text, (size_t)end + 1);
        }
    }
}

static int write_kubeconfig(struct up *up, struct err *err)
{
    struct cli *cli = up->cli;
    struct str server = arena_fmt(cli->arena, "https://127.0.0.1:%d", up->port);
    if (cli->kubeconfig.n == 0) {
        return kubeconfig_merge(cli, server, &up->config_path, err);
    }
    struct val config;
    auto_buf struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    up->config_path = cli->kubeconfig;
    if (kubeconfig_make(cli, server, &config, err) < 0 || yaml_write(&text, &config, err) < 0) {
        return err->code;
    }
    return file_write_atomic(AT_FDCWD, cli->kubeconfig.p, buf_str(&text), 0600, err);
}

static int run(struct up *up, struct err *err)
{
    int progress[2];
    if (prepare(up, err) < 0 || open_api(up, err) < 0 || open_control(up, err) < 0) {
        return err->code;
    }
    if (pipe2(progress, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    show_step(up, S("prepare"), up->cli->data);
    int r = start(up, progress[1], err);
    (void)close(progress[1]);
    r = r < 0 ? r : follow(up, progress[0], err);
    (void)close(progress[0]);
    return r < 0 ? r : write_kubeconfig(up, err);
}

int cmd_up(struct cli *cli)
{
    struct err err = {0};
    struct up up = {
        .cli = cli, .started = now(), .step_started = now(), .api_fd = -1, .control_fd = -1};
    pid_t holder;
    if (dir_make_all(cli->data.p, 0711, &err) < 0) {
        cli_error("data folder: %s; choose another with --data DIR", err.msg);
        return EXIT_FAILED;
    }
    up.lock_fd = cluster_lock(cli, &holder, &err);
    if (up.lock_fd < 0 && err.code == ERR_EXISTS && cluster_wait_unlocked(cli)) {
        up.lock_fd = cluster_lock(cli, &holder, &err);
    }
    if (up.lock_fd < 0 && err.code == ERR_EXISTS) {
        cli_error("cluster '" STR_FMT "' runs already (keeper %d); `coracle status` tells more",
                  STR_ARG(cli->name), (int)holder);
        return EXIT_RUNNING;
    }
    if (up.lock_fd < 0) {
        cli_error("%s", err.msg);
        return EXIT_FAILED;
    }
    (void)printf("cluster '" STR_FMT "'\n", STR_ARG(cli->name));
    if (run(&up, &err) < 0) {
        cli_error("%s; the log is %s", err.msg, cluster_path(cli, "coracle.log"));
        pid_t keeper = cluster_keeper(cli);
        if (keeper > 0) {
            (void)kill(keeper, SIGTERM);
        }
        return EXIT_FAILED;
    }
    (void)printf("ready in %.0f ms: https://127.0.0.1:%d, context '" STR_FMT "' in " STR_FMT "\n",
                 (double)(now() - up.started) / 1000, up.port, STR_ARG(cluster_context(cli)),
                 STR_ARG(up.config_path));
    return EXIT_OK;
}
