// SPDX-License-Identifier: Apache-2.0
//
// OpenAPI v2, as JSON and as the protobuf message openapi.v2.Document that kubectl up to 1.28 and
// helm 3 insist on (spec/api.md 1.4). Both are written from the same trees, a schema or a path at a
// time; each is made at its first use and kept.
#include "api/openapi.h"
#include "api/render.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

enum { OPENAPI_BYTES_MAX = 8 << 20, VARINT_MAX = 10 };

static const struct str title = {"Kubernetes", sizeof "Kubernetes" - 1};
static const struct str release = {"v1.35.0", sizeof "v1.35.0" - 1};

/* Protobuf writing: a field is its key, a length and the bytes. Embedded messages are written into
 * a buffer of their own first. */
static void put_varint(struct buf *out, uint64_t v)
{
    for (; v > 0x7f; v >>= 7) {
        (void)buf_addc(out, (char)((v & 0x7f) | 0x80));
    }
    (void)buf_addc(out, (char)v);
}

static void put_bytes(struct buf *out, unsigned number, struct str bytes)
{
    put_varint(out, (uint64_t)number << 3 | 2);
    put_varint(out, bytes.n);
    (void)buf_add(out, bytes);
}

/* Ends the message that was written to inner: it becomes field number of out. */
static void put_message(struct buf *out, unsigned number, struct buf *inner)
{
    put_bytes(out, number, buf_str(inner));
    buf_done(inner);
}

static void begin(struct buf *inner)
{
    buf_init(inner, OPENAPI_BYTES_MAX);
}

/* NamedAny{1=name, 2=Any{2=yaml}}: JSON is YAML. */
static void put_extension(struct buf *out, unsigned number, struct str name, const struct val *v)
{
    struct buf json;
    struct buf any;
    struct buf named;
    begin(&json);
    begin(&any);
    begin(&named);
    (void)json_write(&json, v);
    put_bytes(&named, 1, name);
    put_message(&any, 2, &json);
    put_message(&named, 2, &any);
    put_message(out, number, &named);
}

static void put_schema(struct buf *out, unsigned number, const struct val *schema, int depth);

/* NamedSchema{1=name, 2=Schema} in field number. */
/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX */
static void put_named_schema(struct buf *out, unsigned number, struct str name,
                             const struct val *schema, int depth)
{
    struct buf named;
    begin(&named);
    put_bytes(&named, 1, name);
    put_schema(&named, 2, schema, depth);
    put_message(out, number, &named);
}

/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX */
static void put_schema_member(struct buf *out, const struct member *m, int depth)
{
    struct buf inner;
    if (str_eq(m->key, S("$ref"))) {
        put_bytes(out, 1, val_text(&m->val));
    } else if (str_eq(m->key, S("format"))) {
        put_bytes(out, 2, val_text(&m->val));
    } else if (str_eq(m->key, S("description"))) {
        put_bytes(out, 4, val_text(&m->val));
    } else if (str_eq(m->key, S("required"))) {
        for (size_t i = 0; i < val_count(&m->val); i++) {
            put_bytes(out, 19, val_text(val_at(&m->val, i)));
        }
    } else if (str_eq(m->key, S("additionalProperties")) || str_eq(m->key, S("items"))) {
        begin(&inner);
        put_schema(&inner, 1, &m->val, depth);
        put_message(out, str_eq(m->key, S("items")) ? 23 : 21, &inner);
    } else if (str_eq(m->key, S("type"))) {
        begin(&inner);
        put_bytes(&inner, 1, val_text(&m->val));
        put_message(out, 22, &inner);
    } else if (str_eq(m->key, S("properties"))) {
        begin(&inner);
        for (size_t i = 0; i < val_count(&m->val); i++) {
            put_named_schema(&inner, 1, m->val.members[i].key, &m->val.members[i].val, depth);
        }
        put_message(out, 25, &inner);
    } else if (str_starts(m->key, S("x-"))) {
        put_extension(out, 31, m->key, &m->val);
    }
}

/* Depth is that of one schema, at most 3: type, property, items. */
/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX */
static void put_schema(struct buf *out, unsigned number, const struct val *schema, int depth)
{
    struct buf message;
    begin(&message);
    for (size_t i = 0; depth < DOC_DEPTH_MAX && i < val_count(schema); i++) {
        put_schema_member(&message, &schema->members[i], depth + 1);
    }
    put_message(out, number, &message);
}

/* ParametersItem{1=Parameter{2=NonBodyParameter{3=query{2=in, 4=name}}}} */
static void put_parameter(struct buf *out, struct str name)
{
    struct buf query;
    struct buf non_body;
    struct buf parameter;
    struct buf item;
    begin(&query);
    begin(&non_body);
    begin(&parameter);
    begin(&item);
    put_bytes(&query, 2, S("query"));
    put_bytes(&query, 4, name);
    put_message(&non_body, 3, &query);
    put_message(&parameter, 2, &non_body);
    put_message(&item, 1, &parameter);
    put_message(out, 8, &item);
}

