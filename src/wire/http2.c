// SPDX-License-Identifier: Apache-2.0
//
// A stream's life, by who still needs it (freed when neither does):
//
//   on the wire:  begun --headers, data--> whole --answer, END_STREAM both ways, or a reset-->
//   closed for the gate: (none) --http2_own--> owned --http2_release--> (none)
//
// Against clients that cost more than they pay (CVE-2023-44487 and its kin): as many streams at
// once as the API server allows, header lists of HEADER_BYTES_MAX, bodies of BODY_BYTES_MAX, and a
// budget of resets that answers refill. nghttp2 bounds pings, settings and continuations.
#include "wire/http2.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STREAMS_MAX = 100, /* at once, as the API server's */
    RESETS_MAX = 1000, /* more of them than answers */
    FIELD_COST = 32,   /* RFC 9113 10.5.1 */
    STATUS_TEXT_MAX = 4,
    OUT_MAX = JSON_BYTES_MAX + STREAM_BACKLOG_MAX
};

struct http2 {
    struct http2_config c;
    nghttp2_session *session;
    struct list streams;
    struct list notes; /* streams that http2_tell looks at */
    size_t open;       /* on the wire */
    int resets;
    bool is_over;
};

struct http2_stream {
    struct list node;
    struct list note;
    struct http2 *h;
    int32_t id;
    void *owner;
    struct http1_message message;
    struct buf body;
    struct buf out;
    size_t sent; /* of out */
    size_t stalled_at;
    size_t header_bytes;
    size_t headers_cap;
    size_t dropped; /* bytes of the body behind a refusal */
    struct timer timer;
    int refused;
    struct str why;  /* in the message's arena */
    bool is_whole;   /* nothing of the request is missing, or it was refused */
    bool is_told;    /* to the gate */
    bool is_ended;   /* the answer */
    bool is_waiting; /* nghttp2 asked for data and there was none */
    bool was_over;   /* the backlog was over STREAM_BACKLOG_MAX */
    bool is_closed;  /* on the wire */
};

static struct http2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void note(struct http2_stream *stream)
{
    if (list_empty(&stream->note)) {
        list_add_tail(&stream->h->notes, &stream->note);
        stream->h->c.work(stream->h->c.ctx);
    }
}

static void stream_free(struct http2_stream *stream)
{
    timer_stop(&stream->timer);
    list_remove(&stream->note);
    list_remove(&stream->node);
    arena_free(stream->message.arena);
    buf_done(&stream->body);
    buf_done(&stream->out);
    free(stream);
}

static void refuse(struct http2_stream *stream, int code, const char *what, int limit)
{
    if (!stream->is_whole) {
        stream->refused = code;
        stream->why = arena_fmt(stream->message.arena, "%s %d", what, limit);
        stream->is_whole = true;
        note(stream);
    }
}

static void reset(struct http2_stream *stream)
{
    if (!stream->is_closed) {
        (void)nghttp2_submit_rst_stream(stream->h->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_CANCEL);
        stream->h->c.work(stream->h->c.ctx);
    }
}

static size_t waiting(const struct http2_stream *stream)
{
    return stream->out.n - stream->sent;
}

static void on_request_timeout(void *ctx)
{
    reset(ctx);
}

static void on_stall(void *ctx)
{
    struct http2_stream *stream = ctx;
    size_t left = waiting(stream);
    if (left == 0 || (!stream->is_ended && left <= STREAM_BACKLOG_MAX)) {
        return;
    }
    if (left == stream->stalled_at) {
        reset(stream);
        return;
    }
    stream->stalled_at = left;
    timer_start(stream->h->c.loop, &stream->timer, stream->h->c.stall_timeout, on_stall, stream);
}

static void watch_stall(struct http2_stream *stream)
{
    if (!timer_is_running(&stream->timer)) {
        stream->stalled_at = waiting(stream);
        timer_start(stream->h->c.loop, &stream->timer, stream->h->c.stall_timeout, on_stall,
                    stream);
    }
}

/* nghttp2's callbacks. They take notes. */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct http2 *h = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct http2_stream *stream = xcalloc(1, sizeof *stream);
    stream->h = h;
    stream->id = frame->hd.stream_id;
    stream->message.arena = arena_new(DECIDE_ARENA_MAX);
    stream->message.is_keep_alive = true;
    buf_init(&stream->body, BODY_BYTES_MAX);
    buf_init(&stream->out, OUT_MAX);
    list_init(&stream->note);
    list_add_tail(&h->streams, &stream->node);
    h->open++;
    timer_start(h->c.loop, &stream->timer, h->c.request_timeout, on_request_timeout, stream);
    return nghttp2_session_set_stream_user_data(session, stream->id, stream);
}

