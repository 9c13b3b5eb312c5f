// SPDX-License-Identifier: Apache-2.0
//
// Entries of a tar stream (ustar, pax, GNU), read by libarchive, which is loaded when the first
// archive is opened: only the image worker ever maps it.
#ifndef CORACLE_NODE_TAR_READER_H
#define CORACLE_NODE_TAR_READER_H

#include "node/blob_stream.h"

#include <sys/types.h>

struct tar_reader;

struct tar_entry {
    const char *path;
    const char *hardlink; /* NULL = none */
    const char *symlink;  /* NULL = none */
    mode_t mode;          /* type and permissions */
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    int64_t size;
    int64_t mtime_sec;
    long mtime_nsec;
};

/* stream stays the caller's. ERR_UNSUPPORTED names the package when libarchive is missing. */
struct tar_reader *tar_reader_new(struct blob_stream *stream, struct err *err);
void tar_reader_free(struct tar_reader *t); /* NULL is fine */
/* 1 with the next entry (borrowed until the next call), 0 at the end, or an error. */
int tar_reader_next(struct tar_reader *t, struct tar_entry *ret, struct err *err);
/* The current entry's data into fd; holes stay holes. */
MUST_CHECK int tar_reader_copy(struct tar_reader *t, int fd, struct err *err);
/* Next extended attribute of the current entry; false when there is none left. */
bool tar_reader_xattr(struct tar_reader *t, const char **name, const void **value, size_t *size);

#endif
