// SPDX-License-Identifier: Apache-2.0
//
// JSON reader (RFC 8259), one pass. Members and items of open containers wait on one scratch stack
// and move into the arena, at their exact size, when their container closes. Strings without
// escapes point into the text. A lone surrogate escape becomes U+FFFD, as Go reads it.
#include "data/json.h"

#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_BYTES = 8192, NUMBER_BYTES = 64, SORT_RUN = 12 };

/* One open container, for the paths of duplicate keys. */
struct level {
    bool is_list;
    size_t index;
    struct str key;
};

struct reader {
    const char *at;
    const char *end;
    struct str text;
    struct arena *arena;
    const struct json_options *options;
    struct err *err;
    char *scratch;
    size_t scratch_used;
    size_t scratch_cap;
    size_t depth;
    struct level levels[DOC_DEPTH_MAX];
    _Alignas(max_align_t) char scratch_first[SCRATCH_BYTES];
};

static int read_value(struct reader *r, struct val *ret);

/* "line 2, column 7: expected ..., found ..." at the reader's place. */
static int fail(struct reader *r, int code, const char *what)
{
    size_t line = 1;
    const char *start = r->text.p;
    for (const char *p = r->text.p; p < r->at; p++) {
        if (*p == '\n') {
            line++;
            start = p + 1;
        }
    }
    size_t column = (size_t)(r->at - start) + 1;
    if (code == ERR_LIMIT) {
        return err_set(r->err, code, "line %zu, column %zu: %s", line, column, what);
    }
    if (r->at >= r->end) {
        return err_set(r->err, code, "line %zu, column %zu: expected %s, found the end of the text",
                       line, column, what);
    }
    unsigned char c = (unsigned char)*r->at;
    if (c < 0x20 || c > 0x7e) {
        return err_set(r->err, code, "line %zu, column %zu: expected %s, found byte 0x%02x", line,
                       column, what, c);
    }
    return err_set(r->err, code, "line %zu, column %zu: expected %s, found '%c'", line, column,
                   what, c);
}

static void skip_blanks(struct reader *r)
{
    const char *p = r->at;
    while (p < r->end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) {
        p++;
    }
    r->at = p;
}

static void *scratch_push(struct reader *r, size_t size)
{
    if (r->scratch_cap - r->scratch_used < size) {
        size_t cap = r->scratch_cap * 2;
        if (r->scratch == r->scratch_first) {
            r->scratch = xmalloc(cap);
            memcpy(r->scratch, r->scratch_first, r->scratch_used);
        } else {
            r->scratch = xrealloc(r->scratch, cap);
        }
        r->scratch_cap = cap;
    }
    void *slot = r->scratch + r->scratch_used;
    r->scratch_used += size;
    return slot;
}

/* Strings. */

/* True when one of eight bytes is '"', '\\', a control character or not ASCII. */
static bool word_is_special(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    const uint64_t ones = 0x0101010101010101U;
    const uint64_t highs = 0x8080808080808080U;
    uint64_t quote = w ^ ones * '"';
    uint64_t slash = w ^ ones * '\\';
    return ((w | (w - ones * 0x20) | (quote - ones) | (slash - ones)) & highs) != 0;
}

/* Stops at the first quote or backslash; checks everything before it. */
static int scan_plain(struct reader *r)
{
    const char *p = r->at;
    for (;;) {
        while (r->end - p >= 8 && !word_is_special(p)) {
            p += 8;
        }
        while (p < r->end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
               *p != '\\') {
            p++;
        }
        r->at = p;
        if (p == r->end) {
            return fail(r, ERR_SYNTAX, "'\"' at the end of a string");
        }
        if (*p == '"' || *p == '\\') {
            return 0;
        }
        if ((unsigned char)*p < 0x20) {
            return fail(r, ERR_SYNTAX, "control characters escaped in a string");
        }
        size_t run = 0;
        while (p + run < r->end && (unsigned char)p[run] >= 0x80) {
            run++;
        }
        size_t valid = utf8_valid_prefix((struct str){p, run});
        p += valid;
        if (valid != run) {
            r->at = p;
            return fail(r, ERR_SYNTAX, "valid UTF-8");
        }
    }
}

