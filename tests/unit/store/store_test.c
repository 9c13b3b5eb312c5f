// SPDX-License-Identifier: Apache-2.0
//
// The store's invariants over each journal, on the virtual loop.
#include "test.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "store/journal.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    struct loop *loop;
    struct journal_disk *disk; /* NULL: SQLite at path */
    char dir[32];
    char *path;
    struct store *store;
    struct arena *arena;
    struct buf log; /* what done callbacks saw */
    unsigned wakes_count;
};

static void world_open(struct world *w)
{
    struct err err = {0};
    struct journal *journal =
        w->disk != NULL ? journal_open_disk(w->disk) : journal_open_sqlite(w->path, &err);
    EXPECT_OK(journal == NULL ? err.code : 0);
    w->store = store_open(w->loop, journal, &err);
    EXPECT_OK(w->store == NULL ? err.code : 0);
}

static void settle(struct world *w)
{
    while (loop_turn(w->loop)) {
    }
}

static void world_restart(struct world *w)
{
    store_close(w->store);
    settle(w);
    world_open(w);
}

static void world_init(struct world *w, bool is_sqlite)
{
    *w = (struct world){.loop = loop_new_virtual(0), .arena = arena_new(64 << 20)};
    buf_init(&w->log, 1 << 20);
    if (is_sqlite) {
        memcpy(w->dir,
               "/tmp/store-test-"
               "XX"
               "XX"
               "XX",
               sizeof "/tmp/store-test-"
                      "XX"
                      "XX"
                      "XX");
        EXPECT(mkdtemp(w->dir) != NULL);
        w->path = xasprintf("%s/journal", w->dir);
    } else {
        w->disk = journal_disk_new();
    }
    world_open(w);
}

static void world_done(struct world *w)
{
    store_close(w->store);
    settle(w);
    loop_free(w->loop);
    journal_disk_free(w->disk);
    if (w->path != NULL) {
        (void)unlink(w->path);
        (void)rmdir(w->dir);
    }
    free(w->path);
    arena_free(w->arena);
    buf_done(&w->log);
}

static void on_done(void *ctx, struct object *object, const struct err *err)
{
    struct world *w = ctx;
    if (err != NULL) {
        (void)buf_addf(&w->log, "%s;", err_name(err->code));
    } else {
        (void)buf_addf(&w->log, STR_FMT "@%" PRIu64 ";", STR_ARG(object->key), object->rev);
    }
}

static int put(struct world *w, const char *key, const char *json, uint64_t expect, int flags)
{
    struct err err = {0};
    struct val v;
    EXPECT_OK(json_read(str_of(json), w->arena, NULL, &v, &err));
    return store_put(w->store, str_of(key), &v, expect, flags, on_done, w, &err);
}

static int del(struct world *w, const char *key, uint64_t expect)
{
    struct err err = {0};
    return store_delete(w->store, str_of(key), NULL, expect, on_done, w, &err);
}

static struct str text_of(struct world *w, const char *key)
{
    struct object *object = store_get(w->store, str_of(key));
    return object == NULL ? S("-") : arena_dup(w->arena, object_json(object, OBJECT_JSON_SOON));
}

/* "a@2=1;b@3=2;": key, revision and the number in .n. */
static struct str list_text(struct world *w, const char *prefix, uint64_t rev, bool is_head)
{
    struct object **objects;
    size_t count;
    struct err err = {0};
    if (is_head) {
        store_list_head(w->store, str_of(prefix), w->arena, &objects, &count);
    } else if (store_list(w->store, str_of(prefix), rev, 0, w->arena, &objects, &count, &err) < 0) {
        return str_of(err_name(err.code));
    }
    struct str text = S("");
    for (size_t i = 0; i < count; i++) {
        text = arena_fmt(w->arena, STR_FMT STR_FMT "@%" PRIu64 "=%" PRId64 ";", STR_ARG(text),
                         STR_ARG(objects[i]->key), objects[i]->rev,
                         val_number_at(object_val(objects[i]), "n", -1));
    }
    return text;
}

