// SPDX-License-Identifier: Apache-2.0
//
// Look-ups in the generated tables, and the decoder that brings a JSON tree to the form that a Go
// API server would hold it in (encoding/json into typed structs with omitempty): nulls and zero
// values of optional fields that aren't pointers go, times, quantities and bytes are normalised.
#include "api/schema.h"

#include "api/schema_tables.h"
#include "base/timefmt.h"
#include "data/quantity.h"

#include <inttypes.h>
#include <stdlib.h>

const struct schema_type *schema_types(size_t *ret_count)
{
    *ret_count = schema_table_count;
    return schema_table;
}

static int type_cmp(const void *key, const void *row)
{
    const struct str *name = key;
    const struct schema_type *type = row;
    return str_cmp(*name, type->name);
}

const struct schema_type *schema_find(struct str name)
{
    return bsearch(&name, schema_table, schema_table_count, sizeof *schema_table, type_cmp);
}

static int field_cmp(const void *key, const void *row)
{
    const struct str *name = key;
    const struct schema_field *field = row;
    return str_cmp(*name, field->name);
}

const struct schema_field *schema_field(const struct schema_type *type, struct str name)
{
    if (type == NULL || type->fields_count == 0) {
        return NULL;
    }
    return bsearch(&name, type->fields, type->fields_count, sizeof *type->fields, field_cmp);
}

static bool patch_field_of(void *ctx, const void *type, struct str name, struct patch_field *ret)
{
    (void)ctx;
    const struct schema_field *f = schema_field(type, name);
    if (f == NULL || (f->flags & SCHEMA_PB_INLINE) != 0) {
        return false;
    }
    *ret = (struct patch_field){
        .is_merge = (f->flags & SCHEMA_PATCH_MERGE) != 0,
        .is_retain_keys = (f->flags & SCHEMA_PATCH_RETAIN_KEYS) != 0,
        .is_replace = (f->flags & SCHEMA_PATCH_REPLACE) != 0,
        .merge_key = f->merge_key,
        .type = f->shape == SCHEMA_MAP ? NULL : f->ref,
    };
    return true;
}

const struct patch_schema schema_patch = {patch_field_of, NULL};

/* Decoding. A step is a field, list item or map key on the way down; they live on the C stack. */
struct step {
    const struct step *up;
    const struct schema_type *owner; /* struct that the field belongs to; NULL = item or map key */
    struct str name;                 /* field or map key */
    size_t index;                    /* list item, when name is empty */
};

struct decode {
    struct arena *arena;
    schema_unknown_fn *unknown;
    void *ctx;
    struct err *err;
};

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct str path_join(struct arena *arena, const struct step *at)
{
    if (at == NULL) {
        return S("");
    }
    struct str up = path_join(arena, at->up);
    if (at->name.n == 0) {
        return arena_fmt(arena, STR_FMT "[%zu]", STR_ARG(up), at->index);
    }
    return arena_fmt(arena, STR_FMT "%s" STR_FMT, STR_ARG(up), up.n == 0 ? "" : ".",
                     STR_ARG(at->name));
}

/* As Go tells the place: "PodSpec.spec.containers.name", fields only. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static struct str go_path(struct arena *arena, const struct step *at)
{
    if (at == NULL) {
        return S("");
    }
    struct str up = go_path(arena, at->up);
    if (at->owner == NULL) {
        return up;
    }
    return arena_fmt(arena, STR_FMT "%s" STR_FMT, STR_ARG(up), up.n == 0 ? "" : ".",
                     STR_ARG(at->name));
}

/* "core.v1.PodSpec" -> "v1.PodSpec". */
static struct str go_name(const struct schema_type *type)
{
    ptrdiff_t dot = str_find(type->name, '.');
    return str_sub(type->name, (size_t)dot + 1, type->name.n);
}

