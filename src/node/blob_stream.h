// SPDX-License-Identifier: Apache-2.0
//
// A blob as a stream of plain bytes: gzip and zstd are recognised by their magic and undone; the
// SHA-256 of both sides (the blob's digest, the layer's diff id) is taken on the way.
#ifndef CORACLE_NODE_BLOB_STREAM_H
#define CORACLE_NODE_BLOB_STREAM_H

#include "registry/digest.h"

struct blob_stream;

/* Reads fd (not owned) from where it stands; at most plain_max bytes come out. */
struct blob_stream *blob_stream_new(int fd, uint64_t plain_max);
void blob_stream_free(struct blob_stream *s); /* NULL is fine */
/* Next bytes, borrowed until the next call; empty at the end. */
MUST_CHECK int blob_stream_next(struct blob_stream *s, struct str *ret, struct err *err);
/* Reads to the end, then tells the digests ("sha256:…") and the size of the blob. */
MUST_CHECK int blob_stream_finish(struct blob_stream *s, char blob[static DIGEST_TEXT_MAX],
                                  char plain[static DIGEST_TEXT_MAX], uint64_t *ret_blob_bytes,
                                  struct err *err);

#endif
