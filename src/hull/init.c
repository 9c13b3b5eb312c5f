// SPDX-License-Identifier: Apache-2.0
//
// Pid 1 of a cluster: prepares the mounts, then runs the brain and the ports process and reaps
// whatever is orphaned (conmon leaves its double-forked self and the containers to us). Kept small,
// since its death ends everything.
#include "hull/internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_ROOM "init"

enum { ARGS_MAX = 48 };

/* What a cluster needs of its own, so that it neither sees nor disturbs the host's.
 *   source    target       type      flags                                  data */
static const struct {
    const char *source, *target, *type;
    unsigned long flags;
    const char *data;
} own_mounts[] = {
    {"proc",  "/proc",    "proc",  MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL                 },
    {"tmpfs", "/run",     "tmpfs", MS_NOSUID | MS_NODEV,             "mode=0755,size=256m"},
    {"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV,             "mode=1777,size=64m" },
};

/* What lies beneath /run and is still needed: the resolvers of the host, which a link in /etc
 * names. */
static void keep_resolvers(struct buf *text)
{
    static const char *const paths[] = {"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"};
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (file_read(AT_FDCWD, paths[i], text, &err) == 0 && text->n > 0) {
            return;
        }
        buf_clear(text);
    }
}

/* crun takes the v1 view only without the unified mount; without rights on any controller it wants
 * a plain cgroup2 view (spec/machine.md 7). */
static void prepare_cgroups(void)
{
    struct stat st;
    if (stat("/sys/fs/cgroup/unified/cgroup.controllers", &st) != 0) {
        return;
    }
    if (umount2("/sys/fs/cgroup/unified", MNT_DETACH) < 0 &&
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
        log_warn("hide the unified cgroup tree: %s", strerror(errno));
    }
}

static void prepare_mounts(void)
{
    auto_buf struct buf resolvers;
    buf_init(&resolvers, 65536);
    keep_resolvers(&resolvers);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        log_error("make mounts private: %s", strerror(errno));
        _exit(1);
    }
    for (size_t i = 0; i < ARRAY_LEN(own_mounts); i++) {
        if (mount(own_mounts[i].source, own_mounts[i].target, own_mounts[i].type,
                  own_mounts[i].flags, own_mounts[i].data) < 0) {
            log_error("mount %s on %s: %s", own_mounts[i].type, own_mounts[i].target,
                      strerror(errno));
            _exit(1);
        }
    }
    struct err err;
    if (mkdir("/run/coracle", 0755) < 0 || file_write_atomic(AT_FDCWD, "/run/coracle/resolv.conf",
                                                             buf_str(&resolvers), 0644, &err) < 0) {
        log_warn("keep the host's resolv.conf, ignoring");
    }
    if (mkdir(HULL_EMPTY_DIR, 0755) < 0) {
        log_warn("make " HULL_EMPTY_DIR ", ignoring: %s", strerror(errno));
    }
    prepare_cgroups();
}

enum hull_cgroups hull_cgroups_probe(void)
{
    struct stat st;
    if (stat("/sys/fs/cgroup/memory/cgroup.procs", &st) == 0) {
        return access("/sys/fs/cgroup/memory", W_OK) == 0 &&
                       access("/sys/fs/cgroup/pids", W_OK) == 0
                   ? HULL_CGROUPS_V1
                   : HULL_CGROUPS_NONE;
    }
    auto_buf struct buf list;
    buf_init(&list, 4096);
    struct err err;
    if (file_read(AT_FDCWD, "/sys/fs/cgroup/cgroup.subtree_control", &list, &err) == 0 &&
        str_search(buf_str(&list), S("memory")) >= 0 &&
        str_search(buf_str(&list), S("pids")) >= 0 && access("/sys/fs/cgroup", W_OK) == 0) {
        return HULL_CGROUPS_V2;
    }
    return HULL_CGROUPS_NONE;
}

static void add_fd_arg(const char **argv, size_t *n, char *text, size_t size, const char *option,
                       int fd)
{
    (void)snprintf(text, size, "%d", fd);
    (void)fcntl(fd, F_SETFD, 0);
    argv[(*n)++] = option;
    argv[(*n)++] = text;
}

/* What init runs. 0 = to be started. */
struct crew {
    pid_t brain;
    pid_t ports;
    int line[2]; /* the brain's end, the ports process' end */
};

