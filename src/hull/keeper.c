// SPDX-License-Identifier: Apache-2.0
//
// The keeper: forked by `coracle up`, lives as long as the cluster. It waits for init to end,
// passes SIGTERM on to it, keeps the egress helper running, and serves the brain's requests
// (requests.c).
#include "hull/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

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
    if (pid > 0 && !is_root && idmap_write(pid, &err) < 0) {
        log_error("%s", err.msg);
        (void)close(go[1]);
        return -1;
    }
    if (pid > 0) {
        egress_start(egress, pid); /* before init goes on, so that the brain finds the interface */
    }
    (void)!write(go[1], "", 1); /* a keeper that dies before this takes init with it */
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
    struct keeper keeper = {.init = init};
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
        if (fds[1].revents != 0 && !keeper_serve(pair[0], &keeper)) {
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
    ret->ports = child_of(ret->init, "coracle-ports");
}
