// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include "base/limits.h"
#include "data/json.h"
#include "store/journal.h"

void bench_open(struct api_bench *bench)
{
    struct err err;
    bench->loop = loop_new_virtual(1767322985 * USEC_PER_SEC); /* 2026-01-02T03:03:05Z */
    bench->store = store_open(bench->loop, journal_open_memory(), &err);
    EXPECT(bench->store != NULL);
    rng_seed(&bench->rng, 7);
    struct api_config config = {.loop = bench->loop,
                                .store = bench->store,
                                .rng = &bench->rng,
                                .cluster_domain = S("cluster.local")};
    bench->api = api_new(&config);
    bench->arena = arena_new(REQUEST_ARENA_MAX);
    struct answer answer = ask(bench, (struct ask){.verb = VERB_CREATE,
                                                   .kind = KIND_NAMESPACE,
                                                   .body = "{'metadata':{'name':'default'}}"});
    EXPECT_INT(201, answer.code);
}

void bench_settle(struct api_bench *bench)
{
    for (int i = 0; i < 50 && loop_turn(bench->loop); i++) {
    }
    store_flush(bench->store);
    (void)loop_turn(bench->loop);
}

void bench_close(struct api_bench *bench)
{
    bench_settle(bench);
    api_free(bench->api);
    store_close(bench->store);
    loop_free(bench->loop);
    arena_free(bench->arena);
}

struct str quoted(struct arena *arena, const char *text)
{
    size_t n = strlen(text);
    char *copy = arena_alloc(arena, n + 1);
    for (size_t i = 0; i < n; i++) {
        copy[i] = text[i] == '\'' ? '"' : text[i];
    }
    return (struct str){copy, n};
}

struct asked {
    struct api_bench *bench;
    struct answer answer;
    int times;
};

static void fill(struct asked *asked, const struct val *val)
{
    auto_buf struct buf buf;
    buf_init(&buf, BODY_BYTES_MAX);
    (void)json_write(&buf, val);
    asked->answer.json = arena_dup(asked->bench->arena, buf_str(&buf));
    asked->answer.val = val_copy(asked->bench->arena, val);
}

static void done(struct api_req *req, const struct api_result *result)
{
    struct asked *asked = req->ctx;
    struct arena *arena = asked->bench->arena;
    asked->times++;
    asked->answer.code = result->code;
    asked->answer.warnings = req->warnings_count;
    asked->answer.is_deleted = result->is_deleted;
    if (result->status.code != 0) {
        asked->answer.message = arena_dup(arena, result->status.message);
        struct val status = status_val(arena, &result->status);
        fill(asked, &status);
        return;
    }
    if (result->is_list) {
        auto_buf struct buf names;
        buf_init(&names, BODY_BYTES_MAX);
        for (size_t i = 0; i < result->list_count; i++) {
            (void)buf_addf(&names, "%s" STR_FMT, i == 0 ? "" : " ",
                           STR_ARG(val_text_at(object_val(result->list[i]), "metadata.name")));
        }
        asked->answer.json = arena_dup(arena, buf_str(&names));
        asked->answer.next =
            result->list_continue.n == 0 ? S("") : arena_dup(arena, result->list_continue);
        asked->answer.remaining = result->list_remaining;
        asked->answer.rev = result->list_rev;
        return;
    }
    fill(asked, result->object != NULL ? object_val(result->object) : result->val);
}

struct answer ask(struct api_bench *bench, struct ask in)
{
    struct asked asked = {.bench = bench};
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct api_req req = {.verb = in.verb,
                          .patch = in.patch,
                          .kind = kind_of(in.kind),
                          .subresource = str_of(in.sub),
                          .ns = str_of(in.ns),
                          .name = str_of(in.name),
                          .arena = arena,
                          .done = done,
                          .ctx = &asked};
    struct val body;
    struct err err;
    if (in.body != NULL) {
        EXPECT_OK(json_read(quoted(arena, in.body), arena, NULL, &body, &err));
        req.body = &body;
        req.patch_body = in.verb == VERB_PATCH ? &body : NULL;
    }
    api_options_init(&req.opt);
    req.opt.field_manager = str_of(in.manager);
    req.opt.is_force = in.is_force;
    req.opt.is_dry_run = in.is_dry_run;
    req.opt.field_validation = in.fields == ASK_STRICT   ? FIELDS_STRICT
                               : in.fields == ASK_IGNORE ? FIELDS_IGNORE
                                                         : FIELDS_WARN;
    req.opt.limit = in.limit;
    req.opt.continue_token = str_of(in.next);
    req.opt.resource_version = str_of(in.rv);
    req.opt.rv_match = str_of(in.rv_match);
    req.opt.label_selector = str_of(in.labels);
    req.opt.field_selector = str_of(in.selects);
    req.opt.propagation = str_of(in.propagation);
    if (in.has_grace) {
        req.opt.grace_seconds = in.grace;
    }
    api_do(bench->api, &req);
    if (asked.times == 0) {
        bench_settle(bench);
    }
    EXPECT_INT(1, asked.times);
    arena_free(arena);
    return asked.answer;
}
