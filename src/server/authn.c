// SPDX-License-Identifier: Apache-2.0
//
// Who asks, as whom, and whether they may (spec/api.md 10.1, 10.4): client certificate, bearer
// token (also as a WebSocket subprotocol), then impersonation, then RBAC. Without credentials a
// request is system:anonymous's, to whom nothing is allowed but the health paths and /version;
// credentials that are wrong are refused at once.
#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "server/internal.h"
#include "wire/http1.h"

static const struct str open_paths[] = {
    {"/healthz",  8},
    {"/livez",    6},
    {"/readyz",   7},
    {"/version",  8},
    {"/version/", 9},
};

static bool is_open_path(struct str path)
{
    for (size_t i = 0; i < ARRAY_LEN(open_paths); i++) {
        if (str_eq(path, open_paths[i])) {
            return true;
        }
    }
    return false;
}

/* The token of the subprotocol that browsers must use. It is taken out of the header: it is
 * nobody's protocol, and a proxied server must not see it. */
static struct str take_protocol_token(struct job *job, struct http_header *header)
{
    static const struct str prefix = {"base64url.bearer.authorization.k8s.io.", 38};
    struct str found = S("");
    auto_buf struct buf others;
    auto_buf struct buf token;
    buf_init(&others, HEADER_BYTES_MAX);
    buf_init(&token, HEADER_BYTES_MAX);
    for (struct str rest = header->value; rest.p != NULL;) {
        struct str protocol = str_trim(str_cut(&rest, ','));
        if (!str_starts(protocol, prefix)) {
            (void)buf_addf(&others, others.n > 0 ? ", " STR_FMT : STR_FMT, STR_ARG(protocol));
        } else if (found.n == 0 &&
                   base64url_decode(&token, str_sub(protocol, prefix.n, protocol.n)) == 0) {
            found = arena_dup(job->arena, buf_str(&token));
        }
    }
    header->value = arena_dup(job->arena, buf_str(&others));
    return found;
}

/* The token of "Authorization: Bearer …", else that of a subprotocol. */
static struct str bearer_token(struct job *job)
{
    struct str header = http_header(job->http, S("Authorization"));
    struct str scheme = str_cut(&header, ' ');
    struct str token = str_eq_nocase(scheme, S("bearer")) ? str_trim(header) : S("");
    for (size_t i = 0; i < job->http->headers_count; i++) {
        if (str_eq_nocase(job->http->headers[i].name, S("Sec-WebSocket-Protocol"))) {
            struct str other = take_protocol_token(job, &job->http->headers[i]);
            token = token.n > 0 ? token : other;
        }
    }
    return token;
}

static bool refuse_unknown(struct job *job)
{
    struct status status = plain_status(401, "Unauthorized", S("Unauthorized"));
    reply_status(job, &status);
    return false;
}

/* One check of the right to impersonate; false = replied. */
static bool may_impersonate(struct job *job, struct str group, struct str resource,
                            struct str subresource, struct str ns, struct str name)
{
    struct auth_attributes a = {.verb = S("impersonate"),
                                .group = group,
                                .resource = resource,
                                .subresource = subresource,
                                .ns = ns,
                                .name = name};
    struct str why = S("");
    if (auth_may(job->server->c.auth, job->arena, &job->user, &a, &why)) {
        return true;
    }
    struct str qualified = group.n == 0 ? resource
                                        : arena_fmt(job->arena, STR_FMT "." STR_FMT,
                                                    STR_ARG(resource), STR_ARG(group));
    struct status status =
        plain_status(403, "Forbidden",
                     arena_fmt(job->arena, STR_FMT " \"" STR_FMT "\" is forbidden: " STR_FMT,
                               STR_ARG(qualified), STR_ARG(name), STR_ARG(why)));
    status.name = name;
    status.group = group;
    status.kind = resource;
    reply_status(job, &status);
    return false;
}

static bool may_be_user(struct job *job, struct str name)
{
    static const struct str prefix = {"system:serviceaccount:", 22};
    if (str_starts(name, prefix)) {
        struct str account = str_sub(name, prefix.n, name.n);
        struct str ns = str_cut(&account, ':');
        return may_impersonate(job, S(""), S("serviceaccounts"), S(""), ns, account);
    }
    return may_impersonate(job, S(""), S("users"), S(""), S(""), name);
}

struct wanted {
    struct str name, uid;
    struct str *groups;
    size_t groups_count;
    struct val extra;
    bool is_any;
};

