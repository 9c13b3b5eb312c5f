// SPDX-License-Identifier: Apache-2.0
//
// Turns schema/types.json, enums.json and protobuf.txt into build/<flavour>/gen/schema_tables.c:
// the tables behind api/schema.h. Only types that a kind of kinds.def (or a body that isn't a kind)
// reaches are written, sorted by name.
//
// Protobuf flattens some messages into their parent's JSON ("2^=volumeSource.VolumeSource"). Such a
// message becomes a field "^volumeSource" with SCHEMA_PB_INLINE; when it is no JSON type of its
// own, a type without definition is made of the parent's fields.
//
// Usage: schemagen types.json enums.json protobuf.txt > schema_tables.c
#include "base/map.h"
#include "base/mem.h"
#include "data/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { INPUT_BYTES_MAX = 8 << 20, ARENA_BYTES_MAX = 256 << 20, NAME_MAX_LEN = 200 };

struct gen {
    struct arena *arena;
    struct val types;  /* by name: {def, fields, …} */
    struct val enums;  /* enums.json */
    struct map pb;     /* "core.v1.Pod" -> struct str * with its fields' text */
    struct map wanted; /* names of the types to write; value: their val */
};

static const char *const roots[] = {
#define KIND(group, version, name, plural, singular, shorts, category, flags, verbs, type, ...)    \
    type,
#include "api/kinds.def"
#undef KIND
    "authentication.v1.TokenRequest",
    "autoscaling.v1.Scale",
    "core.v1.Binding",
    "meta.v1.DeleteOptions",
    "meta.v1.ListMeta",
    "meta.v1.Status",
    "policy.v1.Eviction",
};

static void die(const char *what, struct str name)
{
    fprintf(stderr, "schemagen: %s: " STR_FMT "\n", what, STR_ARG(name));
    exit(1);
}

static struct str read_file(struct arena *arena, const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        die("can't open", str_of(path));
    }
    char *text = arena_alloc(arena, INPUT_BYTES_MAX);
    size_t n = fread(text, 1, INPUT_BYTES_MAX, f);
    if (n == 0 || n == INPUT_BYTES_MAX) {
        die("empty or too long", str_of(path));
    }
    (void)fclose(f);
    return (struct str){text, n};
}

static struct val read_json(struct arena *arena, const char *path)
{
    struct err err = {0};
    struct val v;
    if (json_read(read_file(arena, path), arena, NULL, &v, &err) < 0) {
        die(path, str_of(err.msg));
    }
    return v;
}

/* Each "[section]" line and its "Message:fields ; Message:fields" lines, into gen->pb. */
static void read_protobuf(struct gen *gen, const char *path)
{
    struct str text = read_file(gen->arena, path);
    struct str section = S("");
    while (text.p != NULL) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        if (line.p[0] == '[') {
            section = str_sub(line, 1, line.n - 1);
            continue;
        }
        while (line.p != NULL) {
            struct str fields = str_trim(str_cut(&line, ';'));
            struct str message = str_cut(&fields, ':');
            struct str *kept = arena_alloc(gen->arena, sizeof *kept);
            *kept = fields;
            (void)map_put(
                &gen->pb,
                arena_fmt(gen->arena, STR_FMT "." STR_FMT, STR_ARG(section), STR_ARG(message)),
                kept);
        }
    }
}

/* One protobuf field's text "2^=volumeSource.VolumeSource" or "3=replicas.i*". */
struct pb_field {
    unsigned number;
    bool is_inline;
    bool is_pointer;
    struct str name;
    struct str type; /* full name of an inline message */
};