static void put_operation(struct buf *out, unsigned number, const struct val *operation)
{
    struct buf message;
    const struct val *parameters = val_get(operation, S("parameters"));
    begin(&message);
    put_bytes(&message, 5, val_text(val_get(operation, S("operationId"))));
    for (size_t i = 0; i < val_count(parameters); i++) {
        put_parameter(&message, val_text(val_get(val_at(parameters, i), S("name"))));
    }
    for (size_t i = 0; i < val_count(operation); i++) {
        const struct member *m = &operation->members[i];
        if (str_starts(m->key, S("x-"))) {
            put_extension(&message, 13, m->key, &m->val);
        }
    }
    put_message(out, number, &message);
}

static void put_path(struct buf *out, const struct openapi_path *path)
{
    static const struct {
        const char *method;
        unsigned number;
    } methods[] = {
        {"get",    2},
        {"put",    3},
        {"post",   4},
        {"delete", 5},
        {"patch",  8}
    };
    struct buf item;
    struct buf named;
    begin(&item);
    begin(&named);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        const struct val *operation = val_get(&path->item, str_of(methods[i].method));
        if (operation != NULL) {
            put_operation(&item, methods[i].number, operation);
        }
    }
    put_bytes(&named, 1, path->path);
    put_message(&named, 2, &item);
    put_message(out, 2, &named);
}

/* Walks all paths and definitions; one of the two functions is called for each. */
struct walk {
    struct buf *out;
    void (*path)(struct buf *out, const struct openapi_path *path);
    void (*definition)(struct buf *out, struct str name, const struct val *schema);
};

static void walk_paths(const struct walk *w)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    size_t count;
    const struct kind *all = kinds(&count);
    for (size_t i = 0; i < count; i++) {
        struct openapi_path paths[OPENAPI_PATHS_MAX];
        size_t n = openapi_paths(arena, &all[i], OPENAPI_V2, paths);
        for (size_t j = 0; j < n; j++) {
            w->path(w->out, &paths[j]);
        }
        arena_reset(arena);
    }
}

static void walk_definitions(const struct walk *w)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    size_t count;
    const struct schema_type *types = schema_types(&count);
    for (size_t i = 0; i < count; i++) {
        if (types[i].definition.n > 0) {
            struct val schema = openapi_schema(arena, &types[i], OPENAPI_V2);
            w->definition(w->out, types[i].definition, &schema);
            arena_reset(arena);
        }
    }
}

static void put_definition(struct buf *out, struct str name, const struct val *schema)
{
    put_named_schema(out, 1, name, schema, /*depth=*/0);
}

/* The bytes of out become the document; kept for the life of the process. */
static struct str keep(struct buf *out)
{
    size_t n = out->n;
    return (struct str){xrealloc(buf_take(out), n + 1), n};
}

struct str openapi_v2_protobuf(void)
{
    static struct str made;
    if (made.n != 0) {
        return made;
    }
    struct buf out;
    struct buf info;
    struct buf paths;
    struct buf definitions;
    begin(&out);
    begin(&info);
    begin(&paths);
    begin(&definitions);
    put_bytes(&info, 1, title);
    put_bytes(&info, 2, release);
    walk_paths(&(struct walk){&paths, put_path, NULL});
    walk_definitions(&(struct walk){&definitions, NULL, put_definition});
    put_bytes(&out, 1, S("2.0"));
    put_message(&out, 2, &info);
    put_message(&out, 8, &paths);
    put_message(&out, 9, &definitions);
    made = keep(&out);
    return made;
}

static void put_json_member(struct buf *out, struct str name, const struct val *v)
{
    if (out->n > 0 && out->p[out->n - 1] != '{') {
        (void)buf_addc(out, ',');
    }
    (void)json_write_string(out, name);
    (void)buf_addc(out, ':');
    (void)json_write(out, v);
}

static void put_json_path(struct buf *out, const struct openapi_path *path)
{
    put_json_member(out, path->path, &path->item);
}

struct str openapi_v2_json(void)
{
    static struct str made;
    if (made.n != 0) {
        return made;
    }
    struct buf out;
    begin(&out);
    (void)buf_addf(&out,
                   "{\"swagger\":\"2.0\",\"info\":{\"title\":\"" STR_FMT "\",\"version\":\"" STR_FMT
                   "\"},\"paths\":{",
                   STR_ARG(title), STR_ARG(release));
    walk_paths(&(struct walk){&out, put_json_path, NULL});
    (void)buf_add(&out, S("},\"definitions\":{"));
    walk_definitions(&(struct walk){&out, NULL, put_json_member});
    (void)buf_add(&out, S("}}"));
    made = keep(&out);
    return made;
}
