// SPDX-License-Identifier: Apache-2.0
//
// Server-side apply. Input: JSON of a live object, a zero byte, JSON of an intent; a zero byte,
// JSON of another manager's intent. Applying an intent a second time changes nothing; an intent
// that was applied is owned by its manager; the sets of fields obey the laws of sets; results stay
// readable.
#include "fuzz.h"

#include "api/kind.h"
#include "api/managed.h"
#include "base/limits.h"
#include "data/json.h"

#include <stdio.h>

static bool read_typed(struct arena *arena, struct str text, const struct schema_type *type,
                       struct val *ret)
{
    struct err err;
    return text.n > 0 && json_read(text, arena, NULL, ret, &err) == 0 && val_is(ret, VAL_MAP) &&
           schema_decode(type, arena, ret, NULL, NULL, &err) == 0;
}

static void must_be_readable(struct arena *arena, const struct val *v)
{
    auto_buf struct buf text;
    struct err err;
    struct val again;
    buf_init(&text, JSON_BYTES_MAX);
    must(json_write(&text, v) == 0);
    must(json_read(buf_str(&text), arena, NULL, &again, &err) == 0);
}

static bool apply(struct arena *arena, const struct schema_type *type, const char *manager,
                  const struct val *live, const struct val *intent, bool is_force, struct val *ret)
{
    const struct writer writer = {.manager = str_of(manager),
                                  .operation = S("Apply"),
                                  .api_version = S("v1"),
                                  .now_wall = 1,
                                  .has_status = true};
    struct status status = {0};
    if (managed_apply(arena, type, &writer, live, intent, is_force, ret, &status) < 0) {
        must(status.code >= 400 && status.message.n > 0);
        return false;
    }
    must_be_readable(arena, ret);
    return true;
}

static void must_be_same(const struct val *first, const struct val *second)
{
    bool is_same = val_eq(first, second) || managed_only_times_differ(first, second);
    if (!is_same) {
        auto_buf struct buf text;
        buf_init(&text, JSON_BYTES_MAX);
        (void)buf_add(&text, S("first:\n"));
        (void)json_write(&text, first);
        (void)buf_add(&text, S("\nsecond:\n"));
        (void)json_write(&text, second);
        (void)fprintf(stderr, STR_FMT "\n", STR_ARG(buf_str(&text)));
    }
    must(is_same);
}

static void check_laws(struct arena *arena, const struct val *a, const struct val *b)
{
    struct val both = fields_intersection(arena, a, b);
    struct val rest = fields_difference(arena, a, b);
    struct val whole = fields_union(arena, &both, &rest);
    struct val none = fields_intersection(arena, &rest, b);
    struct val left = fields_difference(arena, a, &whole);
    struct val right = fields_difference(arena, &whole, a);
    must(fields_is_empty(&none));
    must(fields_is_empty(&left) && fields_is_empty(&right));
    struct val all = fields_union(arena, a, b);
    struct val swapped = fields_union(arena, b, a);
    must(val_eq(&all, &swapped));
}

/* What the manager's entry holds, as the union of its entries. */
static struct val owned_by(struct arena *arena, const struct val *obj, struct str manager)
{
    struct val set = val_map();
    const struct val *entries = val_path(obj, "metadata.managedFields");
    for (size_t i = 0; i < val_count(entries); i++) {
        const struct val *entry = val_at(entries, i);
        if (str_eq(val_text_at(entry, "manager"), manager)) {
            set = fields_union(arena, &set, val_get(entry, S("fieldsV1")));
        }
    }
    return set;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct str rest = {(const char *)data, size};
    struct str live_text = str_cut(&rest, '\0');
    struct str intent_text = str_cut(&rest, '\0');
    const struct schema_type *type =
        kind_type(kind_of(str_search(live_text, S("clusterIP")) >= 0 ? KIND_SERVICE : KIND_POD));
    struct val live;
    struct val intent;
    struct val other;
    struct val first;
    struct val second;
    if (!read_typed(arena, live_text, type, &live) ||
        !read_typed(arena, intent_text, type, &intent) ||
        val_path(&intent, "metadata.managedFields") != NULL ||
        !apply(arena, type, "one", &live, &intent, true, &first)) {
        return 0;
    }
    must(apply(arena, type, "one", &first, &intent, false, &second));
    must_be_same(&first, &second);
    struct val want = fields_of(arena, typed_root(type), &intent);
    fields_strip(&want, true, S(""));
    struct val owned = owned_by(arena, &second, S("one"));
    struct val missing = fields_difference(arena, &want, &owned);
    must(fields_is_empty(&missing));
    if (!read_typed(arena, rest, type, &other) ||
        val_path(&other, "metadata.managedFields") != NULL) {
        return 0;
    }
    struct val others = fields_of(arena, typed_root(type), &other);
    check_laws(arena, &want, &others);
    if (apply(arena, type, "two", &second, &other, false, &first)) {
        must(apply(arena, type, "two", &first, &other, false, &second));
        must_be_same(&first, &second);
    }
    return 0;
}
