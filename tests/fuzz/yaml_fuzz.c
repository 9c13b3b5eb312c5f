// SPDX-License-Identifier: Apache-2.0
//
// What yaml_read takes, yaml_write writes back to the same JSON.
#include "fuzz.h"

#include "base/arena.h"
#include "base/limits.h"
#include "data/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct err err = {0};
    struct val first;
    struct val second;
    if (yaml_read((struct str){(const char *)data, size}, arena, NULL, &first, &err) < 0) {
        return 0;
    }
    auto_buf struct buf text;
    auto_buf struct buf json;
    auto_buf struct buf again;
    buf_init(&text, JSON_BYTES_MAX);
    buf_init(&json, JSON_BYTES_MAX);
    buf_init(&again, JSON_BYTES_MAX);
    must(json_write(&json, &first) == 0);
    must(json_read(buf_str(&json), arena, NULL, &first, &err) == 0);
    must(yaml_write(&text, &first, &err) == 0);
    must(yaml_read(buf_str(&text), arena, NULL, &second, &err) == 0);
    must(json_write(&again, &second) == 0);
    must(val_eq(&first, &second));
    return 0;
}
