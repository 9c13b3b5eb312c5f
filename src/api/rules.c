// SPDX-License-Identifier: Apache-2.0
#include "api/rules.h"

#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>

enum { PORT_NAME_MAX = 15, PORT_NUMBER_MAX = 65535 };

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
static bool is_label(struct str s, bool is_prefix)
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

struct str rule_dns_label(struct str name, bool is_prefix)
{
    if (name.n > LABEL_LEN_MAX) {
        return S("must be no more than 63 characters");
    }
    return is_label(name, is_prefix)
               ? S("")
               : S("a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
                   "or '-', and must start and end with an alphanumeric character (e.g. "
                   "'my-name',  or '123-abc', regex used for validation is "
                   "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
}

struct str rule_dns_label_1035(struct str name, bool is_prefix)
{
    if (name.n > LABEL_LEN_MAX) {
        return S("must be no more than 63 characters");
    }
    return is_label(name, is_prefix) && name.p[0] >= 'a'
               ? S("")
               : S("a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
                   "start with an alphabetic character, and end with an alphanumeric character "
                   "(e.g. 'my-name',  or 'abc-123', regex used for validation is "
                   "'[a-z]([-a-z0-9]*[a-z0-9])?')");
}

struct str rule_dns_subdomain(struct str name, bool is_prefix)
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
        if (!is_label(part, is_prefix && is_last)) {
            return S(SUBDOMAIN_TEXT);
        }
    } while (rest.p != NULL);
    return S("");
}

struct str rule_path_segment(struct str name, bool is_prefix)
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
static bool is_word(struct str s)
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

struct str rule_qualified_name(struct str key)
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
        if (rule_dns_subdomain(prefix, /*is_prefix=*/false).n != 0) {
            return S("prefix part " SUBDOMAIN_TEXT);
        }
    }
    if (name.n == 0) {
        return S("name part must be non-empty");
    }
    if (name.n > LABEL_LEN_MAX) {
        return S("name part must be no more than 63 characters");
    }
    return is_word(name) ? S("") : S("name part " QUALIFIED_TEXT);
}

struct str rule_label_value(struct str value)
{
    if (value.n > LABEL_LEN_MAX) {
        return S("must be no more than 63 characters");
    }
    if (value.n == 0 || is_word(value)) {
        return S("");
    }
    return S("a valid label must be an empty string or consist of alphanumeric characters, '-', "
             "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  "
             "or 'my_value',  or '12345', regex used for validation is "
             "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
}

struct str rule_env_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] < ' ' || name.p[i] > '~' || name.p[i] == '=') {
            return S(
                "a valid environment variable name must consist only of printable ASCII characters "
                "other than '='");
        }
    }
    return S("");
}

