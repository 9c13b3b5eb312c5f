// SPDX-License-Identifier: Apache-2.0
//
// Request bodies in protobuf, driven by the schema tables (spec/api.md 2.1, appendix B). The result
// is what JSON would have given, so that one decoder, schema_decode, comes after both. Only
// reading: every client takes JSON answers.
#include "api/render.h"

#include "api/schema_tables.h"
#include "base/enc.h"
#include "base/limits.h"
#include "base/timefmt.h"
#include "data/json.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct reader {
    const char *start; /* of the whole body: errors name the byte */
    struct str rest;
    struct arena *arena;
    struct err *err;
    int depth;
};

/* One field as it lies on the wire. */
struct wire_field {
    uint32_t number;
    enum wire wire;
    uint64_t number_value; /* VARINT, FIXED32, FIXED64 */
    struct str bytes;      /* BYTES */
};

static int broken(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_SYNTAX, "protobuf: %s at byte %td", what, r->rest.p - r->start);
}

static int read_varint(struct reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->rest.n == 0) {
            return broken(r, "unexpected end");
        }
        uint8_t byte = (uint8_t)*r->rest.p;
        r->rest.p++;
        r->rest.n--;
        if (shift == 63 && byte > 1) {
            break;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret = v;
            return 0;
        }
    }
    return broken(r, "number of more than 64 bits");
}

static int read_fixed(struct reader *r, size_t size, uint64_t *ret)
{
    uint64_t v = 0;
    if (r->rest.n < size) {
        return broken(r, "unexpected end");
    }
    for (size_t i = 0; i < size; i++) {
        v |= (uint64_t)(uint8_t)r->rest.p[i] << (8 * i);
    }
    r->rest = str_sub(r->rest, size, r->rest.n);
    *ret = v;
    return 0;
}

static int read_field(struct reader *r, struct wire_field *ret)
{
    uint64_t key;
    int rc = read_varint(r, &key);
    if (rc < 0) {
        return rc;
    }
    if (key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3) {
        return broken(r, "bad field number");
    }
    *ret = (struct wire_field){.number = (uint32_t)(key >> 3), .wire = (enum wire)(key & 7)};
    switch (key & 7) {
    case WIRE_VARINT:
        return read_varint(r, &ret->number_value);
    case WIRE_FIXED64:
        return read_fixed(r, 8, &ret->number_value);
    case WIRE_FIXED32:
        return read_fixed(r, 4, &ret->number_value);
    case WIRE_BYTES:
        rc = read_varint(r, &ret->number_value);
        if (rc < 0) {
            return rc;
        }
        if (ret->number_value > r->rest.n) {
            return broken(r, "length beyond the end");
        }
        ret->bytes = str_sub(r->rest, 0, (size_t)ret->number_value);
        r->rest = str_sub(r->rest, (size_t)ret->number_value, r->rest.n);
        return 0;
    default:
        return broken(r, "unknown wire type");
    }
}

/* A reader over the bytes of an embedded message. */
static struct reader inside(const struct reader *r, struct str bytes)
{
    struct reader inner = *r;
    inner.rest = bytes;
    inner.depth++;
    return inner;
}

static int read_text(struct reader *r, const struct wire_field *f, struct val *ret)
{
    if (f->wire != WIRE_BYTES) {
        return broken(r, "text expected");
    }
    if (utf8_valid_prefix(f->bytes) != f->bytes.n) {
        return broken(r, "invalid UTF-8");
    }
    *ret = val_str(f->bytes);
    return 0;
}

/* Message with text in its field 1 (Quantity) or raw JSON (RawExtension, FieldsV1). */
static int read_first_bytes(struct reader *r, const struct wire_field *f, struct str *ret)
{
    *ret = S("");
    if (f->wire != WIRE_BYTES) {
        return broken(r, "message expected");
    }
    struct reader in = inside(r, f->bytes);
    while (in.rest.n > 0) {
        struct wire_field inner;
        int rc = read_field(&in, &inner);
        if (rc < 0) {
            return rc;
        }
        if (inner.number == 1 && inner.wire == WIRE_BYTES) {
            *ret = inner.bytes;
        }
    }
    return 0;
}