static void start_ports(struct crew *crew)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, crew->line) < 0) {
        log_error("open the line to the ports process: %s", strerror(errno));
        _exit(1);
    }
    crew->ports = fork();
    if (crew->ports == 0) {
        ports_run(crew->line[1]);
    }
}

/* The next brain tells the next process all it must know, and a port that its clients lost is
 * not worth a second way of telling. The brain is killed, since it may wait for an answer. */
static void on_ports_ended(struct crew *crew, bool is_stopping)
{
    (void)close(crew->line[0]);
    (void)close(crew->line[1]);
    crew->ports = 0;
    log_error("the ports process ended, starting it and the brain again");
    if (!is_stopping) {
        (void)kill(crew->brain, SIGKILL);
    }
}

static pid_t start_brain(const struct hull_config *config, int keeper_fd, int ports_fd,
                         int progress_fd)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    char fds[5][12];
    const char *argv[ARGS_MAX];
    size_t n = 0;
    while (config->brain_argv[n] != NULL && n < ARGS_MAX - 11) {
        argv[n] = config->brain_argv[n];
        n++;
    }
    add_fd_arg(argv, &n, fds[0], sizeof fds[0], "--api-fd", config->api_fd);
    add_fd_arg(argv, &n, fds[1], sizeof fds[1], "--control-fd", config->control_fd);
    add_fd_arg(argv, &n, fds[2], sizeof fds[2], "--keeper-fd", keeper_fd);
    add_fd_arg(argv, &n, fds[3], sizeof fds[3], "--ports-fd", ports_fd);
    if (progress_fd >= 0) {
        add_fd_arg(argv, &n, fds[4], sizeof fds[4], "--progress-fd", progress_fd);
    }
    argv[n] = NULL;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    char *args[ARGS_MAX];
    memcpy(args, argv, sizeof args); /* execv never writes through its pointers */
    (void)execv("/proc/self/exe", args);
    log_error("start the brain: %s", strerror(errno));
    _exit(127);
}

/* Waits for a signal; tells SIGTERM to the brain. Returns the status the brain ended with, once it
 * has. */
static int wait_for_brain(struct crew *crew, bool *is_stopping)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    for (;;) {
        int status;
        for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0;
             pid = waitpid(-1, &status, WNOHANG)) {
            if (pid == crew->brain) {
                crew->brain = 0;
                return status;
            }
            if (pid == crew->ports) {
                on_ports_ended(crew, *is_stopping);
            }
        }
        if (sigwaitinfo(&set, NULL) == SIGTERM) {
            *is_stopping = true;
            (void)kill(crew->brain, SIGTERM);
        }
    }
}

/* Restarts come at once, then with pauses that double from 100 ms to 5 s while the brain keeps
 * dying within a second: long enough to have come up, so that only one that can't is held back. */
static void pause_before_restart(usec lived, usec *delay)
{
    *delay = lived > USEC_PER_SEC ? 0 : *delay == 0 ? 100 * USEC_PER_MS : *delay * 2;
    *delay = *delay > 5 * USEC_PER_SEC ? 5 * USEC_PER_SEC : *delay;
    (void)usleep((useconds_t)*delay);
}

void init_run(const struct hull_config *config, int keeper_fd)
{
    (void)prctl(PR_SET_NAME, "coracle-init");
    sigset_t set;
    (void)sigfillset(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    if (sethostname(config->name, strlen(config->name)) < 0) {
        log_warn("set the host name, ignoring: %s", strerror(errno));
    }
    prepare_mounts();
    int progress_fd = config->progress_fd;
    bool is_stopping = false;
    usec delay = 0;
    struct crew crew = {0};
    const struct clock *clock = clock_system();
    for (;;) {
        usec started = clock->mono(clock->ctx);
        if (crew.ports <= 0) {
            start_ports(&crew);
        }
        crew.brain = start_brain(config, keeper_fd, crew.line[0], progress_fd);
        if (progress_fd >= 0) {
            (void)close(progress_fd); /* only the first brain reports to `coracle up` */
            progress_fd = -1;
        }
        int status = wait_for_brain(&crew, &is_stopping);
        if (is_stopping || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
            _exit(0); /* the kernel ends every process of the pid namespace */
        }
        log_error("the brain ended (%s %d), starting it again",
                  WIFSIGNALED(status) ? "signal" : "exit code",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        pause_before_restart(clock->mono(clock->ctx) - started, &delay);
    }
}