static struct str go_type(struct arena *arena, const struct schema_field *f, bool is_item)
{
    static const char *const names[] = {
        [SCHEMA_STRING] = "string",
        [SCHEMA_INT32] = "int32",
        [SCHEMA_INT64] = "int64",
        [SCHEMA_BOOL] = "bool",
        [SCHEMA_DOUBLE] = "float64",
        [SCHEMA_BYTES] = "[]uint8",
        [SCHEMA_TIME] = "v1.Time",
        [SCHEMA_MICRO_TIME] = "v1.MicroTime",
        [SCHEMA_QUANTITY] = "resource.Quantity",
        [SCHEMA_INT_OR_STRING] = "intstr.IntOrString",
        [SCHEMA_ANY] = "runtime.RawExtension",
        [SCHEMA_STRINGS] = "[]string",
        [SCHEMA_REF] = "",
    };
    struct str base = f->base == SCHEMA_REF ? go_name(f->ref) : str_of(names[f->base]);
    const char *prefix = is_item || f->shape == SCHEMA_ONE ? ""
                         : f->shape == SCHEMA_LIST         ? "[]"
                                                           : "map[string]";
    return arena_fmt(arena, "%s" STR_FMT, prefix, STR_ARG(base));
}

static struct str json_type(struct arena *arena, const struct val *v, bool has_number)
{
    static const char *const names[] = {
        [VAL_NULL] = "null",  [VAL_BOOL] = "bool",  [VAL_INT] = "number", [VAL_DOUBLE] = "number",
        [VAL_STR] = "string", [VAL_LIST] = "array", [VAL_MAP] = "object",
    };
    if (has_number && v->type == VAL_INT) {
        return arena_fmt(arena, "number %" PRId64, v->i);
    }
    if (has_number && v->type == VAL_DOUBLE) {
        return arena_fmt(arena, "number %.15g", v->d);
    }
    return str_of(names[v->type]);
}

static int wrong_type(struct decode *d, const struct val *v, struct str want, bool has_number,
                      const struct step *at)
{
    struct str got = json_type(d->arena, v, has_number);
    const struct step *in = at;
    while (in != NULL && in->owner == NULL) {
        in = in->up;
    }
    if (in == NULL) {
        return err_set(d->err, ERR_SYNTAX,
                       "json: cannot unmarshal " STR_FMT " into Go value of type " STR_FMT,
                       STR_ARG(got), STR_ARG(want));
    }
    struct str owner = go_name(in->owner);
    owner = str_sub(owner, (size_t)(str_rfind(owner, '.') + 1), owner.n);
    struct str path = go_path(d->arena, at);
    return err_set(d->err, ERR_SYNTAX,
                   "json: cannot unmarshal " STR_FMT " into Go struct field " STR_FMT "." STR_FMT
                   " of type " STR_FMT,
                   STR_ARG(got), STR_ARG(owner), STR_ARG(path), STR_ARG(want));
}

static int decode_int(struct decode *d, const struct schema_field *f, struct val *v,
                      const struct step *at)
{
    bool is_number = v->type == VAL_INT || v->type == VAL_DOUBLE;
    bool fits =
        v->type == VAL_INT && (f->base == SCHEMA_INT64 || (v->i >= INT32_MIN && v->i <= INT32_MAX));
    return fits ? 0 : wrong_type(d, v, go_type(d->arena, f, /*is_item=*/true), is_number, at);
}

/* Base64 with line breaks dropped, as Go decodes and encodes it again. */
static int decode_bytes(struct decode *d, struct val *v, const struct step *at)
{
    if (v->type != VAL_STR) {
        return wrong_type(d, v, S("[]uint8"), /*has_number=*/false, at);
    }
    char *out = arena_alloc(d->arena, v->n + 1);
    size_t n = 0;
    size_t pads = 0;
    for (size_t i = 0; i < v->n; i++) {
        char c = v->s[i];
        if (c == '\r' || c == '\n') {
            continue;
        }
        bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                         (c >= '0' && c <= '9') || c == '+' || c == '/';
        pads += c == '=';
        if ((!is_letter && c != '=') || (is_letter && pads > 0) || pads > 2 ||
            (c == '=' && n % 4 < 2)) {
            return err_set(d->err, ERR_SYNTAX, "illegal base64 data at input byte %zu", i);
        }
        out[n++] = c;
    }
    if (n % 4 != 0) {
        return err_set(d->err, ERR_SYNTAX, "illegal base64 data at input byte %u", v->n);
    }
    *v = val_str((struct str){out, n});
    return 0;
}

