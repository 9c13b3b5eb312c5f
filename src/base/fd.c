// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include "base/limits.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(int dir_fd, const char *path, struct buf *out, struct err *err)
{
    auto_close int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, "open '%s'", path);
    }
    for (;;) {
        size_t left = out->max - out->n;
        size_t want = left < 65536 ? left + 1 : 65536;
        char chunk[1];
        char *room = left == 0 ? chunk : buf_room(out, want > left ? left : want);
        ssize_t n = read(fd, room, left == 0 ? 1 : want > left ? left : want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_errno(err, "read '%s'", path);
        }
        if (n == 0) {
            return 0;
        }
        if (left == 0) {
            return err_set(err, ERR_LIMIT, "file '%s' is over %zu bytes", path, out->max);
        }
        buf_grew(out, (size_t)n);
    }
}

int fd_write_all(int fd, struct str bytes, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR) {
            return err_errno(err, "write");
        }
        if (n > 0) {
            bytes = str_sub(bytes, (size_t)n, bytes.n);
        }
    }
    return 0;
}

/* Makes the rename durable; a directory that can't be opened for it is not an error worth failing.
 */
static void sync_parent(int dir_fd, const char *path)
{
    ptrdiff_t slash = str_rfind(str_of(path), '/');
    auto_free char *parent =
        slash <= 0 ? xstrdup(slash == 0 ? "/" : ".") : xstrndup(path, (size_t)slash);
    auto_close int fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
    }
}

int file_write_atomic(int dir_fd, const char *path, struct str bytes, mode_t mode, struct err *err)
{
    auto_free char *temp = xasprintf("%s.tmp", path);
    auto_close int fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0) {
        return err_errno(err, "create '%s'", temp);
    }
    int r = fchmod(fd, mode) < 0 ? err_errno(err, "chmod '%s'", temp) : 0;
    r = r < 0 ? r : fd_write_all(fd, bytes, err);
    r = r < 0 || fsync(fd) == 0 ? r : err_errno(err, "fsync '%s'", temp);
    r = r < 0 || renameat(dir_fd, temp, dir_fd, path) == 0 ? r
                                                           : err_errno(err, "rename '%s'", temp);
    if (r < 0) {
        (void)unlinkat(dir_fd, temp, 0);
        return err_wrap(err, "write '%s'", path);
    }
    sync_parent(dir_fd, path);
    return 0;
}

int file_put(int dir_fd, const char *path, struct str bytes, struct err *err)
{
    auto_close int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, "open '%s'", path);
    }
    return fd_write_all(fd, bytes, err) < 0 ? err_wrap(err, "'%s'", path) : 0;
}

int dir_make_all(const char *path, mode_t mode, struct err *err)
{
    auto_free char *part = xstrdup(path);
    for (char *p = part + 1; part[0] != '\0'; p++) {
        bool is_end = *p == '\0';
        if (*p != '/' && !is_end) {
            continue;
        }
        *p = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST) {
            return err_errno(err, "mkdir '%s'", part);
        }
        if (is_end) {
            break;
        }
        *p = '/';
    }
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return err_set(err, ERR_IO, "'%s' is not a directory", path);
    }
    return 0;
}

/* Each level holds a descriptor and a stack frame: what lies deeper than this is moved up first. */
enum { TREE_DEPTH_MAX = 64 };

struct removal {
    dev_t dev;       /* stops at mounts */
    int top_fd;      /* the directory that goes */
    uint64_t raised; /* directories moved up into it so far */
};

/* Moves a directory from far below into the top one, under a name that is free there. */
static int raise_up(struct removal *rm, int dir_fd, const char *name, struct err *err)
{
    char free_name[32];
    int r;
    do {
        (void)snprintf(free_name, sizeof free_name, ".raised-%" PRIu64, ++rm->raised);
        r = renameat2(dir_fd, name, rm->top_fd, free_name, RENAME_NOREPLACE);
    } while (r < 0 && errno == EEXIST);
    return r < 0 ? err_errno(err, "move '%s' up", name) : 0;
}

static int remove_tree(struct removal *rm, int dir_fd, const char *name, int depth,
                       struct err *err);

/* NOLINTNEXTLINE(misc-no-recursion): TREE_DEPTH_MAX */
static int remove_entries(struct removal *rm, DIR *dir, int depth, struct err *err)
{
    uint64_t raised_before;
    do {
        raised_before = rm->raised;
        rewinddir(dir);
        for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                remove_tree(rm, dirfd(dir), e->d_name, depth + 1, err) < 0) {
                return err->code;
            }
        }
    } while (depth == 0 && rm->raised != raised_before);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): TREE_DEPTH_MAX */
static int remove_tree(struct removal *rm, int dir_fd, const char *name, int depth, struct err *err)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : err_errno(err, "stat '%s'", name);
    }
    if (!S_ISDIR(st.st_mode)) {
        return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT
                   ? err_errno(err, "unlink '%s'", name)
                   : 0;
    }
    if (st.st_dev != rm->dev) {
        return err_set(err, ERR_IO, "'%s' is a mount point: not removed", name);
    }
    if (depth == TREE_DEPTH_MAX) {
        return raise_up(rm, dir_fd, name, err);
    }
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int r = err_errno(err, "open directory '%s'", name);
        if (fd >= 0) {
            (void)close(fd);
        }
        return r;
    }
    rm->top_fd = depth == 0 ? dirfd(dir) : rm->top_fd;
    int r = remove_entries(rm, dir, depth, err);
    (void)closedir(dir);
    if (r == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
        r = err_errno(err, "rmdir '%s'", name);
    }
    return r;
}

int dir_remove_all(int dir_fd, const char *name, struct err *err)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : err_errno(err, "stat '%s'", name);
    }
    struct removal rm = {.dev = st.st_dev, .top_fd = -1};
    return remove_tree(&rm, dir_fd, name, /*depth=*/0, err);
}

void fd_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int fd_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int fd_send(int socket, struct str message, int fd, struct err *err)
{
    struct iovec iov = {(char *)(uintptr_t)message.p, message.n};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    do {
        n = sendmsg(socket, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? err_errno(err, "sendmsg") : 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): recvmsg writes through the iovec */
ssize_t fd_recv(int socket, char *message, size_t size, int *ret_fd)
{
    struct iovec iov = {message, size};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do {
        n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    *ret_fd = -1;
    struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
    }
    return n;
}
