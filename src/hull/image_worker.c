// SPDX-License-Identifier: Apache-2.0
//
// The image worker's place: on the host's network, since the cluster's own may have no way out and
// can't reach the host's loopback; with the ids of the cluster, so that it can give files to all
// of them. What it does is not known here.
#include "hull/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static _Noreturn void run_worker(pid_t init, int fd)
{
    static char program[] = "coracle";
    static char command[] = "image-worker";
    static char *const argv[] = {program, command, NULL};
    char path[64];
    sigset_t none;
    (void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)init);
    if (geteuid() != 0) {
        int users = open(path, O_RDONLY | O_CLOEXEC);
        if (users < 0 || setns(users, CLONE_NEWUSER) < 0) {
            _exit(126);
        }
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after setns, which forgets it */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0) {
        (void)execv("/proc/self/exe", argv);
    }
    _exit(127);
}

int image_worker_start(pid_t init, int fd)
{
    if (fd < 0) {
        errno = EINVAL;
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        run_worker(init, fd);
    }
    return pid < 0 ? -1 : 0;
}
