// SPDX-License-Identifier: Apache-2.0
//
// Objects: one block for the header and the key, one for the document, and the JSON once somebody
// asked for it. To encode a pod takes 9 µs, to keep the text of all would add half to what they
// take: so a write's text stays for its journal, reply and watchers only, a list's until
// objects_rest.
#include "store/internal.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "data/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* Objects with their JSON, the one encoded last at the end. Texts of one kind lie together in
 * memory and go together: those of lists between documents would leave holes. */
static struct shelf {
    struct list list;
    size_t bytes;
    size_t bytes_max;
} shelves[] = {
    [OBJECT_JSON_SOON] = {{&shelves[0].list, &shelves[0].list}, 0, 1 << 20 },
    [OBJECT_JSON_LIST] = {{&shelves[1].list, &shelves[1].list}, 0, 32 << 20},
};

struct box {
    struct object object;
    struct list kept; /* on shelf, while json is set */
    struct shelf *shelf;
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

static void drop_json(struct box *box)
{
    struct str *json = &box->object.json;
    if (json->p != NULL) {
        list_remove(&box->kept);
        box->shelf->bytes -= json->n;
        free((char *)(uintptr_t)json->p);
        *json = (struct str){0};
    }
}

void object_unref(struct object *object)
{
    if (object == NULL || --object->refs > 0) {
        return;
    }
    assert(object->refs == 0);
    drop_json(box_of(object));
    doc_unref(object->doc);
    free(box_of(object));
}

struct str object_json(struct object *object, enum object_json_use use)
{
    if (object->json.p == NULL) {
        struct box *box = box_of(object);
        struct shelf *shelf = &shelves[use];
        auto_buf struct buf buf;
        buf_init(&buf, JSON_BYTES_MAX);
        (void)json_write(&buf, object_val(object)); /* a stored object is far below the ceiling */
        size_t n = buf.n;
        object->json = (struct str){xstrndup(buf_str(&buf).p, n), n};
        box->shelf = shelf;
        shelf->bytes += n;
        list_add_tail(&shelf->list, &box->kept);
        while (shelf->bytes > shelf->bytes_max && shelf->list.next != &box->kept) {
            drop_json(container_of(shelf->list.next, struct box, kept));
        }
    }
    return object->json;
}

void objects_rest(void)
{
    for (size_t i = 0; i < ARRAY_LEN(shelves); i++) {
        while (!list_empty(&shelves[i].list)) {
            drop_json(container_of(shelves[i].list.next, struct box, kept));
        }
    }
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
