// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "data/json.h"
#include "registry/credentials.h"

/* "user:password" of each that fits, in order. */
static struct str find(struct arena *arena, const char *documents, const char *host,
                       const char *repository)
{
    struct val v;
    struct err err;
    struct credential found[CREDENTIALS_MAX];
    struct str out = S("");
    EXPECT_OK(json_read(str_of(documents), arena, NULL, &v, &err));
    size_t count = credentials_find(&v, str_of(host), str_of(repository), arena, found);
    for (size_t i = 0; i < count; i++) {
        out = arena_fmt(arena, STR_FMT "%s" STR_FMT ":" STR_FMT STR_FMT, STR_ARG(out),
                        i > 0 ? " " : "", STR_ARG(found[i].username), STR_ARG(found[i].password),
                        STR_ARG(found[i].identity_token));
    }
    return out;
}

TEST(credentials_go_to_the_registry_that_they_name)
{
    static const char documents[] =
        "[{\"auths\":{"
        "\"https://index.docker.io/v1/\":{\"auth\":\"ZG9ja2VyOnBhOnNz\"},"
        "\"reg.example:5000\":{\"username\":\"all\",\"password\":\"1\"},"
        "\"reg.example:5000/team\":{\"username\":\"team\",\"password\":\"2\"},"
        "\"http://reg.example:5000/v2/\":{\"username\":\"again\",\"password\":\"3\"},"
        "\"*.example.com\":{\"username\":\"star\",\"password\":\"4\"},"
        "\"a.example.com\":{\"username\":\"a\",\"password\":\"5\"},"
        "\"token.example\":{\"identitytoken\":\"t\"},"
        "\"empty.example\":{},\"bad.example\":{\"auth\":\"%%\"},\"odd.example\":7}},"
        "{\"old.example\":{\"auth\":\"b2xkOnB3\"}}, 5, null]";
    static const struct {
        const char *host, *repository, *want;
    } cases[] = {
        {"docker.io",            "library/busybox", "docker:pa:ss"        },
        {"registry-1.docker.io", "me/app",          "docker:pa:ss"        },
        {"reg.example:5000",     "app",             "again:3 all:1"       },
        {"reg.example:5000",     "team/app",        "team:2 again:3 all:1"},
        {"reg.example:5000",     "team",            "team:2 again:3 all:1"},
        {"reg.example:5000",     "teams/app",       "again:3 all:1"       },
        {"reg.example",          "app",             ""                    },
        {"reg.example:5001",     "app",             ""                    },
        {"a.example.com",        "app",             "a:5 star:4"          },
        {"b.example.com",        "app",             "star:4"              },
        {"b.a.example.com",      "app",             ""                    },
        {"example.com",          "app",             ""                    },
        {"token.example",        "app",             ":t"                  },
        {"old.example",          "app",             "old:pw"              },
        {"empty.example",        "app",             ""                    },
        {"bad.example",          "app",             ""                    },
        {"odd.example",          "app",             ""                    },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        EXPECT_STR(cases[i].want, find(arena, documents, cases[i].host, cases[i].repository));
    }
}
