// SPDX-License-Identifier: Apache-2.0
//
// Files that need not survive a power cut, only this process: written beside and renamed, without
// fsync (base/fd.h has the durable ones). Mode is set whatever the umask.
#ifndef CORACLE_NODE_PLAIN_FILE_H
#define CORACLE_NODE_PLAIN_FILE_H

#include "base/str.h"

#include <sys/types.h>

MUST_CHECK int file_write_plain(const char *path, struct str bytes, mode_t mode, struct err *err);
/* The same in place, for files that are bind mounted: the inode stays. */
MUST_CHECK int file_write_over(const char *path, struct str bytes, mode_t mode, struct err *err);

/* Gives dir/name, which may be a link, or dir itself when name is "", to uid and gid; -1 leaves one
 * as it is. An id that this user namespace does not map is passed over: with a single id
 * everything belongs to it. */
MUST_CHECK int file_own(int dir, const char *name, int64_t uid, int64_t gid, struct err *err);

#endif
