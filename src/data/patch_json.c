// SPDX-License-Identifier: Apache-2.0
//
// JSON Patch (RFC 6902) with JSON pointers (RFC 6901). Messages are those of the library behind the
// API server, since clients show them. Copies are counted, so that a patch that copies the document
// into itself again and again ends with ERR_LIMIT and not with all the memory.
#include "data/patch.h"

#include "base/limits.h"
#include "base/mem.h"

enum { COPY_NODE_BYTES = 16 };

struct patcher {
    struct arena *arena;
    struct val *root;
    size_t copied_bytes; /* that `copy` operations added */
    struct err *err;
};

/* Where an operation acts: the container and the last step of the pointer. */
struct place {
    struct val *parent; /* NULL = the root itself */
    struct str key;
};

/* One step of a pointer with ~1 and ~0 resolved. */
static struct str unescape(struct arena *arena, struct str step)
{
    if (str_find(step, '~') < 0) {
        return step;
    }
    char *out = arena_alloc(arena, step.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < step.n; i++) {
        bool is_escape =
            step.p[i] == '~' && i + 1 < step.n && (step.p[i + 1] == '0' || step.p[i + 1] == '1');
        out[n++] = is_escape ? (step.p[++i] == '0' ? '~' : '/') : step.p[i];
    }
    return (struct str){out, n};
}

/* List index of a step; `end` is what "-" stands for. RFC 6901 4: no leading zeros. */
static bool step_index(struct str step, size_t end, size_t *ret)
{
    if (str_eq(step, S("-"))) {
        *ret = end;
        return true;
    }
    uint64_t i;
    if ((step.n > 1 && step.p[0] == '0') || str_to_u64(step, &i) < 0 || i > end) {
        return false;
    }
    *ret = (size_t)i;
    return true;
}

static struct val *child_of(struct val *v, struct str step)
{
    size_t i;
    if (v->type == VAL_LIST) {
        return step_index(step, v->n, &i) && i < v->n ? &v->items[i] : NULL;
    }
    return val_slot(v, step);
}

/* Walks to the container that a pointer's last step is in. False when that is missing. */
static bool place_find(struct patcher *p, struct str pointer, struct place *ret)
{
    *ret = (struct place){.parent = NULL};
    if (pointer.n == 0) {
        return true;
    }
    if (pointer.p[0] != '/') {
        return false;
    }
    struct str rest = str_sub(pointer, 1, pointer.n);
    struct val *at = p->root;
    for (;;) {
        struct str step = unescape(p->arena, str_cut(&rest, '/'));
        if (at->type != VAL_MAP && at->type != VAL_LIST) {
            return false;
        }
        if (rest.p == NULL) {
            *ret = (struct place){at, step};
            return true;
        }
        at = child_of(at, step);
        if (at == NULL) {
            return false;
        }
    }
}

