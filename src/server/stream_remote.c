// SPDX-License-Identifier: Apache-2.0
//
// Exec and attach over WebSocket channels (spec/api.md 7.5) and over SPDY streams (7.4).
//
// The session is opened before the protocol changes, so that its refusal is a Status. With SPDY its
// output waits (paused) until the client has opened its streams:
//
//   OPENING --all streams (WebSocket: at once)--> RUNNING --ended--> ENDING --goaway, close,
//   END_WAIT--> gone; the client leaving ends it from any state.
#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "server/stream_upgrade.h"
#include "wire/spdy.h"
#include "wire/ws.h"

#include <stdlib.h>

#define STREAMS_WAIT (30 * USEC_PER_SEC)
#define END_WAIT     (500 * USEC_PER_MS)

enum {
    COMMAND_WORDS_MAX = 4096,
    RESIZE_BYTES_MAX = 4096,
    MESSAGE_BYTES_MAX = BODY_BYTES_MAX,
    OUT_BYTES_MAX = 8 << 20 /* one batch of output before it goes to the connection */
};
enum remote_state { REMOTE_OPENING, REMOTE_RUNNING, REMOTE_ENDING };
enum channel { CH_STDIN, CH_STDOUT, CH_STDERR, CH_ERROR, CH_RESIZE, CH_COUNT, CH_CLOSE = 255 };

static const struct str stream_names[CH_COUNT] = {
    {"stdin",  5},
    {"stdout", 6},
    {"stderr", 6},
    {"error",  5},
    {"resize", 6},
};

enum { WS_V5 = 1, WS_BASE64 = 2, WS_JSON_STATUS = 4 };
static const struct str ws_names[] = {
    {"v5.channel.k8s.io",        17},
    {"v4.channel.k8s.io",        17},
    {"v4.base64.channel.k8s.io", 24},
    {"base64.channel.k8s.io",    21},
    {"channel.k8s.io",           14},
    {"",                         0 },
};
static const int ws_flags[] = {
    WS_V5 | WS_JSON_STATUS, WS_JSON_STATUS, WS_JSON_STATUS | WS_BASE64, WS_BASE64, 0, 0};

struct remote {
    struct job *job;
    const struct session_ops *ops;
    struct session *session; /* NULL after it ended */
    enum remote_state state;
    struct ws *ws; /* one of the two */
    struct spdy *spdy;
    int flags;
    bool is_wanted[CH_COUNT]; /* SPDY streams that the client will open */
    uint32_t streams[CH_COUNT];
    struct buf resize; /* JSON lines, maybe in pieces */
    struct timer timer;
    bool is_paused;
    bool is_input_over;
    bool is_feeding;
    bool is_gone; /* free when the engine is off the stack */
    bool has_ended;
    int exit_code;
    struct err err;
};

static void flush(struct remote *r)
{
    struct buf *out = r->ws != NULL ? ws_out(r->ws) : spdy_out(r->spdy);
    http_raw_write(r->job->x, buf_str(out));
    buf_clear(out);
}

static void remote_free(struct remote *r)
{
    struct job *job = r->job;
    struct http_exchange *x = job->x;
    timer_stop(&r->timer);
    ws_free(r->ws);
    spdy_free(r->spdy);
    buf_done(&r->resize);
    job->server->sessions_count--;
    free(r);
    job_end(job, 101);
    http_raw_close(x);
}

/* Ends all; later, when an engine is on the stack. */
static void drop(struct remote *r)
{
    if (r->session != NULL) {
        r->ops->close(r->session);
        r->session = NULL;
    }
    r->is_gone = true;
    if (!r->is_feeding) {
        remote_free(r);
    }
}

static void on_time(void *ctx)
{
    drop(ctx);
}

static void send_ws(struct remote *r, enum channel channel, struct str bytes)
{
    char c = (char)channel;
    if ((r->flags & WS_BASE64) == 0) {
        ws_send_parts(r->ws, (struct str){&c, 1}, bytes);
        return;
    }
    auto_buf struct buf text;
    buf_init(&text, OUT_BYTES_MAX);
    (void)buf_addc(&text, (char)('0' + channel));
    (void)base64_encode(&text, bytes);
    ws_send(r->ws, /*is_text=*/true, buf_str(&text));
}

static void send_channel(struct remote *r, enum channel channel, struct str bytes)
{
    if (r->ws != NULL) {
        send_ws(r, channel, bytes);
    } else if (r->streams[channel] != 0) {
        spdy_send(r->spdy, r->streams[channel], bytes, /*is_end=*/false);
    }
}

