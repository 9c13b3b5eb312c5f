// SPDX-License-Identifier: Apache-2.0
//
// moscow-time: a page with the time in Moscow that counts its visits. GET / is the page, /visits
// the count as text, /metrics the same for Prometheus. The count lives in data/visits below the
// working directory (visits.h says how safe). Environment: PORT (5000), TITLE, HOSTNAME.
#include "http_server.h"
#include "page.h"
#include "visits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION "dev"
#endif

enum { PORT_DEFAULT = 5000 };

struct app {
    struct visits visits;
    const char *pod, *title;
    uint64_t pages_count, misses_count; /* since the start */
};

static void show_page(struct app *app, const struct http_request *req, struct http_reply *reply)
{
    uint64_t visit = app->visits.count + 1;
    if (!req->is_head) {
        visit = visits_add(&app->visits);
        app->pages_count++;
        reply->needs_commit = true;
    }
    page_write(reply, &(struct page){.title = app->title,
                                     .pod = app->pod,
                                     .version = VERSION,
                                     .visit = visit,
                                     .now = page_now()});
}

static void show_visits(struct app *app, const struct http_request *req, struct http_reply *reply)
{
    (void)req;
    reply->content_type = "text/plain; charset=utf-8";
    http_reply_printf(reply, "%" PRIu64 "\n", app->visits.committed);
}

static void show_metrics(struct app *app, const struct http_request *req, struct http_reply *reply)
{
    (void)req;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    http_reply_printf(reply,
                      "# HELP moscow_time_visits_total Visits counted on this volume.\n"
                      "# TYPE moscow_time_visits_total counter\n"
                      "moscow_time_visits_total %" PRIu64 "\n"
                      "# HELP moscow_time_pages_total Pages shown since the start.\n"
                      "# TYPE moscow_time_pages_total counter\n"
                      "moscow_time_pages_total %" PRIu64 "\n"
                      "# HELP moscow_time_not_found_total Requests for paths that don't exist.\n"
                      "# TYPE moscow_time_not_found_total counter\n"
                      "moscow_time_not_found_total %" PRIu64 "\n"
                      "# HELP moscow_time_build_info The version that runs.\n"
                      "# TYPE moscow_time_build_info gauge\n"
                      "moscow_time_build_info{version=\"%s\"} 1\n",
                      app->visits.committed, app->pages_count, app->misses_count, VERSION);
}

/* path, what it shows */
static const struct {
    const char *path;
    void (*show)(struct app *app, const struct http_request *req, struct http_reply *reply);
} routes[] = {
    {"/",        show_page   },
    {"/visits",  show_visits },
    {"/metrics", show_metrics},
};

static void handle(void *ctx, const struct http_request *req, struct http_reply *reply)
{
    struct app *app = ctx;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(req->path, routes[i].path) == 0) {
            routes[i].show(app, req, reply);
            return;
        }
    }
    app->misses_count++;
    reply->status = 404;
}

static bool commit(void *ctx)
{
    struct app *app = ctx;
    return visits_commit(&app->visits);
}

static const char *env_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? otherwise : value;
}

int main(void)
{
    struct app app = {.pod = env_or("HOSTNAME", "somewhere"),
                      .title = env_or("TITLE", "The time in Moscow")};
    long port = strtol(env_or("PORT", "0"), NULL, 10);
    struct http_options options = {.port = port > 0 && port < 65536 ? (uint16_t)port : PORT_DEFAULT,
                                   .pod = app.pod,
                                   .handle = handle,
                                   .commit = commit,
                                   .ctx = &app};
    if (visits_open(&app.visits, "data") < 0) {
        return 1;
    }
    (void)printf("moscow-time %s on port %u, %" PRIu64 " visits so far\n", VERSION, options.port,
                 app.visits.count);
    (void)fflush(stdout);
    int r = http_serve(&options);
    bool is_saved = visits_commit(&app.visits);
    visits_close(&app.visits);
    (void)printf("moscow-time ends with %" PRIu64 " visits\n", app.visits.committed);
    return r == 0 && is_saved ? 0 : 1;
}
