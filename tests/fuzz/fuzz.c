// SPDX-License-Identifier: Apache-2.0
#include "fuzz.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOG_MAX = 16 << 20, FLAGS_MASK = 15 };

void must_at(bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        (void)fprintf(stderr, "%s:%d: must hold: %s\n", file, line, what);
        abort();
    }
}

/* piece_max 0 = whole. */
static void run(const struct fuzz_parser *parser, struct str in, unsigned first, size_t piece_max,
                struct buf *log)
{
    void *p = parser->open(first & FLAGS_MASK, log);
    struct rng rng;
    rng_seed(&rng, first);
    for (size_t at = 0, n = 0; at < in.n; at += n) {
        n = piece_max == 0 ? in.n : 1 + rng_below(&rng, piece_max);
        if (!parser->feed(p, str_sub(in, at, at + n))) {
            break;
        }
    }
    parser->close(p);
}

void fuzz_split(const struct fuzz_parser *parser, const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7, 64};
    if (size == 0) {
        return;
    }
    struct str in = {(const char *)data + 1, size - 1};
    auto_buf struct buf want;
    buf_init(&want, LOG_MAX);
    run(parser, in, data[0], 0, &want);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        auto_buf struct buf got;
        buf_init(&got, LOG_MAX);
        run(parser, in, data[0], pieces[i], &got);
        bool is_same = str_eq(buf_str(&want), buf_str(&got));
        if (!is_same) {
            (void)fprintf(stderr, "whole:\n" STR_FMT "\nin pieces of %zu:\n" STR_FMT "\n",
                          STR_ARG(buf_str(&want)), pieces[i], STR_ARG(buf_str(&got)));
        }
        must(is_same);
    }
}

int fuzz_file(struct str bytes)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0 && pwrite(fd, bytes.p, bytes.n, 0) == (ssize_t)bytes.n);
    return fd;
}