static void add_header(struct http2_stream *stream, struct str name, struct str value)
{
    struct http1_message *m = &stream->message;
    m->headers = arena_more(m->arena, m->headers, m->headers_count, &stream->headers_cap,
                            sizeof m->headers[0]);
    m->headers[m->headers_count++] =
        (struct http_header){arena_dup(m->arena, name), arena_dup(m->arena, value)};
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    struct str key = {(const char *)name, name_n};
    struct str text = {(const char *)value, value_n};
    (void)ctx;
    (void)flags;
    if (stream == NULL || stream->is_whole || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers are dropped */
    }
    stream->header_bytes += name_n + value_n + FIELD_COST;
    if (stream->header_bytes > HEADER_BYTES_MAX) {
        refuse(stream, 431, "limit of the headers is", HEADER_BYTES_MAX);
    } else if (str_eq(key, S(":method"))) {
        stream->message.method = arena_dup(stream->message.arena, text);
    } else if (str_eq(key, S(":path"))) {
        stream->message.target = arena_dup(stream->message.arena, text);
    } else if (str_eq(key, S(":authority"))) {
        add_header(stream, S("host"), text);
    } else if (key.n > 0 && key.p[0] != ':') {
        add_header(stream, key, text);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *ctx)
{
    struct http2_stream *stream = stream_of(session, id);
    (void)flags;
    (void)ctx;
    if (stream == NULL) {
        return 0;
    }
    if (stream->is_whole) {
        stream->dropped += n;
        if (stream->dropped > BODY_BYTES_MAX) {
            reset(stream); /* was refused, and sends on */
        }
    } else if (buf_add(&stream->body, (struct str){(const char *)bytes, n}) < 0) {
        refuse(stream, 413, "limit is", BODY_BYTES_MAX);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct http2 *h = ctx;
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    bool is_part = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (frame->hd.type == NGHTTP2_RST_STREAM && ++h->resets > RESETS_MAX) {
        (void)nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    if (stream != NULL && is_part && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        !stream->is_whole) {
        stream->is_whole = true;
        note(stream);
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct http2 *h = ctx;
    struct http2_stream *stream = stream_of(session, id);
    (void)code;
    if (stream == NULL) {
        return 0;
    }
    stream->is_closed = true;
    timer_stop(&stream->timer);
    h->open--;
    note(stream);
    return 0;
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *into, size_t max,
                           uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct http2_stream *stream = source->ptr;
    size_t n = waiting(stream);
    (void)session;
    (void)id;
    (void)ctx;
    n = n > max ? max : n;
    if (n > 0) {
        memcpy(into, stream->out.p + stream->sent, n);
        stream->sent += n;
    }
    if (waiting(stream) > 0) {
        return (ssize_t)n;
    }
    buf_done(&stream->out); /* an idle stream holds no buffer */
    buf_init(&stream->out, OUT_MAX);
    stream->sent = 0;
    if (stream->is_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (n == 0) {
        stream->is_waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (stream->was_over) {
        note(stream);
    }
    return (ssize_t)n;
}

static nghttp2_session *session_new(struct http2 *h)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session = NULL;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX     },
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,   HEADER_BYTES_MAX},
    };
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        abort(); /* out of memory, as everywhere */
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_server_new(&session, callbacks, h) != 0 ||
        nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0) {
        abort();
    }
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

struct http2 *http2_new(const struct http2_config *config)
{
    struct http2 *h = xcalloc(1, sizeof *h);
    h->c = *config;
    list_init(&h->streams);
    list_init(&h->notes);
    h->session = session_new(h);
    return h;
}

void http2_free(struct http2 *h)
{
    if (h == NULL) {
        return;
    }
    h->is_over = true;
    for (struct list *node = list_take(&h->streams); node != NULL; node = list_take(&h->streams)) {
        struct http2_stream *stream = container_of(node, struct http2_stream, node);
        void *owner = stream->owner;
        stream_free(stream);
        if (owner != NULL) {
            h->c.gone(h->c.ctx, owner);
        }
    }
    nghttp2_session_del(h->session);
    free(h);
}

int http2_feed(struct http2 *h, struct str bytes, struct err *err)
{
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);
    if (n < 0) {
        return err_set(err, ERR_SYNTAX, "http2: %s", nghttp2_strerror((int)n));
    }
    return 0;
}

bool http2_is_over(const struct http2 *h)
{
    return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

/* What a stream's notes come to; the stream may be gone after it. */
static void tell(struct http2_stream *stream)
{
    struct http2 *h = stream->h;
    void *owner = stream->owner;
    if (stream->is_closed) {
        stream_free(stream);
        if (owner != NULL) {
            h->c.gone(h->c.ctx, owner);
        }
        return;
    }
    if (stream->is_whole && !stream->is_told) {
        stream->is_told = true;
        timer_stop(&stream->timer);
        h->c.request(h->c.ctx, stream, stream->refused, stream->why);
        return;
    }
    if (stream->was_over && waiting(stream) == 0) {
        stream->was_over = false;
        if (owner != NULL) {
            h->c.drained(h->c.ctx, owner);
        }
    }
}

void http2_tell(struct http2 *h)
{
    for (struct list *node = list_take(&h->notes); node != NULL; node = list_take(&h->notes)) {
        tell(container_of(node, struct http2_stream, note));
    }
}

struct str http2_out(struct http2 *h)
{
    const uint8_t *bytes;
    ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
    return n <= 0 ? S("") : (struct str){(const char *)bytes, (size_t)n};
}

bool http2_is_idle(const struct http2 *h)
{
    return h->open == 0;
}

void http2_go_away(struct http2 *h)
{
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
}

void http2_take(struct http2_stream *stream, struct http1_message *ret, struct buf *ret_body)
{
    *ret = stream->message;
    *ret_body = stream->body;
    stream->message = (struct http1_message){0};
    buf_init(&stream->body, 0);
}

void http2_own(struct http2_stream *stream, void *owner)
{
    stream->owner = owner;
}

/* RFC 9113 8.2.2: the framing is the protocol's own. */
static bool is_of_http1(struct str name)
{
    static const struct str names[] = {
        {"connection",        10},
        {"keep-alive",        10},
        {"proxy-connection",  16},
        {"transfer-encoding", 17},
        {"upgrade",           7 },
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

static nghttp2_nv field(struct arena *arena, struct str name, struct str value)
{
    char *low = arena_alloc(arena, name.n + 1);
    char *clean = arena_alloc(arena, value.n + 1);
    for (size_t i = 0; i < name.n; i++) {
        low[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + ('a' - 'A') : name.p[i]);
    }
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        clean[i] = (char)(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
    }
    return (nghttp2_nv){
        .name = (uint8_t *)low, .namelen = name.n, .value = (uint8_t *)clean, .valuelen = value.n};
}

void http2_head(struct http2_stream *stream, int code, const struct http_header *headers,
                size_t count, bool is_end)
{
    struct http2 *h = stream->h;
    auto_arena struct arena *arena = arena_new((size_t)4 * HEADER_BYTES_MAX);
    nghttp2_nv *fields = arena_alloc(arena, (count + 1) * sizeof fields[0]);
    size_t n = 0;
    nghttp2_data_provider answer = {.source = {.ptr = stream}, .read_callback = read_answer};
    fields[n++] = field(arena, S(":status"), arena_fmt(arena, "%d", code));
    for (size_t i = 0; i < count; i++) {
        if (!is_of_http1(headers[i].name)) {
            fields[n++] = field(arena, headers[i].name, headers[i].value);
        }
    }
    stream->is_ended = is_end;
    h->resets -= h->resets > 0 ? 1 : 0;
    if (!stream->is_closed) {
        (void)nghttp2_submit_response(h->session, stream->id, fields, n, is_end ? NULL : &answer);
        h->c.work(h->c.ctx);
    }
}

static void resume(struct http2_stream *stream)
{
    if (stream->is_waiting && !stream->is_closed) {
        stream->is_waiting = false;
        (void)nghttp2_session_resume_data(stream->h->session, stream->id);
    }
    stream->h->c.work(stream->h->c.ctx);
}

void http2_write(struct http2_stream *stream, struct str bytes)
{
    if (stream->is_closed || bytes.n == 0) {
        return;
    }
    if (buf_add(&stream->out, bytes) < 0) {
        reset(stream);
        return;
    }
    if (waiting(stream) > STREAM_BACKLOG_MAX) {
        stream->was_over = true;
        watch_stall(stream);
    }
    resume(stream);
}

void http2_end(struct http2_stream *stream)
{
    stream->is_ended = true;
    watch_stall(stream);
    resume(stream);
}

size_t http2_backlog(const struct http2_stream *stream)
{
    return waiting(stream);
}

void http2_release(struct http2_stream *stream)
{
    stream->owner = NULL;
    if (!stream->is_ended) {
        reset(stream);
    }
}
