// SPDX-License-Identifier: Apache-2.0
//
// Removing what a cluster of an ordinary user left: files of its pods belong to the user's sub-ids,
// and only root of a user namespace with the same map may touch those.
#include "hull/internal.h"

#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sched.h>

/* In the child: waits for its maps, removes, tells the error's text. */
static _Noreturn void remove_inside(const char *path, int go_fd, int text_fd)
{
    char byte;
    struct err err = {0};
    struct err ignored;
    if (read(go_fd, &byte, 1) == 1 && dir_remove_all(AT_FDCWD, path, &err) < 0) {
        (void)!fd_write_all(text_fd, str_of(err.msg), &ignored);
    }
    _exit(err.code == 0 ? 0 : 1);
}

static int remove_in_namespace(const char *path, const int go[static 2], const int text[static 2],
                               struct err *err)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) {
        return err_errno(err, "make a user namespace");
    }
    if (pid == 0) {
        (void)close(go[1]);
        remove_inside(path, go[0], text[1]);
    }
    bool is_single;
    int r = idmap_write(pid, &is_single, err);
    if (r == 0) {
        (void)!write(go[1], "g", 1);
    } else {
        (void)kill(pid, SIGKILL);
    }
    int status = -1;
    (void)waitpid(pid, &status, 0);
    if (r < 0 || status == 0) {
        return r;
    }
    char message[ERR_MSG_MAX];
    ssize_t n = read(text[0], message, sizeof message - 1);
    return err_set(err, ERR_IO, "%.*s", n > 0 ? (int)n : 0, message);
}

int hull_remove(const char *path, struct err *err)
{
    if (geteuid() == 0) {
        return dir_remove_all(AT_FDCWD, path, err);
    }
    int go[2];
    int text[2];
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(text, O_CLOEXEC | O_NONBLOCK) < 0) {
        return err_errno(err, "pipe");
    }
    int r = remove_in_namespace(path, go, text, err);
    for (int i = 0; i < 2; i++) {
        (void)close(go[i]);
        (void)close(text[i]);
    }
    return r;
}
