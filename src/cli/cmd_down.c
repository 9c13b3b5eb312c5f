// SPDX-License-Identifier: Apache-2.0
//
// `coracle down`: SIGTERM to the keeper walks down to the brain, which stops the pods with their
// grace; SIGKILL to init when that takes too long, since the kernel then ends all. `coracle delete`
// does that at once: nothing is left that a pod could bring into order.
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "hull/hull.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DOWN_TIMEOUT_S = 45, KILL_TIMEOUT_S = 10 };

static bool wait_for_end(int pidfd, int seconds)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, seconds * 1000) == 1;
}

/* EXIT_OK when nothing of the cluster runs any more. With time for the pods: SIGTERM, their grace.
 */
static int stop(struct cli *cli, pid_t keeper, bool has_time)
{
    auto_close int pidfd = (int)syscall(SYS_pidfd_open, keeper, 0);
    struct hull_processes processes;
    hull_processes_find(keeper, &processes);
    if (pidfd < 0) {
        return errno == ESRCH && cluster_wait_unlocked(cli) ? EXIT_OK : EXIT_FAILED;
    }
    bool is_gentle = has_time || processes.init == 0;
    if (is_gentle && kill(keeper, SIGTERM) < 0) {
        cli_error("stop keeper %d: %s", (int)keeper, strerror(errno));
        return EXIT_FAILED;
    }
    if (is_gentle && !wait_for_end(pidfd, DOWN_TIMEOUT_S)) {
        cli_error("the pods did not stop within %d s, killing them", DOWN_TIMEOUT_S);
        is_gentle = false;
    }
    if (!is_gentle && processes.init > 0) {
        (void)kill(processes.init, SIGKILL);
    }
    if (!wait_for_end(pidfd, KILL_TIMEOUT_S)) {
        cli_error("keeper %d does not end", (int)keeper);
        return EXIT_FAILED;
    }
    return cluster_wait_unlocked(cli) ? EXIT_OK : EXIT_FAILED;
}

int cmd_down(struct cli *cli)
{
    pid_t keeper = cluster_keeper(cli);
    if (keeper == 0) {
        cli_error("cluster '" STR_FMT "' is not running", STR_ARG(cli->name));
        return EXIT_NOT_RUNNING;
    }
    usec started = clock_system()->mono(NULL);
    int r = stop(cli, keeper, true);
    if (r == EXIT_OK) {
        (void)printf("cluster '" STR_FMT
                     "' stopped in %.1f s; `coracle up` starts it again with all it had\n",
                     STR_ARG(cli->name), (double)(clock_system()->mono(NULL) - started) / 1e6);
    }
    return r;
}

static bool is_agreed(struct cli *cli)
{
    if (cli->is_yes || !isatty(STDIN_FILENO)) {
        return true;
    }
    char answer[16];
    (void)printf("Delete cluster '" STR_FMT "' and all its data in " STR_FMT "? [y/N] ",
                 STR_ARG(cli->name), STR_ARG(cli->data));
    (void)fflush(stdout);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Only a folder that a cluster made is removed: a mistyped --data must cost nobody their files. */
static bool is_cluster(struct cli *cli)
{
    return access(cluster_path(cli, "lock"), F_OK) == 0 &&
           access(cluster_path(cli, "pki"), F_OK) == 0;
}

int cmd_delete(struct cli *cli)
{
    struct err err = {0};
    if (access(cluster_path(cli, "lock"), F_OK) != 0) {
        (void)printf("cluster '" STR_FMT "' is not there\n", STR_ARG(cli->name));
        return EXIT_OK;
    }
    if (!is_cluster(cli)) {
        cli_error("'" STR_FMT "' does not look like a cluster's data folder: not removed",
                  STR_ARG(cli->data));
        return EXIT_FAILED;
    }
    if (!is_agreed(cli)) {
        (void)printf("nothing was done\n");
        return EXIT_FAILED;
    }
    pid_t keeper = cluster_keeper(cli);
    if (keeper > 0 && stop(cli, keeper, false) != EXIT_OK) {
        return EXIT_FAILED;
    }
    hull_clean(cli->name.p);
    if (kubeconfig_remove(cli, &err) < 0) {
        cli_error("kubeconfig: %s, ignoring", err.msg);
    }
    if (hull_remove(cli->data.p, &err) < 0) {
        cli_error("remove '" STR_FMT "': %s", STR_ARG(cli->data), err.msg);
        return EXIT_FAILED;
    }
    (void)printf("cluster '" STR_FMT "' deleted\n", STR_ARG(cli->name));
    return EXIT_OK;
}
