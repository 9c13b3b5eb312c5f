// SPDX-License-Identifier: Apache-2.0
//
// CRI log files (spec/node.md 6): "<time> <stdout|stderr> <F|P> <text>\n" into what kubectl logs
// prints. The reader is fed bytes and knows no file; logfile_tail finds where a tail begins.
#ifndef CORACLE_NODE_LOGFILE_H
#define CORACLE_NODE_LOGFILE_H

#include "base/clock.h"
#include "base/str.h"

enum { LOG_LINE_MAX = 1 << 20 /* conmon writes 8 KiB pieces; what is longer is no log line */ };

struct log_reader {
    bool has_timestamps;
    bool is_stdout_wanted, is_stderr_wanted;
    int64_t limit_bytes; /* what may still come out; -1 = all */
    usec since_wall;
    struct buf line;  /* an unfinished line of the file */
    bool is_mid_line; /* the last piece was partial: no new time stamp */
};

/* stream: "All", "Stdout", "Stderr" or empty. */
void log_reader_init(struct log_reader *r, struct str stream, usec since_wall, int64_t limit_bytes,
                     bool has_timestamps);
void log_reader_done(struct log_reader *r);
/* Appends what the bytes of the file amount to; lines that are no log lines are skipped. */
void log_reader_feed(struct log_reader *r, struct str bytes, struct buf *out);
/* Nothing more will come out (limit_bytes). */
bool log_reader_is_full(const struct log_reader *r);

/* Offset of the last `lines` physical lines of the file; 0 when it has fewer, and for -1. */
MUST_CHECK int logfile_tail(int fd, int64_t lines, int64_t *ret_offset, struct err *err);

#endif
