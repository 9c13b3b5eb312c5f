// SPDX-License-Identifier: Apache-2.0
//
// From values to sets of fields, by schema: what an intent holds, and what differs between two
// versions (structured-merge-diff's ToFieldSet and Compare).
//
// Recursion follows the nesting of documents, which DOC_DEPTH_MAX caps.
#include "api/managed.h"

#include "base/limits.h"
#include "data/json.h"

#include <stdlib.h>

struct typed typed_root(const struct schema_type *type)
{
    return (struct typed){.shape = SHAPE_STRUCT, .type = type};
}

static struct typed typed_ref(const struct schema_type *ref)
{
    if (ref == NULL || ref->is_map_atomic || ref->fields_count == 0) {
        return (struct typed){.shape = SHAPE_ATOM};
    }
    return (struct typed){.shape = SHAPE_STRUCT, .type = ref};
}

struct typed typed_field(const struct schema_field *field)
{
    struct typed typed = {.shape = SHAPE_ATOM, .field = field};
    if (field == NULL) {
        return typed;
    }
    switch ((enum schema_shape)field->shape) {
    case SCHEMA_ONE:
        return (field->flags & SCHEMA_MAP_ATOMIC) != 0 || field->base != SCHEMA_REF
                   ? typed
                   : typed_ref(field->ref);
    case SCHEMA_MAP:
        typed.shape = (field->flags & SCHEMA_MAP_ATOMIC) != 0 ? SHAPE_ATOM : SHAPE_MAP;
        return typed;
    case SCHEMA_LIST:
        typed.shape = field->list == SCHEMA_SET     ? SHAPE_SET
                      : field->list == SCHEMA_KEYED ? SHAPE_KEYED
                                                    : SHAPE_ATOM;
        return typed;
    }
    return typed;
}

struct typed typed_item(const struct schema_field *field)
{
    return field->base == SCHEMA_REF ? typed_ref(field->ref) : (struct typed){.shape = SHAPE_ATOM};
}

struct typed typed_child(struct typed parent, struct str name)
{
    return parent.shape == SHAPE_STRUCT ? typed_field(schema_field(parent.type, name))
                                        : typed_item(parent.field);
}

/* {"containerPort":80,"protocol":"TCP"}: absent keys take the schema's default. */
static bool element_key(struct arena *arena, const struct schema_field *field,
                        const struct val *item, struct val *ret)
{
    *ret = val_map();
    for (size_t i = 0; i < field->keys_count; i++) {
        const struct val *key = val_get(item, field->keys[i]);
        if (key != NULL) {
            (void)val_set(arena, ret, field->keys[i], *key);
            continue;
        }
        const struct schema_field *of = schema_field(field->ref, field->keys[i]);
        struct val otherwise;
        struct err err;
        if (of != NULL && of->default_json.n != 0 &&
            json_read(of->default_json, arena, NULL, &otherwise, &err) == 0) {
            (void)val_set(arena, ret, field->keys[i], otherwise);
        }
    }
    return ret->n != 0;
}

