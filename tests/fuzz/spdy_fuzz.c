// SPDX-License-Identifier: Apache-2.0
//
// SPDY/3.1 frames: feeding a text whole, in random pieces and byte by byte gives the same streams,
// bytes and end. The first byte seeds the pieces.
#include "wire/spdy.h"

#include "base/rng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOG_MAX = 16 << 20 };

struct notes {
    struct buf log;
    struct spdy *spdy;
    uint32_t stream; /* of the data that is being noted, so that pieces join */
};

static void note_open(void *ctx, uint32_t stream, const struct http_header *headers, size_t count,
                      bool is_end)
{
    struct notes *notes = ctx;
    notes->stream = 0;
    (void)buf_addf(&notes->log, "\nopen %u %d", stream, is_end);
    for (size_t i = 0; i < count; i++) {
        (void)buf_add(&notes->log, headers[i].name);
        (void)buf_addc(&notes->log, '=');
        (void)buf_add(&notes->log, headers[i].value);
    }
    spdy_accept(notes->spdy, stream);
}

static void note_data(void *ctx, uint32_t stream, struct str bytes, bool is_end)
{
    struct notes *notes = ctx;
    if (notes->stream != stream) {
        (void)buf_addf(&notes->log, "\ndata %u:", stream);
        notes->stream = stream;
    }
    (void)buf_add(&notes->log, bytes);
    if (is_end) {
        notes->stream = 0;
        (void)buf_addf(&notes->log, "\nend %u", stream);
    }
}

static void note_reset(void *ctx, uint32_t stream)
{
    struct notes *notes = ctx;
    notes->stream = 0;
    (void)buf_addf(&notes->log, "\nreset %u", stream);
}

static void note_goaway(void *ctx)
{
    struct notes *notes = ctx;
    notes->stream = 0;
    (void)buf_addf(&notes->log, "\ngoaway");
}

/* piece_max 0 = whole. */
static void run(struct str in, size_t piece_max, uint64_t seed, struct buf *ret_log)
{
    static const struct spdy_events events = {note_open, note_data, note_reset, note_goaway};
    struct notes notes = {.log = *ret_log};
    struct rng rng;
    struct err err;
    int r = 0;
    rng_seed(&rng, seed);
    notes.spdy = spdy_new(&events, &notes, LOG_MAX);
    for (size_t at = 0; at < in.n && r == 0;) {
        size_t n = piece_max == 0 ? in.n : 1 + rng_below(&rng, piece_max);
        r = spdy_feed(notes.spdy, str_sub(in, at, at + n), &err);
        at += n;
    }
    (void)buf_addf(&notes.log, "\n%s\n", err_name(r));
    (void)buf_add(&notes.log, buf_str(spdy_out(notes.spdy)));
    spdy_free(notes.spdy);
    *ret_log = notes.log;
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
