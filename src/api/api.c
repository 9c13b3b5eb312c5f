// SPDX-License-Identifier: Apache-2.0
//
// The door of the verbs: checks what the kind allows and sends the request to its verb.
#include "api/api.h"

#include "api/verbs.h"
#include "base/limits.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

/* The kind table holds weak references, which don't pull a file out of a static library: these do.
 */
#define LINK(name) &strategy_##name,
static const struct strategy *const linked[] = {STRATEGIES(LINK)};
#undef LINK

struct api *api_new(const struct api_config *config)
{
    for (size_t i = 0; i < ARRAY_LEN(linked); i++) {
        assert(linked[i] != NULL);
    }
    struct api *api = xcalloc(1, sizeof(*api));
    api->config = *config;
    api->domain = xstrndup(config->cluster_domain.n == 0 ? "" : config->cluster_domain.p,
                           config->cluster_domain.n);
    api->config.cluster_domain = str_of(api->domain);
    return api;
}

static char *owned(struct str s)
{
    return xstrndup(s.n == 0 ? "" : s.p, s.n);
}

void api_free(struct api *api)
{
    if (api == NULL) {
        return;
    }
    for (size_t i = 0; i < api->handlers_count; i++) {
        union {
            const char *read;
            char *owned;
        } name = {api->handlers[i].kind_name.p}, sub = {api->handlers[i].subresource.p};
        free(name.owned);
        free(sub.owned);
    }
    free(api->handlers);
    free(api->domain);
    free(api);
}

const struct api_config *api_config(const struct api *api)
{
    return &api->config;
}

void api_options_init(struct api_options *options)
{
    *options = (struct api_options){.grace_seconds = -1};
}

void api_register(struct api *api, struct str kind_name, struct str subresource,
                  api_handler_fn *handler, void *ctx)
{
    api->handlers = xrealloc(api->handlers, (api->handlers_count + 1) * sizeof(*api->handlers));
    api->handlers[api->handlers_count++] =
        (struct handler){.kind_name = str_of(owned(kind_name)),
                         .subresource = str_of(owned(subresource)),
                         .fn = handler,
                         .ctx = ctx};
}

static const struct handler *find_handler(const struct api *api, const struct api_req *req)
{
    for (size_t i = 0; req->verb == VERB_CREATE && i < api->handlers_count; i++) {
        const struct handler *handler = &api->handlers[i];
        if (str_eq(handler->kind_name, req->kind->name) &&
            str_eq(handler->subresource, req->subresource)) {
            return handler;
        }
    }
    return NULL;
}

/* 0 when the kind serves the verb on that subresource. */
static int check_verb(const struct api_req *req, struct status *ret_status)
{
    unsigned verbs = req->kind->verbs;
    if (req->subresource.n != 0) {
        const struct subresource *sub = kind_subresource(req->kind, req->subresource);
        if (sub == NULL) {
            *ret_status = status_no_route();
            return -1;
        }
        verbs = sub->verbs;
    }
    if ((verbs & (1u << req->verb)) == 0) {
        *ret_status = status_method_not_allowed();
        return -1;
    }
    return 0;
}

static int check_options(const struct api_req *req, struct status *ret_status)
{
    struct causes causes;
    causes_init(&causes, req->arena);
    struct str field_manager = req->opt.field_manager;
    struct val shown = val_str(field_manager);
    if (field_manager.n > 128) {
        cause_add(&causes, CAUSE_TOO_LONG, S("fieldManager"), NULL,
                  S("may not be more than 128 bytes"));
    }
    for (size_t i = 0; i < field_manager.n; i++) {
        if ((unsigned char)field_manager.p[i] < 0x20 || field_manager.p[i] == 0x7f) {
            cause_add(&causes, CAUSE_INVALID, S("fieldManager"), &shown,
                      S("should only contain printable characters"));
            break;
        }
    }
    bool is_apply = req->verb == VERB_PATCH && req->patch == PATCH_APPLY;
    if (is_apply && field_manager.n == 0) {
        cause_add(&causes, CAUSE_REQUIRED, S("fieldManager"), NULL,
                  S("is required for apply patch"));
    }
    if (req->opt.is_force && !is_apply) {
        cause_add(&causes, CAUSE_FORBIDDEN, S("force"), NULL,
                  S("may not be specified for non-apply patch"));
    }
    if (causes.count == 0) {
        return 0;
    }
    struct kind options = {.group = S("meta.k8s.io"),
                           .name = req->verb == VERB_PATCH    ? S("PatchOptions")
                                   : req->verb == VERB_UPDATE ? S("UpdateOptions")
                                                              : S("CreateOptions")};
    *ret_status = status_invalid(req->arena, &options, S(""), &causes);
    return -1;
}

/* Kinds that upstream would rather not serve any more say so in each answer. */
static void warn_deprecated(struct api_req *req)
{
    if (req->kind == kind_of(KIND_ENDPOINTS)) {
        req_warn(req, S("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 "
                        "EndpointSlice"));
    }
}