/* Runs body over both journals. */
#define STORE_TEST(name)                                                                           \
    static void body_##name(struct world *w);                                                      \
    TEST(name)                                                                                     \
    {                                                                                              \
        for (int kind = 0; kind < 2; kind++) {                                                     \
            struct world w;                                                                        \
            world_init(&w, kind == 1);                                                             \
            body_##name(&w);                                                                       \
            world_done(&w);                                                                        \
        }                                                                                          \
    }                                                                                              \
    static void body_##name(struct world *w)

STORE_TEST(store_writes_complete_in_order_and_durable)
{
    EXPECT_INT(1, store_rev(w->store));
    EXPECT_INT(0, put(w, "pods/a/x", "{\"n\":1}", 0, 0));
    EXPECT_INT(0, put(w, "pods/a/y", "{\"n\":2,\"metadata\":{\"name\":\"y\"}}", 0, 0));
    EXPECT(store_get(w->store, S("pods/a/x")) == NULL); /* (2) */
    EXPECT(store_head(w->store, S("pods/a/x")) != NULL);
    EXPECT_STR("", buf_str(&w->log));
    settle(w);
    EXPECT_STR("pods/a/x@2;pods/a/y@3;", buf_str(&w->log));
    EXPECT_STR("{\"metadata\":{\"resourceVersion\":\"2\"},\"n\":1}", text_of(w, "pods/a/x"));
    EXPECT_STR("{\"metadata\":{\"name\":\"y\",\"resourceVersion\":\"3\"},\"n\":2}",
               text_of(w, "pods/a/y"));
    EXPECT_INT(1, store_stats(w->store).commits_count); /* (3) */
    world_restart(w);
    EXPECT_STR("{\"metadata\":{\"name\":\"y\",\"resourceVersion\":\"3\"},\"n\":2}",
               text_of(w, "pods/a/y"));
    EXPECT(store_rev(w->store) > 3); /* (1) */
    EXPECT_INT(3, store_get(w->store, S("pods/a/y"))->rev);
    EXPECT_INT(2, store_stats(w->store).objects_count);
    EXPECT(store_stats(w->store).journal_bytes > 0);
}

STORE_TEST(store_checks_against_the_head)
{
    EXPECT_INT(0, put(w, "k/a", "{\"n\":1}", 0, 0));
    EXPECT_INT(ERR_EXISTS, put(w, "k/a", "{}", 0, 0)); /* (4) */
    EXPECT_INT(ERR_CONFLICT, put(w, "k/a", "{}", 7, 0));
    EXPECT_INT(ERR_NOT_FOUND, put(w, "k/b", "{}", 7, 0));
    EXPECT_INT(ERR_NOT_FOUND, del(w, "k/b", STORE_ANY));
    EXPECT_INT(ERR_INVALID, put(w, "k/b", "[]", 0, 0));
    EXPECT_INT(0, put(w, "k/a", "{\"n\":2}", 2, 0));
    EXPECT_INT(ERR_CONFLICT, del(w, "k/a", 2));
    EXPECT_INT(0, del(w, "k/a", 3));
    EXPECT(store_head(w->store, S("k/a")) == NULL);
    EXPECT_INT(0, put(w, "k/a", "{\"n\":3}", 0, 0));
    settle(w);
    EXPECT_STR("k/a@2;k/a@3;k/a@4;k/a@5;", buf_str(&w->log));
    EXPECT_STR("k/a@5=3;", list_text(w, "k/", 0, false));
    world_restart(w);
    EXPECT_STR("k/a@5=3;", list_text(w, "k/", 0, false));
}