static struct pb_field pb_parse(struct gen *gen, struct str owner, struct str text)
{
    struct pb_field f = {0};
    struct str type = text;
    struct str number = str_cut(&type, '=');
    if (str_ends(number, S("^"))) {
        f.is_inline = true;
        number.n--;
    }
    uint64_t n = 0;
    if (str_to_u64(number, &n) < 0 || n == 0 || n > UINT16_MAX) {
        die("bad protobuf field", text);
    }
    f.number = (unsigned)n;
    f.name = str_cut(&type, '.');
    f.is_pointer = str_ends(type, S("*"));
    if (f.is_inline) {
        struct str section = str_sub(owner, 0, (size_t)str_rfind(owner, '.'));
        f.type = arena_fmt(gen->arena, STR_FMT "." STR_FMT, STR_ARG(section), STR_ARG(type));
    }
    return f;
}

/* The protobuf field of type.name, or number 0. */
static struct pb_field pb_find(struct gen *gen, struct str type, struct str name)
{
    const struct str *fields = map_find(&gen->pb, type);
    struct str rest = fields == NULL ? (struct str){NULL, 0} : *fields;
    while (rest.p != NULL) {
        struct pb_field f = pb_parse(gen, type, str_trim(str_cut(&rest, ' ')));
        if (!f.is_inline && str_eq(f.name, name)) {
            return f;
        }
    }
    return (struct pb_field){0};
}

static const struct val *field_find(const struct val *type, struct str name)
{
    const struct val *fields = val_get(type, S("fields"));
    for (size_t i = 0; i < val_count(fields); i++) {
        const struct val *f = val_at(fields, i);
        if (str_eq(val_text(val_get(f, S("name"))), name)) {
            return f;
        }
    }
    return NULL;
}

/* Makes the JSON type of a message that protobuf inlines, from its parent's fields. */
static void inline_type(struct gen *gen, const struct val *parent, struct str name)
{
    if (val_get(&gen->types, name) != NULL) {
        return;
    }
    struct val made = val_map();
    struct val *fields = val_need_list(gen->arena, &made, S("fields"));
    const struct str *text = map_find(&gen->pb, name);
    if (text == NULL) {
        die("inline message unknown", name);
    }
    struct str rest = *text;
    while (rest.p != NULL) {
        struct pb_field f = pb_parse(gen, name, str_trim(str_cut(&rest, ' ')));
        const struct val *field = field_find(parent, f.name);
        if (field == NULL) {
            fprintf(stderr, "schemagen: note: no JSON field for %.*s.%.*s\n", STR_ARG(name),
                    STR_ARG(f.name));
            continue;
        }
        (void)val_push(gen->arena, fields, *field);
    }
    (void)val_set(gen->arena, &gen->types, name, made);
}

/* Adds to every type that has inline messages a field of type "inline:<type>". */
static void add_inlines(struct gen *gen)
{
    for (size_t i = 0; i < gen->pb.count; i++) {
        struct str owner = gen->pb.entries[i].key;
        const struct str *fields = gen->pb.entries[i].value;
        struct str rest = *fields;
        while (rest.p != NULL) {
            struct pb_field f = pb_parse(gen, owner, str_trim(str_cut(&rest, ' ')));
            struct val *type = val_slot(&gen->types, owner);
            if (!f.is_inline || type == NULL) {
                continue;
            }
            inline_type(gen, type, f.type);
            type = val_slot(&gen->types, owner);
            struct val field = val_map();
            (void)val_set(gen->arena, &field, S("name"),
                          val_str(arena_fmt(gen->arena, "^" STR_FMT, STR_ARG(f.name))));
            (void)val_set(gen->arena, &field, S("type"),
                          val_str(arena_fmt(gen->arena, "ref:" STR_FMT, STR_ARG(f.type))));
            (void)val_set(gen->arena, &field, S("pb"), val_int(f.number));
            (void)val_push(gen->arena, val_slot(type, S("fields")), field);
        }
    }
}

/* "list<ref:x>", "map<string>", "ref:x", … taken apart. */
struct shape {
    const char *shape;
    const char *base;
    struct str ref;
};

