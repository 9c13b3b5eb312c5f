// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "registry/endpoints.h"

static struct str write_endpoints(struct arena *arena, const struct val *config, const char *domain)
{
    struct endpoint found[ENDPOINTS_MAX];
    struct str out = S("");
    size_t count = endpoints_find(config, str_of(domain), arena, found);
    for (size_t i = 0; i < count; i++) {
        const struct endpoint *e = &found[i];
        out = arena_fmt(arena, STR_FMT "%s" STR_FMT " (" STR_FMT "%s%s%s%s" STR_FMT ")",
                        STR_ARG(out), i > 0 ? " " : "", STR_ARG(e->url), STR_ARG(e->host),
                        e->is_mirror ? ", mirror" : "", e->may_be_plain ? ", plain" : "",
                        e->is_unverified ? ", unverified" : "", e->has_account ? ", as " : "",
                        STR_ARG(e->account.username));
    }
    return out;
}

TEST(endpoints_are_mirrors_then_the_registry)
{
    static const char text[] =
        "mirrors:\n"
        "  docker.io:\n"
        "    endpoint: ['https://mirror.example/v2/', 'http://lan:5000/hub']\n"
        "  reg.lan:5000:\n"
        "    endpoint: ['http://reg.lan:5000']\n"
        "  quiet.example: {}\n"
        "  short.example: {endpoint: ['http://v2']}\n"
        "  '*':\n"
        "    endpoint: ['https://any.example']\n"
        "configs:\n"
        "  mirror.example:\n"
        "    auth: {username: me, password: pw}\n"
        "    tls: {insecure_skip_verify: true, ca_file: /ca.pem}\n";
    static const struct {
        const char *domain, *want, *want_without;
    } cases[] = {
        {"docker.io",
         "https://mirror.example (mirror.example, mirror, unverified, as me) "
         "http://lan:5000/hub (lan:5000, mirror) https://registry-1.docker.io (docker.io)",          "https://registry-1.docker.io (docker.io)"      },
        {"reg.lan:5000",   "http://reg.lan:5000 (reg.lan:5000)",
         "https://reg.lan:5000 (reg.lan:5000)"                                                                                                       },
        {"quiet.example",  "https://quiet.example (quiet.example)",
         "https://quiet.example (quiet.example)"                                                                                                     },
        {"short.example",  "http://v2 (v2, mirror) https://short.example (short.example)",
         "https://short.example (short.example)"                                                                                                     },
        {"other.example",
         "https://any.example (any.example, mirror) https://other.example (other.example)",          "https://other.example (other.example)"         },
        {"localhost:5000",
         "https://any.example (any.example, mirror) https://localhost:5000 (localhost:5000, plain)", "https://localhost:5000 (localhost:5000, plain)"},
        {"127.0.0.2:5000",
         "https://any.example (any.example, mirror) https://127.0.0.2:5000 (127.0.0.2:5000, plain)", "https://127.0.0.2:5000 (127.0.0.2:5000, plain)"},
    };
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val config;
    const struct val nothing = val_null();
    struct err err;
    EXPECT_OK(endpoints_read(str_of(text), arena, &config, &err));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT_STR(cases[i].want, write_endpoints(arena, &config, cases[i].domain));
        EXPECT_STR(cases[i].want_without, write_endpoints(arena, &nothing, cases[i].domain));
    }
}

TEST(registries_files_with_mistakes_are_refused)
{
    static const struct {
        const char *text, *want; /* want NULL = fine */
    } cases[] = {
        {"",                                         NULL                                           },
        {"mirrors:\n",                               NULL                                           },
        {"mirror: {}\n",                             "'registries.yaml': unknown word 'mirror'"     },
        {"[]\n",                                     "'registries.yaml': expected a map"            },
        {"mirrors: {a: {endpoints: []}}\n",          "'a': unknown word 'endpoints'"                },
        {"mirrors: {a: {endpoint: 'http://b'}}\n",   "mirror 'a': endpoint: expected a list of URLs"},
        {"mirrors: {a: {endpoint: [b]}}\n",
         "mirror 'a': endpoint 'b': expected http://HOST or https://HOST"                           },
        {"mirrors: {a: {endpoint: ['http:///']}}\n",
         "mirror 'a': endpoint 'http:///': expected http://HOST or https://HOST"                    },
        {"configs: {a: {tls: {ca: x}}}\n",           "'a': unknown word 'ca'"                       },
        {"configs: {a: {auth: {user: x}}}\n",        "'a': unknown word 'user'"                     },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct val v;
        struct err err = {0};
        int r = endpoints_read(str_of(cases[i].text), arena, &v, &err);
        EXPECT_INT(cases[i].want == NULL ? 0 : ERR_INVALID, r);
        EXPECT_STR(cases[i].want == NULL ? "" : cases[i].want, str_of(err.msg));
    }
}
