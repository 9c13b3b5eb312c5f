// SPDX-License-Identifier: Apache-2.0
#include "api/difference.h"

#include "test.h"

#include "base/mem.h"
#include "data/json.h"

static void check(const char *was, const char *now, const char *want)
{
    struct arena *arena = arena_new(1 << 20);
    struct val a;
    struct val b;
    struct err err = {0};
    EXPECT_OK(json_read(str_of(was), arena, NULL, &a, &err));
    EXPECT_OK(json_read(str_of(now), arena, NULL, &b, &err));
    struct str got = difference_text(arena, &a, &b);
    if (!str_eq(got, str_of(want))) {
        test_fail_text(now, str_of(want), got, __FILE__, __LINE__);
    }
    arena_free(arena);
}

TEST(difference_names_the_fields)
{
    static const char *const cases[][3] = {
        {"{}",                     "{}",                    ""                             },
        {"{\"a\":1}",              "{\"a\":2}",             "\n- a: 1\n+ a: 2"             },
        {"{\"a\":1}",              "{\"b\":1}",             "\n- a: 1\n+ b: 1"             },
        {"{\"a\":{\"b\":[1,{}]}}", "{\"a\":{\"b\":[2]}}",
         "\n- a.b[0]: 1\n+ a.b[0]: 2\n- a.b[1]: {}"                                        },
        {"{\"a\":[]}",             "{\"a\":{\"c\":\"x\"}}", "\n- a: []\n+ a: {\"c\":\"x\"}"},
        {"[0,0,0,0,0,0,0,0,0,0]",  "[0,1,1,1,1,1,1,1,1,1]",
         "\n- [1]: 0\n+ [1]: 1\n- [2]: 0\n+ [2]: 1\n- [3]: 0\n+ [3]: 1\n- [4]: 0\n+ [4]: 1\n- [5]: "
         "0\n"
         "+ [5]: 1\n- [6]: 0\n+ [6]: 1\n- [7]: 0\n+ [7]: 1\n- [8]: 0\n+ [8]: 1\n  ..."     },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check(cases[i][0], cases[i][1], cases[i][2]);
    }
}
