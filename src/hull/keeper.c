// SPDX-License-Identifier: Apache-2.0
//
// The keeper: forked by `coracle up`, lives as long as the cluster. It does three things: it waits
// for init to end, passes SIGTERM on to it, and opens listening sockets in the host's network for
// the brain.
#include "hull/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sched.h>

#define LOG_ROOM "keeper"

enum { REQUEST_BYTES_MAX = 128 };

/* The request that brings a descriptor. */
#define RUN_WORKER "image-worker"

/* "tcp 127.0.0.1 30080": a socket that listens there, or -1 with errno. */
static int open_port(const char *request)
{
    char protocol[8];
    char address[INET_ADDRSTRLEN];
    char digits[6];
    uint64_t port;
    struct sockaddr_in sin = {.sin_family = AF_INET};
    if (sscanf(request, "%7s %15s %5s", protocol, address, digits) != 3 ||
        str_to_u64(str_of(digits), &port) < 0 || port > UINT16_MAX ||
        inet_pton(AF_INET, address, &sin.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    bool is_tcp = strcmp(protocol, "tcp") == 0;
    sin.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd >= 0 && is_tcp) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&sin, sizeof sin) < 0 ||
                    (is_tcp && listen(fd, SOMAXCONN) < 0))) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* One request, one answer: "0 <request>" with the descriptor, or the errno in place of 0. False
 * when the line is cut. */
static bool serve(int socket_fd, pid_t init)
{
    char request[REQUEST_BYTES_MAX];
    auto_close int given = -1;
    ssize_t n = fd_recv(socket_fd, request, sizeof request - 1, &given);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    request[n] = '\0';
    bool is_worker = str_starts(str_of(request), S(RUN_WORKER));
    auto_close int fd = is_worker ? -1 : open_port(request);
    bool is_done = is_worker ? image_worker_start(init, given) == 0 : fd >= 0;
    char answer[REQUEST_BYTES_MAX + 16];
    int len = snprintf(answer, sizeof answer, "%d %s", is_done ? 0 : errno, request);
    struct err err;
    if (fd_send(socket_fd, (struct str){answer, (size_t)len}, fd, &err) < 0) {
        log_warn("answer to '%s': %s", request, err.msg);
    }
    return true;
}

/* Clones init into the new namespaces. Returns its pid; in init, never returns. */
static pid_t clone_init(const struct hull_config *config, int brain_end, int keeper_end,
                        struct egress *egress)
{
    bool is_root = geteuid() == 0;
    int go[2];
    if (pipe2(go, O_CLOEXEC) < 0) {
        return -1;
    }
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                 CLONE_NEWCGROUP | (is_root ? 0 : CLONE_NEWUSER),
        .exit_signal = SIGCHLD,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        char byte;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* keeps (1) when the keeper is killed */
        (void)close(go[1]);
        (void)close(keeper_end);
        if (read(go[0], &byte, 1) != 1) {
            _exit(1);
        }
        (void)close(go[0]);
        init_run(config, brain_end);
    }
    (void)close(go[0]);
    struct err err = {0};
    bool is_single = false;
    if (pid > 0 && !is_root && idmap_write(pid, &is_single, &err) < 0) {
        log_error("%s", err.msg);
        (void)close(go[1]);
        return -1;
    }
    if (is_single) {
        log_warn(
            "no sub-ids for this user in /etc/subuid: every file and process of the cluster is "
            "yours alone, images with other users lose them");
    }
    if (pid > 0) {
        egress_start(egress, pid); /* before init goes on, so that the brain finds the interface */
    }
    (void)!write(go[1], is_single ? "1" : "n", 1);
    (void)close(go[1]);
    return pid;
}

static int watch_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* True when init is gone. Other children are image workers, and the egress helper. */
static bool on_signal(int signal_fd, pid_t init, struct egress *egress)
{
    bool is_gone = false;
    bool has_egress_ended = false;
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            (void)kill(init, SIGTERM);
        }
    }
    for (pid_t pid = waitpid(-1, NULL, WNOHANG); pid > 0; pid = waitpid(-1, NULL, WNOHANG)) {
        is_gone = is_gone || pid == init;
        if (pid == egress->pid) {
            egress->pid = 0;
            has_egress_ended = true;
        }
    }
    if (has_egress_ended && !is_gone) {
        egress_restart(egress, init);
    }
    return is_gone;
}

