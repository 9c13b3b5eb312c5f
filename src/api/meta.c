// SPDX-License-Identifier: Apache-2.0
//
// Rules of names, labels and metadata (spec/api.md 6; apimachinery's validation texts).
#include "api/meta.h"

#include "api/strategy.h"

#include "base/limits.h"
#include "base/timefmt.h"

#define QUALIFIED_TEXT                                                                             \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "         \
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define SUBDOMAIN_TEXT                                                                             \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is "                                                                           \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* One DNS label: lower-case alphanumerics and '-', not at the ends. A prefix may end in '-'. */
static bool label_ok(struct str s, bool is_prefix)
{
    if (s.n == 0 || !is_lower_alnum(s.p[0])) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!is_lower_alnum(s.p[i]) && s.p[i] != '-') {
            return false;
        }
    }
    return is_prefix || is_lower_alnum(s.p[s.n - 1]);
}

struct str name_check_subdomain(struct str name, bool is_prefix)
{
    if (name.n > NAME_LEN_MAX) {
        return S("must be no more than 253 characters");
    }
    struct str rest = name;
    do {
        struct str part = str_cut(&rest, '.');
        bool is_last = rest.p == NULL;
        if (is_prefix && is_last && part.n == 0 && name.n != 0) {
            break; /* "a." and a suffix make a name */
        }
        if (!label_ok(part, is_prefix && is_last)) {
            return S(SUBDOMAIN_TEXT);
        }
    } while (rest.p != NULL);
    return S("");
}

struct str name_check_label(struct str name, bool is_prefix)
{
    if (name.n > LABEL_LEN_MAX) {
        return S("must be no more than 63 characters");
    }
    return label_ok(name, is_prefix)
               ? S("")
               : S("a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
                   "or '-', and must start and end with an alphanumeric character (e.g. "
                   "'my-name',  or '123-abc', regex used for validation is "
                   "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
}

struct str name_check_dns1035(struct str name, bool is_prefix)
{
    if (name.n > LABEL_LEN_MAX) {
        return S("must be no more than 63 characters");
    }
    bool is_ok = label_ok(name, is_prefix) && name.p[0] >= 'a';
    return is_ok ? S("")
                 : S("a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
                     "start with an alphabetic character, and end with an alphanumeric character "
                     "(e.g. 'my-name',  or 'abc-123', regex used for validation is "
                     "'[a-z]([-a-z0-9]*[a-z0-9])?')");
}

struct str name_check_path_segment(struct str name, bool is_prefix)
{
    if (!is_prefix && str_eq(name, S("."))) {
        return S("may not be '.'");
    }
    if (!is_prefix && str_eq(name, S(".."))) {
        return S("may not be '..'");
    }
    if (str_find(name, '/') >= 0) {
        return S("may not contain '/'");
    }
    return str_find(name, '%') >= 0 ? S("may not contain '%'") : S("");
}

/* Alphanumerics with '-', '_', '.' inside. */
static bool word_ok(struct str s)
{
    if (s.n == 0 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1])) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!is_alnum(c) && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return true;
}

