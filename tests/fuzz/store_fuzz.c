// SPDX-License-Identifier: Apache-2.0
//
// A journal that opens but holds anything: the store refuses it with a reason, or has of every key
// the last version, in order of keys, none newer than the store, and takes writes behind them all.
// The input is rows: what the revision grows by, flags (a delete; how long key and JSON are), key,
// JSON. The first bytes are ceiling and floor.
#include "fuzz.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "loop/loop.h"
#include "store/journal.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

struct fake {
    struct journal journal; /* first */
    struct str rows;
    uint64_t rev_ceiling, rev_floor;
};

static unsigned take_byte(struct str *rest)
{
    unsigned byte = rest->n > 0 ? (unsigned char)rest->p[0] : 0;
    *rest = str_sub(*rest, 1, rest->n);
    return byte;
}

static struct str take(struct str *rest, size_t n)
{
    struct str piece = str_sub(*rest, 0, n);
    *rest = str_sub(*rest, piece.n, rest->n);
    return piece;
}

static bool next_row(struct str *rest, struct journal_version *ret)
{
    if (rest->n < 3) {
        return false;
    }
    uint64_t grows = take_byte(rest);
    unsigned flags = take_byte(rest);
    ret->rev += grows == 255 ? UINT64_MAX - 5 : grows;
    ret->is_delete = (flags & 1) != 0;
    ret->key = take(rest, flags >> 1 & 15);
    ret->json = (flags >> 5) == 7 ? S("{\"metadata\":{}}") : take(rest, take_byte(rest));
    return true;
}

static int fake_load(struct journal *journal,
                     int (*each)(void *ctx, const struct journal_version *version, struct err *err),
                     void *ctx, struct journal_batch *ret_batch, struct err *err)
{
    struct fake *fake = (struct fake *)journal;
    struct journal_version version = {0};
    struct str rest = fake->rows;
    while (next_row(&rest, &version)) {
        if (each(ctx, &version, err) < 0) {
            return err->code;
        }
    }
    *ret_batch =
        (struct journal_batch){.rev_ceiling = fake->rev_ceiling, .rev_floor = fake->rev_floor};
    return 0;
}

static int fake_append(struct journal *journal, const struct journal_batch *batch, struct err *err)
{
    (void)journal;
    (void)batch;
    (void)err;
    return 0;
}

static uint64_t fake_size(struct journal *journal)
{
    (void)journal;
    return 0;
}

static void fake_close(struct journal *journal)
{
    free(journal);
}

/* The last version of key among the rows that is no delete; false when it is gone. */
static bool last_of(struct str rows, struct str key, struct journal_version *ret)
{
    struct journal_version version = {0};
    bool is_there = false;
    while (next_row(&rows, &version)) {
        if (str_eq(version.key, key)) {
            *ret = version;
            is_there = !version.is_delete;
        }
    }
    return is_there;
}

static void check_state(struct store *store, struct str rows)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct err err = {0};
    struct object **objects;
    size_t count;
    must(store_list(store, S(""), 0, 0, arena, &objects, &count, &err) == 0);
    struct str before = S("");
    for (size_t i = 0; i < count; i++) {
        struct journal_version last;
        struct val root;
        must(str_cmp(before, objects[i]->key) < 0);
        before = objects[i]->key;
        must(last_of(rows, before, &last) && last.rev == objects[i]->rev);
        must(objects[i]->rev <= store_rev(store) && store_get(store, before) == objects[i]);
        must(json_read(last.json, arena, NULL, &root, &err) == 0);
        must(val_eq(&root, object_val(objects[i])));
    }
    struct journal_version version = {0};
    for (struct str rest = rows; next_row(&rest, &version);) {
        struct journal_version last;
        bool is_there = last_of(rows, version.key, &last);
        must((store_get(store, version.key) != NULL) == is_there);
    }
}

static void check_write(struct loop *loop, struct store *store)
{
    uint64_t rev = store_rev(store);
    struct err err = {0};
    struct val root = val_map();
    must(store_put(store, S("/new"), &root, STORE_ANY, 0, NULL, NULL, &err) == 0);
    loop_run(loop);
    must(store_rev(store) > rev && store_get(store, S("/new"))->rev == store_rev(store));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct journal_ops ops = {fake_load, fake_append, fake_size, fake_close};
    struct str rest = {(const char *)data, size};
    struct fake *fake = xcalloc(1, sizeof *fake);
    struct loop *loop = loop_new_virtual(0);
    struct err err = {0};
    fake->journal.ops = &ops;
    fake->rev_ceiling = (uint64_t)take_byte(&rest) << 4;
    fake->rev_floor = take_byte(&rest);
    fake->rows = rest;
    struct store *store = store_open(loop, &fake->journal, &err);
    if (store == NULL) {
        must(err.code == ERR_CORRUPT && err.msg[0] != '\0');
    } else {
        check_state(store, rest);
        check_write(loop, store);
        store_close(store);
    }
    loop_free(loop);
    return 0;
}
