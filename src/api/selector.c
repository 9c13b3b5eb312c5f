// SPDX-License-Identifier: Apache-2.0
//
// Label selectors: the URL form, metav1.LabelSelector, plain maps (spec/api.md 5.1).
#include "api/selector.h"

#include "api/rules.h"
#include "base/limits.h"

#include <stdlib.h>

enum op { OP_EQUALS, OP_NOT_EQUALS, OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT, OP_GREATER, OP_LESS };

struct requirement {
    struct str key;
    enum op op;
    struct str *values;
    size_t values_count;
};

struct selector {
    bool is_nothing;
    struct requirement *list; /* sorted by key */
    size_t count;
    size_t cap;
};

static void add(struct arena *arena, struct selector *selector, struct requirement requirement)
{
    selector->list = arena_more(arena, selector->list, selector->count, &selector->cap,
                                sizeof selector->list[0]);
    size_t at = selector->count++;
    for (; at > 0 && str_cmp(selector->list[at - 1].key, requirement.key) > 0; at--) {
        selector->list[at] = selector->list[at - 1];
    }
    selector->list[at] = requirement;
}

/* Lexer of the URL form. A token is one of ! = == != > < ( ) , or a word; empty at the end. */
struct lexer {
    struct str rest;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c == '!' || c == '=' || c == '>' || c == '<' || c == '(' || c == ')' || c == ',';
}

static struct str lex(struct lexer *lexer)
{
    struct str s = lexer->rest;
    while (s.n != 0 && is_space(s.p[0])) {
        s = str_sub(s, 1, s.n);
    }
    size_t n = 0;
    if (s.n != 0 && is_special(s.p[0])) {
        n = 1;
        if (s.n > 1 && s.p[1] == '=' && (s.p[0] == '=' || s.p[0] == '!')) {
            n = 2;
        }
    } else {
        while (n < s.n && !is_special(s.p[n]) && !is_space(s.p[n])) {
            n++;
        }
    }
    lexer->rest = str_sub(s, n, s.n);
    return str_sub(s, 0, n);
}

static struct str peek(const struct lexer *lexer)
{
    struct lexer copy = *lexer;
    return lex(&copy);
}

static bool is_word(struct str token)
{
    return token.n != 0 && !is_special(token.p[0]);
}

#define PARSE_FAIL "unable to parse requirement: "

/* "(a,,b)" after in or notin. */
static int parse_values(struct arena *arena, struct lexer *lexer, struct requirement *r,
                        struct err *err)
{
    struct str token = lex(lexer);
    if (!str_eq(token, S("("))) {
        return err_set(err, ERR_SYNTAX, PARSE_FAIL "found '" STR_FMT "' expected: '('",
                       STR_ARG(token));
    }
    size_t cap = 1;
    for (size_t i = 0; i < lexer->rest.n && lexer->rest.p[i] != ')'; i++) {
        cap += lexer->rest.p[i] == ',';
    }
    r->values = arena_alloc(arena, cap * sizeof(*r->values));
    for (;;) {
        struct str value = S("");
        if (is_word(peek(lexer))) {
            value = lex(lexer);
        }
        if (r->values_count < cap) {
            r->values[r->values_count++] = value;
        }
        token = lex(lexer);
        if (str_eq(token, S(")"))) {
            break;
        }
        if (!str_eq(token, S(","))) {
            return err_set(err, ERR_SYNTAX, PARSE_FAIL "found '" STR_FMT "', expected: ',' or ')'",
                           STR_ARG(token));
        }
    }
    return 0;
}

static int check_requirement(const struct requirement *r, struct err *err)
{
    struct str wrong = rule_qualified_name(r->key);
    if (wrong.n != 0) {
        return err_set(err, ERR_SYNTAX, PARSE_FAIL "key: Invalid value: \"" STR_FMT "\": " STR_FMT,
                       STR_ARG(r->key), STR_ARG(wrong));
    }
    for (size_t i = 0; i < r->values_count; i++) {
        int64_t number;
        if ((r->op == OP_GREATER || r->op == OP_LESS) && str_to_i64(r->values[i], &number) < 0) {
            return err_set(err, ERR_SYNTAX,
                           PARSE_FAIL "values[0]: Invalid value: \"" STR_FMT
                                      "\": for 'Gt', 'Lt' operators, the value must be an integer",
                           STR_ARG(r->values[i]));
        }
        wrong = rule_label_value(r->values[i]);
        if (wrong.n != 0) {
            return err_set(err, ERR_SYNTAX,
                           PARSE_FAIL "values[%zu][" STR_FMT "]: Invalid value: \"" STR_FMT
                                      "\": " STR_FMT,
                           i, STR_ARG(r->key), STR_ARG(r->values[i]), STR_ARG(wrong));
        }
    }
    return 0;
}

