// SPDX-License-Identifier: Apache-2.0
//
// pods/proxy and services/proxy (spec/api.md 3.9): the request goes to an address of the cluster's
// own network, with its path cut off behind "proxy". The name is [scheme:]name[:port]. A service is
// reached at an endpoint, not at its cluster IP, so headless ones are too.
#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/pod_net.h"
#include "server/internal.h"
#include "wire/http_relay.h"

#include <stdlib.h>

struct target {
    struct str name;
    struct str port; /* number or name; empty = the first one */
    struct str address;
    uint16_t number;
    bool is_tls;
};

struct proxying {
    struct job *job;
    struct http_relay *relay;
};

static struct status unavailable(struct str message)
{
    return plain_status(503, "ServiceUnavailable", message);
}

/* "web", "web:80", "https:web:443", ":web:" … */
static bool split_name(struct str text, struct target *ret)
{
    struct str parts[3];
    size_t count = 0;
    for (struct str rest = text; rest.p != NULL;) {
        if (count == ARRAY_LEN(parts)) {
            return false;
        }
        parts[count++] = str_cut(&rest, ':');
    }
    struct str scheme = count == 3 ? parts[0] : S("");
    *ret = (struct target){.name = parts[count == 3 ? 1 : 0],
                           .port = count == 1 ? S("") : parts[count - 1],
                           .is_tls = str_eq(scheme, S("https"))};
    return ret->name.n > 0 && (scheme.n == 0 || ret->is_tls || str_eq(scheme, S("http")));
}

static bool read_port(struct str text, uint16_t *ret)
{
    uint64_t number = 0;
    if (str_to_u64(text, &number) < 0 || number == 0 || number > UINT16_MAX) {
        return false;
    }
    *ret = (uint16_t)number;
    return true;
}

/* Not to ourselves, not to the link: whoever may write a status must not aim the server there. */
static bool is_proxyable(struct str address)
{
    uint32_t ip = 0;
    return ip4_parse(address, &ip) == 0 && ip >> 24 != 0 && ip >> 24 != 127 && ip >> 16 != 0xa9fe &&
           ip >> 28 < 0xe;
}

static struct status not_found(struct job *job, struct str name)
{
    return status_not_found(job->arena, job->kind, name);
}

static bool find_pod(struct job *job, struct target *target, struct status *ret)
{
    const struct val *pod = api_peek(job->server->c.api, job->kind, job->route.ns, target->name);
    if (pod == NULL) {
        *ret = not_found(job, target->name);
        return false;
    }
    const struct val *containers = val_path(pod, "spec.containers");
    target->address = val_text_at(pod, "status.podIP");
    target->number = target->is_tls ? 443 : 80;
    for (size_t i = 0; i < val_count(containers) && target->port.n == 0; i++) {
        const struct val *port = val_at(val_get(val_at(containers, i), S("ports")), 0);
        if (port != NULL) {
            target->number = (uint16_t)val_number_at(port, "containerPort", 0);
            return true;
        }
    }
    if (target->port.n > 0 && !read_port(target->port, &target->number)) {
        *ret = status_bad_request(
            job->arena,
            arena_fmt(job->arena, "invalid pod request \"" STR_FMT "\"", STR_ARG(job->route.name)));
        return false;
    }
    return true;
}

/* A number is the service's port: its name is looked for among the endpoints'. */
static bool name_port(const struct val *service, struct target *target)
{
    const struct val *ports = val_path(service, "spec.ports");
    uint16_t number = 0;
    if (!read_port(target->port, &number)) {
        return true;
    }
    for (size_t i = 0; i < val_count(ports); i++) {
        if (val_number_at(val_at(ports, i), "port", 0) == number) {
            target->port = val_text_at(val_at(ports, i), "name");
            return true;
        }
    }
    return false;
}

static bool find_address(const struct val *endpoints, struct target *target)
{
    const struct val *subsets = val_get(endpoints, S("subsets"));
    for (size_t i = 0; i < val_count(subsets); i++) {
        const struct val *address = val_at(val_get(val_at(subsets, i), S("addresses")), 0);
        const struct val *ports = val_get(val_at(subsets, i), S("ports"));
        for (size_t k = 0; k < val_count(ports) && address != NULL; k++) {
            if (str_eq(val_text_at(val_at(ports, k), "name"), target->port)) {
                target->address = val_text_at(address, "ip");
                target->number = (uint16_t)val_number_at(val_at(ports, k), "port", 0);
                return true;
            }
        }
    }
    return false;
}

