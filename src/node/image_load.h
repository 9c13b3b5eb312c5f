// SPDX-License-Identifier: Apache-2.0
//
// From an archive or layout directory into a store directory (spec/node.md 5.6): the image
// worker's work. Blocks; runs in the worker process and in tests.
#ifndef CORACLE_NODE_IMAGE_LOAD_H
#define CORACLE_NODE_IMAGE_LOAD_H

#include "data/val.h"

enum {
    IMAGE_LAYERS_MAX = 128,         /* overlay takes 500, docker makes at most 127 */
    IMAGE_JSON_BYTES_MAX = 8 << 20, /* an index, a manifest, a configuration */
    IMAGE_ARENA_MAX = 128 << 20,
};

/* Loads all images of archive into store: layers/CHAIN/, configs/ID.json. ret is
 * [{"id", "digest", "names": [], "bytes", "layers": [CHAIN, …]}], in arena; the store's index is
 * the caller's to write. On an error complete layers may stay behind, unreferenced. */
MUST_CHECK int image_load_into(const char *archive, const char *store, struct arena *arena,
                               struct val *ret, struct err *err);

#endif
