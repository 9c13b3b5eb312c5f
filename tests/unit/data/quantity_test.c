// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "data/quantity.h"

TEST(quantities_have_a_canonical_form)
{
    static const struct {
        const char *text;
        const char *canonical; /* NULL = must be refused */
        int64_t units;
        int64_t millis;
    } rows[] = {
        {"0",                       "0",                       0,                   0               },
        {"0Ki",                     "0",                       0,                   0               },
        {"1",                       "1",                       1,                   1000            },
        {"+1",                      "1",                       1,                   1000            },
        {"100m",                    "100m",                    1,                   100             },
        {"1500m",                   "1500m",                   2,                   1500            },
        {"1.5",                     "1500m",                   2,                   1500            },
        {"1000m",                   "1",                       1,                   1000            },
        {".5",                      "500m",                    1,                   500             },
        {"5.",                      "5",                       5,                   5000            },
        {"1000",                    "1k",                      1000,                1000000         },
        {"1234",                    "1234",                    1234,                1234000         },
        {"1e3",                     "1e3",                     1000,                1000000         },
        {"1E3",                     "1e3",                     1000,                1000000         },
        {"1e-3",                    "1e-3",                    1,                   1               },
        {"12e2",                    "1200",                    1200,                1200000         },
        {"1Ki",                     "1Ki",                     1024,                1024000         },
        {"1.5Gi",                   "1536Mi",                  1610612736,          1610612736000   },
        {"1025Ki",                  "1025Ki",                  1049600,             1049600000      },
        {"1953.125Ki",              "2M",                      2000000,             2000000000      },
        {"1000.5Ki",                "1024512",                 1024512,             1024512000      },
        {"67183228906562.5Ki",      "68795626400320k",         68795626400320000,   INT64_MAX       },
        {"1023",                    "1023",                    1023,                1023000         },
        {"0.5Ki",                   "512",                     512,                 512000          },
        {"0.1Ki",                   "102400m",                 103,                 102400          },
        {"100M",                    "100M",                    100000000,           100000000000    },
        {"-1500m",                  "-1500m",                  -2,                  -1500           },
        {"1n",                      "1n",                      1,                   1               },
        {"0.1n",                    "1n",                      1,                   1               },
        {"1E",                      "1E",                      1000000000000000000, INT64_MAX       },
        {"9223372036854775807",     "9223372036854775807",     INT64_MAX,           INT64_MAX       },
        {"10E",                     "9223372036854775807",     INT64_MAX,           INT64_MAX       },
        {"8Ei",                     "9223372036854775807",     INT64_MAX,           INT64_MAX       },
        {"1234567890123.123456789", "1234567890123123456789n", 1234567890124,       1234567890123124},
        {"",                        NULL,                      0,                   0               },
        {".",                       NULL,                      0,                   0               },
        {"1.2.3",                   NULL,                      0,                   0               },
        {"1 ",                      NULL,                      0,                   0               },
        {"Mi",                      NULL,                      0,                   0               },
        {"1mi",                     NULL,                      0,                   0               },
        {"1K",                      NULL,                      0,                   0               },
        {"1e",                      NULL,                      0,                   0               },
        {"1e+-3",                   NULL,                      0,                   0               },
        {"--1",                     NULL,                      0,                   0               },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_arena struct arena *arena = arena_new(1 << 16);
        struct err err = {0};
        struct quantity q;
        int code = quantity_parse(str_of(rows[i].text), &q, &err);
        if (rows[i].canonical == NULL) {
            EXPECT_INT(ERR_INVALID, code);
            continue;
        }
        EXPECT_OK(code);
        EXPECT_STR(rows[i].canonical, quantity_format(arena, q));
        EXPECT_INT(rows[i].units, quantity_units(q));
        EXPECT_INT(rows[i].millis, quantity_millis(q));
        struct quantity again;
        EXPECT_OK(quantity_parse(quantity_format(arena, q), &again, &err));
        EXPECT_INT(0, quantity_cmp(q, again));
    }
}

TEST(quantities_add_up)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    struct err err = {0};
    struct quantity a;
    struct quantity b;
    EXPECT_OK(quantity_parse(S("0"), &a, &err));
    EXPECT_OK(quantity_parse(S("512Mi"), &b, &err));
    a = quantity_add(quantity_add(a, b), b);
    EXPECT_STR("1Gi", quantity_format(arena, a));
    EXPECT_INT(1, quantity_cmp(a, b));
    EXPECT_OK(quantity_parse(S("9E"), &a, &err));
    EXPECT_INT(INT64_MAX, quantity_units(quantity_add(a, a)));
}

TEST(quantities_are_capped)
{
    struct err err = {0};
    struct quantity q;
    EXPECT_OK(quantity_parse(S("-1e999999"), &q, &err));
    EXPECT_INT(-INT64_MAX, quantity_units(q));
    EXPECT_OK(quantity_parse(S("1e-999999"), &q, &err));
    EXPECT_INT(1, quantity_units(q));
    EXPECT(q.nano == 1);
}
