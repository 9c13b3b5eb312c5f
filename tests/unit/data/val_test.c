// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/arena.h"
#include "base/mem.h"
#include "data/json.h"

static struct val parse(struct arena *arena, const char *text)
{
    struct err err = {0};
    struct val v = val_null();
    EXPECT_OK(json_read(str_of(text), arena, NULL, &v, &err));
    return v;
}

static struct str text_of(struct arena *arena, const struct val *v)
{
    auto_buf struct buf out;
    buf_init(&out, 1 << 20);
    EXPECT_INT(0, json_write(&out, v));
    return arena_dup(arena, buf_str(&out));
}

TEST(val_reads_by_path)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val v = parse(arena, "{\"a\":{\"b\":[{\"c\":\"x\"},7,true,2.0,null]}}");
    EXPECT_STR("x", val_text_at(&v, "a.b.0.c"));
    EXPECT_INT(7, val_number_at(&v, "a.b.1", -1));
    EXPECT_INT(2, val_number_at(&v, "a.b.3", -1));
    EXPECT(val_true_at(&v, "a.b.2"));
    EXPECT(val_is(val_path(&v, "a.b.4"), VAL_NULL));
    static const char *const absent[] = {"x", "a.x", "a.b.5", "a.b.x", "a.b.0.c.d", "a.b.1.0"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
        EXPECT(val_path(&v, absent[i]) == NULL);
    }
    EXPECT_INT(0, val_count(NULL));
    EXPECT_STR("", val_text(NULL));
    EXPECT_INT(-1, val_number(NULL, -1));
}

TEST(val_edits_keep_keys_sorted)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val v = val_map();
    static const char *const keys[] = {"m", "c", "z", "a", "c", "b", "q", "p", "n"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        (void)val_set(arena, &v, str_of(keys[i]), val_int((int64_t)i));
    }
    EXPECT(val_remove(&v, S("p")));
    EXPECT(!val_remove(&v, S("p")));
    EXPECT_STR("{\"a\":3,\"b\":5,\"c\":4,\"m\":0,\"n\":8,\"q\":6,\"z\":2}", text_of(arena, &v));
    struct val *list = val_need_list(arena, &v, S("c2"));
    for (int i = 0; i < 6; i++) {
        (void)val_push(arena, list, val_int(i));
    }
    (void)val_insert(arena, list, 0, val_str(S("first")));
    val_drop(list, 3);
    EXPECT_STR("[\"first\",0,1,3,4,5]", text_of(arena, val_get(&v, S("c2"))));
    (void)val_set_path(arena, &v, "spec.template.x", val_bool(true));
    EXPECT(val_true_at(&v, "spec.template.x"));
    *val_slot_path(&v, "c2.0") = val_null();
    EXPECT(val_is(val_path(&v, "c2.0"), VAL_NULL));
    EXPECT(val_need_map(arena, &v, S("spec")) == val_slot(&v, S("spec")));
}

TEST(val_prune_nulls_spares_lists)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val v =
        parse(arena, "{\"a\":null,\"b\":[null,{\"c\":null,\"d\":1}],\"e\":{\"f\":null}}");
    val_prune_nulls(&v);
    EXPECT_STR("{\"b\":[null,{\"d\":1}],\"e\":{}}", text_of(arena, &v));
}

TEST(val_cmp_orders_everything)
{
    static const char *const sorted[] = {"null",
                                         "false",
                                         "true",
                                         "-1e30",
                                         "-2",
                                         "-1.5",
                                         "-1",
                                         "0",
                                         "0.5",
                                         "1",
                                         "9007199254740992",
                                         "9007199254740993",
                                         "1e30",
                                         "\"\"",
                                         "\"a\"",
                                         "\"aa\"",
                                         "\"b\"",
                                         "[]",
                                         "[1]",
                                         "[1,1]",
                                         "[2]",
                                         "{}",
                                         "{\"a\":1}",
                                         "{\"a\":1,\"b\":1}",
                                         "{\"a\":2}",
                                         "{\"b\":0}"};
    auto_arena struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
            struct val a = parse(arena, sorted[i]);
            struct val b = parse(arena, sorted[k]);
            int order = val_cmp(&a, &b);
            EXPECT_INT(i < k ? -1 : i > k ? 1 : 0, order < 0 ? -1 : order > 0 ? 1 : 0);
            EXPECT_INT(i == k, val_eq(&a, &b));
        }
    }
    struct val a = parse(arena, "1");
    struct val b = parse(arena, "1.0");
    EXPECT(val_eq(&a, &b));
}

TEST(doc_freeze_copies_everything)
{
    const char *text = "{\"a\":[\"name\",\"name\",{\"name\":\"\",\"x\":null}],\"big\":\"0123456789"
                       "0123456789012345678901234567890123456789012345678901234567890123456789\","
                       "\"e\":[],\"m\":{},\"n\":-1.5}";
    auto_arena struct arena *arena = arena_new(1 << 20);
    auto_free char *heap_text = xstrdup(text);
    struct val v = parse(arena, heap_text);
    struct doc *doc = doc_freeze(&v);
    memset(heap_text, '#', strlen(text));
    struct doc *same = doc_ref(doc);
    doc_unref(doc);
    EXPECT_STR(text, text_of(arena, &same->root));
    struct val copy = val_copy(arena, &same->root);
    doc_unref(same);
    EXPECT_STR(text, text_of(arena, &copy));
    doc_unref(NULL);
}