void keeper_run(const struct hull_config *config)
{
    int pair[2] = {-1, -1};
    (void)prctl(PR_SET_NAME, "coracle-keeper");
    int signal_fd = watch_signals();
    if (signal_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        log_error("start: %s", strerror(errno));
        _exit(1);
    }
    struct egress egress = {0};
    pid_t init = clone_init(config, pair[1], pair[0], &egress);
    if (init < 0) {
        log_error("make the cluster's namespaces: %s", strerror(errno));
        _exit(1);
    }
    (void)close(pair[1]);
    (void)close(config->api_fd);
    (void)close(config->control_fd);
    (void)close(config->progress_fd);
    struct pollfd fds[2] = {
        {.fd = signal_fd, .events = POLLIN},
        {.fd = pair[0],   .events = POLLIN}
    };
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            break;
        }
        if ((fds[0].revents & POLLIN) && on_signal(signal_fd, init, &egress)) {
            break;
        }
        if (fds[1].revents != 0 && !serve(pair[0], init)) {
            fds[1].fd = -1; /* init holds the other end as long as it lives */
        }
    }
    egress_stop(&egress);
    hull_clean(config->name);
    _exit(0);
}

int hull_start(const struct hull_config *config, pid_t *ret_keeper, struct err *err)
{
    auto_close int log_fd = open(config->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        return err_errno(err, "open '%s'", config->log_path);
    }
    pid_t pid = fork();
    if (pid < 0) {
        return err_errno(err, "fork");
    }
    if (pid == 0) {
        (void)setsid();
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)dup2(null_fd, STDIN_FILENO);
        (void)dup2(log_fd, STDOUT_FILENO);
        (void)dup2(log_fd, STDERR_FILENO);
        (void)!chdir("/");
        keeper_run(config);
    }
    *ret_keeper = pid;
    return 0;
}

/* The answer to request, past those that a killed brain left behind. Returns the descriptor, or -1
 * with the keeper's errno in *ret_code. */
static int await_answer(int keeper_fd, struct str request, uint64_t *ret_code)
{
    for (;;) {
        int fd = -1;
        char answer[REQUEST_BYTES_MAX + 16];
        ssize_t n = fd_recv(keeper_fd, answer, sizeof answer, &fd);
        struct str rest = {answer, n > 0 ? (size_t)n : 0};
        struct str code = str_cut(&rest, ' ');
        *ret_code = EIO;
        bool is_ours = str_eq(rest, request);
        if (n <= 0 || (is_ours && (str_to_u64(code, ret_code) < 0 || fd >= 0))) {
            return fd;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        if (is_ours) {
            return -1;
        }
    }
}

int hull_listen(int keeper_fd, const char *protocol, const char *address, uint16_t port,
                struct err *err)
{
    char text[REQUEST_BYTES_MAX];
    uint64_t code;
    int n = snprintf(text, sizeof text, "%s %s %u %d", protocol, address, port, (int)getpid());
    struct str request = {text, (size_t)n};
    if (fd_send(keeper_fd, request, -1, err) < 0) {
        return -1;
    }
    int fd = await_answer(keeper_fd, request, &code);
    if (fd < 0) {
        errno = (int)code;
        (void)err_errno(err, "listen on %s %s:%u", protocol, address, port);
        err->code = code == EADDRINUSE ? ERR_EXISTS : err->code;
    }
    return fd;
}

int hull_run_image_worker(int keeper_fd, int fd, struct err *err)
{
    static unsigned serial;
    char text[REQUEST_BYTES_MAX];
    uint64_t code;
    int n = snprintf(text, sizeof text, RUN_WORKER " %d %u", (int)getpid(), serial++);
    struct str request = {text, (size_t)n};
    if (fd_send(keeper_fd, request, fd, err) < 0) {
        return err->code;
    }
    (void)await_answer(keeper_fd, request, &code);
    errno = (int)code;
    return code == 0 ? 0 : err_errno(err, "start the image worker on the host");
}

/* First child of pid whose name is comm (any when NULL), or 0. */
static pid_t child_of(pid_t pid, const char *comm)
{
    auto_buf struct buf text;
    buf_init(&text, 4096);
    char path[64];
    struct err err;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (pid <= 0 || file_read(AT_FDCWD, path, &text, &err) < 0) {
        return 0;
    }
    struct str rest = str_trim(buf_str(&text));
    while (rest.p != NULL && rest.n > 0) {
        uint64_t child;
        if (str_to_u64(str_cut(&rest, ' '), &child) < 0) {
            continue;
        }
        auto_buf struct buf name;
        buf_init(&name, 64);
        (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)child);
        if (file_read(AT_FDCWD, path, &name, &err) == 0 &&
            (comm == NULL || str_eq(str_trim(buf_str(&name)), str_of(comm)))) {
            return (pid_t)child;
        }
    }
    return 0;
}

void hull_processes_find(pid_t keeper, struct hull_processes *ret)
{
    *ret = (struct hull_processes){.keeper = keeper};
    ret->init = child_of(keeper, "coracle-init");
    ret->brain = child_of(ret->init, "coracle-brain");
}
