// SPDX-License-Identifier: Apache-2.0
//
// Port-forward (spec/api.md 7.6): SPDY streams in pairs (error, data) by request id, plain or
// inside WebSocket messages, and the older WebSocket form with two channels a port.
//
// A lane is one forwarded connection. Invariants: (1) a lane has a session from the moment both its
// streams are open until the session ended or was closed; (2) lanes are freed only outside the
// engine and outside their session's callbacks' use of them.
#include "base/limits.h"
#include "base/mem.h"
#include "server/stream_upgrade.h"
#include "wire/spdy.h"
#include "wire/ws.h"

#include <stdlib.h>

enum {
    LANES_MAX = 1024, /* connections of one kubectl port-forward */
    REQUEST_ID_MAX = 32,
    OUT_BYTES_MAX = 8 << 20
};
static const struct str tunnel_name = {"SPDY/3.1+portforward.k8s.io", 27};
static const struct str legacy_names[] = {
    {"v4.channel.k8s.io", 17},
    {"channel.k8s.io",    14},
    {"",                  0 }
};

struct forward;

struct lane {
    struct list node;
    struct forward *forward;
    struct session *session;
    uint32_t error, data; /* SPDY streams, or WebSocket channels + 1 */
    uint16_t port;
    char id[REQUEST_ID_MAX];
    bool is_paused;
    bool is_input_over;
};

struct forward {
    struct job *job;
    const struct session_ops *ops;
    struct spdy *spdy;
    struct ws *ws; /* around spdy, or alone (legacy) */
    struct list lanes;
    size_t lanes_count;
    bool is_feeding;
    bool is_gone;
};

static void flush(struct forward *f)
{
    if (f->spdy != NULL) {
        struct buf *out = spdy_out(f->spdy);
        if (f->ws != NULL && out->n > 0) {
            ws_send(f->ws, /*is_text=*/false, buf_str(out));
        } else {
            http_raw_write(f->job->x, buf_str(out));
        }
        buf_clear(out);
    }
    if (f->ws != NULL) {
        http_raw_write(f->job->x, buf_str(ws_out(f->ws)));
        buf_clear(ws_out(f->ws));
    }
}

static void lane_free(struct lane *lane)
{
    if (lane->session != NULL) {
        lane->forward->ops->close(lane->session);
    }
    lane->forward->lanes_count--;
    list_remove(&lane->node);
    free(lane);
}

static void forward_free(struct forward *f)
{
    struct job *job = f->job;
    struct http_exchange *x = job->x;
    for (struct list *node = list_take(&f->lanes); node != NULL; node = list_take(&f->lanes)) {
        lane_free(container_of(node, struct lane, node));
    }
    ws_free(f->ws);
    spdy_free(f->spdy);
    job->server->sessions_count--;
    free(f);
    job_end(job, 101);
    http_raw_close(x);
}

