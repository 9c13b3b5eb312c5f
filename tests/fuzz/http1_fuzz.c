// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 requests: feeding a text whole, in random pieces and byte by byte gives the same
// messages and the same end. The first byte seeds the pieces.
#include "wire/http1.h"

#include "base/rng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOG_MAX = 4 << 20 };

static void note(struct buf *log, struct http1 *h)
{
    struct http1_message m;
    http1_take(h, &m);
    (void)buf_addf(log, "%.*s %.*s %d%d%d\n", STR_ARG(m.method), STR_ARG(m.target), m.is_keep_alive,
                   m.is_http10, m.is_upgrade);
    for (size_t i = 0; i < m.headers_count; i++) {
        (void)buf_add(log, m.headers[i].name);
        (void)buf_addc(log, '=');
        (void)buf_add(log, m.headers[i].value);
        (void)buf_addc(log, '\n');
    }
    (void)buf_add(log, m.body);
    arena_free(m.arena);
}

/* Feeds one piece; false = over. */
static bool feed(struct http1 *h, struct str piece, struct buf *log)
{
    struct err err;
    while (piece.n > 0) {
        size_t used = 0;
        int r = http1_feed(h, piece, &used, &err);
        if (used > piece.n || (r == HTTP1_MORE && used != piece.n)) {
            abort();
        }
        piece = str_sub(piece, used, piece.n);
        if (r == HTTP1_MESSAGE) {
            note(log, h);
            http1_next(h);
        } else if (r < 0) {
            (void)buf_add(log, str_of(err_name(r)));
            return false;
        }
    }
    return true;
}

/* piece_max 0 = whole. */
static void run(struct str in, size_t piece_max, uint64_t seed, struct buf *log)
{
    struct http1 *h = http1_new_request(4096, 4096);
    struct rng rng;
    rng_seed(&rng, seed);
    for (size_t at = 0; at < in.n;) {
        size_t n = piece_max == 0 ? in.n : 1 + rng_below(&rng, piece_max);
        if (!feed(h, str_sub(in, at, at + n), log)) {
            break;
        }
        at += n;
    }
    http1_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7, 64};
    if (size == 0) {
        return 0;
    }
    struct str in = {(const char *)data + 1, size - 1};
    auto_buf struct buf want;
    buf_init(&want, LOG_MAX);
    run(in, 0, 0, &want);
    for (size_t i = 0; i < 3; i++) {
        auto_buf struct buf got;
        buf_init(&got, LOG_MAX);
        run(in, pieces[i], data[0], &got);
        if (!str_eq(buf_str(&want), buf_str(&got))) {
            abort();
        }
    }
    return 0;
}
