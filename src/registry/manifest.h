// SPDX-License-Identifier: Apache-2.0
//
// What a manifest or an index (OCI 1.1, docker schema 2) says, checked: which manifest of an index
// is for this machine, which blobs an image is made of. Pure.
#ifndef CORACLE_REGISTRY_MANIFEST_H
#define CORACLE_REGISTRY_MANIFEST_H

#include "data/val.h"

enum {
    MANIFEST_BYTES_MAX = 4 << 20, /* as registries take them */
    MANIFEST_LAYERS_MAX = 128,    /* overlay takes 500, docker makes at most 127 */
};
/* Of one image, packed: more than the largest images in use. */
#define MANIFEST_IMAGE_BYTES_MAX ((uint64_t)64 << 30)

struct descriptor {
    struct str digest; /* a valid sha256 digest */
    uint64_t size;
};

struct manifest {
    struct descriptor config;
    struct descriptor layers[MANIFEST_LAYERS_MAX];
    size_t layers_count;
    uint64_t bytes; /* of all blobs */
};

/* Is a descriptor's or configuration's {"os", "architecture", "variant"} ours? NULL is no. */
bool platform_is_ours(const struct val *platform);

/* The header value that asks for what is read here. */
extern const char manifest_accept[];
/* Checks v, a parsed document, for being a list of manifests. */
bool manifest_is_index(const struct val *v);
/* ERR_UNSUPPORTED with "no match for platform in manifest …" when none is for this machine. */
MUST_CHECK int manifest_choose(const struct val *index, struct descriptor *ret, struct err *err);
/* Strings are borrowed from v. */
MUST_CHECK int manifest_read(const struct val *v, struct manifest *ret, struct err *err);

#endif
