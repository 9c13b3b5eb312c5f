// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "node/image_access.h"
#include "node/image_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ID "sha256:1111111111111111111111111111111111111111111111111111111111111111"

static struct image_secret secret_of(const char *text)
{
    struct str rest = str_of(text);
    struct image_secret s = {.ns = str_cut(&rest, '/')};
    s.name = str_cut(&rest, '/');
    s.uid = str_cut(&rest, '/');
    s.hash = rest;
    return s;
}

/* Pulls and uses, in this order; secrets are NAMESPACE/NAME/UID/HASH. */
static const struct {
    const char *ref;
    const char *pulled_with; /* NULL = a use; "" = without a secret */
    const char *used_with;   /* "" = no secret */
    bool may;
} rows[] = {
    {"archive:1",             NULL,         "",             true },
    {"reg.example/app:1",     "a/mine/1/x", NULL,           false},
    {"archive:1",             NULL,         "",             true }, /* was for everybody before */
    {"reg.example/app:1",     NULL,         "",             false},
    {"reg.example/app:1",     NULL,         "a/mine/1/x",   true },
    {"reg.example/app:other", NULL,         "a/mine/1/x",   true },
    {"reg.example/other:1",   NULL,         "a/mine/1/x",   false},
    {"reg.example/app:1",     NULL,         "b/theirs/2/y", false},
    {"reg.example/app:1",     NULL,         "b/theirs/2/x", true }, /* the same password */
    {"reg.example/app:1",     NULL,         "b/theirs/2/z", true }, /* remembered: it changed */
    {"reg.example/app:1",     NULL,         "a/mine/9/w",   false}, /* another of that name */
    {"reg.example/app:1",     NULL,         "a/mine/1/w",   true },
    {"reg.example/app:1",     "",           NULL,           false},
    {"reg.example/app:1",     NULL,         "",             true },
    {"reg.example/app:1",     "c/late/3/v", NULL,           false},
    {"reg.example/app:1",     NULL,         "",             true },
    {"reg.example/other:1",   NULL,         "",             false},
};

static const struct image *put_image(struct image_store *store)
{
    struct image_entry *e = xcalloc(1, sizeof *e);
    static struct str names[] = {
        {"docker.io/library/archive:1", 27},
        {"reg.example/app:1",           17}
    };
    e->arena = arena_new(4096);
    e->image.id = S(ID);
    e->image.names = names;
    e->image.names_count = ARRAY_LEN(names);
    (void)map_put(&store->images, e->image.id, e);
    return &e->image;
}

TEST(images_are_for_pods_with_the_secret_that_pulled_them)
{
    struct err err;
    auto_free char *dir = xasprintf("/tmp/coracle-access-%d", (int)getpid());
    struct loop *loop = loop_new();
    struct image_store *store = image_store_open(loop, dir, &err);
    EXPECT(store != NULL);
    const struct image *image = put_image(store);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *with = rows[i].pulled_with == NULL ? rows[i].used_with : rows[i].pulled_with;
        struct image_secret secret = secret_of(with);
        bool has_secret = with[0] != '\0';
        if (rows[i].pulled_with != NULL) {
            EXPECT_OK(
                image_allow(store, image, str_of(rows[i].ref), has_secret ? &secret : NULL, &err));
        } else if (image_may_use(store, image, str_of(rows[i].ref), &secret, has_secret) !=
                   rows[i].may) {
            fail_msg("row %zu: %s with '%s': want %d", i, rows[i].ref, with, rows[i].may);
        }
    }
    for (size_t i = 0; i < IMAGE_SECRETS_MAX + 5; i++) {
        auto_free char *text = xasprintf("d/many/%zu/h%zu", i, i);
        struct image_secret secret = secret_of(text);
        EXPECT_OK(image_allow(store, image, S("reg.example/many:1"), &secret, &err));
    }
    EXPECT_INT(IMAGE_SECRETS_MAX,
               val_count(val_get(val_get(image->access, S("reg.example/many")), S("secrets"))));
    struct image_secret first = secret_of("d/many/0/h0");
    struct image_secret last = secret_of("d/many/104/h104");
    EXPECT(!image_may_use(store, image, S("reg.example/many:1"), &first, 1));
    EXPECT(image_may_use(store, image, S("reg.example/many:1"), &last, 1));
    image_store_close(store);
    loop_free(loop);
    EXPECT_OK(dir_remove_all(AT_FDCWD, dir, &err));
}
