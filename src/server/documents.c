// SPDX-License-Identifier: Apache-2.0
//
// Paths that are no resources: health, version, metrics, discovery, OpenAPI (spec/api.md 1).
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "server/internal.h"

#include <fcntl.h>
#include <unistd.h>

#define KUBERNETES_VERSION "v1.35.0"
#define OPENAPI_V2_TYPE    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

static void not_found(struct job *job)
{
    struct status status = status_no_route();
    reply_status(job, &status);
}

static void not_acceptable(struct job *job, struct str types)
{
    struct status status =
        plain_status(406, "NotAcceptable",
                     arena_fmt(job->arena, "only the following media types are accepted: " STR_FMT,
                               STR_ARG(types)));
    job->accept.media = MEDIA_JSON;
    reply_status(job, &status);
}

static void serve_health(struct job *job)
{
    struct server *server = job->server;
    bool is_ready_path = str_eq(job->http->path, S("/readyz"));
    bool is_ready =
        !is_ready_path || server->c.is_ready == NULL || server->c.is_ready(server->c.ctx);
    struct str what = str_sub(job->http->path, 1, job->http->path.n);
    struct str text = is_ready ? S("ok") : S("not ready");
    struct str mark = is_ready ? S("+") : S("-");
    if (query_flag(job, S("verbose")) || !is_ready) {
        text = arena_fmt(job->arena,
                         "[+]ping ok\n[" STR_FMT "]cluster %s\n" STR_FMT " check " STR_FMT "\n",
                         STR_ARG(mark), is_ready ? "ok" : "failed: not ready yet", STR_ARG(what),
                         STR_ARG(is_ready ? S("passed") : S("failed")));
    }
    reply_text(job, is_ready ? 200 : 500, S("text/plain; charset=utf-8"), text);
}

static void serve_version(struct job *job)
{
    reply_text(job, 200, S("application/json"),
               S("{\"major\":\"1\",\"minor\":\"35\",\"gitVersion\":\"" KUBERNETES_VERSION
                 "\",\"gitCommit\":\"coracle\",\"gitTreeState\":\"clean\",\"buildDate\":"
                 "\"1970-01-01T00:00:00Z\",\"goVersion\":\"c17\",\"compiler\":\"gcc\","
                 "\"platform\":\"linux/amd64\"}\n"));
}

static void serve_issuer(struct job *job)
{
    reply_text(job, 200, S("application/json"),
               auth_issuer_document(job->server->c.auth, job->server->c.address, job->arena));
}

static void serve_key_set(struct job *job)
{
    reply_text(job, 200, S("application/jwk-set+json"),
               auth_key_set(job->server->c.auth, job->arena));
}

