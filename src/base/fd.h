// SPDX-License-Identifier: Apache-2.0
//
// Files by descriptor: every fd is born O_CLOEXEC; whole-file reads are capped; writes that must
// survive a crash go through file_write_atomic (temp file, fsync, rename, fsync of the directory).
#ifndef CORACLE_BASE_FD_H
#define CORACLE_BASE_FD_H

#include "base/str.h"

#include <sys/types.h>

/* Appends the whole file to out; ERR_LIMIT when it does not fit. dir_fd as in openat(2). */
MUST_CHECK int file_read(int dir_fd, const char *path, struct buf *out, struct err *err);
/* Replaces path with bytes, durably, mode as given. */
MUST_CHECK int file_write_atomic(int dir_fd, const char *path, struct str bytes, mode_t mode,
                                 struct err *err);
/* Plain write of bytes into an existing file (sysctls, cgroup files). */
MUST_CHECK int file_put(int dir_fd, const char *path, struct str bytes, struct err *err);
/* Writes everything, over short writes and EINTR. */
MUST_CHECK int fd_write_all(int fd, struct str bytes, struct err *err);
/* mkdir -p; existing directories are fine. */
MUST_CHECK int dir_make_all(const char *path, mode_t mode, struct err *err);
/* rm -rf beneath dir_fd: follows no link, crosses no mount point. Absent is fine. */
MUST_CHECK int dir_remove_all(int dir_fd, const char *name, struct err *err);
/* Raises this process' soft limit of descriptors toward the hard one, to DESCRIPTORS_MAX at most.
 */
void fd_raise_limit(void);
int fd_set_nonblock(int fd); /* 0 or -1 with errno */
/* Sends (receives) one descriptor with a small message over a Unix socket (SCM_RIGHTS). Receiving
 * returns the byte count, 0 at the end; *ret_fd is -1 when none came. */
MUST_CHECK int fd_send(int socket, struct str message, int fd, struct err *err);
ssize_t fd_recv(int socket, char *message, size_t size, int *ret_fd);

#endif
