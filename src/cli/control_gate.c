// SPDX-License-Identifier: Apache-2.0
#include "cli/control_gate.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image_access.h"
#include "registry/reference.h"
#include "wire/http.h"

#include <stdlib.h>

#define IDLE_TIMEOUT (30 * USEC_PER_SEC)

struct control_gate {
    struct control_gate_config config;
    struct http_server *server;
};

static void answer(struct http_request *req, int code, const struct val *v)
{
    static const struct http_header headers[] = {
        {{"Content-Type", 12}, {"application/json", 16}}
    };
    auto_buf struct buf text;
    buf_init(&text, JSON_BYTES_MAX);
    (void)json_write(&text, v);
    http_reply(req->exchange, code, headers, ARRAY_LEN(headers), buf_str(&text));
}

static void answer_error(struct http_request *req, int code, struct str message)
{
    struct val v = val_map();
    (void)val_set(req->arena, &v, S("message"), val_str(message));
    answer(req, code, &v);
}

static int code_of(const struct err *err)
{
    return err->code == ERR_NOT_FOUND ? 404 : err->code == ERR_CONFLICT ? 409 : 422;
}

struct pod_counts {
    int64_t all;
    int64_t running;
};

static bool count_pod(void *ctx, struct object *object)
{
    struct pod_counts *counts = ctx;
    counts->all++;
    counts->running += str_eq(val_text_at(object_val(object), "status.phase"), S("Running"));
    return true;
}

static void get_status(struct control_gate *gate, struct http_request *req)
{
    struct arena *a = req->arena;
    struct pod_counts counts = {0};
    struct store_stats stats = store_stats(gate->config.store);
    gate->config.client->ops->list(gate->config.client, KIND_POD, S(""), count_pod, &counts);
    struct val v = val_map();
    (void)val_set(a, &v, S("api"), val_str(gate->config.api_address));
    (void)val_set(a, &v, S("pods"), val_int(counts.all));
    (void)val_set(a, &v, S("podsRunning"), val_int(counts.running));
    (void)val_set(a, &v, S("objects"), val_int((int64_t)stats.objects_count));
    (void)val_set(a, &v, S("revision"), val_int((int64_t)stats.rev));
    struct val *notes = val_need_list(a, &v, S("notes"));
    for (size_t i = 0; gate->config.notes != NULL && gate->config.notes[i] != NULL; i++) {
        (void)val_push(a, notes, val_str(str_of(gate->config.notes[i])));
    }
    answer(req, 200, &v);
}

struct listing {
    struct arena *arena;
    struct val *list;
};

static void list_image(void *ctx, const struct image *image)
{
    struct listing *l = ctx;
    struct val v = val_map();
    (void)val_set(l->arena, &v, S("id"), val_str(arena_dup(l->arena, image->id)));
    (void)val_set(l->arena, &v, S("bytes"), val_int((int64_t)image->bytes));
    struct val *names = val_need_list(l->arena, &v, S("names"));
    for (size_t i = 0; i < image->names_count; i++) {
        (void)val_push(l->arena, names, val_str(arena_dup(l->arena, image->names[i])));
    }
    (void)val_push(l->arena, l->list, v);
}

static void get_images(struct control_gate *gate, struct http_request *req)
{
    struct val v = val_map();
    struct listing l = {req->arena, val_need_list(req->arena, &v, S("images"))};
    image_each(gate->config.images, list_image, &l);
    answer(req, 200, &v);
}

static void on_loaded(void *ctx, const struct str *names, size_t count, const struct err *err)
{
    struct http_request *req = ctx;
    if (err != NULL) {
        answer_error(req, code_of(err), str_of(err->msg));
        return;
    }
    struct val v = val_map();
    struct val *list = val_need_list(req->arena, &v, S("names"));
    for (size_t i = 0; i < count; i++) {
        (void)val_push(req->arena, list, val_str(names[i]));
    }
    answer(req, 200, &v);
}

static void post_image(struct control_gate *gate, struct http_request *req)
{
    struct str path;
    if (!http_query(req, S("path"), 0, &path) || path.n == 0 || path.p[0] != '/') {
        answer_error(req, 400, S("path: expected an absolute path"));
        return;
    }
    image_load(gate->config.images, arena_dup(req->arena, path).p, on_loaded, req);
}

static void delete_image(struct control_gate *gate, struct http_request *req)
{
    struct str name;
    struct err err = {0};
    if (!http_query(req, S("name"), 0, &name)) {
        answer_error(req, 400, S("name: expected an image's name"));
    } else if (image_remove(gate->config.images, name, &err) < 0) {
        answer_error(req, code_of(&err), str_of(err.msg));
    } else {
        struct val v = val_map();
        answer(req, 200, &v);
    }
}

/* ---- pulls ----------------------------------------------------------------------------------- */

struct pull_call {
    struct http_request *req;
    struct image_store *images;
    struct str name;
    struct image_pull *pull; /* NULL = it is over */
};

