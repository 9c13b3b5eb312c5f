// SPDX-License-Identifier: Apache-2.0
#include "api/difference.h"

#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

struct walk {
    struct arena *arena;
    struct buf out;
    int fields_count;
};

static void add_line(struct walk *w, char sign, struct str path, const struct val *v)
{
    auto_buf struct buf json;
    buf_init(&json, BODY_BYTES_MAX);
    if (v == NULL) {
        return;
    }
    (void)json_write(&json, v);
    bool is_long = json.n > DIFFERENCE_VALUE_MAX;
    struct str shown = str_sub(buf_str(&json), 0, is_long ? DIFFERENCE_VALUE_MAX : json.n);
    shown = str_sub(shown, 0, utf8_valid_prefix(shown));
    (void)buf_addf(&w->out, "\n%c " STR_FMT ": " STR_FMT "%s", sign, STR_ARG(path), STR_ARG(shown),
                   is_long ? "..." : "");
}

static bool is_pair(const struct val *a, const struct val *b, enum val_type type)
{
    return a != NULL && b != NULL && val_is(a, type) && val_is(b, type);
}

static void compare(struct walk *w, struct str path, const struct val *was, const struct val *now);

/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX */
static void compare_maps(struct walk *w, struct str path, const struct val *was,
                         const struct val *now)
{
    const char *dot = path.n > 0 ? "." : "";
    size_t i = 0;
    size_t k = 0;
    while (i < was->n || k < now->n) {
        int order = i == was->n   ? 1
                    : k == now->n ? -1
                                  : str_cmp(was->members[i].key, now->members[k].key);
        struct str key = order <= 0 ? was->members[i].key : now->members[k].key;
        const struct val *before = order <= 0 ? &was->members[i++].val : NULL;
        const struct val *after = order >= 0 ? &now->members[k++].val : NULL;
        compare(w, arena_fmt(w->arena, STR_FMT "%s" STR_FMT, STR_ARG(path), dot, STR_ARG(key)),
                before, after);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX */
static void compare_lists(struct walk *w, struct str path, const struct val *was,
                          const struct val *now)
{
    for (size_t i = 0; i < was->n || i < now->n; i++) {
        compare(w, arena_fmt(w->arena, STR_FMT "[%zu]", STR_ARG(path), i),
                i < was->n ? &was->items[i] : NULL, i < now->n ? &now->items[i] : NULL);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX */
static void compare(struct walk *w, struct str path, const struct val *was, const struct val *now)
{
    if (w->fields_count > DIFFERENCE_FIELDS_MAX ||
        (was != NULL && now != NULL && val_eq(was, now))) {
        return;
    }
    if (is_pair(was, now, VAL_MAP)) {
        compare_maps(w, path, was, now);
    } else if (is_pair(was, now, VAL_LIST)) {
        compare_lists(w, path, was, now);
    } else if (++w->fields_count > DIFFERENCE_FIELDS_MAX) {
        (void)buf_add(&w->out, S("\n  ..."));
    } else {
        add_line(w, '-', path, was);
        add_line(w, '+', path, now);
    }
}

struct str difference_text(struct arena *arena, const struct val *was, const struct val *now)
{
    struct walk w = {.arena = arena};
    buf_init(&w.out, BODY_BYTES_MAX);
    compare(&w, S(""), was, now);
    struct str text = arena_dup(arena, buf_str(&w.out));
    buf_done(&w.out);
    return text;
}
