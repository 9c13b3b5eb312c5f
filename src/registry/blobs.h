// SPDX-License-Identifier: Apache-2.0
//
// Blobs of one repository into a directory, BLOBS_AT_ONCE at a time, each checked against its
// digest while it comes in. What is cut off goes on where it stopped (Range), in this run or a
// later one: HEX.part grows, and becomes HEX when it is whole and right. Several processes may
// share the directory: a blob is fetched by the one that holds its lock.
#ifndef CORACLE_REGISTRY_BLOBS_H
#define CORACLE_REGISTRY_BLOBS_H

#include "base/clock.h"
#include "registry/manifest.h"
#include "registry/origin.h"

enum {
    BLOBS_AT_ONCE = 3,
    BLOB_TRIES_MAX = 5,
    BLOBS_SECONDS = 3600, /* for all of them, and beyond that what they need at */
    BLOBS_BYTES_A_SECOND = 16 << 10,
};

struct blobs_config {
    struct origin *origin;
    struct transfers *transfers;
    int dir;                       /* where they go */
    const struct descriptor *list; /* each digest once */
    size_t count;
    /* One blob is there. */
    void (*arrived)(void *ctx, const struct descriptor *blob);
    /* Called a few times a second for what is under way. */
    void (*progress)(void *ctx, const struct descriptor *blob, uint64_t bytes);
    /* Called a few times a second; negative ends it all. */
    int (*turn)(void *ctx, struct err *err);
    void *ctx;
};

/* What all may take together: a registry that drips holds a worker no longer. */
usec blobs_time_max(const struct descriptor *list, size_t count);
/* Errors name the blob. What was fetched by then stays. */
MUST_CHECK int blobs_fetch(const struct blobs_config *config, struct err *err);

#endif