/* Four hex digits at r->at. */
static int read_hex4(struct reader *r, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = r->at < r->end ? *r->at : 'x';
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) {
            return fail(r, ERR_SYNTAX, "four hex digits after \\u");
        }
        v = v << 4 | digit;
    }
    *ret = v;
    return 0;
}

/* Decodes the escape at r->at (after the backslash) to out. */
static int read_escape(struct reader *r, struct buf *out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at : '\0';
    const char *found = c == '\0' ? NULL : strchr(names, c);
    if (found != NULL) {
        r->at++;
        return buf_addc(out, bytes[found - names]);
    }
    if (c != 'u') {
        return fail(r, ERR_SYNTAX, "an escape (one of \"\\/bfnrtu)");
    }
    r->at++;
    uint32_t code;
    if (read_hex4(r, &code) < 0) {
        return r->err->code;
    }
    if (code >= 0xd800 && code < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' &&
        r->at[1] == 'u') {
        const char *back = r->at;
        r->at += 2;
        uint32_t low;
        if (read_hex4(r, &low) < 0) {
            return r->err->code;
        }
        if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        } else {
            r->at = back;
        }
    }
    return utf8_put(out, code);
}

/* The rest of a string that holds escapes; start is its first byte, r->at the first backslash. */
static int read_escaped(struct reader *r, const char *start, struct str *ret)
{
    auto_buf struct buf out;
    buf_init(&out, r->text.n * 3 + 8);
    (void)buf_add(&out, (struct str){start, (size_t)(r->at - start)});
    while (*r->at == '\\') {
        r->at++;
        if (read_escape(r, &out) < 0) {
            return r->err->code;
        }
        const char *from = r->at;
        if (scan_plain(r) < 0) {
            return r->err->code;
        }
        (void)buf_add(&out, (struct str){from, (size_t)(r->at - from)});
    }
    r->at++;
    *ret = arena_dup(r->arena, buf_str(&out));
    return 0;
}

static int read_string(struct reader *r, struct str *ret)
{
    const char *start = ++r->at;
    if (scan_plain(r) < 0) {
        return r->err->code;
    }
    if (*r->at == '\\') {
        return read_escaped(r, start, ret);
    }
    *ret = (struct str){start, (size_t)(r->at - start)};
    r->at++;
    return 0;
}

/* Numbers. */

static bool skip_digits(struct reader *r)
{
    const char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return r->at > start;
}

static int read_double(struct reader *r, struct str s, struct val *ret)
{
    char small[NUMBER_BYTES];
    char *text = s.n < sizeof small ? small : arena_alloc(r->arena, s.n + 1);
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double d = strtod(text, NULL);
    if (d > 0x1.fffffffffffffp1023 || d < -0x1.fffffffffffffp1023) {
        r->at = s.p;
        return fail(r, ERR_SYNTAX, "a number within the range of a double");
    }
    *ret = val_double(d);
    return 0;
}

static int read_number(struct reader *r, struct val *ret)
{
    struct str s = {r->at, 0};
    if (*r->at == '-') {
        r->at++;
    }
    const char *digits = r->at;
    if (!skip_digits(r)) {
        return fail(r, ERR_SYNTAX, "a digit");
    }
    if (*digits == '0' && r->at - digits > 1) {
        r->at = digits + 1;
        return fail(r, ERR_SYNTAX, "no digit after a leading zero");
    }
    bool is_whole = true;
    if (r->at < r->end && *r->at == '.') {
        is_whole = false;
        r->at++;
        if (!skip_digits(r)) {
            return fail(r, ERR_SYNTAX, "a digit after '.'");
        }
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        is_whole = false;
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) {
            r->at++;
        }
        if (!skip_digits(r)) {
            return fail(r, ERR_SYNTAX, "a digit in the exponent");
        }
    }
    s.n = (size_t)(r->at - s.p);
    int64_t i;
    if (is_whole && str_to_i64(s, &i) == 0) {
        *ret = val_int(i);
        return 0;
    }
    return read_double(r, s, ret);
}

