// SPDX-License-Identifier: Apache-2.0
//
// See openapi.h.
#include "api/openapi.h"

#include "api/descriptions.h"
#include "api/schema_tables.h"
#include "base/mem.h"
#include "data/json.h"

static void set(struct arena *arena, struct val *map, struct str key, struct str text)
{
    (void)val_set(arena, map, key, val_str(text));
}

static void set_description(struct arena *arena, struct val *schema, struct str text)
{
    if (text.n > 0) {
        set(arena, schema, S("description"), text);
    }
}

static void push_text(struct arena *arena, struct val *list, struct str text)
{
    (void)val_push(arena, list, val_str(text));
}

static void push_gvk(struct arena *arena, struct val *list, struct str group, struct str version,
                     struct str kind)
{
    struct val gvk = val_map();
    set(arena, &gvk, S("group"), group);
    set(arena, &gvk, S("kind"), kind);
    set(arena, &gvk, S("version"), version);
    (void)val_push(arena, list, gvk);
}

struct val openapi_gvks(struct arena *arena, const struct schema_type *type)
{
    struct val list = val_list();
    size_t count;
    const struct kind *all = kinds(&count);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(all[i].type_name, type->name)) {
            push_gvk(arena, &list, all[i].group, all[i].version, all[i].name);
        }
    }
    const struct body_type *bodies = body_types(&count);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(bodies[i].type_name, type->name)) {
            push_gvk(arena, &list, bodies[i].group, bodies[i].version, bodies[i].name);
        }
    }
    return list;
}

/* Types that are one value in JSON. kubectl explain calls a field by the name that it refers to. */
static const struct plain_type {
    enum schema_base base;
    const char *definition;
    const char *format;
    const char *types[2];
} plain_types[] = {
    {SCHEMA_TIME,          "io.k8s.apimachinery.pkg.apis.meta.v1.Time",      "date-time",     {"string"}          },
    {SCHEMA_MICRO_TIME,    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "date-time",     {"string"}          },
    {SCHEMA_QUANTITY,      "io.k8s.apimachinery.pkg.api.resource.Quantity",  "",              {"number", "string"}},
    {SCHEMA_INT_OR_STRING,
     "io.k8s.apimachinery.pkg.util.intstr.IntOrString",                      "int-or-string",
     {"integer", "string"}                                                                                        },
};

static const struct plain_type *plain_of(enum schema_base base)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_types); i++) {
        if (plain_types[i].base == base) {
            return &plain_types[i];
        }
    }
    return NULL;
}

struct str openapi_plain_schema(struct arena *arena, size_t i, struct val *ret)
{
    if (i >= ARRAY_LEN(plain_types)) {
        return S("");
    }
    const struct plain_type *plain = &plain_types[i];
    *ret = val_map();
    if (plain->types[1] == NULL) {
        set(arena, ret, S("type"), str_of(plain->types[0]));
    }
    for (size_t k = 0; plain->types[1] != NULL && k < ARRAY_LEN(plain->types); k++) {
        struct val one = val_map();
        set(arena, &one, S("type"), str_of(plain->types[k]));
        (void)val_push(arena, val_need_list(arena, ret, S("oneOf")), one);
    }
    if (plain->format[0] != '\0') {
        set(arena, ret, S("format"), str_of(plain->format));
    }
    return str_of(plain->definition);
}

/* Upstream's documents name the values of an enum in order. */
static void push_sorted(struct arena *arena, struct val *list, const struct str *texts,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        push_text(arena, list, texts[i]);
        for (size_t k = val_count(list) - 1;
             k > 0 && str_cmp(val_text(val_at(list, k)), val_text(val_at(list, k - 1))) < 0; k--) {
            struct val later = list->items[k - 1];
            list->items[k - 1] = list->items[k];
            list->items[k] = later;
        }
    }
}

