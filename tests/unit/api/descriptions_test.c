// SPDX-License-Identifier: Apache-2.0
#include "api/descriptions.h"

#include "test.h"

#include "api/schema.h"
#include "base/mem.h"

static bool has_field(const struct schema_type *type, struct str field)
{
    for (size_t i = 0; i < type->fields_count; i++) {
        if (str_eq(type->fields[i].name, field)) {
            return true;
        }
    }
    return false;
}

static bool is_known(struct str key)
{
    const struct schema_type *type = schema_find(key);
    ptrdiff_t dot = str_rfind(key, '.');
    if (type != NULL || dot == 0) {
        return true;
    }
    type = schema_find(str_sub(key, 0, (size_t)dot));
    return type != NULL && has_field(type, str_sub(key, (size_t)dot + 1, key.n));
}

TEST(descriptions_are_sorted_and_of_what_there_is)
{
    struct str before = S("");
    for (size_t i = 0; description_key(i).n > 0; i++) {
        struct str key = description_key(i);
        if (str_cmp(before, key) >= 0 || !is_known(key)) {
            test_fail_text("descriptions.c", key, before, __FILE__, __LINE__);
        }
        before = key;
    }
}

TEST(descriptions_are_found)
{
    struct arena *arena = arena_new(1 << 16);
    EXPECT(str_starts(description_of_type(S("core.v1.Pod")), S("Containers that run")));
    EXPECT(str_starts(description_of_field(arena, S("core.v1.Pod"), S("spec")), S("The pod that")));
    EXPECT(str_starts(description_of_field(arena, S("core.v1.Pod"), S("kind")), S("The kind of")));
    EXPECT(description_of_field(arena, S("core.v1.Pod"), S("nope")).n == 0);
    arena_free(arena);
}
