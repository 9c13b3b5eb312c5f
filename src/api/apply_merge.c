// SPDX-License-Identifier: Apache-2.0
//
// Server-side apply as a pure function of the live object and the intent: merge by schema, prune
// what the manager gave up, find conflicts, move ownership (structured-merge-diff's Apply;
// spec/api.md 3.7).
//
// Recursion follows the nesting of documents, which DOC_DEPTH_MAX caps.
#include "api/managed_entries.h"

#include "api/meta.h"
#include "base/limits.h"

#include <stdlib.h>

static struct val merge(struct arena *arena, struct typed typed, const struct val *live,
                        const struct val *intent);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct val merge_maps(struct arena *arena, struct typed typed, const struct val *live,
                             const struct val *intent)
{
    struct val out = val_map();
    for (size_t i = 0; i < live->n; i++) {
        (void)val_set(arena, &out, live->members[i].key, live->members[i].val);
    }
    for (size_t i = 0; i < intent->n; i++) {
        struct str key = intent->members[i].key;
        const struct val *was = val_get(live, key);
        struct val v = merge(arena, typed_child(typed, key), was, &intent->members[i].val);
        (void)val_set(arena, &out, key, v);
    }
    return out;
}

/* One side of a list merge. */
struct side {
    const struct val *v;
    struct element *elements;
    struct element *sorted;
};

static bool side_init(struct arena *arena, struct typed typed, const struct val *v,
                      struct side *ret)
{
    ret->v = v;
    if (!typed_elements(arena, typed, v, &ret->elements)) {
        return false;
    }
    ret->sorted = elements_sorted(arena, ret->elements, v->n);
    return true;
}

static const struct val *side_get(const struct side *side, struct str name)
{
    const struct element *element = element_find(side->sorted, side->v->n, name);
    return element == NULL ? NULL : &side->v->items[element->at];
}

/* The intent's next item (from at) that live has, too: the order of the shared ones is the
 * intent's. */
static size_t next_shared(const struct side *live, const struct side *intent, size_t at)
{
    while (at < intent->v->n && side_get(live, intent->elements[at].name) == NULL) {
        at++;
    }
    return at;
}

/* Items of both, the intent's in its order, live's own near where they stood. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct val merge_lists(struct arena *arena, struct typed typed, const struct side *live,
                              const struct side *intent)
{
    struct val out = val_list();
    struct typed item = typed_item(typed.field);
    size_t l = 0;
    size_t r = 0;
    size_t shared = next_shared(live, intent, 0);
    while (l < live->v->n || r < intent->v->n) {
        if (l < live->v->n) {
            struct str name = live->elements[l].name;
            if (side_get(intent, name) == NULL) {
                (void)val_push(arena, &out, live->v->items[l++]);
                continue;
            }
            bool is_wanted = shared < intent->v->n && str_eq(intent->elements[shared].name, name);
            if (!is_wanted) { /* placed already, or comes when the intent's order says so */
                l++;
                continue;
            }
        }
        if (r >= intent->v->n) {
            break;
        }
        struct str name = intent->elements[r].name;
        (void)val_push(arena, &out, merge(arena, item, side_get(live, name), &intent->v->items[r]));
        if (r == shared) {
            if (l < live->v->n && str_eq(live->elements[l].name, name)) {
                l++;
            }
            shared = next_shared(live, intent, r + 1);
        }
        r++;
    }
    return out;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct val merge(struct arena *arena, struct typed typed, const struct val *live,
                        const struct val *intent)
{
    if (live == NULL) {
        return *intent;
    }
    bool is_map = val_is(live, VAL_MAP) && val_is(intent, VAL_MAP);
    if (is_map && (typed.shape == SHAPE_STRUCT || typed.shape == SHAPE_MAP)) {
        return merge_maps(arena, typed, live, intent);
    }
    bool is_list = val_is(live, VAL_LIST) && val_is(intent, VAL_LIST);
    if (is_list && (typed.shape == SHAPE_SET || typed.shape == SHAPE_KEYED)) {
        struct side a;
        struct side b;
        if (side_init(arena, typed, live, &a) && side_init(arena, typed, intent, &b)) {
            return merge_lists(arena, typed, &a, &b);
        }
    }
    return *intent;
}

