// SPDX-License-Identifier: Apache-2.0
//
// HTTP/2 as the server reads it: what is told of a text read whole is told of it read byte by byte,
// in the same order. (The other way round it needs not: a request that is reset in the same read is
// not told; and nghttp2 takes many pieces of one CONTINUATION for a flood of them.) Input byte 1,
// flag 1: the client's preface and SETTINGS go before the input; flag 2: requests are answered at
// once, else they stay open.
#include "fuzz.h"

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wire/http2.h"

enum { FLAG_PREFACE = 1, FLAG_ANSWER = 2 };

struct records {
    struct arena *arena;
    struct str *list;
    size_t count;
    size_t cap;
};

struct party {
    struct records *records;
    struct loop *loop;
    struct http2 *http;
    bool is_answering;
    bool is_flood;
    size_t owned;
};

static void on_request(void *ctx, struct http2_stream *stream, int refused, struct str why)
{
    struct party *party = ctx;
    struct http1_message m;
    auto_buf struct buf body;
    http2_take(stream, &m, &body);
    must(body.n <= BODY_BYTES_MAX && (refused == 0 || why.n > 0));
    must(refused != 0 || (m.method.n > 0 && m.target.n > 0));
    auto_buf struct buf log;
    buf_init(&log, BODY_BYTES_MAX + 2 * HEADER_BYTES_MAX);
    (void)buf_addf(&log, STR_FMT " " STR_FMT " %d\n", STR_ARG(m.method), STR_ARG(m.target),
                   refused);
    for (size_t i = 0; i < m.headers_count; i++) {
        must(!str_starts(m.headers[i].name, S(":")));
        (void)buf_addf(&log, STR_FMT "=" STR_FMT "\n", STR_ARG(m.headers[i].name),
                       STR_ARG(m.headers[i].value));
    }
    (void)buf_add(&log, buf_str(&body));
    struct records *r = party->records;
    r->list = arena_more(r->arena, r->list, r->count, &r->cap, sizeof r->list[0]);
    r->list[r->count++] = arena_dup(r->arena, buf_str(&log));
    http2_own(stream, party);
    party->owned++;
    if (party->is_answering) {
        const struct http_header header = {S("Content-Type"), S("text/plain")};
        http2_head(stream, 200, &header, 1, /*is_end=*/false);
        http2_write(stream, buf_str(&body));
        http2_end(stream);
        http2_release(stream);
        party->owned--;
    }
    arena_free(m.arena);
}

static void on_gone(void *ctx, void *owner)
{
    struct party *party = ctx;
    must(owner == party && party->owned > 0);
    party->owned--;
}

static void on_drained(void *ctx, void *owner)
{
    must(ctx == owner);
}

static void on_work(void *ctx)
{
    (void)ctx;
}

static bool feed(struct party *party, struct str piece)
{
    struct err err = {0};
    int r = http2_feed(party->http, piece, &err);
    must(r == 0 || err.msg[0] != '\0');
    party->is_flood = r < 0 && str_search(str_of(err.msg), S("CONTINUATION")) >= 0;
    http2_tell(party->http);
    while (http2_out(party->http).n > 0) {
    }
    http2_tell(party->http);
    return r == 0 && !http2_is_over(party->http);
}

/* Feeds the text in pieces of so many bytes. False when nghttp2 saw a flood. */
static bool play(struct str text, unsigned flags, size_t piece, struct records *records)
{
    struct party party = {.records = records,
                          .loop = loop_new_virtual(0),
                          .is_answering = (flags & FLAG_ANSWER) != 0};
    struct http2_config config = {.loop = party.loop,
                                  .request_timeout = USEC_PER_SEC,
                                  .stall_timeout = USEC_PER_SEC,
                                  .request = on_request,
                                  .gone = on_gone,
                                  .drained = on_drained,
                                  .work = on_work,
                                  .ctx = &party};
    party.http = http2_new(&config);
    bool goes_on = (flags & FLAG_PREFACE) == 0 ||
                   feed(&party, S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
    for (size_t at = 0; at < text.n && goes_on; at += piece) {
        goes_on = feed(&party, str_sub(text, at, at + piece));
    }
    http2_free(party.http);
    must(party.owned == 0);
    loop_free(party.loop);
    return !party.is_flood;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new((size_t)64 << 20);
    struct records whole = {.arena = arena};
    struct records bytes = {.arena = arena};
    struct str text = {(const char *)data, size};
    if (size == 0) {
        return 0;
    }
    text = str_sub(text, 1, size);
    (void)play(text, data[0], size, &whole);
    bool is_comparable = play(text, data[0], 1, &bytes);
    size_t at = 0;
    for (size_t i = 0; i < whole.count && is_comparable; i++, at++) {
        while (at < bytes.count && !str_eq(bytes.list[at], whole.list[i])) {
            at++;
        }
        must(at < bytes.count);
    }
    return 0;
}
