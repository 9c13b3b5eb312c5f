// SPDX-License-Identifier: Apache-2.0
//
// Strict where leniency invites smuggling: bare CR, blanks before a colon, folded lines and a
// missing or second Host are refused.
#include "http_request.h"

#include <string.h>
#include <strings.h>

struct head {
    bool is_http10;
    int hosts_count;
    bool has_body;
    bool close, keep;
};

static bool is_token(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return n > 0;
}

static bool is_word(const char *p, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp(p, word, n) == 0;
}

/* True when the comma-separated list at p holds word. */
static bool list_has(const char *p, size_t n, const char *word)
{
    while (n > 0) {
        const char *comma = memchr(p, ',', n);
        size_t item = comma == NULL ? n : (size_t)(comma - p);
        size_t from = 0, to = item;
        while (from < to && (p[from] == ' ' || p[from] == '\t')) {
            from++;
        }
        while (to > from && (p[to - 1] == ' ' || p[to - 1] == '\t')) {
            to--;
        }
        if (is_word(p + from, to - from, word)) {
            return true;
        }
        p += comma == NULL ? item : item + 1;
        n -= comma == NULL ? item : item + 1;
    }
    return false;
}

/* "GET /path?query HTTP/1.1". 0 or a status. */
static int read_request_line(const char *p, size_t n, struct http_request *req, struct head *head)
{
    const char *space = memchr(p, ' ', n);
    if (space == NULL || !is_token(p, (size_t)(space - p))) {
        return 400;
    }
    const char *target = space + 1, *end = p + n;
    const char *after = memchr(target, ' ', (size_t)(end - target));
    if (after == NULL || (size_t)(end - after) != sizeof " HTTP/1.1" - 1 ||
        memcmp(after, " HTTP/", 6) != 0 || after[7] != '.') {
        return 400;
    }
    if (after[6] != '1' || (after[8] != '0' && after[8] != '1')) {
        return 505;
    }
    head->is_http10 = after[8] == '0';
    if (!is_word(p, (size_t)(space - p), "GET") && !is_word(p, (size_t)(space - p), "HEAD")) {
        return 405;
    }
    req->is_head = *p == 'H';
    if ((size_t)(after - target) > 7 && strncasecmp(target, "http://", 7) == 0) {
        target += 7;
        target = memchr(target, '/', (size_t)(after - target));
    }
    if (target == NULL || *target != '/') {
        return 400;
    }
    const char *query = memchr(target, '?', (size_t)(after - target));
    size_t path = (size_t)((query == NULL ? after : query) - target);
    if (memchr(target, '\0', path) != NULL) {
        return 400;
    }
    if (path >= sizeof req->path) {
        return 414;
    }
    memcpy(req->path, target, path);
    req->path[path] = '\0';
    return 0;
}

/* "Name: value". 0 or a status. */
static int read_field(const char *p, size_t n, struct head *head)
{
    const char *colon = memchr(p, ':', n);
    if (colon == NULL || !is_token(p, (size_t)(colon - p))) {
        return 400;
    }
    size_t name = (size_t)(colon - p);
    const char *value = colon + 1;
    size_t value_len = n - name - 1;
    if (memchr(value, '\0', value_len) != NULL || memchr(value, '\r', value_len) != NULL) {
        return 400;
    }
    if (is_word(p, name, "Host")) {
        head->hosts_count++;
    } else if (is_word(p, name, "Connection")) {
        head->close = head->close || list_has(value, value_len, "close");
        head->keep = head->keep || list_has(value, value_len, "keep-alive");
    } else if (is_word(p, name, "Content-Length")) {
        head->has_body = head->has_body || !list_has(value, value_len, "0");
    } else if (is_word(p, name, "Transfer-Encoding")) {
        head->has_body = true;
    }
    return 0;
}

/* The line at *at without its line end; false when no whole line is there. */
static bool next_line(const char *p, size_t n, size_t *at, const char **ret_line, size_t *ret_len)
{
    const char *end = memchr(p + *at, '\n', n - *at);
    if (end == NULL) {
        return false;
    }
    *ret_line = p + *at;
    *ret_len = (size_t)(end - *ret_line);
    *at += *ret_len + 1;
    if (*ret_len > 0 && (*ret_line)[*ret_len - 1] == '\r') {
        --*ret_len;
    }
    return true;
}

static size_t fail(struct http_request *req, int status, size_t n)
{
    req->status = status;
    req->keep_alive = false;
    return n;
}

size_t http_request_read(const char *p, size_t n, struct http_request *ret)
{
    struct head head = {0};
    size_t at = 0, line_len;
    const char *line;
    *ret = (struct http_request){0};
    while (at < n && (p[at] == '\r' || p[at] == '\n')) {
        at++; /* RFC 9112 2.2: empty lines before a request are skipped */
    }
    if (!next_line(p, n, &at, &line, &line_len)) {
        return n >= HTTP_HEAD_MAX ? fail(ret, 431, n) : 0;
    }
    int status = read_request_line(line, line_len, ret, &head);
    if (status != 0 && status != 405) {
        return fail(ret, status, n);
    }
    for (;;) {
        if (!next_line(p, n, &at, &line, &line_len)) {
            return n >= HTTP_HEAD_MAX ? fail(ret, 431, n) : 0;
        }
        if (line_len == 0) {
            break;
        }
        int bad = read_field(line, line_len, &head);
        if (bad != 0) {
            return fail(ret, bad, n);
        }
    }
    if (head.hosts_count > 1 || (head.hosts_count == 0 && !head.is_http10)) {
        return fail(ret, 400, n);
    }
    if (status != 0) {
        return fail(ret, status, n);
    }
    /* A body of a GET means nothing here: the page is sent and the connection ends with it. */
    ret->keep_alive = !head.has_body && !head.close && (!head.is_http10 || head.keep);
    return at;
}
