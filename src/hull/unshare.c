// SPDX-License-Identifier: Apache-2.0
//
// Work on the files of an ordinary user's cluster: what its pods write belongs to the user's
// sub-ids, and only root of a user namespace with the same map may touch all of it.
#include "hull/internal.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sched.h>

int hull_unshare(int (*work)(void *ctx), void *ctx, int *ret_status, struct err *err)
{
    bool is_root = geteuid() == 0;
    int go[2]; /* the child waits for its maps */
    if (pipe2(go, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    struct clone_args args = {.flags = is_root ? 0 : CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        char byte;
        (void)close(go[1]);
        _exit(read(go[0], &byte, 1) == 1 ? work(ctx) : 1);
    }
    (void)close(go[0]);
    int r = pid < 0 ? err_errno(err, "make a user namespace") : is_root ? 0 : idmap_write(pid, err);
    if (r == 0) {
        (void)!write(go[1], "g", 1);
    }
    (void)close(go[1]);
    while (pid > 0 && waitpid(pid, ret_status, 0) < 0 && errno == EINTR) {
    }
    return r;
}

struct removal {
    const char *path;
    int text_fd; /* gets the error's text */
};

static int remove_inside(void *ctx)
{
    const struct removal *removal = ctx;
    struct err err = {0};
    struct err ignored;
    if (dir_remove_all(AT_FDCWD, removal->path, &err) == 0) {
        return 0;
    }
    (void)!fd_write_all(removal->text_fd, str_of(err.msg), &ignored);
    return 1;
}

int hull_remove(const char *path, struct err *err)
{
    if (geteuid() == 0) {
        return dir_remove_all(AT_FDCWD, path, err);
    }
    int text[2];
    if (pipe2(text, O_CLOEXEC | O_NONBLOCK) < 0) {
        return err_errno(err, "pipe");
    }
    struct removal removal = {path, text[1]};
    int status = 0;
    char message[ERR_MSG_MAX];
    int r = hull_unshare(remove_inside, &removal, &status, err);
    if (r == 0 && status != 0) {
        ssize_t n = read(text[0], message, sizeof message - 1);
        r = err_set(err, ERR_IO, "%.*s", n > 0 ? (int)n : 0, message);
    }
    (void)close(text[0]);
    (void)close(text[1]);
    return r;
}