STORE_TEST(store_lists_the_past_and_the_head)
{
    EXPECT_INT(0, put(w, "p/a", "{\"n\":1}", 0, 0));
    EXPECT_INT(0, put(w, "p/b", "{\"n\":1}", 0, 0));
    EXPECT_INT(0, put(w, "q/z", "{\"n\":1}", 0, 0));
    EXPECT_INT(0, put(w, "p/a", "{\"n\":2}", STORE_ANY, 0));
    EXPECT_INT(0, del(w, "p/b", STORE_ANY));
    EXPECT_INT(0, put(w, "p/c", "{\"n\":1}", 0, 0));
    EXPECT_INT(0, put(w, "p/b", "{\"n\":9}", 0, 0));
    EXPECT_STR("p/a@5=2;p/b@8=9;p/c@7=1;", list_text(w, "p/", 0, true));
    EXPECT_STR("", list_text(w, "p/", 0, false));
    settle(w);
    static const char *const at[] = {"",
                                     "",
                                     "p/a@2=1;",
                                     "p/a@2=1;p/b@3=1;",
                                     "p/a@2=1;p/b@3=1;",
                                     "p/a@5=2;p/b@3=1;",
                                     "p/a@5=2;",
                                     "p/a@5=2;p/c@7=1;",
                                     "p/a@5=2;p/b@8=9;p/c@7=1;"};
    for (uint64_t rev = 1; rev < ARRAY_LEN(at); rev++) {
        EXPECT_STR(at[rev], list_text(w, "p/", rev, false));
    }
    EXPECT_STR("AGAIN", list_text(w, "p/", 9, false));
    EXPECT_STR("q/z@4=1;", list_text(w, "q/", 0, false));
    EXPECT_INT(0, del(w, "p/a", STORE_ANY));
    EXPECT_STR("p/b@8=9;p/c@7=1;", list_text(w, "p/", 0, true));
    settle(w);
    world_restart(w);
    for (uint64_t rev = 1; rev < ARRAY_LEN(at); rev++) {
        EXPECT_STR(at[rev], list_text(w, "p/", rev, false));
    }
    EXPECT_STR("p/b@8=9;p/c@7=1;", list_text(w, "p/", 0, false));
}

STORE_TEST(store_volatile_writes_skip_the_disk)
{
    EXPECT_INT(0, put(w, "d/a", "{}", 0, 0));
    settle(w);
    uint64_t commits = store_stats(w->store).commits_count;
    for (int i = 0; i < 100; i++) {
        EXPECT_INT(0, put(w, "events/a", "{\"n\":1}", STORE_ANY, STORE_VOLATILE));
        settle(w);
    }
    EXPECT_INT(commits, store_stats(w->store).commits_count);
    EXPECT_INT(102, store_rev(w->store));
    buf_clear(&w->log);
    EXPECT_INT(0, put(w, "events/b", "{}", 0, STORE_VOLATILE));
    EXPECT_INT(0, put(w, "d/b", "{}", 0, 0));
    EXPECT_INT(0, put(w, "events/c", "{}", 0, STORE_VOLATILE));
    EXPECT_INT(0, del(w, "events/a", STORE_ANY));
    EXPECT_INT(0, put(w, "d/a", "{\"n\":5}", STORE_ANY, STORE_VOLATILE)); /* durable stays so */
    settle(w);
    EXPECT_STR("events/b@103;d/b@104;events/c@105;events/a@106;d/a@107;", buf_str(&w->log));
    world_restart(w);
    EXPECT_STR("", list_text(w, "events/", 0, false));
    EXPECT_STR("d/a@107=5;d/b@104=-1;", list_text(w, "d/", 0, false));
    EXPECT(store_rev(w->store) > 107);
}

STORE_TEST(store_revisions_never_repeat_over_crashes)
{
    uint64_t highest = 0;
    for (int life = 0; life < 4; life++) {
        EXPECT(store_rev(w->store) >= highest);
        for (int i = 0; i < 12000; i++) {
            EXPECT_INT(0, put(w, "events/a", "{}", STORE_ANY, STORE_VOLATILE));
            (void)loop_turn(w->loop);
        }
        settle(w);
        EXPECT(store_rev(w->store) >= highest + 12000);
        EXPECT(store_stats(w->store).commits_count <= 4);
        highest = store_rev(w->store);
        world_restart(w);
        buf_clear(&w->log);
        w->log.over = false;
    }
}

