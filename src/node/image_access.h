// SPDX-License-Identifier: Apache-2.0
//
// Who may use an image that is on the node, as kubelet 1.35 has it by default (KEP-2535,
// NeverVerifyPreloadedImages): what a pod's secret pulled is for pods that have that secret, or one
// with the same credential; others ask the registry first. What came from an archive or by command
// is for everybody.
//
//   access = {"docker.io/team/app": {"everybody": true}, …} or {…: {"secrets": [{"namespace",
//   "name", "uid", "hash"}]}}
//
// Invariant: an image that a pod pulled under one repository's name is nobody's under another's
// until it was asked for there.
#ifndef CORACLE_NODE_IMAGE_ACCESS_H
#define CORACLE_NODE_IMAGE_ACCESS_H

#include "node/image.h"

enum { IMAGE_SECRETS_MAX = 100 /* remembered of one repository */ };

/* A secret of a pod that fits an image's repository. */
struct image_secret {
    struct str ns;
    struct str name;
    struct str uid;
    struct str hash; /* of its credential */
};

/* What fits is remembered: a secret whose password changes later still does. */
bool image_may_use(struct image_store *store, const struct image *image, struct str ref,
                   const struct image_secret *secrets, size_t count);
/* ref's registry let somebody have it; secret NULL = everybody. */
MUST_CHECK int image_allow(struct image_store *store, const struct image *image, struct str ref,
                           const struct image_secret *secret, struct err *err);

#endif
