// SPDX-License-Identifier: Apache-2.0
//
// Rotation of CRI log files (spec/node.md 6): N.log becomes N.log.YYYYMMDD-HHMMSS and conmon opens
// a new one; the older ones are compressed, the oldest removed.
#ifndef CORACLE_NODE_LOG_ROTATE_H
#define CORACLE_NODE_LOG_ROTATE_H

#include "loop/loop.h"

enum {
    LOG_ROTATE_BYTES = 10 << 20, /* containerLogMaxSize */
    LOG_FILES_MAX = 5,           /* containerLogMaxFiles, the current one included */
};

/* Rotates path when it holds more than bytes_max; bundle has conmon's ctl fifo. Failures leave the
 * log as it is, for the next round. Compression runs on the pool. */
void log_rotate(struct loop *loop, const char *path, const char *bundle, int64_t bytes_max);

/* The work on rotated files: all but the newest become .gz, of which the newest LOG_FILES_MAX - 2
 * stay. Blocking. */
void log_compress_rotated(const char *path);

#endif
