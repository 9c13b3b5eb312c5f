// SPDX-License-Identifier: Apache-2.0
//
// What registries and their users write, by the first byte: a WWW-Authenticate header, a docker
// configuration, registries.yaml, a manifest or an index. What is taken keeps the promises of the
// headers: URLs are URLs, digests can be checked, counts and sizes are below their ceilings.
#include "fuzz.h"

#include "base/arena.h"
#include "data/json.h"
#include "registry/challenge.h"
#include "registry/digest.h"
#include "registry/endpoints.h"
#include "registry/manifest.h"

static void try_challenge(struct arena *arena, struct str text)
{
    struct challenge c;
    challenge_parse(arena, text, &c);
    must(c.scheme <= CHALLENGE_BEARER);
    must(c.scheme != CHALLENGE_NONE || (c.realm.n == 0 && c.service.n == 0 && c.scope.n == 0));
    must(c.realm.n + c.service.n + c.scope.n <= text.n);
}

static void try_credentials(struct arena *arena, struct str text)
{
    static const char *const hosts[] = {"docker.io", "a.example.com", "reg.example:5000", ""};
    struct val documents = val_list();
    struct val v;
    struct err err;
    if (json_read(text, arena, NULL, &v, &err) < 0) {
        return;
    }
    (void)val_push(arena, &documents, v);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct credential found[CREDENTIALS_MAX];
        size_t count = credentials_find(&documents, str_of(hosts[i]), S("team/app"), arena, found);
        must(count <= CREDENTIALS_MAX);
        for (size_t k = 0; k < count; k++) {
            must(found[k].username.n > 0 || found[k].identity_token.n > 0);
        }
    }
}

static void try_endpoints(struct arena *arena, struct str text)
{
    struct val config;
    struct err err;
    struct endpoint found[ENDPOINTS_MAX];
    if (endpoints_read(text, arena, &config, &err) < 0) {
        must(err.msg[0] != '\0');
        return;
    }
    size_t count = endpoints_find(&config, S("docker.io"), arena, found);
    must(count >= 1 && count <= ENDPOINTS_MAX);
    for (size_t i = 0; i < count; i++) {
        must(str_starts(found[i].url, S("https://")) || str_starts(found[i].url, S("http://")));
        must(!found[i].may_be_plain);
    }
}

static void try_manifest(struct arena *arena, struct str text)
{
    struct val v;
    struct err err;
    struct descriptor d;
    struct manifest *m = arena_alloc(arena, sizeof *m);
    if (json_read(text, arena, NULL, &v, &err) < 0) {
        return;
    }
    if (manifest_is_index(&v) && manifest_choose(&v, &d, &err) == 0) {
        must(digest_is_valid(d.digest));
    }
    if (manifest_read(&v, m, &err) == 0) {
        must(m->layers_count <= MANIFEST_LAYERS_MAX && m->bytes <= MANIFEST_IMAGE_BYTES_MAX);
        must(digest_is_valid(m->config.digest));
        for (size_t i = 0; i < m->layers_count; i++) {
            must(digest_is_valid(m->layers[i].digest) && m->layers[i].size <= m->bytes);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parsers[])(struct arena * arena, struct str text) = {
        try_challenge, try_credentials, try_endpoints, try_manifest};
    auto_arena struct arena *arena = arena_new(16 << 20);
    if (size > 0 && size < 1 << 16) {
        parsers[data[0] % (sizeof parsers / sizeof parsers[0])](
            arena, (struct str){(const char *)data + 1, size - 1});
    }
    return 0;
}
