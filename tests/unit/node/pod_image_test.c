// SPDX-License-Identifier: Apache-2.0
#include "node/pod_image.h"

#include "test.h"

#include "base/mem.h"

TEST(spans_are_written_as_go_writes_them)
{
    static const struct {
        usec span;
        const char *want;
    } cases[] = {
        {0,                                     "0ms"    },
        {999999,                                "999ms"  },
        {USEC_PER_SEC,                          "1s"     },
        {1234567,                               "1.234s" },
        {1500000,                               "1.5s"   },
        {20 * USEC_PER_SEC,                     "20s"    },
        {60 * USEC_PER_SEC,                     "1m0s"   },
        {3600 * USEC_PER_SEC + 5,               "60m0s"  },
        {125 * USEC_PER_SEC + 10 * USEC_PER_MS, "2m5.01s"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(4096);
        EXPECT_STR(cases[i].want, span_text(arena, cases[i].span));
    }
}
