// SPDX-License-Identifier: Apache-2.0
//
// Input: JSON of a document, a zero byte, JSON of a patch. The inputs stay as they are, results
// stay within the depth that readers accept, a merge patch applied twice changes nothing more, and
// no directive of a strategic merge patch is left in the result.
#include "fuzz.h"

#include "base/arena.h"
#include "base/limits.h"
#include "data/json.h"
#include "data/patch.h"

/* Every field is known: "l…" lists of maps by "name", "s…" lists of scalars, "r…" replaced maps. */
static bool any_field(void *ctx, const void *type, struct str name, struct patch_field *ret)
{
    (void)ctx;
    char c = name.n == 0 ? ' ' : name.p[0];
    *ret = (struct patch_field){.is_merge = c == 'l' || c == 's',
                                .is_replace = c == 'r',
                                .merge_key = c == 'l' ? S("name") : S(""),
                                .type = type};
    return c != 'u';
}

static bool has_directive(const struct val *v)
{
    bool found = false;
    for (uint32_t i = 0; i < val_count(v) && !found; i++) {
        found = v->type == VAL_LIST
                    ? has_directive(&v->items[i])
                    : str_starts(v->members[i].key, S("$patch")) ||
                          str_starts(v->members[i].key, S("$retainKeys")) ||
                          str_starts(v->members[i].key, S("$setElementOrder/")) ||
                          str_starts(v->members[i].key, S("$deleteFromPrimitiveList/")) ||
                          has_directive(&v->members[i].val);
    }
    return found;
}

static void must_be_readable(struct arena *arena, const struct val *v)
{
    auto_buf struct buf text;
    buf_init(&text, JSON_BYTES_MAX);
    struct err err;
    struct val again;
    must(json_write(&text, v) == 0);
    must(json_read(buf_str(&text), arena, NULL, &again, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct patch_schema schema = {any_field, NULL};
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct err err;
    struct str patch_text = {(const char *)data, size};
    struct str doc_text = str_cut(&patch_text, '\0');
    struct val doc;
    struct val patch;
    struct val result;
    if (patch_text.p == NULL || json_read(doc_text, arena, NULL, &doc, &err) < 0 ||
        json_read(patch_text, arena, NULL, &patch, &err) < 0) {
        return 0;
    }
    struct val doc_before = val_copy(arena, &doc);
    struct val patch_before = val_copy(arena, &patch);
    struct val merged = patch_merge(arena, &doc, &patch);
    struct val twice = patch_merge(arena, &merged, &patch);
    must(val_eq(&merged, &twice));
    must_be_readable(arena, &merged);
    if (patch_json(arena, &doc, &patch, &result, &err) == 0) {
        must_be_readable(arena, &result);
    }
    if (!has_directive(&doc) &&
        patch_strategic(arena, &doc, &patch, &schema, &schema, &result, &err) == 0) {
        must_be_readable(arena, &result);
        must(!has_directive(&result));
    }
    must(val_eq(&doc, &doc_before));
    must(val_eq(&patch, &patch_before));
    return 0;
}
