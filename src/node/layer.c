// SPDX-License-Identifier: Apache-2.0
#include "node/layer.h"
#include "node/plain_file.h"

#include "base/fd.h"
#include "base/mem.h"
#include "node/tar_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

const struct layer_limits layer_limits_default = {.bytes_max = (uint64_t)64 << 30,
                                                  .entries_max = 4 << 20};

enum { ENTRY_DEPTH_MAX = 256 };

struct dir_time {
    char *path;
    struct timespec mtime;
};

struct unpacking {
    int root;
    struct tar_reader *tar;
    struct dir_time *dirs; /* set at the end: filling a directory changes its time */
    size_t dirs_count;
    size_t dirs_cap;
};

/* "./a//b/" and "/a/b" (as some builders write) to "a/b"; refuses ".." and what is too long. Caller
 * frees. */
static char *clean_path(const char *path, const char *what, struct err *err)
{
    struct str rest = str_of(path);
    auto_buf struct buf out;
    buf_init(&out, PATH_MAX - 1);
    int depth = 0;
    while (rest.p != NULL) {
        struct str part = str_cut(&rest, '/');
        if (str_eq(part, S(".."))) {
            (void)err_set(err, ERR_INVALID, "%s '%s' leads out of the archive ('..')", what, path);
            return NULL;
        }
        if (part.n == 0 || str_eq(part, S("."))) {
            continue;
        }
        if (buf_addf(&out, out.n == 0 ? STR_FMT : "/" STR_FMT, STR_ARG(part)) < 0 ||
            part.n > NAME_MAX || ++depth > ENTRY_DEPTH_MAX) {
            (void)err_set(err, ERR_LIMIT, "%s '%.200s…' is too long or too deep", what, path);
            return NULL;
        }
    }
    (void)buf_add(&out, S(""));
    return out.p == NULL ? xstrdup("") : buf_take(&out);
}

/* Links on the way mean what they mean to a process whose root this is: keeps (1). */
static int open_below(int root, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path[0] == '\0' ? "." : path, &how, sizeof how);
}

/* mkdir -p of path below root (0755, root). Returns its descriptor, or -1 with errno. */
static int make_below(int root, char *path)
{
    for (char *end = strchr(path, '/'); end != NULL; end = strchr(end + 1, '/')) {
        *end = '\0';
        int fd = open_below(root, path);
        if (fd < 0 && errno == ENOENT) {
            const char *name = strrchr(path, '/');
            auto_free char *parent = xstrndup(path, name == NULL ? 0 : (size_t)(name - path));
            auto_close int dir = open_below(root, parent);
            fd = dir < 0 || mkdirat(dir, name == NULL ? path : name + 1, 0755) < 0
                     ? -1
                     : open_below(root, path);
        }
        *end = '/';
        if (fd < 0) {
            return -1;
        }
        (void)close(fd);
    }
    return open_below(root, path);
}

/* The directory that path's last name is in, made as needed. */
static int open_parent(int root, const char *path, const char **ret_name, const char *entry,
                       struct err *err)
{
    const char *slash = strrchr(path, '/');
    *ret_name = slash == NULL ? path : slash + 1;
    auto_free char *dir = xstrndup(path, slash == NULL ? 0 : (size_t)(slash + 1 - path));
    int fd = open_below(root, dir);
    fd = fd < 0 && errno == ENOENT ? make_below(root, dir) : fd;
    if (fd < 0) {
        bool is_link = errno == ELOOP || errno == ENOTDIR;
        return is_link ? err_set(err, ERR_INVALID,
                                 "entry '%s' goes through something that is not a directory of "
                                 "this layer",
                                 entry)
                       : err_errno(err, "directory of entry '%s'", entry);
    }
    return fd;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int mark_opaque(int dir, const char *name)
{
    auto_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -1 : fsetxattr(fd, "user.overlay.opaque", "y", 1, 0);
}

/* ".wh.NAME" hides NAME of lower layers, never what this layer itself brings. */
static int whiteout(int dir, const char *name, struct err *err)
{
    struct stat st;
    if (strcmp(name, ".wh..wh..opq") == 0) {
        return mark_opaque(dir, ".") < 0 ? err_errno(err, "mark opaque") : 0;
    }
    name += sizeof ".wh." - 1;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return err_set(err, ERR_INVALID, "not a file name to hide");
    }
    if (strncmp(name, ".wh.", 4) == 0) {
        return 0; /* aufs' own records */
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return S_ISDIR(st.st_mode) && mark_opaque(dir, name) < 0 ? err_errno(err, "mark opaque")
                                                                 : 0;
    }
    return mknodat(dir, name, S_IFCHR, makedev(0, 0)) < 0 ? err_errno(err, "whiteout") : 0;
}

