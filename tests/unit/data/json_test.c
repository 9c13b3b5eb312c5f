// SPDX-License-Identifier: Apache-2.0
//
// The JSON reader and writer, with jansson as the oracle for what is JSON and what is not.
#include "test.h"

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <jansson.h>
#include <math.h>

static const struct {
    const char *text;
    const char *written; /* NULL = must be refused */
} rows[] = {
    {"null",                                   "null"                                  },
    {" [1, 2 ,3]\r\n\t",                       "[1,2,3]"                               },
    {"{\"b\":1,\"a\":{\"z\":[],\"y\":{}}}",    "{\"a\":{\"y\":{},\"z\":[]},\"b\":1}"   },
    {"{\"a\":1,\"a\":2}",                      "{\"a\":2}"                             },
    {"9223372036854775807",                    "9223372036854775807"                   },
    {"-9223372036854775808",                   "-9223372036854775808"                  },
    {"9223372036854775808",                    "9223372036854776000"                   },
    {"1.0",                                    "1"                                     },
    {"-0.0",                                   "-0"                                    },
    {"1e21",                                   "1e+21"                                 },
    {"123456789012345678901",                  "123456789012345680000"                 },
    {"1e-7",                                   "1e-7"                                  },
    {"0.000001",                               "0.000001"                              },
    {"0.1",                                    "0.1"                                   },
    {"3.14159265358979312",                    "3.141592653589793"                     },
    {"1.7976931348623157e308",                 "1.7976931348623157e+308"               },
    {"5e-324",                                 "5e-324"                                },
    {"1.5E+2",                                 "150"                                   },
    {"-12.75",                                 "-12.75"                                },
    {"1e999",                                  NULL                                    },
    {"\"a\\u0041\\n\\/\\\\\\\"\"",             "\"aA\\n/\\\\\\\"\""                    },
    {"\"<a>&\"",                               "\"\\u003ca\\u003e\\u0026\""            },
    {"\"\\u2028\xe2\x80\xa9\xe2\x82\xac\"",    "\"\\u2028\\u2029\xe2\x82\xac\""        },
    {"\"\\ud83d\\udea3\"",                     "\"\xf0\x9f\x9a\xa3\""                  },
    {"\"\\ud83dx\\udea3\"",                    "\"\xef\xbf\xbdx\xef\xbf\xbd\""         },
    {"\"\\ud83d\\u0041\"",                     "\"\xef\xbf\xbd"
                           "A\""                             },
    {"\"\\b\\f\\u0001\\u007f\"",               "\"\\b\\f\\u0001\x7f\""                 },
    {"\"0123456789 0123456789 \xc3\xa4 end\"", "\"0123456789 0123456789 \xc3\xa4 end\""},
    {"",                                       NULL                                    },
    {"nul",                                    NULL                                    },
    {"[1,]",                                   NULL                                    },
    {"{\"a\":1,}",                             NULL                                    },
    {"{a:1}",                                  NULL                                    },
    {"{\"a\" 1}",                              NULL                                    },
    {"[1 2]",                                  NULL                                    },
    {"01",                                     NULL                                    },
    {"+1",                                     NULL                                    },
    {"1.",                                     NULL                                    },
    {".5",                                     NULL                                    },
    {"1e",                                     NULL                                    },
    {"-",                                      NULL                                    },
    {"[1] x",                                  NULL                                    },
    {"\"a",                                    NULL                                    },
    {"\"a\nb\"",                               NULL                                    },
    {"\"\\x\"",                                NULL                                    },
    {"\"\\u12g4\"",                            NULL                                    },
    {"\"\xff\"",                               NULL                                    },
    {"\"0123456789\xed\xa0\x80\"",             NULL                                    },
    {"// c\n1",                                NULL                                    },
    {"NaN",                                    NULL                                    },
};

static struct str write_text(struct arena *arena, const struct val *v)
{
    auto_buf struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT_INT(0, json_write(&out, v));
    return arena_dup(arena, buf_str(&out));
}

TEST(json_reads_and_writes)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct err err = {0};
        struct val v;
        int result = json_read(str_of(rows[i].text), arena, NULL, &v, &err);
        if (rows[i].written == NULL) {
            EXPECT_INT(ERR_SYNTAX, result);
            EXPECT(strstr(err.msg, "line ") == err.msg);
            continue;
        }
        EXPECT_OK(result);
        EXPECT_STR(rows[i].written, write_text(arena, &v));
        struct val again;
        EXPECT_OK(json_read(str_of(rows[i].written), arena, NULL, &again, &err));
        EXPECT(val_eq(&v, &again));
    }
}

