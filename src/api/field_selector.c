// SPDX-License-Identifier: Apache-2.0
//
// Field selectors: "=", "==", "!=" joined by commas, backslash escapes (spec/api.md 5.2). Which
// paths a kind knows is its strategy's business; all know metadata.name, and metadata.namespace
// where they have one.
#include "api/selector.h"

#include "api/strategy.h"

struct term {
    struct str path;
    struct str value;
    bool is_negated;
};

struct field_selector {
    const struct kind *kind;
    struct term *terms;
    size_t count;
};

static bool field_value(struct arena *arena, const struct kind *kind, const struct val *obj,
                        struct str path, struct str *ret)
{
    if (str_eq(path, S("metadata.name"))) {
        *ret = val_text_at(obj, "metadata.name");
        return true;
    }
    if (str_eq(path, S("metadata.namespace"))) {
        *ret = val_text_at(obj, "metadata.namespace");
        return (kind->flags & KIND_NAMESPACED) != 0;
    }
    return kind->strategy != NULL && kind->strategy->field != NULL &&
           kind->strategy->field(arena, obj, path, ret);
}

/* Removes the backslashes of \, \= \\ ; anything else escaped is an error. */
static int unescape(struct arena *arena, struct str text, struct str *ret, struct err *err)
{
    char *p = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\\') {
            i++;
            c = i < text.n ? text.p[i] : '\0';
            if (c != ',' && c != '=' && c != '\\') {
                return err_set(err, ERR_SYNTAX,
                               "invalid field selector: invalid escape sequence in \"" STR_FMT "\"",
                               STR_ARG(text));
            }
        }
        p[n++] = c;
    }
    *ret = (struct str){p, n};
    return 0;
}

/* Cuts *rest at the first comma that no backslash stands before. */
static struct str cut_term(struct str *rest)
{
    struct str s = *rest;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == ',') {
            *rest = str_sub(s, i + 1, s.n);
            return str_sub(s, 0, i);
        }
    }
    *rest = (struct str){NULL, 0};
    return s;
}

static int parse_term(struct arena *arena, const struct kind *kind, struct str text,
                      struct term *ret, struct err *err)
{
    ptrdiff_t at = str_find(text, '=');
    if (at < 0) {
        return err_set(err, ERR_SYNTAX,
                       "invalid selector: '" STR_FMT "'; can't understand '" STR_FMT "'",
                       STR_ARG(text), STR_ARG(text));
    }
    ret->is_negated = at > 0 && text.p[at - 1] == '!';
    ret->path = arena_dup(arena, str_sub(text, 0, (size_t)(ret->is_negated ? at - 1 : at)));
    size_t from = (size_t)at + 1;
    if (!ret->is_negated && from < text.n && text.p[from] == '=') {
        from++;
    }
    int rc = unescape(arena, str_sub(text, from, text.n), &ret->value, err);
    if (rc < 0) {
        return rc;
    }
    struct val empty = val_map();
    struct str ignored = S("");
    if (!field_value(arena, kind, &empty, ret->path, &ignored)) {
        return err_set(err, ERR_SYNTAX, "field label not supported: " STR_FMT, STR_ARG(ret->path));
    }
    return 0;
}

int field_selector_parse(struct arena *arena, const struct kind *kind, struct str text,
                         struct field_selector **ret, struct err *err)
{
    struct field_selector *selector = arena_alloc(arena, sizeof(*selector));
    selector->kind = kind;
    size_t cap = 1;
    for (size_t i = 0; i < text.n; i++) {
        cap += text.p[i] == ',';
    }
    selector->terms = arena_alloc(arena, cap * sizeof(*selector->terms));
    struct str rest = text;
    while (rest.p != NULL && text.n != 0) {
        struct str term = cut_term(&rest);
        if (term.n == 0) {
            continue;
        }
        int rc = parse_term(arena, kind, term, &selector->terms[selector->count], err);
        if (rc < 0) {
            return rc;
        }
        selector->count++;
    }
    *ret = selector;
    return 0;
}

bool field_selector_matches(struct arena *arena, const struct field_selector *selector,
                            const struct val *obj)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct term *term = &selector->terms[i];
        struct str value = S("");
        (void)field_value(arena, selector->kind, obj, term->path, &value);
        if (str_eq(value, term->value) == term->is_negated) {
            return false;
        }
    }
    return true;
}

struct str field_selector_name(const struct field_selector *selector)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct term *term = &selector->terms[i];
        if (!term->is_negated && str_eq(term->path, S("metadata.name"))) {
            return term->value;
        }
    }
    return S("");
}