static struct shape shape_parse(struct str text)
{
    static const char *const bases[][2] = {
        {"string",       "STRING"       },
        {"int32",        "INT32"        },
        {"int64",        "INT64"        },
        {"bool",         "BOOL"         },
        {"number",       "DOUBLE"       },
        {"bytes",        "BYTES"        },
        {"time",         "TIME"         },
        {"microTime",    "MICRO_TIME"   },
        {"quantity",     "QUANTITY"     },
        {"intOrString",  "INT_OR_STRING"},
        {"rawObject",    "ANY"          },
        {"any",          "ANY"          },
        {"list<string>", "STRINGS"      },
    };
    struct shape s = {
        "ONE", NULL, {NULL, 0}
    };
    struct str full = text;
    if (str_starts(text, S("list<"))) {
        s.shape = "LIST";
        text = str_sub(text, 5, text.n - 1);
    } else if (str_starts(text, S("map<"))) {
        s.shape = "MAP";
        text = str_sub(text, 4, text.n - 1);
    }
    if (str_starts(text, S("ref:"))) {
        s.base = "REF";
        s.ref = str_sub(text, 4, text.n);
        return s;
    }
    for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
        if (str_eq(text, str_of(bases[i][0]))) {
            s.base = bases[i][1];
        }
    }
    if (s.base == NULL) {
        die("unknown type", full);
    }
    return s;
}

/* Marks name and what it refers to. */
static void want(struct gen *gen, struct str name, int depth)
{
    struct val *type = val_slot(&gen->types, name);
    if (type == NULL || depth > 40) {
        die("no such type", name);
    }
    if (map_find(&gen->wanted, name) != NULL) {
        return;
    }
    (void)map_put(&gen->wanted, name, type);
    const struct val *fields = val_get(type, S("fields"));
    for (size_t i = 0; i < val_count(fields); i++) {
        struct shape s = shape_parse(val_text(val_get(val_at(fields, i), S("type"))));
        if (s.ref.n != 0) {
            want(gen, s.ref, depth + 1);
        }
    }
}

/* "core.v1.Pod" as part of a C name. */
static struct str c_name(struct gen *gen, struct str name)
{
    char *text = arena_alloc(gen->arena, name.n + 1);
    for (size_t i = 0; i < name.n; i++) {
        text[i] = (char)(name.p[i] == '.' ? '_' : name.p[i]);
    }
    return (struct str){text, name.n};
}

static struct str c_string(struct gen *gen, struct str s)
{
    struct buf out;
    buf_init(&out, 4096);
    (void)json_write_string(&out, s);
    struct str kept = arena_dup(gen->arena, buf_str(&out));
    buf_done(&out);
    return kept;
}

static void write_list(const char *name, struct str owner, const struct val *list)
{
    printf("static const struct str %s_" STR_FMT "[] = {", name, STR_ARG(owner));
    for (size_t i = 0; i < val_count(list); i++) {
        struct str text = val_text(val_at(list, i));
        printf("%sLIT(\"" STR_FMT "\")", i == 0 ? "" : ", ", STR_ARG(text));
    }
    printf("};\n");
}

static const struct val *enum_values(struct gen *gen, struct str full, struct str *ret_name)
{
    *ret_name = val_text(val_get(val_get(&gen->enums, S("fields")), full));
    return ret_name->n == 0 ? NULL : val_get(val_get(&gen->enums, S("enums")), *ret_name);
}

/* All enums that a written field uses, once each. */
static void write_enums(struct gen *gen)
{
    struct map seen = {0};
    const struct val *fields = val_get(&gen->enums, S("fields"));
    for (size_t i = 0; i < val_count(fields); i++) {
        struct str field = fields->members[i].key;
        struct str owner = str_sub(field, 0, (size_t)str_rfind(field, '.'));
        struct str name;
        const struct val *values = enum_values(gen, field, &name);
        if (map_find(&gen->wanted, owner) == NULL || values == NULL ||
            map_put(&seen, name, gen) != NULL) {
            continue;
        }
        write_list("values", c_name(gen, name), values);
    }
    map_done(&seen, NULL);
}

