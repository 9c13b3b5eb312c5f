// SPDX-License-Identifier: Apache-2.0
//
// Strategies of storage classes and persistent volumes.
#include "api/strategy.h"

#include "api/defaults.h"
#include "api/difference.h"
#include "api/meta.h"
#include "data/quantity.h"

static void storage_class_defaults(struct arena *arena, struct val *obj)
{
    default_text(arena, obj, S("reclaimPolicy"), S("Delete"));
    default_text(arena, obj, S("volumeBindingMode"), S("Immediate"));
}

static void storage_class_validate(const struct val *obj, struct causes *causes)
{
    static const struct str modes[] = {
        {"Immediate",            9 },
        {"WaitForFirstConsumer", 20}
    };
    static const struct str policies[] = {
        {"Delete", 6},
        {"Retain", 6}
    };
    if (val_text(val_get(obj, S("provisioner"))).n == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("provisioner"), NULL, S(""));
    }
    const struct val *mode = val_get(obj, S("volumeBindingMode"));
    if (!str_eq(val_text(mode), modes[0]) && !str_eq(val_text(mode), modes[1])) {
        cause_add_unsupported(causes, S("volumeBindingMode"), mode, modes, 2);
    }
    const struct val *policy = val_get(obj, S("reclaimPolicy"));
    if (!str_eq(val_text(policy), policies[0]) && !str_eq(val_text(policy), policies[1])) {
        cause_add_unsupported(causes, S("reclaimPolicy"), policy, policies, 2);
    }
}

static void storage_class_update(const struct val *obj, const struct val *old,
                                 struct causes *causes)
{
    static const struct {
        const char *field;
        const char *text;
    } rows[] = {
        {"parameters",    "updates to parameters are forbidden."   },
        {"provisioner",   "updates to provisioner are forbidden."  },
        {"reclaimPolicy", "updates to reclaimPolicy are forbidden."}
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct val *is = val_get(obj, str_of(rows[i].field));
        const struct val *was = val_get(old, str_of(rows[i].field));
        if (val_count(is) + val_count(was) == 0 && !val_is(is, VAL_STR)) {
            continue;
        }
        if (is == NULL || was == NULL || !val_eq(is, was)) {
            cause_add(causes, CAUSE_FORBIDDEN, str_of(rows[i].field), NULL, str_of(rows[i].text));
        }
    }
    const struct val *is = val_get(obj, S("volumeBindingMode"));
    const struct val *was = val_get(old, S("volumeBindingMode"));
    if (is != NULL && was != NULL && !val_eq(is, was)) {
        cause_add(causes, CAUSE_INVALID, S("volumeBindingMode"), is, S("field is immutable"));
    }
}

const struct strategy strategy_storage_class = {.defaults = storage_class_defaults,
                                                .validate = storage_class_validate,
                                                .validate_update = storage_class_update};

static void persistent_volume_defaults(struct arena *arena, struct val *obj)
{
    struct val *spec = val_need_map(arena, obj, S("spec"));
    default_text(arena, spec, S("persistentVolumeReclaimPolicy"), S("Retain"));
    default_text(arena, spec, S("volumeMode"), S("Filesystem"));
    struct val *path = val_slot(spec, S("hostPath"));
    if (val_is(path, VAL_MAP) && val_get(path, S("type")) == NULL) {
        (void)val_set(arena, path, S("type"), val_str(S("")));
    }
}

static void persistent_volume_prepare(struct arena *arena, struct val *obj, const struct val *old,
                                      struct str subresource)
{
    (void)subresource;
    if (old == NULL) {
        (void)val_set_path(arena, obj, "status.phase", val_str(S("Pending")));
    }
}

/* Fields of the spec that aren't volume sources. */
static bool is_plain_field(struct str name)
{
    static const char *const plain[] = {
        "accessModes",      "capacity",     "claimRef",
        "mountOptions",     "nodeAffinity", "persistentVolumeReclaimPolicy",
        "storageClassName", "volumeMode",   "volumeAttributesClassName"};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (str_eq(name, str_of(plain[i]))) {
            return true;
        }
    }
    return false;
}

