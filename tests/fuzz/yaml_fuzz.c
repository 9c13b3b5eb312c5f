// SPDX-License-Identifier: Apache-2.0
//
// What yaml_read takes, yaml_write writes back to the same JSON.
#include "base/arena.h"
#include "base/limits.h"
#include "data/yaml.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const struct buf *text, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "%s\n%s\n", what, buf_str(text).p);
        abort();
    }
}

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
    must(json_write(&json, &first) == 0, &json, "json_write");
    must(json_read(buf_str(&json), arena, NULL, &first, &err) == 0, &json, "valid JSON");
    must(yaml_write(&text, &first, &err) == 0, &text, err.msg);
    must(yaml_read(buf_str(&text), arena, NULL, &second, &err) == 0, &text, err.msg);
    must(json_write(&again, &second) == 0, &again, "json_write");
    must(val_eq(&first, &second), &text, "same tree");
    return 0;
}
