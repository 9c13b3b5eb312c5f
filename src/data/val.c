// SPDX-License-Identifier: Apache-2.0
//
// Values: making, reading, comparing and editing. Documents (doc_freeze) live in doc.c.
// Recursion here follows trees whose depth their makers cap: the readers at DOC_DEPTH_MAX, patches
// at the same.
#include "data/val.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { ROOM_MIN = 2, ROOM_MAX = 31 };

struct val val_null(void)
{
    return (struct val){.type = VAL_NULL};
}

struct val val_bool(bool b)
{
    return (struct val){.type = VAL_BOOL, .b = b};
}

struct val val_int(int64_t i)
{
    return (struct val){.type = VAL_INT, .i = i};
}

struct val val_double(double d)
{
    return (struct val){.type = VAL_DOUBLE, .d = d};
}

struct val val_str(struct str s)
{
    assert(s.n <= UINT32_MAX);
    return (struct val){.type = VAL_STR, .n = (uint32_t)s.n, .s = s.n == 0 ? "" : s.p};
}

struct val val_list(void)
{
    return (struct val){.type = VAL_LIST};
}

struct val val_map(void)
{
    return (struct val){.type = VAL_MAP};
}

bool val_is(const struct val *v, enum val_type type)
{
    return v != NULL && v->type == type;
}

