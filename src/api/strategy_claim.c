// SPDX-License-Identifier: Apache-2.0
//
// PersistentVolumeClaims: default class at creation, protection finalizer, what may change: the
// storage request of a bound claim may grow (spec/node.md 9.1, 9.5, 9.7).
#include "api/strategy_claim.h"

#include "api/api.h"
#include "api/difference.h"
#include "api/rules.h"
#include "api/strategy.h"
#include "base/mem.h"
#include "data/quantity.h"

static const struct str class_annotation = {"volume.beta.kubernetes.io/storage-class", 39};
static const struct str default_annotations[] = {
    {"storageclass.kubernetes.io/is-default-class",      43},
    {"storageclass.beta.kubernetes.io/is-default-class", 48}
};

static void claim_defaults(struct arena *arena, struct val *obj)
{
    struct val *spec = val_need_map(arena, obj, S("spec"));
    if (val_text_at(spec, "volumeMode").n == 0) {
        (void)val_set(arena, spec, S("volumeMode"), val_str(S("Filesystem")));
    }
    struct val *status = val_need_map(arena, obj, S("status"));
    if (val_text_at(status, "phase").n == 0) {
        (void)val_set(arena, status, S("phase"), val_str(S("Pending")));
    }
}

static void claim_prepare(struct arena *arena, struct val *obj, const struct val *old,
                          struct str subresource)
{
    if (old == NULL) {
        struct val status = val_map();
        (void)val_set(arena, &status, S("phase"), val_str(S("Pending")));
        (void)val_set(arena, obj, S("status"), status);
        struct val *metadata = val_need_map(arena, obj, S("metadata"));
        struct val *finalizers = val_need_list(arena, metadata, S("finalizers"));
        for (size_t i = 0; i < val_count(finalizers); i++) {
            if (str_eq(val_text(val_at(finalizers, i)), S("kubernetes.io/pvc-protection"))) {
                return;
            }
        }
        (void)val_push(arena, finalizers, val_str(S("kubernetes.io/pvc-protection")));
        return;
    }
    struct str kept = str_eq(subresource, S("status")) ? S("spec") : S("status");
    const struct val *before = val_get(old, kept);
    if (before != NULL) {
        (void)val_set(arena, obj, kept, val_copy(arena, before));
    }
}

static bool is_default_class(const struct val *class)
{
    const struct val *annotations = val_path(class, "metadata.annotations");
    return str_eq(val_text(val_get(annotations, default_annotations[0])), S("true")) ||
           str_eq(val_text(val_get(annotations, default_annotations[1])), S("true"));
}

/* The newest default class; of two from the same second the first by name (lists come in name
 * order). */
static struct str default_class(struct admission *a)
{
    const struct val **classes;
    size_t count;
    const struct val *best = NULL;
    api_peek_list(a->api, kind_of(KIND_STORAGE_CLASS), S(""), a->arena, &classes, &count);
    for (size_t i = 0; i < count; i++) {
        if (is_default_class(classes[i]) &&
            (best == NULL || str_cmp(val_text_at(classes[i], "metadata.creationTimestamp"),
                                     val_text_at(best, "metadata.creationTimestamp")) > 0)) {
            best = classes[i];
        }
    }
    return val_text_at(best, "metadata.name");
}

/* A bound claim may only ask for more where its class lets volumes grow. */
static void admit_resize(struct admission *a, const struct val *obj)
{
    struct str name = val_text_at(obj, "spec.storageClassName");
    struct quantity now;
    struct quantity before;
    struct err err;
    if (quantity_parse(val_text_at(obj, "spec.resources.requests.storage"), &now, &err) < 0 ||
        quantity_parse(val_text_at(a->old, "spec.resources.requests.storage"), &before, &err) < 0 ||
        now.nano <= before.nano || !str_eq(val_text_at(a->old, "status.phase"), S("Bound")) ||
        a->subresource.n != 0) {
        return;
    }
    const struct val *class =
        name.n == 0 ? NULL : api_peek(a->api, kind_of(KIND_STORAGE_CLASS), S(""), name);
    if (!val_true_at(class, "allowVolumeExpansion")) {
        *a->denied = status_forbidden(
            a->arena, a->kind, val_text_at(obj, "metadata.name"),
            S("only dynamically provisioned pvc can be resized and the storageclass that "
              "provisions the pvc must support resize"));
    }
}

static void claim_admit(struct admission *a, struct val *obj)
{
    if (a->old != NULL) {
        admit_resize(a, obj);
    }
    struct val *spec = val_need_map(a->arena, obj, S("spec"));
    const struct val *annotations = val_path(obj, "metadata.annotations");
    if (a->old != NULL || val_get(spec, S("storageClassName")) != NULL ||
        val_get(annotations, class_annotation) != NULL) {
        return;
    }
    struct str name = default_class(a);
    if (name.n > 0) {
        (void)val_set(a->arena, spec, S("storageClassName"), val_str(name));
    }
}

