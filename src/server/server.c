// SPDX-License-Identifier: Apache-2.0
//
// The gate's way of a request: authenticate, parse the URL, authorize, find the kind, read options
// and body, then the API, a watch or a session.
#include "server/server.h"

#include "base/mem.h"
#include "server/internal.h"

#include <stdlib.h>

static void on_done(struct api_req *req, const struct api_result *result)
{
    reply_result(req->ctx, result);
}

static bool is_namespaced(const struct kind *kind)
{
    return (kind->flags & KIND_NAMESPACED) != 0;
}

/* Whether URLs of this shape exist for the kind. */
static bool is_shape_known(const struct job *job)
{
    const struct route *route = &job->route;
    bool has_ns = route->ns.n > 0;
    if (is_namespaced(job->kind)) {
        return has_ns || route->name.n == 0;
    }
    return !has_ns || str_eq(job->kind->plural, S("namespaces"));
}

static bool allows(unsigned verbs, enum api_verb verb)
{
    return (verbs & 1U << verb) != 0;
}

static bool refuse(struct job *job, struct status status)
{
    reply_status(job, &status);
    return false;
}

static bool find_kind(struct job *job, bool is_watch)
{
    const struct route *route = &job->route;
    job->kind = kind_by_plural(route->group, route->version, route->resource);
    if (job->kind == NULL || !is_shape_known(job)) {
        return refuse(job, status_no_route());
    }
    unsigned verbs = job->kind->verbs;
    if (route->subresource.n > 0) {
        job->sub = kind_subresource(job->kind, route->subresource);
        if (job->sub == NULL) {
            return refuse(job, status_no_route());
        }
        verbs = job->sub->verbs;
    }
    if (!route_verb(route, job->http->method, is_watch, &job->verb) || !allows(verbs, job->verb) ||
        (job->verb == VERB_CREATE && is_namespaced(job->kind) && route->ns.n == 0)) {
        return refuse(job, status_method_not_allowed());
    }
    return true;
}

static void serve_session(struct job *job)
{
    if (job->server->c.sessions == NULL) {
        (void)refuse(job,
                     plain_status(501, "NotImplemented",
                                  S("this server runs no pods: no exec, logs or port-forward")));
    } else if (str_eq(job->route.subresource, S("log"))) {
        serve_log(job);
    } else if (str_eq(job->route.subresource, S("portforward"))) {
        serve_forward(job);
    } else {
        serve_remote(job);
    }
}

static void serve_api(struct job *job)
{
    job->req.verb = job->verb;
    job->req.kind = job->kind;
    job->req.subresource = job->route.subresource;
    job->req.ns = is_namespaced(job->kind) ? job->route.ns : S("");
    job->req.name = job->route.name;
    job->req.user = &job->user;
    job->req.opt = job->opt;
    job->req.arena = job->arena;
    if (job->verb == VERB_WATCH) {
        if (job->route.name.n > 0) {
            job->req.opt.field_selector =
                arena_fmt(job->arena, "metadata.name=" STR_FMT, STR_ARG(job->route.name));
            job->req.name = S("");
        }
        serve_watch(job);
        return;
    }
    job->req.done = on_done;
    job->req.ctx = job;
    api_do(job->server->c.api, &job->req);
}

static void serve_resource(struct job *job, bool is_watch)
{
    struct status status = {0};
    if ((!is_watch && serve_custom_kinds(job)) || !find_kind(job, is_watch)) {
        return;
    }
    bool is_pod = str_eq(job->kind->name, S("Pod"));
    if (str_eq(job->route.subresource, S("proxy"))) {
        serve_proxy(job);
        return;
    }
    if (route_is_session(&job->route) || (is_pod && str_eq(job->route.subresource, S("log")))) {
        serve_session(job);
        return;
    }
    job->accept = negotiate(http_header(job->http, S("Accept")), ACCEPT_OBJECTS);
    if (job->accept.media == MEDIA_NONE) {
        job->accept.media = MEDIA_JSON;
        (void)refuse(job, plain_status(406, "NotAcceptable",
                                       S("only the following media types are accepted: "
                                         "application/json, application/yaml")));
        return;
    }
    api_options_init(&job->opt);
    if (!read_body(job, &status) || !read_options(job, &status)) {
        (void)refuse(job, status);
        return;
    }
    serve_api(job);
}

static void refuse_unread(struct job *job)
{
    static const struct {
        int code;
        const char *reason;
        const char *text;
    } words[] = {
        {413, "RequestEntityTooLarge",       "Request entity too large: "       },
        {431, "RequestHeaderFieldsTooLarge", "Request header fields too large: "},
        {400, "BadRequest",                  ""                                 },
    };
    const char *reason = "BadRequest";
    const char *text = "";
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (words[i].code == job->http->refused) {
            reason = words[i].reason;
            text = words[i].text;
        }
    }
    (void)refuse(job,
                 plain_status(job->http->refused, reason,
                              arena_fmt(job->arena, "%s" STR_FMT, text, STR_ARG(job->http->why))));
}

static void on_request(void *ctx, struct http_request *request)
{
    struct server *server = ctx;
    struct job *job = xcalloc(1, sizeof *job);
    job->server = server;
    job->http = request;
    job->x = request->exchange;
    job->arena = request->arena;
    list_add_tail(&server->jobs, &job->node);
    if (request->refused != 0) {
        refuse_unread(job);
        return;
    }
    job->route = route_parse(request->path);
    bool is_watch = job->route.is_resource && query_flag(job, S("watch"));
    struct str pretty = query_text(job, S("pretty"));
    job->is_pretty = str_eq(pretty, S("1")) || str_eq(pretty, S("true"));
    (void)route_verb(&job->route, request->method, is_watch, &job->verb);
    if (!authenticate(job) || !authorize(job, is_watch)) {
        return;
    }
    if (job->route.is_resource) {
        serve_resource(job, is_watch);
    } else {
        serve_path(job);
    }
}

struct server *server_new(const struct server_config *config, struct err *err)
{
    (void)err;
    struct server *server = xcalloc(1, sizeof *server);
    server->c = *config;
    list_init(&server->jobs);
    struct http_server_config http = {
        .loop = config->loop,
        .tls = config->tls,
        .request = on_request,
        .ctx = server,
    };
    server->http = http_server_new(&http);
    return server;
}

int server_listen(struct server *server, int fd, struct err *err)
{
    return http_server_listen(server->http, fd, err);
}

void server_free(struct server *server)
{
    if (server == NULL) {
        return;
    }
    struct list *it;
    struct list *next;
    list_foreach (it, next, &server->jobs) {
        struct job *job = container_of(it, struct job, node);
        if (job->abandon != NULL) {
            job->abandon(job);
        }
    }
    http_server_free(server->http);
    /* The API still works on the rest: each frees itself when it is done. */
    list_foreach (it, next, &server->jobs) {
        container_of(it, struct job, node)->server = NULL;
    }
    map_done(&server->totals, free);
    free(server);
}
