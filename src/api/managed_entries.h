// SPDX-License-Identifier: Apache-2.0
//
// Entries of managedFields as structs, for managed.c and apply_merge.c alone.
#ifndef CORACLE_API_MANAGED_ENTRIES_H
#define CORACLE_API_MANAGED_ENTRIES_H

#include "api/managed.h"

struct entry {
    struct str manager;
    struct str operation;
    struct str api_version;
    struct str subresource;
    struct str time;
    struct val fields;
};
struct entries {
    struct entry *list;
    size_t count;
    size_t cap;
};
/* Entries that can't be read are left out. */
void entries_read(struct arena *arena, const struct val *managed_fields, struct entries *ret);
/* Sorts and sets them as obj's managedFields; empty ones vanish. */
void entries_write(struct arena *arena, struct entries *entries, struct val *obj);
struct entry *entries_find(struct entries *entries, const struct writer *writer);
struct entry *entries_need(struct arena *arena, struct entries *entries,
                           const struct writer *writer);
bool entry_is_apply(const struct entry *entry);
/* Takes what changed and what went from all but one (NULL = from all). */
void entries_take(struct arena *arena, struct entries *entries, const struct entry *except,
                  const struct fields_diff *diff);

#endif