void claim_spec_validate(const struct val *spec, struct str path, struct causes *causes)
{
    struct arena *a = causes->arena;
    const struct val *modes = val_get(spec, S("accessModes"));
    const struct val *storage = val_path(spec, "resources.requests.storage");
    struct quantity q;
    struct err err;
    if (val_count(modes) == 0) {
        cause_add(causes, CAUSE_REQUIRED, arena_fmt(a, STR_FMT ".accessModes", STR_ARG(path)), NULL,
                  S("at least 1 access mode is required"));
    }
    for (size_t i = 0; i < val_count(modes) && val_count(modes) > 1; i++) {
        if (str_eq(val_text(val_at(modes, i)), S("ReadWriteOncePod"))) {
            cause_add(causes, CAUSE_FORBIDDEN, arena_fmt(a, STR_FMT ".accessModes", STR_ARG(path)),
                      NULL, S("may not use ReadWriteOncePod with other access modes"));
        }
    }
    if (storage == NULL) {
        cause_add(causes, CAUSE_REQUIRED,
                  arena_fmt(a, STR_FMT ".resources[storage]", STR_ARG(path)), NULL, S(""));
    } else if (quantity_parse(val_text(storage), &q, &err) == 0 && q.nano <= 0) {
        cause_add(causes, CAUSE_INVALID, arena_fmt(a, STR_FMT ".resources[storage]", STR_ARG(path)),
                  storage, S("must be greater than zero"));
    }
    const struct val *class = val_get(spec, S("storageClassName"));
    if (val_text(class).n > 0) {
        check_rule(rule_dns_subdomain(val_text(class), /*is_prefix=*/false),
                   arena_fmt(a, STR_FMT ".storageClassName", STR_ARG(path)), class, causes);
    }
    check_enums(schema_find(S("core.v1.PersistentVolumeClaimSpec")), spec, path, causes);
}

static void claim_validate(const struct val *obj, struct causes *causes)
{
    claim_spec_validate(val_get(obj, S("spec")), S("spec"), causes);
}

/* Adds what is wrong with a changed storage request. */
static void validate_resize(const struct val *obj, const struct val *old, struct causes *causes)
{
    const struct val *now = val_path(obj, "spec.resources.requests.storage");
    struct quantity a;
    struct quantity b;
    struct err err;
    if (quantity_parse(val_text(now), &a, &err) < 0 ||
        quantity_parse(val_text_at(old, "spec.resources.requests.storage"), &b, &err) < 0) {
        return;
    }
    if (quantity_cmp(a, b) < 0) {
        cause_add(causes, CAUSE_FORBIDDEN, S("spec.resources.requests.storage"), NULL,
                  S("field can not be less than previous value"));
    } else if (quantity_cmp(a, b) > 0 && !str_eq(val_text_at(old, "status.phase"), S("Bound"))) {
        cause_add(causes, CAUSE_FORBIDDEN, S("spec.resources.requests.storage"), NULL,
                  S("Only bound persistent volume claims can be expanded"));
    }
}

static void claim_validate_update(const struct val *obj, const struct val *old,
                                  struct causes *causes)
{
    static const struct str mutable_fields[] = {
        {"resources",                 9 },
        {"volumeAttributesClassName", 25}
    };
    struct val masked = val_copy(causes->arena, val_get(obj, S("spec")));
    const struct val *before = val_get(old, S("spec"));
    for (size_t i = 0; i < ARRAY_LEN(mutable_fields); i++) {
        const struct val *v = val_get(before, mutable_fields[i]);
        (void)val_remove(&masked, mutable_fields[i]);
        if (v != NULL) {
            (void)val_set(causes->arena, &masked, mutable_fields[i], *v);
        }
    }
    /* The binder names the volume, and a class may be set where there was none. */
    if (val_text_at(old, "spec.volumeName").n == 0) {
        (void)val_remove(&masked, S("volumeName"));
    }
    if (val_get(before, S("storageClassName")) == NULL) {
        (void)val_remove(&masked, S("storageClassName"));
    }
    if (!val_eq(&masked, before)) {
        cause_add(causes, CAUSE_FORBIDDEN, S("spec"), NULL,
                  arena_fmt(causes->arena,
                            "spec is immutable after creation except resources.requests and "
                            "volumeAttributesClassName for bound claims" STR_FMT,
                            STR_ARG(difference_text(causes->arena, before, &masked))));
    }
    validate_resize(obj, old, causes);
}

const struct strategy strategy_persistent_volume_claim = {
    .defaults = claim_defaults,
    .prepare = claim_prepare,
    .admit = claim_admit,
    .validate = claim_validate,
    .validate_update = claim_validate_update,
};