static int decode_time(struct decode *d, const struct schema_field *f, struct val *v)
{
    struct str text = val_text(v);
    if (v->type != VAL_STR) {
        return wrong_type(d, v, S("string"), /*has_number=*/false, NULL);
    }
    usec wall;
    if (time_parse(text, &wall) < 0) {
        return err_set(d->err, ERR_SYNTAX,
                       "parsing time \"" STR_FMT "\" as \"%s\": cannot parse \"" STR_FMT
                       "\" as \"2006\"",
                       STR_ARG(text),
                       f->base == SCHEMA_TIME ? "2006-01-02T15:04:05Z07:00"
                                              : "2006-01-02T15:04:05.000000Z07:00",
                       STR_ARG(text));
    }
    char out[TIME_TEXT_MAX];
    if (f->base == SCHEMA_TIME) {
        time_format(wall, out);
    } else {
        time_format_micro(wall, out);
    }
    *v = val_str(arena_dup(d->arena, str_of(out)));
    return 0;
}

static int decode_quantity(struct decode *d, struct val *v)
{
    struct str text = val_text(v);
    if (v->type == VAL_INT) {
        text = arena_fmt(d->arena, "%" PRId64, v->i);
    } else if (v->type == VAL_DOUBLE) {
        text = arena_fmt(d->arena, "%.15g", v->d);
    }
    struct quantity q;
    struct err why = {0};
    if (quantity_parse(text, &q, &why) < 0) {
        return err_set(d->err, ERR_SYNTAX, "%s", why.msg);
    }
    *v = val_str(quantity_format(d->arena, q));
    return 0;
}

static int decode_strings(struct decode *d, struct val *v, const struct step *at)
{
    if (v->type != VAL_LIST) {
        return wrong_type(d, v, S("[]string"), /*has_number=*/false, at);
    }
    for (size_t i = 0; i < v->n; i++) {
        if (v->items[i].type != VAL_STR) {
            struct step item = {.up = at, .index = i};
            return wrong_type(d, &v->items[i], S("string"), /*has_number=*/false, &item);
        }
    }
    return 0;
}

static int decode_struct(struct decode *d, const struct schema_type *type, struct val *v,
                         const struct step *at);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int decode_base(struct decode *d, const struct schema_field *f, struct val *v,
                       const struct step *at)
{
    switch ((enum schema_base)f->base) {
    case SCHEMA_STRING:
        return v->type == VAL_STR ? 0 : wrong_type(d, v, S("string"), /*has_number=*/false, at);
    case SCHEMA_BOOL:
        return v->type == VAL_BOOL ? 0 : wrong_type(d, v, S("bool"), /*has_number=*/false, at);
    case SCHEMA_DOUBLE:
        return v->type == VAL_INT || v->type == VAL_DOUBLE
                   ? 0
                   : wrong_type(d, v, S("float64"), /*has_number=*/false, at);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return decode_int(d, f, v, at);
    case SCHEMA_BYTES:
        return decode_bytes(d, v, at);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return decode_time(d, f, v);
    case SCHEMA_QUANTITY:
        return decode_quantity(d, v);
    case SCHEMA_INT_OR_STRING:
        if (v->type == VAL_STR || (v->type == VAL_INT && v->i >= INT32_MIN && v->i <= INT32_MAX)) {
            return 0;
        }
        return wrong_type(d, v, S("int32"), /*has_number=*/true, NULL);
    case SCHEMA_ANY:
        return 0;
    case SCHEMA_STRINGS:
        return decode_strings(d, v, at);
    case SCHEMA_REF:
        return decode_struct(d, f->ref, v, at);
    }
    return err_set(d->err, ERR_INTERNAL, "schema field of unknown base %d", f->base);
}

