// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/yaml.h"

static struct str json_of(struct arena *arena, const struct val *v)
{
    auto_buf struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT_INT(0, json_write(&out, v));
    return arena_dup(arena, buf_str(&out));
}

static const struct {
    const char *yaml;
    const char *json; /* NULL = must be refused */
} rows[] = {
    {"",                                                                "null"                                      },
    {"# nothing\n",                                                     "null"                                      },
    {"a: 1\nb: [x, 'y', \"1\"]\n",                                      "{\"a\":1,\"b\":[\"x\",\"y\",\"1\"]}"       },
    {"{\"a\": {\"b\": null}}",                                          "{\"a\":{\"b\":null}}"                      },
    {"a: yes\nb: off\nc: True\nd: y\ne: \"yes\"",
     "{\"a\":true,\"b\":false,\"c\":true,\"d\":true,\"e\":\"yes\"}"                                                 },
    {"[0755, 0x1F, 0b101, 0o17, 1_000, -7, +7]",                        "[493,31,5,15,1000,-7,7]"                   },
    {"[1.5, .5, 1e3, 1., 08, -1.5e-3]",                                 "[1.5,0.5,1000,1,8,-0.0015]"                },
    {"[9223372036854775807, 18446744073709551615]",                     "[9223372036854775807,18446744073709552000]"},
    {"[1.2.3, 1e, 0x, -, 12a, 1:20, 2001-01-01]",
     "[\"1.2.3\",\"1e\",\"0x\",\"-\",\"12a\",\"1:20\",\"2001-01-01\"]"                                              },
    {"[~, null, Null, '', nULL]",                                       "[null,null,null,\"\",\"nULL\"]"            },
    {"1: a\ntrue: b\n1.5: c\n",                                         "{\"1\":\"a\",\"1.5\":\"c\",\"true\":\"b\"}"},
    {"a: |\n  x\n  y\nb: >-\n  x\n  y\n",                               "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"        },
    {"a: &x {k: 1}\nb: *x\n",                                           "{\"a\":{\"k\":1},\"b\":{\"k\":1}}"         },
    {"a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\n",
     "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":3,\"l\":2}}"                                                            },
    {"a: &x {k: 1}\nb: &y {k: 2, m: 5}\nc:\n  k2: 0\n  <<: [*x, *y]\n",
     "{\"a\":{\"k\":1},\"b\":{\"k\":2,\"m\":5},\"c\":{\"k\":1,\"k2\":0,\"m\":5}}"                                   },
    {"\"<<\": 1\n",                                                     "{\"\\u003c\\u003c\":1}"                    },
    {"a: !!str 1\nb: !!int \"2\"\n",                                    "{\"a\":\"1\",\"b\":2}"                     },
    {"a: 1\n---\nb: 2\n",                                               "{\"a\":1}"                                 },
    {"---\na: 1\n...\n",                                                "{\"a\":1}"                                 },
    {"\xef\xbb\xbf"
     "a: 1\n",                                                     "{\"a\":1}"                                 },
    {"a: 1\na: 2\n",                                                    "{\"a\":2}"                                 },
    {"a: *nope\n",                                                      NULL                                        },
    {"a: [1, 2\n",                                                      NULL                                        },
    {"a: b: c\n",                                                       NULL                                        },
    {"\tx: 1\n",                                                        NULL                                        },
    {"a: !custom 1\n",                                                  NULL                                        },
    {"a: .inf\n",                                                       NULL                                        },
    {"[a]: 1\n",                                                        NULL                                        },
    {"<<: 1\n",                                                         NULL                                        },
    {"a: \"\xff\"\n",                                                   NULL                                        },
};

TEST(yaml_reads_as_go_does)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct err err = {0};
        struct val v;
        int code = yaml_read(str_of(rows[i].yaml), arena, NULL, &v, &err);
        if (rows[i].json == NULL) {
            EXPECT_INT(ERR_SYNTAX, code);
            EXPECT(strstr(err.msg, "line ") == err.msg);
            continue;
        }
        EXPECT_OK(code);
        EXPECT_STR(rows[i].json, json_of(arena, &v));
        auto_buf struct buf out;
        buf_init(&out, 1 << 20);
        EXPECT_OK(yaml_write(&out, &v, &err));
        struct val again;
        EXPECT_OK(yaml_read(buf_str(&out), arena, NULL, &again, &err));
        EXPECT_STR(rows[i].json, json_of(arena, &again));
    }
}

TEST(yaml_writes_as_kubectl_does)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct err err = {0};
    struct val v;
    auto_buf struct buf out;
    buf_init(&out, 1 << 20);
    EXPECT_OK(json_read(S("{\"spec\":{\"list\":[{\"name\":\"a\",\"n\":1},\"x\"],\"empty\":{},"
                          "\"none\":[]},\"text\":\"a\\nb\\n\",\"on\":\"yes\",\"num\":\"1\","
                          "\"time\":\"2026-01-02T03:04:05Z\",\"q\":\"- x\",\"nul\":null,"
                          "\"f\":1.5,\"t\":true,\"e\":\"\"}"),
                        arena, NULL, &v, &err));
    EXPECT_OK(yaml_write(&out, &v, &err));
    EXPECT_STR("e: \"\"\nf: 1.5\nnul: null\nnum: \"1\"\n\"on\": \"yes\"\nq: '- x'\nspec:\n"
               "  empty: {}\n  list:\n  - \"n\": 1\n    name: a\n  - x\n  none: []\nt: true\n"
               "text: |\n  a\n  b\ntime: \"2026-01-02T03:04:05Z\"\n",
               buf_str(&out));
}

/* Its shortest digits are another number where all digits count. */
TEST(yaml_keeps_doubles_that_look_like_integers)
{
    static const double doubles[] = {7821421714485896812.0, -7821421714485896812.0, 0x1p53, 1e20,
                                     1e300};
    auto_arena struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        struct err err;
        struct val v = val_double(doubles[i]);
        struct val again;
        auto_buf struct buf text;
        buf_init(&text, 100);
        EXPECT_INT(0, yaml_write(&text, &v, &err));
        EXPECT_INT(0, yaml_read(buf_str(&text), arena, NULL, &again, &err));
        EXPECT(val_eq(&v, &again));
    }
}

static void collect(void *ctx, struct str path)
{
    (void)buf_addf(ctx, STR_FMT ";", STR_ARG(path));
}

TEST(yaml_reports_duplicates)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    auto_buf struct buf out;
    buf_init(&out, 1000);
    struct json_options options = {collect, &out};
    struct err err = {0};
    struct val v;
    EXPECT_OK(yaml_read(S("s:\n- x: 1\n- z: 1\n  z: 2\n"), arena, &options, &v, &err));
    EXPECT_STR("s[1].z;", buf_str(&out));
}

TEST(yaml_limits_aliases_and_depth)
{
    auto_arena struct arena *arena = arena_new(64 << 20);
    struct err err = {0};
    struct val v;
    auto_buf struct buf text;
    buf_init(&text, 1 << 20);
    (void)buf_add(&text, S("a0: &a0 [x]\n"));
    for (int i = 1; i < 12; i++) {
        (void)buf_addf(&text, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
                       i - 1);
    }
    EXPECT_INT(ERR_LIMIT, yaml_read(buf_str(&text), arena, NULL, &v, &err));
    buf_clear(&text);
    for (int i = 0; i <= DOC_DEPTH_MAX; i++) {
        (void)buf_addc(&text, '[');
    }
    EXPECT_INT(ERR_LIMIT, yaml_read(buf_str(&text), arena, NULL, &v, &err));
}