TEST(jansson_agrees_on_what_is_json)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strstr(rows[i].text, "\\ud83dx") != NULL || strstr(rows[i].text, "d\\u0041") != NULL ||
            strcmp(rows[i].text, "9223372036854775808") == 0 ||
            strcmp(rows[i].text, "123456789012345678901") == 0) {
            continue; /* jansson refuses lone surrogates and large integers, Go doesn't */
        }
        json_error_t error;
        json_t *tree = json_loads(rows[i].text, JSON_DECODE_ANY, &error);
        EXPECT_INT(rows[i].written != NULL, tree != NULL);
        if (tree != NULL && rows[i].text[0] != '"' && strchr(rows[i].text, '.') == NULL &&
            strchr(rows[i].text, 'e') == NULL) {
            char *text = json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
            EXPECT_STR(rows[i].written, str_of(text));
            free(text);
        }
        json_decref(tree);
    }
}

TEST(json_errors_name_the_place)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct err err = {0};
    struct val v;
    EXPECT_INT(ERR_SYNTAX, json_read(S("{\n  \"a\": tru\n}"), arena, NULL, &v, &err));
    EXPECT_STR("line 2, column 8: expected a value, found 't'", str_of(err.msg));
    EXPECT_INT(ERR_SYNTAX, json_read(S("[1"), arena, NULL, &v, &err));
    EXPECT_STR("line 1, column 3: expected ',' or ']' in a list, found the end of the text",
               str_of(err.msg));
}

TEST(json_depth_is_capped)
{
    char text[2 * (DOC_DEPTH_MAX + 1)];
    for (size_t depth = DOC_DEPTH_MAX; depth <= DOC_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct err err = {0};
        struct val v;
        int want = depth > DOC_DEPTH_MAX ? ERR_LIMIT : 0;
        EXPECT_INT(want, json_read((struct str){text, 2 * depth}, arena, NULL, &v, &err));
    }
}

static void collect(void *ctx, struct str path)
{
    struct buf *out = ctx;
    (void)buf_addf(out, STR_FMT ";", STR_ARG(path));
}

TEST(json_reports_duplicate_keys)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    auto_buf struct buf out;
    buf_init(&out, 1000);
    struct json_options options = {.duplicate = collect, .ctx = &out};
    struct err err = {0};
    struct val v;
    struct str text = S("{\"spec\":{\"c\":[{},{\"n\":1,\"n\":2,\"n\":3}]},\"a\":1,\"a\":2}");
    EXPECT_OK(json_read(text, arena, &options, &v, &err));
    EXPECT_STR("spec.c[1].n;spec.c[1].n;a;", buf_str(&out));
    EXPECT_INT(3, val_number_at(&v, "spec.c.1.n", 0));
    EXPECT_INT(2, val_number_at(&v, "a", 0));
}

TEST(json_sorts_large_maps_and_keeps_the_last)
{
    auto_arena struct arena *arena = arena_new(8 << 20);
    auto_buf struct buf text;
    buf_init(&text, 1 << 20);
    (void)buf_addc(&text, '{');
    for (unsigned i = 0; i < 5000; i++) {
        (void)buf_addf(&text, "%s\"k%u\":%u", i == 0 ? "" : ",", i * 7919U % 1000U, i);
    }
    (void)buf_addc(&text, '}');
    struct err err = {0};
    struct val v;
    EXPECT_OK(json_read(buf_str(&text), arena, NULL, &v, &err));
    EXPECT_INT(1000, val_count(&v));
    for (unsigned i = 0; i < 5000; i++) {
        struct str key = arena_fmt(arena, "k%u", i * 7919U % 1000U);
        EXPECT_INT(4000 + i % 1000, val_number(val_get(&v, key), -1));
    }
}

TEST(json_writes_pretty)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    auto_buf struct buf out;
    buf_init(&out, 1000);
    struct err err = {0};
    struct val v;
    EXPECT_OK(json_read(S("{\"a\":[1,{}],\"b\":[]}"), arena, NULL, &v, &err));
    EXPECT_INT(0, json_write_pretty(&out, &v));
    EXPECT_STR("{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}", buf_str(&out));
}

TEST(json_write_keeps_the_ceiling)
{
    auto_buf struct buf out;
    buf_init(&out, 5);
    struct val v = val_str(S("abcd"));
    EXPECT_INT(ERR_LIMIT, json_write(&out, &v));
}

TEST(json_doubles_survive)
{
    uint64_t bits = 88172645463325252U;
    for (int i = 0; i < 3000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double d;
        memcpy(&d, &bits, sizeof d);
        if (isnan(d) || isinf(d)) {
            continue;
        }
        auto_arena struct arena *arena = arena_new(1 << 16);
        struct val v = val_double(d);
        struct val again;
        struct err err = {0};
        EXPECT_OK(json_read(write_text(arena, &v), arena, NULL, &again, &err));
        /* Beyond 2^53 the shortest digits may name another integer of the same double. */
        EXPECT(d == (again.type == VAL_INT ? (double)again.i : again.d));
    }
}
