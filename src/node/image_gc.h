// SPDX-License-Identifier: Apache-2.0
//
// Images go when their disk is short of room, as kubelet's policy has it: from 85 % on, those that
// were not used for longest, until 80 % are reached; none that a container or a pod has, none that
// came within the last two minutes.
#ifndef CORACLE_NODE_IMAGE_GC_H
#define CORACLE_NODE_IMAGE_GC_H

#include "node/image.h"

enum { IMAGE_GC_HIGH_PERCENT = 85, IMAGE_GC_LOW_PERCENT = 80, IMAGE_GC_AGE_SECONDS = 120 };

struct image_gc {
    /* Of the disk that holds the store; 0 bytes = unknown. */
    void (*disk)(void *ctx, uint64_t *ret_bytes, uint64_t *ret_free);
    /* A pod of this node names it. */
    bool (*is_wanted)(void *ctx, const struct image *image);
    void *ctx;
};

/* To be called every few minutes: it also notes which images are in use. ERR_LIMIT when too little
 * could be removed, in kubelet's words; ERR_AGAIN while images are on their way; others from
 * removing. */
MUST_CHECK int image_gc(struct image_store *store, const struct image_gc *gc, struct err *err);

#endif