static struct val *place_get(struct patcher *p, struct place at)
{
    return at.parent == NULL ? p->root : child_of(at.parent, at.key);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static size_t bytes_of(const struct val *v)
{
    size_t bytes = COPY_NODE_BYTES + (v->type == VAL_STR ? v->n : 0);
    for (uint32_t i = 0; i < val_count(v); i++) {
        bytes += v->type == VAL_LIST ? bytes_of(&v->items[i])
                                     : v->members[i].key.n + bytes_of(&v->members[i].val);
    }
    return bytes;
}

static size_t pointer_steps(struct str pointer)
{
    size_t steps = 0;
    for (size_t i = 0; i < pointer.n; i++) {
        steps += pointer.p[i] == '/';
    }
    return steps;
}

static int invalid_index(struct patcher *p, const char *op, struct str path, struct str key)
{
    return err_set(p->err, ERR_INVALID,
                   "error in %s for path: '" STR_FMT "': Unable to access invalid index: " STR_FMT
                   ": invalid index referenced",
                   op, STR_ARG(path), STR_ARG(key));
}

static int put(struct patcher *p, const char *op, struct str path, struct val v)
{
    struct place at;
    if (!place_find(p, path, &at)) {
        return err_set(p->err, ERR_INVALID,
                       "%s operation does not apply: doc is missing path: \"" STR_FMT
                       "\": missing value",
                       op, STR_ARG(path));
    }
    if (pointer_steps(path) + val_depth(&v) > DOC_DEPTH_MAX) {
        return err_set(p->err, ERR_LIMIT,
                       "error in %s for path: '" STR_FMT "': nested deeper than %d levels", op,
                       STR_ARG(path), DOC_DEPTH_MAX);
    }
    if (at.parent == NULL) {
        *p->root = v;
        return 0;
    }
    if (at.parent->type == VAL_MAP) {
        (void)val_set(p->arena, at.parent, at.key, v);
        return 0;
    }
    size_t i;
    if (!step_index(at.key, at.parent->n, &i)) {
        return invalid_index(p, op, path, at.key);
    }
    (void)val_insert(p->arena, at.parent, i, v);
    return 0;
}

static int take_away(struct patcher *p, const char *op, struct str path)
{
    struct place at;
    if (!place_find(p, path, &at)) {
        return err_set(p->err, ERR_INVALID,
                       "%s operation does not apply: doc is missing path: \"" STR_FMT
                       "\": missing value",
                       op, STR_ARG(path));
    }
    if (at.parent == NULL) {
        *p->root = val_null();
        return 0;
    }
    if (at.parent->type == VAL_LIST) {
        size_t i;
        if (!step_index(at.key, at.parent->n, &i) || i >= at.parent->n) {
            return invalid_index(p, op, path, at.key);
        }
        val_drop(at.parent, i);
        return 0;
    }
    if (!val_remove(at.parent, at.key)) {
        return err_set(p->err, ERR_INVALID,
                       "error in %s for path: '" STR_FMT
                       "': Unable to remove nonexistent key: " STR_FMT ": missing value",
                       op, STR_ARG(path), STR_ARG(at.key));
    }
    return 0;
}

/* The operations. Each has checked members: path, and value or from as the row below says. */

struct op {
    struct str path;
    struct str from;
    const struct val *value;
};

static int do_add(struct patcher *p, const struct op *op)
{
    return put(p, "add", op->path, val_copy(p->arena, op->value));
}

static int do_remove(struct patcher *p, const struct op *op)
{
    return take_away(p, "remove", op->path);
}

static int do_replace(struct patcher *p, const struct op *op)
{
    struct place at;
    bool is_found = place_find(p, op->path, &at);
    struct val *slot = is_found ? place_get(p, at) : NULL;
    if (slot == NULL) {
        return err_set(p->err, ERR_INVALID,
                       "replace operation does not apply: doc is missing %s: " STR_FMT
                       ": missing value",
                       is_found ? "key" : "path", STR_ARG(op->path));
    }
    if (pointer_steps(op->path) + val_depth(op->value) > DOC_DEPTH_MAX) {
        return err_set(p->err, ERR_LIMIT,
                       "error in replace for path: '" STR_FMT "': nested deeper than %d levels",
                       STR_ARG(op->path), DOC_DEPTH_MAX);
    }
    *slot = val_copy(p->arena, op->value);
    return 0;
}

static int from_get(struct patcher *p, const char *name, struct str from, struct val **ret)
{
    struct place at;
    struct val *slot = place_find(p, from, &at) ? place_get(p, at) : NULL;
    if (slot == NULL) {
        return err_set(p->err, ERR_INVALID,
                       "%s operation does not apply: doc is missing from path: " STR_FMT
                       ": missing value",
                       name, STR_ARG(from));
    }
    *ret = slot;
    return 0;
}

static int do_move(struct patcher *p, const struct op *op)
{
    struct val *slot;
    if (from_get(p, "move", op->from, &slot) < 0) {
        return p->err->code;
    }
    if (str_eq(op->from, op->path)) {
        return 0;
    }
    /* RFC 6902 4.4: a location can't move into one of its children. */
    if (str_starts(op->path, op->from) && op->path.p[op->from.n] == '/') {
        return err_set(p->err, ERR_INVALID,
                       "move operation does not apply: '" STR_FMT "' lies within '" STR_FMT "'",
                       STR_ARG(op->path), STR_ARG(op->from));
    }
    struct val v = *slot;
    if (take_away(p, "move", op->from) < 0) {
        return p->err->code;
    }
    return put(p, "move", op->path, v);
}

static int do_copy(struct patcher *p, const struct op *op)
{
    struct val *slot;
    if (from_get(p, "copy", op->from, &slot) < 0) {
        return p->err->code;
    }
    p->copied_bytes += bytes_of(slot);
    if (p->copied_bytes > BODY_BYTES_MAX) {
        return err_set(p->err, ERR_LIMIT,
                       "Unable to complete the copy, the accumulated size increase of copy is %zu, "
                       "exceeding the limit %d",
                       p->copied_bytes, BODY_BYTES_MAX);
    }
    return put(p, "copy", op->path, val_copy(p->arena, slot));
}

static int do_test(struct patcher *p, const struct op *op)
{
    struct place at;
    struct val null = val_null();
    const struct val *have = place_find(p, op->path, &at) ? place_get(p, at) : NULL;
    if (!val_eq(have == NULL ? &null : have, op->value)) {
        return err_set(p->err, ERR_INVALID, "testing value " STR_FMT " failed: test failed",
                       STR_ARG(op->path));
    }
    return 0;
}

static const struct op_row {
    const char *name;
    bool has_value;
    bool has_from;
    int (*perform)(struct patcher *p, const struct op *op);
} op_rows[] = {
    {"add",     true,  false, do_add    },
    {"remove",  false, false, do_remove },
    {"replace", true,  false, do_replace},
    {"move",    false, true,  do_move   },
    {"copy",    false, true,  do_copy   },
    {"test",    true,  false, do_test   },
};

static int perform(struct patcher *p, const struct val *operation)
{
    struct str name = val_text(val_get(operation, S("op")));
    const struct op_row *row = NULL;
    for (size_t i = 0; i < ARRAY_LEN(op_rows); i++) {
        if (str_eq(name, str_of(op_rows[i].name))) {
            row = &op_rows[i];
        }
    }
    if (row == NULL) {
        return err_set(p->err, ERR_INVALID, "Unexpected kind: " STR_FMT, STR_ARG(name));
    }
    const struct val *path = val_get(operation, S("path"));
    const struct val *from = val_get(operation, S("from"));
    if (!val_is(path, VAL_STR)) {
        return err_set(p->err, ERR_INVALID, "%s operation failed to decode path: missing value",
                       row->name);
    }
    if (row->has_from && !val_is(from, VAL_STR)) {
        return err_set(p->err, ERR_INVALID, "%s operation failed to decode from: missing value",
                       row->name);
    }
    struct val null = val_null();
    const struct val *value = val_get(operation, S("value"));
    struct op op = {val_text(path), val_text(from), value == NULL ? &null : value};
    return row->perform(p, &op);
}

int patch_json(struct arena *arena, const struct val *doc, const struct val *patch, struct val *ret,
               struct err *err)
{
    if (!val_is(patch, VAL_LIST)) {
        return err_set(err, ERR_SYNTAX, "a JSON patch is a list of operations");
    }
    if (patch->n > JSON_PATCH_OPS_MAX) {
        return err_set(err, ERR_LIMIT,
                       "the allowed maximum operations in a JSON patch is %d, got %u",
                       JSON_PATCH_OPS_MAX, patch->n);
    }
    for (uint32_t i = 0; i < patch->n; i++) {
        if (patch->items[i].type != VAL_MAP) {
            return err_set(err, ERR_SYNTAX, "operation %u of the JSON patch is not a map", i);
        }
    }
    struct val root = val_copy(arena, doc);
    struct patcher p = {.arena = arena, .root = &root, .err = err};
    for (uint32_t i = 0; i < patch->n; i++) {
        if (perform(&p, &patch->items[i]) < 0) {
            return err->code;
        }
        if (arena_is_over(arena)) {
            return err_set(err, ERR_LIMIT, "the JSON patch takes too much memory");
        }
    }
    *ret = root;
    return 0;
}
