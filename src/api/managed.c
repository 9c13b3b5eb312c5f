// SPDX-License-Identifier: Apache-2.0
//
// The entries of metadata.managedFields: reading them, tracking updates, writing them in upstream's
// order (spec/api.md 3.7). Identity of an entry: manager, operation, apiVersion (not for Apply),
// subresource.
#include "api/managed_entries.h"

#include "api/meta.h"

#include <stdlib.h>

enum { UPDATE_ENTRIES_MAX = 10 };

static struct entry *push(struct arena *arena, struct entries *entries)
{
    entries->list =
        arena_more(arena, entries->list, entries->count, &entries->cap, sizeof entries->list[0]);
    struct entry *entry = &entries->list[entries->count++];
    *entry = (struct entry){.fields = val_map()};
    return entry;
}

void entries_read(struct arena *arena, const struct val *managed_fields, struct entries *ret)
{
    *ret = (struct entries){0};
    for (size_t i = 0; i < val_count(managed_fields); i++) {
        const struct val *v = val_at(managed_fields, i);
        const struct val *fields = val_get(v, S("fieldsV1"));
        if (!val_is(fields, VAL_MAP) || val_text(val_get(v, S("operation"))).n == 0) {
            continue;
        }
        struct entry *entry = push(arena, ret);
        entry->manager = val_text(val_get(v, S("manager")));
        entry->operation = val_text(val_get(v, S("operation")));
        entry->api_version = val_text(val_get(v, S("apiVersion")));
        entry->subresource = val_text(val_get(v, S("subresource")));
        entry->time = val_text(val_get(v, S("time")));
        entry->fields = *fields;
    }
}

bool entry_is_apply(const struct entry *entry)
{
    return str_eq(entry->operation, S("Apply"));
}

struct entry *entries_find(struct entries *entries, const struct writer *writer)
{
    for (size_t i = 0; i < entries->count; i++) {
        struct entry *entry = &entries->list[i];
        if (str_eq(entry->manager, writer->manager) &&
            str_eq(entry->operation, writer->operation) &&
            str_eq(entry->subresource, writer->subresource) &&
            (entry_is_apply(entry) || str_eq(entry->api_version, writer->api_version))) {
            return entry;
        }
    }
    return NULL;
}

struct entry *entries_need(struct arena *arena, struct entries *entries,
                           const struct writer *writer)
{
    struct entry *entry = entries_find(entries, writer);
    if (entry == NULL) {
        entry = push(arena, entries);
        entry->manager = writer->manager;
        entry->operation = writer->operation;
        entry->subresource = writer->subresource;
    }
    entry->api_version = writer->api_version;
    return entry;
}

/* Upstream's order: Apply before Update, then time, manager, version, subresource. RFC 3339 in UTC
 * sorts as text. */
static int cmp_entry(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int order = str_cmp(x->operation, y->operation);
    order = order != 0 ? order : str_cmp(x->time, y->time);
    order = order != 0 ? order : str_cmp(x->manager, y->manager);
    order = order != 0 ? order : str_cmp(x->api_version, y->api_version);
    return order != 0 ? order : str_cmp(x->subresource, y->subresource);
}

/* The oldest Update entry of that version before place; NULL when there is none. */
static struct entry *first_of_version(struct entries *entries, size_t place)
{
    for (size_t i = 0; i < place; i++) {
        struct entry *entry = &entries->list[i];
        if (!entry_is_apply(entry) && !fields_is_empty(&entry->fields) &&
            str_eq(entry->api_version, entries->list[place].api_version)) {
            return entry;
        }
    }
    return NULL;
}

/* More than ten Update entries: the oldest of a version become one, "ancient-changes". An entry
 * that is alone with its version stays; so do entries of Apply. */
static void cap_updates(struct arena *arena, struct entries *entries)
{
    size_t updates = 0;
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->list[i];
        updates += !entry_is_apply(entry) && !fields_is_empty(&entry->fields);
    }
    if (updates <= UPDATE_ENTRIES_MAX) {
        return;
    }
    qsort(entries->list, entries->count, sizeof(*entries->list), cmp_entry);
    struct writer ancient = {.manager = S("ancient-changes"), .operation = S("Update")};
    for (size_t i = 0; i < entries->count && updates > UPDATE_ENTRIES_MAX; i++) {
        struct entry *entry = &entries->list[i];
        struct entry *first = first_of_version(entries, i);
        if (entry_is_apply(entry) || fields_is_empty(&entry->fields) || first == NULL) {
            continue;
        }
        ancient.api_version = entry->api_version;
        struct entry *bucket = entries_find(entries, &ancient);
        if (bucket == NULL) {
            bucket = first;
            bucket->manager = ancient.manager;
            bucket->subresource = ancient.subresource;
        }
        struct entry *from = entry == bucket ? first : entry;
        bucket->fields = fields_union(arena, &bucket->fields, &from->fields);
        bucket->time = entry->time;
        from->fields = val_map(); /* not written */
        updates--;
    }
}