void api_do(struct api *api, struct api_req *req)
{
    warn_deprecated(req);
    const struct handler *handler = find_handler(api, req);
    if (handler != NULL) {
        handler->fn(handler->ctx, api, req);
        return;
    }
    struct status status;
    if ((req->kind->flags & KIND_VIRTUAL) != 0) {
        status = req->verb == VERB_CREATE ? status_no_route() : status_method_not_allowed();
        req_fail(req, &status);
        return;
    }
    if (check_verb(req, &status) < 0 || check_options(req, &status) < 0) {
        req_fail(req, &status);
        return;
    }
    if (subresource_do(api, req)) {
        return;
    }
    switch (req->verb) {
    case VERB_GET:
        read_get(api, req);
        return;
    case VERB_LIST:
        read_list(api, req);
        return;
    case VERB_CREATE:
        write_create(api, req);
        return;
    case VERB_UPDATE:
        write_update(api, req);
        return;
    case VERB_PATCH:
        write_patch(api, req);
        return;
    case VERB_DELETE:
        delete_one(api, req);
        return;
    case VERB_DELETE_COLLECTION:
        delete_collection(api, req);
        return;
    case VERB_WATCH: /* has a door of its own: api_watch_open */
    case VERB_COUNT:
        break;
    }
    status = status_method_not_allowed();
    req_fail(req, &status);
}

void req_done(struct api_req *req, const struct api_result *result)
{
    req->done(req, result);
}

void req_fail(struct api_req *req, const struct status *status)
{
    struct api_result result = {.status = *status, .code = status->code, .list_remaining = -1};
    req->done(req, &result);
}

void req_object(struct api_req *req, int code, struct object *object)
{
    struct api_result result = {.code = code, .object = object, .list_remaining = -1};
    req->done(req, &result);
}

void req_val(struct api_req *req, int code, const struct val *val)
{
    struct api_result result = {.code = code, .val = val, .list_remaining = -1};
    req->done(req, &result);
}

void req_warn(struct api_req *req, struct str text)
{
    if (req->warnings_count == WARNINGS_MAX) {
        return;
    }
    struct str *list = arena_alloc(req->arena, (req->warnings_count + 1) * sizeof(*list));
    if (req->warnings_count != 0) {
        memcpy(list, req->warnings, req->warnings_count * sizeof(*list));
    }
    list[req->warnings_count] = arena_dup(req->arena, text);
    req->warnings = list;
    req->warnings_count++;
}

struct val status_success(struct arena *arena, const struct kind *kind, struct str name,
                          struct str uid)
{
    struct val v = val_map();
    (void)val_set(arena, &v, S("kind"), val_str(S("Status")));
    (void)val_set(arena, &v, S("apiVersion"), val_str(S("v1")));
    (void)val_set(arena, &v, S("metadata"), val_map());
    (void)val_set(arena, &v, S("status"), val_str(S("Success")));
    if (kind != NULL) {
        struct val details = val_map();
        (void)val_set(arena, &details, S("name"), val_str(name));
        if (kind->group.n != 0) {
            (void)val_set(arena, &details, S("group"), val_str(kind->group));
        }
        (void)val_set(arena, &details, S("kind"), val_str(kind->plural));
        if (uid.n != 0) {
            (void)val_set(arena, &details, S("uid"), val_str(uid));
        }
        (void)val_set(arena, &v, S("details"), details);
    } else {
        (void)val_set(arena, &v, S("code"), val_int(201));
    }
    return v;
}

struct str api_key(struct arena *arena, const struct kind *kind, struct str ns, struct str name)
{
    if ((kind->flags & KIND_NAMESPACED) == 0) {
        return arena_fmt(arena, STR_FMT "/" STR_FMT, STR_ARG(kind->storage), STR_ARG(name));
    }
    return arena_fmt(arena, STR_FMT "/" STR_FMT "/" STR_FMT, STR_ARG(kind->storage), STR_ARG(ns),
                     STR_ARG(name));
}

struct str api_prefix(struct arena *arena, const struct kind *kind, struct str ns)
{
    if ((kind->flags & KIND_NAMESPACED) == 0 || ns.n == 0) {
        return arena_fmt(arena, STR_FMT "/", STR_ARG(kind->storage));
    }
    return arena_fmt(arena, STR_FMT "/" STR_FMT "/", STR_ARG(kind->storage), STR_ARG(ns));
}

const struct val *api_peek(struct api *api, const struct kind *kind, struct str ns, struct str name)
{
    auto_buf struct buf key;
    buf_init(&key, 4096);
    bool is_namespaced = (kind->flags & KIND_NAMESPACED) != 0;
    (void)buf_addf(&key, STR_FMT "/" STR_FMT "%s" STR_FMT, STR_ARG(kind->storage),
                   is_namespaced ? (int)ns.n : 0, ns.n == 0 ? "" : ns.p, is_namespaced ? "/" : "",
                   STR_ARG(name));
    struct object *object = key.over ? NULL : store_head(api->config.store, buf_str(&key));
    return object == NULL ? NULL : object_val(object);
}

void api_peek_list(struct api *api, const struct kind *kind, struct str ns, struct arena *arena,
                   const struct val ***ret, size_t *ret_count)
{
    struct object **objects = NULL;
    size_t count = 0;
    store_list_head(api->config.store, api_prefix(arena, kind, ns), arena, &objects, &count);
    const struct val **list = arena_alloc(arena, (count + 1) * sizeof(list[0]));
    for (size_t i = 0; i < count; i++) {
        list[i] = object_val(objects[i]);
    }
    *ret = list;
    *ret_count = count;
}
