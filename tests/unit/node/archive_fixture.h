// SPDX-License-Identifier: Apache-2.0
//
// Small archives for tests, written by hand: ustar headers and nothing else.
#ifndef CORACLE_TESTS_NODE_ARCHIVE_FIXTURE_H
#define CORACLE_TESTS_NODE_ARCHIVE_FIXTURE_H

#include "base/str.h"

/* type: '0' file, '1' hard link, '2' symbolic link, '3' character device 0/0, '5' directory. */
void tar_add(struct buf *tar, char type, const char *name, const char *link, struct str content);
void tar_end(struct buf *tar);
/* A docker archive of these layers (plain tars) with the tag; the configuration is made. */
void docker_archive(struct buf *out, const char *tag, const struct buf *layers, size_t count);

#endif
