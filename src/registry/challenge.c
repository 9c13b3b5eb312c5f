// SPDX-License-Identifier: Apache-2.0
#include "registry/challenge.h"

#include "base/mem.h"

#include <strings.h>

enum { HEADER_MAX = 16 << 10 };

static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_word(struct str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static struct str read_token(struct str *rest)
{
    size_t n = 0;
    while (n < rest->n && is_token(rest->p[n])) {
        n++;
    }
    struct str token = str_sub(*rest, 0, n);
    *rest = str_sub(*rest, n, rest->n);
    return token;
}

static void skip(struct str *rest, const char *bytes)
{
    while (rest->n > 0 && rest->p[0] != '\0' && strchr(bytes, rest->p[0]) != NULL) {
        *rest = str_sub(*rest, 1, rest->n);
    }
}

/* A token or a quoted string. */
static struct str read_value(struct arena *arena, struct str *rest)
{
    if (rest->n == 0 || rest->p[0] != '"') {
        return read_token(rest);
    }
    auto_buf struct buf value;
    buf_init(&value, HEADER_MAX);
    size_t i = 1;
    for (; i < rest->n && rest->p[i] != '"'; i++) {
        i += rest->p[i] == '\\' && i + 1 < rest->n;
        (void)buf_addc(&value, rest->p[i]);
    }
    *rest = str_sub(*rest, i + 1, rest->n);
    return arena_dup(arena, buf_str(&value));
}

static void keep_better(struct challenge *best, const struct challenge *other)
{
    if (other->scheme > best->scheme) {
        *best = *other;
    }
}

void challenge_parse(struct arena *arena, struct str header, struct challenge *ret)
{
    struct challenge best = {0};
    struct challenge cur = {0};
    struct str rest = str_sub(header, 0, HEADER_MAX);
    for (;;) {
        skip(&rest, " \t,");
        struct str word = read_token(&rest);
        struct str after = rest;
        skip(&after, " \t");
        if (word.n == 0) {
            break; /* the end, or nothing that this grammar knows */
        }
        if (after.n == 0 || after.p[0] != '=') {
            keep_better(&best, &cur);
            cur = (struct challenge){.scheme = is_word(word, "bearer")  ? CHALLENGE_BEARER
                                               : is_word(word, "basic") ? CHALLENGE_BASIC
                                                                        : CHALLENGE_NONE};
            continue;
        }
        rest = str_sub(after, 1, after.n);
        skip(&rest, " \t");
        struct str value = read_value(arena, &rest);
        struct str *at = is_word(word, "realm")     ? &cur.realm
                         : is_word(word, "service") ? &cur.service
                         : is_word(word, "scope")   ? &cur.scope
                                                    : NULL;
        if (at != NULL) {
            *at = value;
        }
    }
    keep_better(&best, &cur);
    *ret = best;
}