static bool find_service(struct job *job, struct target *target, struct status *ret)
{
    struct api *api = job->server->c.api;
    const struct val *service = api_peek(api, job->kind, job->route.ns, target->name);
    if (service == NULL) {
        *ret = not_found(job, target->name);
    } else if (!name_port(service, target)) {
        *ret = unavailable(
            arena_fmt(job->arena, "no service port " STR_FMT " found for service \"" STR_FMT "\"",
                      STR_ARG(target->port), STR_ARG(target->name)));
    } else if (!find_address(api_peek(api, kind_of(KIND_ENDPOINTS), job->route.ns, target->name),
                             target)) {
        *ret =
            unavailable(arena_fmt(job->arena, "no endpoints available for service \"" STR_FMT "\"",
                                  STR_ARG(job->route.name)));
    } else {
        return true;
    }
    return false;
}

static bool find_target(struct job *job, struct target *target, struct status *ret)
{
    bool is_pod = job->kind == kind_of(KIND_POD);
    if (!split_name(job->route.name, target)) {
        *ret = status_bad_request(job->arena,
                                  arena_fmt(job->arena, "invalid %s request \"" STR_FMT "\"",
                                            is_pod ? "pod" : "service", STR_ARG(job->route.name)));
        return false;
    }
    if (!(is_pod ? find_pod : find_service)(job, target, ret)) {
        return false;
    }
    if (!is_proxyable(target->address)) {
        *ret = status_bad_request(job->arena, S("address not allowed"));
        return false;
    }
    return true;
}

/* The path behind "proxy", encoded anew part by part, and the query as it came. */
static struct str target_path(struct job *job)
{
    auto_buf struct buf out;
    buf_init(&out, (size_t)4 * HEADER_BYTES_MAX);
    for (struct str rest = job->route.tail; rest.p != NULL;) {
        (void)buf_addc(&out, '/');
        (void)percent_encode(&out, str_cut(&rest, '/'));
    }
    struct str query = job->http->query;
    return arena_fmt(job->arena, STR_FMT "%s" STR_FMT, STR_ARG(buf_str(&out)),
                     query.n > 0 ? "?" : "", STR_ARG(query));
}

/* Relative links of the answer need a path that ends as the other server's does. */
static bool redirect_to_slash(struct job *job)
{
    struct str path = job->http->path;
    if (job->route.tail.n > 0 || path.p[path.n - 1] == '/' || job->verb != VERB_GET) {
        return false;
    }
    struct str rest = job->http->target;
    struct str target = str_cut(&rest, '?');
    struct str query = job->http->query;
    struct http_header location = {S("Location"),
                                   arena_fmt(job->arena, STR_FMT "/%s" STR_FMT, STR_ARG(target),
                                             query.n > 0 ? "?" : "", STR_ARG(query))};
    struct http_exchange *x = job->x;
    job_end(job, 301);
    http_reply(x, 301, &location, 1, S(""));
    return true;
}

static struct job *proxying_free(struct proxying *p)
{
    struct job *job = p->job;
    job->server->sessions_count--;
    free(p);
    return job;
}

static void on_failed(void *ctx, const struct err *err)
{
    struct job *job = proxying_free(ctx);
    struct status status =
        unavailable(arena_fmt(job->arena, "error trying to reach service: %s", err->msg));
    reply_status(job, &status);
}

/* The exchange, and the arena with it, are gone already. */
static void on_over(void *ctx)
{
    job_end(proxying_free(ctx), 200);
}

static void abandon(struct job *job)
{
    struct proxying *p = job->req.ctx;
    struct http_relay *relay = p->relay;
    job_end(proxying_free(p), 200);
    http_relay_end(relay);
}

void serve_proxy(struct job *job)
{
    static const struct str secrets[] = {
        {"Authorization", 13},
        {"Impersonate-",  12},
    };
    struct target target;
    struct status status = {0};
    if (!find_target(job, &target, &status)) {
        reply_status(job, &status);
        return;
    }
    if (redirect_to_slash(job)) {
        return;
    }
    struct proxying *p = xcalloc(1, sizeof *p);
    p->job = job;
    job->req.ctx = p;
    job->abandon = abandon;
    job->server->sessions_count++;
    struct http_relay_config config = {
        .loop = job->server->c.loop,
        .host = target.address,
        .port = target.number,
        .is_tls = target.is_tls,
        .target = target_path(job),
        .secrets = secrets,
        .secrets_count = ARRAY_LEN(secrets),
        .failed = on_failed,
        .over = on_over,
        .ctx = p,
    };
    p->relay = http_relay_start(job->x, &config);
}
