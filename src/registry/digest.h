// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 digests as OCI writes them, "sha256:" and 64 hexadecimal digits: of bytes, of streams.
#ifndef CORACLE_REGISTRY_DIGEST_H
#define CORACLE_REGISTRY_DIGEST_H

#include "base/str.h"

enum { DIGEST_TEXT_MAX = sizeof "sha256:" + 64 };

struct digest; /* a stream's */

struct digest *digest_new(void);
void digest_free(struct digest *d); /* NULL is fine */
void digest_add(struct digest *d, struct str bytes);
/* Ends the stream: only digest_free may follow. */
void digest_text(struct digest *d, char out[static DIGEST_TEXT_MAX]);

void digest_of(struct str bytes, char out[static DIGEST_TEXT_MAX]);
/* "sha256:" and 64 lower-case digits; others can't be checked here. */
bool digest_is_valid(struct str text);
/* The digits alone: the name of a file. */
struct str digest_hex(struct str text);

#endif