STORE_TEST(store_close_without_flush_loses_only_the_unacknowledged)
{
    EXPECT_INT(0, put(w, "k/a", "{\"n\":1}", 0, 0));
    settle(w);
    EXPECT_INT(0, put(w, "k/a", "{\"n\":2}", STORE_ANY, 0));
    EXPECT_INT(0, put(w, "k/b", "{\"n\":2}", 0, 0));
    world_restart(w);
    EXPECT_STR("k/a@2=1;", list_text(w, "k/", 0, false));
    EXPECT_STR("k/a@2;", buf_str(&w->log));
    EXPECT_INT(0, put(w, "k/b", "{\"n\":3}", 0, 0));
    store_flush(w->store);
    EXPECT(store_get(w->store, S("k/b")) != NULL);
    world_restart(w);
    EXPECT(store_get(w->store, S("k/b")) != NULL);
}

static void chain(void *ctx, struct object *object, const struct err *err)
{
    struct world *w = ctx;
    on_done(ctx, object, err);
    if (err == NULL && object->rev < 5) {
        EXPECT_INT(object->rev, store_get(w->store, object->key)->rev);
        struct err put_err = {0};
        EXPECT_INT(0, store_put(w->store, object->key, object_val(object), object->rev, 0, chain, w,
                                &put_err));
    }
}

STORE_TEST(store_done_may_propose_again)
{
    struct err err = {0};
    struct val v = val_map();
    EXPECT_INT(0, store_put(w->store, S("k/a"), &v, 0, 0, chain, w, &err));
    settle(w);
    EXPECT_STR("k/a@2;k/a@3;k/a@4;k/a@5;", buf_str(&w->log));
    EXPECT_INT(4, store_stats(w->store).commits_count);
}

static void on_wake(void *ctx)
{
    struct world *w = ctx;
    w->wakes_count++;
}

static struct str watch_text(struct world *w, struct watch *watch)
{
    struct store_event event;
    struct str text = S("");
    int result;
    while ((result = watch_next(watch, &event)) == 1) {
        text = arena_fmt(w->arena, STR_FMT "%s" STR_FMT "@%" PRIu64 ";", STR_ARG(text),
                         event.is_delete        ? "-"
                         : event.before == NULL ? "+"
                                                : "~",
                         STR_ARG(event.object->key), event.rev);
        EXPECT_INT(event.rev, event.object->rev);
    }
    return result == 0 ? text : str_of(err_name(result));
}

STORE_TEST(watches_get_every_event_once)
{
    struct err err = {0};
    struct watch *watch = store_watch(w->store, S("p/"), 1, 0, on_wake, w, &err);
    EXPECT(watch != NULL);
    EXPECT_INT(0, put(w, "p/a", "{\"n\":1}", 0, 0));
    EXPECT_INT(0, put(w, "q/a", "{\"n\":1}", 0, 0));
    EXPECT_STR("", watch_text(w, watch)); /* (2) */
    settle(w);
    EXPECT_INT(1, w->wakes_count);
    EXPECT_INT(0, put(w, "p/a", "{\"n\":2}", STORE_ANY, 0));
    EXPECT_INT(0, del(w, "p/a", STORE_ANY));
    settle(w);
    EXPECT_INT(1, w->wakes_count); /* not drained: not told again */
    EXPECT_STR("+p/a@2;~p/a@4;-p/a@5;", watch_text(w, watch));
    EXPECT_INT(5, watch_rev(watch));
    EXPECT_INT(0, put(w, "q/a", "{\"n\":3}", STORE_ANY, 0));
    settle(w);
    EXPECT_INT(1, w->wakes_count);
    EXPECT_INT(6, watch_rev(watch));
    struct watch *late = store_watch(w->store, S("p/"), 2, 0, on_wake, w, &err);
    EXPECT_INT(0, put(w, "p/z", "{}", 0, 0));
    settle(w);
    EXPECT_INT(3, w->wakes_count);
    EXPECT_STR("~p/a@4;-p/a@5;+p/z@7;", watch_text(w, late));
    EXPECT_STR("+p/z@7;", watch_text(w, watch));
    EXPECT_INT(0, put(w, "p/z", "{}", STORE_ANY, 0));
    store_flush(w->store);
    watch_close(late); /* told, but closed before the deferred call */
    settle(w);
    EXPECT_INT(4, w->wakes_count);
    watch_close(watch);
    EXPECT(store_watch(w->store, S("p/"), 99, 0, on_wake, w, &err) == NULL);
    EXPECT_INT(ERR_AGAIN, err.code);
}