static bool is_wholly_given_up(const struct val *last, const struct val *owned, bool is_named)
{
    return owned == NULL && last != NULL && (is_named || fields_is_member(last));
}

/* An item that stays keeps its keys, whatever was given up: without them it is no item. */
static void keep_keys(struct arena *arena, const struct schema_field *list, const struct val *item,
                      struct val *kept)
{
    for (size_t i = 0; i < list->keys_count && val_is(kept, VAL_MAP); i++) {
        const struct val *key = val_get(item, list->keys[i]);
        if (key != NULL && val_get(kept, list->keys[i]) == NULL) {
            (void)val_set(arena, kept, list->keys[i], *key);
        }
    }
}

/* v without what was in last and is owned by nobody any more. Containers that this empties go. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct val prune(struct arena *arena, struct typed typed, const struct val *v,
                        const struct val *last, const struct val *owned)
{
    struct element *elements = NULL;
    bool is_list = typed.shape == SHAPE_SET || typed.shape == SHAPE_KEYED;
    bool is_map = typed.shape == SHAPE_STRUCT || typed.shape == SHAPE_MAP;
    if (last == NULL ||
        (is_list && !(val_is(v, VAL_LIST) && typed_elements(arena, typed, v, &elements))) ||
        (is_map && !val_is(v, VAL_MAP)) || typed.shape == SHAPE_ATOM) {
        return *v;
    }
    struct val out = is_list ? val_list() : val_map();
    for (size_t i = 0; i < v->n; i++) {
        const struct val *child = is_list ? &v->items[i] : &v->members[i].val;
        struct str name =
            is_list ? elements[i].name : arena_fmt(arena, "f:" STR_FMT, STR_ARG(v->members[i].key));
        const struct val *child_last = val_get(last, name);
        const struct val *child_owned = val_get(owned, name);
        if (is_wholly_given_up(child_last, child_owned, typed.shape == SHAPE_STRUCT)) {
            continue;
        }
        struct typed below =
            is_list ? typed_item(typed.field) : typed_child(typed, v->members[i].key);
        struct val kept = prune(arena, below, child, child_last, child_owned);
        bool is_emptied = val_count(&kept) == 0 && val_count(child) != 0 &&
                          !fields_is_member(child_owned); /* `spec: {}` in an intent stays */
        if (is_list) {
            keep_keys(arena, typed.field, child, &kept);
            (void)val_push(arena, &out, kept);
        } else if (!is_emptied) {
            (void)val_set(arena, &out, v->members[i].key, kept);
        }
    }
    return out;
}

/* Who else owns what changes. */
struct conflicts {
    struct arena *arena;
    struct causes causes;
    struct buf list; /* "conflicts with …:\n- .a\n- .b", by manager */
    struct str who;
};

static struct str who_text(struct arena *arena, const struct entry *entry)
{
    struct str who = arena_fmt(arena, "\"" STR_FMT "\"", STR_ARG(entry->manager));
    if (entry->subresource.n != 0) {
        who = arena_fmt(arena, STR_FMT " with subresource \"" STR_FMT "\"", STR_ARG(who),
                        STR_ARG(entry->subresource));
    }
    if (!entry_is_apply(entry)) {
        who =
            arena_fmt(arena, STR_FMT " using " STR_FMT, STR_ARG(who), STR_ARG(entry->api_version));
    }
    return who;
}

static void add_conflict(void *ctx, struct str path)
{
    struct conflicts *conflicts = ctx;
    struct causes *causes = &conflicts->causes;
    cause_add(causes, CAUSE_INVALID, path, NULL, S(""));
    struct cause *cause = &causes->list[causes->count - 1];
    cause->reason = S("FieldManagerConflict");
    cause->message = arena_fmt(conflicts->arena, "conflict with " STR_FMT, STR_ARG(conflicts->who));
    (void)buf_addf(&conflicts->list, "\n- " STR_FMT, STR_ARG(path));
}

static int cmp_manager(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a;
    const struct entry *y = *(const struct entry *const *)b;
    int order = str_cmp(x->manager, y->manager);
    return order != 0 ? order : str_cmp(x->operation, y->operation);
}

