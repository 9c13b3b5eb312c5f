// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "registry/challenge.h"

TEST(challenges_are_read)
{
    static const struct {
        const char *header;
        enum challenge_scheme scheme;
        const char *realm, *service, *scope;
    } cases[] = {
        {"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope="
         "\"repository:library/x:pull\"",                          CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io",
         "repository:library/x:pull"                                                                                                                   },
        {"basic realm=reg",                                                 CHALLENGE_BASIC,  "reg",                          "",                   "" },
        {"Basic realm=\"a \\\"b\\\"\", Bearer realm=\"t\" , scope = \"s\"", CHALLENGE_BEARER, "t",
         "",                                                                                                                                        "s"},
        {"Bearer realm=\"t\", Basic realm=\"b\"",                           CHALLENGE_BEARER, "t",                            "",                   "" },
        {"Negotiate, Digest realm=\"x\", qop=auth",                         CHALLENGE_NONE,   "",                             "",                   "" },
        {"Negotiate, Basic",                                                CHALLENGE_BASIC,  "",                             "",                   "" },
        {"Bearer realm=\"cut",                                              CHALLENGE_BEARER, "cut",                          "",                   "" },
        {"Bearer realm=\"cut\\",                                            CHALLENGE_BEARER, "cut\\",                        "",                   "" },
        {"Bearer realm=",                                                   CHALLENGE_BEARER, "",                             "",                   "" },
        {"=,= ;",                                                           CHALLENGE_NONE,   "",                             "",                   "" },
        {"",                                                                CHALLENGE_NONE,   "",                             "",                   "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(64 << 10);
        struct challenge c;
        challenge_parse(arena, str_of(cases[i].header), &c);
        EXPECT_INT(cases[i].scheme, c.scheme);
        EXPECT_STR(cases[i].realm, c.realm);
        EXPECT_STR(cases[i].service, c.service);
        EXPECT_STR(cases[i].scope, c.scope);
    }
}