static const struct {
    const char *token;
    enum op op;
} op_rows[] = {
    {"=",     OP_EQUALS    },
    {"==",    OP_EQUALS    },
    {"!=",    OP_NOT_EQUALS},
    {"in",    OP_IN        },
    {"notin", OP_NOT_IN    },
    {">",     OP_GREATER   },
    {"<",     OP_LESS      },
};

static int parse_one(struct arena *arena, struct lexer *lexer, struct requirement *r,
                     struct err *err)
{
    struct str token = lex(lexer);
    bool is_negated = str_eq(token, S("!"));
    if (is_negated) {
        token = lex(lexer);
    }
    if (!is_word(token)) {
        return err_set(err, ERR_SYNTAX, PARSE_FAIL "found '" STR_FMT "', expected: %s",
                       STR_ARG(token),
                       is_negated ? "identifier" : "!, identifier, or 'end of string'");
    }
    r->key = arena_dup(arena, token);
    struct str next = peek(lexer);
    if (next.n == 0 || str_eq(next, S(","))) {
        r->op = is_negated ? OP_ABSENT : OP_EXISTS;
        return 0;
    }
    if (!is_negated) {
        for (size_t i = 0; i < sizeof(op_rows) / sizeof(op_rows[0]); i++) {
            if (!str_eq(next, str_of(op_rows[i].token))) {
                continue;
            }
            (void)lex(lexer);
            r->op = op_rows[i].op;
            if (r->op == OP_IN || r->op == OP_NOT_IN) {
                return parse_values(arena, lexer, r, err);
            }
            r->values = arena_alloc(arena, sizeof(*r->values));
            r->values_count = 1;
            r->values[0] = is_word(peek(lexer)) ? lex(lexer) : S("");
            return 0;
        }
    }
    return err_set(err, ERR_SYNTAX,
                   PARSE_FAIL "found '" STR_FMT
                              "', expected: in, notin, =, ==, !=, gt, lt, ',' or 'end of string'",
                   STR_ARG(next));
}

int selector_parse(struct arena *arena, struct str text, struct selector **ret, struct err *err)
{
    struct selector *selector = arena_alloc(arena, sizeof(*selector));
    struct lexer lexer = {text.n == 0 ? S("") : arena_dup(arena, text)};
    while (peek(&lexer).n != 0) {
        struct requirement r = {.op = OP_EXISTS};
        int rc = parse_one(arena, &lexer, &r, err);
        if (rc == 0) {
            rc = check_requirement(&r, err);
        }
        if (rc < 0) {
            return rc;
        }
        add(arena, selector, r);
        struct str token = lex(&lexer);
        if (token.n == 0) {
            break;
        }
        if (!str_eq(token, S(",")) || peek(&lexer).n == 0) {
            return err_set(err, ERR_SYNTAX,
                           PARSE_FAIL "found '" STR_FMT "', expected: identifier after ','",
                           STR_ARG(str_eq(token, S(",")) ? S("") : token));
        }
    }
    *ret = selector;
    return 0;
}

static int add_expression(struct arena *arena, struct selector *selector, const struct val *e,
                          struct err *err)
{
    static const struct {
        const char *name;
        enum op op;
        bool has_values;
    } rows[] = {
        {"In",           OP_IN,     true },
        {"NotIn",        OP_NOT_IN, true },
        {"Exists",       OP_EXISTS, false},
        {"DoesNotExist", OP_ABSENT, false}
    };
    struct str name = val_text(val_get(e, S("operator")));
    const struct val *values = val_get(e, S("values"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!str_eq(name, str_of(rows[i].name))) {
            continue;
        }
        if (rows[i].has_values != (val_count(values) != 0)) {
            return err_set(err, ERR_INVALID,
                           rows[i].has_values
                               ? "values: Invalid value: []: for 'in', 'notin' operators, values "
                                 "set can't be empty"
                               : "values: Invalid value: values set must be empty for exists and "
                                 "does not exist");
        }
        struct requirement r = {.key = val_text(val_get(e, S("key"))), .op = rows[i].op};
        r.values = arena_alloc(arena, (val_count(values) + 1) * sizeof(*r.values));
        for (size_t j = 0; j < val_count(values); j++) {
            r.values[r.values_count++] = val_text(val_at(values, j));
        }
        add(arena, selector, r);
        return 0;
    }
    return err_set(err, ERR_INVALID, "\"" STR_FMT "\" is not a valid label selector operator",
                   STR_ARG(name));
}

