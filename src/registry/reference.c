// SPDX-License-Identifier: Apache-2.0
#include "registry/reference.h"

#include "base/mem.h"

#include <ctype.h>

enum { NAME_TOTAL_MAX = 255 /* of domain and path, as distribution counts */ };

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f'))) {
            return false;
        }
    }
    return s.n > 0;
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool is_path_component(struct str s)
{
    size_t i = 0;
    while (i < s.n && is_lower_or_digit(s.p[i])) {
        while (i < s.n && is_lower_or_digit(s.p[i])) {
            i++;
        }
        if (i == s.n) {
            return true;
        }
        if (s.p[i] == '.') {
            i++;
        } else if (s.p[i] == '_') {
            i += i + 1 < s.n && s.p[i + 1] == '_' ? 2 : 1;
        } else if (s.p[i] == '-') {
            while (i < s.n && s.p[i] == '-') {
                i++;
            }
        } else {
            return false;
        }
    }
    return false;
}

static bool is_domain(struct str s)
{
    ptrdiff_t colon = str_rfind(s, ':');
    struct str host = s;
    if (colon >= 0 && str_rfind(s, ']') < colon) {
        uint64_t port;
        if (str_to_u64(str_sub(s, (size_t)colon + 1, s.n), &port) < 0 || port > 65535) {
            return false;
        }
        host = str_sub(s, 0, (size_t)colon);
    }
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        for (size_t i = 1; i + 1 < host.n; i++) {
            if (!isxdigit((unsigned char)host.p[i]) && host.p[i] != ':') {
                return false;
            }
        }
        return true;
    }
    while (host.p != NULL) {
        struct str label = str_cut(&host, '.');
        if (label.n == 0 || !is_alnum(label.p[0]) || !is_alnum(label.p[label.n - 1])) {
            return false;
        }
        for (size_t i = 0; i < label.n; i++) {
            if (!is_alnum(label.p[i]) && label.p[i] != '-') {
                return false;
            }
        }
    }
    return true;
}

static bool is_tag(struct str s)
{
    if (s.n == 0 || s.n > 128 || s.p[0] == '.' || s.p[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '.' && s.p[i] != '-') {
            return false;
        }
    }
    return true;
}

/* The algorithms that opencontainers/go-digest knows. */
static bool is_digest(struct str s)
{
    static const struct {
        const char *name;
        size_t digits;
    } algorithms[] = {
        {"sha256", 64 },
        {"sha384", 96 },
        {"sha512", 128}
    };
    struct str hex = s;
    struct str name = str_cut(&hex, ':');
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        if (str_eq(name, str_of(algorithms[i].name))) {
            return hex.n == algorithms[i].digits && is_hex(hex);
        }
    }
    return false;
}

/* Is the part before the first slash a host? */
static bool looks_like_domain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' || s.p[i] == ':' || (s.p[i] >= 'A' && s.p[i] <= 'Z')) {
            return true;
        }
    }
    return str_eq(s, S("localhost"));
}

/* docker.io/NAME, written without "library/". */
static bool is_library(const struct reference *ref)
{
    return str_eq(ref->domain, S("docker.io")) && str_find(ref->path, '/') < 0;
}

int reference_parse(struct str text, struct reference *ret, struct err *err)
{
    struct str whole = text;
    struct reference p = {0};
    bool is_fine = !(text.n == 64 && is_hex(text));
    ptrdiff_t at = str_find(text, '@');
    if (at >= 0) {
        p.digest = str_sub(text, (size_t)at + 1, text.n);
        text = str_sub(text, 0, (size_t)at);
        is_fine = is_fine && is_digest(p.digest);
    }
    ptrdiff_t colon = str_rfind(text, ':');
    if (colon >= 0 && colon > str_rfind(text, '/')) {
        p.tag = str_sub(text, (size_t)colon + 1, text.n);
        text = str_sub(text, 0, (size_t)colon);
        is_fine = is_fine && is_tag(p.tag);
    }
    ptrdiff_t slash = str_find(text, '/');
    struct str first = slash < 0 ? (struct str){0} : str_sub(text, 0, (size_t)slash);
    p.domain = S("docker.io");
    if (slash >= 0 && looks_like_domain(first)) {
        p.domain = str_eq(first, S("index.docker.io")) ? S("docker.io") : first;
        text = str_sub(text, (size_t)slash + 1, text.n);
        is_fine = is_fine && is_domain(first);
    }
    p.path = text;
    struct str rest = text;
    while (is_fine && rest.p != NULL) {
        is_fine = is_path_component(str_cut(&rest, '/'));
    }
    size_t name_n = p.domain.n + 1 + (is_library(&p) ? sizeof "library/" - 1 : 0) + text.n;
    if (!is_fine || text.n == 0 || name_n > NAME_TOTAL_MAX) {
        return err_set(err, ERR_INVALID,
                       "couldn't parse image name \"" STR_FMT "\": invalid reference format",
                       STR_ARG(whole));
    }
    *ret = p;
    return 0;
}

struct str reference_repository(struct arena *arena, const struct reference *ref)
{
    return arena_fmt(arena, "%s" STR_FMT, is_library(ref) ? "library/" : "", STR_ARG(ref->path));
}

int reference_normalise(struct arena *arena, struct str text, struct str *ret, struct err *err)
{
    struct reference p;
    if (reference_parse(text, &p, err) < 0) {
        return err->code;
    }
    struct str tag = p.tag.n == 0 && p.digest.n == 0 ? S("latest") : p.tag;
    *ret = arena_fmt(arena, STR_FMT "/" STR_FMT "%s" STR_FMT "%s" STR_FMT, STR_ARG(p.domain),
                     STR_ARG(reference_repository(arena, &p)), tag.n > 0 ? ":" : "", STR_ARG(tag),
                     p.digest.n > 0 ? "@" : "", STR_ARG(p.digest));
    return 0;
}
