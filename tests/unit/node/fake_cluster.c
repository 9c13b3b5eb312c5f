// SPDX-License-Identifier: Apache-2.0
#include "fake_cluster.h"

#include "test.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake_cluster *of_client(struct client *client)
{
    return container_of(client, struct fake_cluster, client);
}

static struct fake_cluster *of_runtime(struct runtime *runtime)
{
    return container_of(runtime, struct fake_cluster, runtime);
}

static void note(struct fake_cluster *c, const char *what, struct str id)
{
    usec at = loop_now(c->loop) - c->begun;
    ptrdiff_t cut = str_find(id, '_');
    buf_addf(&c->log, "%llds %s " STR_FMT "\n", (long long)(at / USEC_PER_SEC), what,
             STR_ARG(cut < 0 ? id : str_sub(id, (size_t)cut + 1, id.n)));
}

/* --- client --- */

static char *object_key(enum kind_id kind, struct str ns, struct str name)
{
    return xasprintf("%02d/" STR_FMT "/" STR_FMT, (int)kind, STR_ARG(ns), STR_ARG(name));
}

struct event_op {
    struct fake_cluster *cluster;
    enum kind_id kind;
    struct object *object, *before;
    bool is_delete;
};

static void tell_now(void *ctx)
{
    struct event_op *op = ctx;
    struct fake_cluster *c = op->cluster;
    for (size_t i = 0; i < c->watches_count; i++) {
        if (c->watches[i].kind == op->kind) {
            c->watches[i].fn(c->watches[i].ctx, kind_of(op->kind), op->object, op->before,
                             op->is_delete);
        }
    }
    object_unref(op->object);
    object_unref(op->before);
    free(op);
}

static void tell(struct fake_cluster *c, enum kind_id kind, struct object *object,
                 struct object *before, bool is_delete)
{
    struct event_op *op = xcalloc(1, sizeof *op);
    *op = (struct event_op){c, kind, object_ref(object), before ? object_ref(before) : NULL,
                            is_delete};
    loop_defer(c->loop, tell_now, op);
}

static struct object *store(struct fake_cluster *c, enum kind_id kind, const struct val *v)
{
    auto_free char *key =
        object_key(kind, val_text_at(v, "metadata.namespace"), val_text_at(v, "metadata.name"));
    struct object *object = object_new(str_of(key), ++c->rev, v);
    struct object *before = map_put(&c->objects, str_of(key), object);
    tell(c, kind, object, before, false);
    object_unref(before);
    if (kind == KIND_POD) {
        struct str phase = val_text_at(v, "status.phase");
        if (!str_ends(buf_str(&c->phases), phase)) {
            buf_addf(&c->phases, " " STR_FMT, STR_ARG(phase));
        }
    }
    return object;
}

static struct object *client_get(struct client *client, enum kind_id kind, struct str ns,
                                 struct str name)
{
    auto_free char *key = object_key(kind, ns, name);
    return map_find(&of_client(client)->objects, str_of(key));
}

static void client_list(struct client *client, enum kind_id kind, struct str ns,
                        bool (*each)(void *ctx, struct object *object), void *ctx)
{
    struct fake_cluster *c = of_client(client);
    auto_free char *all = xasprintf("%02d/", (int)kind);
    for (size_t i = 0; i < c->objects.count; i++) {
        struct object *object = c->objects.entries[i].value;
        if (str_starts(c->objects.entries[i].key, str_of(all)) &&
            (ns.n == 0 || str_eq(val_text_at(object_val(object), "metadata.namespace"), ns)) &&
            !each(ctx, object)) {
            return;
        }
    }
}

static void client_watch(struct client *client, enum kind_id kind, client_event_fn *fn, void *ctx)
{
    struct fake_cluster *c = of_client(client);
    c->watches[c->watches_count++] = (struct fake_watch){kind, fn, ctx};
    auto_free char *prefix = xasprintf("%02d/", (int)kind);
    for (size_t i = 0; i < c->objects.count; i++) {
        if (str_starts(c->objects.entries[i].key, str_of(prefix))) {
            tell(c, kind, c->objects.entries[i].value, NULL, false);
        }
    }
}

