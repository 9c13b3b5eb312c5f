// SPDX-License-Identifier: Apache-2.0
//
// doc_freeze: a tree becomes one block. Layout: struct doc, then all items and members (8-byte
// aligned), then the bytes of all strings. Strings that repeat within a document ("name", "v1",
// timestamps) are stored once, found through a small direct-mapped cache; that saves about a
// seventh of a pod. Two walks over the tree with the same cache: one measures, one copies.
//
// Names of fields ("spec", "f:containers") are the same in all documents: the process keeps one
// copy of each, up to a ceiling, and documents point to it; that saves another sixth of a pod. What
// looks like a name but is the user's costs a slot, no more. One thread freezes.
#include "data/val.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_SLOTS = 128, CACHED_LEN_MAX = 64 };

enum { NAME_SLOTS = 2048, NAMES_MAX = 1024, NAME_LEN_MAX = 48 };

static struct {
    struct str slots[NAME_SLOTS]; /* open addressing, p NULL = free */
    size_t count;
    char *room; /* all copies, one behind the other */
    size_t used;
} names;

struct freezer {
    struct str cache[CACHE_SLOTS];
    size_t nodes;    /* bytes of items and members so far */
    size_t text;     /* bytes of strings so far */
    char *node_room; /* NULL while measuring */
    char *text_room;
};

static uint32_t hash_of(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    uint32_t h = (uint32_t)s.n * 0x9e3779b1U + p[0] * 31U + p[s.n / 2] * 131U + p[s.n - 1] * 521U;
    return h ^ h >> 15;
}

/* A hash of the name over all its letters; 0 = no name. */
static uint32_t name_hash(struct str s)
{
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ':')) {
            return 0;
        }
        h = (h ^ (unsigned char)c) * 16777619U;
    }
    return h | 1;
}

/* The process' copy of a name; NULL when it has none. */
static const char *name_find(struct str s)
{
    /* Of a document made from another one: the copy itself. */
    if (names.used > 0 && s.p >= names.room && s.p < names.room + names.used) {
        return s.p;
    }
    uint32_t hash = s.n == 0 || s.n > NAME_LEN_MAX ? 0 : name_hash(s);
    if (hash == 0) {
        return NULL;
    }
    size_t at = (hash ^ hash >> 15) % NAME_SLOTS;
    while (names.slots[at].p != NULL && !str_eq(names.slots[at], s)) {
        at = (at + 1) % NAME_SLOTS;
    }
    if (names.slots[at].p == NULL && names.count < NAMES_MAX) {
        if (names.room == NULL) {
            names.room = xmalloc((size_t)NAMES_MAX * NAME_LEN_MAX);
        }
        memcpy(names.room + names.used, s.p, s.n);
        names.slots[at] = (struct str){names.room + names.used, s.n};
        names.used += s.n;
        names.count++;
    }
    return names.slots[at].p;
}

static const char *freeze_text(struct freezer *f, struct str s)
{
    if (s.n == 0) {
        return "";
    }
    struct str *slot = s.n <= CACHED_LEN_MAX ? &f->cache[hash_of(s) % CACHE_SLOTS] : NULL;
    if (slot != NULL && str_eq(*slot, s)) {
        return slot->p;
    }
    const char *at = s.p;
    if (f->text_room != NULL) {
        memcpy(f->text_room + f->text, s.p, s.n);
        at = f->text_room + f->text;
    }
    f->text += s.n;
    if (slot != NULL) {
        *slot = (struct str){at, s.n};
    }
    return at;
}

static const char *freeze_key(struct freezer *f, struct str key)
{
    const char *name = name_find(key);
    return name != NULL ? name : freeze_text(f, key);
}

static void *node_take(struct freezer *f, size_t size)
{
    void *at = f->node_room == NULL ? NULL : f->node_room + f->nodes;
    f->nodes += size;
    return at;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct val freeze(struct freezer *f, const struct val *v)
{
    struct val out = *v;
    out.room = 0;
    if (v->type == VAL_STR) {
        out.s = freeze_text(f, (struct str){v->s, v->n});
    } else if (v->type == VAL_LIST && v->n > 0) {
        out.items = node_take(f, v->n * sizeof *v->items);
        for (uint32_t i = 0; i < v->n; i++) {
            struct val item = freeze(f, &v->items[i]);
            if (out.items != NULL) {
                out.items[i] = item;
            }
        }
    } else if (v->type == VAL_MAP && v->n > 0) {
        out.members = node_take(f, v->n * sizeof *v->members);
        for (uint32_t i = 0; i < v->n; i++) {
            const struct member *m = &v->members[i];
            struct member copy = {
                {freeze_key(f, m->key), m->key.n},
                val_null()
            };
            copy.val = freeze(f, &m->val);
            if (out.members != NULL) {
                out.members[i] = copy;
            }
        }
    }
    return out;
}

struct doc *doc_freeze(const struct val *root)
{
    struct freezer f = {0};
    (void)freeze(&f, root);
    size_t nodes = f.nodes;
    size_t bytes = sizeof(struct doc) + nodes + f.text;
    assert(bytes <= UINT32_MAX);
    struct doc *doc = xmalloc(bytes);
    char *room = (char *)(doc + 1);
    f = (struct freezer){.node_room = room, .text_room = room + nodes};
    *doc = (struct doc){.refs = 1, .bytes = (uint32_t)bytes, .root = freeze(&f, root)};
    assert(sizeof *doc + f.nodes + f.text == bytes);
    return doc;
}

struct doc *doc_ref(struct doc *doc)
{
    doc->refs++;
    return doc;
}

void doc_unref(struct doc *doc)
{
    if (doc != NULL && --doc->refs == 0) {
        free(doc);
    }
}
