// SPDX-License-Identifier: Apache-2.0
#include "registry/endpoints.h"

#include "base/mem.h"
#include "data/yaml.h"

/* The words of the file: where, word. "*" stands for any key. */
static const struct {
    const char *where;
    const char *words[5];
} known[] = {
    {"",             {"mirrors", "configs"}                           },
    {"mirrors.*",    {"endpoint"}                                     },
    {"configs.*",    {"auth", "tls"}                                  },
    {"configs.auth", {"username", "password", "auth", "identitytoken"}},
    {"configs.tls",  {"ca_file", "insecure_skip_verify"}              },
};

static int check_words(const struct val *map, const char *where, struct str name, struct err *err)
{
    size_t row = 0;
    while (strcmp(known[row].where, where) != 0) {
        row++;
    }
    if (map == NULL || val_is(map, VAL_NULL)) {
        return 0;
    }
    if (!val_is(map, VAL_MAP)) {
        return err_set(err, ERR_INVALID, "'" STR_FMT "': expected a map", STR_ARG(name));
    }
    for (size_t i = 0; i < map->n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(known[row].words); k++) {
            is_known = is_known || (known[row].words[k] != NULL &&
                                    str_eq(map->members[i].key, str_of(known[row].words[k])));
        }
        if (!is_known) {
            return err_set(err, ERR_INVALID, "'" STR_FMT "': unknown word '" STR_FMT "'",
                           STR_ARG(name), STR_ARG(map->members[i].key));
        }
    }
    return 0;
}

static bool is_url(struct str url)
{
    struct str host = {0};
    if (str_starts(url, S("https://")) || str_starts(url, S("http://"))) {
        host = str_sub(url, (size_t)str_find(url, ':') + 3, url.n);
    }
    return host.n > 0 && host.p[0] != '/';
}

static int check_mirror(const struct member *m, struct err *err)
{
    const struct val *list = val_get(&m->val, S("endpoint"));
    if (check_words(&m->val, "mirrors.*", m->key, err) < 0) {
        return err->code;
    }
    if (list != NULL && !val_is(list, VAL_LIST)) {
        return err_set(err, ERR_INVALID, "mirror '" STR_FMT "': endpoint: expected a list of URLs",
                       STR_ARG(m->key));
    }
    for (size_t i = 0; i < val_count(list); i++) {
        if (!is_url(val_text(val_at(list, i)))) {
            return err_set(err, ERR_INVALID,
                           "mirror '" STR_FMT "': endpoint '" STR_FMT
                           "': expected http://HOST or https://HOST",
                           STR_ARG(m->key), STR_ARG(val_text(val_at(list, i))));
        }
    }
    return 0;
}

int endpoints_read(struct str text, struct arena *arena, struct val *ret, struct err *err)
{
    struct val v;
    if (yaml_read(text, arena, NULL, &v, err) < 0 ||
        check_words(&v, "", S("registries.yaml"), err) < 0) {
        return err->code;
    }
    const struct val *mirrors = val_get(&v, S("mirrors"));
    const struct val *configs = val_get(&v, S("configs"));
    for (size_t i = 0; val_is(mirrors, VAL_MAP) && i < mirrors->n; i++) {
        if (check_mirror(&mirrors->members[i], err) < 0) {
            return err->code;
        }
    }
    for (size_t i = 0; val_is(configs, VAL_MAP) && i < configs->n; i++) {
        const struct member *m = &configs->members[i];
        if (check_words(&m->val, "configs.*", m->key, err) < 0 ||
            check_words(val_get(&m->val, S("auth")), "configs.auth", m->key, err) < 0 ||
            check_words(val_get(&m->val, S("tls")), "configs.tls", m->key, err) < 0) {
            return err->code;
        }
    }
    *ret = v;
    return 0;
}

static bool is_loopback(struct str host)
{
    return str_eq(host, S("localhost")) || str_starts(host, S("localhost:")) ||
           str_starts(host, S("127.")) || str_starts(host, S("[::1]"));
}

static void add_endpoint(const struct val *config, struct str domain, struct str url,
                         struct arena *arena, struct endpoint *ret)
{
    struct endpoint e = {0};
    while (url.n > 0 && url.p[url.n - 1] == '/') {
        url.n--;
    }
    struct str front = str_sub(url, 0, url.n - (str_ends(url, S("/v2")) ? 3 : 0));
    e.url = is_url(front) ? front : url; /* a host may be called "v2" */
    struct str rest = str_sub(e.url, (size_t)(str_search(e.url, S("://")) + 3), e.url.n);
    e.host = str_cut(&rest, '/');
    e.host = str_eq(e.host, S("registry-1.docker.io")) ? S("docker.io") : e.host;
    e.is_mirror = !str_eq(e.host, domain);
    e.is_local = is_loopback(e.host);
    const struct val *own = val_get(val_get(config, S("configs")), e.host);
    const struct val *auth = val_get(own, S("auth"));
    e.ca_file = val_text_at(own, "tls.ca_file");
    e.is_unverified = val_true_at(own, "tls.insecure_skip_verify");
    if (val_is(auth, VAL_MAP)) {
        struct val document = val_map();
        struct val documents = val_list();
        struct credential found[CREDENTIALS_MAX];
        (void)val_set(arena, &document, e.host, *auth);
        (void)val_push(arena, &documents, document);
        e.has_account = credentials_find(&documents, e.host, S(""), arena, found) > 0;
        if (e.has_account) {
            e.account = found[0];
        }
    }
    *ret = e;
}

size_t endpoints_find(const struct val *config, struct str domain, struct arena *arena,
                      struct endpoint ret[static ENDPOINTS_MAX])
{
    const struct val *mirrors = val_get(config, S("mirrors"));
    const struct val *mirror = val_get(mirrors, domain);
    mirror = mirror == NULL ? val_get(mirrors, S("*")) : mirror;
    const struct val *list = val_get(mirror, S("endpoint"));
    size_t count = 0;
    bool has_itself = false;
    for (size_t i = 0; i < val_count(list) && count + 1 < ENDPOINTS_MAX; i++) {
        add_endpoint(config, domain, val_text(val_at(list, i)), arena, &ret[count]);
        has_itself = has_itself || !ret[count].is_mirror;
        count++;
    }
    if (!has_itself) {
        struct str host = str_eq(domain, S("docker.io")) ? S("registry-1.docker.io") : domain;
        struct str url = arena_fmt(arena, "https://" STR_FMT, STR_ARG(host));
        add_endpoint(config, domain, url, arena, &ret[count]);
        ret[count].may_be_plain = ret[count].is_local;
        count++;
    }
    return count;
}
