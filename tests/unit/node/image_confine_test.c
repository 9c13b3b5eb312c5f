// SPDX-License-Identifier: Apache-2.0
//
// What a process that was taken over could still do: each row is tried in a confined child.
#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "node/image_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char store[64];
static char outside[64]; /* a file */
static char given[64];   /* a file that may be read */

static int open_close(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

static int in_store(int (*call)(const char *path), const char *name)
{
    auto_free char *path = xasprintf("%s/%s", store, name);
    return call(path);
}

static int create_file(const char *path)
{
    return open_close(path, O_WRONLY | O_CREAT);
}

static int create_whiteout(const char *path)
{
    return mknod(path, S_IFCHR, makedev(0, 0));
}

static int create_disk(const char *path)
{
    return mknod(path, S_IFBLK | 0600, makedev(8, 0));
}

static int read_outside(void)
{
    return open_close(outside, O_RDONLY);
}

static int write_outside(void)
{
    return open_close(outside, O_WRONLY | O_TRUNC);
}

static int chmod_outside(void)
{
    return chmod(outside, 0777);
}

static int remove_outside(void)
{
    return unlink(outside);
}

static int link_outside(void)
{
    auto_free char *path = xasprintf("%s/stolen", store);
    return link(outside, path);
}

static int read_secrets(void)
{
    return open_close("/etc/passwd", O_RDONLY);
}

static int read_environment(void)
{
    auto_free char *path = xasprintf("/proc/%d/environ", (int)getppid());
    return open_close(path, O_RDONLY);
}

static int read_through_parent(void)
{
    auto_free char *path = xasprintf("/proc/%d/root%s", (int)getppid(), outside);
    return open_close(path, O_RDONLY);
}

static int write_sysctl(void)
{
    return open_close("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int write_library(void)
{
    return create_file("/usr/lib/coracle-test");
}

static int signal_parent(void)
{
    return kill(getppid(), 0);
}

static int run_program(void)
{
    static char name[] = "true";
    static char *const argv[] = {name, NULL};
    return execv("/bin/true", argv);
}

static int trace_parent(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int new_namespaces(void)
{
    return unshare(CLONE_NEWUSER);
}

static int open_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : close(fd);
}

static int unix_socket(void)
{
    return open_socket(AF_UNIX, SOCK_STREAM);
}

static int tcp_socket(void)
{
    return open_socket(AF_INET, SOCK_STREAM);
}

static int raw_socket(void)
{
    return open_socket(AF_PACKET, SOCK_RAW);
}

static int make_disk(void)
{
    return in_store(create_disk, "disk");
}

static int make_whiteout(void)
{
    return in_store(create_whiteout, "layers/whiteout");
}

static int make_file(void)
{
    return in_store(create_file, "tmp/file");
}

static int move_file(void)
{
    auto_free char *from = xasprintf("%s/tmp/file", store);
    auto_free char *to = xasprintf("%s/layers/file", store);
    auto_free char *again = xasprintf("%s/tmp/link", store);
    return rename(from, to) < 0 || link(to, again) < 0 ? -1 : 0;
}

static int read_given(void)
{
    return open_close(given, O_RDONLY);
}

static int write_given(void)
{
    return open_close(given, O_WRONLY);
}

static int look_up_hosts(void)
{
    return open_close("/etc/hosts", O_RDONLY);
}

static int fork_child(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid < 0 || waitpid(pid, &status, 0) < 0 ? -1 : status;
}

static void *nothing(void *ctx)
{
    return ctx;
}

static int start_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    return errno != 0 || pthread_join(thread, NULL) != 0 ? -1 : 0;
}

/* In this order. */
static const struct {
    const char *name;
    int (*act)(void);
    bool is_allowed;
    bool needs_landlock;
} acts[] = {
    {"read a file outside",        read_outside,        false, false},
    {"truncate it",                write_outside,       false, false},
    {"change its mode",            chmod_outside,       false, false},
    {"remove it",                  remove_outside,      false, false},
    {"link it into the store",     link_outside,        false, false},
    {"read /etc/passwd",           read_secrets,        false, false},
    {"read another's environment", read_environment,    false, true },
    {"go through another's root",  read_through_parent, false, true },
    {"write a sysctl",             write_sysctl,        false, false},
    {"write a library",            write_library,       false, false},
    {"signal another",             signal_parent,       false, false},
    {"trace another",              trace_parent,        false, false},
    {"run a program",              run_program,         false, false},
    {"make namespaces",            new_namespaces,      false, false},
    {"make a Unix socket",         unix_socket,         false, false},
    {"make a raw socket",          raw_socket,          false, false},
    {"make a disk",                make_disk,           false, false},
    {"write what may be read",     write_given,         false, false},
    {"read what may be read",      read_given,          true,  false},
    {"read the names of hosts",    look_up_hosts,       true,  false},
    {"make a whiteout",            make_whiteout,       true,  false},
    {"make a file in the store",   make_file,           true,  false},
    {"move and link it",           move_file,           true,  false},
    {"fork",                       fork_child,          true,  false},
    {"start a thread",             start_thread,        true,  false},
};

/* Where namespaces can't be made, Landlock alone is there, and modes are not its matter. */
static bool is_tried(size_t i, bool has_root)
{
    bool has_landlock = image_confine_has_landlock();
    return acts[i].needs_landlock ? has_landlock
           : acts[i].is_allowed   ? true
                                  : has_root || (has_landlock && acts[i].act != chmod_outside);
}

static int act_confined(bool has_network)
{
    const char *const reads[] = {given, NULL};
    const struct image_reach reach = {.store = store, .reads = reads, .has_network = has_network};
    struct err err = {0};
    struct stat st;
    int failed = 0;
    if (image_confine(&reach, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    bool has_root = stat("/home", &st) < 0;
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        if (is_tried(i, has_root) && (acts[i].act() == 0) != acts[i].is_allowed) {
            fprintf(stderr, "%s: %s\n", acts[i].name,
                    acts[i].is_allowed ? strerror(errno) : "was allowed");
            failed++;
        }
    }
    if ((tcp_socket() == 0) != has_network) {
        fprintf(stderr, "TCP: want %d\n", has_network);
        failed++;
    }
    return failed;
}

static void make_places(void)
{
    static const char *const dirs[] = {"tmp", "layers"};
    struct err err;
    (void)snprintf(store, sizeof store, "/tmp/coracle-confine-%d/images", (int)getpid());
    (void)snprintf(outside, sizeof outside, "/tmp/coracle-confine-%d/outside", (int)getpid());
    (void)snprintf(given, sizeof given, "/tmp/coracle-confine-%d/given", (int)getpid());
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        auto_free char *path = xasprintf("%s/%s", store, dirs[i]);
        EXPECT_OK(dir_make_all(path, 0755, &err));
    }
    EXPECT_OK(file_write_atomic(AT_FDCWD, outside, S("x"), 0644, &err));
    EXPECT_OK(file_write_atomic(AT_FDCWD, given, S("x"), 0644, &err));
}

TEST(a_confined_worker_reaches_the_store_alone)
{
    struct err err;
    for (int has_network = 0; has_network < 2; has_network++) {
        int status = -1;
        struct stat st;
        make_places();
        pid_t pid = fork();
        if (pid == 0) {
            _exit(act_confined(has_network == 1) == 0 ? 0 : 1);
        }
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
        EXPECT_INT(0, status);
        EXPECT(stat(outside, &st) == 0 && st.st_size == 1 && (st.st_mode & 0777) == 0644);
        auto_free char *dir = xasprintf("/tmp/coracle-confine-%d", (int)getpid());
        EXPECT_OK(dir_remove_all(AT_FDCWD, dir, &err));
    }
}