/* What a watch of prefix from each revision up to last gives, and the objects of its events. */
static struct str watches_text(struct world *w, const char *prefix, uint64_t last)
{
    struct str text = S("");
    for (uint64_t after = 0; after <= last; after++) {
        struct err err = {0};
        struct watch *watch = store_watch(w->store, str_of(prefix), after, 0, on_wake, w, &err);
        struct store_event event;
        EXPECT_OK(watch == NULL ? err.code : 0);
        while (watch_next(watch, &event) == 1) {
            struct str before =
                event.before == NULL ? S("-") : object_json(event.before, OBJECT_JSON_SOON);
            text = arena_fmt(w->arena, STR_FMT "%" PRIu64 "%s" STR_FMT " " STR_FMT " " STR_FMT "\n",
                             STR_ARG(text), event.rev, event.is_delete ? " deleted " : " ",
                             STR_ARG(event.object->key),
                             STR_ARG(object_json(event.object, OBJECT_JSON_SOON)), STR_ARG(before));
        }
        watch_close(watch);
    }
    return text;
}

STORE_TEST(watches_go_on_over_restarts)
{
    struct err err = {0};
    struct val last = val_map();
    (void)val_set(w->arena, &last, S("last"), val_int(7));
    EXPECT_INT(0, put(w, "p/a", "{\"n\":1}", 0, 0));
    EXPECT_INT(0, put(w, "p/b", "{\"n\":1}", 0, 0));
    settle(w);
    EXPECT_INT(0, put(w, "p/a", "{\"n\":2}", STORE_ANY, 0));
    EXPECT_INT(0, put(w, "events/a", "{}", 0, STORE_VOLATILE));
    EXPECT_INT(0, store_delete(w->store, S("p/a"), &last, 4, on_done, w, &err));
    EXPECT_INT(0, put(w, "p/a", "{\"n\":3}", 0, 0));
    EXPECT_INT(0, del(w, "p/b", STORE_ANY));
    EXPECT_INT(0, put(w, "q/c", "{}", 0, 0));
    settle(w);
    EXPECT_INT(9, store_rev(w->store));
    struct str before = watches_text(w, "p/", 9);
    EXPECT(str_search(before, S("6 deleted p/a {\"last\":7")) > 0);
    for (int life = 0; life < 3; life++) {
        world_restart(w);
        EXPECT_STR(before.p, watches_text(w, "p/", 9));
        EXPECT_STR("p/a@7=3;", list_text(w, "p/", 0, false));
        EXPECT_STR("p/a@4=2;p/b@3=1;", list_text(w, "p/", 5, false));
    }
    /* Of what was volatile a watch knows only its own life. */
    EXPECT(store_watch(w->store, S("events/"), 5, STORE_VOLATILE, on_wake, w, &err) == NULL);
    EXPECT_INT(ERR_GONE, err.code);
    uint64_t start = store_rev(w->store);
    EXPECT(start > 10000);
    EXPECT(store_watch(w->store, S("events/"), start - 1, STORE_VOLATILE, on_wake, w, &err) ==
           NULL);
    struct object **objects;
    size_t count;
    EXPECT_INT(ERR_GONE, store_list(w->store, S("events/"), start - 1, STORE_VOLATILE, w->arena,
                                    &objects, &count, &err));
    struct watch *watch =
        store_watch(w->store, S("events/"), start, STORE_VOLATILE, on_wake, w, &err);
    EXPECT(watch != NULL);
    EXPECT_INT(0, put(w, "events/a", "{}", 0, STORE_VOLATILE));
    settle(w);
    EXPECT(watch_text(w, watch).n > 0);
    watch_close(watch);
}

