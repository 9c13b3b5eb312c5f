// SPDX-License-Identifier: Apache-2.0
//
// One image layer onto disk, as an overlay lower directory (spec/node.md 5.4): whiteouts become
// character devices 0/0, opaque directories carry user.overlay.opaque, so root and rootless share
// layers. Runs in the image worker only; everything blocks.
//
// Invariants: (1) nothing is written outside dir: parents are resolved by the kernel with dir as
// their root (openat2), and the last name of a path is never followed; (2) marks of the overlay
// itself never come from an archive.
#ifndef CORACLE_NODE_LAYER_H
#define CORACLE_NODE_LAYER_H

#include "node/blob_stream.h"

struct layer_limits {
    uint64_t bytes_max; /* of the unpacked archive */
    uint64_t entries_max;
};
/* 64 GiB and four million entries: more than the largest images in use, less than a disk. */
extern const struct layer_limits layer_limits_default;

/* Unpacks the blob that fd stands at into dir, an empty directory. Errors name the entry. */
MUST_CHECK int layer_unpack(int fd, const char *dir, const struct layer_limits *limits,
                            char blob[static DIGEST_TEXT_MAX], char plain[static DIGEST_TEXT_MAX],
                            uint64_t *ret_blob_bytes, struct err *err);

#endif
