// SPDX-License-Identifier: Apache-2.0
//
// What json_read takes, json_write writes back to an equal tree and, from then on, to equal bytes;
// a frozen copy is equal too. Doubles over 2^53 may turn into another integer of the same double
// once, so the tree is compared from the second reading on.
#include "base/arena.h"
#include "base/limits.h"
#include "data/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct err err;
    struct val first;
    struct val second;
    struct val third;
    if (json_read((struct str){(const char *)data, size}, arena, NULL, &first, &err) < 0) {
        must(err.code < 0 && err.msg[0] != '\0');
        return 0;
    }
    auto_buf struct buf text;
    auto_buf struct buf again;
    buf_init(&text, JSON_BYTES_MAX);
    buf_init(&again, JSON_BYTES_MAX);
    struct doc *doc = doc_freeze(&first);
    must(val_eq(&doc->root, &first));
    must(json_write(&text, &doc->root) == 0);
    doc_unref(doc);
    must(json_read(buf_str(&text), arena, NULL, &second, &err) == 0);
    must(json_write(&again, &second) == 0);
    must(json_read(buf_str(&again), arena, NULL, &third, &err) == 0);
    must(val_eq(&second, &third));
    auto_buf struct buf pretty; /* the trees borrow from the other two */
    buf_init(&pretty, JSON_BYTES_MAX);
    must(json_write_pretty(&pretty, &second) == 0);
    must(json_read(buf_str(&pretty), arena, NULL, &third, &err) == 0);
    must(val_eq(&second, &third));
    return 0;
}