static int read_quantity(struct reader *r, const struct wire_field *f, struct val *ret)
{
    struct str text;
    int rc = read_first_bytes(r, f, &text);
    if (rc < 0) {
        return rc;
    }
    if (utf8_valid_prefix(text) != text.n) {
        return broken(r, "invalid UTF-8");
    }
    *ret = val_str(text.n == 0 ? S("0") : text);
    return 0;
}

static int read_any(struct reader *r, const struct wire_field *f, struct val *ret)
{
    struct str text;
    int rc = read_first_bytes(r, f, &text);
    if (rc < 0 || text.n == 0) {
        *ret = val_null();
        return rc;
    }
    return json_read(text, r->arena, NULL, ret, r->err);
}

/* Time{1=seconds, 2=nanos}; an empty message is no time. */
static int read_time(struct reader *r, const struct wire_field *f, bool is_micro, struct val *ret)
{
    if (f->wire != WIRE_BYTES) {
        return broken(r, "message expected");
    }
    *ret = val_null();
    struct reader in = inside(r, f->bytes);
    int64_t seconds = 0;
    int64_t nanos = 0;
    while (in.rest.n > 0) {
        struct wire_field inner;
        int rc = read_field(&in, &inner);
        if (rc < 0) {
            return rc;
        }
        if (inner.number == 1) {
            seconds = (int64_t)inner.number_value;
        } else if (inner.number == 2) {
            nanos = (int32_t)inner.number_value;
        }
    }
    /* Go's zero time, year 1, means unset; years 0001 to 9999 can be written. */
    const int64_t year_1 = -62135596800;
    const int64_t year_10000 = 253402300800;
    if (f->bytes.n == 0 || seconds == year_1) {
        return 0;
    }
    if (seconds < year_1 || seconds >= year_10000 || nanos < 0 || nanos > 999999999) {
        return broken(r, "time out of range");
    }
    char text[TIME_TEXT_MAX];
    usec wall = seconds * USEC_PER_SEC + nanos / 1000;
    if (is_micro) {
        time_format_micro(wall, text);
    } else {
        time_format(wall, text);
    }
    *ret = val_str(arena_dup(r->arena, str_of(text)));
    return 0;
}

/* IntOrString{1=type (0 number, 1 text), 2=number, 3=text}. */
static int read_int_or_string(struct reader *r, const struct wire_field *f, struct val *ret)
{
    if (f->wire != WIRE_BYTES) {
        return broken(r, "message expected");
    }
    struct reader in = inside(r, f->bytes);
    struct val number = val_int(0);
    struct val text = val_str(S(""));
    bool is_text = false;
    while (in.rest.n > 0) {
        struct wire_field inner;
        int rc = read_field(&in, &inner);
        if (rc < 0) {
            return rc;
        }
        if (inner.number == 1) {
            is_text = inner.number_value == 1;
        } else if (inner.number == 2) {
            number = val_int((int32_t)inner.number_value);
        } else if (inner.number == 3) {
            rc = read_text(&in, &inner, &text);
            if (rc < 0) {
                return rc;
            }
        }
    }
    *ret = is_text ? text : number;
    return 0;
}

static int read_bytes(struct reader *r, const struct wire_field *f, struct val *ret)
{
    if (f->wire != WIRE_BYTES) {
        return broken(r, "bytes expected");
    }
    struct buf out;
    buf_init(&out, (size_t)2 * BODY_BYTES_MAX);
    (void)base64_encode(&out, f->bytes);
    *ret = val_str(arena_dup(r->arena, buf_str(&out)));
    buf_done(&out);
    return 0;
}

