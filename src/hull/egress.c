// SPDX-License-Identifier: Apache-2.0
//
// The pods' way out: slirp4netns or pasta, TCP/IP stacks in user space, give the cluster's network
// namespace an interface tap0 with a default route (spec/machine.md 6). The helper runs on the host
// as a child of the keeper and needs no rights beyond /dev/net/tun; the host's own loopback stays
// out of reach. Without one a cluster works, and its brain says that pods have no way out.
#include "hull/internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_ROOM "keeper"

enum { READY_LIMIT_MS = 2000, WORDS_MAX = 32, LINE_BYTES = 512 };
/* A helper that does not live this long, so often in a row, would only be started in a circle. */
#define QUICK_END (1 * USEC_PER_SEC)
enum { QUICK_ENDS_MAX = 3 };

/* Words apart by blanks. %p is the process whose namespaces the helper joins, %f the descriptor
 * that it writes to when tap0 is there. Both give the cluster the addresses that are slirp4netns'
 * own. */
static const char *const helpers[] = {
    "slirp4netns --configure --mtu=65520 --disable-host-loopback --ready-fd=%f "
    "%p " HULL_EGRESS_LINK,
    "pasta --foreground --quiet --config-net --ns-ifname " HULL_EGRESS_LINK
    " --address 10.0.2.100 --netmask 24 --gateway 10.0.2.2 --no-map-gw --dns-forward 10.0.2.3 "
    "--mtu 65520"
    " --tcp-ports none --udp-ports none --tcp-ns none --udp-ns none --pid /proc/self/fd/%f %p",
};

static void expand(const char *template, pid_t pid, int fd, char ret_line[static LINE_BYTES])
{
    size_t n = 0;
    for (const char *c = template; *c != '\0' && n < LINE_BYTES - 16; c++) {
        if (c[0] == '%') {
            c++;
            n += (size_t)snprintf(ret_line + n, LINE_BYTES - n, "%d", *c == 'p' ? (int)pid : fd);
        } else {
            ret_line[n++] = *c;
        }
    }
    ret_line[n] = '\0';
}

static _Noreturn void run_helper(const char *helper, pid_t init, int ready_fd)
{
    char line[LINE_BYTES];
    char *words[WORDS_MAX] = {NULL};
    char *rest = line;
    expand(helper, init, ready_fd, line);
    for (size_t i = 0; rest != NULL && i + 1 < WORDS_MAX; i++) {
        words[i] = strsep(&rest, " ");
    }
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(null_fd, STDOUT_FILENO); /* it tells every connection */
    (void)dup2(null_fd, STDERR_FILENO);
    (void)fcntl(ready_fd, F_SETFD, 0);
    (void)execvp(words[0], words);
    _exit(127);
}

static void end(pid_t pid)
{
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
}

/* The helper's pid once tap0 is there, or 0. */
static pid_t try_helper(const char *helper, pid_t init)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0) {
        return 0;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ready[0]);
        run_helper(helper, init, ready[1]);
    }
    (void)close(ready[1]);
    char byte;
    struct pollfd p = {.fd = ready[0], .events = POLLIN};
    bool is_ready = pid > 0 && poll(&p, 1, READY_LIMIT_MS) == 1 && read(ready[0], &byte, 1) == 1;
    (void)close(ready[0]);
    if (!is_ready) {
        end(pid);
        return 0;
    }
    return pid;
}

void egress_start(struct egress *egress, pid_t init)
{
    *egress = (struct egress){.started = clock_system()->mono(NULL)};
    bool is_allowed = access("/dev/net/tun", R_OK | W_OK) == 0;
    for (size_t i = 0; is_allowed && egress->pid == 0 && i < ARRAY_LEN(helpers); i++) {
        egress->pid = try_helper(helpers[i], init);
    }
    if (egress->pid == 0) {
        log_warn("no slirp4netns or pasta that starts: pods have no way out");
    }
}

void egress_restart(struct egress *egress, pid_t init)
{
    bool is_quick = clock_system()->mono(NULL) - egress->started < QUICK_END;
    int quick_ends = is_quick ? egress->quick_ends + 1 : 0;
    if (quick_ends > QUICK_ENDS_MAX) {
        log_warn("the pods' way out ends at once: pods have none");
        return;
    }
    log_warn("the pods' way out ended, starting it again");
    egress_start(egress, init);
    egress->quick_ends = quick_ends;
}

void egress_stop(struct egress *egress)
{
    end(egress->pid);
    egress->pid = 0;
}
