// SPDX-License-Identifier: Apache-2.0
//
// Merge patch (RFC 7386). The recursion follows the patch, whose depth its reader caps.
#include "data/patch.h"

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void merge(struct arena *arena, struct val *target, const struct val *patch)
{
    if (patch->type != VAL_MAP) {
        *target = val_copy(arena, patch);
        return;
    }
    if (target->type != VAL_MAP) {
        *target = val_map();
    }
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct member *m = &patch->members[i];
        if (m->val.type == VAL_NULL) {
            (void)val_remove(target, m->key);
            continue;
        }
        struct val *slot = val_slot(target, m->key);
        if (slot == NULL) {
            slot = val_set(arena, target, arena_dup(arena, m->key), val_null());
        }
        merge(arena, slot, &m->val);
    }
}

struct val patch_merge(struct arena *arena, const struct val *doc, const struct val *patch)
{
    struct val result = val_copy(arena, doc);
    merge(arena, &result, patch);
    return result;
}
