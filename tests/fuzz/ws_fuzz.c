// SPDX-License-Identifier: Apache-2.0
//
// WebSocket frames: feeding a text whole, in random pieces and byte by byte gives the same messages
// and the same answers. The first byte seeds the pieces.
#include "wire/ws.h"

#include "base/rng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOG_MAX = 4 << 20 };

static void note_message(void *ctx, bool is_text, struct str bytes)
{
    (void)buf_addf(ctx, "%d %zu:", is_text, bytes.n);
    (void)buf_add(ctx, bytes);
}

static void note_closed(void *ctx, int code)
{
    (void)buf_addf(ctx, "close %d\n", code);
}

/* piece_max 0 = whole. */
static void run(struct str in, size_t piece_max, uint64_t seed, struct buf *log)
{
    static const struct ws_events events = {note_message, note_closed};
    struct ws *ws = ws_new(&events, log, 4096, LOG_MAX);
    struct rng rng;
    rng_seed(&rng, seed);
    for (size_t at = 0; at < in.n;) {
        size_t n = piece_max == 0 ? in.n : 1 + rng_below(&rng, piece_max);
        ws_feed(ws, str_sub(in, at, at + n));
        at += n;
    }
    (void)buf_add(log, buf_str(ws_out(ws)));
    ws_free(ws);
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
