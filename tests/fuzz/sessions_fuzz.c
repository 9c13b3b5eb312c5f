// SPDX-License-Identifier: Apache-2.0
//
// Exec, attach and port-forward above WebSocket and SPDY: src/server/stream_*.c, with a client, a
// node and an exchange made of memory. The input says what client and node do, step by step. The
// node's calls obey api/streams.h (no call for a session that is over, no input after its end,
// sizes that a terminal can have), every session is let go of, the exchange ends exactly once, and
// all of it is the same however the client's bytes are split.
#include "fuzz.h"

#include "base/limits.h"
#include "base/mem.h"
#include "server/stream_upgrade.h"
#include "wire/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { SESSIONS_MAX = 64, LOG_MAX = 16 << 20, IDS = 16 };

struct session {
    struct session_events events;
    void *ctx;
    bool is_open, is_paused, is_input_over;
    size_t backlog;
};
enum carrier { WS_LEGACY, WS_BASE64, WS_V4, WS_V5, SPDY_EXEC, SPDY_FORWARD, WS_FORWARD, WS_TUNNEL };
struct play {
    struct server server;
    struct job job;
    struct http_request http;
    struct http_header headers[4];
    enum carrier carrier;
    bool is_bytewise;
    struct buf sent; /* by the client, not yet delivered */
    struct buf tunnel;
    struct buf log;
    struct session sessions[SESSIONS_MAX];
    size_t sessions_count;
    size_t noted; /* session + 1 whose input is being noted, so that pieces join */
    z_stream deflate;
    uint32_t next_stream;
    uint32_t streams[IDS];
    void (*bytes)(void *ctx, struct str bytes);
    void *bytes_ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
    void (*drained)(void *ctx);
    void *drained_ctx;
    size_t backlog;
    bool is_over, is_refused, is_raw_closed;
};
static struct play *play;

static void note(const char *text, size_t number)
{
    play->noted = 0;
    (void)buf_addf(&play->log, "\n%s %zu", text, number);
}

/* The exchange. */

void http_on_drained(struct http_exchange *x, void (*drained)(void *ctx), void *ctx)
{
    (void)x;
    play->drained = drained;
    play->drained_ctx = ctx;
}

void http_on_closed(struct http_exchange *x, void (*closed)(void *ctx), void *ctx)
{
    (void)x;
    play->closed = closed;
    play->closed_ctx = ctx;
}

void http_upgrade(struct http_exchange *x, const struct http_header *headers, size_t count,
                  void (*bytes)(void *ctx, struct str bytes), void *ctx)
{
    (void)x;
    (void)headers;
    (void)count;
    must(play->bytes == NULL);
    play->bytes = bytes;
    play->bytes_ctx = ctx;
}

void http_raw_write(struct http_exchange *x, struct str bytes)
{
    (void)x;
    must(play->bytes != NULL && !play->is_raw_closed);
    (void)bytes;
}

void http_raw_pause(struct http_exchange *x, bool is_paused)
{
    (void)x;
    (void)is_paused;
    must(!play->is_raw_closed);
}

void http_raw_close(struct http_exchange *x)
{
    (void)x;
    must(!play->is_raw_closed);
    play->is_raw_closed = true;
}

size_t http_backlog(const struct http_exchange *x)
{
    (void)x;
    must(!play->is_raw_closed);
    return play->backlog;
}

struct str http_header(const struct http_request *request, struct str name)
{
    for (size_t i = 0; i < request->headers_count; i++) {
        if (str_eq_nocase(request->headers[i].name, name)) {
            return request->headers[i].value;
        }
    }
    return S("");
}

/* What exec asks for: a command, a terminal, and its input. */
bool http_query(const struct http_request *request, struct str name, size_t index, struct str *ret)
{
    (void)request;
    *ret = str_eq(name, S("ports")) ? S("80,443") : S("sh");
    return index == 0;
}

struct str query_text(struct job *job, struct str name)
{
    (void)job;
    (void)name;
    return S("");
}

bool query_flag(struct job *job, struct str name)
{
    (void)job;
    return !str_eq(name, S("stderr"));
}

void http_reply(struct http_exchange *x, int code, const struct http_header *headers, size_t count,
                struct str body)
{
    (void)x;
    (void)headers;
    (void)count;
    (void)body;
    must(code >= 400 && play->bytes == NULL);
    play->is_refused = true;
}

void reply_status(struct job *job, const struct status *status)
{
    (void)job;
    must(status->code >= 400 && play->bytes == NULL);
    play->is_refused = true;
}

static struct status refusal(int code, struct str message)
{
    struct status status = {0};
    status.code = code;
    status.message = message;
    return status;
}

