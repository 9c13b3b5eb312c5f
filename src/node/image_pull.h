// SPDX-License-Identifier: Apache-2.0
//
// From a registry into a store directory: the image worker's work. Layers are unpacked, each by a
// process of its own, while others are still on their way. Blocks.
#ifndef CORACLE_NODE_IMAGE_PULL_H
#define CORACLE_NODE_IMAGE_PULL_H

#include "data/val.h"

/* registries.yaml beside the store, checked; a null value when there is none. */
MUST_CHECK int image_pull_registries(const char *store, struct arena *arena, struct val *ret,
                                     struct err *err);
/* request is {"reference", "known", "store", "documents"}; ret is an answer, {"images": as of
 * image_load_into, with one image, under the reference's tag and its digest, or empty when its
 * registry still has what is known; "document", "credential": as in struct image_leave}. progress
 * gets what image_pull's callback is given. */
MUST_CHECK int image_pull_into(const struct val *request, const struct val *registries,
                               void (*progress)(const struct val *progress), struct arena *arena,
                               struct val *ret, struct err *err);

#endif
