// SPDX-License-Identifier: Apache-2.0
//
// Fuzzes api/protobuf.c. Any bytes are refused or give a tree that decodes against its type or is
// refused, and whose JSON reads back as the same tree.
#include "fuzz.h"

#include "api/render.h"
#include "base/limits.h"
#include "data/json.h"

static void must_round_trip(struct arena *arena, const struct val *v)
{
    auto_buf struct buf out;
    struct err err = {0};
    struct val again;
    buf_init(&out, JSON_BYTES_MAX);
    must(json_write(&out, v) == 0);
    must(json_read(buf_str(&out), arena, NULL, &again, &err) == 0);
    must(val_eq(v, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct err err = {0};
    struct val v;
    struct str bytes = {(const char *)data, size};
    if (protobuf_read(bytes, arena, &v, &err) == 0) {
        struct str group;
        struct str version;
        must_round_trip(arena, &v);
        api_version_split(val_text(val_get(&v, S("apiVersion"))), &group, &version);
        const struct kind *kind = kind_by_name(group, version, val_text(val_get(&v, S("kind"))));
        if (kind != NULL && schema_decode(kind_type(kind), arena, &v, NULL, NULL, &err) == 0) {
            must_round_trip(arena, &v);
        }
    }
    arena_free(arena);
    return 0;
}