struct status plain_status(int code, const char *reason, struct str message)
{
    (void)reason;
    return refusal(code, message);
}

struct status status_bad_request(struct arena *arena, struct str message)
{
    (void)arena;
    return refusal(400, message);
}

struct status status_not_found(struct arena *arena, const struct kind *kind, struct str name)
{
    (void)arena;
    (void)kind;
    return refusal(404, name);
}

struct status status_of_err(struct arena *arena, const struct err *err)
{
    return refusal(500, arena_dup(arena, str_of(err->msg)));
}

void job_end(struct job *job, int code)
{
    (void)code;
    must(job == &play->job && !play->is_over && !play->is_raw_closed);
    play->is_over = true;
}

const struct val *api_peek(struct api *api, const struct kind *kind, struct str ns, struct str name)
{
    static struct val pod;
    (void)api;
    (void)kind;
    (void)ns;
    (void)name;
    pod = val_map();
    return &pod;
}

/* The node. */

static size_t number_of(const struct session *s)
{
    must(s != NULL && s->is_open);
    return (size_t)(s - play->sessions);
}

static struct session *open_session(void *node, const struct session_request *request,
                                    const struct session_events *events, void *ctx, struct err *err)
{
    (void)node;
    if (play->sessions_count == SESSIONS_MAX || request->port == 81) {
        (void)err_set(err, ERR_NOT_FOUND, "no more sessions");
        return NULL;
    }
    struct session *s = &play->sessions[play->sessions_count++];
    *s = (struct session){.events = *events, .ctx = ctx, .is_open = true};
    note("open", request->port);
    return s;
}

static void take_input(struct session *s, struct str bytes, bool is_end)
{
    size_t number = number_of(s);
    must(!s->is_input_over);
    if (play->noted != number + 1 && bytes.n > 0) {
        note("input", number);
        play->noted = number + 1;
    }
    (void)buf_add(&play->log, bytes);
    s->is_input_over = is_end;
    if (is_end) {
        note("input ends", number);
    }
}

static void take_size(struct session *s, int width, int height)
{
    note("resize", number_of(s));
    must(width > 0 && width <= UINT16_MAX && height > 0 && height <= UINT16_MAX);
    (void)buf_addf(&play->log, " %d %d", width, height);
}

static void take_pause(struct session *s, bool is_paused)
{
    note(is_paused ? "pause" : "go on", number_of(s));
    s->is_paused = is_paused;
}

static void take_close(struct session *s)
{
    note("close", number_of(s));
    s->is_open = false;
}

static size_t tell_backlog(const struct session *s)
{
    (void)number_of(s);
    return s->backlog;
}

/* The client's frames. */

