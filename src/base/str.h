// SPDX-License-Identifier: Apache-2.0
//
// Strings. `struct str` is a borrowed view: bytes with a length, not NUL-terminated unless its
// maker says so. `struct buf` owns growing bytes and is born with a ceiling (the DynBuf idea of
// curl): going over it returns ERR_LIMIT and keeps what was there.
#ifndef CORACLE_BASE_STR_H
#define CORACLE_BASE_STR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

/* S("literal"): a view of a string literal. */
#define S(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_FMT    "%.*s"
#define STR_ARG(s) (int)(s).n, (s).n == 0 ? "" : (s).p

struct str str_of(const char *s); /* view of a C string; NULL gives the empty view */
bool str_eq(struct str a, struct str b);
int str_cmp(struct str a, struct str b); /* bytewise, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_sub(struct str s, size_t from, size_t to); /* [from, to), clamped */
/* Index of the first (last) byte c, or -1. */
ptrdiff_t str_find(struct str s, char c);
ptrdiff_t str_rfind(struct str s, char c);
/* Index of the first occurrence of needle, or -1. */
ptrdiff_t str_search(struct str s, struct str needle);
struct str str_trim(struct str s); /* spaces, tabs, CR, LF off both ends */
/* Cuts *rest at the first sep: returns what is before it, leaves in *rest what is after it. When
 * there is no sep, returns all and leaves *rest empty with p NULL; so loop while rest.p != NULL. */
struct str str_cut(struct str *rest, char sep);
/* Decimal, whole string, no sign (int: optional '-'); ERR_INVALID when it is not or overflows. */
MUST_CHECK int str_to_u64(struct str s, uint64_t *ret);
MUST_CHECK int str_to_i64(struct str s, int64_t *ret);

struct buf {
    char *p;    /* NULL or NUL-terminated */
    size_t n;   /* bytes used */
    size_t cap; /* bytes owned */
    size_t max; /* ceiling for n */
    bool over;  /* something did not fit */
};

/* In-place life cycle. bytes_max is the ceiling. buf_done frees; buf_clear keeps the memory. */
void buf_init(struct buf *buf, size_t bytes_max);
void buf_done(struct buf *buf);
void buf_clear(struct buf *buf);
struct str buf_str(const struct buf *buf); /* borrowed until the next change */
/* Appending. On overflow: ERR_LIMIT, buf->over set, content unchanged. Callers that write much
 * check buf->over once at the end. */
int buf_add(struct buf *buf, struct str s);
int buf_addc(struct buf *buf, char c);
int buf_addf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Room for n more bytes at the end, to be filled and then counted with buf_grew; NULL when over. */
char *buf_room(struct buf *buf, size_t n);
void buf_grew(struct buf *buf, size_t n);
/* Drops n bytes from the front. */
void buf_consume(struct buf *buf, size_t n);
/* The bytes become the caller's (NUL-terminated, free()); buf is empty again. */
char *buf_take(struct buf *buf);

void auto_buf_cleanup(struct buf *buf);
#define auto_buf __attribute__((cleanup(auto_buf_cleanup)))

#endif
