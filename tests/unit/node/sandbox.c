// SPDX-License-Identifier: Apache-2.0
#include "sandbox.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void enter(void (*fn)(void))
{
    struct err err;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHECK(mount("proc", "/proc", "proc", 0, NULL) == 0);
    (void)umount2("/sys/fs/cgroup/unified", MNT_DETACH); /* hybrid hosts: spec/machine.md 7 */
    CHECK(mount("tmpfs", "/run", "tmpfs", 0, NULL) == 0);
    CHECK_OK(dir_make_all("/run/coracle", 0700, &err));
    pid_t child = fork();
    if (child == 0) {
        fn();
        exit(0); /* with the leak check */
    }
    /* Process 1 reaps, as the hull does: a pid namespace ends only when all in it are reaped. */
    int status = 0;
    for (pid_t pid = 0; pid != child; pid = wait(&status)) {
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static int in_namespaces(void (*fn)(void))
{
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) < 0) {
        return 77;
    }
    pid_t init = fork();
    if (init == 0) {
        enter(fn);
    }
    int status = 0;
    (void)waitpid(init, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

void sandbox_run(void (*fn)(void))
{
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)alarm(60);
        _exit(in_namespaces(fn));
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: no namespaces here\n");
        skip();
    }
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void copy_file(const char *from, const char *to)
{
    struct err err;
    auto_buf struct buf text;
    buf_init(&text, 16 << 20);
    CHECK_OK(file_read(AT_FDCWD, from, &text, &err));
    CHECK_OK(file_write_atomic(AT_FDCWD, to, buf_str(&text), 0755, &err));
}

void sandbox_rootfs(const char *dir)
{
    static const char *const dirs[] = {"bin", "proc", "dev", "tmp", "etc"};
    static const char *const tools[] = {"sh",  "sleep", "cat",  "echo", "kill", "stty",
                                        "tty", "yes",   "head", "wc",   "touch"};
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        auto_free char *path = xasprintf("%s/%s", dir, dirs[i]);
        CHECK_OK(dir_make_all(path, 0755, &err));
    }
    auto_free char *busybox = xasprintf("%s/bin/busybox", dir);
    copy_file("/bin/busybox", busybox);
    for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
        auto_free char *path = xasprintf("%s/bin/%s", dir, tools[i]);
        CHECK(symlink("busybox", path) == 0);
    }
}

struct wait {
    struct loop *loop;
    const bool *flag;
    struct timer timer;
    int rounds;
};

static void poll_flag(void *ctx)
{
    struct wait *w = ctx;
    if (w->rounds-- == 0 || (w->flag != NULL && *w->flag)) {
        loop_stop(w->loop);
        return;
    }
    timer_start(w->loop, &w->timer, USEC_PER_MS, poll_flag, w);
}

void sandbox_wait(struct loop *loop, const bool *flag)
{
    struct wait w = {.loop = loop, .flag = flag, .rounds = 20000};
    timer_start(loop, &w.timer, 0, poll_flag, &w);
    loop_run(loop);
    timer_stop(&w.timer);
    CHECK(*flag);
}

void sandbox_pause(struct loop *loop, int ms)
{
    struct wait w = {.loop = loop, .rounds = ms};
    timer_start(loop, &w.timer, 0, poll_flag, &w);
    loop_run(loop);
    timer_stop(&w.timer);
}