static void add_u32(struct buf *out, uint32_t n)
{
    char bytes[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    (void)buf_add(out, (struct str){bytes, sizeof bytes});
}

static void ws_frame(unsigned opcode, struct str head, struct str payload)
{
    size_t n = head.n + payload.n;
    (void)buf_addc(&play->sent, (char)(0x80U | opcode));
    (void)buf_addc(&play->sent, (char)(0x80U | (n < 126 ? n : 126)));
    if (n >= 126) {
        (void)buf_addc(&play->sent, (char)(n >> 8));
        (void)buf_addc(&play->sent, (char)n);
    }
    add_u32(&play->sent, 0); /* the mask */
    (void)buf_add(&play->sent, head);
    (void)buf_add(&play->sent, payload);
}

/* A SPDY frame, in a message of its own inside the tunnel. */
static void spdy_frame(uint32_t word, unsigned flags, struct str payload)
{
    struct buf *out = play->carrier == WS_TUNNEL ? &play->tunnel : &play->sent;
    add_u32(out, word);
    add_u32(out, (uint32_t)(flags << 24 | payload.n));
    (void)buf_add(out, payload);
    if (play->carrier == WS_TUNNEL) {
        ws_frame(2, S(""), buf_str(out));
        buf_clear(out);
    }
}

static void add_header(struct buf *out, struct str name, struct str value)
{
    add_u32(out, (uint32_t)name.n);
    (void)buf_add(out, name);
    add_u32(out, (uint32_t)value.n);
    (void)buf_add(out, value);
}

static void spdy_open(unsigned choice, struct str id, bool is_end)
{
    static const struct str types[] = {
        {"stdin",  5},
        {"stdout", 6},
        {"stderr", 6},
        {"error",  5},
        {"resize", 6},
        {"data",   4}
    };
    static const struct str ports[] = {
        {"80",    2},
        {"81",    2},
        {"0",     1},
        {"70000", 5}
    };
    auto_buf struct buf plain;
    auto_buf struct buf payload;
    unsigned char packed[1024];
    buf_init(&plain, 4096);
    buf_init(&payload, 4096);
    struct str type = types[choice % ARRAY_LEN(types)];
    if (play->carrier != SPDY_EXEC && choice % 2 == 0) {
        type = choice % 4 == 0 ? S("data") : S("error");
    }
    add_u32(&plain, 3);
    add_header(&plain, S("streamtype"), type);
    add_header(&plain, S("port"), ports[choice / 64 % ARRAY_LEN(ports)]);
    add_header(&plain, S("requestid"), id);
    play->deflate.next_in = (Bytef *)plain.p;
    play->deflate.avail_in = (uInt)plain.n;
    play->deflate.next_out = packed;
    play->deflate.avail_out = sizeof packed;
    must(deflate(&play->deflate, Z_SYNC_FLUSH) == Z_OK && play->deflate.avail_in == 0);
    play->streams[choice % IDS] = play->next_stream;
    add_u32(&payload, play->next_stream);
    add_u32(&payload, 0);
    (void)buf_add(&payload, S("\0\0"));
    (void)buf_add(&payload, (struct str){(char *)packed, sizeof packed - play->deflate.avail_out});
    play->next_stream += 2;
    spdy_frame(0x80030001U, is_end, buf_str(&payload));
}

static bool is_ws(void)
{
    return play->carrier < SPDY_EXEC || play->carrier == WS_FORWARD;
}

static void client_sends(unsigned channel, struct str payload, bool is_end)
{
    char head[2] = {(char)(channel == 7 ? 255 : channel), 0};
    if (is_ws()) {
        head[0] = (char)(play->carrier == WS_BASE64 ? '0' + channel : (unsigned char)head[0]);
        ws_frame(play->carrier == WS_BASE64 ? 1 : 2, (struct str){head, is_end ? 2 : 1}, payload);
    } else {
        spdy_frame(play->streams[channel % IDS], is_end, payload);
    }
}

static void client_resets(unsigned choice)
{
    auto_buf struct buf payload;
    buf_init(&payload, 16);
    add_u32(&payload, play->streams[choice % IDS]);
    add_u32(&payload, 5);
    spdy_frame(0x80030003U, 0, buf_str(&payload));
}

static void client_leaves(void)
{
    if (is_ws()) {
        ws_frame(8, S("\3\350"), S(""));
    } else {
        spdy_frame(0x80030007U, 0, S("\0\0\0\0\0\0\0\0"));
    }
}

/* Steps. */

static void deliver(void)
{
    auto_buf struct buf now = play->sent;
    buf_init(&play->sent, LOG_MAX);
    size_t step = play->is_bytewise ? 1 : now.n;
    for (size_t i = 0; i < now.n && !play->is_over; i += step) {
        play->bytes(play->bytes_ctx, (struct str){now.p + i, step});
    }
}

static void node_acts(unsigned choice, struct str payload)
{
    if (play->sessions_count == 0) {
        return;
    }
    struct session *s = &play->sessions[choice / 8 % play->sessions_count];
    struct err err = {0};
    if (!s->is_open) {
        return;
    }
    switch (choice % 8) {
    case 0:
    case 1:
    case 2:
        if (!s->is_paused) {
            s->events.output(s->ctx, choice % 2 == 0 ? SESSION_STDOUT : SESSION_STDERR, payload);
        }
        return;
    case 3:
    case 4:
        s->backlog = choice % 8 == 3 ? 0 : STREAM_BACKLOG_MAX + 1;
        if (s->backlog == 0 && s->events.drained != NULL) {
            s->events.drained(s->ctx);
        }
        return;
    default:
        s->is_open = false;
        note("ended", (size_t)(s - play->sessions));
        (void)err_set(&err, ERR_IO, "broken");
        s->events.ended(s->ctx, (int)payload.n, choice % 8 == 5 ? &err : NULL);
        return;
    }
}

static void exchange_acts(unsigned choice)
{
    switch (choice % 8) {
    case 0:
        play->closed(play->closed_ctx);
        return;
    case 1:
        play->job.abandon(&play->job);
        return;
    case 2:
        play->backlog = STREAM_BACKLOG_MAX + 1;
        return;
    default:
        play->backlog = 0;
        play->drained(play->drained_ctx);
        return;
    }
}

static void step(unsigned op, unsigned choice, struct str payload)
{
    if (op % 8 >= 6) {
        deliver();
        if (play->is_over) {
            return;
        }
    }
    switch (op % 8) {
    case 0:
    case 1:
        client_sends(choice % 8, payload, op % 8 == 1);
        return;
    case 2:
    case 3:
        if (!is_ws()) {
            spdy_open(choice, str_sub(payload, 0, 40), op % 8 == 3 && choice >= 128);
        }
        return;
    case 4:
        if (!is_ws()) {
            client_resets(choice);
        }
        return;
    case 5:
        client_leaves();
        return;
    case 6:
        node_acts(choice, payload);
        return;
    default:
        exchange_acts(choice);
        return;
    }
}

static void add_http(struct str name, struct str value)
{
    play->headers[play->http.headers_count++] = (struct http_header){name, value};
}

static void ask(void)
{
    static const struct str protocols[] = {
        {"channel.k8s.io",              14},
        {"v4.base64.channel.k8s.io",    24},
        {"v4.channel.k8s.io",           17},
        {"v5.channel.k8s.io",           17},
        {"v4.channel.k8s.io",           17},
        {"portforward.k8s.io",          18},
        {"v4.channel.k8s.io",           17},
        {"SPDY/3.1+portforward.k8s.io", 27}
    };
    bool is_spdy = play->carrier == SPDY_EXEC || play->carrier == SPDY_FORWARD;
    add_http(S("Connection"), S("Upgrade"));
    add_http(S("Upgrade"), is_spdy ? S("SPDY/3.1") : S("websocket"));
    add_http(is_spdy ? S("X-Stream-Protocol-Version") : S("Sec-WebSocket-Protocol"),
             protocols[play->carrier]);
    add_http(S("Sec-WebSocket-Key"), S("AAAAAAAAAAAAAAAAAAAAAA=="));
    play->job.route.subresource = play->carrier <= SPDY_EXEC ? S("exec") : S("portforward");
    if (play->carrier <= SPDY_EXEC) {
        serve_remote(&play->job);
    } else {
        serve_forward(&play->job);
    }
}

static void perform(const uint8_t *data, size_t size, struct buf *ret_log)
{
    for (size_t i = 1; i + 3 <= size && !play->is_over;) {
        size_t n = data[i + 2] < size - i - 3 ? data[i + 2] : size - i - 3;
        step(data[i], data[i + 1], (struct str){(const char *)data + i + 3, n});
        i += 3 + n;
    }
    if (!play->is_over) {
        deliver();
    }
    loop_run(play->server.c.loop); /* what waits for a time gives up */
    if (!play->is_over) {
        play->closed(play->closed_ctx);
    }
    must(play->is_over && play->is_raw_closed && play->server.sessions_count == 0);
    for (size_t i = 0; i < play->sessions_count; i++) {
        must(!play->sessions[i].is_open);
    }
    (void)buf_add(ret_log, buf_str(&play->log));
}

static void run(const uint8_t *data, size_t size, bool is_bytewise, struct buf *ret_log)
{
    static const struct session_ops ops = {open_session, take_input, take_size,
                                           take_pause,   take_close, tell_backlog};
    struct loop *loop = loop_new_virtual(0);
    play = xcalloc(1, sizeof *play);
    play->carrier = data[0] % 8;
    play->is_bytewise = is_bytewise;
    play->next_stream = 1;
    play->server.c = (struct server_config){.loop = loop, .sessions = &ops};
    play->http.headers = play->headers;
    play->job = (struct job){.server = &play->server,
                             .http = &play->http,
                             .x = (struct http_exchange *)play,
                             .arena = arena_new(REQUEST_ARENA_MAX)};
    buf_init(&play->sent, LOG_MAX);
    buf_init(&play->tunnel, LOG_MAX);
    buf_init(&play->log, LOG_MAX);
    must(deflateInit(&play->deflate, Z_NO_COMPRESSION) == Z_OK);
    ask();
    must(play->bytes != NULL && !play->is_refused);
    perform(data, size, ret_log);
    (void)deflateEnd(&play->deflate);
    buf_done(&play->sent);
    buf_done(&play->tunnel);
    buf_done(&play->log);
    arena_free(play->job.arena);
    loop_free(loop);
    free(play);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    auto_buf struct buf whole;
    auto_buf struct buf pieces;
    buf_init(&whole, LOG_MAX);
    buf_init(&pieces, LOG_MAX);
    run(data, size, /*is_bytewise=*/false, &whole);
    run(data, size, /*is_bytewise=*/true, &pieces);
    if (!str_eq(buf_str(&whole), buf_str(&pieces))) {
        (void)fprintf(stderr, "whole:" STR_FMT "\nin pieces:" STR_FMT "\n",
                      STR_ARG(buf_str(&whole)), STR_ARG(buf_str(&pieces)));
    }
    must(str_eq(buf_str(&whole), buf_str(&pieces)));
    return 0;
}