static int cmp_element(const void *a, const void *b)
{
    const struct element *x = a;
    const struct element *y = b;
    int order = str_cmp(x->name, y->name);
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

struct element *elements_sorted(struct arena *arena, const struct element *elements, size_t count)
{
    struct element *sorted = arena_alloc(arena, (count + 1) * sizeof(*sorted));
    if (count != 0) {
        memcpy(sorted, elements, count * sizeof(*sorted));
        qsort(sorted, count, sizeof(*sorted), cmp_element);
    }
    return sorted;
}

const struct element *element_find(const struct element *sorted, size_t count, struct str name)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(sorted[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && str_eq(sorted[low].name, name) ? &sorted[low] : NULL;
}

bool typed_elements(struct arena *arena, struct typed list, const struct val *v,
                    struct element **ret)
{
    size_t count = val_count(v);
    struct element *elements = arena_alloc(arena, (count + 1) * sizeof(*elements));
    auto_buf struct buf buf;
    buf_init(&buf, BODY_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct val *item = val_at(v, i);
        struct val key = *item;
        if (list.shape == SHAPE_KEYED && !element_key(arena, list.field, item, &key)) {
            return false;
        }
        buf_clear(&buf);
        (void)buf_add(&buf, list.shape == SHAPE_KEYED ? S("k:") : S("v:"));
        (void)json_write(&buf, &key);
        elements[i] = (struct element){arena_dup(arena, buf_str(&buf)), (uint32_t)i};
    }
    struct element *sorted = elements_sorted(arena, elements, count);
    for (size_t i = 1; i < count; i++) {
        if (str_eq(sorted[i - 1].name, sorted[i].name)) {
            return false;
        }
    }
    *ret = elements;
    return true;
}

static struct str field_element(struct arena *arena, struct str name)
{
    return arena_fmt(arena, "f:" STR_FMT, STR_ARG(name));
}

/* Whether v is owned as one: atoms, empty containers, lists that can't be told apart. */
static bool is_granular(struct arena *arena, struct typed typed, const struct val *v,
                        struct element **ret_elements)
{
    if (typed.shape == SHAPE_STRUCT || typed.shape == SHAPE_MAP) {
        return val_is(v, VAL_MAP) && v->n != 0;
    }
    return typed.shape != SHAPE_ATOM && val_is(v, VAL_LIST) && v->n != 0 &&
           typed_elements(arena, typed, v, ret_elements);
}

static void mark_member(struct arena *arena, struct val *node)
{
    if (node->n != 0) {
        (void)val_set(arena, node, S("."), val_map());
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
struct val fields_of(struct arena *arena, struct typed typed, const struct val *v)
{
    struct val out = val_map();
    struct element *elements = NULL;
    if (!is_granular(arena, typed, v, &elements)) {
        return out;
    }
    if (elements != NULL) {
        for (size_t i = 0; i < v->n; i++) {
            struct val below = fields_of(arena, typed_item(typed.field), &v->items[i]);
            mark_member(arena, &below);
            (void)val_set(arena, &out, elements[i].name, below);
        }
        return out;
    }
    for (size_t i = 0; i < v->n; i++) {
        const struct member *member = &v->members[i];
        struct val below = fields_of(arena, typed_child(typed, member->key), &member->val);
        if (typed.shape == SHAPE_MAP) {
            mark_member(arena, &below);
        }
        (void)val_set(arena, &out, field_element(arena, member->key), below);
    }
    return out;
}

/* Everything in v with the containers themselves: what an addition or a removal covers. Structs
 * count as there before, as their Go zero values are. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct val fields_all(struct arena *arena, struct typed typed, const struct val *v)
{
    struct val out = val_map();
    struct element *elements = NULL;
    if (!is_granular(arena, typed, v, &elements)) {
        return out;
    }
    for (size_t i = 0; i < v->n; i++) {
        struct typed child =
            elements != NULL ? typed_item(typed.field) : typed_child(typed, v->members[i].key);
        struct val below =
            fields_all(arena, child, elements != NULL ? &v->items[i] : &v->members[i].val);
        bool is_item = elements != NULL || typed.shape == SHAPE_MAP;
        if (is_item || child.shape == SHAPE_MAP) {
            mark_member(arena, &below);
        }
        (void)val_set(arena, &out,
                      elements != NULL ? elements[i].name : field_element(arena, v->members[i].key),
                      below);
    }
    return out;
}

static void put_below(struct arena *arena, struct val *to, struct str name, struct val below)
{
    if (below.n != 0) {
        (void)val_set(arena, to, name, below);
    }
}

/* One child that both may have; NULL = absent. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void compare_child(struct arena *arena, struct typed child, bool is_item, struct str name,
                          const struct val *a, const struct val *b, struct fields_diff *ret)
{
    if (a != NULL && b != NULL) {
        if (val_eq(a, b)) {
            return;
        }
        struct element *ea = NULL;
        struct element *eb = NULL;
        bool is_deep_a = is_granular(arena, child, a, &ea);
        bool is_deep_b = is_granular(arena, child, b, &eb);
        bool is_deep = (is_deep_a || val_count(a) == 0) && (is_deep_b || val_count(b) == 0);
        if (child.shape == SHAPE_ATOM || !is_deep) {
            (void)val_set(arena, &ret->changed, name, val_map());
            return;
        }
        struct fields_diff below;
        fields_compare(arena, child, a, b, &below);
        put_below(arena, &ret->changed, name, below.changed);
        put_below(arena, &ret->removed, name, below.removed);
        return;
    }
    struct val all = fields_all(arena, child, a != NULL ? a : b);
    if (is_item || child.shape == SHAPE_MAP) {
        mark_member(arena, &all);
    }
    (void)val_set(arena, a != NULL ? &ret->removed : &ret->changed, name, all);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void compare_maps(struct arena *arena, struct typed typed, const struct val *a,
                         const struct val *b, struct fields_diff *ret)
{
    size_t i = 0;
    size_t j = 0;
    size_t a_count = val_count(a);
    size_t b_count = val_count(b);
    while (i < a_count || j < b_count) {
        int order = i == a_count   ? 1
                    : j == b_count ? -1
                                   : str_cmp(a->members[i].key, b->members[j].key);
        const struct val *x = order <= 0 ? &a->members[i].val : NULL;
        const struct val *y = order >= 0 ? &b->members[j].val : NULL;
        struct str key = order <= 0 ? a->members[i].key : b->members[j].key;
        i += order <= 0;
        j += order >= 0;
        if (x != NULL && y != NULL && val_eq(x, y)) {
            continue;
        }
        compare_child(arena, typed_child(typed, key), typed.shape == SHAPE_MAP,
                      field_element(arena, key), x, y, ret);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void compare_lists(struct arena *arena, struct typed typed, const struct val *a,
                          const struct val *b, struct fields_diff *ret)
{
    struct element *ea = NULL;
    struct element *eb = NULL;
    if (!typed_elements(arena, typed, a, &ea) || !typed_elements(arena, typed, b, &eb)) {
        return;
    }
    struct typed item = typed_item(typed.field);
    const struct element *sorted = elements_sorted(arena, eb, val_count(b));
    for (size_t i = 0; i < val_count(a); i++) {
        const struct element *other = element_find(sorted, val_count(b), ea[i].name);
        compare_child(arena, item, /*is_item=*/true, ea[i].name, val_at(a, i),
                      other == NULL ? NULL : val_at(b, other->at), ret);
    }
    sorted = elements_sorted(arena, ea, val_count(a));
    for (size_t i = 0; i < val_count(b); i++) {
        if (element_find(sorted, val_count(a), eb[i].name) == NULL) {
            compare_child(arena, item, /*is_item=*/true, eb[i].name, NULL, val_at(b, i), ret);
        }
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
void fields_compare(struct arena *arena, struct typed typed, const struct val *a,
                    const struct val *b, struct fields_diff *ret)
{
    *ret = (struct fields_diff){.changed = val_map(), .removed = val_map()};
    if (typed.shape == SHAPE_STRUCT || typed.shape == SHAPE_MAP) {
        compare_maps(arena, typed, a, b, ret);
    } else if (typed.shape != SHAPE_ATOM) {
        compare_lists(arena, typed, a, b, ret);
    }
}