struct str rule_port_name(struct str name)
{
    bool has_letter = false;
    bool is_good = name.n > 0 && name.p[0] != '-' && name.p[name.n - 1] != '-';
    if (name.n > PORT_NAME_MAX) {
        return S("must be no more than 15 characters");
    }
    for (size_t i = 0; i < name.n; i++) {
        has_letter = has_letter || (name.p[i] >= 'a' && name.p[i] <= 'z');
        is_good = is_good && (is_lower_alnum(name.p[i]) || name.p[i] == '-');
        if (i > 0 && name.p[i] == '-' && name.p[i - 1] == '-') {
            return S("must not contain consecutive hyphens");
        }
    }
    if (!is_good) {
        return S("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    return has_letter ? S("") : S("must contain at least one letter (a-z)");
}

void check_rule(struct str wrong, struct str path, const struct val *value, struct causes *causes)
{
    if (wrong.n > 0) {
        cause_add(causes, CAUSE_INVALID, path, value, wrong);
    }
}

void check_port(const struct val *v, struct str path, struct causes *causes)
{
    int64_t port = val_number(v, 0);
    if (port < 1 || port > PORT_NUMBER_MAX) {
        cause_add(causes, CAUSE_INVALID, path, v, S("must be between 1 and 65535, inclusive"));
    }
}

void check_not_negative(const struct val *v, struct str path, struct causes *causes)
{
    if (val_number(v, 0) < 0) {
        cause_add(causes, CAUSE_INVALID, path, v, S("must be greater than or equal to 0"));
    }
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Upstream names the values of most enumerations from a sorted set; restartPolicy's from a list. */
static const struct str *sorted_values(struct arena *arena, const struct schema_field *f)
{
    if (str_eq(f->name, S("restartPolicy"))) {
        return f->values;
    }
    struct str *values = arena_alloc(arena, f->values_count * sizeof(*values));
    memcpy(values, f->values, f->values_count * sizeof(*values));
    qsort(values, f->values_count, sizeof(*values), by_text);
    return values;
}

static void check_enum(const struct schema_field *f, const struct val *v, struct str path,
                       struct causes *causes)
{
    struct str text = val_text(v);
    for (size_t i = 0; i < f->values_count; i++) {
        if (str_eq(text, f->values[i])) {
            return;
        }
    }
    if (val_is(v, VAL_STR) && text.n > 0) {
        cause_add_unsupported(causes, path, v, sorted_values(causes->arena, f), f->values_count);
    }
}

/* The tree was decoded by its schema: its depth is capped (DOC_DEPTH_MAX). */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void check_field(const struct schema_field *f, const struct val *v, struct str path,
                        struct causes *causes)
{
    bool has_enum = f->values_count > 0 && f->base == SCHEMA_STRING;
    if (!has_enum && f->ref == NULL) {
        return;
    }
    if (f->shape == SCHEMA_ONE) {
        if (has_enum) {
            check_enum(f, v, path, causes);
        } else {
            check_enums(f->ref, v, path, causes);
        }
        return;
    }
    for (size_t i = 0; i < val_count(v); i++) {
        bool is_list = f->shape == SCHEMA_LIST;
        struct str at = is_list ? arena_fmt(causes->arena, STR_FMT "[%zu]", STR_ARG(path), i)
                                : arena_fmt(causes->arena, STR_FMT "[" STR_FMT "]", STR_ARG(path),
                                            STR_ARG(v->members[i].key));
        const struct val *item = is_list ? &v->items[i] : &v->members[i].val;
        if (has_enum) {
            check_enum(f, item, at, causes);
        } else {
            check_enums(f->ref, item, at, causes);
        }
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
void check_enums(const struct schema_type *type, const struct val *v, struct str path,
                 struct causes *causes)
{
    for (size_t i = 0; type != NULL && val_is(v, VAL_MAP) && i < val_count(v); i++) {
        const struct member *m = &v->members[i];
        const struct schema_field *f = schema_field(type, m->key);
        if (f != NULL) {
            check_field(f, &m->val,
                        path.n == 0 ? m->key
                                    : arena_fmt(causes->arena, STR_FMT "." STR_FMT, STR_ARG(path),
                                                STR_ARG(m->key)),
                        causes);
        }
    }
}

void check_labels(const struct val *labels, struct str path, struct causes *causes)
{
    for (size_t i = 0; val_is(labels, VAL_MAP) && i < labels->n; i++) {
        const struct member *m = &labels->members[i];
        struct val key = val_str(m->key);
        check_rule(rule_qualified_name(m->key), path, &key, causes);
        check_rule(rule_label_value(val_text(&m->val)), path, &m->val, causes);
    }
}

void check_annotations(const struct val *annotations, struct str path, struct causes *causes)
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
        struct val shown = val_str(key);
        check_rule(rule_qualified_name(checked), path, &shown, causes);
    }
    if (bytes > ANNOTATIONS_BYTES_MAX) {
        cause_add(causes, CAUSE_TOO_LONG, path, NULL, S("may not be more than 262144 bytes"));
    }
}

void check_label_selector(const struct val *selector, struct str path, struct causes *causes)
{
    static const struct str operators[] = {
        {"In",           2 },
        {"NotIn",        5 },
        {"Exists",       6 },
        {"DoesNotExist", 12}
    };
    struct arena *a = causes->arena;
    check_labels(val_get(selector, S("matchLabels")),
                 arena_fmt(a, STR_FMT ".matchLabels", STR_ARG(path)), causes);
    const struct val *list = val_get(selector, S("matchExpressions"));
    for (size_t i = 0; i < val_count(list); i++) {
        const struct val *e = val_at(list, i);
        struct str at = arena_fmt(a, STR_FMT ".matchExpressions[%zu]", STR_ARG(path), i);
        struct str op = val_text_at(e, "operator");
        size_t values = val_count(val_get(e, S("values")));
        size_t row = 0;
        while (row < ARRAY_LEN(operators) && !str_eq(op, operators[row])) {
            row++;
        }
        if (row == ARRAY_LEN(operators)) {
            cause_add(causes, CAUSE_INVALID, arena_fmt(a, STR_FMT ".operator", STR_ARG(at)),
                      val_get(e, S("operator")), S("not a valid selector operator"));
        } else if (row < 2 && values == 0) {
            cause_add(causes, CAUSE_REQUIRED, arena_fmt(a, STR_FMT ".values", STR_ARG(at)), NULL,
                      S("must be specified when `operator` is 'In' or 'NotIn'"));
        } else if (row >= 2 && values > 0) {
            cause_add(causes, CAUSE_FORBIDDEN, arena_fmt(a, STR_FMT ".values", STR_ARG(at)), NULL,
                      S("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        check_rule(rule_qualified_name(val_text_at(e, "key")),
                   arena_fmt(a, STR_FMT ".key", STR_ARG(at)), val_get(e, S("key")), causes);
    }
}