static int create_regular(struct unpacking *u, int dir, const char *name, struct err *err)
{
    auto_close int fd =
        openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? err_errno(err, "create") : tar_reader_copy(u->tar, fd, err);
}

static int create_hardlink(struct unpacking *u, int dir, const char *name, const char *target,
                           struct err *err)
{
    const char *target_name;
    auto_free char *path = clean_path(target, "link target", err);
    if (path == NULL) {
        return err->code;
    }
    auto_close int from = open_parent(u->root, path, &target_name, target, err);
    if (from < 0) {
        return from;
    }
    return linkat(from, target_name, dir, name, 0) < 0 ? err_errno(err, "link to '%s'", target) : 0;
}

/* Removes what is in the way of an entry; *ret_kept = a directory stays for a directory. */
static int make_room(int dir, const char *name, bool is_dir, bool *ret_kept, bool *ret_hides,
                     struct err *err)
{
    struct stat st;
    *ret_kept = false;
    *ret_hides = false;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return 0;
    }
    *ret_kept = is_dir && S_ISDIR(st.st_mode);
    *ret_hides = is_dir && is_whiteout(&st);
    return *ret_kept ? 0 : dir_remove_all(dir, name, err);
}

static int create_node(int dir, const char *name, const struct tar_entry *e, struct err *err)
{
    bool is_device = S_ISCHR(e->mode) || S_ISBLK(e->mode);
    if (is_device && e->rdev == makedev(0, 0)) {
        return err_set(err, ERR_INVALID, "is a device 0/0, which would hide a file");
    }
    if (mknodat(dir, name, e->mode & (S_IFMT | 0777), is_device ? e->rdev : 0) == 0) {
        return 0;
    }
    /* User namespaces make no devices; containers get theirs from the runtime. */
    return is_device && errno == EPERM ? 1 : err_errno(err, "make node");
}

/* 1 = skipped. */
static int create(struct unpacking *u, int dir, const char *name, const struct tar_entry *e,
                  struct err *err)
{
    bool is_kept;
    bool hides;
    if (make_room(dir, name, S_ISDIR(e->mode) && e->hardlink == NULL, &is_kept, &hides, err) < 0) {
        return err->code;
    }
    if (e->hardlink != NULL) {
        return create_hardlink(u, dir, name, e->hardlink, err);
    }
    switch (e->mode & S_IFMT) {
    case S_IFREG:
        return create_regular(u, dir, name, err);
    case S_IFDIR:
        if (!is_kept && mkdirat(dir, name, 0700) < 0) {
            return err_errno(err, "mkdir");
        }
        return hides && mark_opaque(dir, name) < 0 ? err_errno(err, "mark opaque") : 0;
    case S_IFLNK:
        return symlinkat(e->symlink == NULL ? "" : e->symlink, dir, name) < 0
                   ? err_errno(err, "symlink")
                   : 0;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
        return create_node(dir, name, e, err);
    default:
        return 1;
    }
}

static void set_xattrs(struct unpacking *u, int dir, const char *name)
{
    const char *key;
    const void *value;
    size_t size;
    auto_free char *path = xasprintf("/proc/self/fd/%d/%s", dir, name);
    while (tar_reader_xattr(u->tar, &key, &value, &size)) {
        if (strncmp(key, "trusted.", 8) == 0 || strncmp(key, "user.overlay.", 13) == 0) {
            continue; /* keeps (2) */
        }
        /* File systems and user namespaces that can't hold it: the image works without. */
        (void)lsetxattr(path, key, value, size, 0);
    }
}

