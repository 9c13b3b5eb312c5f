// SPDX-License-Identifier: Apache-2.0
//
// From a registry into a store directory: the image worker's work. Layers are unpacked, each by a
// process of its own, while others are still on their way. Blocks.
#ifndef CORACLE_NODE_IMAGE_PULL_H
#define CORACLE_NODE_IMAGE_PULL_H

#include "data/val.h"

/* request is {"reference", "known", "store", "documents"}; ret as of image_load_into, with one
 * image, under the reference's tag and its digest; empty when its registry still has what is known.
 * progress gets what image_pull's callback is given. */
MUST_CHECK int image_pull_into(const struct val *request,
                               void (*progress)(const struct val *progress), struct arena *arena,
                               struct val *ret, struct err *err);

#endif
