// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1: the same messages and the same end however the bytes are split. Flag 1: responses, as
// probes, hooks and registries read them, which may end with the connection; flag 2: to HEAD.
#include "fuzz.h"

#include "base/arena.h"
#include "base/mem.h"
#include "wire/http1.h"

enum { FLAG_RESPONSE = 1, FLAG_HEAD = 2, HEAD_MAX = 4096, BODY_MAX = 4096 };

struct party {
    struct buf *log;
    struct http1 *http;
    bool is_response;
    bool is_over;
};

static void note(struct party *party)
{
    struct http1_message m;
    struct buf *log = party->log;
    http1_take(party->http, &m);
    (void)buf_addf(log, STR_FMT " " STR_FMT " %d %d%d%d%d\n", STR_ARG(m.method), STR_ARG(m.target),
                   m.code, m.is_keep_alive, m.is_http10, m.is_upgrade, m.is_body_cut);
    for (size_t i = 0; i < m.headers_count; i++) {
        (void)buf_add(log, m.headers[i].name);
        (void)buf_addc(log, '=');
        (void)buf_add(log, m.headers[i].value);
        (void)buf_addc(log, '\n');
    }
    must(m.body.n <= BODY_MAX);
    (void)buf_add(log, m.body);
    arena_free(m.arena);
}

static void *party_open(unsigned flags, struct buf *log)
{
    struct party *party = xcalloc(1, sizeof *party);
    party->log = log;
    party->is_response = (flags & FLAG_RESPONSE) != 0;
    party->http = party->is_response
                      ? http1_new_response(HEAD_MAX, BODY_MAX, (flags & FLAG_HEAD) != 0)
                      : http1_new_request(HEAD_MAX, BODY_MAX);
    return party;
}

static bool party_feed(void *p, struct str piece)
{
    struct party *party = p;
    struct err err;
    while (piece.n > 0 && !party->is_over) {
        size_t used = 0;
        int r = http1_feed(party->http, piece, &used, &err);
        must(used <= piece.n && (r != HTTP1_MORE || used == piece.n));
        piece = str_sub(piece, used, piece.n);
        if (r == HTTP1_MESSAGE) {
            note(party);
            http1_next(party->http);
        }
        if (r < 0) {
            (void)buf_add(party->log, str_of(err_name(r)));
        }
        party->is_over = r < 0 || (r == HTTP1_MESSAGE && party->is_response);
    }
    return !party->is_over;
}

static void party_close(void *p)
{
    auto_free struct party *party = p;
    struct err err;
    if (party->is_response && !party->is_over) {
        int r = http1_end(party->http, &err);
        (void)buf_add(party->log, str_of(r < 0 ? err_name(r) : "end"));
        if (r == HTTP1_MESSAGE) {
            note(party);
        }
    }
    http1_free(party->http);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_parser parser = {party_open, party_feed, party_close};
    fuzz_split(&parser, data, size);
    return 0;
}