/* What Go makes of null inside a list or map: the zero value. */
static struct val zero_of(const struct schema_field *f)
{
    switch ((enum schema_base)f->base) {
    case SCHEMA_REF:
        return val_map();
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
    case SCHEMA_INT_OR_STRING:
        return val_int(0);
    case SCHEMA_BOOL:
        return val_bool(false);
    case SCHEMA_QUANTITY:
        return val_str(S("0"));
    case SCHEMA_STRINGS:
        return val_list();
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return val_str(S(""));
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_ANY:
        break;
    }
    return val_null();
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int decode_element(struct decode *d, const struct schema_field *f, struct val *v,
                          const struct step *at)
{
    if (v->type == VAL_NULL) {
        *v = zero_of(f);
        return 0;
    }
    return decode_base(d, f, v, at);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int decode_field(struct decode *d, const struct schema_field *f, struct val *v,
                        const struct step *at)
{
    if (f->shape == SCHEMA_ONE) {
        return decode_base(d, f, v, at);
    }
    if (v->type != (f->shape == SCHEMA_LIST ? VAL_LIST : VAL_MAP)) {
        return wrong_type(d, v, go_type(d->arena, f, /*is_item=*/false), /*has_number=*/false, at);
    }
    for (size_t i = 0; i < v->n; i++) {
        struct step item = {.up = at, .index = i};
        struct val *element = f->shape == SCHEMA_LIST ? &v->items[i] : &v->members[i].val;
        if (f->shape == SCHEMA_MAP) {
            item.name = v->members[i].key;
        }
        int rc = decode_element(d, f, element, &item);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Whether Go leaves the field out: omitempty and zero. */
static bool is_omitted(const struct schema_field *f, const struct val *v)
{
    if ((f->flags & (SCHEMA_REQUIRED | SCHEMA_PB_POINTER | SCHEMA_ALWAYS)) != 0) {
        return false;
    }
    if (f->shape != SCHEMA_ONE) {
        return v->n == 0;
    }
    switch ((enum schema_base)f->base) {
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return v->n == 0;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return v->i == 0;
    case SCHEMA_BOOL:
        return !v->b;
    case SCHEMA_DOUBLE:
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_QUANTITY:
    case SCHEMA_INT_OR_STRING:
    case SCHEMA_ANY:
    case SCHEMA_STRINGS:
    case SCHEMA_REF:
        break;
    }
    return false;
}

/* Depth is that of the document, which its reader has capped (DOC_DEPTH_MAX). */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int decode_struct(struct decode *d, const struct schema_type *type, struct val *v,
                         const struct step *at)
{
    if (v->type != VAL_MAP) {
        return wrong_type(d, v, go_name(type), /*has_number=*/false, at);
    }
    uint32_t kept = 0;
    uint32_t n = v->n;
    for (uint32_t i = 0; i < n; i++) {
        struct member m = v->members[i];
        struct step step = {.up = at, .owner = type, .name = m.key};
        const struct schema_field *f = schema_field(type, m.key);
        if (f == NULL || (f->flags & SCHEMA_PB_INLINE) != 0) {
            if (d->unknown != NULL) {
                d->unknown(d->ctx, path_join(d->arena, &step));
            }
            continue;
        }
        if (m.val.type == VAL_NULL) {
            continue;
        }
        int rc = decode_field(d, f, &m.val, &step);
        if (rc < 0) {
            return rc;
        }
        if (!is_omitted(f, &m.val)) {
            v->members[kept++] = m;
        }
    }
    v->n = kept;
    return 0;
}

int schema_decode(const struct schema_type *type, struct arena *arena, struct val *v,
                  schema_unknown_fn *unknown, void *ctx, struct err *err)
{
    struct decode d = {arena, unknown, ctx, err};
    return decode_struct(&d, type, v, /*at=*/NULL);
}
