// SPDX-License-Identifier: Apache-2.0
//
// Where a cluster's files are and whether it runs. The keeper holds a lock on <data>/lock and its
// pid stands in it, so neither a stale pid file nor a race can lie.
#include "base/fd.h"
#include "base/mem.h"
#include "cli/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *cluster_path(struct cli *cli, const char *name)
{
    return arena_fmt(cli->arena, STR_FMT "/%s", STR_ARG(cli->data), name).p;
}

struct str cluster_context(struct cli *cli)
{
    return str_eq(cli->name, S("default"))
               ? S("coracle")
               : arena_fmt(cli->arena, "coracle-" STR_FMT, STR_ARG(cli->name));
}

static pid_t read_holder(int fd)
{
    char text[16];
    uint64_t pid = 0;
    ssize_t n = pread(fd, text, sizeof text, 0);
    return n > 0 && str_to_u64(str_trim((struct str){text, (size_t)n}), &pid) == 0 ? (pid_t)pid : 0;
}

int cluster_lock(struct cli *cli, pid_t *ret_holder, struct err *err)
{
    const char *path = cluster_path(cli, "lock");
    *ret_holder = 0;
    auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)err_errno(err, "open '%s'", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        *ret_holder = read_holder(fd);
        (void)err_set(err, ERR_EXISTS, "'%s' is locked", path);
        return -1;
    }
    return take_fd(&fd);
}

/* A process that was just killed is alive for a moment, and one that nobody has reaped yet answers
 * kill(pid, 0). */
static bool is_dying(pid_t pid)
{
    enum { DYING_MS = 200 };
    auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return pidfd < 0 ? errno == ESRCH : poll(&p, 1, DYING_MS) == 1;
}

bool cluster_wait_unlocked(struct cli *cli)
{
    enum { STEP_MS = 20, STEPS_MAX = 500 };
    pid_t holder = cluster_keeper(cli);
    if (holder != 0 && !is_dying(holder)) {
        return false;
    }
    for (int i = 0; i < STEPS_MAX; i++) {
        if (cluster_keeper(cli) == 0) {
            return true;
        }
        (void)poll(NULL, 0, STEP_MS);
    }
    return false;
}

pid_t cluster_keeper(struct cli *cli)
{
    auto_close int fd = open(cluster_path(cli, "lock"), O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    return read_holder(fd);
}
