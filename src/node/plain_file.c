// SPDX-License-Identifier: Apache-2.0
//
// Quick whole-file writes.
#include "node/plain_file.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_at(const char *path, int flags, struct str bytes, mode_t mode, struct err *err)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd < 0 || fchmod(fd, mode) < 0) {
        return err_errno(err, "write %s", path);
    }
    return fd_write_all(fd, bytes, err);
}

int file_write_plain(const char *path, struct str bytes, mode_t mode, struct err *err)
{
    auto_free char *temp = xasprintf("%s.tmp", path);
    (void)unlink(temp);
    int rc = write_at(temp, O_EXCL, bytes, mode, err);
    if (rc == 0 && rename(temp, path) < 0) {
        rc = err_errno(err, "rename %s", temp);
    }
    if (rc < 0) {
        (void)unlink(temp);
    }
    return rc;
}

int file_write_over(const char *path, struct str bytes, mode_t mode, struct err *err)
{
    return write_at(path, O_TRUNC, bytes, mode, err);
}

int file_own(int dir, const char *name, int64_t uid, int64_t gid, struct err *err)
{
    int rc = fchownat(dir, name, (uid_t)uid, (gid_t)gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    return rc < 0 && errno != EINVAL ? err_errno(err, "chown %s", name) : 0;
}