/* The value of one element: a scalar or a reference. */
static struct val base_schema(struct arena *arena, const struct schema_field *f,
                              enum openapi_version version)
{
    static const char *const rows[][2] = {
  /* base                   type, format */
        [SCHEMA_STRING] = {"string",  ""             },
        [SCHEMA_INT32] = {"integer", "int32"        },
        [SCHEMA_INT64] = {"integer", "int64"        },
        [SCHEMA_BOOL] = {"boolean", ""             },
        [SCHEMA_DOUBLE] = {"number",  "double"       },
        [SCHEMA_BYTES] = {"string",  "byte"         },
        [SCHEMA_TIME] = {"string",  "date-time"    },
        [SCHEMA_MICRO_TIME] = {"string",  "date-time"    },
        [SCHEMA_QUANTITY] = {"string",  ""             },
        [SCHEMA_INT_OR_STRING] = {"string",  "int-or-string"},
        [SCHEMA_ANY] = {"object",  ""             },
        [SCHEMA_STRINGS] = {"array",   ""             },
        [SCHEMA_REF] = {"",        ""             },
    };
    struct val schema = val_map();
    if (f->base == SCHEMA_REF) {
        const char *where = version == OPENAPI_V2 ? "#/definitions/" : "#/components/schemas/";
        set(arena, &schema, S("$ref"),
            arena_fmt(arena, "%s" STR_FMT, where, STR_ARG(f->ref->definition)));
        return schema;
    }
    const struct plain_type *plain = plain_of(f->base);
    if (version == OPENAPI_V3 && plain != NULL) {
        set(arena, &schema, S("$ref"),
            arena_fmt(arena, "#/components/schemas/%s", plain->definition));
        return schema;
    }
    set(arena, &schema, S("type"), str_of(rows[f->base][0]));
    if (rows[f->base][1][0] != '\0') {
        set(arena, &schema, S("format"), str_of(rows[f->base][1]));
    }
    if (f->base == SCHEMA_STRINGS) {
        set(arena, val_need_map(arena, &schema, S("items")), S("type"), S("string"));
    }
    if (version == OPENAPI_V3 && f->shape == SCHEMA_ONE && f->values_count > 0) {
        push_sorted(arena, val_need_list(arena, &schema, S("enum")), f->values, f->values_count);
    }
    return schema;
}

static void set_extensions(struct arena *arena, struct val *schema, const struct schema_field *f)
{
    static const char *const list_types[] = {
        [SCHEMA_ATOMIC] = "atomic",
        [SCHEMA_SET] = "set",
        [SCHEMA_KEYED] = "map",
    };
    if (f->shape == SCHEMA_LIST) {
        set(arena, schema, S("x-kubernetes-list-type"), str_of(list_types[f->list]));
    }
    if (f->keys_count > 0) {
        struct val *keys = val_need_list(arena, schema, S("x-kubernetes-list-map-keys"));
        for (size_t i = 0; i < f->keys_count; i++) {
            push_text(arena, keys, f->keys[i]);
        }
    }
    if (f->shape == SCHEMA_MAP && (f->flags & SCHEMA_MAP_ATOMIC) != 0) {
        set(arena, schema, S("x-kubernetes-map-type"), S("atomic"));
    }
    if (f->merge_key.n > 0) {
        set(arena, schema, S("x-kubernetes-patch-merge-key"), f->merge_key);
    }
    bool is_merge = (f->flags & SCHEMA_PATCH_MERGE) != 0;
    bool is_retain = (f->flags & SCHEMA_PATCH_RETAIN_KEYS) != 0;
    bool is_replace = (f->flags & SCHEMA_PATCH_REPLACE) != 0;
    const char *strategy = is_merge && is_retain ? "merge,retainKeys"
                           : is_merge            ? "merge"
                           : is_retain           ? "retainKeys"
                           : is_replace          ? "replace"
                                                 : "";
    if (strategy[0] != '\0') {
        set(arena, schema, S("x-kubernetes-patch-strategy"), str_of(strategy));
    }
}

static void set_default(struct arena *arena, struct val *schema, const struct schema_field *f)
{
    struct val v;
    struct err err;
    if (f->default_json.n > 0 && json_read(f->default_json, arena, NULL, &v, &err) == 0) {
        (void)val_set(arena, schema, S("default"), v);
    }
}

static struct val field_schema(struct arena *arena, const struct schema_type *type,
                               const struct schema_field *f, enum openapi_version version)
{
    struct val base = base_schema(arena, f, version);
    struct val schema = val_map();
    if (f->shape == SCHEMA_LIST) {
        set(arena, &schema, S("type"), S("array"));
        (void)val_set(arena, &schema, S("items"), base);
    } else if (f->shape == SCHEMA_MAP) {
        set(arena, &schema, S("type"), S("object"));
        (void)val_set(arena, &schema, S("additionalProperties"), base);
    } else {
        schema = base;
    }
    bool is_ref = val_get(&schema, S("$ref")) != NULL;
    set_extensions(arena, &schema, f);
    set_description(arena, &schema, description_of_field(arena, type->name, f->name));
    if (version == OPENAPI_V3) {
        set_default(arena, &schema, f);
        if (is_ref && val_count(&schema) > 1) {
            /* Siblings of $ref are ignored by v3 readers: wrap it. */
            struct val *all = val_need_list(arena, &schema, S("allOf"));
            struct val ref = val_map();
            (void)val_set(arena, &ref, S("$ref"), *val_get(&schema, S("$ref")));
            (void)val_push(arena, all, ref);
            (void)val_remove(&schema, S("$ref"));
        }
    }
    return schema;
}