/* Index of the first member whose key is >= key. */
static uint32_t member_seek(const struct val *map, struct str key)
{
    uint32_t low = 0;
    uint32_t high = map->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (str_cmp(map->members[mid].key, key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool member_is_at(const struct val *map, uint32_t at, struct str key)
{
    return at < map->n && str_eq(map->members[at].key, key);
}

const struct val *val_get(const struct val *map, struct str key)
{
    if (!val_is(map, VAL_MAP)) {
        return NULL;
    }
    uint32_t at = member_seek(map, key);
    return member_is_at(map, at, key) ? &map->members[at].val : NULL;
}

const struct val *val_at(const struct val *list, size_t i)
{
    return val_is(list, VAL_LIST) && i < list->n ? &list->items[i] : NULL;
}

const struct val *val_path(const struct val *v, const char *path)
{
    struct str rest = str_of(path);
    while (rest.p != NULL && v != NULL) {
        struct str step = str_cut(&rest, '.');
        uint64_t i;
        if (v->type == VAL_LIST) {
            v = str_to_u64(step, &i) == 0 ? val_at(v, i) : NULL;
        } else {
            v = val_get(v, step);
        }
    }
    return v;
}

struct str val_text(const struct val *v)
{
    return val_is(v, VAL_STR) ? (struct str){v->s, v->n} : S("");
}

/* The int64 that a double equals, if any. */
static bool double_is_whole(double d, int64_t *ret)
{
    if (!(d >= -0x1p63 && d < 0x1p63) || d != floor(d)) {
        return false;
    }
    *ret = (int64_t)d;
    return true;
}

int64_t val_number(const struct val *v, int64_t otherwise)
{
    if (val_is(v, VAL_INT)) {
        return v->i;
    }
    int64_t i;
    return val_is(v, VAL_DOUBLE) && double_is_whole(v->d, &i) ? i : otherwise;
}

bool val_is_true(const struct val *v)
{
    return val_is(v, VAL_BOOL) && v->b;
}

size_t val_count(const struct val *v)
{
    return v != NULL && (v->type == VAL_LIST || v->type == VAL_MAP) ? v->n : 0;
}

struct str val_text_at(const struct val *v, const char *path)
{
    return val_text(val_path(v, path));
}

int64_t val_number_at(const struct val *v, const char *path, int64_t otherwise)
{
    return val_number(val_path(v, path), otherwise);
}

bool val_true_at(const struct val *v, const char *path)
{
    return val_is_true(val_path(v, path));
}

/* Ints and doubles share a rank: they are ordered by their numbers. */
static int type_rank(const struct val *v)
{
    return v->type == VAL_DOUBLE ? VAL_INT : v->type;
}

static int order_of(bool is_less, bool is_more)
{
    return is_less ? -1 : is_more ? 1 : 0;
}

/* Exact: an int64 need not be representable as a double. NaN sorts before all numbers. */
static int int_double_cmp(int64_t i, double d)
{
    if (isnan(d) || d < -0x1p63) {
        return 1;
    }
    if (d >= 0x1p63) {
        return -1;
    }
    int64_t whole = (int64_t)floor(d);
    if (i != whole) {
        return i < whole ? -1 : 1;
    }
    return d > floor(d) ? -1 : 0;
}

static int number_cmp(const struct val *a, const struct val *b)
{
    if (a->type == VAL_INT && b->type == VAL_INT) {
        return order_of(a->i<b->i, a->i> b->i);
    }
    if (a->type == VAL_INT) {
        return int_double_cmp(a->i, b->d);
    }
    if (b->type == VAL_INT) {
        return -int_double_cmp(b->i, a->d);
    }
    if (isnan(a->d) || isnan(b->d)) {
        return order_of(isnan(a->d) && !isnan(b->d), isnan(b->d) && !isnan(a->d));
    }
    return order_of(a->d < b->d, b->d < a->d);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int list_cmp(const struct val *a, const struct val *b)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int order = val_cmp(&a->items[i], &b->items[i]);
        if (order != 0) {
            return order;
        }
    }
    return order_of(a->n < b->n, b->n < a->n);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int map_cmp(const struct val *a, const struct val *b)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int order = str_cmp(a->members[i].key, b->members[i].key);
        order = order != 0 ? order : val_cmp(&a->members[i].val, &b->members[i].val);
        if (order != 0) {
            return order;
        }
    }
    return order_of(a->n < b->n, b->n < a->n);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
int val_cmp(const struct val *a, const struct val *b)
{
    if (a == NULL || b == NULL) {
        return order_of(a == NULL && b != NULL, a != NULL && b == NULL);
    }
    if (type_rank(a) != type_rank(b)) {
        return order_of(type_rank(a) < type_rank(b), true);
    }
    switch ((enum val_type)a->type) {
    case VAL_NULL:
        return 0;
    case VAL_BOOL:
        return order_of(!a->b && b->b, a->b && !b->b);
    case VAL_INT:
    case VAL_DOUBLE:
        return number_cmp(a, b);
    case VAL_STR:
        return str_cmp(val_text(a), val_text(b));
    case VAL_LIST:
        return list_cmp(a, b);
    case VAL_MAP:
        return map_cmp(a, b);
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
size_t val_size(const struct val *v)
{
    size_t count = 1;
    if (v == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < val_count(v); i++) {
        count += val_size(v->type == VAL_LIST ? &v->items[i] : &v->members[i].val);
    }
    return count;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
size_t val_depth(const struct val *v)
{
    size_t deepest = 0;
    for (uint32_t i = 0; i < val_count(v); i++) {
        size_t depth = val_depth(v->type == VAL_LIST ? &v->items[i] : &v->members[i].val);
        deepest = depth > deepest ? depth : deepest;
    }
    return val_is(v, VAL_LIST) || val_is(v, VAL_MAP) ? deepest + 1 : 0;
}

bool val_eq(const struct val *a, const struct val *b)
{
    if (a != NULL && b != NULL && a->type >= VAL_STR && (a->type != b->type || a->n != b->n)) {
        return false;
    }
    return val_cmp(a, b) == 0;
}

/* Editing. */

/* Makes room for one more slot; returns the slots. */
static void *slots_grow(struct arena *arena, struct val *v, void *slots, size_t slot_size)
{
    size_t owned = v->room == 0 ? v->n : (size_t)1 << v->room;
    if (v->n < owned) {
        return slots;
    }
    uint8_t room = ROOM_MIN;
    while ((size_t)1 << room <= v->n) {
        room++;
    }
    assert(room <= ROOM_MAX);
    void *grown = arena_alloc(arena, ((size_t)1 << room) * slot_size);
    if (v->n > 0) {
        memcpy(grown, slots, v->n * slot_size);
    }
    v->room = room;
    return grown;
}

struct val *val_set(struct arena *arena, struct val *map, struct str key, struct val v)
{
    assert(map->type == VAL_MAP);
    uint32_t at = member_seek(map, key);
    if (member_is_at(map, at, key)) {
        map->members[at].val = v;
        return &map->members[at].val;
    }
    map->members = slots_grow(arena, map, map->members, sizeof *map->members);
    memmove(map->members + at + 1, map->members + at, (map->n - at) * sizeof *map->members);
    map->members[at] = (struct member){key.n == 0 ? S("") : key, v};
    map->n++;
    return &map->members[at].val;
}

struct val *val_slot(struct val *map, struct str key)
{
    if (!val_is(map, VAL_MAP)) {
        return NULL;
    }
    uint32_t at = member_seek(map, key);
    return member_is_at(map, at, key) ? &map->members[at].val : NULL;
}

static struct val *need(struct arena *arena, struct val *map, struct str key, struct val empty)
{
    struct val *slot = val_slot(map, key);
    return slot == NULL || slot->type == VAL_NULL ? val_set(arena, map, key, empty) : slot;
}

struct val *val_need_map(struct arena *arena, struct val *map, struct str key)
{
    return need(arena, map, key, val_map());
}

struct val *val_need_list(struct arena *arena, struct val *map, struct str key)
{
    return need(arena, map, key, val_list());
}

bool val_remove(struct val *map, struct str key)
{
    if (!val_is(map, VAL_MAP)) {
        return false;
    }
    uint32_t at = member_seek(map, key);
    if (!member_is_at(map, at, key)) {
        return false;
    }
    map->n--;
    memmove(map->members + at, map->members + at + 1, (map->n - at) * sizeof *map->members);
    return true;
}

struct val *val_push(struct arena *arena, struct val *list, struct val v)
{
    return val_insert(arena, list, val_count(list), v);
}

struct val *val_insert(struct arena *arena, struct val *list, size_t at, struct val v)
{
    assert(list->type == VAL_LIST && at <= list->n);
    list->items = slots_grow(arena, list, list->items, sizeof *list->items);
    memmove(list->items + at + 1, list->items + at, (list->n - at) * sizeof *list->items);
    list->items[at] = v;
    list->n++;
    return &list->items[at];
}

void val_drop(struct val *list, size_t at)
{
    assert(list->type == VAL_LIST && at < list->n);
    list->n--;
    memmove(list->items + at, list->items + at + 1, (list->n - at) * sizeof *list->items);
}

struct val *val_set_path(struct arena *arena, struct val *map, const char *path, struct val v)
{
    struct str rest = str_of(path);
    for (;;) {
        struct str step = str_cut(&rest, '.');
        if (rest.p == NULL) {
            return val_set(arena, map, step, v);
        }
        struct val *slot = val_slot(map, step);
        map = slot != NULL && slot->type == VAL_MAP ? slot : val_set(arena, map, step, val_map());
    }
}

struct val *val_slot_path(struct val *v, const char *path)
{
    struct str rest = str_of(path);
    while (rest.p != NULL && v != NULL) {
        struct str step = str_cut(&rest, '.');
        uint64_t i;
        if (v->type == VAL_LIST) {
            v = str_to_u64(step, &i) == 0 && i < v->n ? &v->items[i] : NULL;
        } else {
            v = val_slot(v, step);
        }
    }
    return v;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
struct val val_copy(struct arena *arena, const struct val *v)
{
    if (v == NULL) {
        return val_null();
    }
    struct val copy = *v;
    copy.room = 0;
    if (v->type == VAL_STR) {
        copy.s = v->n == 0 ? "" : arena_dup(arena, val_text(v)).p;
    } else if (v->type == VAL_LIST && v->n > 0) {
        copy.items = arena_alloc(arena, v->n * sizeof *copy.items);
        for (uint32_t i = 0; i < v->n; i++) {
            copy.items[i] = val_copy(arena, &v->items[i]);
        }
    } else if (v->type == VAL_MAP && v->n > 0) {
        copy.members = arena_alloc(arena, v->n * sizeof *copy.members);
        for (uint32_t i = 0; i < v->n; i++) {
            copy.members[i] = (struct member){arena_dup(arena, v->members[i].key),
                                              val_copy(arena, &v->members[i].val)};
        }
    }
    return copy;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
void val_prune_nulls(struct val *v)
{
    if (val_is(v, VAL_LIST)) {
        for (uint32_t i = 0; i < v->n; i++) {
            val_prune_nulls(&v->items[i]);
        }
    }
    if (!val_is(v, VAL_MAP)) {
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->members[i].val.type == VAL_NULL) {
            continue;
        }
        if (kept != i) {
            v->members[kept] = v->members[i];
        }
        val_prune_nulls(&v->members[kept++].val);
    }
    v->n = kept;
}