static void finish_ws(struct remote *r, struct str status)
{
    if ((r->flags & WS_JSON_STATUS) != 0) {
        send_ws(r, CH_ERROR, status);
    } else if (r->err.code != 0) {
        send_ws(r, CH_ERROR, str_of(r->err.msg));
    } else if (r->exit_code != 0) {
        send_ws(r, CH_ERROR,
                arena_fmt(r->job->arena, "command terminated with exit code %d", r->exit_code));
    }
    ws_close(r->ws, WS_NORMAL, S(""));
}

static void finish_spdy(struct remote *r, struct str status)
{
    for (enum channel c = CH_STDOUT; c <= CH_STDERR; c++) {
        if (r->streams[c] != 0) {
            spdy_send(r->spdy, r->streams[c], S(""), /*is_end=*/true);
        }
    }
    if (r->streams[CH_ERROR] != 0) {
        spdy_send(r->spdy, r->streams[CH_ERROR], status, /*is_end=*/true);
    }
}

/* Tells the result, then waits for the client's goodbye. */
static void finish(struct remote *r)
{
    auto_buf struct buf status;
    buf_init(&status, BODY_BYTES_MAX);
    session_status(&status, r->job->arena, r->exit_code, r->err.code == 0 ? NULL : &r->err);
    r->state = REMOTE_ENDING;
    if (r->ws != NULL) {
        finish_ws(r, buf_str(&status));
    } else {
        finish_spdy(r, buf_str(&status));
    }
    flush(r);
    http_raw_pause(r->job->x, false);
    timer_start(r->job->server->c.loop, &r->timer, END_WAIT, on_time, r);
}

static void on_output(void *ctx, int channel, struct str bytes)
{
    struct remote *r = ctx;
    send_channel(r, channel == SESSION_STDERR ? CH_STDERR : CH_STDOUT, bytes);
    flush(r);
    if (!r->is_paused && http_backlog(r->job->x) > STREAM_BACKLOG_MAX) {
        r->is_paused = true;
        r->ops->pause(r->session, true);
    }
}

static void on_ended(void *ctx, int exit_code, const struct err *err)
{
    struct remote *r = ctx;
    r->session = NULL;
    r->has_ended = true;
    r->exit_code = exit_code;
    if (err != NULL) {
        r->err = *err;
    }
    if (r->state == REMOTE_RUNNING) {
        finish(r);
    }
}

static void on_input_drained(void *ctx)
{
    struct remote *r = ctx;
    http_raw_pause(r->job->x, false);
}

static const struct session_events remote_events = {on_output, on_ended, on_input_drained};

static void on_client_drained(void *ctx)
{
    struct remote *r = ctx;
    if (r->is_paused && r->session != NULL && r->state == REMOTE_RUNNING) {
        r->is_paused = false;
        r->ops->pause(r->session, false);
    }
}

static void on_closed(void *ctx)
{
    drop(ctx);
}

static void abandon(struct job *job)
{
    drop(job->req.ctx);
}

static void give_input(struct remote *r, struct str bytes, bool is_end)
{
    if (r->session == NULL || r->is_input_over) {
        return;
    }
    r->is_input_over = is_end;
    r->ops->input(r->session, bytes, is_end);
    if (r->ops->backlog != NULL && r->ops->backlog(r->session) > STREAM_BACKLOG_MAX) {
        http_raw_pause(r->job->x, true);
    }
}

static void resize_line(struct remote *r, struct str line)
{
    struct arena *arena = arena_new((size_t)8 * RESIZE_BYTES_MAX);
    struct val v;
    struct err err = {0};
    if (json_read(line, arena, NULL, &v, &err) == 0) {
        int64_t width = val_number(val_get(&v, S("Width")), 0);
        int64_t height = val_number(val_get(&v, S("Height")), 0);
        if (width > 0 && width <= UINT16_MAX && height > 0 && height <= UINT16_MAX) {
            r->ops->resize(r->session, (int)width, (int)height);
        }
    }
    arena_free(arena);
}

