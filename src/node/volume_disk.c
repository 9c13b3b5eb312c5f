// SPDX-License-Identifier: Apache-2.0
//
// Making volumes on the disk. Every step may find its work done by an earlier brain.
#include "node/volume_disk.h"
#include "node/plain_file.h"

#include "base/fd.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TREE_DEPTH_MAX = 128 };

static bool is_mount_point(const char *path)
{
    struct stat at;
    struct stat above;
    auto_free char *parent = xasprintf("%s/..", path);
    return stat(path, &at) == 0 && stat(parent, &above) == 0 && at.st_dev != above.st_dev;
}

static int make_dir(const char *path, mode_t mode, struct err *err)
{
    struct stat st;
    bool is_new = stat(path, &st) < 0;
    int rc = dir_make_all(path, 0750, err);
    if (rc == 0 && is_new && chmod(path, mode) < 0) { /* whatever the umask */
        rc = err_errno(err, "chmod %s", path);
    }
    return rc;
}

static int make_tmpfs(const char *path, int64_t size, mode_t mode, struct err *err)
{
    int rc = make_dir(path, mode, err);
    if (rc < 0 || is_mount_point(path)) {
        return rc;
    }
    char options[64];
    (void)snprintf(options, sizeof options, "size=%lld,mode=%o", (long long)size, (unsigned)mode);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0) {
        return err_errno(err, "mount tmpfs on %s", path);
    }
    return 0;
}

/* --- hostPath --- */

static const struct host_type {
    const char *name;
    mode_t kind;
    const char *text;
} host_types[] = {
    {"Directory",         S_IFDIR,  "directory"       },
    {"DirectoryOrCreate", S_IFDIR,  "directory"       },
    {"File",              S_IFREG,  "file"            },
    {"FileOrCreate",      S_IFREG,  "file"            },
    {"Socket",            S_IFSOCK, "socket file"     },
    {"CharDevice",        S_IFCHR,  "character device"},
    {"BlockDevice",       S_IFBLK,  "block device"    },
};

static int check_host(const struct volume_job *job, struct err *err)
{
    struct stat st;
    bool is_there = stat(job->path, &st) == 0;
    if (!is_there && (job->type.n == 0 || str_eq(job->type, S("DirectoryOrCreate")))) {
        return make_dir(job->path, 0755, err);
    }
    if (!is_there && str_eq(job->type, S("FileOrCreate"))) {
        auto_close int fd = open(job->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        return fd < 0 ? err_errno(err, "create %s", job->path) : 0;
    }
    if (job->type.n == 0) {
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(host_types); i++) {
        if (!str_eq(job->type, str_of(host_types[i].name))) {
            continue;
        }
        if (is_there && (st.st_mode & S_IFMT) == host_types[i].kind) {
            return 0;
        }
        return err_set(err, ERR_INVALID, "hostPath type check failed: %s is not a %s", job->path,
                       host_types[i].text);
    }
    return err_set(err, ERR_INVALID, "hostPath type \"" STR_FMT "\" is not known",
                   STR_ARG(job->type));
}

/* --- fsGroup --- */

static bool group_fits(const char *path, gid_t group)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_gid == group && (st.st_mode & 02770) == 02770;
}

static int own_entry(int dir, const char *name, const struct stat *st, gid_t group, struct err *err)
{
    if (file_own(dir, name, -1, group, err) < 0) {
        return err->code;
    }
    if (S_ISLNK(st->st_mode)) {
        return 0;
    }
    mode_t mode = (st->st_mode & 07777) | (S_ISDIR(st->st_mode) ? 02770 : 0660);
    if (fchmodat(dir, name, mode, 0) < 0) {
        return err_errno(err, "chmod %s", name);
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): TREE_DEPTH_MAX */
static int own_tree(int dir, gid_t group, int depth, struct err *err)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    int rc = 0;
    if (!list) {
        return err_errno(err, "open directory");
    }
    for (struct dirent *entry; rc == 0 && (entry = readdir(list)) != NULL;) {
        struct str name = str_of(entry->d_name);
        struct stat st;
        if (str_eq(name, S(".")) || str_eq(name, S("..")) ||
            fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            continue;
        }
        rc = own_entry(dir, entry->d_name, &st, group, err);
        int sub = rc == 0 && S_ISDIR(st.st_mode) && depth < TREE_DEPTH_MAX
                      ? openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                      : -1;
        if (sub >= 0) {
            rc = own_tree(sub, group, depth + 1, err);
            (void)close(sub);
        }
    }
    (void)closedir(list);
    return rc;
}

static int apply_group(const struct volume_job *job, struct err *err)
{
    gid_t group = (gid_t)job->group;
    if (job->group < 0 || job->kind == JOB_FILES ||
        (job->is_on_mismatch && group_fits(job->path, group))) {
        return 0;
    }
    auto_close int dir = open(job->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (dir < 0 || fstat(dir, &st) < 0) {
        return err_errno(err, "open %s", job->path);
    }
    int rc = own_tree(dir, group, 0, err);
    /* The root comes last: OnRootMismatch takes it as the sign that all is done. */
    if (rc == 0) {
        rc = file_own(dir, "", -1, group, err);
    }
    if (rc == 0 && fchmod(dir, (st.st_mode & 07777) | 02770) < 0) {
        rc = err_errno(err, "chmod %s", job->path);
    }
    return rc;
}

/* --- the job --- */

static int run(struct volume_job *job, struct err *err)
{
    enum { FILES_TMPFS_BYTES = 64 << 20 };
    int rc = 0;
    switch (job->kind) {
    case JOB_EMPTY:
    case JOB_CLAIM:
        rc = make_dir(job->path, 0777, err);
        break;
    case JOB_TMPFS:
        rc = make_tmpfs(job->path, job->size, 0777, err);
        break;
    case JOB_HOST:
        rc = check_host(job, err);
        break;
    case JOB_FILES:
        rc = job->is_memory ? make_tmpfs(job->path, FILES_TMPFS_BYTES, 0755, err)
                            : make_dir(job->path, 0755, err);
        rc = rc == 0 ? volume_files_write(job->path, &job->files, job->group, job->wall, job->stamp,
                                          err)
                     : rc;
        break;
    }
    return rc == 0 ? apply_group(job, err) : rc;
}

void volume_job_run(void *ctx)
{
    struct volume_job *job = ctx;
    int rc = run(job, &job->err);
    (void)rc; /* carried in job->err */
}
