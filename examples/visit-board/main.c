// SPDX-License-Identifier: Apache-2.0
//
// visit-board: asks every replica of moscow-time for its visits and shows them as a board. The
// replicas are found by the SRV records of a headless service, so scaling needs no setting. GET /
// is the page, /history what was seen before (it survives in data/history), /healthz for probes.
// Environment: BOARD_SERVICE (the SRV name), BOARD_INTERVAL (seconds), PORT, HOSTNAME.
#include "board_page.h"
#include "history.h"
#include "http_server.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "dev"
#endif

enum { PORT_DEFAULT = 5000, INTERVAL_DEFAULT_S = 5, INTERVAL_MAX_S = 3600 };

struct app {
    const char *pod, *service;
    long interval_s;
    pthread_mutex_t lock; /* holds board and history together */
    struct board board;
    struct history history;
};

/* The asking thread: a new round every interval, for as long as the process lives. */
static void *ask_forever(void *ctx)
{
    static struct board fresh;
    struct app *app = ctx;
    for (;;) {
        struct resolver resolver;
        resolver_read(&resolver, "/etc/resolv.conf");
        board_ask(&resolver, app->service, (int64_t)time(NULL), &fresh);
        (void)pthread_mutex_lock(&app->lock);
        app->board = fresh;
        (void)history_add(&app->history, &fresh);
        (void)pthread_mutex_unlock(&app->lock);
        (void)sleep((unsigned)app->interval_s);
    }
    return NULL;
}

static void handle(void *ctx, const struct http_request *req, struct http_reply *reply)
{
    struct app *app = ctx;
    (void)pthread_mutex_lock(&app->lock);
    if (strcmp(req->path, "/") == 0) {
        board_page_write(reply, &(struct board_page){.board = &app->board,
                                                     .history = app->history.text,
                                                     .pod = app->pod,
                                                     .service = app->service,
                                                     .version = VERSION,
                                                     .refresh_s = (int)app->interval_s});
    } else if (strcmp(req->path, "/history") == 0) {
        reply->content_type = "text/plain; charset=utf-8";
        http_reply_printf(reply, "%s", app->history.text);
    } else if (strcmp(req->path, "/healthz") == 0) {
        reply->content_type = "text/plain; charset=utf-8";
        http_reply_printf(reply, "ok\n");
    } else {
        reply->status = 404;
    }
    (void)pthread_mutex_unlock(&app->lock);
}

static const char *env_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? otherwise : value;
}

static long env_number(const char *name, long min, long max, long otherwise)
{
    long n = strtol(env_or(name, "-1"), NULL, 10);
    return n < min || n > max ? otherwise : n;
}

int main(void)
{
    static struct app app = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    sigset_t stop;
    app.pod = env_or("HOSTNAME", "somewhere");
    app.service = env_or("BOARD_SERVICE", "_http._tcp.moscow-time-headless");
    app.interval_s = env_number("BOARD_INTERVAL", 1, INTERVAL_MAX_S, INTERVAL_DEFAULT_S);
    struct http_options options = {.port =
                                       (uint16_t)env_number("PORT", 1, UINT16_MAX, PORT_DEFAULT),
                                   .pod = app.pod,
                                   .handle = handle,
                                   .ctx = &app};
    if (history_open(&app.history, "data") < 0) {
        return 1;
    }
    /* Blocked before the thread starts, so that the server's loop gets the signals. */
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    if (pthread_create(&thread, NULL, ask_forever, &app) != 0) {
        (void)fprintf(stderr, "visit-board: no thread to be had\n");
        return 1;
    }
    (void)printf("visit-board %s on port %u asks %s every %ld s\n", VERSION, options.port,
                 app.service, app.interval_s);
    (void)fflush(stdout);
    return http_serve(&options) == 0 ? 0 : 1;
}
