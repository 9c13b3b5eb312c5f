// SPDX-License-Identifier: Apache-2.0
//
// Sets of fields in the form of FieldsV1 and their algebra. A set is a map from path elements to
// sets; see api/managed.h. Maps are sorted, so every operation is one merge walk.
//
// Recursion follows the nesting of documents, which DOC_DEPTH_MAX caps.
#include "api/managed.h"

#include "base/limits.h"
#include "data/json.h"

static bool is_dot(struct str key)
{
    return key.n == 1 && key.p[0] == '.';
}

bool fields_is_member(const struct val *node)
{
    return node != NULL && (val_count(node) == 0 || val_get(node, S(".")) != NULL);
}

bool fields_is_empty(const struct val *set)
{
    return val_count(set) == 0;
}

/* Puts child under key: as a member when is_member, with what it holds besides. */
static void put_node(struct arena *arena, struct val *to, struct str key, bool is_member,
                     struct val below)
{
    (void)val_remove(&below, S("."));
    if (!is_member && below.n == 0) {
        return;
    }
    if (is_member && below.n != 0) {
        (void)val_set(arena, &below, S("."), val_map());
    }
    (void)val_set(arena, to, key, below);
}

/* A copy of the map's own slots, so that it can be edited; what hangs below is shared. */
static struct val shallow(struct arena *arena, const struct val *map)
{
    struct val copy = val_map();
    for (size_t i = 0; val_is(map, VAL_MAP) && i < map->n; i++) {
        (void)val_set(arena, &copy, map->members[i].key, map->members[i].val);
    }
    return copy;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
struct val fields_union(struct arena *arena, const struct val *a, const struct val *b)
{
    struct val out = shallow(arena, a);
    for (size_t i = 0; val_is(b, VAL_MAP) && i < b->n; i++) {
        struct str key = b->members[i].key;
        const struct val *other = &b->members[i].val;
        const struct val *own = val_get(a, key);
        if (is_dot(key)) {
            continue;
        }
        if (own == NULL) {
            (void)val_set(arena, &out, key, *other);
            continue;
        }
        bool is_member = fields_is_member(own) || fields_is_member(other);
        put_node(arena, &out, key, is_member, fields_union(arena, own, other));
    }
    return out;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
struct val fields_difference(struct arena *arena, const struct val *a, const struct val *b)
{
    struct val out = val_map();
    for (size_t i = 0; val_is(a, VAL_MAP) && i < a->n; i++) {
        struct str key = a->members[i].key;
        const struct val *own = &a->members[i].val;
        const struct val *other = val_get(b, key);
        if (is_dot(key)) {
            continue;
        }
        if (other == NULL) {
            (void)val_set(arena, &out, key, *own);
            continue;
        }
        bool is_member = fields_is_member(own) && !fields_is_member(other);
        put_node(arena, &out, key, is_member, fields_difference(arena, own, other));
    }
    return out;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
struct val fields_intersection(struct arena *arena, const struct val *a, const struct val *b)
{
    struct val out = val_map();
    for (size_t i = 0; val_is(a, VAL_MAP) && i < a->n; i++) {
        struct str key = a->members[i].key;
        const struct val *own = &a->members[i].val;
        const struct val *other = val_get(b, key);
        if (is_dot(key) || other == NULL) {
            continue;
        }
        bool is_member = fields_is_member(own) && fields_is_member(other);
        put_node(arena, &out, key, is_member, fields_intersection(arena, own, other));
    }
    return out;
}

/* `[name="c",protocol="TCP"]` of `k:{"name":"c","protocol":"TCP"}`, `[="x"]` of `v:"x"`. */
static void put_path(struct buf *buf, struct arena *arena, struct str element)
{
    struct str rest = str_sub(element, 2, element.n);
    if (str_starts(element, S("f:"))) {
        (void)buf_addf(buf, "." STR_FMT, STR_ARG(rest));
    } else if (str_starts(element, S("v:"))) {
        (void)buf_addf(buf, "[=" STR_FMT "]", STR_ARG(rest));
    } else if (str_starts(element, S("i:"))) {
        (void)buf_addf(buf, "[" STR_FMT "]", STR_ARG(rest));
    } else {
        struct val keys = val_null();
        struct err err;
        (void)buf_addc(buf, '[');
        if (json_read(rest, arena, NULL, &keys, &err) == 0 && val_is(&keys, VAL_MAP)) {
            for (size_t i = 0; i < keys.n; i++) {
                (void)buf_addf(buf, "%s" STR_FMT "=", i == 0 ? "" : ",",
                               STR_ARG(keys.members[i].key));
                (void)json_write(buf, &keys.members[i].val);
            }
        }
        (void)buf_addc(buf, ']');
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void each_below(struct arena *arena, const struct val *set, struct str path,
                       void (*each)(void *ctx, struct str path), void *ctx)
{
    for (size_t i = 0; val_is(set, VAL_MAP) && i < set->n; i++) {
        if (is_dot(set->members[i].key)) {
            continue;
        }
        auto_buf struct buf buf;
        buf_init(&buf, HEADER_BYTES_MAX);
        (void)buf_add(&buf, path);
        put_path(&buf, arena, set->members[i].key);
        struct str here = arena_dup(arena, buf_str(&buf));
        if (fields_is_member(&set->members[i].val)) {
            each(ctx, here);
        }
        each_below(arena, &set->members[i].val, here, each, ctx);
    }
}

void fields_each(struct arena *arena, const struct val *set,
                 void (*each)(void *ctx, struct str path), void *ctx)
{
    each_below(arena, set, S(""), each, ctx);
}

void fields_strip(struct val *set, bool has_status, struct str subresource)
{
    static const char *const never[] = {
        "f:name",       "f:namespace",     "f:creationTimestamp", "f:uid",
        "f:generation", "f:managedFields", "f:resourceVersion",   "f:selfLink"};
    (void)val_remove(set, S("f:apiVersion"));
    (void)val_remove(set, S("f:kind"));
    struct val *meta = val_slot(set, S("f:metadata"));
    if (meta != NULL) {
        for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
            (void)val_remove(meta, str_of(never[i]));
        }
        (void)val_remove(meta, S("."));
        if (meta->n == 0) {
            (void)val_remove(set, S("f:metadata"));
        }
    }
    if (has_status && subresource.n == 0) {
        (void)val_remove(set, S("f:status"));
    }
}