static void drop(struct forward *f)
{
    f->is_gone = true;
    if (!f->is_feeding) {
        forward_free(f);
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

/* To the client. */

static void send_legacy(struct forward *f, uint32_t channel_plus_1, struct str bytes)
{
    char channel = (char)(channel_plus_1 - 1);
    ws_send_parts(f->ws, (struct str){&channel, 1}, bytes);
}

static void send_data(struct lane *lane, struct str bytes, bool is_end)
{
    struct forward *f = lane->forward;
    if (f->spdy != NULL) {
        spdy_send(f->spdy, lane->data, bytes, is_end);
    } else if (bytes.n > 0) {
        send_legacy(f, lane->data, bytes);
    }
}

static void send_error(struct lane *lane, const char *why)
{
    struct forward *f = lane->forward;
    struct str text = S("");
    if (why != NULL) {
        text = arena_fmt(f->job->arena, "error forwarding port %d to pod " STR_FMT ": %s",
                         lane->port, STR_ARG(f->job->route.name), why);
    }
    if (f->spdy != NULL) {
        spdy_send(f->spdy, lane->error, text, /*is_end=*/true);
    } else if (text.n > 0) {
        send_legacy(f, lane->error, text);
    }
}

/* From the session. */

static void on_output(void *ctx, int channel, struct str bytes)
{
    struct lane *lane = ctx;
    (void)channel;
    send_data(lane, bytes, /*is_end=*/false);
    flush(lane->forward);
    if (!lane->is_paused && http_backlog(lane->forward->job->x) > STREAM_BACKLOG_MAX) {
        lane->is_paused = true;
        lane->forward->ops->pause(lane->session, true);
    }
}

static void end_if_idle(struct forward *f)
{
    if (f->spdy == NULL && list_empty(&f->lanes)) {
        ws_close(f->ws, WS_NORMAL, S(""));
        flush(f);
    }
}

static void on_ended(void *ctx, int exit_code, const struct err *err)
{
    struct lane *lane = ctx;
    struct forward *f = lane->forward;
    (void)exit_code;
    lane->session = NULL;
    if (err != NULL) {
        send_error(lane, err->msg);
        send_data(lane, S(""), /*is_end=*/true);
    } else {
        send_data(lane, S(""), /*is_end=*/true);
        send_error(lane, NULL);
    }
    lane_free(lane);
    flush(f);
    end_if_idle(f);
}

static void on_input_drained(void *ctx)
{
    struct forward *f = ((struct lane *)ctx)->forward;
    struct list *it;
    struct list *next;
    list_foreach (it, next, &f->lanes) {
        const struct lane *lane = container_of(it, struct lane, node);
        if (lane->session != NULL && f->ops->backlog(lane->session) > STREAM_BACKLOG_MAX) {
            return;
        }
    }
    http_raw_pause(f->job->x, false);
}

static const struct session_events lane_events = {on_output, on_ended, on_input_drained};

static void on_client_drained(void *ctx)
{
    struct forward *f = ctx;
    struct list *it;
    struct list *next;
    list_foreach (it, next, &f->lanes) {
        struct lane *lane = container_of(it, struct lane, node);
        if (lane->is_paused && lane->session != NULL) {
            lane->is_paused = false;
            f->ops->pause(lane->session, false);
        }
    }
}

static void lane_open(struct lane *lane)
{
    struct forward *f = lane->forward;
    struct err err = {0};
    struct session_request request = {.kind = SESSION_FORWARD,
                                      .ns = f->job->route.ns,
                                      .pod = f->job->route.name,
                                      .port = lane->port,
                                      .tail_lines = -1,
                                      .limit_bytes = -1};
    lane->session =
        f->ops->open(f->job->server->c.sessions_node, &request, &lane_events, lane, &err);
    if (lane->session == NULL) {
        send_error(lane, err.msg);
        send_data(lane, S(""), /*is_end=*/true);
        lane_free(lane);
    }
}

static void give_input(struct lane *lane, struct str bytes, bool is_end)
{
    struct forward *f = lane->forward;
    if (lane->session == NULL || lane->is_input_over) {
        return;
    }
    lane->is_input_over = is_end;
    f->ops->input(lane->session, bytes, is_end);
    if (f->ops->backlog != NULL && f->ops->backlog(lane->session) > STREAM_BACKLOG_MAX) {
        http_raw_pause(f->job->x, true);
    }
}

/* SPDY. */

static struct lane *lane_by_data(struct forward *f, uint32_t stream)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &f->lanes) {
        struct lane *lane = container_of(it, struct lane, node);
        if (lane->data == stream) {
            return lane;
        }
    }
    return NULL;
}

static struct lane *lane_of_request(struct forward *f, struct str id)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &f->lanes) {
        struct lane *lane = container_of(it, struct lane, node);
        if (lane->session == NULL && str_eq(str_of(lane->id), id)) {
            return lane;
        }
    }
    if (id.n >= REQUEST_ID_MAX || f->lanes_count == LANES_MAX) {
        return NULL;
    }
    struct lane *lane = xcalloc(1, sizeof *lane);
    memcpy(lane->id, id.p, id.n);
    lane->forward = f;
    list_add_tail(&f->lanes, &lane->node);
    f->lanes_count++;
    return lane;
}