int selector_of_val(struct arena *arena, const struct val *label_selector, struct selector **ret,
                    struct err *err)
{
    struct selector *selector = selector_of_map(arena, val_get(label_selector, S("matchLabels")));
    selector->is_nothing = label_selector == NULL || val_is(label_selector, VAL_NULL);
    const struct val *expressions = val_get(label_selector, S("matchExpressions"));
    for (size_t i = 0; i < val_count(expressions); i++) {
        int rc = add_expression(arena, selector, val_at(expressions, i), err);
        if (rc < 0) {
            return rc;
        }
    }
    *ret = selector;
    return 0;
}

struct selector *selector_of_map(struct arena *arena, const struct val *labels)
{
    struct selector *selector = arena_alloc(arena, sizeof(*selector));
    for (size_t i = 0; val_is(labels, VAL_MAP) && i < labels->n; i++) {
        struct requirement r = {.key = labels->members[i].key, .op = OP_EQUALS};
        r.values = arena_alloc(arena, sizeof(*r.values));
        r.values[0] = val_text(&labels->members[i].val);
        r.values_count = 1;
        add(arena, selector, r);
    }
    return selector;
}

static bool has_value(const struct requirement *r, struct str value)
{
    for (size_t i = 0; i < r->values_count; i++) {
        if (str_eq(r->values[i], value)) {
            return true;
        }
    }
    return false;
}

static bool compares(const struct requirement *r, struct str value)
{
    int64_t is;
    int64_t limit;
    if (str_to_i64(value, &is) < 0 || str_to_i64(r->values[0], &limit) < 0) {
        return false;
    }
    return r->op == OP_GREATER ? is > limit : is < limit;
}

static bool requirement_matches(const struct requirement *r, const struct val *labels)
{
    const struct val *label = val_get(labels, r->key);
    switch (r->op) {
    case OP_EQUALS:
    case OP_IN:
        return label != NULL && has_value(r, val_text(label));
    case OP_NOT_EQUALS:
    case OP_NOT_IN:
        return label == NULL || !has_value(r, val_text(label));
    case OP_EXISTS:
        return label != NULL;
    case OP_ABSENT:
        return label == NULL;
    case OP_GREATER:
    case OP_LESS:
        return label != NULL && compares(r, val_text(label));
    }
    return false;
}

bool selector_matches(const struct selector *selector, const struct val *labels)
{
    if (selector->is_nothing) {
        return false;
    }
    for (size_t i = 0; i < selector->count; i++) {
        if (!requirement_matches(&selector->list[i], labels)) {
            return false;
        }
    }
    return true;
}

bool selector_is_everything(const struct selector *selector)
{
    return selector->count == 0 && !selector->is_nothing;
}

static int cmp_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void format_one(struct buf *buf, struct arena *arena, const struct requirement *r)
{
    static const char *const middles[] = {
        [OP_EQUALS] = "=", [OP_NOT_EQUALS] = "!=", [OP_IN] = " in (",  [OP_NOT_IN] = " notin (",
        [OP_EXISTS] = "",  [OP_ABSENT] = "",       [OP_GREATER] = ">", [OP_LESS] = "<"};
    (void)buf_addf(buf, "%s" STR_FMT "%s", r->op == OP_ABSENT ? "!" : "", STR_ARG(r->key),
                   middles[r->op]);
    if (r->values_count == 0) {
        return;
    }
    struct str *values = arena_alloc(arena, r->values_count * sizeof(*values));
    memcpy(values, r->values, r->values_count * sizeof(*values));
    qsort(values, r->values_count, sizeof(*values), cmp_str);
    for (size_t i = 0; i < r->values_count; i++) {
        (void)buf_addf(buf, "%s" STR_FMT, i == 0 ? "" : ",", STR_ARG(values[i]));
    }
    if (r->op == OP_IN || r->op == OP_NOT_IN) {
        (void)buf_addc(buf, ')');
    }
}

struct str selector_format(struct arena *arena, const struct selector *selector)
{
    auto_buf struct buf buf;
    buf_init(&buf, BODY_BYTES_MAX);
    for (size_t i = 0; i < selector->count; i++) {
        if (i != 0) {
            (void)buf_addc(&buf, ',');
        }
        format_one(&buf, arena, &selector->list[i]);
    }
    return arena_dup(arena, buf_str(&buf));
}