static void give_resize(struct remote *r, struct str bytes)
{
    if (r->session == NULL) {
        return;
    }
    if (buf_add(&r->resize, bytes) < 0) {
        buf_clear(&r->resize);
        return;
    }
    ptrdiff_t end;
    while ((end = str_find(buf_str(&r->resize), '\n')) >= 0) {
        resize_line(r, str_sub(buf_str(&r->resize), 0, (size_t)end));
        buf_consume(&r->resize, (size_t)end + 1);
    }
    /* Some clients send no line feed: a closed brace ends a size as well. */
    if (str_ends(buf_str(&r->resize), S("}"))) {
        resize_line(r, buf_str(&r->resize));
        buf_clear(&r->resize);
    }
}

/* WebSocket. */

static void on_channel(struct remote *r, unsigned channel, struct str bytes)
{
    if (channel == CH_STDIN) {
        give_input(r, bytes, /*is_end=*/false);
    } else if (channel == CH_RESIZE) {
        give_resize(r, bytes);
    } else if (channel == CH_CLOSE && (r->flags & WS_V5) != 0 && bytes.n > 0 &&
               bytes.p[0] == CH_STDIN) {
        give_input(r, S(""), /*is_end=*/true);
    }
}

static void on_message(void *ctx, bool is_text, struct str bytes)
{
    struct remote *r = ctx;
    (void)is_text;
    if (bytes.n == 0) {
        return;
    }
    if ((r->flags & WS_BASE64) == 0) {
        on_channel(r, (unsigned char)bytes.p[0], str_sub(bytes, 1, bytes.n));
        return;
    }
    auto_buf struct buf plain;
    buf_init(&plain, MESSAGE_BYTES_MAX);
    if (base64_decode(&plain, str_sub(bytes, 1, bytes.n)) == 0) {
        on_channel(r, (unsigned)(bytes.p[0] - '0'), buf_str(&plain));
    }
}

static void on_ws_closed(void *ctx, int code)
{
    (void)code;
    struct remote *r = ctx;
    flush(r);
    drop(r);
}

static void on_ws_bytes(void *ctx, struct str bytes)
{
    struct remote *r = ctx;
    r->is_feeding = true;
    ws_feed(r->ws, bytes);
    r->is_feeding = false;
    if (r->is_gone) {
        remote_free(r);
        return;
    }
    flush(r);
}

/* SPDY. */

static void check_streams(struct remote *r)
{
    for (int c = 0; c < CH_COUNT; c++) {
        if (r->is_wanted[c] && r->streams[c] == 0) {
            return;
        }
    }
    if (r->state == REMOTE_OPENING) {
        r->state = REMOTE_RUNNING;
        timer_stop(&r->timer);
        if (r->has_ended) {
            finish(r);
        } else {
            r->ops->pause(r->session, false);
        }
    }
}

static void on_stream(void *ctx, uint32_t stream, const struct http_header *headers, size_t count,
                      bool is_end)
{
    struct remote *r = ctx;
    struct str type = S("");
    (void)is_end;
    for (size_t i = 0; i < count; i++) {
        if (str_eq(headers[i].name, S("streamtype"))) {
            type = headers[i].value;
        }
    }
    for (int c = 0; c < CH_COUNT; c++) {
        if (str_eq(type, stream_names[c]) && r->streams[c] == 0) {
            r->streams[c] = stream;
            spdy_accept(r->spdy, stream);
            check_streams(r);
            return;
        }
    }
    spdy_reset(r->spdy, stream, SPDY_REFUSED_STREAM);
}

static void on_data(void *ctx, uint32_t stream, struct str bytes, bool is_end)
{
    struct remote *r = ctx;
    if (stream == r->streams[CH_STDIN] && stream != 0) {
        give_input(r, bytes, is_end);
    } else if (stream == r->streams[CH_RESIZE] && stream != 0) {
        give_resize(r, bytes);
    }
}

static void on_reset(void *ctx, uint32_t stream)
{
    struct remote *r = ctx;
    if (stream == r->streams[CH_STDIN] && stream != 0) {
        give_input(r, S(""), /*is_end=*/true);
    }
}

static void on_goaway(void *ctx)
{
    drop(ctx);
}

static void on_spdy_bytes(void *ctx, struct str bytes)
{
    struct remote *r = ctx;
    struct err err = {0};
    r->is_feeding = true;
    if (spdy_feed(r->spdy, bytes, &err) < 0) {
        drop(r);
    }
    r->is_feeding = false;
    if (r->is_gone) {
        remote_free(r);
        return;
    }
    flush(r);
}

/* The beginning. */

