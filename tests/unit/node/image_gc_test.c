// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "node/image_gc.h"
#include "node/image_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A disk of a thousand bytes, of which each image holds its own. */
struct disk {
    struct image_store *store;
    uint64_t bytes;
    uint64_t others; /* that hold no image */
    const char *wanted;
};

static void look(void *ctx, uint64_t *ret_bytes, uint64_t *ret_free)
{
    const struct disk *disk = ctx;
    uint64_t used = disk->others;
    for (size_t i = 0; i < disk->store->images.count; i++) {
        used += ((const struct image_entry *)disk->store->images.entries[i].value)->image.bytes;
    }
    *ret_bytes = disk->bytes;
    *ret_free = used > disk->bytes ? 0 : disk->bytes - used;
}

static bool is_wanted(void *ctx, const struct image *image)
{
    const struct disk *disk = ctx;
    return str_find(str_of(disk->wanted), image->id.p[image->id.n - 1]) >= 0;
}

static void put_image(struct image_store *store, const char *id, uint64_t bytes, usec seen_at)
{
    struct image_entry *e = xcalloc(1, sizeof *e);
    e->arena = arena_new(4096);
    e->image.id = arena_dup(e->arena, str_of(id));
    e->image.bytes = bytes;
    e->seen_at = seen_at;
    (void)map_put(&store->images, e->image.id, e);
}

static struct str names(const struct image_store *store, struct arena *arena)
{
    struct str text = {0};
    for (size_t i = 0; i < store->images.count; i++) {
        struct str id = store->images.entries[i].key;
        text = arena_fmt(arena, STR_FMT "%c", STR_ARG(text), id.p[id.n - 1]);
    }
    return text;
}

/* Images a, b and c of 100 bytes each; c came a minute ago. In the order of the rows; each starts
 * with what wanted says as it was a while before. */
static const struct {
    const char *name;
    uint64_t others;
    const char *wanted_before;
    const char *wanted;
    int result;
    const char *left;
} rows[] = {
    {"there is room",               540, "",  "",    0,         "abc"},
    {"one is enough",               550, "",  "",    0,         "bc" },
    {"the one that was used first", 550, "a", "",    0,         "ac" },
    {"never one in use",            550, "",  "a",   0,         "ac" },
    {"two are needed",              690, "",  "",    0,         "c"  },
    {"one that just came stays",    790, "",  "b",   ERR_LIMIT, "bc" },
    {"all are in use",              790, "",  "abc", ERR_LIMIT, "abc"},
};

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void pass(struct loop *loop, int seconds)
{
    struct timer timer = {0};
    timer_start(loop, &timer, seconds * USEC_PER_SEC, stop, loop);
    loop_run(loop);
}

TEST(images_go_when_the_disk_is_full)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        auto_arena struct arena *arena = arena_new(4096);
        auto_free char *dir = xasprintf("/tmp/coracle-gc-%d", (int)getpid());
        struct loop *loop = loop_new_virtual(1700000000 * USEC_PER_SEC);
        struct image_store *store = image_store_open(loop, dir, &err);
        EXPECT(store != NULL);
        struct disk disk = {.store = store, .bytes = 1000, .wanted = rows[i].wanted_before};
        const struct image_gc gc = {.disk = look, .is_wanted = is_wanted, .ctx = &disk};
        put_image(store, "sha256:a", 100, 0);
        put_image(store, "sha256:b", 100, 0);
        pass(loop, 300);
        EXPECT_OK(image_gc(store, &gc, &err));
        put_image(store, "sha256:c", 100, loop_now(loop));
        pass(loop, 60);
        disk.others = rows[i].others;
        disk.wanted = rows[i].wanted;
        int r = image_gc(store, &gc, &err);
        struct str left = names(store, arena);
        if (r != rows[i].result || !str_eq(left, str_of(rows[i].left))) {
            fail_msg("%s: want %d '%s', got %d '" STR_FMT "' (%s)", rows[i].name, rows[i].result,
                     rows[i].left, r, STR_ARG(left), err.msg);
        }
        if (r < 0) {
            EXPECT(str_starts(str_of(err.msg), S("Insufficient free disk space on the node's image "
                                                 "filesystem (")));
        }
        image_store_close(store);
        loop_free(loop);
        EXPECT_OK(dir_remove_all(AT_FDCWD, dir, &err));
    }
}