struct write_op {
    struct fake_cluster *cluster;
    client_done_fn *done;
    void *ctx;
    struct object *object;
    struct err err;
};

static void write_done(void *ctx)
{
    struct write_op *op = ctx;
    if (op->done) {
        op->done(op->ctx, op->err.code ? NULL : op->object, NULL, op->err.code ? &op->err : NULL);
    }
    object_unref(op->object);
    free(op);
}

static int client_write(struct client *client, const struct client_write *w, client_done_fn *done,
                        void *ctx, struct err *err)
{
    struct fake_cluster *c = of_client(client);
    struct write_op *op = xcalloc(1, sizeof *op);
    struct object *old = client_get(client, w->kind, w->ns, w->name);
    (void)err;
    c->updates_count += w->verb == VERB_UPDATE;
    *op = (struct write_op){.cluster = c, .done = done, .ctx = ctx};
    bool is_other = old && w->expect_uid.n &&
                    !str_eq(val_text_at(object_val(old), "metadata.uid"), w->expect_uid);
    if (w->verb == VERB_DELETE && old && !is_other) {
        note(c, "delete", w->name);
        op->object = object_ref(old);
        auto_free char *key = object_key(w->kind, w->ns, w->name);
        (void)map_remove(&c->objects, str_of(key));
        tell(c, w->kind, old, old, true);
        object_unref(old);
    } else if (w->verb == VERB_UPDATE && old && !is_other) {
        op->object = object_ref(store(c, w->kind, w->body));
    } else if (w->verb == VERB_CREATE && !old) {
        op->object = object_ref(store(c, w->kind, w->body));
    } else if (w->verb == VERB_PATCH && old) {
        op->object = object_ref(old);
    } else {
        (void)err_set(&op->err,
                      is_other ? ERR_CONFLICT
                      : old    ? ERR_EXISTS
                               : ERR_NOT_FOUND,
                      "no such object, or another");
    }
    loop_defer(c->loop, write_done, op);
    return 0;
}

static const struct client_ops client_ops = {client_get, client_list, client_watch, client_write};

/* --- runtime --- */

struct runtime_op {
    struct fake_cluster *cluster;
    runtime_done_fn *done;
    runtime_exec_fn *exec_done;
    void *ctx;
    int code;
    struct err err;
    struct timer timer;
    char *id; /* of a removal that takes time, owned */
};

static void op_done(void *ctx)
{
    struct runtime_op *op = ctx;
    if (op->exec_done) {
        op->exec_done(op->ctx, op->code, S("out"), NULL);
    } else {
        op->done(op->ctx, op->err.code < 0 ? &op->err : NULL);
    }
    free(op->id);
    free(op);
}

static void finish(struct fake_cluster *c, runtime_done_fn *done, void *ctx)
{
    struct runtime_op *op = xcalloc(1, sizeof *op);
    *op = (struct runtime_op){.cluster = c, .done = done, .ctx = ctx};
    loop_defer(c->loop, op_done, op);
}

static void refuse(struct fake_cluster *c, runtime_done_fn *done, void *ctx)
{
    struct runtime_op *op = xcalloc(1, sizeof *op);
    *op = (struct runtime_op){.cluster = c, .done = done, .ctx = ctx};
    (void)err_set(&op->err, ERR_IO, "refused");
    loop_defer(c->loop, op_done, op);
}

static void container_end(struct fake_container *k, int code)
{
    struct fake_cluster *c = k->cluster;
    timer_stop(&k->timer);
    k->fact.state = CONTAINER_EXITED;
    k->fact.exit_code = code;
    k->fact.finished_wall = loop_wall(c->loop);
    note(c, "exit", k->fact.id);
    c->runtime.exited(c->runtime.exited_ctx, &k->fact);
}

