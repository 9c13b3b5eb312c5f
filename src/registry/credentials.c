// SPDX-License-Identifier: Apache-2.0
#include "registry/credentials.h"

#include "base/enc.h"
#include "base/mem.h"

#include <fnmatch.h>

enum { SECRET_BYTES_MAX = 64 << 10 };

/* What a key of "auths" says: "https://reg.example:5000/team/" is host and path. */
struct place {
    struct str host;
    struct str path; /* without slashes around */
};

static bool is_docker_io(struct str host)
{
    return str_eq(host, S("docker.io")) || str_eq(host, S("index.docker.io")) ||
           str_eq(host, S("registry-1.docker.io"));
}

static struct place place_of(struct str key)
{
    ptrdiff_t scheme = str_search(key, S("://"));
    struct place p = {.path = scheme < 0 ? key : str_sub(key, (size_t)scheme + 3, key.n)};
    p.host = str_cut(&p.path, '/');
    while (p.path.n > 0 && p.path.p[p.path.n - 1] == '/') {
        p.path.n--;
    }
    /* The API's version, as `docker login` of old wrote it. */
    if (str_eq(p.path, S("v1")) || str_eq(p.path, S("v2"))) {
        p.path = (struct str){0};
    } else if (str_starts(p.path, S("v1/")) || str_starts(p.path, S("v2/"))) {
        p.path = str_sub(p.path, 3, p.path.n);
    }
    if (is_docker_io(p.host)) {
        p.host = S("docker.io");
    }
    return p;
}

/* "*.example.com:5000": as many parts as the host, each a pattern of its own. */
static bool host_fits(struct arena *arena, struct str pattern, struct str host)
{
    while (pattern.p != NULL && host.p != NULL) {
        struct str a = arena_dup(arena, str_cut(&pattern, '.'));
        struct str b = arena_dup(arena, str_cut(&host, '.'));
        if (fnmatch(a.p, b.p, 0) != 0) {
            return false;
        }
    }
    return pattern.p == NULL && host.p == NULL;
}

static bool place_fits(struct arena *arena, const struct place *p, struct str host,
                       struct str repository)
{
    bool path_fits = p->path.n == 0 || str_eq(p->path, repository) ||
                     (str_starts(repository, p->path) && repository.p[p->path.n] == '/');
    return path_fits && host_fits(arena, p->host, host);
}

/* False when there is nothing in it: `docker login` with a helper leaves empty entries. */
static bool read_entry(const struct val *entry, struct arena *arena, struct credential *ret)
{
    struct credential c = {.username = val_text_at(entry, "username"),
                           .password = val_text_at(entry, "password"),
                           .identity_token = val_text_at(entry, "identitytoken")};
    struct str auth = val_text_at(entry, "auth");
    if (auth.n > 0) {
        auto_buf struct buf plain;
        buf_init(&plain, SECRET_BYTES_MAX);
        if (base64_decode(&plain, auth) < 0) {
            return false;
        }
        c.password = arena_dup(arena, buf_str(&plain));
        c.username = str_cut(&c.password, ':');
        while (c.password.n > 0 && c.password.p[c.password.n - 1] == '\0') {
            c.password.n--;
        }
    }
    *ret = c;
    return c.username.n > 0 || c.identity_token.n > 0;
}

size_t credentials_find(const struct val *documents, struct str host, struct str repository,
                        struct arena *arena, struct credential ret[static CREDENTIALS_MAX])
{
    size_t weights[CREDENTIALS_MAX];
    size_t count = 0;
    host = is_docker_io(host) ? S("docker.io") : host;
    for (size_t d = 0; d < val_count(documents); d++) {
        const struct val *document = val_at(documents, d);
        const struct val *auths = val_get(document, S("auths"));
        auths = auths == NULL ? document : auths; /* dockercfg is the map alone */
        for (size_t i = 0; val_is(auths, VAL_MAP) && i < auths->n; i++) {
            struct place p = place_of(auths->members[i].key);
            struct credential c;
            if (count == CREDENTIALS_MAX || !place_fits(arena, &p, host, repository) ||
                !read_entry(&auths->members[i].val, arena, &c)) {
                continue;
            }
            size_t weight = p.path.n * 2 + (str_find(p.host, '*') < 0);
            size_t at = count++;
            for (; at > 0 && weights[at - 1] < weight; at--) {
                ret[at] = ret[at - 1];
                weights[at] = weights[at - 1];
            }
            ret[at] = c;
            ret[at].document = (int)d;
            weights[at] = weight;
        }
    }
    return count;
}

void credential_hash(const struct credential *c, char out[static DIGEST_TEXT_MAX])
{
    const struct str parts[] = {c->username, c->password, c->identity_token};
    struct digest *d = digest_new();
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        auto_free char *part = xasprintf("%zu:" STR_FMT ",", parts[i].n, STR_ARG(parts[i]));
        digest_add(d, str_of(part));
    }
    digest_text(d, out);
    digest_free(d);
}
