// SPDX-License-Identifier: Apache-2.0
//
// The local client keeps the promises of client.h: done from the loop only, refusals at once,
// watches without gaps.
#include "test.h"

#include "client/client.h"
#include "store/journal.h"

struct fixture {
    struct loop *loop;
    struct store *store;
    struct rng rng;
    struct api *api;
    struct client *client;
    struct arena *arena;
    struct buf seen;
    int dones;
    bool is_writing;
};

static void settle(struct fixture *f)
{
    for (int i = 0; i < 50 && loop_turn(f->loop); i++) {
    }
    store_flush(f->store);
    (void)loop_turn(f->loop);
}

static void done(void *ctx, struct object *object, const struct val *val, const struct err *err)
{
    struct fixture *f = ctx;
    EXPECT(!f->is_writing);
    EXPECT(err == NULL && (object != NULL || val != NULL));
    f->dones++;
}

static int write_cm(struct fixture *f, enum api_verb verb, const char *value, uint64_t rev,
                    struct err *err)
{
    struct val body = val_map();
    (void)val_set_path(f->arena, &body, "metadata.name", val_str(S("a")));
    (void)val_set_path(f->arena, &body, "data.k", val_str(str_of(value)));
    f->is_writing = true;
    int rc = f->client->ops->write(f->client,
                                   &(struct client_write){.verb = verb,
                                                          .kind = KIND_CONFIG_MAP,
                                                          .ns = S("default"),
                                                          .name = S("a"),
                                                          .body = &body,
                                                          .expect_rev = rev,
                                                          .grace_seconds = -1},
                                   done, f, err);
    f->is_writing = false;
    return rc;
}

static void open_fixture(struct fixture *f)
{
    struct err err;
    *f = (struct fixture){.loop = loop_new_virtual(0)};
    f->store = store_open(f->loop, journal_open_memory(), &err);
    rng_seed(&f->rng, 1);
    struct api_config config = {.loop = f->loop, .store = f->store, .rng = &f->rng};
    f->api = api_new(&config);
    f->arena = arena_new(1 << 20);
    struct api_user user = {.name = S("system:test-controller")};
    f->client = client_local_new(f->api, &user);
    buf_init(&f->seen, 1 << 16);
    struct val ns = val_map();
    (void)val_set_path(f->arena, &ns, "metadata.name", val_str(S("default")));
    EXPECT_OK(f->client->ops->write(
        f->client,
        &(struct client_write){
            .verb = VERB_CREATE, .kind = KIND_NAMESPACE, .body = &ns, .grace_seconds = -1},
        NULL, NULL, &err));
    settle(f);
}

static void close_fixture(struct fixture *f)
{
    settle(f);
    client_local_free(f->client);
    api_free(f->api);
    store_close(f->store);
    loop_free(f->loop);
    arena_free(f->arena);
    buf_done(&f->seen);
}

TEST(writes_end_on_the_loop_or_are_refused_at_once)
{
    struct fixture f;
    struct err err;
    open_fixture(&f);
    EXPECT_OK(write_cm(&f, VERB_CREATE, "v", 0, &err));
    EXPECT_INT(0, f.dones);
    EXPECT_INT(ERR_EXISTS, write_cm(&f, VERB_CREATE, "v", 0, &err));
    settle(&f);
    EXPECT_INT(1, f.dones);
    struct object *object = f.client->ops->get(f.client, KIND_CONFIG_MAP, S("default"), S("a"));
    EXPECT_STR("test-controller",
               val_text_at(object_val(object), "metadata.managedFields.0.manager"));
    uint64_t rev = object->rev;
    EXPECT_OK(write_cm(&f, VERB_UPDATE, "v", rev, &err)); /* no-op: told from the loop */
    EXPECT_INT(1, f.dones);
    settle(&f);
    EXPECT_INT(2, f.dones);
    EXPECT_OK(write_cm(&f, VERB_UPDATE, "w", rev, &err));
    EXPECT_INT(ERR_CONFLICT, write_cm(&f, VERB_UPDATE, "x", rev, &err));
    settle(&f);
    EXPECT_INT(3, f.dones);
    close_fixture(&f);
}

static void event(void *ctx, const struct kind *kind, struct object *object, struct object *before,
                  bool is_delete)
{
    struct fixture *f = ctx;
    (void)kind;
    (void)buf_addf(&f->seen, "%s" STR_FMT,
                   is_delete        ? " -"
                   : before != NULL ? " ~"
                                    : " +",
                   STR_ARG(val_text_at(object_val(object), "data.k")));
}

static bool count_one(void *ctx, struct object *object)
{
    (void)object;
    ++*(int *)ctx;
    return true;
}

TEST(watches_tell_what_is_and_what_comes)
{
    struct fixture f;
    struct err err;
    open_fixture(&f);
    EXPECT_OK(write_cm(&f, VERB_CREATE, "1", 0, &err));
    settle(&f);
    f.client->ops->watch(f.client, KIND_CONFIG_MAP, event, &f);
    EXPECT_INT(0, f.seen.n);
    settle(&f);
    EXPECT_OK(write_cm(&f, VERB_UPDATE, "2", 0, &err));
    settle(&f);
    int count = 0;
    f.client->ops->list(f.client, KIND_CONFIG_MAP, S(""), count_one, &count);
    EXPECT_INT(1, count);
    EXPECT_OK(write_cm(&f, VERB_DELETE, "", 0, &err));
    settle(&f);
    EXPECT_STR(" +1 ~2 -2", buf_str(&f.seen));
    EXPECT(f.client->ops->get(f.client, KIND_CONFIG_MAP, S("default"), S("a")) == NULL);
    close_fixture(&f);
}
