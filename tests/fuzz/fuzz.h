// SPDX-License-Identifier: Apache-2.0
//
// What fuzz targets share: the entry point, a check that ends the run, cutting an input into parts,
// and the fact that every sans-IO parser promises: the same events however the bytes are split.
#ifndef CORACLE_TESTS_FUZZ_FUZZ_H
#define CORACLE_TESTS_FUZZ_FUZZ_H

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run, with the place that asked on standard error. */
#define must(holds) must_at(holds, #holds, __FILE__, __LINE__)
void must_at(bool holds, const char *what, const char *file, int line);

/* A parser under test: feed writes all that it tells to log and returns false when it is over.
 * flags is the low half of the input's first byte. */
struct fuzz_parser {
    void *(*open)(unsigned flags, struct buf *log);
    bool (*feed)(void *parser, struct str piece);
    void (*close)(void *parser); /* the end of the input came, or feed said false */
};
/* Feeds the input but its first byte whole, byte by byte and in random pieces; the logs must be the
 * same. */
void fuzz_split(const struct fuzz_parser *parser, const uint8_t *data, size_t size);

/* A file in memory that holds bytes, standing at its beginning. The caller closes it. */
int fuzz_file(struct str bytes);

#endif
