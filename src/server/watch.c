// SPDX-License-Identifier: Apache-2.0
//
// Watches as chunked JSON lines, or as WebSocket messages of one event each (spec/api.md 3.3).
// Events are pulled, never pushed: when the client is slow (STREAM_BACKLOG_MAX) the pulling stops,
// and a client that stays away longer than the store's window gets its 410 as an ERROR event.
#include "base/limits.h"
#include "base/mem.h"
#include "server/stream_upgrade.h"
#include "wire/ws.h"

#include <stdlib.h>

#define BOOKMARK_EVERY  (60 * USEC_PER_SEC)
#define WATCH_MIN       (1800 * USEC_PER_SEC)
#define BATCH_BYTES_MAX ((size_t)64 << 10)

enum { WS_MESSAGE_MAX = 4096 };

struct watching {
    struct job *job;
    struct api_watch *watch;
    struct ws *ws; /* NULL = chunks */
    struct timer end;
    struct timer bookmark;
    struct render_options render;
    bool is_over;
};

static void watching_end(struct watching *w)
{
    struct job *job = w->job;
    struct http_exchange *x = job->x;
    api_watch_close(w->watch);
    timer_stop(&w->end);
    timer_stop(&w->bookmark);
    job->server->watches_count--;
    if (w->ws != NULL) {
        ws_close(w->ws, WS_NORMAL, S(""));
        http_raw_write(x, buf_str(ws_out(w->ws)));
    }
    bool is_raw = w->ws != NULL;
    ws_free(w->ws);
    free(w);
    job_end(job, is_raw ? 101 : 200);
    (is_raw ? http_raw_close : http_stream_end)(x);
}

/* What pull_batch made, to the client. */
static void send_batch(struct watching *w, struct buf *out)
{
    if (w->ws == NULL) {
        http_stream_write(w->job->x, buf_str(out));
    } else {
        http_raw_write(w->job->x, buf_str(ws_out(w->ws)));
        buf_clear(ws_out(w->ws));
    }
}

/* One batch of events into out; false = nothing more for now. */
static bool pull_batch(struct watching *w, struct buf *out)
{
    struct arena *arena = arena_new(JSON_BYTES_MAX);
    struct api_event event;
    bool has_more = false;
    w->render.now_wall = loop_wall(w->job->server->c.loop);
    while (!w->is_over && (has_more = api_watch_next(w->watch, &event) == 1)) {
        if (render_event(out, arena, w->job->kind, &event, &w->render) < 0 ||
            event.type == API_ERROR) {
            w->is_over = true;
        }
        w->render.is_first = w->render.is_first && event.type == API_BOOKMARK;
        if (w->ws != NULL) {
            ws_send(w->ws, /*is_text=*/true, str_trim(buf_str(out)));
            buf_clear(out);
        }
        if (out->n >= BATCH_BYTES_MAX || (w->ws != NULL && ws_out(w->ws)->n >= BATCH_BYTES_MAX)) {
            break;
        }
    }
    arena_free(arena);
    return has_more && !w->is_over;
}

/* Returns false when the watch is over and w is gone. */
static bool pull(struct watching *w)
{
    struct http_exchange *x = w->job->x;
    bool has_more = true;
    while (has_more && !w->is_over && http_backlog(x) <= STREAM_BACKLOG_MAX) {
        auto_buf struct buf out;
        buf_init(&out, JSON_BYTES_MAX);
        has_more = pull_batch(w, &out);
        send_batch(w, &out);
    }
    if (w->is_over) {
        watching_end(w);
        return false;
    }
    return true;
}

static void on_wake(void *ctx)
{
    (void)pull(ctx);
}

static void on_bookmark(void *ctx)
{
    struct watching *w = ctx;
    timer_start(w->job->server->c.loop, &w->bookmark, BOOKMARK_EVERY, on_bookmark, w);
    api_watch_bookmark(w->watch);
    (void)pull(w);
}