/* A message of repeated texts in field 1 (ExtraValue). */
static int read_strings(struct reader *r, const struct wire_field *f, struct val *ret)
{
    if (f->wire != WIRE_BYTES) {
        return broken(r, "message expected");
    }
    struct reader in = inside(r, f->bytes);
    *ret = val_list();
    while (in.rest.n > 0) {
        struct wire_field inner;
        struct val text;
        int rc = read_field(&in, &inner);
        if (rc == 0 && inner.number == 1) {
            rc = read_text(&in, &inner, &text);
            (void)(rc < 0 ? NULL : val_push(r->arena, ret, text));
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int read_number(struct reader *r, const struct schema_field *field,
                       const struct wire_field *f, struct val *ret)
{
    if (field->base == SCHEMA_DOUBLE) {
        double d;
        _Static_assert(sizeof d == sizeof f->number_value, "doubles have 64 bits");
        memcpy(&d, &f->number_value, sizeof d);
        *ret = val_double(d);
        return f->wire == WIRE_FIXED64 ? 0 : broken(r, "double expected");
    }
    if (f->wire != WIRE_VARINT) {
        return broken(r, "number expected");
    }
    if (field->base == SCHEMA_BOOL) {
        *ret = val_bool(f->number_value != 0);
    } else if (field->base == SCHEMA_INT32) {
        *ret = val_int((int32_t)f->number_value);
    } else {
        *ret = val_int((int64_t)f->number_value);
    }
    return 0;
}

static int read_message(struct reader *r, const struct schema_type *type, struct val *into);

/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX, counted in the reader */
static int read_value(struct reader *r, const struct schema_field *field,
                      const struct wire_field *f, struct val *ret)
{
    switch ((enum schema_base)field->base) {
    case SCHEMA_STRING:
        return read_text(r, f, ret);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_BOOL:
    case SCHEMA_DOUBLE:
        return read_number(r, field, f, ret);
    case SCHEMA_BYTES:
        return read_bytes(r, f, ret);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return read_time(r, f, field->base == SCHEMA_MICRO_TIME, ret);
    case SCHEMA_QUANTITY:
        return read_quantity(r, f, ret);
    case SCHEMA_INT_OR_STRING:
        return read_int_or_string(r, f, ret);
    case SCHEMA_ANY:
        return read_any(r, f, ret);
    case SCHEMA_STRINGS:
        return read_strings(r, f, ret);
    case SCHEMA_REF: {
        if (f->wire != WIRE_BYTES) {
            return broken(r, "message expected");
        }
        struct reader in = inside(r, f->bytes);
        if (ret->type != VAL_MAP) {
            *ret = val_map();
        }
        return read_message(&in, field->ref, ret);
    }
    }
    return broken(r, "field of unknown type");
}

/* Entry {1=key, 2=value} of a map; either may be left out when it is empty. */
/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX, counted in the reader */
static int read_entry(struct reader *r, const struct schema_field *field,
                      const struct wire_field *f, struct val *map)
{
    if (f->wire != WIRE_BYTES) {
        return broken(r, "map entry expected");
    }
    struct reader in = inside(r, f->bytes);
    struct wire_field empty = {.wire = WIRE_BYTES};
    bool is_number = field->base == SCHEMA_INT32 || field->base == SCHEMA_INT64 ||
                     field->base == SCHEMA_BOOL || field->base == SCHEMA_DOUBLE;
    empty.wire = is_number ? WIRE_VARINT : WIRE_BYTES;
    struct wire_field value = empty;
    struct val key = val_str(S(""));
    struct val v = val_null();
    int rc = 0;
    while (in.rest.n > 0 && rc == 0) {
        struct wire_field inner;
        rc = read_field(&in, &inner);
        if (rc == 0 && inner.number == 1) {
            rc = read_text(&in, &inner, &key);
        } else if (rc == 0 && inner.number == 2) {
            value = inner;
        }
    }
    rc = rc < 0 ? rc : read_value(&in, field, &value, &v);
    if (rc == 0) {
        (void)val_set(r->arena, map, val_text(&key), v);
    }
    return rc;
}

/* Repeated numbers, packed into one field of bytes. */
static int read_packed(struct reader *r, const struct schema_field *field,
                       const struct wire_field *f, struct val *list)
{
    struct reader in = inside(r, f->bytes);
    while (in.rest.n > 0) {
        struct wire_field item = {.wire = WIRE_VARINT};
        struct val v;
        int rc = field->base == SCHEMA_DOUBLE ? read_fixed(&in, 8, &item.number_value)
                                              : read_varint(&in, &item.number_value);
        item.wire = field->base == SCHEMA_DOUBLE ? WIRE_FIXED64 : WIRE_VARINT;
        rc = rc < 0 ? rc : read_number(&in, field, &item, &v);
        if (rc < 0) {
            return rc;
        }
        (void)val_push(r->arena, list, v);
    }
    return 0;
}

/* Go writes scalars that aren't pointers even when they are zero: those are absent in JSON. */
static bool is_absent(const struct schema_field *field, const struct val *v)
{
    if ((field->flags & SCHEMA_PB_POINTER) != 0) {
        return false;
    }
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        return true;
    case VAL_BOOL:
        return !v->b && (field->flags & (SCHEMA_REQUIRED | SCHEMA_ALWAYS)) == 0;
    case VAL_INT:
        return v->i == 0 && field->base != SCHEMA_INT_OR_STRING &&
               (field->flags & (SCHEMA_REQUIRED | SCHEMA_ALWAYS)) == 0;
    case VAL_STR:
        return v->n == 0;
    case VAL_DOUBLE:
    case VAL_LIST:
    case VAL_MAP:
        break;
    }
    return false;
}

static const struct schema_field *field_of_number(const struct schema_type *type, uint32_t number)
{
    for (size_t i = 0; i < type->fields_count; i++) {
        if (type->fields[i].pb == number) {
            return &type->fields[i];
        }
    }
    return NULL;
}

/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX, counted in the reader */
static int read_list_item(struct reader *r, const struct schema_field *field,
                          const struct wire_field *f, struct val *into)
{
    struct val *list = val_need_list(r->arena, into, field->name);
    bool is_number = field->base == SCHEMA_INT32 || field->base == SCHEMA_INT64 ||
                     field->base == SCHEMA_BOOL || field->base == SCHEMA_DOUBLE;
    if (is_number && f->wire == WIRE_BYTES) {
        return read_packed(r, field, f, list);
    }
    struct val v = val_null();
    int rc = read_value(r, field, f, &v);
    if (rc == 0) {
        (void)val_push(r->arena, list, v);
    }
    return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX, counted in the reader */
static int read_known(struct reader *r, const struct schema_field *field,
                      const struct wire_field *f, struct val *into)
{
    if ((field->flags & SCHEMA_PB_INLINE) != 0) {
        if (f->wire != WIRE_BYTES) {
            return broken(r, "message expected");
        }
        struct reader in = inside(r, f->bytes);
        return read_message(&in, field->ref, into);
    }
    if (field->shape == SCHEMA_LIST) {
        return read_list_item(r, field, f, into);
    }
    if (field->shape == SCHEMA_MAP) {
        return read_entry(r, field, f, val_need_map(r->arena, into, field->name));
    }
    const struct val *before = val_get(into, field->name);
    struct val v = before == NULL ? val_null() : *before;
    int rc = read_value(r, field, f, &v);
    if (rc == 0 && !is_absent(field, &v)) {
        (void)val_set(r->arena, into, field->name, v);
    }
    return rc;
}

/* Adds the fields of a message to the map. Fields that nobody knows are skipped. */
/* NOLINTNEXTLINE(misc-no-recursion): DOC_DEPTH_MAX, counted in the reader */
static int read_message(struct reader *r, const struct schema_type *type, struct val *into)
{
    if (r->depth > DOC_DEPTH_MAX) {
        return err_set(r->err, ERR_LIMIT, "protobuf: nested deeper than %d", DOC_DEPTH_MAX);
    }
    while (r->rest.n > 0) {
        struct wire_field f;
        int rc = read_field(r, &f);
        if (rc < 0) {
            return rc;
        }
        const struct schema_field *field = field_of_number(type, f.number);
        if (field == NULL) {
            continue;
        }
        rc = read_known(r, field, &f, into);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Unknown{1=typeMeta{1=apiVersion, 2=kind}, 2=raw, …}. */
struct envelope {
    struct val api_version;
    struct val kind;
    struct str raw;
};

static int read_type_meta(struct reader *r, struct envelope *ret)
{
    while (r->rest.n > 0) {
        struct wire_field f;
        int rc = read_field(r, &f);
        if (rc == 0 && (f.number == 1 || f.number == 2)) {
            rc = read_text(r, &f, f.number == 1 ? &ret->api_version : &ret->kind);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int read_envelope(struct reader *r, struct envelope *ret)
{
    *ret = (struct envelope){val_str(S("")), val_str(S("")), S("")};
    while (r->rest.n > 0) {
        struct wire_field f;
        int rc = read_field(r, &f);
        if (rc == 0 && f.number == 1 && f.wire == WIRE_BYTES) {
            struct reader in = inside(r, f.bytes);
            rc = read_type_meta(&in, ret);
        } else if (rc == 0 && f.number == 2 && f.wire == WIRE_BYTES) {
            ret->raw = f.bytes;
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The type of a body by its apiVersion and kind: a kind's, or one that is no kind. Those go by name
 * alone, because clients send options and evictions under several group versions. */
static const struct schema_type *type_of(struct str api_version, struct str name)
{
    struct str group;
    struct str version;
    api_version_split(api_version, &group, &version);
    const struct kind *kind = kind_by_name(group, version, name);
    if (kind != NULL) {
        return kind_type(kind);
    }
    size_t count;
    const struct body_type *bodies = body_types(&count);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(bodies[i].name, name)) {
            return schema_find(bodies[i].type_name);
        }
    }
    return NULL;
}

int protobuf_read(struct str bytes, struct arena *arena, struct val *ret, struct err *err)
{
    const struct str magic = {"k8s\0", 4};
    struct reader r = {bytes.p, bytes, arena, err, 0};
    struct envelope envelope;
    if (!str_starts(bytes, magic)) {
        return err_set(err, ERR_SYNTAX,
                       "protobuf: provided data does not appear to be a protobuf "
                       "message, expected prefix \"k8s\\x00\" at byte 0");
    }
    r.rest = str_sub(bytes, magic.n, bytes.n);
    int rc = read_envelope(&r, &envelope);
    if (rc < 0) {
        return rc;
    }
    struct str version = val_text(&envelope.api_version);
    struct str name = val_text(&envelope.kind);
    const struct schema_type *type = type_of(version, name);
    if (type == NULL) {
        return err_set(err, ERR_SYNTAX,
                       "no kind \"" STR_FMT "\" is registered for version \"" STR_FMT "\"",
                       STR_ARG(name), STR_ARG(version));
    }
    struct val v = val_map();
    struct reader in = inside(&r, envelope.raw);
    rc = read_message(&in, type, &v);
    if (rc < 0) {
        return rc;
    }
    /* Messages are as deep as their types; raw JSON inside them adds its own depth. */
    if (val_depth(&v) > DOC_DEPTH_MAX) {
        return err_set(err, ERR_LIMIT, "protobuf: nested deeper than %d", DOC_DEPTH_MAX);
    }
    (void)val_set(arena, &v, S("apiVersion"), envelope.api_version);
    (void)val_set(arena, &v, S("kind"), envelope.kind);
    *ret = v;
    return 0;
}
