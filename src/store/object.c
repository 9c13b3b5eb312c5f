// SPDX-License-Identifier: Apache-2.0
//
// Objects: one block for the header and the key, one for the document, and the JSON only once
// somebody asked for it.
#include "store/internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct box {
    struct object object;
    bool is_volatile;
    char key[];
};

static struct box *box_of(const struct object *object)
{
    return container_of((uintptr_t)object, struct box, object);
}

static struct object *object_wrap(struct str key, uint64_t rev, struct doc *doc)
{
    struct box *box = xmalloc(sizeof *box + key.n + 1);
    *box = (struct box){
        .object = {.refs = 1, .rev = rev, .key = {box->key, key.n}, .doc = doc}
    };
    if (key.n > 0) {
        memcpy(box->key, key.p, key.n);
    }
    box->key[key.n] = '\0';
    return &box->object;
}

struct object *object_new(struct str key, uint64_t rev, const struct val *root)
{
    return object_wrap(key, rev, doc_freeze(root));
}

/* A copy of the map's members with one more, or another, member: all below is shared. */
static struct val with_member(struct arena *arena, const struct val *map, struct str key,
                              struct val v)
{
    struct val copy = val_map();
    bool is_map = val_is(map, VAL_MAP) && map->n > 0;
    if (is_map) {
        copy.members = arena_alloc(arena, map->n * sizeof *copy.members);
        memcpy(copy.members, map->members, map->n * sizeof *copy.members);
        copy.n = map->n;
    }
    (void)val_set(arena, &copy, key, v);
    return copy;
}

struct object *object_make(struct arena *scratch, struct str key, uint64_t rev,
                           const struct val *root)
{
    arena_reset(scratch);
    struct str text = arena_fmt(scratch, "%" PRIu64, rev);
    struct val metadata =
        with_member(scratch, val_get(root, S("metadata")), S("resourceVersion"), val_str(text));
    struct val numbered = with_member(scratch, root, S("metadata"), metadata);
    struct object *object = object_new(key, rev, &numbered);
    arena_reset(scratch);
    return object;
}

struct object *object_ref(struct object *object)
{
    object->refs++;
    return object;
}

void object_unref(struct object *object)
{
    if (object == NULL || --object->refs > 0) {
        return;
    }
    assert(object->refs == 0);
    doc_unref(object->doc);
    free((char *)(uintptr_t)object->json.p);
    free(box_of(object));
}

struct str object_json(struct object *object)
{
    if (object->json.p == NULL) {
        auto_buf struct buf buf;
        buf_init(&buf, JSON_BYTES_MAX);
        (void)json_write(&buf, object_val(object)); /* a stored object is far below the ceiling */
        size_t n = buf.n;
        object->json = (struct str){xstrndup(buf_str(&buf).p, n), n};
    }
    return object->json;
}

bool object_is_volatile(const struct object *object)
{
    return box_of(object)->is_volatile;
}

void object_set_volatile(struct object *object)
{
    box_of(object)->is_volatile = true;
}

size_t object_bytes(const struct object *object)
{
    return sizeof(struct box) + object->key.n + 1 + object->doc->bytes;
}