void entries_write(struct arena *arena, struct entries *entries, struct val *obj)
{
    if (entries->count != 0) {
        qsort(entries->list, entries->count, sizeof(*entries->list), cmp_entry);
    }
    struct val list = val_list();
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->list[i];
        if (fields_is_empty(&entry->fields)) {
            continue;
        }
        struct val v = val_map();
        (void)val_set(arena, &v, S("apiVersion"), val_str(entry->api_version));
        (void)val_set(arena, &v, S("fieldsType"), val_str(S("FieldsV1")));
        (void)val_set(arena, &v, S("fieldsV1"), entry->fields);
        (void)val_set(arena, &v, S("manager"), val_str(entry->manager));
        (void)val_set(arena, &v, S("operation"), val_str(entry->operation));
        if (entry->subresource.n != 0) {
            (void)val_set(arena, &v, S("subresource"), val_str(entry->subresource));
        }
        if (entry->time.n != 0) {
            (void)val_set(arena, &v, S("time"), val_str(entry->time));
        }
        (void)val_push(arena, &list, v);
    }
    struct val *meta = meta_of(arena, obj);
    if (list.n == 0) {
        (void)val_remove(meta, S("managedFields"));
    } else {
        (void)val_set(arena, meta, S("managedFields"), list);
    }
}

bool managed_is_reset(const struct val *managed_fields)
{
    return val_is(managed_fields, VAL_LIST) &&
           (managed_fields->n == 0 ||
            (managed_fields->n == 1 && val_count(&managed_fields->items[0]) == 0));
}

static struct val without(struct arena *arena, const struct val *set, const struct val *gone)
{
    struct val common = fields_intersection(arena, set, gone);
    return fields_is_empty(&common) ? *set : fields_difference(arena, set, gone);
}

void entries_take(struct arena *arena, struct entries *entries, const struct entry *except,
                  const struct fields_diff *diff)
{
    for (size_t i = 0; i < entries->count; i++) {
        struct entry *entry = &entries->list[i];
        if (entry != except) {
            entry->fields = without(arena, &entry->fields, &diff->changed);
            entry->fields = without(arena, &entry->fields, &diff->removed);
        }
    }
}

void managed_update(struct arena *arena, const struct schema_type *type,
                    const struct writer *writer, const struct val *old, struct val *obj)
{
    struct val *meta = meta_of(arena, obj);
    const struct val *given = val_get(meta, S("managedFields"));
    const struct val *before = val_path(old, "metadata.managedFields");
    bool is_fresh = old != NULL && managed_is_reset(given);
    struct entries entries;
    entries_read(arena, given, &entries);
    if (!is_fresh && entries.count == 0) {
        entries_read(arena, before, &entries);
    }
    if (is_fresh || (old != NULL && entries.count == 0)) {
        /* Nobody is tracked until somebody applies. */
        (void)val_remove(meta, S("managedFields"));
        return;
    }
    struct fields_diff diff;
    fields_compare(arena, typed_root(type), old, obj, &diff);
    fields_strip(&diff.changed, writer->has_status, writer->subresource);
    fields_strip(&diff.removed, /*has_status=*/false, S(""));
    if (diff.changed.n == 0 && diff.removed.n == 0 && given != NULL && before != NULL &&
        val_eq(given, before)) {
        return;
    }
    entries_take(arena, &entries, NULL, &diff);
    if (diff.changed.n != 0) {
        struct entry *own = entries_need(arena, &entries, writer);
        own->fields = fields_union(arena, &own->fields, &diff.changed);
        struct val time = meta_time(arena, writer->now_wall);
        own->time = val_text(&time);
    }
    cap_updates(arena, &entries);
    entries_write(arena, &entries, obj);
}

static bool same_but(const struct val *a, const struct val *b, struct str except,
                     bool (*same)(const struct val *a, const struct val *b))
{
    if (!val_is(a, VAL_MAP) || !val_is(b, VAL_MAP) || a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!str_eq(a->members[i].key, b->members[i].key)) {
            return false;
        }
        const struct val *x = &a->members[i].val;
        const struct val *y = &b->members[i].val;
        bool is_except = str_eq(a->members[i].key, except);
        if (!(is_except ? same(x, y) : val_eq(x, y))) {
            return false;
        }
    }
    return true;
}

static bool same_time(const struct val *a, const struct val *b)
{
    (void)a;
    (void)b;
    return true;
}

static bool same_entries(const struct val *a, const struct val *b)
{
    if (val_count(a) != val_count(b)) {
        return false;
    }
    for (size_t i = 0; i < val_count(a); i++) {
        if (!same_but(val_at(a, i), val_at(b, i), S("time"), same_time)) {
            return false;
        }
    }
    return true;
}

static bool same_meta(const struct val *a, const struct val *b)
{
    return same_but(a, b, S("managedFields"), same_entries);
}

bool managed_only_times_differ(const struct val *obj, const struct val *old)
{
    return same_but(obj, old, S("metadata"), same_meta);
}
