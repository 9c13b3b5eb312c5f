// SPDX-License-Identifier: Apache-2.0
//
// JSON writer, byte for byte as Go's encoding/json writes: HTML-safe escapes, the shortest digits
// that read back to the same double, exponents outside [1e-6, 1e21).
#include "data/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOUBLE_TEXT_MAX = 40, INT_TEXT_MAX = 24 };

struct writer {
    struct buf *out;
    bool is_pretty;
    size_t depth;
};

/* Bytes that leave the plain run: what must be escaped, and 0xe2, which may start U+2028. */
static const unsigned char is_special[256] = {
    [0x00] = 1, [0x01] = 1, [0x02] = 1, [0x03] = 1, [0x04] = 1, [0x05] = 1, [0x06] = 1, [0x07] = 1,
    [0x08] = 1, [0x09] = 1, [0x0a] = 1, [0x0b] = 1, [0x0c] = 1, [0x0d] = 1, [0x0e] = 1, [0x0f] = 1,
    [0x10] = 1, [0x11] = 1, [0x12] = 1, [0x13] = 1, [0x14] = 1, [0x15] = 1, [0x16] = 1, [0x17] = 1,
    [0x18] = 1, [0x19] = 1, [0x1a] = 1, [0x1b] = 1, [0x1c] = 1, [0x1d] = 1, [0x1e] = 1, [0x1f] = 1,
    ['"'] = 1,  ['\\'] = 1, ['<'] = 1,  ['>'] = 1,  ['&'] = 1,  [0xe2] = 1,
};

static size_t plain_run(struct str s, size_t from)
{
    size_t at = from;
    while (at < s.n && !is_special[(unsigned char)s.p[at]]) {
        at++;
    }
    return at - from;
}

/* Writes the escape for the special byte at s.p[at]; returns the bytes that it stands for. */
static size_t write_escape(struct buf *out, struct str s, size_t at)
{
    static const char short_from[] = "\"\\\b\f\n\r\t";
    static const char short_to[] = "\"\\bfnrt";
    unsigned char c = (unsigned char)s.p[at];
    if (c == 0xe2) {
        bool is_separator = s.n - at >= 3 && (unsigned char)s.p[at + 1] == 0x80 &&
                            ((unsigned char)s.p[at + 2] & 0xfe) == 0xa8;
        if (is_separator) {
            (void)buf_addf(out, "\\u202%c", (unsigned char)s.p[at + 2] == 0xa8 ? '8' : '9');
            return 3;
        }
        (void)buf_addc(out, (char)c);
        return 1;
    }
    const char *found = c == '\0' ? NULL : strchr(short_from, (char)c);
    if (found != NULL) {
        char two[2] = {'\\', short_to[found - short_from]};
        (void)buf_add(out, (struct str){two, 2});
    } else {
        (void)buf_addf(out, "\\u%04x", c);
    }
    return 1;
}

int json_write_string(struct buf *out, struct str s)
{
    size_t at = plain_run(s, 0);
    if (at == s.n) { /* the usual string goes out in one piece */
        char *room = buf_room(out, s.n + 2);
        if (room == NULL) {
            return ERR_LIMIT;
        }
        room[0] = '"';
        if (s.n > 0) {
            memcpy(room + 1, s.p, s.n);
        }
        room[s.n + 1] = '"';
        buf_grew(out, s.n + 2);
        return 0;
    }
    (void)buf_addc(out, '"');
    (void)buf_add(out, (struct str){s.p, at});
    while (at < s.n && !out->over) {
        at += write_escape(out, s, at);
        size_t run = plain_run(s, at);
        (void)buf_add(out, str_sub(s, at, at + run));
        at += run;
    }
    (void)buf_addc(out, '"');
    return out->over ? ERR_LIMIT : 0;
}