static struct str stream_header(const struct http_header *headers, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(headers[i].name, name)) {
            return headers[i].value;
        }
    }
    return S("");
}

static void on_stream(void *ctx, uint32_t stream, const struct http_header *headers, size_t count,
                      bool is_end)
{
    struct forward *f = ctx;
    struct str type = stream_header(headers, count, S("streamtype"));
    struct str id = stream_header(headers, count, S("requestid"));
    uint64_t port = 0;
    (void)is_end;
    bool is_error = str_eq(type, S("error"));
    if ((!is_error && !str_eq(type, S("data"))) ||
        str_to_u64(stream_header(headers, count, S("port")), &port) < 0 || port == 0 ||
        port > UINT16_MAX) {
        spdy_reset(f->spdy, stream, SPDY_REFUSED_STREAM);
        return;
    }
    if (id.n == 0) {
        /* Clients before 1.4 had none; error comes first and has the number below. */
        id = arena_fmt(f->job->arena, "#%u", is_error ? stream : stream - 2);
    }
    struct lane *lane = lane_of_request(f, id);
    if (lane == NULL) {
        spdy_reset(f->spdy, stream, SPDY_REFUSED_STREAM);
        return;
    }
    *(is_error ? &lane->error : &lane->data) = stream;
    lane->port = (uint16_t)port;
    spdy_accept(f->spdy, stream);
    if (lane->error != 0 && lane->data != 0) {
        lane_open(lane);
    }
}

static void on_data(void *ctx, uint32_t stream, struct str bytes, bool is_end)
{
    struct lane *lane = lane_by_data(ctx, stream);
    if (lane != NULL) {
        give_input(lane, bytes, is_end);
    }
}

static void on_reset(void *ctx, uint32_t stream)
{
    struct lane *lane = lane_by_data(ctx, stream);
    if (lane != NULL) {
        lane_free(lane);
    }
}

static void on_goaway(void *ctx)
{
    drop(ctx);
}

static const struct spdy_events spdy_events = {on_stream, on_data, on_reset, on_goaway};

static void fed(struct forward *f)
{
    f->is_feeding = false;
    if (f->is_gone && f->ws != NULL) {
        flush(f);
        ws_close(f->ws, WS_NORMAL, S(""));
    }
    flush(f);
    if (f->is_gone) {
        forward_free(f);
    }
}

static void on_spdy_bytes(void *ctx, struct str bytes)
{
    struct forward *f = ctx;
    struct err err = {0};
    f->is_feeding = true;
    if (spdy_feed(f->spdy, bytes, &err) < 0) {
        drop(f);
    }
    fed(f);
}

/* WebSocket: the tunnel's messages are the SPDY stream; legacy messages begin with a channel. */

static void on_tunnel_message(void *ctx, bool is_text, struct str bytes)
{
    struct forward *f = ctx;
    struct err err = {0};
    (void)is_text;
    if (!f->is_gone && spdy_feed(f->spdy, bytes, &err) < 0) {
        ws_close(f->ws, WS_PROTOCOL_ERROR, S(""));
        drop(f);
    }
}

static void on_legacy_message(void *ctx, bool is_text, struct str bytes)
{
    struct forward *f = ctx;
    (void)is_text;
    if (bytes.n > 0 && !f->is_gone) {
        struct lane *lane = lane_by_data(f, (uint32_t)(unsigned char)bytes.p[0] + 1);
        if (lane != NULL) {
            give_input(lane, str_sub(bytes, 1, bytes.n), /*is_end=*/false);
        }
    }
}

static void on_ws_closed(void *ctx, int code)
{
    (void)code;
    drop(ctx);
}

static void on_ws_bytes(void *ctx, struct str bytes)
{
    struct forward *f = ctx;
    f->is_feeding = true;
    ws_feed(f->ws, bytes);
    fed(f);
}