static void add_extra(struct job *job, struct wanted *wanted, struct str name, struct str value)
{
    auto_buf struct buf key;
    buf_init(&key, HEADER_BYTES_MAX);
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        (void)buf_addc(&key, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
    auto_buf struct buf plain;
    buf_init(&plain, HEADER_BYTES_MAX);
    struct str text =
        percent_decode(&plain, buf_str(&key), false) == 0 ? buf_str(&plain) : buf_str(&key);
    struct val *list = val_need_list(job->arena, &wanted->extra, arena_dup(job->arena, text));
    (void)val_push(job->arena, list, val_str(value));
}

static void read_wanted(struct job *job, struct wanted *wanted)
{
    static const struct str extra = {"Impersonate-Extra-", 18};
    const struct http_request *http = job->http;
    wanted->groups = arena_alloc(job->arena, (http->headers_count + 4) * sizeof *wanted->groups);
    wanted->extra = val_map();
    for (size_t i = 0; i < http->headers_count; i++) {
        struct str name = http->headers[i].name;
        struct str value = http->headers[i].value;
        if (str_eq_nocase(name, S("Impersonate-User"))) {
            wanted->name = value;
        } else if (str_eq_nocase(name, S("Impersonate-Uid"))) {
            wanted->uid = value;
        } else if (str_eq_nocase(name, S("Impersonate-Group"))) {
            wanted->groups[wanted->groups_count++] = value;
        } else if (name.n > extra.n && str_eq_nocase(str_sub(name, 0, extra.n), extra)) {
            add_extra(job, wanted, str_sub(name, extra.n, name.n), value);
        } else {
            continue;
        }
        wanted->is_any = true;
    }
}

static bool may_have_extras(struct job *job, const struct wanted *wanted)
{
    for (size_t i = 0; i < val_count(&wanted->extra); i++) {
        const struct member *m = &wanted->extra.members[i];
        for (size_t k = 0; k < val_count(&m->val); k++) {
            if (!may_impersonate(job, S("authentication.k8s.io"), S("userextras"), m->key, S(""),
                                 val_text(val_at(&m->val, k)))) {
                return false;
            }
        }
    }
    return true;
}

/* A service account that is impersonated without groups gets its own. */
static void add_implied_groups(struct job *job, struct wanted *wanted)
{
    static const struct str prefix = {"system:serviceaccount:", 22};
    if (wanted->groups_count == 0 && str_starts(wanted->name, prefix)) {
        struct str account = str_sub(wanted->name, prefix.n, wanted->name.n);
        struct str ns = str_cut(&account, ':');
        wanted->groups[wanted->groups_count++] = S("system:serviceaccounts");
        wanted->groups[wanted->groups_count++] =
            arena_fmt(job->arena, "system:serviceaccounts:" STR_FMT, STR_ARG(ns));
    }
    bool is_anonymous = str_eq(wanted->name, S("system:anonymous"));
    wanted->groups[wanted->groups_count++] =
        is_anonymous ? S("system:unauthenticated") : S("system:authenticated");
}

static bool impersonate(struct job *job)
{
    struct wanted wanted = {0};
    read_wanted(job, &wanted);
    if (!wanted.is_any) {
        return true;
    }
    if (wanted.name.n == 0) {
        struct status status =
            status_bad_request(job->arena, S("impersonation headers without Impersonate-User"));
        reply_status(job, &status);
        return false;
    }
    if (!may_be_user(job, wanted.name)) {
        return false;
    }
    for (size_t i = 0; i < wanted.groups_count; i++) {
        if (!may_impersonate(job, S(""), S("groups"), S(""), S(""), wanted.groups[i])) {
            return false;
        }
    }
    if (wanted.uid.n > 0 &&
        !may_impersonate(job, S("authentication.k8s.io"), S("uids"), S(""), S(""), wanted.uid)) {
        return false;
    }
    if (!may_have_extras(job, &wanted)) {
        return false;
    }
    add_implied_groups(job, &wanted);
    struct val *extra = arena_alloc(job->arena, sizeof *extra);
    *extra = wanted.extra;
    job->user = (struct api_user){.name = wanted.name,
                                  .uid = wanted.uid,
                                  .groups = wanted.groups,
                                  .groups_count = wanted.groups_count,
                                  .extra = val_count(extra) == 0 ? NULL : extra};
    return true;
}

bool authenticate(struct job *job)
{
    struct err err = {0};
    struct str token = bearer_token(job);
    if (job->http->has_client_cert) {
        job->user = auth_cert_user(job->arena, job->http->cert_name, job->http->cert_groups,
                                   job->http->cert_groups_count);
    } else if (token.n > 0) {
        if (auth_token_user(job->server->c.auth, token, job->arena, &job->user, &err) < 0) {
            return refuse_unknown(job);
        }
    } else if (job->http->has_bad_cert) {
        return refuse_unknown(job);
    } else {
        job->user = auth_anonymous();
    }
    return impersonate(job);
}

/* The name that authorization sees: of the URL, or the one that a field selector pins. */
static struct str authorized_name(struct job *job)
{
    struct str text = query_text(job, S("fieldSelector"));
    static const struct str pin = {"metadata.name=", 14};
    if (job->route.name.n > 0 || !str_starts(text, pin) || str_find(text, ',') >= 0) {
        return job->route.name;
    }
    struct str name = str_sub(text, pin.n, text.n);
    return str_starts(name, S("=")) ? str_sub(name, 1, name.n) : name;
}

bool authorize(struct job *job, bool is_watch)
{
    const struct route *route = &job->route;
    struct str why = S("");
    struct auth_attributes a = {
        .verb = route_rbac_verb(route, job->http->method, is_watch),
        .group = route->group,
        .resource = route->resource,
        .subresource = route->subresource,
        .ns = route->ns,
        .name = route->is_resource ? authorized_name(job) : S(""),
        .path = route->is_resource ? S("") : job->http->path,
    };
    if (is_open_path(job->http->path) ||
        auth_may(job->server->c.auth, job->arena, &job->user, &a, &why)) {
        return true;
    }
    struct status status = plain_status(403, "Forbidden", S(""));
    struct str qualified = route->group.n == 0
                               ? route->resource
                               : arena_fmt(job->arena, STR_FMT "." STR_FMT,
                                           STR_ARG(route->resource), STR_ARG(route->group));
    if (!route->is_resource) {
        status.message = arena_fmt(job->arena, "forbidden: " STR_FMT, STR_ARG(why));
    } else if (a.name.n > 0) {
        status.message = arena_fmt(job->arena, STR_FMT " \"" STR_FMT "\" is forbidden: " STR_FMT,
                                   STR_ARG(qualified), STR_ARG(a.name), STR_ARG(why));
    } else {
        status.message = arena_fmt(job->arena, STR_FMT " is forbidden: " STR_FMT,
                                   STR_ARG(qualified), STR_ARG(why));
    }
    status.name = a.name;
    status.group = route->group;
    status.kind = route->resource;
    reply_status(job, &status);
    return false;
}