struct str name_check_qualified(struct str key)
{
    struct str name = key;
    ptrdiff_t slash = str_find(key, '/');
    if (slash >= 0) {
        struct str prefix = str_sub(key, 0, (size_t)slash);
        name = str_sub(key, (size_t)slash + 1, key.n);
        if (str_find(name, '/') >= 0) {
            return S("a qualified name " QUALIFIED_TEXT
                     " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
        }
        if (prefix.n == 0) {
            return S("prefix part must be non-empty");
        }
        if (prefix.n > NAME_LEN_MAX) {
            return S("prefix part must be no more than 253 characters");
        }
        if (name_check_subdomain(prefix, /*is_prefix=*/false).n != 0) {
            return S("prefix part " SUBDOMAIN_TEXT);
        }
    }
    if (name.n == 0) {
        return S("name part must be non-empty");
    }
    if (name.n > LABEL_LEN_MAX) {
        return S("name part must be no more than 63 characters");
    }
    return word_ok(name) ? S("") : S("name part " QUALIFIED_TEXT);
}

struct str name_check_label_value(struct str value)
{
    if (value.n > LABEL_LEN_MAX) {
        return S("must be no more than 63 characters");
    }
    if (value.n == 0 || word_ok(value)) {
        return S("");
    }
    return S("a valid label must be an empty string or consist of alphanumeric characters, '-', "
             "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  "
             "or 'my_value',  or '12345', regex used for validation is "
             "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
}

void labels_validate(struct causes *causes, struct str path, const struct val *labels)
{
    for (size_t i = 0; val_is(labels, VAL_MAP) && i < labels->n; i++) {
        struct val key = val_str(labels->members[i].key);
        struct str wrong = name_check_qualified(labels->members[i].key);
        if (wrong.n != 0) {
            cause_add(causes, CAUSE_INVALID, path, &key, wrong);
        }
        wrong = name_check_label_value(val_text(&labels->members[i].val));
        if (wrong.n != 0) {
            cause_add(causes, CAUSE_INVALID, path, &labels->members[i].val, wrong);
        }
    }
}

void annotations_validate(struct causes *causes, struct str path, const struct val *annotations)
{
    size_t bytes = 0;
    for (size_t i = 0; val_is(annotations, VAL_MAP) && i < annotations->n; i++) {
        struct str key = annotations->members[i].key;
        bytes += key.n + val_text(&annotations->members[i].val).n;
        char lower[NAME_LEN_MAX + 1 + LABEL_LEN_MAX + 1];
        struct str checked = key;
        if (key.n < sizeof(lower)) { /* annotations keys are checked in lower case */
            for (size_t j = 0; j < key.n; j++) {
                char c = key.p[j];
                lower[j] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
            }
            checked = (struct str){lower, key.n};
        }
        struct str wrong = name_check_qualified(checked);
        if (wrong.n != 0) {
            struct val shown = val_str(key);
            cause_add(causes, CAUSE_INVALID, path, &shown, wrong);
        }
    }
    if (bytes > ANNOTATIONS_BYTES_MAX) {
        cause_add(causes, CAUSE_TOO_LONG, path, NULL, S("may not be more than 262144 bytes"));
    }
}

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
        struct str wrong = name_check_qualified(name);
        if (wrong.n != 0) {
            cause_add(causes, CAUSE_INVALID, S("metadata.finalizers"), val_at(finalizers, i),
                      wrong);
        }
    }
    if (has_orphan && has_foreground) {
        cause_add(causes, CAUSE_INVALID, S("metadata.finalizers"), finalizers,
                  S("finalizers orphan and foregroundDeletion cannot be both set"));
    }
}

static struct str check_name(const struct kind *kind, struct str name, bool is_prefix)
{
    struct str wrong = name_check_path_segment(name, is_prefix);
    if (wrong.n != 0) {
        return wrong;
    }
    if (kind->strategy != NULL && kind->strategy->check_name != NULL) {
        return kind->strategy->check_name(name, is_prefix);
    }
    return name_check_subdomain(name, is_prefix);
}

void meta_validate(struct causes *causes, const struct kind *kind, const struct val *obj)
{
    const struct val *meta = val_get(obj, S("metadata"));
    const struct val *prefix = val_get(meta, S("generateName"));
    if (val_text(prefix).n != 0) {
        struct str wrong = check_name(kind, val_text(prefix), /*is_prefix=*/true);
        if (wrong.n != 0) {
            cause_add(causes, CAUSE_INVALID, S("metadata.generateName"), prefix, wrong);
        }
    }
    const struct val *name = val_get(meta, S("name"));
    if (val_text(name).n == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("metadata.name"), NULL,
                  S("name or generateName is required"));
    } else {
        struct str wrong = check_name(kind, val_text(name), /*is_prefix=*/false);
        if (wrong.n != 0) {
            cause_add(causes, CAUSE_INVALID, S("metadata.name"), name, wrong);
        }
    }
    labels_validate(causes, S("metadata.labels"), val_get(meta, S("labels")));
    annotations_validate(causes, S("metadata.annotations"), val_get(meta, S("annotations")));
    owners_validate(causes, val_get(meta, S("ownerReferences")));
    finalizers_validate(causes, val_get(meta, S("finalizers")));
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

void meta_validate_update(struct causes *causes, const struct kind *kind, const struct val *obj,
                          const struct val *old)
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
    (void)kind;
    labels_validate(causes, S("metadata.labels"), val_get(meta, S("labels")));
    annotations_validate(causes, S("metadata.annotations"), val_get(meta, S("annotations")));
    owners_validate(causes, val_get(meta, S("ownerReferences")));
    finalizers_validate(causes, val_get(meta, S("finalizers")));
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
