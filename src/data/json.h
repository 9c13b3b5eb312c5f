// SPDX-License-Identifier: Apache-2.0
//
// JSON text (RFC 8259) to values and back. Strict: one value, valid UTF-8, no trailing bytes, no
// comments, depth capped (DOC_DEPTH_MAX). Numbers without fraction and exponent that fit int64 are
// VAL_INT, all others VAL_DOUBLE.
#ifndef CORACLE_DATA_JSON_H
#define CORACLE_DATA_JSON_H

#include "data/val.h"

/* Called for each key that a map holds twice (the last one wins); path is
 * "spec.containers[0].name". */
typedef void json_duplicate_fn(void *ctx, struct str path);

struct json_options {
    json_duplicate_fn *duplicate; /* NULL = duplicates are silently merged */
    void *ctx;
};

/* Reads text into arena; strings are copied only when they hold escapes, so text must outlive the
 * value. options may be NULL. ERR_SYNTAX names line, column and what was expected; ERR_LIMIT the
 * depth. */
MUST_CHECK int json_read(struct str text, struct arena *arena, const struct json_options *options,
                         struct val *ret, struct err *err);

/* Appends v as compact JSON, map keys sorted. Go's encoder is followed: <, >, &, U+2028 and U+2029
 * are written as \u003c and so on, doubles as Go writes them. 0 or ERR_LIMIT of the buffer. */
int json_write(struct buf *out, const struct val *v);
/* The same with line breaks and two spaces a level, as ?pretty=1 gives. */
int json_write_pretty(struct buf *out, const struct val *v);
/* Appends s as a JSON string with quotes. */
int json_write_string(struct buf *out, struct str s);

#endif
