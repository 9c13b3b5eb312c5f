// SPDX-License-Identifier: Apache-2.0
//
// The parts that OpenAPI documents of both versions are made of, as JSON trees: one schema, one
// path. openapi_v2.c and openapi_v3.c put documents around them (spec/api.md 1.4, 1.5).
// Descriptions are those of descriptions.h.
#ifndef CORACLE_API_OPENAPI_H
#define CORACLE_API_OPENAPI_H

#include "api/kind.h"
#include "base/arena.h"
#include "data/val.h"

enum openapi_version { OPENAPI_V2, OPENAPI_V3 };

/* The schema of a type: properties, required, extensions. */
struct val openapi_schema(struct arena *arena, const struct schema_type *type,
                          enum openapi_version version);
/* Definition i, by name, of the types that are one value (Quantity and such); v3 refers to them.
 * Empty = no more. */
struct str openapi_plain_schema(struct arena *arena, size_t i, struct val *ret);
/* The kinds that a type is the body of: [{group, version, kind}], or an empty list. */
struct val openapi_gvks(struct arena *arena, const struct schema_type *type);

/* The paths of a kind, 1 or 2, each with its operations. */
struct openapi_path {
    struct str path; /* "/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}" */
    struct val item;
};
enum { OPENAPI_PATHS_MAX = 2 };
size_t openapi_paths(struct arena *arena, const struct kind *kind, enum openapi_version version,
                     struct openapi_path ret[static OPENAPI_PATHS_MAX]);

#endif