static void check_source(const struct val *spec, struct causes *causes)
{
    size_t sources = 0;
    for (size_t i = 0; val_is(spec, VAL_MAP) && i < spec->n; i++) {
        if (is_plain_field(spec->members[i].key)) {
            continue;
        }
        if (++sources > 1) {
            cause_add(causes, CAUSE_FORBIDDEN,
                      arena_fmt(causes->arena, "spec." STR_FMT, STR_ARG(spec->members[i].key)),
                      NULL, S("may not specify more than 1 volume type"));
        }
    }
    if (sources == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("spec"), NULL, S("must specify a volume type"));
    }
    if (val_get(spec, S("local")) != NULL && val_get(spec, S("nodeAffinity")) == NULL) {
        cause_add(causes, CAUSE_REQUIRED, S("spec.nodeAffinity"), NULL,
                  S("Local volume requires node affinity"));
    }
    if (val_get(spec, S("hostPath")) != NULL && val_text_at(spec, "hostPath.path").n == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("spec.hostPath.path"), NULL, S(""));
    }
}

static void persistent_volume_validate(const struct val *obj, struct causes *causes)
{
    static const struct str modes[] = {
        {"ReadWriteOnce",    13},
        {"ReadOnlyMany",     12},
        {"ReadWriteMany",    13},
        {"ReadWriteOncePod", 16}
    };
    const struct val *spec = val_get(obj, S("spec"));
    const struct val *access = val_get(spec, S("accessModes"));
    if (val_count(access) == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("spec.accessModes"), NULL, S(""));
    }
    for (size_t i = 0; i < val_count(access); i++) {
        bool is_known = false;
        for (size_t j = 0; j < 4; j++) {
            is_known = is_known || str_eq(val_text(val_at(access, i)), modes[j]);
        }
        if (!is_known) {
            cause_add_unsupported(causes, S("spec.accessModes"), val_at(access, i), modes, 4);
        }
    }
    const struct val *size = val_path(spec, "capacity.storage");
    struct quantity quantity;
    struct err err;
    if (size == NULL) {
        cause_add(causes, CAUSE_REQUIRED, S("spec.capacity"), NULL, S(""));
    } else if (quantity_parse(val_text(size), &quantity, &err) < 0 || quantity.nano <= 0) {
        cause_add(causes, CAUSE_INVALID, S("spec.capacity[storage]"), size,
                  S("must be greater than zero"));
    }
    check_source(spec, causes);
}

static void persistent_volume_update(const struct val *obj, const struct val *old,
                                     struct causes *causes)
{
    const struct val *spec = val_get(obj, S("spec"));
    const struct val *was = val_get(old, S("spec"));
    for (size_t i = 0; val_is(spec, VAL_MAP) && i < spec->n; i++) {
        struct str name = spec->members[i].key;
        const struct val *before = val_get(was, name);
        bool is_fixed = !is_plain_field(name) || str_eq(name, S("volumeMode"));
        if (!is_fixed || (before != NULL && val_eq(before, &spec->members[i].val))) {
            continue;
        }
        if (str_eq(name, S("volumeMode"))) {
            cause_add(causes, CAUSE_INVALID, S("spec.volumeMode"), &spec->members[i].val,
                      S("field is immutable"));
        } else {
            cause_add(causes, CAUSE_FORBIDDEN, S("spec.persistentvolumesource"), NULL,
                      arena_fmt(causes->arena,
                                "spec.persistentvolumesource is immutable after creation" STR_FMT,
                                STR_ARG(difference_text(causes->arena, was, spec))));
        }
    }
}

const struct strategy strategy_persistent_volume = {.defaults = persistent_volume_defaults,
                                                    .prepare = persistent_volume_prepare,
                                                    .validate = persistent_volume_validate,
                                                    .validate_update = persistent_volume_update};