/* Containers. */

static void report_duplicate(struct reader *r, struct str key)
{
    if (r->options == NULL || r->options->duplicate == NULL) {
        return;
    }
    auto_buf struct buf path;
    buf_init(&path, r->text.n * 4 + (size_t)32 * DOC_DEPTH_MAX);
    for (size_t i = 0; i + 1 < r->depth; i++) {
        const struct level *level = &r->levels[i];
        if (level->is_list) {
            (void)buf_addf(&path, "[%zu]", level->index);
        } else {
            (void)buf_addf(&path, "%s" STR_FMT, path.n == 0 ? "" : ".", STR_ARG(level->key));
        }
    }
    (void)buf_addf(&path, "%s" STR_FMT, path.n == 0 ? "" : ".", STR_ARG(key));
    r->options->duplicate(r->options->ctx, buf_str(&path));
}

/* Stable merge sort: of equal keys the later one stays behind. */
static void members_sort(struct member *m, struct member *spare, size_t n)
{
    for (size_t from = 0; from < n; from += SORT_RUN) {
        size_t to = from + SORT_RUN < n ? from + SORT_RUN : n;
        for (size_t i = from + 1; i < to; i++) {
            struct member x = m[i];
            size_t k = i;
            for (; k > from && str_cmp(m[k - 1].key, x.key) > 0; k--) {
                m[k] = m[k - 1];
            }
            m[k] = x;
        }
    }
    for (size_t width = SORT_RUN; width < n; width *= 2) {
        for (size_t from = 0; from + width < n; from += 2 * width) {
            size_t mid = from + width;
            size_t to = mid + width < n ? mid + width : n;
            memcpy(spare, m + from, width * sizeof *m);
            size_t a = 0;
            size_t b = mid;
            size_t at = from;
            while (a < width) {
                bool is_b = b < to && str_cmp(m[b].key, spare[a].key) < 0;
                m[at++] = is_b ? m[b++] : spare[a++];
            }
        }
    }
}