STORE_TEST(store_forgets_old_versions)
{
    enum { KEYS = 10, ROUNDS = 300 };
    struct err err = {0};
    EXPECT_INT(0, put(w, "still/here", "{}", 0, 0));
    uint64_t most = 0;
    for (int i = 0; i < KEYS * ROUNDS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k/%d", i % KEYS);
        if (i % 7 == 3 && store_head(w->store, str_of(key)) != NULL) {
            EXPECT_INT(0, del(w, key, STORE_ANY));
        } else {
            EXPECT_INT(0, put(w, key, "{\"n\":1}", STORE_ANY, 0));
        }
        if (i % 10 == 0) {
            settle(w);
            uint64_t bytes = w->disk == NULL ? 0 : store_stats(w->store).journal_bytes;
            most = bytes > most ? bytes : most;
        }
    }
    settle(w);
    uint64_t last = store_rev(w->store);
    struct str now = list_text(w, "k/", 0, false);
    struct str past = list_text(w, "k/", last - 1000, false);
    EXPECT(most < (uint64_t)2500 * 48);
    for (int life = 0; life < 2; life++) {
        world_restart(w);
        EXPECT_STR(now.p, list_text(w, "k/", 0, false));
        EXPECT_STR(past.p, list_text(w, "k/", last - 1000, false));
        EXPECT_STR("still/here@2=-1;", list_text(w, "still/", 0, false));
        EXPECT(store_watch(w->store, S("k/"), 2, 0, on_wake, w, &err) == NULL);
        EXPECT_INT(ERR_GONE, err.code);
    }
}

/* The second telling once put the watch behind itself, and the wakes never ended. */
STORE_TEST(watch_drained_before_its_wake_is_queued_once)
{
    struct err err = {0};
    struct watch *watch = store_watch(w->store, S("p/"), 1, 0, on_wake, w, &err);
    struct watch *other = store_watch(w->store, S("p/"), 1, 0, on_wake, w, &err);
    EXPECT_INT(0, put(w, "p/a", "{}", 0, 0));
    store_flush(w->store);
    EXPECT_STR("+p/a@2;", watch_text(w, watch));
    EXPECT_STR("+p/a@2;", watch_text(w, other));
    EXPECT_INT(0, put(w, "p/b", "{}", 0, 0));
    store_flush(w->store);
    settle(w);
    EXPECT_INT(2, w->wakes_count);
    EXPECT_STR("+p/b@3;", watch_text(w, watch));
    EXPECT_STR("+p/b@3;", watch_text(w, other));
    watch_close(watch);
    watch_close(other);
}

TEST(the_text_of_an_object_comes_back_after_a_rest)
{
    struct val v;
    struct err err = {0};
    struct arena *arena = arena_new(1 << 16);
    EXPECT_OK(json_read(S("{\"n\":1}"), arena, NULL, &v, &err));
    struct object *written = object_new(S("a/1"), 1, &v);
    struct object *listed = object_new(S("a/2"), 2, &v);
    EXPECT_STR("{\"n\":1}", object_json(written, OBJECT_JSON_SOON));
    EXPECT_STR("{\"n\":1}", object_json(listed, OBJECT_JSON_LIST));
    objects_rest();
    EXPECT(written->json.p == NULL && listed->json.p == NULL);
    EXPECT_STR("{\"n\":1}", object_json(written, OBJECT_JSON_LIST));
    object_unref(listed);
    object_unref(written);
    objects_rest(); /* nothing is left of them */
    arena_free(arena);
}

