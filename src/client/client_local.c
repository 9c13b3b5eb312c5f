// SPDX-License-Identifier: Apache-2.0
//
// The client on the API of this process. Reads and watches go to the store, which is the cache;
// writes go through api_do, so that controllers pass the same checks as users.
//
// Invariants: (1) done never comes from inside client_write: what api_do answers at once (no-op
// updates) is told from the loop. (2) A refusal at once is client_write's own error.
#include "client/client.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"

#include <stdlib.h>

struct local {
    struct client base;
    struct api *api;
    struct arena *arena; /* the user's strings */
    struct api_user user;
    struct str manager;
    struct list watches;
    struct list answers; /* of writes that ended at once, until the loop tells them */
    struct timer tell;
};

struct local_watch {
    struct list node;
    struct local *local;
    const struct kind *kind;
    struct watch *cursor;
    struct timer first;
    client_event_fn *fn;
    void *ctx;
};

struct local_write {
    struct list node;
    struct local *local;
    struct api_req req;
    struct arena *arena;
    client_done_fn *done;
    void *ctx;
    bool is_calling; /* api_do is on the stack */
    bool is_ended;
    struct err err;
    struct object *object; /* kept for the loop */
    const struct val *val;
};

static struct local *local_of(struct client *client)
{
    return container_of(client, struct local, base);
}

static struct store *store_of(const struct local *local)
{
    return api_config(local->api)->store;
}

static struct object *local_get(struct client *client, enum kind_id kind, struct str ns,
                                struct str name)
{
    const struct kind *row = kind_of(kind);
    auto_buf struct buf key;
    buf_init(&key, HEADER_BYTES_MAX);
    (void)buf_addf(&key, STR_FMT "/", STR_ARG(row->storage));
    if ((row->flags & KIND_NAMESPACED) != 0) {
        (void)buf_addf(&key, STR_FMT "/", STR_ARG(ns));
    }
    (void)buf_add(&key, name);
    return key.over ? NULL : store_get(store_of(local_of(client)), buf_str(&key));
}

static void local_list(struct client *client, enum kind_id kind, struct str ns,
                       bool (*each)(void *ctx, struct object *object), void *ctx)
{
    auto_arena struct arena *arena = arena_new(DECIDE_ARENA_MAX);
    struct object **objects = NULL;
    size_t count = 0;
    struct err err;
    struct str prefix = api_prefix(arena, kind_of(kind), ns);
    if (store_list(store_of(local_of(client)), prefix, 0, 0, arena, &objects, &count, &err) < 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!each(ctx, objects[i])) {
            return;
        }
    }
}

static void drain(void *ctx)
{
    struct local_watch *watch = ctx;
    struct store_event event;
    while (watch_next(watch->cursor, &event) == 1) {
        watch->fn(watch->ctx, watch->kind, event.object, event.before, event.is_delete);
    }
}

/* What exists, then a cursor from the same revision; again when the cursor fell out of the
 * window, which only a callback that blocks for 10,000 writes could bring about. */
static void start(void *ctx)
{
    struct local_watch *watch = ctx;
    auto_arena struct arena *arena = arena_new(DECIDE_ARENA_MAX);
    struct store *store = store_of(watch->local);
    struct str prefix = api_prefix(arena, watch->kind, S(""));
    struct object **objects = NULL;
    size_t count = 0;
    struct err err;
    uint64_t rev = store_rev(store);
    if (store_list(store, prefix, 0, 0, arena, &objects, &count, &err) < 0) {
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        (void)object_ref(objects[i]);
    }
    watch->cursor = store_watch(store, prefix, rev, 0, drain, watch, &err);
    for (size_t i = 0; i < count; i++) {
        watch->fn(watch->ctx, watch->kind, objects[i], NULL, /*is_delete=*/false);
        object_unref(objects[i]);
    }
}

static void local_watch(struct client *client, enum kind_id kind, client_event_fn *fn, void *ctx)
{
    struct local *local = local_of(client);
    struct local_watch *watch = xcalloc(1, sizeof(*watch));
    watch->local = local;
    watch->kind = kind_of(kind);
    watch->fn = fn;
    watch->ctx = ctx;
    list_add_tail(&local->watches, &watch->node);
    timer_start(api_config(local->api)->loop, &watch->first, 0, start, watch);
}

static void write_free(struct local_write *write)
{
    object_unref(write->object);
    arena_free(write->arena);
    free(write);
}

static void tell(struct local_write *write)
{
    bool is_ok = write->err.code == 0;
    if (write->done != NULL) {
        write->done(write->ctx, is_ok ? write->object : NULL, is_ok ? write->val : NULL,
                    is_ok ? NULL : &write->err);
    }
    write_free(write);
}

static void tell_all(void *ctx)
{
    struct local *local = ctx;
    for (struct list *node = list_take(&local->answers); node != NULL;
         node = list_take(&local->answers)) {
        tell(container_of(node, struct local_write, node));
    }
}