static void read_request(struct job *job, struct session_request *request)
{
    *request = (struct session_request){
        .kind = str_eq(job->route.subresource, S("exec")) ? SESSION_EXEC : SESSION_ATTACH,
        .ns = job->route.ns,
        .pod = job->route.name,
        .container = query_text(job, S("container")),
        .has_stdin = query_flag(job, S("stdin")),
        .has_stdout = query_flag(job, S("stdout")),
        .has_stderr = query_flag(job, S("stderr")),
        .has_tty = query_flag(job, S("tty")),
        .tail_lines = -1,
        .limit_bytes = -1,
    };
    request->has_stderr = request->has_stderr && !request->has_tty;
    size_t count = 0;
    struct str word;
    while (count < COMMAND_WORDS_MAX && http_query(job->http, S("command"), count, &word)) {
        count++;
    }
    struct str *words = arena_alloc(job->arena, (count + 1) * sizeof *words);
    for (size_t i = 0; i < count; i++) {
        (void)http_query(job->http, S("command"), i, &words[i]);
    }
    request->command = words;
    request->command_count = count;
}

static bool check_request(struct job *job, const struct session_request *request)
{
    struct str why = S("");
    if (request->kind == SESSION_EXEC && request->command_count == 0) {
        why = S("you must specify at least 1 command for the container");
    } else if (!request->has_stdin && !request->has_stdout && !request->has_stderr) {
        why = S("you must specify at least 1 of stdin, stdout, stderr");
    }
    if (why.n > 0) {
        struct status status = status_bad_request(job->arena, why);
        reply_status(job, &status);
        return false;
    }
    return true;
}

static struct remote *start(struct job *job, const struct session_request *request)
{
    struct err err = {0};
    struct remote *r = xcalloc(1, sizeof *r);
    r->job = job;
    r->ops = job->server->c.sessions;
    buf_init(&r->resize, RESIZE_BYTES_MAX);
    r->session = r->ops->open(job->server->c.sessions_node, request, &remote_events, r, &err);
    if (r->session == NULL) {
        free(r);
        session_refuse(job, &err);
        return NULL;
    }
    job->server->sessions_count++;
    job->req.ctx = r;
    job->abandon = abandon;
    http_on_closed(job->x, on_closed, r);
    http_on_drained(job->x, on_client_drained, r);
    return r;
}

static void serve_ws(struct job *job, const struct session_request *request, int choice)
{
    static const struct ws_events events = {on_message, on_ws_closed};
    struct remote *r = start(job, request);
    if (r != NULL) {
        r->state = REMOTE_RUNNING;
        r->flags = ws_flags[choice];
        r->ws = ws_new(&events, r, MESSAGE_BYTES_MAX, OUT_BYTES_MAX);
        upgrade_ws(job, ws_names[choice], on_ws_bytes, r);
    }
}

static void serve_spdy(struct job *job, const struct session_request *request)
{
    static const struct spdy_events events = {on_stream, on_data, on_reset, on_goaway};
    struct remote *r = start(job, request);
    if (r != NULL) {
        r->is_wanted[CH_ERROR] = true;
        r->is_wanted[CH_STDIN] = request->has_stdin;
        r->is_wanted[CH_STDOUT] = request->has_stdout;
        r->is_wanted[CH_STDERR] = request->has_stderr;
        r->is_wanted[CH_RESIZE] = request->has_tty;
        r->spdy = spdy_new(&events, r, OUT_BYTES_MAX);
        r->ops->pause(r->session, true);
        timer_start(job->server->c.loop, &r->timer, STREAMS_WAIT, on_time, r);
        upgrade_spdy(job, S("v4.channel.k8s.io"), on_spdy_bytes, r);
    }
}

void serve_remote(struct job *job)
{
    struct session_request request;
    enum upgrade upgrade = upgrade_of(job);
    read_request(job, &request);
    if (!check_request(job, &request)) {
        return;
    }
    int choice = upgrade_choose_ws(job, ws_names, ARRAY_LEN(ws_names));
    if (upgrade == UPGRADE_NONE || (upgrade == UPGRADE_WEBSOCKET && choice < 0)) {
        upgrade_refuse(job);
    } else if (upgrade == UPGRADE_WEBSOCKET) {
        serve_ws(job, &request, choice);
    } else if (!upgrade_offers_spdy(job, S("v4.channel.k8s.io"))) {
        upgrade_refuse_spdy(job, S("v4.channel.k8s.io"));
    } else {
        serve_spdy(job, &request);
    }
}
