// SPDX-License-Identifier: Apache-2.0
//
// From an archive or layout directory into a store directory (spec/node.md 5.6): the image
// worker's work. Blocks; runs in the worker process and in tests.
//
// Invariant: a layer that the store has is not unpacked again, whoever brought it.
#ifndef CORACLE_NODE_IMAGE_LOAD_H
#define CORACLE_NODE_IMAGE_LOAD_H

#include "data/val.h"
#include "registry/manifest.h"

enum {
    IMAGE_LAYERS_MAX = MANIFEST_LAYERS_MAX,
    IMAGE_JSON_BYTES_MAX = 8 << 20, /* an index, a manifest, a configuration */
    IMAGE_ARENA_MAX = 128 << 20,
};

/* Loads all images of archive into store: layers/CHAIN/, configs/ID.json. ret is
 * [{"id", "digest", "names": [], "bytes", "layers": [CHAIN, …]}], in arena; the store's index is
 * the caller's to write. On an error complete layers may stay behind, unreferenced. */
MUST_CHECK int image_load_into(const char *archive, const char *store, struct arena *arena,
                               struct val *ret, struct err *err);
/* The one image of a manifest, out of a layout directory without an index; layers that the store
 * has need no blob. name: how it is called. ret as above. */
MUST_CHECK int image_load_manifest(const char *layout, struct str manifest_digest, struct str name,
                                   const char *store, struct arena *arena, struct val *ret,
                                   struct err *err);

/* Chain ids, without "sha256:", of a configuration's layers: the names of their directories. */
MUST_CHECK int image_chains(const struct val *config, size_t layers_count, struct arena *arena,
                            struct str ret[static IMAGE_LAYERS_MAX], struct err *err);
/* One layer of a layout directory, ahead of its image. */
MUST_CHECK int image_load_layer(const char *layout, struct str digest, struct str diff_id,
                                struct str chain, const char *store, struct err *err);

#endif