/* Moves the members from scratch offset base into the arena. */
static struct val map_close(struct reader *r, size_t base, bool is_sorted)
{
    size_t n = (r->scratch_used - base) / sizeof(struct member);
    struct val map = val_map();
    if (n == 0) {
        return map;
    }
    map.members = arena_alloc(r->arena, n * sizeof *map.members);
    memcpy(map.members, r->scratch + base, n * sizeof *map.members);
    if (!is_sorted) {
        auto_free struct member *spare = n > SORT_RUN ? xmalloc(n * sizeof *spare) : NULL;
        members_sort(map.members, spare, n);
        size_t kept = 0;
        for (size_t i = 1; i < n; i++) {
            if (str_eq(map.members[i].key, map.members[kept].key)) {
                report_duplicate(r, map.members[i].key);
            } else {
                kept++;
            }
            map.members[kept] = map.members[i];
        }
        n = kept + 1;
    }
    map.n = (uint32_t)n;
    r->scratch_used = base;
    return map;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_member(struct reader *r, struct str *last, bool *is_sorted)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != '"') {
        return fail(r, ERR_SYNTAX, "a key in quotes");
    }
    struct member m;
    if (read_string(r, &m.key) < 0) {
        return r->err->code;
    }
    if (last->p != NULL && str_cmp(*last, m.key) >= 0) {
        *is_sorted = false;
    }
    *last = m.key;
    r->levels[r->depth - 1].key = m.key;
    skip_blanks(r);
    if (r->at == r->end || *r->at != ':') {
        return fail(r, ERR_SYNTAX, "':' after a key");
    }
    r->at++;
    if (read_value(r, &m.val) < 0) {
        return r->err->code;
    }
    memcpy(scratch_push(r, sizeof m), &m, sizeof m);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_map(struct reader *r, struct val *ret)
{
    size_t base = r->scratch_used;
    bool is_sorted = true;
    struct str last = {NULL, 0};
    skip_blanks(r);
    if (r->at < r->end && *r->at == '}') {
        r->at++;
        *ret = val_map();
        return 0;
    }
    for (;;) {
        if (read_member(r, &last, &is_sorted) < 0) {
            return r->err->code;
        }
        skip_blanks(r);
        if (r->at < r->end && *r->at == '}') {
            r->at++;
            *ret = map_close(r, base, is_sorted);
            return 0;
        }
        if (r->at == r->end || *r->at != ',') {
            return fail(r, ERR_SYNTAX, "',' or '}' in a map");
        }
        r->at++;
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_list(struct reader *r, struct val *ret)
{
    size_t base = r->scratch_used;
    *ret = val_list();
    skip_blanks(r);
    if (r->at < r->end && *r->at == ']') {
        r->at++;
        return 0;
    }
    for (;;) {
        struct val item;
        if (read_value(r, &item) < 0) {
            return r->err->code;
        }
        memcpy(scratch_push(r, sizeof item), &item, sizeof item);
        r->levels[r->depth - 1].index++;
        skip_blanks(r);
        if (r->at < r->end && *r->at == ']') {
            r->at++;
            break;
        }
        if (r->at == r->end || *r->at != ',') {
            return fail(r, ERR_SYNTAX, "',' or ']' in a list");
        }
        r->at++;
    }
    size_t bytes = r->scratch_used - base;
    ret->n = (uint32_t)(bytes / sizeof(struct val));
    ret->items = arena_alloc(r->arena, bytes);
    memcpy(ret->items, r->scratch + base, bytes);
    r->scratch_used = base;
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_container(struct reader *r, struct val *ret)
{
    if (r->depth == DOC_DEPTH_MAX) {
        return fail(r, ERR_LIMIT, "nested deeper than 64 levels");
    }
    if (arena_is_over(r->arena)) {
        return fail(r, ERR_LIMIT, "the document takes too much memory");
    }
    bool is_list = *r->at++ == '[';
    r->levels[r->depth++] = (struct level){.is_list = is_list};
    int result = is_list ? read_list(r, ret) : read_map(r, ret);
    r->depth--;
    return result;
}

static int read_word(struct reader *r, struct val *ret)
{
    static const struct {
        struct str word;
        struct val val;
    } words[] = {
        {{"true", 4},  {.type = VAL_BOOL, .b = true} },
        {{"false", 5}, {.type = VAL_BOOL, .b = false}},
        {{"null", 4},  {.type = VAL_NULL}            },
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_starts((struct str){r->at, (size_t)(r->end - r->at)}, words[i].word)) {
            r->at += words[i].word.n;
            *ret = words[i].val;
            return 0;
        }
    }
    return fail(r, ERR_SYNTAX, "a value");
}

/* Recursion is capped by read_container. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_value(struct reader *r, struct val *ret)
{
    skip_blanks(r);
    char c = r->at < r->end ? *r->at : '\0';
    if (c == '"') {
        struct str s = {0};
        int result = read_string(r, &s);
        if (result == 0) {
            *ret = val_str(s);
        }
        return result;
    }
    if (c == '{' || c == '[') {
        return read_container(r, ret);
    }
    return c == '-' || (c >= '0' && c <= '9') ? read_number(r, ret) : read_word(r, ret);
}

int json_read(struct str text, struct arena *arena, const struct json_options *options,
              struct val *ret, struct err *err)
{
    struct reader r;
    r.text = text.n == 0 ? S("") : text;
    r.at = r.text.p;
    r.end = r.at + text.n;
    r.arena = arena;
    r.options = options;
    r.err = err;
    r.depth = 0;
    r.scratch = r.scratch_first;
    r.scratch_used = 0;
    r.scratch_cap = sizeof r.scratch_first;
    if (text.n >= UINT32_MAX) {
        return err_set(err, ERR_LIMIT, "a document of %zu bytes is too large", text.n);
    }
    struct val root;
    int result = read_value(&r, &root);
    if (result == 0) {
        skip_blanks(&r);
        result = r.at == r.end ? 0 : fail(&r, ERR_SYNTAX, "the end of the text");
    }
    if (r.scratch != r.scratch_first) {
        free(r.scratch);
    }
    if (result == 0) {
        *ret = root;
    }
    return result;
}
