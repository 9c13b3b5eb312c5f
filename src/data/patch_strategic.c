// SPDX-License-Identifier: Apache-2.0
//
// Strategic merge patch (spec/api.md 3.6, appendix A). The result is a copy of the document that is
// edited in place. A part of the patch that meets nothing in the document is merged into an empty
// value, so directives and nulls never reach the result. The recursion follows the patch, whose
// depth its reader caps.
#include "data/patch.h"

#include "base/limits.h"

#include <stdlib.h>

#define ORDER_PREFIX  S("$setElementOrder/")
#define DELETE_PREFIX S("$deleteFromPrimitiveList/")
#define RETAIN_KEYS   S("$retainKeys")
#define PATCH_KEY     S("$patch")

struct merger {
    struct arena *arena;
    const struct patch_schema *schema;
    struct err *err;
};

enum directive { DIRECTIVE_NONE, DIRECTIVE_MERGE, DIRECTIVE_REPLACE, DIRECTIVE_DELETE };

static int map_merge(struct merger *m, struct val *target, const struct val *patch,
                     const void *type);

static int fail(struct merger *m, const char *what, struct str name)
{
    return err_set(m->err, ERR_INVALID, "%s" STR_FMT, what, STR_ARG(name));
}

static struct patch_field field_of(struct merger *m, const void *type, struct str name)
{
    struct patch_field field = {0};
    if (type == NULL || !m->schema->field(m->schema->ctx, type, name, &field)) {
        field = (struct patch_field){0};
    }
    return field;
}

static int directive_of(struct merger *m, const struct val *patch, enum directive *ret)
{
    const struct val *v = val_get(patch, PATCH_KEY);
    struct str name = val_text(v);
    *ret = v == NULL                    ? DIRECTIVE_NONE
           : str_eq(name, S("merge"))   ? DIRECTIVE_MERGE
           : str_eq(name, S("replace")) ? DIRECTIVE_REPLACE
                                        : DIRECTIVE_DELETE;
    if (*ret == DIRECTIVE_DELETE && !str_eq(name, S("delete"))) {
        return fail(m, "unknown patch type found: ", name);
    }
    return 0;
}

/* True for members that steer the merge and are no data. $ref and $schema are fields of
 * JSONSchemaProps. */
static bool is_directive(struct str key)
{
    return key.n > 0 && key.p[0] == '$' && !str_eq(key, S("$ref")) && !str_eq(key, S("$schema"));
}

static int check_directive(struct merger *m, struct str key)
{
    bool is_known = str_eq(key, PATCH_KEY) || str_eq(key, RETAIN_KEYS) ||
                    str_starts(key, ORDER_PREFIX) || str_starts(key, DELETE_PREFIX);
    return is_known ? 0 : fail(m, "unknown patch directive: ", key);
}

/* Lists. */

static int list_check_count(struct merger *m, const struct val *list)
{
    if (val_count(list) > PATCH_LIST_MAX) {
        return err_set(m->err, ERR_INVALID,
                       "Too many: %zu: a list that is patched by its items must have at most %d "
                       "items",
                       (size_t)val_count(list), PATCH_LIST_MAX);
    }
    return 0;
}