static void ended(struct api_req *req, const struct api_result *result)
{
    struct local_write *write = req->ctx;
    if (result->status.code != 0) {
        (void)status_to_err(&result->status, &write->err);
    } else {
        write->object = result->object == NULL ? NULL : object_ref(result->object);
        write->val = result->object == NULL && result->val != NULL ? result->val : NULL;
    }
    write->is_ended = true;
    if (write->is_calling) {
        /* val may live on api_do's stack. */
        if (write->val != NULL) {
            struct val *kept = arena_alloc(write->arena, sizeof(*kept));
            *kept = val_copy(write->arena, write->val);
            write->val = kept;
        }
        return;
    }
    list_remove(&write->node);
    tell(write);
}

static struct str own(struct arena *arena, struct str s)
{
    return s.n == 0 ? S("") : arena_dup(arena, s);
}

static void fill_request(struct local_write *write, const struct client_write *in)
{
    struct arena *arena = write->arena;
    struct api_req *req = &write->req;
    const struct val *body = NULL;
    if (in->body != NULL) {
        struct val *copy = arena_alloc(arena, sizeof(*copy));
        *copy = val_copy(arena, in->body);
        body = copy;
    }
    req->verb = in->verb;
    req->patch = in->patch;
    req->kind = kind_of(in->kind);
    req->subresource = own(arena, in->subresource);
    req->ns = own(arena, in->ns);
    req->name = own(arena, in->name);
    req->user = &write->local->user;
    req->arena = arena;
    req->done = ended;
    req->ctx = write;
    if (in->verb == VERB_PATCH) {
        req->patch_body = body;
    } else {
        req->body = body;
    }
    api_options_init(&req->opt);
    req->opt.field_manager = write->local->manager;
    req->opt.field_validation = FIELDS_IGNORE;
    req->opt.grace_seconds = in->verb == VERB_DELETE ? in->grace_seconds : -1;
    req->opt.propagation = own(arena, in->propagation);
    req->opt.precondition_uid = own(arena, in->expect_uid);
    if (in->expect_rev != 0) {
        req->opt.precondition_rv = arena_fmt(arena, "%llu", (unsigned long long)in->expect_rev);
    }
}

static int local_write(struct client *client, const struct client_write *in, client_done_fn *done,
                       void *ctx, struct err *err)
{
    struct local *local = local_of(client);
    struct local_write *write = xcalloc(1, sizeof(*write));
    write->local = local;
    write->arena = arena_new(REQUEST_ARENA_MAX);
    write->done = done;
    write->ctx = ctx;
    list_init(&write->node);
    fill_request(write, in);
    write->is_calling = true;
    api_do(local->api, &write->req);
    write->is_calling = false;
    if (!write->is_ended) {
        return 0;
    }
    if (write->err.code != 0) {
        int code = err_set(err, write->err.code, "%s", write->err.msg);
        write_free(write);
        return code;
    }
    list_add_tail(&local->answers, &write->node);
    if (!timer_is_running(&local->tell)) {
        timer_start(api_config(local->api)->loop, &local->tell, 0, tell_all, local);
    }
    return 0;
}

static const struct client_ops local_ops = {
    .get = local_get, .list = local_list, .watch = local_watch, .write = local_write};

struct client *client_local_new(struct api *api, const struct api_user *user)
{
    struct local *local = xcalloc(1, sizeof(*local));
    local->base.ops = &local_ops;
    local->api = api;
    local->arena = arena_new(HEADER_BYTES_MAX);
    local->user.name = own(local->arena, user->name);
    local->user.uid = own(local->arena, user->uid);
    struct str *groups = arena_alloc(local->arena, (user->groups_count + 1) * sizeof(*groups));
    for (size_t i = 0; i < user->groups_count; i++) {
        groups[i] = own(local->arena, user->groups[i]);
    }
    local->user.groups = groups;
    local->user.groups_count = user->groups_count;
    /* "system:kube-controller-manager" writes as "kube-controller-manager". */
    ptrdiff_t colon = str_rfind(local->user.name, ':');
    local->manager = str_sub(local->user.name, (size_t)(colon + 1), local->user.name.n);
    list_init(&local->watches);
    list_init(&local->answers);
    return &local->base;
}

void client_local_free(struct client *client)
{
    if (client == NULL) {
        return;
    }
    struct local *local = local_of(client);
    struct list *it;
    struct list *next;
    timer_stop(&local->tell);
    list_foreach (it, next, &local->watches) {
        struct local_watch *watch = container_of(it, struct local_watch, node);
        timer_stop(&watch->first);
        if (watch->cursor != NULL) {
            watch_close(watch->cursor);
        }
        free(watch);
    }
    list_foreach (it, next, &local->answers) {
        write_free(container_of(it, struct local_write, node));
    }
    arena_free(local->arena);
    free(local);
}
