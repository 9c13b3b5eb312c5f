// SPDX-License-Identifier: Apache-2.0
//
// Text encodings: base64 (RFC 4648), hex, percent (RFC 3986), UTF-8 (RFC 3629).
#ifndef CORACLE_BASE_ENC_H
#define CORACLE_BASE_ENC_H

#include "base/str.h"

/* Appends; return 0 or ERR_LIMIT of the buffer. */
int base64_encode(struct buf *out, struct str in);    /* standard alphabet, padded */
int base64url_encode(struct buf *out, struct str in); /* URL alphabet, no padding */
int hex_encode(struct buf *out, struct str in);       /* lower case */
/* Append the decoded bytes; ERR_SYNTAX when `in` is not of that form. base64_decode wants padding
 * and skips CR and LF, base64url_decode wants none. */
MUST_CHECK int base64_decode(struct buf *out, struct str in);
MUST_CHECK int base64url_decode(struct buf *out, struct str in);
MUST_CHECK int hex_decode(struct buf *out, struct str in);
/* %XX, and '+' as a space when is_query. */
MUST_CHECK int percent_decode(struct buf *out, struct str in, bool is_query);
/* Everything but unreserved characters becomes %XX. */
int percent_encode(struct buf *out, struct str in);
/* Length of the longest prefix that is valid UTF-8 (no surrogates, no overlong forms). */
size_t utf8_valid_prefix(struct str s);
/* Appends one code point as UTF-8; code points above 0x10ffff and surrogates become U+FFFD. */
int utf8_put(struct buf *out, uint32_t code_point);

#endif