static void add_metric(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static long resident_bytes(void)
{
    auto_buf struct buf text;
    struct err err = {0};
    int64_t pages = 0;
    buf_init(&text, 4096);
    if (file_read(AT_FDCWD, "/proc/self/statm", &text, &err) < 0) {
        return 0;
    }
    struct str rest = buf_str(&text);
    (void)str_cut(&rest, ' ');
    if (str_to_i64(str_cut(&rest, ' '), &pages) < 0) {
        return 0;
    }
    return (long)pages * sysconf(_SC_PAGESIZE);
}

static void add_object_counts(struct server *server, struct arena *arena, struct buf *out)
{
    size_t count = 0;
    const struct kind *all = kinds(&count);
    add_metric(out, "apiserver_storage_objects", "gauge", "Objects stored, by resource.");
    for (size_t i = 0; i < count; i++) {
        const struct val **list = NULL;
        size_t n = 0;
        if ((all[i].flags & KIND_VIRTUAL) == 0) {
            api_peek_list(server->c.api, &all[i], S(""), arena, &list, &n);
            struct str name = kind_qualified(&all[i]);
            (void)buf_addf(out, "apiserver_storage_objects{resource=\"" STR_FMT "\"} %zu\n",
                           STR_ARG(name), n);
        }
    }
}

static void serve_metrics(struct job *job)
{
    struct server *server = job->server;
    auto_buf struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    struct store_stats stats = store_stats(api_config(server->c.api)->store);
    add_metric(&out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    (void)buf_addf(&out, "process_resident_memory_bytes %ld\n", resident_bytes());
    add_metric(&out, "apiserver_request_total", "counter", "Requests answered.");
    for (size_t i = 0; i < server->totals.count; i++) {
        struct str code = server->totals.entries[i].key;
        struct str verb = str_cut(&code, ' ');
        const uint64_t *n = server->totals.entries[i].value;
        (void)buf_addf(&out,
                       "apiserver_request_total{verb=\"" STR_FMT "\",code=\"" STR_FMT "\"} %llu\n",
                       STR_ARG(verb), STR_ARG(code), (unsigned long long)*n);
    }
    add_metric(&out, "apiserver_registered_watchers", "gauge", "Open watches.");
    (void)buf_addf(&out, "apiserver_registered_watchers %zu\n", server->watches_count);
    add_metric(&out, "coracle_sessions", "gauge", "Open exec, attach, log and forward sessions.");
    (void)buf_addf(&out, "coracle_sessions %zu\n", server->sessions_count);
    add_metric(&out, "coracle_store_revision", "counter", "Last committed revision.");
    (void)buf_addf(&out, "coracle_store_revision %llu\n", (unsigned long long)stats.rev);
    add_metric(&out, "coracle_store_commits_total", "counter", "Journal appends.");
    (void)buf_addf(&out, "coracle_store_commits_total %llu\n",
                   (unsigned long long)stats.commits_count);
    add_metric(&out, "coracle_store_object_bytes", "gauge", "Memory of stored objects.");
    (void)buf_addf(&out, "coracle_store_object_bytes %zu\n", stats.object_bytes);
    add_metric(&out, "coracle_journal_bytes", "gauge", "Journal on disk.");
    (void)buf_addf(&out, "coracle_journal_bytes %llu\n", (unsigned long long)stats.journal_bytes);
    add_object_counts(server, job->arena, &out);
    reply_text(job, 200, S("text/plain; version=0.0.4; charset=utf-8"), buf_str(&out));
}

static void serve_roots(struct job *job)
{
    bool is_api = str_starts(job->http->path, S("/api/")) || str_eq(job->http->path, S("/api"));
    struct str root = is_api ? S("api") : S("apis");
    if (job->accept.discovery != DISCOVERY_PLAIN) {
        bool is_beta = job->accept.discovery == DISCOVERY_V2BETA1;
        struct str type =
            is_beta ? S("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList")
                    : S("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        reply_document(job, type, discovery_aggregated(root, is_beta));
        return;
    }
    struct str body =
        is_api ? discovery_api_versions(job->arena, job->server->c.address) : discovery_groups();
    reply_document(job, S("application/json"), body);
}

static struct str strip_slashes(struct str s)
{
    while (s.n > 0 && s.p[0] == '/') {
        s = str_sub(s, 1, s.n);
    }
    while (s.n > 0 && s.p[s.n - 1] == '/') {
        s = str_sub(s, 0, s.n - 1);
    }
    return s;
}

/* /api/v1, /apis/apps, /apis/apps/v1. */
static void serve_group(struct job *job)
{
    struct str rest = strip_slashes(job->http->path);
    struct str root = str_cut(&rest, '/');
    rest = rest.p == NULL ? S("") : strip_slashes(rest);
    if (rest.n == 0) {
        serve_roots(job);
        return;
    }
    bool is_version = str_eq(root, S("api")) || str_find(rest, '/') >= 0;
    struct str body = is_version ? discovery_resources(rest) : discovery_group(rest);
    if (body.n == 0) {
        not_found(job);
        return;
    }
    reply_document(job, S("application/json"), body);
}

static void serve_openapi_v2(struct job *job)
{
    job->accept = negotiate(http_header(job->http, S("Accept")), ACCEPT_OPENAPI_V2);
    if (job->accept.media == MEDIA_NONE) {
        not_acceptable(job, S("application/json, " OPENAPI_V2_TYPE));
    } else if (job->accept.media == MEDIA_OPENAPI_V2_PROTOBUF) {
        reply_document(job, S(OPENAPI_V2_TYPE), openapi_v2_protobuf());
    } else {
        reply_document(job, S("application/json"), openapi_v2_json());
    }
}

/* A document whose URL holds its hash is kept by clients for good (spec/api.md 1.5). */
static void serve_openapi_v3(struct job *job)
{
    struct str path =
        strip_slashes(str_sub(job->http->path, sizeof "/openapi/v3" - 1, job->http->path.n));
    struct str hash = S("");
    if (path.n == 0) {
        reply_document(job, S("application/json"), openapi_v3_index());
        return;
    }
    struct str body = openapi_v3(path, &hash);
    struct str asked = query_text(job, S("hash"));
    if (body.n == 0) {
        not_found(job);
        return;
    }
    if (asked.n > 0 && !str_eq(asked, hash)) {
        struct http_header location = {
            S("Location"), arena_fmt(job->arena, "/openapi/v3/" STR_FMT "?hash=" STR_FMT,
                                     STR_ARG(path), STR_ARG(hash))};
        struct http_exchange *x = job->x;
        job_end(job, 301);
        http_reply(x, 301, &location, 1, S(""));
        return;
    }
    size_t count = 0;
    struct str etag = arena_fmt(job->arena, "\"" STR_FMT "\"", STR_ARG(hash));
    struct http_header *headers = reply_headers(job, S("application/json"), &count);
    headers[count++] = (struct http_header){S("ETag"), etag};
    headers[count++] = (struct http_header){S("Vary"), S("Accept")};
    if (asked.n > 0) {
        usec year = 365 * USEC_PER_DAY;
        headers[1].value = S("public, immutable");
        headers[count++] = (struct http_header){
            S("Expires"), http_date(job->arena, loop_wall(job->server->c.loop) + year)};
    }
    bool is_same = str_eq(http_header(job->http, S("If-None-Match")), etag);
    struct http_exchange *x = job->x;
    job_end(job, is_same ? 304 : 200);
    http_reply(x, is_same ? 304 : 200, headers, count, is_same ? S("") : body);
}

bool serve_custom_kinds(struct job *job)
{
    if (!str_eq(job->route.group, S("apiextensions.k8s.io")) ||
        !str_eq(job->route.version, S("v1")) || job->verb != VERB_LIST ||
        !str_eq(job->route.resource, S("customresourcedefinitions")) || job->route.name.n > 0) {
        return false;
    }
    job->accept.media = MEDIA_JSON;
    reply_text(job, 200, S("application/json"),
               S("{\"kind\":\"CustomResourceDefinitionList\",\"apiVersion\":"
                 "\"apiextensions.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"1\"},"
                 "\"items\":[]}\n"));
    return true;
}

static void serve_index(struct job *job)
{
    reply_text(
        job, 200, S("application/json"),
        S("{\"paths\":[\"/.well-known/openid-configuration\",\"/api\",\"/api/v1\",\"/apis\",\"/"
          "healthz\",\"/livez\",\"/metrics\","
          "\"/openapi/v2\",\"/openapi/v3\",\"/openid/v1/jwks\",\"/readyz\",\"/version\"]}\n"));
}

static const struct {
    struct str path;
    bool is_prefix;
    void (*serve)(struct job *job);
} paths[] = {
    {{"/", 1},                                  false, serve_index     },
    {{"/healthz", 8},                           false, serve_health    },
    {{"/livez", 6},                             false, serve_health    },
    {{"/readyz", 7},                            false, serve_health    },
    {{"/version", 8},                           false, serve_version   },
    {{"/version/", 9},                          false, serve_version   },
    {{"/metrics", 8},                           false, serve_metrics   },
    {{"/openid/v1/jwks", 15},                   false, serve_key_set   },
    {{"/.well-known/openid-configuration", 33}, false, serve_issuer    },
    {{"/openapi/v2", 11},                       false, serve_openapi_v2},
    {{"/openapi/v3", 11},                       false, serve_openapi_v3},
    {{"/openapi/v3/", 12},                      true,  serve_openapi_v3},
    {{"/api", 4},                               false, serve_group     },
    {{"/api/", 5},                              true,  serve_group     },
    {{"/apis", 5},                              false, serve_group     },
    {{"/apis/", 6},                             true,  serve_group     },
};

void serve_path(struct job *job)
{
    bool is_read = str_eq(job->http->method, S("GET")) || str_eq(job->http->method, S("HEAD"));
    job->accept = negotiate(http_header(job->http, S("Accept")), ACCEPT_DISCOVERY);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct str path = job->http->path;
        if (!(paths[i].is_prefix ? str_starts(path, paths[i].path) : str_eq(path, paths[i].path))) {
            continue;
        }
        if (!is_read) {
            struct status status = status_method_not_allowed();
            reply_status(job, &status);
            return;
        }
        paths[i].serve(job);
        return;
    }
    not_found(job);
}
