// SPDX-License-Identifier: Apache-2.0
//
// Validation of spec.volumes: unique names, exactly one source each, and what each source must
// have.
#include "api/strategy_pod.h"

#include "api/names.h"
#include "api/rules.h"
#include "base/mem.h"

static struct str at(struct causes *causes, struct str path, const char *name)
{
    return arena_fmt(causes->arena, STR_FMT ".%s", STR_ARG(path), name);
}

/* source, field that must not be empty */
static const struct {
    const char *source;
    const char *field;
} required[] = {
    {"hostPath",              "path"               },
    {"secret",                "secretName"         },
    {"configMap",             "name"               },
    {"persistentVolumeClaim", "claimName"          },
    {"ephemeral",             "volumeClaimTemplate"},
    {"nfs",                   "server"             },
    {"csi",                   "driver"             },
};

static bool is_relative_inside(struct str path)
{
    struct str rest = path;
    if (path.n == 0 || path.p[0] == '/') {
        return false;
    }
    while (rest.p != NULL) {
        struct str part = str_cut(&rest, '/');
        if (str_eq(part, S(".."))) {
            return false;
        }
    }
    return !str_starts(path, S(".."));
}

/* items of secret, configMap, downwardAPI, and of the same beneath projected */
static void check_items(const struct val *source, struct str path, bool has_keys,
                        struct causes *causes)
{
    const struct val *items = val_get(source, S("items"));
    for (size_t i = 0; i < val_count(items); i++) {
        const struct val *item = val_at(items, i);
        struct str here = arena_fmt(causes->arena, STR_FMT ".items[%zu]", STR_ARG(path), i);
        if (has_keys && val_text_at(item, "key").n == 0) {
            cause_add(causes, CAUSE_REQUIRED, at(causes, here, "key"), NULL, S(""));
        }
        if (val_text_at(item, "path").n == 0) {
            cause_add(causes, CAUSE_REQUIRED, at(causes, here, "path"), NULL, S(""));
        } else if (!is_relative_inside(val_text_at(item, "path"))) {
            cause_add(causes, CAUSE_INVALID, at(causes, here, "path"), val_get(item, S("path")),
                      S("must be a relative path and not contain '..'"));
        }
    }
    const struct val *mode = val_get(source, S("defaultMode"));
    if (mode != NULL && (val_number(mode, 0) < 0 || val_number(mode, 0) > 0777)) {
        cause_add(causes, CAUSE_INVALID, at(causes, path, "defaultMode"), mode,
                  S("must be a number between 0 and 0777 (octal), both inclusive"));
    }
}

static void check_projected(const struct val *projected, struct str path, struct causes *causes)
{
    static const char *const kinds[] = {"secret", "configMap", "downwardAPI"};
    const struct val *sources = val_get(projected, S("sources"));
    for (size_t i = 0; i < val_count(sources); i++) {
        struct str here = arena_fmt(causes->arena, STR_FMT ".sources[%zu]", STR_ARG(path), i);
        const struct val *source = val_at(sources, i);
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            const struct val *s = val_get(source, str_of(kinds[k]));
            if (s != NULL) {
                check_items(s, at(causes, here, kinds[k]), /*has_keys=*/k < 2, causes);
            }
        }
        if (val_count(source) > 1) {
            cause_add(causes, CAUSE_FORBIDDEN, here, NULL,
                      S("may not specify more than 1 volume type"));
        }
        const struct val *token = val_get(source, S("serviceAccountToken"));
        if (token != NULL && val_number_at(token, "expirationSeconds", 0) < 600) {
            cause_add(causes, CAUSE_INVALID,
                      at(causes, here, "serviceAccountToken.expirationSeconds"),
                      val_get(token, S("expirationSeconds")),
                      S("may not specify a duration less than 10 minutes"));
        }
    }
    check_items(projected, path, /*has_keys=*/false, causes);
}

static void check_source(const struct val *volume, struct str path, struct causes *causes)
{
    for (size_t i = 0; i < ARRAY_LEN(required); i++) {
        const struct val *source = val_get(volume, str_of(required[i].source));
        const struct val *field = val_get(source, str_of(required[i].field));
        if (source != NULL && val_count(field) == 0 && val_text(field).n == 0) {
            cause_add(causes, CAUSE_REQUIRED,
                      arena_fmt(causes->arena, STR_FMT ".%s.%s", STR_ARG(path), required[i].source,
                                required[i].field),
                      NULL, S(""));
        }
    }
    static const char *const with_items[] = {"secret", "configMap", "downwardAPI"};
    for (size_t i = 0; i < ARRAY_LEN(with_items); i++) {
        const struct val *source = val_get(volume, str_of(with_items[i]));
        if (source != NULL) {
            check_items(source, at(causes, path, with_items[i]), /*has_keys=*/i < 2, causes);
        }
    }
    const struct val *projected = val_get(volume, S("projected"));
    if (projected != NULL) {
        check_projected(projected, at(causes, path, "projected"), causes);
    }
}

void pod_volumes_validate(const struct val *volumes, struct str path, struct causes *causes)
{
    const bool *repeated =
        names_repeated(causes->arena, names_of(causes->arena, volumes, "name"), val_count(volumes));
    for (size_t i = 0; i < val_count(volumes); i++) {
        const struct val *volume = val_at(volumes, i);
        struct str here = arena_fmt(causes->arena, STR_FMT "[%zu]", STR_ARG(path), i);
        const struct val *name = val_get(volume, S("name"));
        if (val_text(name).n == 0) {
            cause_add(causes, CAUSE_REQUIRED, at(causes, here, "name"), NULL, S(""));
        } else {
            check_rule(rule_dns_label(val_text(name), /*is_prefix=*/false),
                       at(causes, here, "name"), name, causes);
        }
        if (repeated[i] && val_text(name).n > 0) {
            cause_add(causes, CAUSE_DUPLICATE, at(causes, here, "name"), name, S(""));
        }
        if (val_count(volume) > 2) {
            cause_add(causes, CAUSE_FORBIDDEN, here, NULL,
                      S("may not specify more than 1 volume type"));
        }
        check_source(volume, here, causes);
    }
}
