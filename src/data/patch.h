// SPDX-License-Identifier: Apache-2.0
//
// Patches: RFC 6902 (JSON Patch), RFC 7386 (merge patch), and Kubernetes' strategic merge patch
// (spec/api.md 3.6 and appendix A). All are pure: they build the result in the arena and leave
// their inputs alone.
#ifndef CORACLE_DATA_PATCH_H
#define CORACLE_DATA_PATCH_H

#include "data/val.h"

/* patch is the list of operations. ERR_INVALID on a failing test or a missing path with upstream's
 * wording, ERR_SYNTAX when patch is not a JSON Patch, ERR_LIMIT over JSON_PATCH_OPS_MAX. */
MUST_CHECK int patch_json(struct arena *arena, const struct val *doc, const struct val *patch,
                          struct val *ret, struct err *err);

/* Never fails: any value is a merge patch. */
struct val patch_merge(struct arena *arena, const struct val *doc, const struct val *patch);

/* What strategic merge needs to know of a type, asked field by field, so that data/ needs no
 * schema. */
struct patch_field {
    bool is_merge;        /* patchStrategy holds "merge" */
    bool is_retain_keys;  /* patchStrategy holds "retainKeys" */
    bool is_replace;      /* patchStrategy is "replace": a map is replaced whole */
    struct str merge_key; /* patchMergeKey, empty for lists of scalars */
    const void *type;     /* opaque type of the field's value (items for a list), NULL = unknown */
};
struct patch_schema {
    /* Describes field `name` of `type`; false = unknown field (maps merge, lists are replaced). */
    bool (*field)(void *ctx, const void *type, struct str name, struct patch_field *ret);
    void *ctx;
};

/* Directives: $patch (replace, delete, merge), $setElementOrder/<f>, $deleteFromPrimitiveList/<f>,
 * $retainKeys. ERR_INVALID for unknown directives and list items without their merge key. */
MUST_CHECK int patch_strategic(struct arena *arena, const struct val *doc, const struct val *patch,
                               const struct patch_schema *schema, const void *type, struct val *ret,
                               struct err *err);

#endif
