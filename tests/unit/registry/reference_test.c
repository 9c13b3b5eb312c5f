// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "registry/reference.h"

TEST(references_take_their_normal_form)
{
    static const struct {
        const char *text, *want; /* want NULL = refused */
    } cases[] = {
        {"busybox",                                                                   "docker.io/library/busybox:latest"},
        {"busybox:1.36",                                                              "docker.io/library/busybox:1.36"  },
        {"me/app",                                                                    "docker.io/me/app:latest"         },
        {"index.docker.io/me/app:1",                                                  "docker.io/me/app:1"              },
        {"localhost/app",                                                             "localhost/app:latest"            },
        {"reg.example:5000/a/b_c/d--e:x.y",                                           "reg.example:5000/a/b_c/d--e:x.y" },
        {"[::1]:5000/a",                                                              "[::1]:5000/a:latest"             },
        {"a@sha256:0123456789012345678901234567890123456789012345678901234567890123",
         "docker.io/library/"
         "a@sha256:0123456789012345678901234567890123456789012345678901234567890123"                                    },
        {"Busybox",                                                                   NULL                              },
        {"a//b",                                                                      NULL                              },
        {"a___b",                                                                     NULL                              },
        {"",                                                                          NULL                              },
        {"a:",                                                                        NULL                              },
        {"a@md5:01234567890123456789012345678901",                                    NULL                              },
        {"a@sha256:12",                                                               NULL                              },
        {"0123456789012345678901234567890123456789012345678901234567890123",          NULL                              },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(4096);
        struct err err;
        struct str got = S("");
        int r = reference_normalise(arena, str_of(cases[i].text), &got, &err);
        EXPECT_INT(cases[i].want == NULL ? ERR_INVALID : 0, r);
        EXPECT_STR(cases[i].want == NULL ? "" : cases[i].want, got);
    }
}