static void write_flags(struct gen *gen, const struct val *field, const struct shape *s,
                        const struct pb_field *pb)
{
    struct str strategy = val_text(val_get(field, S("patchStrategy")));
    struct str map_type = val_text(val_get(field, S("mapType")));
    if (map_type.n == 0 && s->ref.n != 0) {
        map_type = val_text(val_get(val_get(&gen->types, s->ref), S("mapType")));
    }
    const struct {
        bool is_set;
        const char *name;
    } flags[] = {
        {val_is_true(val_get(field, S("required"))),       "SCHEMA_REQUIRED"         },
        {str_search(strategy,       S("merge")) >= 0,      "SCHEMA_PATCH_MERGE"      },
        {str_search(strategy,       S("retainKeys")) >= 0, "SCHEMA_PATCH_RETAIN_KEYS"},
        {str_eq(strategy,           S("replace")),         "SCHEMA_PATCH_REPLACE"    },
        {str_eq(map_type,           S("atomic")),          "SCHEMA_MAP_ATOMIC"       },
        {pb->is_pointer,            "SCHEMA_PB_POINTER"  },
        {val_get(field,         S("pb")) != NULL,    "SCHEMA_PB_INLINE"                          },
        {val_is_true(val_get(field,            S("always"))),       "SCHEMA_ALWAYS"},
    };
    printf(".flags = 0");
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (flags[i].is_set) {
            printf(" | %s", flags[i].name);
        }
    }
    printf(", ");
}

/* The protobuf side of a JSON field: its own number, or the flags of the inlined message's. */
static struct pb_field pb_of(struct gen *gen, struct str type, const struct val *field)
{
    struct str name = val_text(val_get(field, S("name")));
    struct pb_field pb = pb_find(gen, type, name);
    pb.number = val_get(field, S("pb")) == NULL ? pb.number
                                                : (unsigned)val_number(val_get(field, S("pb")), 0);
    const struct val *fields = val_get(val_get(&gen->types, type), S("fields"));
    for (size_t i = 0; pb.number == 0 && i < val_count(fields); i++) {
        const struct val *f = val_at(fields, i);
        if (val_get(f, S("pb")) == NULL) {
            continue;
        }
        struct str ref = str_sub(val_text(val_get(f, S("type"))), 4, SIZE_MAX);
        struct pb_field inner = pb_find(gen, ref, name);
        pb.is_pointer = pb.is_pointer || inner.is_pointer;
    }
    return pb;
}

static void write_field(struct gen *gen, struct str type, const struct val *field, size_t index)
{
    struct str name = val_text(val_get(field, S("name")));
    struct str full = arena_fmt(gen->arena, STR_FMT "." STR_FMT, STR_ARG(type), STR_ARG(name));
    struct shape s = shape_parse(val_text(val_get(field, S("type"))));
    struct pb_field pb = pb_of(gen, type, field);
    struct str list = val_text(val_get(field, S("listType")));
    printf("    {.name = LIT(\"" STR_FMT "\"), .base = SCHEMA_%s, .shape = SCHEMA_%s, ",
           STR_ARG(name), s.base, s.shape);
    if (str_eq(list, S("set")) || str_eq(list, S("map"))) {
        printf(".list = SCHEMA_%s, ", str_eq(list, S("set")) ? "SET" : "KEYED");
    }
    write_flags(gen, field, &s, &pb);
    if (pb.number != 0) {
        printf(".pb = %u, ", pb.number);
    }
    if (s.ref.n != 0) {
        printf(".ref = &types[%zu], ", map_seek(&gen->wanted, s.ref));
    }
    struct str key = val_text(val_get(field, S("patchMergeKey")));
    if (key.n != 0) {
        printf(".merge_key = LIT(\"" STR_FMT "\"), ", STR_ARG(key));
    }
    struct str owner = c_name(gen, type);
    if (str_eq(list, S("map"))) {
        printf(".keys = keys_" STR_FMT "_%zu, .keys_count = %zu, ", STR_ARG(owner), index,
               val_count(val_get(field, S("listMapKeys"))));
    }
    struct str enum_name;
    const struct val *values = enum_values(gen, full, &enum_name);
    if (values != NULL) {
        printf(".values = values_" STR_FMT ", .values_count = %zu, ",
               STR_ARG(c_name(gen, enum_name)), val_count(values));
    }
    const struct val *fallback = val_get(val_get(&gen->enums, S("defaults")), full);
    if (fallback != NULL) {
        struct buf json;
        buf_init(&json, 4096);
        (void)json_write(&json, fallback);
        printf(".default_json = LIT(" STR_FMT "), ", STR_ARG(c_string(gen, buf_str(&json))));
        buf_done(&json);
    }
    printf("},\n");
}

