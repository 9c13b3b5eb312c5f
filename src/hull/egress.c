// SPDX-License-Identifier: Apache-2.0
//
// The pods' way out: slirp4netns, a TCP/IP stack in user space, gives the cluster's network
// namespace an interface tap0 with a default route (spec/machine.md 6). It runs on the host as a
// child of the keeper and needs no rights beyond /dev/net/tun; the host's own loopback stays out of
// reach. Without it a cluster works, and its brain says that pods have no way out.
#include "hull/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_ROOM "keeper"

enum { READY_LIMIT_MS = 2000 };

static _Noreturn void run_helper(pid_t init, int ready_fd)
{
    char ready[32];
    char pid[16];
    sigset_t none;
    (void)snprintf(ready, sizeof ready, "--ready-fd=%d", ready_fd);
    (void)snprintf(pid, sizeof pid, "%d", (int)init);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(null_fd, STDOUT_FILENO); /* it tells every connection */
    (void)dup2(null_fd, STDERR_FILENO);
    (void)fcntl(ready_fd, F_SETFD, 0);
    (void)execlp("slirp4netns", "slirp4netns", "--configure", "--mtu=65520",
                 "--disable-host-loopback", ready, pid, HULL_EGRESS_LINK, (char *)NULL);
    _exit(127);
}

pid_t egress_start(pid_t init)
{
    int ready[2];
    if (access("/dev/net/tun", R_OK | W_OK) < 0 || pipe2(ready, O_CLOEXEC) < 0) {
        return 0;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ready[0]);
        run_helper(init, ready[1]);
    }
    (void)close(ready[1]);
    char byte;
    struct pollfd p = {.fd = ready[0], .events = POLLIN};
    bool is_ready = pid > 0 && poll(&p, 1, READY_LIMIT_MS) == 1 && read(ready[0], &byte, 1) == 1;
    (void)close(ready[0]);
    if (!is_ready) {
        log_warn("slirp4netns is not there or does not start: pods have no way out");
        egress_stop(pid);
        return 0;
    }
    return pid;
}

void egress_stop(pid_t helper)
{
    if (helper > 0) {
        (void)kill(helper, SIGKILL);
        (void)waitpid(helper, NULL, 0);
    }
}
