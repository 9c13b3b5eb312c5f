// SPDX-License-Identifier: Apache-2.0
//
// Managed fields (spec/api.md 3.7): who set which field. Sets of fields are values in the form of
// FieldsV1 itself: a map of "f:name", "k:{keys}", "v:value" to sets; a member is an empty map, or
// one that holds ".".
#ifndef CORACLE_API_MANAGED_H
#define CORACLE_API_MANAGED_H

#include "api/schema.h"
#include "api/status.h"
#include "base/clock.h"

/* Set algebra, pure, results in arena (parts of the inputs are shared). NULL is the empty set. */
struct val fields_union(struct arena *arena, const struct val *a, const struct val *b);
struct val fields_difference(struct arena *arena, const struct val *a, const struct val *b);
struct val fields_intersection(struct arena *arena, const struct val *a, const struct val *b);
bool fields_is_member(const struct val *node); /* of a node reached by its path */
bool fields_is_empty(const struct val *set);
/* Calls each for every member with its path, ".spec.containers[name=\"c\"].image". */
void fields_each(struct arena *arena, const struct val *set,
                 void (*each)(void *ctx, struct str path), void *ctx);

/* What schema says of a value, for walks. */
enum shape { SHAPE_ATOM, SHAPE_STRUCT, SHAPE_MAP, SHAPE_SET, SHAPE_KEYED };
struct typed {
    enum shape shape;
    const struct schema_type *type;   /* STRUCT */
    const struct schema_field *field; /* MAP, SET, KEYED */
};
struct typed typed_root(const struct schema_type *type);
struct typed typed_field(const struct schema_field *field);
struct typed typed_child(struct typed parent, struct str name); /* of STRUCT and MAP */
struct typed typed_item(const struct schema_field *field);
/* Path elements of a list's items ("k:{…}", "v:…"); false when an item lacks a key or two are the
 * same: then the list is one atom. */
struct element {
    struct str name;
    uint32_t at;
};
bool typed_elements(struct arena *arena, struct typed list, const struct val *v,
                    struct element **ret);
/* Sorted copy for element_find. */
struct element *elements_sorted(struct arena *arena, const struct element *elements, size_t count);
const struct element *element_find(const struct element *sorted, size_t count, struct str name);

/* The set of what v holds, as an applied intent owns it. */
struct val fields_of(struct arena *arena, struct typed typed, const struct val *v);
/* Fields that differ: set or changed in b (added and modified), and gone from a. old may be NULL.
 */
struct fields_diff {
    struct val changed;
    struct val removed;
};
void fields_compare(struct arena *arena, struct typed typed, const struct val *a,
                    const struct val *b, struct fields_diff *ret);
/* Takes out what is never recorded: apiVersion, kind, metadata.name …, and status on the main
 * endpoint. */
void fields_strip(struct val *set, bool has_status, struct str subresource);

/* Who writes. */
struct writer {
    struct str manager;
    struct str operation; /* "Apply", "Update" */
    struct str api_version;
    struct str subresource;
    usec now_wall;
    bool has_status; /* the kind has /status: main writes don't own status */
};
/* [] and [{}] in a body ask for a fresh start. */
bool managed_is_reset(const struct val *managed_fields);
/* Sets obj's managedFields after an update by writer: old's entries (or those that obj brings),
 * less what changed, plus what the writer changed. old NULL = create. */
void managed_update(struct arena *arena, const struct schema_type *type,
                    const struct writer *writer, const struct val *old, struct val *obj);

/* Applies intent on live (for a new object: its apiVersion, kind and name alone): *ret is the
 * merged object with its managedFields; it shares parts of both. -1 with causes and message of the
 * conflict in *ret_status. */
int managed_apply(struct arena *arena, const struct schema_type *type, const struct writer *writer,
                  const struct val *live, const struct val *intent, bool is_force, struct val *ret,
                  struct status *ret_status);

/* Whether obj and old differ in nothing but the times of managed fields. */
bool managed_only_times_differ(const struct val *obj, const struct val *old);

#endif
