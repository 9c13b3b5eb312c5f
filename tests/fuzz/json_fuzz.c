// SPDX-License-Identifier: Apache-2.0
//
// What json_read takes, json_write writes back to an equal tree and, from then on, to equal bytes;
// a frozen copy is equal too. Doubles over 2^53 may turn into another integer of the same double
// once, so the tree is compared from the second reading on. jansson is the oracle for what is JSON
// and what it means, but where Go's decoder, which we follow, is known to differ from it.
#include "fuzz.h"

#include "base/arena.h"
#include "base/limits.h"
#include "data/json.h"

#include <jansson.h>

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static bool is_same(const struct val *v, const json_t *j)
{
    bool is_same_so_far = true;
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        return json_is_null(j);
    case VAL_BOOL:
        return json_is_boolean(j) && json_is_true(j) == v->b;
    case VAL_INT:
        return json_is_integer(j) && json_integer_value(j) == v->i;
    case VAL_DOUBLE:
        return json_is_real(j) && memcmp(&v->d, &(double){json_real_value(j)}, sizeof v->d) == 0;
    case VAL_STR:
        return json_is_string(j) &&
               str_eq(val_text(v), (struct str){json_string_value(j), json_string_length(j)});
    case VAL_LIST:
        is_same_so_far = json_is_array(j) && json_array_size(j) == v->n;
        for (uint32_t i = 0; is_same_so_far && i < v->n; i++) {
            is_same_so_far = is_same(&v->items[i], json_array_get(j, i));
        }
        return is_same_so_far;
    case VAL_MAP:
        is_same_so_far = json_is_object(j) && json_object_size(j) == v->n;
        for (uint32_t i = 0; is_same_so_far && i < v->n; i++) {
            struct str key = v->members[i].key;
            is_same_so_far = is_same(&v->members[i].val, json_object_getn(j, key.p, key.n));
        }
        return is_same_so_far;
    }
    return false;
}

/* Lone surrogates, U+0000 and numbers that fit no int64 or double are refused by jansson, and bytes
 * of zero are skipped by it; the depth is our limit. */
static void ask_jansson(struct str text, const struct val *v, const struct err *err)
{
    json_error_t error;
    json_t *tree = json_loadb(text.p == NULL ? "" : text.p, text.n, JSON_DECODE_ANY, &error);
    bool is_its_own = str_find(text, '\0') >= 0 || str_search(text, S("\\ud")) >= 0 ||
                      str_search(text, S("\\uD")) >= 0 ||
                      json_error_code(&error) == json_error_numeric_overflow ||
                      json_error_code(&error) == json_error_null_character ||
                      json_error_code(&error) == json_error_null_byte_in_key;
    if (v != NULL) {
        must(tree != NULL || is_its_own);
        must(tree == NULL || is_same(v, tree));
    } else {
        must(tree == NULL || is_its_own || err->code == ERR_LIMIT);
    }
    json_decref(tree);
}

static void must_round_trip(struct arena *arena, const struct val *first)
{
    struct err err;
    struct val second;
    struct val third;
    auto_buf struct buf text;
    auto_buf struct buf again;
    auto_buf struct buf pretty; /* the trees borrow from all three */
    buf_init(&text, JSON_BYTES_MAX);
    buf_init(&again, JSON_BYTES_MAX);
    buf_init(&pretty, JSON_BYTES_MAX);
    struct doc *doc = doc_freeze(first);
    must(val_eq(&doc->root, first));
    must(json_write(&text, &doc->root) == 0);
    doc_unref(doc);
    must(json_read(buf_str(&text), arena, NULL, &second, &err) == 0);
    must(json_write(&again, &second) == 0);
    must(json_read(buf_str(&again), arena, NULL, &third, &err) == 0);
    must(val_eq(&second, &third));
    must(json_write_pretty(&pretty, &second) == 0);
    must(json_read(buf_str(&pretty), arena, NULL, &third, &err) == 0);
    must(val_eq(&second, &third));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct str text = {(const char *)data, size};
    struct err err;
    struct val first;
    if (json_read(text, arena, NULL, &first, &err) < 0) {
        must(err.code < 0 && err.msg[0] != '\0');
        ask_jansson(text, NULL, &err);
        return 0;
    }
    ask_jansson(text, &first, NULL);
    must_round_trip(arena, &first);
    return 0;
}