static void container_due(void *ctx)
{
    struct fake_container *k = ctx;
    container_end(k, k->exit_code);
}

static void fake_create(struct runtime *rt, const struct container_config *config,
                        runtime_done_fn *done, void *ctx)
{
    struct fake_cluster *c = of_runtime(rt);
    if (c->creates_refused > 0) {
        c->creates_refused--;
        note(c, "refuse", config->id);
        refuse(c, done, ctx);
        return;
    }
    struct fake_container *k = xcalloc(1, sizeof *k);
    k->cluster = c;
    k->ends_at = c->run_for;
    k->exit_code = c->exit_code;
    k->heeds_term = c->heeds_term;
    EXPECT(map_find(&c->containers, config->id) == NULL);
    map_put(&c->containers, config->id, k);
    size_t at = map_seek(&c->containers, config->id);
    k->fact.id = c->containers.entries[at].key;
    note(c, "create", k->fact.id);
    finish(c, done, ctx);
}

static void fake_start(struct runtime *rt, struct str id, runtime_done_fn *done, void *ctx)
{
    struct fake_cluster *c = of_runtime(rt);
    struct fake_container *k = map_find(&c->containers, id);
    k->fact.state = CONTAINER_RUNNING;
    k->fact.started_wall = loop_wall(c->loop);
    note(c, "start", id);
    if (k->ends_at > 0) {
        timer_start(c->loop, &k->timer, k->ends_at, container_due, k);
    }
    finish(c, done, ctx);
}

static void fake_kill(struct runtime *rt, struct str id, int signal, runtime_done_fn *done,
                      void *ctx)
{
    struct fake_cluster *c = of_runtime(rt);
    struct fake_container *k = map_find(&c->containers, id);
    note(c, signal == SIGKILL ? "KILL" : "TERM", id);
    if (c->kills_refused > 0) {
        c->kills_refused--;
        refuse(c, done, ctx);
        return;
    }
    if (k && k->fact.state == CONTAINER_RUNNING && (signal == SIGKILL || k->heeds_term)) {
        k->exit_code = 128 + signal;
        timer_start(c->loop, &k->timer, 0, container_due, k);
    }
    finish(c, done, ctx);
}

static void remove_now(struct fake_cluster *c, struct str id)
{
    struct fake_container *k = map_remove(&c->containers, id);
    if (k) {
        EXPECT(k->fact.state != CONTAINER_RUNNING);
        timer_stop(&k->timer);
        free(k);
    }
}

static void removal_due(void *ctx)
{
    struct runtime_op *op = ctx;
    remove_now(op->cluster, str_of(op->id));
    op_done(op);
}

static void fake_runtime_remove(struct runtime *rt, struct str id, runtime_done_fn *done, void *ctx)
{
    struct fake_cluster *c = of_runtime(rt);
    if (c->removal == 0) {
        remove_now(c, id);
        finish(c, done, ctx);
        return;
    }
    struct runtime_op *op = xcalloc(1, sizeof *op);
    *op = (struct runtime_op){.cluster = c, .done = done, .ctx = ctx, .id = xstrndup(id.p, id.n)};
    timer_start(c->loop, &op->timer, c->removal, removal_due, op);
}

static void fake_exec(struct runtime *rt, struct str id, const struct val *argv, usec timeout,
                      runtime_exec_fn *done, void *ctx)
{
    struct fake_cluster *c = of_runtime(rt);
    struct runtime_op *op = xcalloc(1, sizeof *op);
    (void)argv;
    (void)timeout;
    (void)id;
    *op = (struct runtime_op){.cluster = c, .exec_done = done, .ctx = ctx, .code = c->exec_code};
    loop_defer(c->loop, op_done, op);
}

static void fake_adopt(struct runtime *rt, void (*each)(void *ctx, const struct container_fact *),
                       runtime_done_fn *done, void *ctx)
{
    struct fake_cluster *c = of_runtime(rt);
    for (size_t i = 0; i < c->containers.count; i++) {
        each(ctx, &((struct fake_container *)c->containers.entries[i].value)->fact);
    }
    finish(c, done, ctx);
}