static void write_line(struct http_request *req, const struct val *v)
{
    auto_buf struct buf text;
    buf_init(&text, STREAM_BACKLOG_MAX);
    (void)json_write(&text, v);
    (void)buf_addc(&text, '\n');
    http_stream_write(req->exchange, buf_str(&text));
}

static void on_progress(void *ctx, const struct val *progress)
{
    struct pull_call *call = ctx;
    if (http_backlog(call->req->exchange) == 0) {
        write_line(call->req, progress); /* a caller who reads slowly misses some */
    }
}

static void on_pulled(void *ctx, const struct image *image, const struct image_leave *leave,
                      const struct err *err)
{
    struct pull_call *call = ctx;
    struct arena *a = call->req->arena;
    struct val v = val_map();
    struct err failure;
    (void)leave;
    call->pull = NULL;
    /* Who may command here lets all pods use it. */
    if (err == NULL && image_allow(call->images, image, call->name, NULL, &failure) < 0) {
        err = &failure;
    }
    if (err != NULL) {
        (void)val_set(a, &v, S("message"), val_str(str_of(err->msg)));
    } else {
        struct str name = call->name;
        struct err ignored;
        (void)!reference_normalise(a, call->name, &name, &ignored);
        (void)val_set(a, &v, S("name"), val_str(name));
        (void)val_set(a, &v, S("digest"), val_str(image->digest));
        (void)val_set(a, &v, S("bytes"), val_int((int64_t)image->bytes));
    }
    write_line(call->req, &v);
    http_stream_end(call->req->exchange); /* call lives in its arena */
}

static void on_caller_gone(void *ctx)
{
    struct pull_call *call = ctx;
    if (call->pull != NULL) {
        image_pull_cancel(call->pull);
        http_stream_end(call->req->exchange);
    }
}

static void post_pull(struct control_gate *gate, struct http_request *req)
{
    static const struct http_header headers[] = {
        {{"Content-Type", 12}, {"application/json", 16}}
    };
    struct str name;
    struct val documents = val_list();
    struct err err;
    if (!http_query(req, S("name"), 0, &name) || name.n == 0) {
        answer_error(req, 400, S("name: expected an image's name"));
        return;
    }
    if (req->body.n > 0 && json_read(req->body, req->arena, NULL, &documents, &err) < 0) {
        answer_error(req, 400, str_of(err.msg));
        return;
    }
    struct pull_call *call = arena_alloc(req->arena, sizeof *call);
    call->req = req;
    call->name = name;
    call->images = gate->config.images;
    http_stream_begin(req->exchange, 200, headers, ARRAY_LEN(headers));
    http_on_closed(req->exchange, on_caller_gone, call);
    call->pull = image_pull(gate->config.images, name, &documents, on_progress, on_pulled, call);
}

static void post_prune(struct control_gate *gate, struct http_request *req)
{
    struct str all;
    struct val names;
    struct err err;
    bool is_all = http_query(req, S("all"), 0, &all) && str_eq(all, S("true"));
    if (image_prune(gate->config.images, is_all, req->arena, &names, &err) < 0) {
        answer_error(req, code_of(&err), str_of(err.msg));
        return;
    }
    struct val v = val_map();
    (void)val_set(req->arena, &v, S("names"), names);
    answer(req, 200, &v);
}

static void on_request(void *ctx, struct http_request *req)
{
    /* method, path, function */
    static const struct {
        const char *method;
        const char *path;
        void (*handle)(struct control_gate *gate, struct http_request *req);
    } routes[] = {
        {"GET",    "/status", get_status  },
        {"GET",    "/images", get_images  },
        {"POST",   "/images", post_image  },
        {"DELETE", "/images", delete_image},
        {"POST",   "/pulls",  post_pull   },
        {"POST",   "/prune",  post_prune  },
    };
    if (req->refused != 0) {
        answer_error(req, req->refused, req->why);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (str_eq(req->method, str_of(routes[i].method)) &&
            str_eq(req->path, str_of(routes[i].path))) {
            routes[i].handle(ctx, req);
            return;
        }
    }
    answer_error(req, 404, S("no such path"));
}

struct control_gate *control_gate_new(const struct control_gate_config *config, int listen_fd,
                                      struct err *err)
{
    struct control_gate *gate = xcalloc(1, sizeof *gate);
    gate->config = *config;
    struct http_server_config server = {
        .loop = config->loop, .request = on_request, .ctx = gate, .idle_timeout = IDLE_TIMEOUT};
    gate->server = http_server_new(&server);
    if (http_server_listen(gate->server, listen_fd, err) < 0) {
        control_gate_free(gate);
        return NULL;
    }
    return gate;
}

void control_gate_free(struct control_gate *gate)
{
    if (gate != NULL) {
        http_server_free(gate->server);
        free(gate);
    }
}
