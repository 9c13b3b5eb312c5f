// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct str str_of(const char *s)
{
    return s == NULL ? (struct str){"", 0} : (struct str){s, strlen(s)};
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || (a.p[0] == b.p[0] && memcmp(a.p, b.p, a.n) == 0));
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    if (n > 0 && a.p[0] != b.p[0]) { /* mostly: spares the call */
        return (unsigned char)a.p[0] - (unsigned char)b.p[0];
    }
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (order != 0) {
        return order;
    }
    return a.n < b.n ? -1 : a.n > b.n ? 1 : 0;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, s.n), suffix);
}

struct str str_sub(struct str s, size_t from, size_t to)
{
    to = to > s.n ? s.n : to;
    from = from > to ? to : from;
    return (struct str){from == 0 ? s.p : s.p + from, to - from};
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);
    return at == NULL ? -1 : at - s.p;
}

ptrdiff_t str_rfind(struct str s, char c)
{
    for (size_t i = s.n; i > 0; i--) {
        if (s.p[i - 1] == c) {
            return (ptrdiff_t)(i - 1);
        }
    }
    return -1;
}

ptrdiff_t str_search(struct str s, struct str needle)
{
    if (needle.n == 0) {
        return 0;
    }
    const char *at = s.n < needle.n ? NULL : memmem(s.p, s.n, needle.p, needle.n);
    return at == NULL ? -1 : at - s.p;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s = str_sub(s, 1, s.n);
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

struct str str_cut(struct str *rest, char sep)
{
    ptrdiff_t at = str_find(*rest, sep);
    struct str head = *rest;
    if (at < 0) {
        *rest = (struct str){NULL, 0};
        return head.p == NULL ? S("") : head;
    }
    head.n = (size_t)at;
    *rest = (struct str){rest->p + at + 1, rest->n - (size_t)at - 1};
    return head;
}

int str_to_u64(struct str s, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return ERR_INVALID;
        }
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10) {
            return ERR_INVALID;
        }
        v = v * 10 + digit;
    }
    if (s.n == 0) {
        return ERR_INVALID;
    }
    *ret = v;
    return 0;
}

int str_to_i64(struct str s, int64_t *ret)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t v;
    if (str_to_u64(str_sub(s, negative ? 1 : 0, s.n), &v) < 0) {
        return ERR_INVALID;
    }
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return ERR_INVALID;
    }
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

void buf_init(struct buf *buf, size_t bytes_max)
{
    *buf = (struct buf){.max = bytes_max};
}

void buf_done(struct buf *buf)
{
    free(buf->p);
    *buf = (struct buf){.max = buf->max};
}

void buf_clear(struct buf *buf)
{
    buf->n = 0;
    buf->over = false;
    if (buf->p != NULL) {
        buf->p[0] = '\0';
    }
}

struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->p == NULL ? "" : buf->p, buf->n};
}

char *buf_room(struct buf *buf, size_t n)
{
    if (n > buf->max - buf->n) {
        buf->over = true;
        return NULL;
    }
    size_t need = buf->n + n + 1;
    if (need > buf->cap) {
        size_t cap = buf->cap < 64 ? 64 : buf->cap * 2;
        cap = cap < need ? need : cap;
        buf->p = xrealloc(buf->p, cap);
        buf->cap = cap;
    }
    return buf->p + buf->n;
}

void buf_grew(struct buf *buf, size_t n)
{
    assert(buf->n + n < buf->cap);
    buf->n += n;
    buf->p[buf->n] = '\0';
}

int buf_add(struct buf *buf, struct str s)
{
    char *room = buf_room(buf, s.n);
    if (room == NULL) {
        return ERR_LIMIT;
    }
    if (s.n != 0) {
        memcpy(room, s.p, s.n);
    }
    buf_grew(buf, s.n);
    return 0;
}

int buf_addc(struct buf *buf, char c)
{
    return buf_add(buf, (struct str){&c, 1});
}

int buf_addf(struct buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(n >= 0);
    char *room = buf_room(buf, (size_t)n);
    if (room != NULL) {
        (void)vsnprintf(room, (size_t)n + 1, fmt, again);
        buf_grew(buf, (size_t)n);
    }
    va_end(again);
    return room == NULL ? ERR_LIMIT : 0;
}

void buf_consume(struct buf *buf, size_t n)
{
    assert(n <= buf->n);
    if (n == 0) {
        return;
    }
    memmove(buf->p, buf->p + n, buf->n - n);
    buf->n -= n;
    buf->p[buf->n] = '\0';
}

char *buf_take(struct buf *buf)
{
    char *p = buf->p == NULL ? xstrdup("") : buf->p;
    *buf = (struct buf){.max = buf->max};
    return p;
}

void auto_buf_cleanup(struct buf *buf)
{
    buf_done(buf);
}
