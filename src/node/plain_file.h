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

#endif