struct val openapi_schema(struct arena *arena, const struct schema_type *type,
                          enum openapi_version version)
{
    struct val schema = val_map();
    struct val required = val_list();
    struct val properties = val_map();
    set(arena, &schema, S("type"), S("object"));
    set_description(arena, &schema, description_of_type(type->name));
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct schema_field *f = &type->fields[i];
        if ((f->flags & SCHEMA_PB_INLINE) != 0) {
            continue;
        }
        (void)val_set(arena, &properties, f->name, field_schema(arena, type, f, version));
        if ((f->flags & SCHEMA_REQUIRED) != 0) {
            push_text(arena, &required, f->name);
        }
    }
    if (properties.n > 0) {
        (void)val_set(arena, &schema, S("properties"), properties);
    }
    if (required.n > 0) {
        (void)val_set(arena, &schema, S("required"), required);
    }
    if (type->is_map_atomic) {
        set(arena, &schema, S("x-kubernetes-map-type"), S("atomic"));
    }
    struct val gvks = openapi_gvks(arena, type);
    if (gvks.n > 0) {
        (void)val_set(arena, &schema, S("x-kubernetes-group-version-kind"), gvks);
    }
    return schema;
}

static void push_parameter(struct arena *arena, struct val *list, struct str name, struct str type,
                           enum openapi_version version)
{
    struct val p = val_map();
    set(arena, &p, S("in"), S("query"));
    set(arena, &p, S("name"), name);
    if (version == OPENAPI_V2) {
        set(arena, &p, S("type"), type);
    } else {
        set(arena, val_need_map(arena, &p, S("schema")), S("type"), type);
    }
    (void)val_push(arena, list, p);
}

struct action {
    enum api_verb verb;
    const char *method;
    const char *name; /* of operationId and x-kubernetes-action */
    bool is_item;     /* at …/{name} */
    bool is_write;    /* takes dryRun, fieldManager, fieldValidation */
};

static struct val operation(struct arena *arena, const struct kind *kind, const struct action *a,
                            enum openapi_version version)
{
    struct val op = val_map();
    struct val gvk = val_list();
    struct val *parameters = val_need_list(arena, &op, S("parameters"));
    if (a->is_write) {
        push_parameter(arena, parameters, S("dryRun"), S("string"), version);
        push_parameter(arena, parameters, S("fieldManager"), S("string"), version);
        push_parameter(arena, parameters, S("fieldValidation"), S("string"), version);
    }
    if (a->verb == VERB_PATCH) {
        push_parameter(arena, parameters, S("force"), S("boolean"), version);
    }
    set(arena, &op, S("operationId"),
        arena_fmt(arena, "%s" STR_FMT STR_FMT STR_FMT, a->name, STR_ARG(kind->group),
                  STR_ARG(kind->version), STR_ARG(kind->name)));
    struct val *ok = val_need_map(arena, val_need_map(arena, &op, S("responses")), S("200"));
    set(arena, ok, S("description"), S("OK"));
    set(arena, &op, S("x-kubernetes-action"), str_of(a->name));
    push_gvk(arena, &gvk, kind->group, kind->version, kind->name);
    (void)val_set(arena, &op, S("x-kubernetes-group-version-kind"), *val_at(&gvk, 0));
    return op;
}

size_t openapi_paths(struct arena *arena, const struct kind *kind, enum openapi_version version,
                     struct openapi_path ret[static OPENAPI_PATHS_MAX])
{
    static const struct action actions[] = {
        {VERB_LIST,   "get",    "list",   false, false},
        {VERB_CREATE, "post",   "post",   false, true },
        {VERB_GET,    "get",    "get",    true,  false},
        {VERB_UPDATE, "put",    "put",    true,  true },
        {VERB_PATCH,  "patch",  "patch",  true,  true },
        {VERB_DELETE, "delete", "delete", true,  false},
    };
    struct str base =
        arena_fmt(arena, "/%s/" STR_FMT "/%s" STR_FMT, kind->group.n == 0 ? "api" : "apis",
                  STR_ARG(kind_api_version(kind)),
                  (kind->flags & KIND_NAMESPACED) != 0 ? "namespaces/{namespace}/" : "",
                  STR_ARG(kind->plural));
    size_t count = 0;
    for (int is_item = 0; is_item <= 1; is_item++) {
        struct val item = val_map();
        for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
            const struct action *a = &actions[i];
            if (a->is_item == is_item && (kind->verbs & 1U << a->verb) != 0) {
                (void)val_set(arena, &item, str_of(a->method), operation(arena, kind, a, version));
            }
        }
        if (item.n > 0) {
            ret[count].path =
                arena_fmt(arena, STR_FMT "%s", STR_ARG(base), is_item != 0 ? "/{name}" : "");
            ret[count++].item = item;
        }
    }
    return count;
}
