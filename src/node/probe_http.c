// SPDX-License-Identifier: Apache-2.0
//
// Tables and text of HTTP probes. Relative references are resolved as far as a Location header
// needs it: absolute URL, "//host/…", "/path", "path", "?query"; dot segments are left to the
// server.
#include "node/probe_http.h"

#include "base/mem.h"

#include <strings.h>

static bool same_name(struct str a, struct str b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

struct probe_url probe_url_of(const struct val *get, struct str host, uint16_t port,
                              struct arena *arena)
{
    struct str path = val_text(val_get(get, S("path")));
    if (path.n == 0 || path.p[0] != '/') {
        path = arena_fmt(arena, "/" STR_FMT, STR_ARG(path));
    }
    return (struct probe_url){.is_tls = same_name(val_text(val_get(get, S("scheme"))), S("HTTPS")),
                              .host = host,
                              .port = port,
                              .target = path};
}

struct str probe_url_text(const struct probe_url *url, struct arena *arena)
{
    bool is_v6 = str_find(url->host, ':') >= 0;
    return arena_fmt(arena, is_v6 ? "%s://[%.*s]:%d%.*s" : "%s://%.*s:%d%.*s",
                     url->is_tls ? "https" : "http", STR_ARG(url->host), url->port,
                     STR_ARG(url->target));
}

size_t probe_headers(const struct val *get, struct http_header headers[PROBE_HEADERS_MAX])
{
    static const struct {
        const char *name, *value;
    } defaults[] = {
        {"User-Agent", "kube-probe/1.35"},
        {"Accept",     "*/*"            }
    };
    const struct val *own = val_get(get, S("httpHeaders"));
    bool has[ARRAY_LEN(defaults)] = {false};
    size_t count = 0;
    for (size_t i = 0; i < val_count(own) && count < PROBE_HEADERS_MAX - ARRAY_LEN(defaults); i++) {
        struct str name = val_text(val_get(val_at(own, i), S("name")));
        struct str value = val_text(val_get(val_at(own, i), S("value")));
        bool is_default = false;
        for (size_t k = 0; k < ARRAY_LEN(defaults); k++) {
            bool is_same = same_name(name, str_of(defaults[k].name));
            is_default = is_default || is_same;
            has[k] = has[k] || is_same;
        }
        if (value.n > 0 || !is_default) { /* an empty one takes the default away */
            headers[count++] = (struct http_header){name, value};
        }
    }
    for (size_t k = 0; k < ARRAY_LEN(defaults); k++) {
        if (!has[k]) {
            headers[count++] =
                (struct http_header){str_of(defaults[k].name), str_of(defaults[k].value)};
        }
    }
    return count;
}

/* --- redirects --- */

/* Splits "host:port" or "[v6]:port"; *port stays when there is none. */
static bool cut_authority(struct str authority, struct str *host, uint16_t *port)
{
    ptrdiff_t at = str_rfind(authority, '@');
    authority = at >= 0 ? str_sub(authority, (size_t)at + 1, authority.n) : authority;
    struct str digits;
    if (authority.n > 0 && authority.p[0] == '[') {
        ptrdiff_t end = str_find(authority, ']');
        if (end < 0) {
            return false;
        }
        *host = str_sub(authority, 1, (size_t)end);
        digits = str_sub(authority, (size_t)end + 1, authority.n);
    } else {
        ptrdiff_t colon = str_find(authority, ':');
        size_t end = colon >= 0 ? (size_t)colon : authority.n;
        *host = str_sub(authority, 0, end);
        digits = str_sub(authority, end, authority.n);
    }
    uint64_t number = 0;
    if (digits.n > 1) {
        if (digits.p[0] != ':' || str_to_u64(str_sub(digits, 1, digits.n), &number) < 0 ||
            number == 0 || number > 65535) {
            return false;
        }
        *port = (uint16_t)number;
    }
    return host->n > 0;
}

/* location without its fragment, relative to url->target. */
static struct str resolve_path(const struct probe_url *url, struct str location,
                               struct arena *arena)
{
    struct str path = url->target;
    ptrdiff_t query = str_find(path, '?');
    path = query >= 0 ? str_sub(path, 0, (size_t)query) : path;
    if (location.n == 0) {
        return url->target;
    }
    if (location.p[0] == '/') {
        return arena_dup(arena, location);
    }
    if (location.p[0] != '?') {
        path = str_sub(path, 0, (size_t)(str_rfind(path, '/') + 1));
    }
    return arena_fmt(arena, STR_FMT STR_FMT, STR_ARG(path), STR_ARG(location));
}

static bool has_bad_byte(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool resolve(const struct probe_url *url, struct str location, struct arena *arena,
                    struct probe_url *ret)
{
    ptrdiff_t hash = str_find(location, '#');
    location = hash >= 0 ? str_sub(location, 0, (size_t)hash) : location;
    *ret = *url;
    if (has_bad_byte(location)) {
        return false;
    }
    ptrdiff_t scheme = str_search(location, S("://"));
    bool has_scheme = scheme > 0 && str_find(str_sub(location, 0, (size_t)scheme), '/') < 0;
    if (has_scheme) {
        struct str name = str_sub(location, 0, (size_t)scheme);
        ret->is_tls = same_name(name, S("https"));
        if (!ret->is_tls && !same_name(name, S("http"))) {
            return false;
        }
        location = str_sub(location, (size_t)scheme + 1, location.n);
    }
    if (!str_starts(location, S("//"))) {
        ret->target = resolve_path(url, location, arena);
        return true;
    }
    location = str_sub(location, 2, location.n);
    size_t end = 0;
    while (end < location.n && location.p[end] != '/' && location.p[end] != '?') {
        end++;
    }
    ret->port = ret->is_tls ? 443 : 80;
    if (!cut_authority(str_sub(location, 0, end), &ret->host, &ret->port)) {
        return false;
    }
    struct str target = str_sub(location, end, location.n);
    ret->host = arena_dup(arena, ret->host);
    ret->target = arena_fmt(arena, "%s" STR_FMT, target.n > 0 && target.p[0] == '/' ? "" : "/",
                            STR_ARG(target));
    return true;
}

enum probe_redirect probe_redirect(const struct probe_url *url, int code, struct str location,
                                   struct arena *arena, struct probe_url *ret)
{
    static const int codes[] = {301, 302, 303, 307, 308};
    bool is_redirect = false;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        is_redirect = is_redirect || codes[i] == code;
    }
    if (!is_redirect || location.n == 0) {
        return REDIRECT_NONE;
    }
    if (!resolve(url, location, arena, ret)) {
        return REDIRECT_BAD;
    }
    return same_name(ret->host, url->host) ? REDIRECT_FOLLOW : REDIRECT_NONE;
}

/* --- ports --- */

int probe_port_find(const struct val *container, const struct val *port, uint16_t *ret,
                    struct err *err)
{
    int64_t number = val_number(port, 0);
    struct str name = val_text(port);
    const struct val *ports = val_get(container, S("ports"));
    bool is_found = !val_is(port, VAL_STR);
    for (size_t i = 0; !is_found && i < val_count(ports); i++) {
        if (str_eq(val_text(val_get(val_at(ports, i), S("name"))), name)) {
            number = val_number(val_get(val_at(ports, i), S("containerPort")), 0);
            is_found = true;
        }
    }
    if (!is_found && str_to_i64(name, &number) < 0) {
        return err_set(err, ERR_INVALID, "strconv.Atoi: parsing \"" STR_FMT "\": invalid syntax",
                       STR_ARG(name));
    }
    if (number <= 0 || number > 65535) {
        return err_set(err, ERR_INVALID, "invalid port number: %lld", (long long)number);
    }
    *ret = (uint16_t)number;
    return 0;
}