static void on_end(void *ctx)
{
    struct watching *w = ctx;
    if (w->job->opt.has_bookmarks) {
        api_watch_bookmark(w->watch);
        if (!pull(w)) {
            return;
        }
    }
    watching_end(w);
}

static void on_closed(void *ctx)
{
    watching_end(ctx);
}

static void on_message(void *ctx, bool is_text, struct str bytes)
{
    (void)ctx; /* a watcher has nothing to say */
    (void)is_text;
    (void)bytes;
}

static void on_goodbye(void *ctx, int code)
{
    struct watching *w = ctx;
    (void)code;
    w->is_over = true;
}

static void on_bytes(void *ctx, struct str bytes)
{
    struct watching *w = ctx;
    ws_feed(w->ws, bytes);
    (void)pull(w);
}

/* The answer's head. A subprotocol that is offered is accepted, whatever it is called: browsers
 * insist on one. */
static void begin(struct watching *w)
{
    static const struct ws_events events = {.message = on_message, .closed = on_goodbye};
    struct job *job = w->job;
    size_t count = 0;
    if (upgrade_of(job) == UPGRADE_WEBSOCKET) {
        struct str offers = http_header(job->http, S("Sec-WebSocket-Protocol"));
        w->ws = ws_new(&events, w, WS_MESSAGE_MAX, JSON_BYTES_MAX);
        upgrade_ws(job, str_trim(str_cut(&offers, ',')), on_bytes, w);
        return;
    }
    struct http_header *headers = reply_headers(job, S("application/json"), &count);
    http_stream_begin(job->x, 200, headers, count);
}

static void abandon(struct job *job)
{
    watching_end(job->req.ctx);
}

/* Many watches lie idle for long: of the request nothing is kept. */
static void forget_request(struct watching *w)
{
    struct job *job = w->job;
    w->render.include_object = str_eq(w->render.include_object, S("None"))     ? S("None")
                               : str_eq(w->render.include_object, S("Object")) ? S("Object")
                                                                               : S("Metadata");
    http_forget_request(job->x);
    *job = (struct job){
        .node = job->node,
        .server = job->server,
        .http = job->http,
        .x = job->x,
        .route.is_resource = true,
        .kind = job->kind,
        .verb = job->verb,
        .opt.has_bookmarks = job->opt.has_bookmarks,
        .req.ctx = w,
        .abandon = abandon,
    };
}

void serve_watch(struct job *job)
{
    struct status status = {0};
    int64_t timeout = 0;
    if (!query_number(job, S("timeoutSeconds"), &timeout, &status)) {
        reply_status(job, &status);
        return;
    }
    if (job->server->watches_count >= WATCHES_MAX) {
        status =
            plain_status(429, "TooManyRequests", S("too many watches, please try again later"));
        status.retry_after_seconds = 1;
        reply_status(job, &status);
        return;
    }
    struct watching *w = xcalloc(1, sizeof *w);
    w->job = job;
    w->render = (struct render_options){.as = job->accept.as,
                                        .include_object = query_text(job, S("includeObject")),
                                        .is_first = true};
    job->req.ctx = w;
    w->watch = api_watch_open(job->server->c.api, &job->req, on_wake, w, &status);
    if (w->watch == NULL) {
        free(w);
        reply_status(job, &status);
        return;
    }
    struct loop *loop = job->server->c.loop;
    /* Without a wish: between one and two half hours, spread by the connection's arrival. */
    usec spread = loop_now(loop) % WATCH_MIN;
    usec lifetime =
        timeout > 0 && timeout < INT32_MAX ? timeout * USEC_PER_SEC : WATCH_MIN + spread;
    timer_start(loop, &w->end, lifetime, on_end, w);
    if (job->opt.has_bookmarks) {
        timer_start(loop, &w->bookmark, BOOKMARK_EVERY, on_bookmark, w);
    }
    job->server->watches_count++;
    http_on_closed(job->x, on_closed, w);
    http_on_drained(job->x, on_wake, w);
    begin(w);
    forget_request(w);
    (void)pull(w);
}
