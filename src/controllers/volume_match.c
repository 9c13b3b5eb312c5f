// SPDX-License-Identifier: Apache-2.0
//
// Which volume fits which claim: one that names the claim already, else the smallest available one
// with the class, modes and labels that the claim asks for.
#include "controllers/volume.h"

#include "api/selector.h"
#include "controllers/meta.h"
#include "data/quantity.h"

struct str claim_class(const struct val *claim)
{
    const struct val *name = val_path(claim, "spec.storageClassName");
    return name != NULL ? val_text(name) : meta_annotation(claim, ANN_CLASS_BETA);
}

struct str volume_class(const struct val *volume)
{
    const struct val *name = val_path(volume, "spec.storageClassName");
    return name != NULL ? val_text(name) : meta_annotation(volume, ANN_CLASS_BETA);
}

const struct val *claim_class_obj(const struct view *view, const struct val *claim)
{
    struct str name = claim_class(claim);
    return name.n == 0 ? NULL : view->get(view->ctx, KIND_STORAGE_CLASS, S(""), name);
}

bool class_is_waiting(const struct val *class)
{
    return str_eq(val_text(val_get(class, S("volumeBindingMode"))), S("WaitForFirstConsumer"));
}

bool claim_is_bound(const struct val *claim)
{
    return meta_has_annotation(claim, ANN_BIND_COMPLETED) &&
           str_eq(val_text_at(claim, "status.phase"), S("Bound"));
}

bool volume_is_for(const struct val *volume, const struct val *claim, bool is_exact)
{
    const struct val *ref = val_path(volume, "spec.claimRef");
    struct str uid = val_text(val_get(ref, S("uid")));
    return ref != NULL && str_eq(val_text(val_get(ref, S("name"))), meta_name(claim)) &&
           str_eq(val_text(val_get(ref, S("namespace"))), meta_ns(claim)) &&
           (str_eq(uid, meta_uid(claim)) || (uid.n == 0 && !is_exact));
}

static struct quantity storage_of(const struct val *map)
{
    struct quantity q = {0};
    struct err err;
    if (quantity_parse(val_text(val_get(map, S("storage"))), &q, &err) < 0) {
        return (struct quantity){0};
    }
    return q;
}

static bool is_big_enough(const struct val *volume, const struct val *claim)
{
    return quantity_cmp(storage_of(val_path(volume, "spec.capacity")),
                        storage_of(val_path(claim, "spec.resources.requests"))) >= 0;
}

static struct str volume_mode(const struct val *obj)
{
    struct str mode = val_text_at(obj, "spec.volumeMode");
    return mode.n == 0 ? S("Filesystem") : mode;
}

static bool has_modes(const struct val *volume, const struct val *claim)
{
    const struct val *wanted = val_path(claim, "spec.accessModes");
    const struct val *offered = val_path(volume, "spec.accessModes");
    for (size_t i = 0; i < val_count(wanted); i++) {
        bool is_there = false;
        for (size_t k = 0; k < val_count(offered) && !is_there; k++) {
            is_there = val_eq(val_at(wanted, i), val_at(offered, k));
        }
        if (!is_there) {
            return false;
        }
    }
    return true;
}

struct str volume_misfit(const struct val *volume, const struct val *claim)
{
    if (meta_is_deleting(volume)) {
        return S("the volume is being deleted");
    }
    if (!is_big_enough(volume, claim)) {
        return S("requested PV is too small");
    }
    if (!str_eq(volume_class(volume), claim_class(claim))) {
        return S("storageClassName does not match");
    }
    if (!str_eq(volume_mode(volume), volume_mode(claim))) {
        return S("incompatible volumeMode");
    }
    return has_modes(volume, claim) ? S("") : S("incompatible accessMode");
}

struct search {
    struct arena *arena;
    const struct val *claim;
    const struct selector *selector; /* NULL = all */
    bool is_reserved_only;
    const struct val *reserved;
    const struct val *best;
};

static bool is_better(const struct val *a, const struct val *b)
{
    size_t modes_a = val_count(val_path(a, "spec.accessModes"));
    size_t modes_b = val_count(val_path(b, "spec.accessModes"));
    if (modes_a != modes_b) {
        return modes_a < modes_b;
    }
    return quantity_cmp(storage_of(val_path(a, "spec.capacity")),
                        storage_of(val_path(b, "spec.capacity"))) < 0;
}

static bool search_each(void *ctx, const struct val *volume)
{
    struct search *search = ctx;
    const struct val *claim = search->claim;
    bool is_claimed = val_path(volume, "spec.claimRef") != NULL;
    if (meta_is_deleting(volume) || !is_big_enough(volume, claim) ||
        !str_eq(volume_mode(volume), volume_mode(claim)) ||
        (is_claimed && !volume_is_for(volume, claim, /* is_exact= */ false))) {
        return true;
    }
    if (is_claimed) {
        search->reserved = volume;
        return false;
    }
    if (!search->is_reserved_only && str_eq(val_text_at(volume, "status.phase"), S("Available")) &&
        (search->selector == NULL || selector_matches(search->selector, meta_labels(volume))) &&
        str_eq(volume_class(volume), claim_class(claim)) && has_modes(volume, claim) &&
        (search->best == NULL || is_better(volume, search->best))) {
        search->best = volume;
    }
    return true;
}

const struct val *volume_find(const struct view *view, struct arena *arena, const struct val *claim,
                              bool is_reserved_only)
{
    struct search search = {.arena = arena, .claim = claim, .is_reserved_only = is_reserved_only};
    const struct val *selector = val_path(claim, "spec.selector");
    struct selector *parsed = NULL;
    struct err err;
    if (selector != NULL && selector_of_val(arena, selector, &parsed, &err) < 0) {
        return NULL;
    }
    search.selector = parsed;
    view->list(view->ctx, KIND_PV, S(""), search_each, &search);
    return search.reserved != NULL ? search.reserved : search.best;
}