static int by_field_name(const void *a, const void *b)
{
    const struct val *x = a;
    const struct val *y = b;
    return str_cmp(val_text(val_get(x, S("name"))), val_text(val_get(y, S("name"))));
}

static void write_fields(struct gen *gen, struct str name, struct val *type)
{
    struct val *fields = val_slot(type, S("fields"));
    struct str owner = c_name(gen, name);
    if (val_count(fields) == 0) {
        return;
    }
    qsort(fields->items, fields->n, sizeof fields->items[0], by_field_name);
    for (size_t i = 0; i < fields->n; i++) {
        const struct val *keys = val_get(val_at(fields, i), S("listMapKeys"));
        if (keys != NULL) {
            write_list("keys", arena_fmt(gen->arena, STR_FMT "_%zu", STR_ARG(owner), i), keys);
        }
    }
    printf("static const struct schema_field fields_" STR_FMT "[] = {\n", STR_ARG(owner));
    for (size_t i = 0; i < fields->n; i++) {
        write_field(gen, name, val_at(fields, i), i);
    }
    printf("};\n");
}

static void write_tables(struct gen *gen)
{
    printf("// Made by tools/schemagen; not for editing.\n#include \"api/schema_tables.h\"\n\n"
           "#define LIT(s) {\"\" s, sizeof(s) - 1}\n\n"
           "static const struct schema_type types[%zu];\n\n",
           gen->wanted.count);
    write_enums(gen);
    for (size_t i = 0; i < gen->wanted.count; i++) {
        write_fields(gen, gen->wanted.entries[i].key, gen->wanted.entries[i].value);
    }
    printf("static const struct schema_type types[%zu] = {\n", gen->wanted.count);
    for (size_t i = 0; i < gen->wanted.count; i++) {
        struct str name = gen->wanted.entries[i].key;
        const struct val *type = gen->wanted.entries[i].value;
        printf("    {.name = LIT(\"" STR_FMT "\"), .definition = LIT(\"" STR_FMT "\"), ",
               STR_ARG(name), STR_ARG(val_text(val_get(type, S("def")))));
        if (val_count(val_get(type, S("fields"))) != 0) {
            printf(".fields = fields_" STR_FMT ", .fields_count = %zu, ",
                   STR_ARG(c_name(gen, name)), val_count(val_get(type, S("fields"))));
        }
        bool is_atomic = str_eq(val_text(val_get(type, S("mapType"))), S("atomic"));
        printf(".is_map_atomic = %s},\n", is_atomic ? "true" : "false");
    }
    printf("};\n\nconst struct schema_type *const schema_table = types;\n"
           "const size_t schema_table_count = %zu;\n",
           gen->wanted.count);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: schemagen types.json enums.json protobuf.txt\n");
        return 2;
    }
    struct gen gen = {.arena = arena_new(ARENA_BYTES_MAX)};
    struct val types = read_json(gen.arena, argv[1]);
    gen.types = val_copy(gen.arena, val_get(&types, S("types")));
    gen.enums = read_json(gen.arena, argv[2]);
    read_protobuf(&gen, argv[3]);
    add_inlines(&gen);
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        want(&gen, str_of(roots[i]), /*depth=*/0);
    }
    write_tables(&gen);
    map_done(&gen.wanted, NULL);
    map_done(&gen.pb, NULL);
    arena_free(gen.arena);
    return ferror(stdout) || fflush(stdout) != 0;
}
