// SPDX-License-Identifier: Apache-2.0
//
// What a configMap, secret, downwardAPI or projected volume shows: objects to files
// (spec/node.md 4.1 to 4.3). Tokens are asked for by volume.c and handed in.
#ifndef CORACLE_NODE_VOLUME_PROJECT_H
#define CORACLE_NODE_VOLUME_PROJECT_H

#include "node/pod_env.h"
#include "node/volume_files.h"

/* One of the four kinds. */
bool volume_is_projected(const struct val *volume);
/* Does it show the object of this kind and name? (KIND_POD: the downward API.) */
bool volume_shows(const struct val *volume, enum kind_id kind, struct str name);

/* token(ctx, source) gives the token of a serviceAccountToken source, empty = none yet. Errors are
 * the texts of FailedMount. */
MUST_CHECK int volume_project(const struct pod_source *source, const struct val *volume,
                              struct str (*token)(void *ctx, const struct val *source), void *ctx,
                              struct arena *arena, struct volume_files *ret, struct err *err);

#endif