static void write_int(struct buf *out, int64_t i)
{
    char text[INT_TEXT_MAX];
    size_t at = sizeof text;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    do {
        text[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (i < 0) {
        text[--at] = '-';
    }
    (void)buf_add(out, (struct str){text + at, sizeof text - at});
}

/* The fewest significant digits that read back to d, as d.ddde±xx. 15 digits, when they do, hold
 * the shortest form padded with zeros; subnormals may need fewer and are walked from below. */
static void shortest_digits(double d, char text[static DOUBLE_TEXT_MAX])
{
    int digits = fabs(d) < 0x1p-1022 ? 0 : 14;
    for (; digits < 17; digits++) {
        (void)snprintf(text, DOUBLE_TEXT_MAX, "%.*e", digits, d);
        if (strtod(text, NULL) == d) {
            return;
        }
    }
}

static void write_double(struct buf *out, double d)
{
    if (isnan(d) || isinf(d)) { /* JSON has no word for them; no reader makes them */
        (void)buf_add(out, S("null"));
        return;
    }
    if (d == 0) {
        (void)buf_add(out, signbit(d) ? S("-0") : S("0"));
        return;
    }
    char text[DOUBLE_TEXT_MAX];
    shortest_digits(fabs(d), text);
    char *e = strchr(text, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    char digits[DOUBLE_TEXT_MAX] = "";
    int n = 0;
    for (const char *p = text; p < e; p++) {
        if (*p != '.') {
            digits[n++] = *p;
        }
    }
    while (n > 1 && digits[n - 1] == '0') {
        n--;
    }
    if (d < 0) {
        (void)buf_addc(out, '-');
    }
    if (exponent < -6 || exponent >= 21) {
        (void)buf_addc(out, digits[0]);
        if (n > 1) {
            (void)buf_addf(out, ".%.*s", n - 1, digits + 1);
        }
        (void)buf_addf(out, "e%+d", exponent);
    } else if (exponent < 0) {
        (void)buf_addf(out, "0.%.*s%.*s", -exponent - 1, "00000", n, digits);
    } else if (n <= exponent + 1) {
        (void)buf_addf(out, "%.*s%.*s", n, digits, exponent + 1 - n, "000000000000000000000");
    } else {
        (void)buf_addf(out, "%.*s.%.*s", exponent + 1, digits, n - exponent - 1,
                       digits + exponent + 1);
    }
}

static void line_break(struct writer *w)
{
    if (w->is_pretty) {
        (void)buf_addc(w->out, '\n');
        for (size_t i = 0; i < w->depth; i++) {
            (void)buf_add(w->out, S("  "));
        }
    }
}

static void write_value(struct writer *w, const struct val *v);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void write_list(struct writer *w, const struct val *v)
{
    (void)buf_addc(w->out, '[');
    w->depth++;
    for (uint32_t i = 0; i < v->n && !w->out->over; i++) {
        if (i > 0) {
            (void)buf_addc(w->out, ',');
        }
        line_break(w);
        write_value(w, &v->items[i]);
    }
    w->depth--;
    if (v->n > 0) {
        line_break(w);
    }
    (void)buf_addc(w->out, ']');
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void write_map(struct writer *w, const struct val *v)
{
    (void)buf_addc(w->out, '{');
    w->depth++;
    for (uint32_t i = 0; i < v->n && !w->out->over; i++) {
        if (i > 0) {
            (void)buf_addc(w->out, ',');
        }
        line_break(w);
        (void)json_write_string(w->out, v->members[i].key);
        (void)buf_add(w->out, w->is_pretty ? S(": ") : S(":"));
        write_value(w, &v->members[i].val);
    }
    w->depth--;
    if (v->n > 0) {
        line_break(w);
    }
    (void)buf_addc(w->out, '}');
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void write_value(struct writer *w, const struct val *v)
{
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        (void)buf_add(w->out, S("null"));
        break;
    case VAL_BOOL:
        (void)buf_add(w->out, v->b ? S("true") : S("false"));
        break;
    case VAL_INT:
        write_int(w->out, v->i);
        break;
    case VAL_DOUBLE:
        write_double(w->out, v->d);
        break;
    case VAL_STR:
        (void)json_write_string(w->out, (struct str){v->s, v->n});
        break;
    case VAL_LIST:
        write_list(w, v);
        break;
    case VAL_MAP:
        write_map(w, v);
        break;
    }
}

int json_write(struct buf *out, const struct val *v)
{
    struct writer w = {.out = out};
    write_value(&w, v);
    return out->over ? ERR_LIMIT : 0;
}

int json_write_pretty(struct buf *out, const struct val *v)
{
    struct writer w = {.out = out, .is_pretty = true};
    write_value(&w, v);
    return out->over ? ERR_LIMIT : 0;
}
