// SPDX-License-Identifier: Apache-2.0
//
// The types of the Kubernetes API as tables, generated at build time from schema/*.json by
// tools/schemagen. Everything that walks an object by type walks these: strict decoding, protobuf,
// strategic merge, server-side apply, OpenAPI.
#ifndef CORACLE_API_SCHEMA_H
#define CORACLE_API_SCHEMA_H

#include "data/patch.h"
#include "data/val.h"

enum schema_base {
    SCHEMA_STRING,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_BOOL,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES,      /* base64 text */
    SCHEMA_TIME,       /* RFC 3339, seconds */
    SCHEMA_MICRO_TIME, /* RFC 3339, six digits */
    SCHEMA_QUANTITY,   /* text; numbers are accepted and become text */
    SCHEMA_INT_OR_STRING,
    SCHEMA_ANY,     /* raw extension, FieldsV1, JSON: kept as it is */
    SCHEMA_STRINGS, /* list of strings as the value of a map (UserInfo.extra) */
    SCHEMA_REF      /* another type */
};
enum schema_shape { SCHEMA_ONE, SCHEMA_LIST, SCHEMA_MAP /* string keys */ };
enum schema_list { SCHEMA_ATOMIC, SCHEMA_SET, SCHEMA_KEYED };
enum {
    SCHEMA_REQUIRED = 1,
    SCHEMA_PATCH_MERGE = 2,
    SCHEMA_PATCH_RETAIN_KEYS = 4,
    SCHEMA_PATCH_REPLACE = 8,
    SCHEMA_MAP_ATOMIC = 16, /* x-kubernetes-map-type: atomic on this field or on its type */
    SCHEMA_PB_POINTER = 32, /* protobuf presence matters: zero is kept */
    SCHEMA_PB_INLINE = 64,  /* protobuf only: the message's fields belong to the parent. Its name
                               starts with '^'; walkers of JSON skip it */
    SCHEMA_ALWAYS = 128     /* written even when zero, though nobody has to give it */
};

struct schema_type;

struct schema_field {
    struct str name;
    uint8_t base;  /* enum schema_base */
    uint8_t shape; /* enum schema_shape */
    uint8_t list;  /* enum schema_list, when shape is SCHEMA_LIST */
    uint8_t flags;
    uint16_t pb;                   /* protobuf field number, 0 = unknown */
    const struct schema_type *ref; /* base SCHEMA_REF */
    struct str merge_key;          /* strategic merge */
    const struct str *keys;        /* SCHEMA_KEYED: its listMapKeys */
    size_t keys_count;
    const struct str *values; /* enum values, NULL = free */
    size_t values_count;
    struct str default_json; /* schema default ("\"TCP\""), empty = none; needed for list keys */
};

struct schema_type {
    struct str name;                   /* "core.v1.PodSpec" */
    struct str definition;             /* "io.k8s.api.core.v1.PodSpec"; empty: protobuf only */
    const struct schema_field *fields; /* sorted by name */
    size_t fields_count;
    bool is_map_atomic;
};

/* Static. NULL = unknown. */
const struct schema_type *schema_find(struct str name);
const struct schema_field *schema_field(const struct schema_type *type, struct str name);
/* All types, sorted by name. */
const struct schema_type *schema_types(size_t *ret_count);
/* The schema as strategic merge wants it; types are const struct schema_type *. */
extern const struct patch_schema schema_patch;

/* Checks v against type and brings it to the typed form: nulls go, quantities and int-or-strings
 * are normalised as Go's decoder would, list and map shapes are checked. ERR_SYNTAX at the first
 * wrong type, with Go's text: "json: cannot unmarshal string into Go struct field
 * PodSpec.spec.replicas of type int32". Unknown fields are removed and told, path by path
 * ("spec.foo"), to unknown (may be NULL). */
typedef void schema_unknown_fn(void *ctx, struct str path);
MUST_CHECK int schema_decode(const struct schema_type *type, struct arena *arena, struct val *v,
                             schema_unknown_fn *unknown, void *ctx, struct err *err);

#endif