static struct status conflict_status(struct arena *arena, struct conflicts *conflicts)
{
    struct causes *causes = &conflicts->causes;
    struct status status = {.code = 409, .reason = S("Conflict")};
    status.causes = causes->list;
    status.causes_count = causes->count;
    if (causes->count == 1) {
        status.message =
            arena_fmt(arena, "Apply failed with 1 conflict: " STR_FMT ": " STR_FMT,
                      STR_ARG(causes->list[0].message), STR_ARG(causes->list[0].field));
    } else {
        status.message = arena_fmt(arena, "Apply failed with %zu conflicts: " STR_FMT,
                                   causes->count, STR_ARG(buf_str(&conflicts->list)));
    }
    return status;
}

static int find_conflicts(struct arena *arena, struct entries *entries, const struct entry *own,
                          const struct val *changed, struct status *ret_status)
{
    struct conflicts conflicts = {.arena = arena};
    causes_init(&conflicts.causes, arena);
    buf_init(&conflicts.list, BODY_BYTES_MAX);
    const struct entry **sorted = arena_alloc(arena, (entries->count + 1) * sizeof(struct entry *));
    for (size_t i = 0; i < entries->count; i++) {
        sorted[i] = &entries->list[i];
    }
    qsort(sorted, entries->count, sizeof(struct entry *), cmp_manager);
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = sorted[i];
        struct val common = fields_intersection(arena, &entry->fields, changed);
        if (entry == own || fields_is_empty(&common)) {
            continue;
        }
        conflicts.who = who_text(arena, entry);
        (void)buf_addf(&conflicts.list, "%sconflicts with " STR_FMT ":",
                       conflicts.list.n == 0 ? "" : "\n", STR_ARG(conflicts.who));
        fields_each(arena, &common, add_conflict, &conflicts);
    }
    int rc = 0;
    if (conflicts.causes.count != 0) {
        *ret_status = conflict_status(arena, &conflicts);
        rc = -1;
    }
    buf_done(&conflicts.list);
    return rc;
}

/* An object that nobody tracked: what it holds belongs to "before-first-apply". */
static void need_history(struct arena *arena, const struct schema_type *type,
                         const struct writer *writer, const struct val *live,
                         struct entries *entries)
{
    if (entries->count != 0 || val_path(live, "metadata.uid") == NULL) {
        return;
    }
    struct writer before = *writer;
    before.manager = S("before-first-apply");
    before.operation = S("Update");
    before.subresource = S("");
    struct entry *entry = entries_need(arena, entries, &before);
    entry->fields = fields_of(arena, typed_root(type), live);
    fields_strip(&entry->fields, writer->has_status, S(""));
    struct val time = meta_time(arena, writer->now_wall);
    entry->time = val_text(&time);
}

int managed_apply(struct arena *arena, const struct schema_type *type, const struct writer *writer,
                  const struct val *live, const struct val *intent, bool is_force, struct val *ret,
                  struct status *ret_status)
{
    struct typed root = typed_root(type);
    struct entries entries;
    entries_read(arena, val_path(live, "metadata.managedFields"), &entries);
    need_history(arena, type, writer, live, &entries);
    struct val held = fields_of(arena, root, intent); /* with metadata.name: prune keeps it */
    struct val set = fields_of(arena, root, intent);
    fields_strip(&set, writer->has_status, writer->subresource);

    struct entry *own = entries_need(arena, &entries, writer);
    struct val last = own->fields;
    bool is_same_set = val_eq(&last, &set);
    own->fields = set;
    struct val owned = held;
    for (size_t i = 0; i < entries.count; i++) {
        owned = fields_union(arena, &owned, &entries.list[i].fields);
    }
    struct val merged = merge(arena, root, live, intent);
    *ret = prune(arena, root, &merged, last.n == 0 ? NULL : &last, &owned);

    struct fields_diff diff;
    fields_compare(arena, root, live, ret, &diff);
    fields_strip(&diff.changed, writer->has_status, writer->subresource);
    fields_strip(&diff.removed, writer->has_status, writer->subresource);
    if (!is_force && find_conflicts(arena, &entries, own, &diff.changed, ret_status) < 0) {
        return -1;
    }
    entries_take(arena, &entries, own, &diff);
    if (!is_same_set || diff.changed.n != 0 || diff.removed.n != 0) {
        struct val time = meta_time(arena, writer->now_wall);
        own->time = val_text(&time);
    }
    entries_write(arena, &entries, ret);
    return 0;
}
