// SPDX-License-Identifier: Apache-2.0
//
// Fuzzes api/protobuf.c. Any bytes are refused or give a tree that decodes against its type or is
// refused, and whose JSON reads back as the same tree.
#include "api/render.h"
#include "base/limits.h"
#include "data/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_round_trip(struct arena *arena, const struct val *v)
{
    struct buf out;
    struct err err = {0};
    struct val again;
    buf_init(&out, JSON_BYTES_MAX);
    if (json_write(&out, v) < 0 || json_read(buf_str(&out), arena, NULL, &again, &err) < 0) {
        abort();
    } else if (!val_eq(v, &again)) {
        abort();
    }
    buf_done(&out);
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
        expect_round_trip(arena, &v);
        api_version_split(val_text(val_get(&v, S("apiVersion"))), &group, &version);
        const struct kind *kind = kind_by_name(group, version, val_text(val_get(&v, S("kind"))));
        if (kind != NULL && schema_decode(kind_type(kind), arena, &v, NULL, NULL, &err) == 0) {
            expect_round_trip(arena, &v);
        }
    }
    arena_free(arena);
    return 0;
}
