// SPDX-License-Identifier: Apache-2.0
#include "api/set_templates.h"

#include "api/api.h"
#include "api/rules.h"
#include "api/set_options.h"
#include "api/strategy_claim.h"
#include "base/mem.h"
#include "data/quantity.h"

static const char *const editable[] = {"metadata.labels", "metadata.annotations",
                                       "spec.resources.requests.storage"};

static struct str name_of(const struct val *template)
{
    return val_text_at(template, "metadata.name");
}

void set_templates_mask(struct arena *arena, struct val *spec, const struct val *before)
{
    struct val *templates = val_slot(spec, S("volumeClaimTemplates"));
    const struct val *old = val_get(before, S("volumeClaimTemplates"));
    for (size_t i = 0; i < val_count(templates) && i < val_count(old); i++) {
        struct val *template = &templates->items[i];
        for (size_t k = 0; k < ARRAY_LEN(editable) && val_is(template, VAL_MAP); k++) {
            const struct val *was = val_path(val_at(old, i), editable[k]);
            if (was != NULL || val_path(template, editable[k]) != NULL) {
                (void)val_set_path(arena, template, editable[k],
                                   was == NULL ? val_null() : val_copy(arena, was));
            }
        }
    }
}

static bool storage_of(const struct val *obj, const char *path, struct quantity *ret)
{
    struct err err;
    struct str text = val_text_at(obj, path);
    return text.n > 0 && quantity_parse(text, ret, &err) == 0;
}

/* Is the claim "<template>-<set>-<digits>"? */
static bool is_claim_of(struct str claim, struct str template, struct str set)
{
    uint64_t ordinal;
    struct str rest = str_sub(claim, template.n + 1, claim.n);
    return claim.n > template.n + set.n + 2 && str_starts(claim, template) &&
           claim.p[template.n] == '-' && str_starts(rest, set) && rest.p[set.n] == '-' &&
           str_to_u64(str_sub(rest, set.n + 1, rest.n), &ordinal) == 0;
}

/* The request went down: only what no claim has got yet can be taken back. */
static void check_shrink(struct admission *a, const struct val *template, struct str set,
                         struct quantity now, struct str path)
{
    const struct val **claims;
    size_t count;
    api_peek_list(a->api, kind_of(KIND_PVC), a->ns, a->arena, &claims, &count);
    for (size_t i = 0; i < count; i++) {
        struct str claim = name_of(claims[i]);
        struct quantity has;
        if (is_claim_of(claim, name_of(template), set) &&
            storage_of(claims[i], "status.capacity.storage", &has) && quantity_cmp(now, has) < 0) {
            cause_add(a->causes, CAUSE_FORBIDDEN, path, NULL,
                      arena_fmt(a->arena,
                                "claims can't shrink, and claim " STR_FMT " has " STR_FMT
                                " already",
                                STR_ARG(claim), STR_ARG(quantity_format(a->arena, has))));
            return;
        }
    }
}

void set_template_validate(const struct val *template, struct str path, struct causes *causes)
{
    struct arena *a = causes->arena;
    claim_spec_validate(val_get(template, S("spec")), arena_fmt(a, STR_FMT ".spec", STR_ARG(path)),
                        causes);
    check_labels(val_path(template, "metadata.labels"),
                 arena_fmt(a, STR_FMT ".metadata.labels", STR_ARG(path)), causes);
    check_annotations(val_path(template, "metadata.annotations"),
                      arena_fmt(a, STR_FMT ".metadata.annotations", STR_ARG(path)), causes);
}

static void admit_template(struct admission *a, size_t index, const struct val *template,
                           const struct val *old, struct str set)
{
    struct str path = arena_fmt(a->arena, "spec.volumeClaimTemplates[%zu]", index);
    struct quantity now;
    struct quantity before;
    set_template_validate(template, path, a->causes);
    if (storage_of(template, editable[2], &now) && storage_of(old, editable[2], &before) &&
        quantity_cmp(now, before) < 0) {
        check_shrink(
            a, template, set, now,
            arena_fmt(a->arena, STR_FMT ".spec.resources.requests.storage", STR_ARG(path)));
    }
}

static bool is_edited(const struct val *now, const struct val *old)
{
    for (size_t k = 0; k < ARRAY_LEN(editable); k++) {
        const struct val *a = val_path(now, editable[k]);
        const struct val *b = val_path(old, editable[k]);
        bool is_empty = val_count(a) == 0 && val_count(b) == 0;
        if (!val_eq(a, b) && !(k < 2 && is_empty)) {
            return true;
        }
    }
    return false;
}

void set_templates_admit(struct admission *a, struct val *obj)
{
    const struct val *now = val_path(obj, "spec.volumeClaimTemplates");
    const struct val *old = val_path(a->old, "spec.volumeClaimTemplates");
    bool has_edit = false;
    for (size_t i = 0; i < val_count(now) && i < val_count(old); i++) {
        if (str_eq(name_of(val_at(now, i)), name_of(val_at(old, i))) &&
            is_edited(val_at(now, i), val_at(old, i))) {
            has_edit = true;
            admit_template(a, i, val_at(now, i), val_at(old, i), name_of(obj));
        }
    }
    if (has_edit) {
        struct val *metadata = val_need_map(a->arena, obj, S("metadata"));
        (void)val_set(a->arena, val_need_map(a->arena, metadata, S("annotations")),
                      SET_TEMPLATES_EDITED, val_str(S("true")));
    }
}
