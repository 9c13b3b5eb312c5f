// SPDX-License-Identifier: Apache-2.0
//
// Watches (spec/api.md 3.3): what comes, in which order, under which selector.
#include "bench.h"

#include <stdio.h>

struct seen {
    struct api_watch *watch;
    struct buf text; /* "+a ~a -a *" : added, modified, deleted, bookmark; "!" the end bookmark */
    int wakes;
    int code;
};

static void drain(struct seen *seen)
{
    static const char signs[] = {'+', '~', '-', '*', 'E'};
    struct api_event event;
    while (api_watch_next(seen->watch, &event) == 1) {
        struct str name =
            event.object != NULL ? val_text_at(object_val(event.object), "metadata.name") : S("");
        (void)buf_addf(&seen->text, "%s%c" STR_FMT, seen->text.n == 0 ? "" : " ",
                       event.is_initial_end ? '!' : signs[event.type], STR_ARG(name));
        if (event.object != NULL) {
            uint64_t rev = 0;
            EXPECT_INT(0,
                       str_to_u64(val_text_at(object_val(event.object), "metadata.resourceVersion"),
                                  &rev));
            EXPECT_INT(rev, event.rev);
        }
        if (event.type == API_ERROR) {
            seen->code = event.status.code;
            return;
        }
    }
}

static void woken(void *ctx)
{
    struct seen *seen = ctx;
    seen->wakes++;
    drain(seen);
}

static struct status open_watch(struct api_bench *b, struct seen *seen, struct api_options opt)
{
    struct arena *arena = arena_new(1 << 20);
    struct api_req req = {.verb = VERB_WATCH,
                          .kind = kind_of(KIND_CONFIG_MAP),
                          .ns = S("default"),
                          .arena = arena,
                          .opt = opt};
    struct status status = {0};
    *seen = (struct seen){0};
    buf_init(&seen->text, 1 << 16);
    seen->watch = api_watch_open(b->api, &req, woken, seen, &status);
    if (seen->watch == NULL) {
        status.message = arena_dup(b->arena, status.message);
    }
    arena_free(arena);
    return status;
}

static void close_watch(struct seen *seen)
{
    api_watch_close(seen->watch);
    buf_done(&seen->text);
}

static uint64_t put(struct api_bench *b, const char *name, const char *tier)
{
    char body[200];
    snprintf(body, sizeof(body), "{'metadata':{'name':'%s','labels':{'tier':'%s'}}}", name, tier);
    struct ask in = {.verb = VERB_CREATE, .kind = KIND_CONFIG_MAP, .ns = "default", .body = body};
    struct answer got = ask(b, in);
    if (got.code == 409) {
        in.verb = VERB_UPDATE;
        in.name = name;
        got = ask(b, in);
    }
    uint64_t rev = 0;
    EXPECT_INT(0, str_to_u64(val_text_at(&got.val, "metadata.resourceVersion"), &rev));
    return rev;
}

static void gone(struct api_bench *b, const char *name)
{
    EXPECT(ask(b,
               (struct ask){
                   .verb = VERB_DELETE, .kind = KIND_CONFIG_MAP, .ns = "default", .name = name})
               .is_deleted);
}

TEST(watch_starts_with_what_exists)
{
    struct api_bench b;
    bench_open(&b);
    (void)put(&b, "a", "x");
    struct seen seen;
    struct api_options opt;
    api_options_init(&opt);
    EXPECT_INT(0, open_watch(&b, &seen, opt).code);
    EXPECT_INT(0, seen.wakes);
    bench_settle(&b);
    EXPECT_STR("+a", buf_str(&seen.text));
    (void)put(&b, "b", "x");
    (void)put(&b, "a", "y");
    gone(&b, "a");
    EXPECT_STR("+a +b ~a -a", buf_str(&seen.text));
    close_watch(&seen);
    bench_close(&b);
}

TEST(watch_resumes_after_a_revision)
{
    struct api_bench b;
    bench_open(&b);
    uint64_t rev = put(&b, "a", "x");
    (void)put(&b, "b", "x");
    struct seen seen;
    struct api_options opt;
    api_options_init(&opt);
    char text[30];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)rev);
    opt.resource_version = str_of(text);
    EXPECT_INT(0, open_watch(&b, &seen, opt).code);
    bench_settle(&b);
    drain(&seen);
    EXPECT_STR("+b", buf_str(&seen.text));
    close_watch(&seen);
    opt.resource_version = S("99999");
    EXPECT_INT(504, open_watch(&b, &seen, opt).code);
    opt.resource_version = S("x");
    EXPECT_INT(400, open_watch(&b, &seen, opt).code);
    opt.resource_version = S("");
    opt.label_selector = S("a in");
    EXPECT_INT(400, open_watch(&b, &seen, opt).code);
    bench_close(&b);
}

TEST(selectors_turn_changes_into_comings_and_goings)
{
    struct api_bench b;
    bench_open(&b);
    struct seen seen;
    struct api_options opt;
    api_options_init(&opt);
    opt.label_selector = S("tier=x");
    EXPECT_INT(0, open_watch(&b, &seen, opt).code);
    (void)put(&b, "a", "y"); /* outside */
    (void)put(&b, "a", "x"); /* enters */
    (void)put(&b, "a", "y"); /* leaves */
    gone(&b, "a");           /* outside */
    (void)put(&b, "b", "x");
    gone(&b, "b");
    EXPECT_STR("+a -a +b -b", buf_str(&seen.text));
    close_watch(&seen);
    bench_close(&b);
}

TEST(watch_list_ends_its_first_part)
{
    struct api_bench b;
    bench_open(&b);
    (void)put(&b, "a", "x");
    struct seen seen;
    struct api_options opt;
    api_options_init(&opt);
    opt.has_initial_events = true;
    opt.wants_initial_events = true;
    struct status status = open_watch(&b, &seen, opt);
    EXPECT_STR("ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
               "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
               status.message);
    opt.rv_match = S("NotOlderThan");
    opt.has_bookmarks = true;
    EXPECT_INT(0, open_watch(&b, &seen, opt).code);
    bench_settle(&b);
    (void)put(&b, "b", "x");
    EXPECT_STR("+a ! +b", buf_str(&seen.text));
    api_watch_bookmark(seen.watch);
    drain(&seen);
    EXPECT_STR("+a ! +b *", buf_str(&seen.text));
    close_watch(&seen);
    bench_close(&b);
}
