// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/arena.h"
#include "base/enc.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/timefmt.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(str_cut_walks_all_parts)
{
    struct str rest = S("a,,b");
    EXPECT_STR("a", str_cut(&rest, ','));
    EXPECT_STR("", str_cut(&rest, ','));
    EXPECT_STR("b", str_cut(&rest, ','));
    EXPECT(rest.p == NULL);
}

TEST(buf_keeps_its_ceiling)
{
    auto_buf struct buf buf;
    buf_init(&buf, 4);
    EXPECT_INT(0, buf_add(&buf, S("abcd")));
    EXPECT_INT(ERR_LIMIT, buf_addc(&buf, 'e'));
    EXPECT(buf.over);
    EXPECT_STR("abcd", buf_str(&buf));
}

TEST(map_iterates_in_key_order)
{
    struct map map = {0};
    int v = 0;
    const char *const keys[] = {"pods/b/x", "pods/a/y", "nodes/n", "pods/a/x"};
    for (size_t i = 0; i < 4; i++) {
        EXPECT(map_put(&map, str_of(keys[i]), &v) == NULL);
    }
    EXPECT_STR("nodes/n", map.entries[0].key);
    EXPECT_STR("pods/a/x", map.entries[map_seek(&map, S("pods/a/"))].key);
    EXPECT(map_remove(&map, S("nodes/n")) == &v);
    EXPECT(map_find(&map, S("nodes/n")) == NULL);
    EXPECT_INT(3, map.count);
    map_done(&map, NULL);
}

TEST(times_round_trip)
{
    usec t;
    char text[TIME_TEXT_MAX];
    EXPECT_INT(0, time_parse(S("2026-01-02T05:04:05.5+02:00"), &t));
    time_format(t, text);
    EXPECT_STR("2026-01-02T03:04:05Z", str_of(text));
    EXPECT_INT(0, time_parse(S("0104-01-02T03:04:05.000006Z"), &t));
    time_format_micro(t, text);
    EXPECT_STR("0104-01-02T03:04:05.000006Z", str_of(text));
    EXPECT_INT(ERR_INVALID, time_parse(S("2026-13-02T05:04:05Z"), &t));
    EXPECT_INT(ERR_INVALID, time_parse(S("2026-01-02T05:04:05"), &t));
}

TEST(ages_read_as_upstream_writes_them)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {0,        "0s"   },
        {119,      "119s" },
        {120,      "2m"   },
        {150,      "2m30s"},
        {600,      "10m"  },
        {10800,    "3h"   },
        {14400,    "4h"   },
        {14460,    "4h1m" },
        {172800,   "2d"   },
        {176400,   "2d1h" },
        {700000,   "8d"   },
        {63072000, "2y"   }
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[TIME_TEXT_MAX];
        span_format_human(rows[i].seconds * USEC_PER_SEC, text);
        EXPECT_STR(rows[i].text, str_of(text));
    }
}

TEST(go_durations_round_trip)
{
    static const char *const texts[] = {"0s", "1.5s", "10s", "1m20s", "5m0s", "234.5ms", "1h0m0s"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        usec span;
        char text[TIME_TEXT_MAX];
        EXPECT_INT(0, span_parse_go(str_of(texts[i]), &span));
        span_format_go(span, text);
        EXPECT_STR(texts[i], str_of(text));
    }
}

TEST(base64_is_strict)
{
    auto_buf struct buf out;
    buf_init(&out, 100);
    EXPECT_INT(0, base64_encode(&out, S("ab")));
    EXPECT_STR("YWI=", buf_str(&out));
    buf_clear(&out);
    EXPECT_INT(0, base64_decode(&out, S("YW\nI=")));
    EXPECT_STR("ab", buf_str(&out));
    EXPECT_INT(ERR_SYNTAX, base64_decode(&out, S("YWI")));
    EXPECT_INT(ERR_SYNTAX, base64_decode(&out, S("YWJ=")));
    EXPECT_INT(ERR_SYNTAX, base64url_decode(&out, S("YW+")));
}

TEST(utf8_rejects_surrogates_and_overlong)
{
    EXPECT_INT(0, utf8_valid_prefix(S("\xed\xa0\x80")));
    EXPECT_INT(0, utf8_valid_prefix(S("\xc0\x80")));
    EXPECT_INT(4, utf8_valid_prefix(S("\xf0\x9f\x9a\xa3")));
}

TEST(seeded_randomness_repeats)
{
    struct rng a;
    struct rng b;
    rng_seed(&a, 7);
    rng_seed(&b, 7);
    char uuid[UUID_LEN + 1];
    char again[UUID_LEN + 1];
    rng_uuid(&a, uuid);
    rng_uuid(&b, again);
    EXPECT_STR(uuid, str_of(again));
    EXPECT(uuid[14] == '4');
}

TEST(arena_lists_grow_and_keep_what_they_hold)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    int *list = NULL;
    size_t cap = 0;
    for (size_t count = 0; count < 100; count++) {
        list = arena_more(arena, list, count, &cap, sizeof *list);
        EXPECT(cap > count && cap <= 2 * (count + 8));
        list[count] = (int)count;
    }
    for (int i = 0; i < 100; i++) {
        EXPECT_INT(i, list[i]);
    }
}

TEST(arena_says_when_it_is_over)
{
    auto_arena struct arena *arena = arena_new(1000);
    (void)arena_alloc(arena, 900);
    EXPECT(!arena_is_over(arena));
    (void)arena_alloc(arena, 900);
    EXPECT(arena_is_over(arena));
}

TEST(dir_remove_all_takes_trees_deeper_than_its_descriptors)
{
    struct err err = {0};
    char root[] = "/tmp/coracle-base-XXXXXX";
    EXPECT(mkdtemp(root) != NULL);
    int at = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 500; i++) {
        EXPECT_INT(0, mkdirat(at, "d", 0700));
        EXPECT_INT(0, mkdirat(at, ".raised-1", 0700));
        int below = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        EXPECT(below >= 0);
        close(at);
        at = below;
    }
    close(at);
    EXPECT_OK(dir_remove_all(AT_FDCWD, root, &err));
    EXPECT_INT(-1, access(root, F_OK));
}
