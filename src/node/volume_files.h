// SPDX-License-Identifier: Apache-2.0
//
// Projected files (configMap, secret, downwardAPI, projected) written so that a reader sees all of
// the old or all of the new: the ..data layout of spec/node.md 4.2. Knows nothing of objects.
#ifndef CORACLE_NODE_VOLUME_FILES_H
#define CORACLE_NODE_VOLUME_FILES_H

#include "base/arena.h"
#include "base/clock.h"

#include <sys/types.h>

struct volume_file {
    struct str path; /* relative, no "..", not starting with ".." */
    struct str bytes;
    mode_t mode;
    int64_t uid; /* -1 = as it comes */
};
struct volume_files {
    struct volume_file *list;
    size_t count;
    size_t cap;
};

/* Adds a file in the arena; one of the same path is replaced. ERR_INVALID for a path that would
 * leave the volume. */
MUST_CHECK int volume_files_add(struct volume_files *files, struct arena *arena,
                                struct volume_file file, struct err *err);
/* Makes dir show exactly these files; does nothing when it does already. gid -1 = none. stamp names
 * the new directory and must differ from the last call's. */
MUST_CHECK int volume_files_write(const char *dir, const struct volume_files *files, int64_t gid,
                                  usec wall, uint64_t stamp, struct err *err);

#endif