static ptrdiff_t scalar_find(const struct val *list, const struct val *v)
{
    for (uint32_t i = 0; i < val_count(list); i++) {
        if (val_eq(&list->items[i], v)) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

/* Index of the item with v's identity: equal merge keys, or equal scalars when there is no key. */
static ptrdiff_t item_find(const struct val *list, const struct val *v, struct str key)
{
    if (key.n == 0) {
        return scalar_find(list, v);
    }
    const struct val *identity = val_get(v, key);
    for (uint32_t i = 0; identity != NULL && i < val_count(list); i++) {
        if (val_eq(val_get(&list->items[i], key), identity)) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

struct ranked {
    struct val item;
    ptrdiff_t rank;
    uint32_t at;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    int order = (x->rank > y->rank) - (x->rank < y->rank);
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

/* Stable, by place in `order`; items that are not in it come first. */
static void sort_by(struct merger *m, struct val *list, const struct val *order, struct str key)
{
    struct ranked *ranked = arena_alloc(m->arena, list->n * sizeof *ranked);
    for (uint32_t i = 0; i < list->n; i++) {
        ranked[i] = (struct ranked){list->items[i], item_find(order, &list->items[i], key), i};
    }
    if (list->n > 0) {
        qsort(ranked, list->n, sizeof *ranked, by_rank);
    }
    for (uint32_t i = 0; i < list->n; i++) {
        list->items[i] = ranked[i].item;
    }
}

/* Puts merged into the order of `listed`; items that it doesn't name stay, as far as that is
 * possible, where they were in `before` relative to those that it does. */
static void list_order(struct merger *m, struct val *merged, const struct val *listed,
                       const struct val *before, struct str key)
{
    struct val named = val_list();
    struct val others = val_list();
    for (uint32_t i = 0; i < merged->n; i++) {
        bool is_named = item_find(listed, &merged->items[i], key) >= 0;
        (void)val_push(m->arena, is_named ? &named : &others, merged->items[i]);
    }
    sort_by(m, &named, listed, key);
    sort_by(m, &others, before, key);
    struct val out = val_list();
    uint32_t a = 0;
    uint32_t b = 0;
    while (a < others.n || b < named.n) {
        bool is_other = b >= named.n;
        if (!is_other && a < others.n) {
            ptrdiff_t other_at = item_find(before, &others.items[a], key);
            ptrdiff_t named_at = item_find(before, &named.items[b], key);
            is_other = other_at >= 0 && named_at >= 0 && other_at < named_at;
        }
        (void)val_push(m->arena, &out, is_other ? others.items[a++] : named.items[b++]);
    }
    *merged = out;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int item_merge(struct merger *m, struct val *target, const struct val *item,
                      const struct patch_field *field)
{
    ptrdiff_t at = item_find(target, item, field->merge_key);
    struct val *slot = at >= 0 ? &target->items[at] : val_push(m->arena, target, val_map());
    return map_merge(m, slot, item, field->type);
}

/* Items with $patch first: they may empty the list or drop items. ret_replace: the rest replaces.
 */
static int special_items(struct merger *m, struct val *target, const struct val *patch,
                         struct str key, bool *ret_replace)
{
    *ret_replace = false;
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct val *item = &patch->items[i];
        enum directive directive;
        if (item->type != VAL_MAP) {
            return fail(m, "a list of maps is patched with an item that is not a map, merge key ",
                        key);
        }
        if (directive_of(m, item, &directive) < 0) {
            return m->err->code;
        }
        if (directive == DIRECTIVE_REPLACE) {
            *ret_replace = true;
            continue;
        }
        if (val_get(item, key) == NULL) {
            return fail(m, "a list item of the patch does not contain declared merge key: ", key);
        }
        for (ptrdiff_t at;
             directive == DIRECTIVE_DELETE && (at = item_find(target, item, key)) >= 0;) {
            val_drop(target, (size_t)at);
        }
    }
    if (*ret_replace) {
        *target = val_list();
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int map_list_merge(struct merger *m, struct val *target, const struct val *patch,
                          const struct patch_field *field)
{
    bool is_replace;
    if (special_items(m, target, patch, field->merge_key, &is_replace) < 0) {
        return m->err->code;
    }
    struct val before = *target; /* the items are only read for their identity */
    before.items = before.n == 0 ? NULL : arena_alloc(m->arena, before.n * sizeof *before.items);
    for (uint32_t i = 0; i < before.n; i++) {
        before.items[i] = target->items[i];
    }
    struct val listed = val_list();
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct val *item = &patch->items[i];
        if (val_get(item, PATCH_KEY) != NULL &&
            !str_eq(val_text(val_get(item, PATCH_KEY)), S("merge"))) {
            continue;
        }
        if (item_merge(m, target, item, field) < 0) {
            return m->err->code;
        }
        (void)val_push(m->arena, &listed, *item);
    }
    if (!is_replace) {
        list_order(m, target, &listed, &before, field->merge_key);
    }
    return 0;
}

static int scalar_list_merge(struct merger *m, struct val *target, const struct val *patch)
{
    struct val before = val_copy(m->arena, target);
    for (uint32_t i = 0; i < patch->n; i++) {
        if (patch->items[i].type == VAL_MAP || patch->items[i].type == VAL_LIST) {
            return fail(m, "a list of scalars is patched with an item that is no scalar", S(""));
        }
        if (scalar_find(target, &patch->items[i]) < 0) {
            (void)val_push(m->arena, target, val_copy(m->arena, &patch->items[i]));
        }
    }
    list_order(m, target, patch, &before, S(""));
    return 0;
}

/* A list that is replaced whole: maps in it shed their directives, an item {"$patch": "replace"}
 * that holds nothing else goes. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int list_replace(struct merger *m, struct val *target, const struct val *patch,
                        const struct patch_field *field)
{
    *target = val_list();
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct val *item = &patch->items[i];
        enum directive directive = DIRECTIVE_NONE;
        if (item->type == VAL_MAP && directive_of(m, item, &directive) < 0) {
            return m->err->code;
        }
        if (directive == DIRECTIVE_DELETE || (directive == DIRECTIVE_REPLACE && item->n == 1)) {
            continue;
        }
        struct val *slot = val_push(m->arena, target, val_null());
        if (item->type == VAL_MAP) {
            *slot = val_map();
            if (map_merge(m, slot, item, field->type) < 0) {
                return m->err->code;
            }
        } else if (item->type == VAL_LIST) {
            if (list_replace(m, slot, item, field) < 0) {
                return m->err->code;
            }
        } else {
            *slot = val_copy(m->arena, item);
        }
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int list_merge(struct merger *m, struct val *target, const struct val *patch,
                      const struct patch_field *field)
{
    if (!field->is_merge) {
        return list_replace(m, target, patch, field);
    }
    if (list_check_count(m, target) < 0 || list_check_count(m, patch) < 0) {
        return m->err->code;
    }
    if (field->merge_key.n > 0) {
        return map_list_merge(m, target, patch, field);
    }
    return scalar_list_merge(m, target, patch);
}

/* $setElementOrder/<name>: applied after the list itself was merged. `before` is the list as the
 * document had it. */
static int order_apply(struct merger *m, struct val *target, struct str name,
                       const struct val *order, const struct val *before,
                       const struct patch_field *field)
{
    struct val *list = val_slot(target, name);
    if (order->type != VAL_LIST) {
        return fail(m, "invalid patch format of setElementOrder list: ", name);
    }
    for (uint32_t i = 0; field->merge_key.n > 0 && i < order->n; i++) {
        if (val_get(&order->items[i], field->merge_key) == NULL) {
            return fail(m, "invalid patch format of setElementOrder list: ", name);
        }
    }
    if (list != NULL && list->type == VAL_LIST && field->is_merge) {
        if (list_check_count(m, list) < 0 || list_check_count(m, order) < 0) {
            return m->err->code;
        }
        list_order(m, list, order, before, field->merge_key);
    }
    return 0;
}

/* Every item that the patch keeps must be in the order list. */
static int order_check(struct merger *m, struct str name, const struct val *order,
                       const struct val *patch, const struct patch_field *field)
{
    if (field->is_merge && (list_check_count(m, order) < 0 || list_check_count(m, patch) < 0)) {
        return m->err->code;
    }
    for (uint32_t i = 0; field->is_merge && i < val_count(patch) && patch->type == VAL_LIST; i++) {
        const struct val *item = &patch->items[i];
        if (val_get(item, PATCH_KEY) == NULL && item_find(order, item, field->merge_key) < 0) {
            return fail(m,
                        "the list in the patch has an item that its setElementOrder lacks: ", name);
        }
    }
    return 0;
}

/* Maps. */

static int retain_keys(struct merger *m, struct val *target, const struct val *patch,
                       const struct val *keys)
{
    if (keys->type != VAL_LIST) {
        return fail(m, "invalid patch format of retainKeys", S(""));
    }
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct member *member = &patch->members[i];
        struct val key = val_str(member->key);
        if (member->val.type != VAL_NULL && !is_directive(member->key) &&
            scalar_find(keys, &key) < 0) {
            return fail(m, "invalid patch format of retainKeys: it lacks ", member->key);
        }
    }
    for (uint32_t i = target->n; i > 0; i--) {
        struct val key = val_str(target->members[i - 1].key);
        if (scalar_find(keys, &key) < 0) {
            (void)val_remove(target, target->members[i - 1].key);
        }
    }
    return 0;
}

static int delete_scalars(struct merger *m, struct val *target, struct str name,
                          const struct val *gone)
{
    struct val *list = val_slot(target, name);
    if (gone->type != VAL_LIST) {
        return fail(m, "invalid patch format of primitive list: ", name);
    }
    for (uint32_t i = val_is(list, VAL_LIST) ? list->n : 0; i > 0; i--) {
        if (scalar_find(gone, &list->items[i - 1]) >= 0) {
            val_drop(list, i - 1);
        }
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int member_merge(struct merger *m, struct val *target, const struct member *patch,
                        const struct patch_field *field)
{
    const struct val *v = &patch->val;
    enum directive directive = DIRECTIVE_NONE;
    if (v->type == VAL_MAP && directive_of(m, v, &directive) < 0) {
        return m->err->code;
    }
    if (v->type == VAL_NULL || directive == DIRECTIVE_DELETE) {
        (void)val_remove(target, patch->key);
        return 0;
    }
    struct val *slot = val_slot(target, patch->key);
    if (slot == NULL) {
        slot = val_set(m->arena, target, arena_dup(m->arena, patch->key), val_null());
    }
    if (v->type == VAL_MAP) {
        if (slot->type != VAL_MAP || field->is_replace) {
            *slot = val_map();
        }
        return map_merge(m, slot, v, field->type);
    }
    if (v->type == VAL_LIST) {
        if (slot->type != VAL_LIST) {
            *slot = val_list();
        }
        return list_merge(m, slot, v, field);
    }
    *slot = val_copy(m->arena, v);
    return 0;
}

/* The list as it was, for the order directive of `name`, if there is one. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int ordered_member_merge(struct merger *m, struct val *target, const struct val *patch,
                                struct str name, const struct val *order, const void *type)
{
    struct patch_field field = field_of(m, type, name);
    const struct val *list = val_get(patch, name);
    struct val before = val_list();
    if (val_is(val_get(target, name), VAL_LIST)) {
        before = val_copy(m->arena, val_get(target, name));
    }
    if (order_check(m, name, order, list, &field) < 0) {
        return m->err->code;
    }
    struct member member = {name, val_null()};
    if (list != NULL) {
        member.val = *list;
        if (member_merge(m, target, &member, &field) < 0) {
            return m->err->code;
        }
    }
    return order_apply(m, target, name, order, &before, &field);
}

static struct str order_key(struct merger *m, struct str name)
{
    return arena_fmt(m->arena, "$setElementOrder/" STR_FMT, STR_ARG(name));
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int members_merge(struct merger *m, struct val *target, const struct val *patch,
                         const void *type)
{
    bool has_orders =
        patch->n > 0 && patch->members[0].key.n > 0 && patch->members[0].key.p[0] == '$';
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct member *member = &patch->members[i];
        if (is_directive(member->key)) {
            if (check_directive(m, member->key) < 0) {
                return m->err->code;
            }
            continue;
        }
        if (has_orders && val_get(patch, order_key(m, member->key)) != NULL) {
            continue; /* merged together with its order */
        }
        struct patch_field field = field_of(m, type, member->key);
        if (member_merge(m, target, member, &field) < 0) {
            return m->err->code;
        }
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int map_merge(struct merger *m, struct val *target, const struct val *patch,
                     const void *type)
{
    enum directive directive;
    if (directive_of(m, patch, &directive) < 0) {
        return m->err->code;
    }
    if (directive == DIRECTIVE_REPLACE || directive == DIRECTIVE_DELETE) {
        *target = val_map();
    }
    if (directive == DIRECTIVE_DELETE) {
        return 0;
    }
    const struct val *keys = val_get(patch, RETAIN_KEYS);
    if (keys != NULL && retain_keys(m, target, patch, keys) < 0) {
        return m->err->code;
    }
    if (members_merge(m, target, patch, type) < 0) {
        return m->err->code;
    }
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct member *member = &patch->members[i];
        if (str_starts(member->key, DELETE_PREFIX)) {
            struct str name = str_sub(member->key, DELETE_PREFIX.n, member->key.n);
            if (delete_scalars(m, target, name, &member->val) < 0) {
                return m->err->code;
            }
        }
    }
    for (uint32_t i = 0; i < patch->n; i++) {
        const struct member *member = &patch->members[i];
        if (str_starts(member->key, ORDER_PREFIX)) {
            struct str name = str_sub(member->key, ORDER_PREFIX.n, member->key.n);
            if (ordered_member_merge(m, target, patch, name, &member->val, type) < 0) {
                return m->err->code;
            }
        }
    }
    return 0;
}

int patch_strategic(struct arena *arena, const struct val *doc, const struct val *patch,
                    const struct patch_schema *schema, const void *type, struct val *ret,
                    struct err *err)
{
    if (!val_is(patch, VAL_MAP)) {
        return err_set(err, ERR_INVALID, "a strategic merge patch is a map");
    }
    struct merger m = {.arena = arena, .schema = schema, .err = err};
    struct val result = val_copy(arena, doc);
    if (result.type != VAL_MAP) {
        result = val_map();
    }
    if (map_merge(&m, &result, patch, type) < 0) {
        return err->code;
    }
    *ret = result;
    return 0;
}
