// SPDX-License-Identifier: Apache-2.0
//
// Validation of metadata (spec/api.md 6), in the texts of apimachinery.
#include "api/meta.h"

#include "api/rules.h"
#include "api/strategy.h"

#include "base/limits.h"
#include "base/timefmt.h"

static void owners_validate(struct causes *causes, const struct val *owners)
{
    static const struct {
        const char *key;
        const char *path;
        const char *text;
    } rows[] = {
        {"apiVersion", "metadata.ownerReferences.apiVersion", "version must not be empty"},
        {"kind",       "metadata.ownerReferences.kind",       "must not be empty"        },
        {"name",       "metadata.ownerReferences.name",       "must not be empty"        },
        {"uid",        "metadata.ownerReferences.uid",        "must not be empty"        },
    };
    struct str controller = {NULL, 0};
    for (size_t i = 0; i < val_count(owners); i++) {
        const struct val *owner = val_at(owners, i);
        struct val empty = val_str(S(""));
        for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++) {
            if (val_text(val_get(owner, str_of(rows[j].key))).n == 0) {
                cause_add(causes, CAUSE_INVALID, str_of(rows[j].path), &empty,
                          str_of(rows[j].text));
            }
        }
        if (!val_is_true(val_get(owner, S("controller")))) {
            continue;
        }
        struct str name = val_text(val_get(owner, S("name")));
        if (controller.p != NULL) {
            cause_add(causes, CAUSE_INVALID, S("metadata.ownerReferences"), owners,
                      arena_fmt(causes->arena,
                                "Only one reference can have Controller set to true. Found "
                                "\"true\" in references for " STR_FMT " and " STR_FMT,
                                STR_ARG(controller), STR_ARG(name)));
        }
        controller = name;
    }
}

static void finalizers_validate(struct causes *causes, const struct val *finalizers)
{
    bool has_orphan = false;
    bool has_foreground = false;
    for (size_t i = 0; i < val_count(finalizers); i++) {
        struct str name = val_text(val_at(finalizers, i));
        has_orphan = has_orphan || str_eq(name, S("orphan"));
        has_foreground = has_foreground || str_eq(name, S("foregroundDeletion"));
        check_rule(rule_qualified_name(name), S("metadata.finalizers"), val_at(finalizers, i),
                   causes);
    }
    if (has_orphan && has_foreground) {
        cause_add(causes, CAUSE_INVALID, S("metadata.finalizers"), finalizers,
                  S("finalizers orphan and foregroundDeletion cannot be both set"));
    }
}

static struct str check_name(const struct kind *kind, struct str name, bool is_prefix)
{
    struct str wrong = rule_path_segment(name, is_prefix);
    if (wrong.n != 0) {
        return wrong;
    }
    if (kind->strategy != NULL && kind->strategy->check_name != NULL) {
        return kind->strategy->check_name(name, is_prefix);
    }
    return rule_dns_subdomain(name, is_prefix);
}

static void maps_and_lists_validate(struct causes *causes, const struct val *meta)
{
    check_labels(val_get(meta, S("labels")), S("metadata.labels"), causes);
    check_annotations(val_get(meta, S("annotations")), S("metadata.annotations"), causes);
    owners_validate(causes, val_get(meta, S("ownerReferences")));
    finalizers_validate(causes, val_get(meta, S("finalizers")));
}

void meta_validate(struct causes *causes, const struct kind *kind, const struct val *obj)
{
    const struct val *meta = val_get(obj, S("metadata"));
    const struct val *prefix = val_get(meta, S("generateName"));
    if (val_text(prefix).n != 0) {
        check_rule(check_name(kind, val_text(prefix), /*is_prefix=*/true),
                   S("metadata.generateName"), prefix, causes);
    }
    const struct val *name = val_get(meta, S("name"));
    if (val_text(name).n == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("metadata.name"), NULL,
                  S("name or generateName is required"));
    } else {
        check_rule(check_name(kind, val_text(name), /*is_prefix=*/false), S("metadata.name"), name,
                   causes);
    }
    maps_and_lists_validate(causes, meta);
}

static void new_finalizers_validate(struct causes *causes, const struct val *obj,
                                    const struct val *old)
{
    auto_buf struct buf found;
    buf_init(&found, BODY_BYTES_MAX);
    const struct val *finalizers = val_path(obj, "metadata.finalizers");
    for (size_t i = 0; i < val_count(finalizers); i++) {
        struct str name = val_text(val_at(finalizers, i));
        if (!meta_has_finalizer(old, name)) {
            (void)buf_addf(&found, "%s\"" STR_FMT "\"", found.n == 0 ? "" : ", ", STR_ARG(name));
        }
    }
    if (found.n != 0) {
        cause_add(causes, CAUSE_FORBIDDEN, S("metadata.finalizers"), NULL,
                  arena_fmt(causes->arena,
                            "no new finalizers can be added if the object is being deleted, found "
                            "new finalizers []string{" STR_FMT "}",
                            STR_ARG(buf_str(&found))));
    }
}

void meta_validate_update(struct causes *causes, const struct val *obj, const struct val *old)
{
    static const char *const immutable[] = {"name",
                                            "namespace",
                                            "uid",
                                            "creationTimestamp",
                                            "deletionTimestamp",
                                            "deletionGracePeriodSeconds"};
    const struct val *meta = val_get(obj, S("metadata"));
    const struct val *old_meta = val_get(old, S("metadata"));
    for (size_t i = 0; i < sizeof(immutable) / sizeof(immutable[0]); i++) {
        const struct val *is = val_get(meta, str_of(immutable[i]));
        const struct val *was = val_get(old_meta, str_of(immutable[i]));
        bool is_same = is == NULL || was == NULL ? is == was : val_eq(is, was);
        if (!is_same) {
            cause_add(causes, CAUSE_INVALID, arena_fmt(causes->arena, "metadata.%s", immutable[i]),
                      is, S("field is immutable"));
        }
    }
    if (val_get(old_meta, S("deletionTimestamp")) != NULL) {
        new_finalizers_validate(causes, obj, old);
    }
    maps_and_lists_validate(causes, meta);
}

struct val meta_time(struct arena *arena, usec wall)
{
    char text[TIME_TEXT_MAX];
    time_format(wall, text);
    return val_str(arena_dup(arena, str_of(text)));
}

struct val *meta_of(struct arena *arena, struct val *obj)
{
    return val_need_map(arena, obj, S("metadata"));
}

bool meta_has_finalizer(const struct val *obj, struct str finalizer)
{
    const struct val *finalizers = val_path(obj, "metadata.finalizers");
    for (size_t i = 0; i < val_count(finalizers); i++) {
        if (str_eq(val_text(val_at(finalizers, i)), finalizer)) {
            return true;
        }
    }
    return false;
}
