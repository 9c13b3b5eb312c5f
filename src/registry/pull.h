// SPDX-License-Identifier: Apache-2.0
//
// An image out of a registry into a directory of blobs (named by their digests, as in an OCI
// layout): manifest, configuration and the layers that are wanted. Blocks; for the worker process
// alone (spec/node.md 5.2).
//
// Invariants: (1) whatever is kept was checked against the digest that names it; (2) credentials
// go to the endpoint that they fit, and to the token server that it names; (3) an error names the
// reference, and what was wrong with the answer.
#ifndef CORACLE_REGISTRY_PULL_H
#define CORACLE_REGISTRY_PULL_H

#include "registry/credentials.h"
#include "registry/manifest.h"

enum { PULL_CONFIG_BYTES_MAX = 8 << 20, PULL_INDEX_DEPTH_MAX = 4 };

struct pull_config {
    struct str reference;         /* in its normal form */
    struct str known;             /* digest of what is here by this name; empty = nothing */
    const struct val *registries; /* of endpoints_read, or a null value */
    const struct val *documents;  /* credentials, see credentials.h */
    int dir;                      /* of the blobs */
    /* The image is known: sets wanted[i] for the layers to fetch. Negative ends the pull. */
    int (*plan)(void *ctx, const struct manifest *manifest, struct str config,
                bool wanted[static MANIFEST_LAYERS_MAX], struct err *err);
    /* As in blobs.h. */
    void (*arrived)(void *ctx, const struct descriptor *blob);
    void (*progress)(void *ctx, const struct descriptor *blob, uint64_t bytes);
    int (*turn)(void *ctx, struct err *err);
    void *ctx;
};

struct pulled {
    bool is_known;       /* the registry still has what is here: nothing was fetched */
    struct str digest;   /* of what the reference names: an index's or a manifest's */
    struct str manifest; /* digest of the manifest for this machine */
    const struct credential *credential; /* that the registry took; NULL = nobody's */
};

/* Tries the endpoints in turn; the error is the last one's, those before it are logged. */
MUST_CHECK int registry_pull(const struct pull_config *config, struct arena *arena,
                             struct pulled *ret, struct err *err);

#endif
