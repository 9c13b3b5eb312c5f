// SPDX-License-Identifier: Apache-2.0
//
// OpenAPI v3: the index, and one document a group version with the schemas that its kinds reach
// (spec/api.md 1.5). A document is made at its first use and kept; the index only keeps the hashes.
#include "api/openapi.h"
#include "api/render.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>

enum { OPENAPI_BYTES_MAX = 8 << 20, HASH_HEX_MAX = 2 * EVP_MAX_MD_SIZE + 1, VERSIONS_MAX = 32 };

struct document {
    const struct kind *first; /* first kind of its group version */
    struct str path;          /* "apis/apps/v1" */
    char hash[HASH_HEX_MAX];
    struct str text; /* kept when somebody has asked for it */
};
static struct document documents[VERSIONS_MAX];
static size_t documents_count;

static bool is_same_version(const struct kind *a, const struct kind *b)
{
    return str_eq(a->group, b->group) && str_eq(a->version, b->version);
}

static void find_documents(void)
{
    size_t count;
    const struct kind *all = kinds(&count);
    for (size_t i = 0; documents_count < VERSIONS_MAX && i < count; i++) {
        bool is_known = false;
        for (size_t j = 0; j < documents_count; j++) {
            is_known = is_known || is_same_version(documents[j].first, &all[i]);
        }
        if (!is_known) {
            struct document *d = &documents[documents_count++];
            struct str version = kind_api_version(&all[i]);
            d->first = &all[i];
            d->path.p =
                xasprintf("%s/" STR_FMT, all[i].group.n == 0 ? "api" : "apis", STR_ARG(version));
            d->path.n = strlen(d->path.p);
        }
    }
}

/* Marks a type and all that it refers to; seen has one byte a row of the schema tables. The types
 * form a graph without cycles as deep as a pod (12); the mark stops the walk in any case. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the types nest: 12; the mark ends it in any case */
static void reach(const struct schema_type *all, const struct schema_type *type, uint8_t *seen)
{
    if (type == NULL || seen[type - all] != 0) {
        return;
    }
    seen[type - all] = 1;
    for (size_t i = 0; i < type->fields_count; i++) {
        if ((type->fields[i].flags & SCHEMA_PB_INLINE) == 0) {
            reach(all, type->fields[i].ref, seen);
        }
    }
}

static void put(struct buf *out, struct str text)
{
    (void)buf_add(out, text);
}

static void put_named(struct buf *out, struct str name, const struct val *v, bool *is_first)
{
    put(out, *is_first ? S("") : S(","));
    *is_first = false;
    (void)json_write_string(out, name);
    put(out, S(":"));
    (void)json_write(out, v);
}

static void put_paths(struct buf *out, struct arena *arena, const struct document *d)
{
    size_t count;
    const struct kind *all = kinds(&count);
    bool is_first = true;
    for (size_t i = 0; i < count; i++) {
        struct openapi_path paths[OPENAPI_PATHS_MAX];
        if (!is_same_version(&all[i], d->first)) {
            continue;
        }
        size_t n = openapi_paths(arena, &all[i], OPENAPI_V3, paths);
        for (size_t j = 0; j < n; j++) {
            put_named(out, paths[j].path, &paths[j].item, &is_first);
        }
        arena_reset(arena);
    }
}

static void put_schemas(struct buf *out, struct arena *arena, const struct document *d)
{
    size_t types_count;
    const struct schema_type *types = schema_types(&types_count);
    size_t count;
    const struct kind *all = kinds(&count);
    auto_free uint8_t *seen = xcalloc(types_count, 1);
    for (size_t i = 0; i < count; i++) {
        if (!is_same_version(&all[i], d->first)) {
            continue;
        }
        reach(types, kind_type(&all[i]), seen);
    }
    reach(types, schema_find(S("meta.v1.DeleteOptions")), seen);
    reach(types, schema_find(S("meta.v1.Status")), seen);
    bool is_first = true;
    struct val plain;
    for (size_t i = 0; openapi_plain_schema(arena, i, &plain).n > 0; i++) {
        put_named(out, openapi_plain_schema(arena, i, &plain), &plain, &is_first);
    }
    for (size_t i = 0; i < types_count; i++) {
        if (seen[i] != 0 && types[i].definition.n > 0) {
            struct val schema = openapi_schema(arena, &types[i], OPENAPI_V3);
            put_named(out, types[i].definition, &schema, &is_first);
            arena_reset(arena);
        }
    }
}

static void write_document(const struct document *d, struct buf *out)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    put(out, S("{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Kubernetes\",\"version\":"
               "\"unversioned\"},\"paths\":{"));
    put_paths(out, arena, d);
    put(out, S("},\"components\":{\"schemas\":{"));
    put_schemas(out, arena, d);
    put(out, S("}}}"));
}

static void set_hash(struct document *d, struct str text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(text.p, text.n, digest, &n, EVP_sha512(), NULL) != 1) {
        n = 0;
    }
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(d->hash + (size_t)2 * i, 3, "%02X", digest[i]);
    }
}

struct str openapi_v3(struct str group_version_path, struct str *ret_hash)
{
    if (documents_count == 0) {
        find_documents();
    }
    for (size_t i = 0; i < documents_count; i++) {
        struct document *d = &documents[i];
        if (!str_eq(d->path, group_version_path)) {
            continue;
        }
        if (d->text.n == 0) {
            struct buf out;
            buf_init(&out, OPENAPI_BYTES_MAX);
            write_document(d, &out);
            set_hash(d, buf_str(&out));
            size_t n = out.n;
            d->text = (struct str){xrealloc(buf_take(&out), n + 1), n};
        }
        *ret_hash = str_of(d->hash);
        return d->text;
    }
    *ret_hash = S("");
    return S("");
}

struct str openapi_v3_index(void)
{
    static struct str index;
    if (index.n != 0) {
        return index;
    }
    if (documents_count == 0) {
        find_documents();
    }
    struct buf out;
    buf_init(&out, OPENAPI_BYTES_MAX);
    put(&out, S("{\"paths\":{"));
    for (size_t i = 0; i < documents_count; i++) {
        struct document *d = &documents[i];
        if (d->hash[0] == '\0') {
            struct buf text;
            buf_init(&text, OPENAPI_BYTES_MAX);
            write_document(d, &text);
            set_hash(d, buf_str(&text));
            buf_done(&text);
        }
        (void)buf_addf(
            &out, "%s\"" STR_FMT "\":{\"serverRelativeURL\":\"/openapi/v3/" STR_FMT "?hash=%s\"}",
            i == 0 ? "" : ",", STR_ARG(d->path), STR_ARG(d->path), d->hash);
    }
    put(&out, S("}}"));
    index.n = out.n;
    index.p = buf_take(&out);
    return index;
}