TEST(watches_that_sleep_fall_out_of_the_window)
{
    struct world w;
    world_init(&w, false);
    struct err err = {0};
    struct watch *slow = store_watch(w.store, S("p/"), 1, 0, on_wake, &w, &err);
    struct watch *other = store_watch(w.store, S("q/"), 1, 0, on_wake, &w, &err);
    for (int i = 0; i <= WATCH_WINDOW_EVENTS; i++) {
        EXPECT_INT(0, put(&w, "p/a", "{}", STORE_ANY, STORE_VOLATILE));
        (void)loop_turn(w.loop);
    }
    settle(&w);
    EXPECT_STR("GONE", watch_text(&w, slow));
    EXPECT_STR("", watch_text(&w, other));
    EXPECT_INT(0, put(&w, "q/a", "{}", 0, 0));
    settle(&w);
    EXPECT(watch_text(&w, other).n > 0);
    EXPECT_STR("GONE", list_text(&w, "p/", 2, false));
    EXPECT(store_watch(w.store, S("p/"), 2, 0, on_wake, &w, &err) == NULL);
    EXPECT_INT(ERR_GONE, err.code);
    watch_close(slow);
    world_done(&w); /* closes `other` */
}

TEST(old_versions_go_but_for_a_few)
{
    enum { VERSIONS = 200, TEXT = 64 << 10, KEPT_MAX = 2 << 20 };
    struct world w;
    world_init(&w, false);
    struct err err = {0};
    auto_buf struct buf json;
    buf_init(&json, 2 * TEXT);
    (void)buf_addf(&json, "{\"text\":\"%0*d\"}", TEXT, 0);
    for (int i = 0; i < VERSIONS; i++) {
        EXPECT_INT(0, put(&w, "p/a", json.p, STORE_ANY, STORE_VOLATILE));
        (void)loop_turn(w.loop);
    }
    EXPECT_INT(1 + VERSIONS, store_rev(w.store));
    EXPECT(store_stats(w.store).window_bytes > (size_t)(VERSIONS - 1) * TEXT);
    watch_close(store_watch(w.store, S("p/"), 1, 0, on_wake, &w, &err));
    EXPECT_INT(0, err.code);
    settle(&w); /* ten minutes */
    EXPECT(store_stats(w.store).window_bytes <= KEPT_MAX);
    EXPECT(store_stats(w.store).window_bytes > KEPT_MAX - 2 * TEXT);
    EXPECT(store_watch(w.store, S("p/"), 1, 0, on_wake, &w, &err) == NULL);
    EXPECT_INT(ERR_GONE, err.code);
    err = (struct err){0};
    watch_close(store_watch(w.store, S("p/"), VERSIONS - 8, 0, on_wake, &w, &err));
    EXPECT_INT(0, err.code);
    world_done(&w);
}

TEST(failed_appends_fail_all_that_wait)
{
    struct world w;
    world_init(&w, false);
    EXPECT_INT(0, put(&w, "k/a", "{\"n\":1}", 0, 0));
    settle(&w);
    buf_clear(&w.log);
    journal_disk_fail(w.disk, 1);
    EXPECT_INT(0, put(&w, "k/a", "{\"n\":2}", STORE_ANY, 0));
    EXPECT_INT(0, put(&w, "e/a", "{}", 0, STORE_VOLATILE));
    EXPECT_INT(0, put(&w, "k/a", "{\"n\":3}", 3, 0));
    settle(&w);
    EXPECT_STR("IO;IO;IO;", buf_str(&w.log));
    EXPECT_STR("k/a@2=1;", list_text(&w, "k/", 0, true)); /* (5) */
    EXPECT_STR("k/a@2=1;", list_text(&w, "k/", 0, false));
    EXPECT_INT(2, store_rev(w.store));
    buf_clear(&w.log);
    EXPECT_INT(0, put(&w, "k/a", "{\"n\":4}", 2, 0));
    settle(&w);
    EXPECT_STR("k/a@6;", buf_str(&w.log)); /* (1) */
    journal_disk_fail(w.disk, 1);
    EXPECT_INT(0, put(&w, "k/a", "{\"n\":5}", 6, 0));
    store_flush(w.store);
    EXPECT_STR("k/a@6;IO;", buf_str(&w.log));
    world_done(&w);
}