static void fake_close(struct runtime *rt)
{
    (void)rt;
}

static const struct runtime_ops runtime_ops = {.create = fake_create,
                                               .start = fake_start,
                                               .kill = fake_kill,
                                               .remove = fake_runtime_remove,
                                               .exec = fake_exec,
                                               .adopt = fake_adopt,
                                               .close = fake_close};

/* --- the cluster --- */

void fake_init(struct fake_cluster *c)
{
    fake_init_on(c, loop_new_virtual(1700000000 * USEC_PER_SEC));
}

void fake_init_on(struct fake_cluster *c, struct loop *loop)
{
    *c = (struct fake_cluster){.client.ops = &client_ops, .heeds_term = true};
    c->runtime.ops = &runtime_ops;
    c->runtime.name = S("fake");
    c->runtime.version = S("1");
    c->loop = loop;
    rng_seed(&c->rng, 1);
    buf_init(&c->log, 1 << 20);
    buf_init(&c->phases, 1 << 16);
}

static void object_free(void *object)
{
    object_unref(object);
}

void fake_done(struct fake_cluster *c)
{
    fake_run(c, 1); /* what is under way completes */
    node_free(c->node);
    for (size_t i = 0; i < c->containers.count; i++) {
        struct fake_container *k = c->containers.entries[i].value;
        timer_stop(&k->timer);
    }
    map_done(&c->containers, free);
    map_done(&c->objects, object_free);
    buf_done(&c->log);
    buf_done(&c->phases);
    loop_free(c->loop);
}

void fake_start_node(struct fake_cluster *c)
{
    struct err err = {0};
    struct node_config config = {.loop = c->loop,
                                 .rng = &c->rng,
                                 .client = &c->client,
                                 .runtime = &c->runtime,
                                 .name = S("n1"),
                                 .cluster_dns = S("10.96.0.10"),
                                 .cluster_domain = S("cluster.local")};
    c->node = node_new(&config, &err);
    EXPECT(c->node != NULL);
    fake_run(c, USEC_PER_MS);
    c->begun = loop_now(c->loop);
}

void fake_put(struct fake_cluster *c, enum kind_id kind, const char *json)
{
    struct arena *arena = arena_new(BODY_BYTES_MAX);
    struct val v;
    struct err err = {0};
    EXPECT_OK(json_read(str_of(json), arena, NULL, &v, &err));
    (void)store(c, kind, &v);
    arena_free(arena);
}

struct object *fake_get(struct fake_cluster *c, enum kind_id kind, const char *ns, const char *name)
{
    return client_get(&c->client, kind, str_of(ns), str_of(name));
}

void fake_delete_pod(struct fake_cluster *c, const char *name, int grace)
{
    struct arena *arena = arena_new(BODY_BYTES_MAX);
    struct val v = val_copy(arena, object_val(fake_get(c, KIND_POD, "default", name)));
    val_set_path(arena, &v, "metadata.deletionTimestamp", val_str(S("2030-01-01T00:00:00Z")));
    val_set_path(arena, &v, "metadata.deletionGracePeriodSeconds", val_int(grace));
    (void)store(c, KIND_POD, &v);
    arena_free(arena);
}

void fake_remove(struct fake_cluster *c, enum kind_id kind, const char *ns, const char *name)
{
    auto_free char *key = object_key(kind, str_of(ns), str_of(name));
    struct object *object = map_remove(&c->objects, str_of(key));
    tell(c, kind, object, object, true);
    object_unref(object);
}

static void stop_now(void *ctx)
{
    *(bool *)ctx = true;
}

void fake_run(struct fake_cluster *c, usec span)
{
    struct timer timer = {0};
    bool is_over = false;
    timer_start(c->loop, &timer, span, stop_now, &is_over);
    while (!is_over && loop_turn(c->loop)) {
    }
}