static int set_attributes(struct unpacking *u, int dir, const char *name, const struct tar_entry *e,
                          struct err *err)
{
    const struct timespec times[2] = {
        {0,            UTIME_OMIT   },
        {e->mtime_sec, e->mtime_nsec}
    };
    if (file_own(dir, name, e->uid, e->gid, err) < 0) {
        return err->code;
    }
    if (!S_ISLNK(e->mode) && fchmodat(dir, name, e->mode & 07777, 0) < 0) {
        return err_errno(err, "chmod");
    }
    set_xattrs(u, dir, name);
    (void)utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static void remember_dir(struct unpacking *u, const char *path, const struct tar_entry *e)
{
    if (u->dirs_count == u->dirs_cap) {
        u->dirs_cap = u->dirs_cap == 0 ? 64 : u->dirs_cap * 2;
        u->dirs = xrealloc(u->dirs, u->dirs_cap * sizeof *u->dirs);
    }
    u->dirs[u->dirs_count++] = (struct dir_time){
        xstrdup(path), {e->mtime_sec, e->mtime_nsec}
    };
}

static void set_dir_times(struct unpacking *u)
{
    for (size_t i = u->dirs_count; i-- > 0;) {
        auto_close int fd = open_below(u->root, u->dirs[i].path);
        const struct timespec times[2] = {
            {0, UTIME_OMIT},
            u->dirs[i].mtime
        };
        if (fd >= 0) {
            (void)futimens(fd, times);
        }
        free(u->dirs[i].path);
    }
    free(u->dirs);
}

static int unpack_entry(struct unpacking *u, const struct tar_entry *e, struct err *err)
{
    const char *name;
    auto_free char *path = clean_path(e->path, "entry", err);
    if (path == NULL) {
        return err->code;
    }
    if (path[0] == '\0') {
        remember_dir(u, "", e);
        return set_attributes(u, u->root, ".", e, err);
    }
    auto_close int dir = open_parent(u->root, path, &name, e->path, err);
    if (dir < 0) {
        return dir;
    }
    int r;
    if (strncmp(name, ".wh.", 4) == 0) {
        r = whiteout(dir, name, err);
    } else {
        r = create(u, dir, name, e, err);
        /* A hard link's attributes are those of its file. */
        r = r != 0 || e->hardlink != NULL ? r : set_attributes(u, dir, name, e, err);
        if (r == 0 && S_ISDIR(e->mode) && e->hardlink == NULL) {
            remember_dir(u, path, e);
        }
    }
    return r < 0 ? err_wrap(err, "entry '%s'", e->path) : 0;
}

static int unpack_all(struct unpacking *u, const struct layer_limits *limits, struct err *err)
{
    struct tar_entry e;
    uint64_t count = 0;
    int r;
    while ((r = tar_reader_next(u->tar, &e, err)) > 0) {
        if (++count > limits->entries_max) {
            return err_set(err, ERR_LIMIT, "entry '%s' is one over the limit of %llu", e.path,
                           (unsigned long long)limits->entries_max);
        }
        if (unpack_entry(u, &e, err) < 0) {
            return err->code;
        }
    }
    return r;
}

int layer_unpack(int fd, const char *dir, const struct layer_limits *limits,
                 char blob[static DIGEST_TEXT_MAX], char plain[static DIGEST_TEXT_MAX],
                 uint64_t *ret_blob_bytes, struct err *err)
{
    auto_close int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return err_errno(err, "open '%s'", dir);
    }
    struct blob_stream *stream = blob_stream_new(fd, limits->bytes_max);
    struct unpacking u = {.root = root, .tar = tar_reader_new(stream, err)};
    int r = u.tar == NULL ? err->code : unpack_all(&u, limits, err);
    set_dir_times(&u);
    tar_reader_free(u.tar);
    r = r < 0 ? r : blob_stream_finish(stream, blob, plain, ret_blob_bytes, err);
    blob_stream_free(stream);
    return r;
}
