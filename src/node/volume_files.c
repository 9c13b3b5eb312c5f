// SPDX-License-Identifier: Apache-2.0
//
// The ..data layout: a new hidden directory with the files, then one rename of a link (spec/node.md
// 4.2).
//
//   dir/..2026_11_22_10_00_00.8f3a/app.conf      the files
//   dir/..data -> ..2026_11_22_10_00_00.8f3a     swapped by rename(2)
//   dir/app.conf -> ..data/app.conf              what containers open
#include "node/volume_files.h"
#include "node/plain_file.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_DEPTH_MAX = 32 }; /* directories in a projected volume */

static bool is_good_path(struct str path)
{
    if (path.n == 0 || path.n > 4096 || path.p[0] == '/' || str_starts(path, S(".."))) {
        return false;
    }
    while (path.p) {
        struct str part = str_cut(&path, '/');
        if (part.n == 0 || part.n > 255 || str_eq(part, S("..")) || str_eq(part, S("."))) {
            return false;
        }
    }
    return true;
}

int volume_files_add(struct volume_files *files, struct arena *arena, struct volume_file file,
                     struct err *err)
{
    if (!is_good_path(file.path)) {
        return err_set(err, ERR_INVALID, "invalid path \"" STR_FMT "\"", STR_ARG(file.path));
    }
    file.path = arena_dup(arena, file.path);
    file.bytes = arena_dup(arena, file.bytes);
    for (size_t i = 0; i < files->count; i++) {
        if (str_eq(files->list[i].path, file.path)) {
            files->list[i] = file;
            return 0;
        }
    }
    if (files->count == files->cap) {
        size_t cap = files->cap ? files->cap * 2 : 16;
        struct volume_file *list = arena_alloc(arena, cap * sizeof *list);
        if (files->count) {
            memcpy(list, files->list, files->count * sizeof *list);
        }
        files->list = list;
        files->cap = cap;
    }
    files->list[files->count++] = file;
    return 0;
}

/* --- comparing --- */

static bool is_same_file(int data, const struct volume_file *file, int64_t gid)
{
    auto_buf struct buf text;
    struct err err = {0};
    struct stat st;
    buf_init(&text, FILE_BYTES_MAX);
    if (fstatat(data, file->path.p, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        (size_t)st.st_size != file->bytes.n || (st.st_mode & 07777) != file->mode ||
        (gid >= 0 && st.st_gid != (gid_t)gid) ||
        (file->uid >= 0 && st.st_uid != (uid_t)file->uid)) {
        return false;
    }
    return file_read(data, file->path.p, &text, &err) == 0 && str_eq(buf_str(&text), file->bytes);
}

/* NOLINTNEXTLINE(misc-no-recursion): FILE_DEPTH_MAX */
static size_t count_files(int dir, int depth)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    size_t count = 0;
    for (struct dirent *entry; list && (entry = readdir(list)) != NULL;) {
        struct str name = str_of(entry->d_name);
        if (str_eq(name, S(".")) || str_eq(name, S(".."))) {
            continue;
        }
        int sub = depth < FILE_DEPTH_MAX
                      ? openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                      : -1;
        count += sub >= 0 ? count_files(sub, depth + 1) : 1;
        if (sub >= 0) {
            (void)close(sub);
        }
    }
    if (list) {
        (void)closedir(list);
    } else if (copy >= 0) {
        (void)close(copy);
    }
    return count;
}

static bool is_current(int dir, const struct volume_files *files, int64_t gid)
{
    auto_close int data = openat(dir, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (data < 0) {
        return false;
    }
    for (size_t i = 0; i < files->count; i++) {
        if (!is_same_file(data, &files->list[i], gid)) {
            return false;
        }
    }
    return count_files(data, 0) == files->count;
}

/* --- writing --- */

static int make_parents(int dir, struct str path, int64_t gid, struct err *err)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '/') {
            continue;
        }
        auto_free char *parent = xstrndup(path.p, i);
        if (mkdirat(dir, parent, 0755) < 0 && errno != EEXIST) {
            return err_errno(err, "mkdir %s", parent);
        }
        if (file_own(dir, parent, -1, gid, err) < 0) {
            return err->code;
        }
    }
    return 0;
}

