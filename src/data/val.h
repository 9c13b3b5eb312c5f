// SPDX-License-Identifier: Apache-2.0
//
// Documents. A `struct val` is a JSON-like value in 16 bytes. Values are built and edited in an
// arena and become shared, immutable and reference-counted by doc_freeze(), which copies a tree
// into one block: the store, watches and replies hold documents, never arena values.
//
// Invariants: (1) the members of a map are sorted bytewise by key and keys are unique, so equal
// values have equal encodings; (2) strings are valid UTF-8 and not NUL-terminated; (3) a value that
// is reachable from a document is never written (its pointers are const).
#ifndef CORACLE_DATA_VAL_H
#define CORACLE_DATA_VAL_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum val_type { VAL_NULL, VAL_BOOL, VAL_INT, VAL_DOUBLE, VAL_STR, VAL_LIST, VAL_MAP };

struct val {
    uint8_t type; /* enum val_type */
    uint8_t room; /* lists and maps in an arena: log2 of the slots owned, 0 = exactly n */
    uint32_t n;   /* bytes of a string, items of a list, members of a map */
    union {
        bool b;
        int64_t i;
        double d;
        const char *s;
        struct val *items;
        struct member *members;
    };
};

struct member {
    struct str key;
    struct val val;
};

/* Making values. Strings are borrowed (arena, literal or document must outlive the value). */
struct val val_null(void);
struct val val_bool(bool b);
struct val val_int(int64_t i);
struct val val_double(double d);
struct val val_str(struct str s);
struct val val_list(void); /* empty */
struct val val_map(void);  /* empty */

/* Reading. All take NULL (or a value of another type) and then answer "nothing". */
const struct val *val_get(const struct val *map, struct str key); /* NULL = absent */
const struct val *val_at(const struct val *list, size_t i);       /* NULL = out of range */
/* Path of map keys and list indexes, "spec.containers.0.name"; NULL when a step is absent. Keys
 * that hold dots need val_get. */
const struct val *val_path(const struct val *v, const char *path);
struct str val_text(const struct val *v);                   /* empty when not a string */
int64_t val_number(const struct val *v, int64_t otherwise); /* int; a whole double too */
bool val_is_true(const struct val *v);                      /* true only for true */
bool val_is(const struct val *v, enum val_type type);       /* NULL is nothing, not even VAL_NULL */
size_t val_count(const struct val *v);                      /* items or members, else 0 */
struct str val_text_at(const struct val *v, const char *path); /* val_text(val_path(v, path)) */
int64_t val_number_at(const struct val *v, const char *path, int64_t otherwise);
bool val_true_at(const struct val *v, const char *path);
/* How deep lists and maps nest: 0 = a scalar. */
size_t val_depth(const struct val *v);
/* How many values the tree holds, itself counted. */
size_t val_size(const struct val *v);
/* Deep equality; an int and a double are equal when their numbers are. val_cmp is a total order. */
bool val_eq(const struct val *a, const struct val *b);
int val_cmp(const struct val *a, const struct val *b);

/* Editing, in the arena that owns the tree. Values given in are stored by shallow copy. */
/* Sets key (borrowed) to v; returns the stored slot, valid until the map's next change. */
struct val *val_set(struct arena *arena, struct val *map, struct str key, struct val v);
/* The slot of key for editing, or NULL. */
struct val *val_slot(struct val *map, struct str key);
/* The slot of key, made as an empty map (list) when it is absent or null. */
struct val *val_need_map(struct arena *arena, struct val *map, struct str key);
struct val *val_need_list(struct arena *arena, struct val *map, struct str key);
bool val_remove(struct val *map, struct str key); /* true = was there */
struct val *val_push(struct arena *arena, struct val *list, struct val v);
struct val *val_insert(struct arena *arena, struct val *list, size_t at, struct val v);
void val_drop(struct val *list, size_t at);
/* Sets a value at a path of map keys ("spec.replicas"), making maps on the way. */
struct val *val_set_path(struct arena *arena, struct val *map, const char *path, struct val v);
/* Editable slot at a path, or NULL. */
struct val *val_slot_path(struct val *v, const char *path);
/* Deep copy into the arena, strings included: what an edit of a document starts from. */
struct val val_copy(struct arena *arena, const struct val *v);
/* Removes null members at every depth of maps (lists keep nulls): typed objects never hold nulls.
 */
void val_prune_nulls(struct val *v);

/* A frozen document: one heap block. */
struct doc {
    int refs;
    uint32_t bytes; /* size of the block */
    struct val root;
};

/* Copies the tree into a new document with one reference. */
struct doc *doc_freeze(const struct val *root);
struct doc *doc_ref(struct doc *doc);
void doc_unref(struct doc *doc); /* NULL is fine; frees at zero */

#endif
