// SPDX-License-Identifier: Apache-2.0
//
// A strategic patch is shown as Go prints a map, "map[data:map[a:1]]"; what a JSON or merge patch
// makes is shown as JSON. Go's maps print in key order: the keys are sorted here.
#include "api/patch_refusal.h"

#include "base/limits.h"
#include "data/json.h"

#include <inttypes.h>
#include <stdlib.h>

static int by_key(const void *a, const void *b)
{
    const struct member *const *x = a;
    const struct member *const *y = b;
    return str_cmp((*x)->key, (*y)->key);
}

static void go_text(struct arena *arena, struct buf *out, const struct val *v);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void go_map(struct arena *arena, struct buf *out, const struct val *v)
{
    const struct member **members = arena_alloc(arena, (v->n + 1) * sizeof(*members));
    for (size_t i = 0; i < v->n; i++) {
        members[i] = &v->members[i];
    }
    qsort(members, v->n, sizeof(*members), by_key);
    (void)buf_add(out, S("map["));
    for (size_t i = 0; i < v->n; i++) {
        (void)buf_addf(out, "%s" STR_FMT ":", i == 0 ? "" : " ", STR_ARG(members[i]->key));
        go_text(arena, out, &members[i]->val);
    }
    (void)buf_addc(out, ']');
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static void go_text(struct arena *arena, struct buf *out, const struct val *v)
{
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        (void)buf_add(out, S("<nil>"));
        break;
    case VAL_STR:
        (void)buf_add(out, val_text(v));
        break;
    case VAL_BOOL:
    case VAL_INT:
    case VAL_DOUBLE:
        (void)json_write(out, v);
        break;
    case VAL_LIST:
        (void)buf_addc(out, '[');
        for (size_t i = 0; i < v->n; i++) {
            (void)buf_add(out, i == 0 ? S("") : S(" "));
            go_text(arena, out, &v->items[i]);
        }
        (void)buf_addc(out, ']');
        break;
    case VAL_MAP:
        go_map(arena, out, v);
        break;
    }
}

struct status patch_refusal(struct arena *arena, enum api_patch type, const struct val *shown,
                            struct str why)
{
    static const struct kind none = {
        .name = {"", 0}
    };
    struct causes causes;
    causes_init(&causes, arena);
    auto_buf struct buf text;
    buf_init(&text, BODY_BYTES_MAX);
    if (type == PATCH_STRATEGIC) {
        go_text(arena, &text, shown);
    } else {
        (void)json_write(&text, shown);
    }
    struct val value = val_str(arena_dup(arena, buf_str(&text)));
    cause_add(&causes, CAUSE_INVALID, S("patch"), &value, why);
    return status_invalid(arena, &none, S(""), &causes);
}