static int write_file(int dir, const struct volume_file *file, int64_t gid, struct err *err)
{
    int rc = make_parents(dir, file->path, gid, err);
    if (rc < 0) {
        return rc;
    }
    auto_close int fd =
        openat(dir, file->path.p, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_errno(err, "create %s", file->path.p);
    }
    rc = fd_write_all(fd, file->bytes, err);
    if (rc == 0 && file_own(fd, "", file->uid, gid, err) < 0) {
        return err_wrap(err, "%s", file->path.p);
    }
    if (rc == 0 && fchmod(fd, file->mode) < 0) {
        return err_errno(err, "chmod %s", file->path.p);
    }
    return rc;
}

static struct str first_part(struct str path)
{
    ptrdiff_t slash = str_find(path, '/');
    return slash < 0 ? path : str_sub(path, 0, (size_t)slash);
}

static int make_links(int dir, const struct volume_files *files, struct err *err)
{
    for (size_t i = 0; i < files->count; i++) {
        struct str name = first_part(files->list[i].path);
        auto_free char *link = xstrndup(name.p, name.n);
        auto_free char *target = xasprintf("..data/%s", link);
        if (symlinkat(target, dir, link) < 0 && errno != EEXIST) {
            return err_errno(err, "link %s", link);
        }
    }
    return 0;
}

/* Takes away links of names that are gone, and old hidden directories. */
static void sweep(int dir, const struct volume_files *files, const char *keep)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *entry; list && (entry = readdir(list)) != NULL;) {
        struct str name = str_of(entry->d_name);
        struct err err = {0};
        bool is_wanted = str_eq(name, S(".")) || str_eq(name, S("..")) ||
                         str_eq(name, S("..data")) || str_eq(name, str_of(keep));
        for (size_t i = 0; i < files->count; i++) {
            is_wanted = is_wanted || str_eq(name, first_part(files->list[i].path));
        }
        if (is_wanted) {
            continue;
        }
        if (str_starts(name, S(".."))) {
            int rc = dir_remove_all(dir, entry->d_name, &err);
            (void)rc; /* tried again with the next change */
        } else {
            (void)unlinkat(dir, entry->d_name, 0);
        }
    }
    if (list) {
        (void)closedir(list);
    } else if (copy >= 0) {
        (void)close(copy);
    }
}

static void hidden_name(usec wall, uint64_t stamp, char *out, size_t size)
{
    char text[TIME_TEXT_MAX];
    time_format(wall, text);
    for (char *c = text; *c; c++) {
        *c = *c >= '0' && *c <= '9' ? *c : '_';
    }
    text[19] = '\0'; /* "2026_11_22_10_00_00" */
    (void)snprintf(out, size, "..%s.%llx", text, (unsigned long long)stamp);
}

int volume_files_write(const char *path, const struct volume_files *files, int64_t gid, usec wall,
                       uint64_t stamp, struct err *err)
{
    char name[64];
    auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return err_errno(err, "open %s", path);
    }
    if (is_current(dir, files, gid)) {
        return make_links(dir, files, err);
    }
    hidden_name(wall, stamp, name, sizeof name);
    if (mkdirat(dir, name, 0755) < 0) {
        return err_errno(err, "mkdir %s/%s", path, name);
    }
    auto_close int fresh = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fresh < 0 || fchmod(fresh, 0755) < 0) {
        return err_errno(err, "open %s/%s", path, name);
    }
    for (size_t i = 0; i < files->count; i++) {
        int rc = write_file(fresh, &files->list[i], gid, err);
        if (rc < 0) {
            return rc;
        }
    }
    (void)unlinkat(dir, "..data_tmp", 0);
    if (symlinkat(name, dir, "..data_tmp") < 0 || renameat(dir, "..data_tmp", dir, "..data") < 0) {
        return err_errno(err, "swap %s/..data", path);
    }
    int rc = make_links(dir, files, err);
    sweep(dir, files, name);
    return rc;
}