static struct forward *start(struct job *job)
{
    struct forward *f = xcalloc(1, sizeof *f);
    f->job = job;
    f->ops = job->server->c.sessions;
    list_init(&f->lanes);
    job->server->sessions_count++;
    job->req.ctx = f;
    job->abandon = abandon;
    http_on_closed(job->x, on_closed, f);
    http_on_drained(job->x, on_client_drained, f);
    return f;
}

static void serve_tunnel(struct job *job)
{
    static const struct ws_events events = {on_tunnel_message, on_ws_closed};
    struct forward *f = start(job);
    f->spdy = spdy_new(&spdy_events, f, OUT_BYTES_MAX);
    f->ws = ws_new(&events, f, BODY_BYTES_MAX, (size_t)2 * OUT_BYTES_MAX);
    upgrade_ws(job, tunnel_name, on_ws_bytes, f);
}

static void serve_plain(struct job *job)
{
    struct forward *f = start(job);
    f->spdy = spdy_new(&spdy_events, f, OUT_BYTES_MAX);
    upgrade_spdy(job, S("portforward.k8s.io"), on_spdy_bytes, f);
}

enum { LEGACY_PORTS_MAX = 32 };

/* ?ports=80,443 and repeated; 0 = there is something wrong with it. */
static size_t read_ports(struct job *job, uint16_t ports[static LEGACY_PORTS_MAX])
{
    size_t n = 0;
    struct str list;
    for (size_t i = 0; http_query(job->http, S("ports"), i, &list); i++) {
        for (struct str rest = list; rest.p != NULL;) {
            uint64_t port = 0;
            if (str_to_u64(str_cut(&rest, ','), &port) < 0 || port == 0 || port > UINT16_MAX ||
                n == LEGACY_PORTS_MAX) {
                return 0;
            }
            ports[n++] = (uint16_t)port;
        }
    }
    return n;
}

static void serve_legacy(struct job *job, struct str protocol)
{
    static const struct ws_events events = {on_legacy_message, on_ws_closed};
    uint16_t ports[LEGACY_PORTS_MAX];
    size_t n = read_ports(job, ports);
    if (n == 0) {
        struct status status =
            status_bad_request(job->arena, S("query parameter \"ports\" is required"));
        reply_status(job, &status);
        return;
    }
    struct forward *f = start(job);
    f->ws = ws_new(&events, f, BODY_BYTES_MAX, OUT_BYTES_MAX);
    upgrade_ws(job, protocol, on_ws_bytes, f);
    for (size_t i = 0; i < n; i++) {
        char number[2] = {(char)(ports[i] & 0xff), (char)(ports[i] >> 8)};
        send_legacy(f, (uint32_t)(2 * i + 1), (struct str){number, 2});
        send_legacy(f, (uint32_t)(2 * i + 2), (struct str){number, 2});
    }
    for (size_t i = 0; i < n; i++) {
        auto_free char *id = xasprintf("%zu", i);
        struct lane *lane = lane_of_request(f, str_of(id));
        lane->data = (uint32_t)(2 * i + 1);
        lane->error = (uint32_t)(2 * i + 2);
        lane->port = ports[i];
        lane_open(lane);
    }
    flush(f);
}

void serve_forward(struct job *job)
{
    enum upgrade upgrade = upgrade_of(job);
    if (api_peek(job->server->c.api, job->kind, job->route.ns, job->route.name) == NULL) {
        struct status status = status_not_found(job->arena, job->kind, job->route.name);
        reply_status(job, &status);
        return;
    }
    if (upgrade == UPGRADE_SPDY) {
        if (upgrade_offers_spdy(job, S("portforward.k8s.io"))) {
            serve_plain(job);
        } else {
            upgrade_refuse_spdy(job, S("portforward.k8s.io"));
        }
        return;
    }
    if (upgrade == UPGRADE_WEBSOCKET && upgrade_choose_ws(job, &tunnel_name, 1) == 0) {
        serve_tunnel(job);
        return;
    }
    int choice = upgrade_choose_ws(job, legacy_names, ARRAY_LEN(legacy_names));
    if (upgrade == UPGRADE_NONE || choice < 0) {
        upgrade_refuse(job);
        return;
    }
    serve_legacy(job, legacy_names[choice]);
}
