// SPDX-License-Identifier: Apache-2.0
//
// SPDY/3.1 frames: the same streams, bytes and end however the bytes are split.
#include "fuzz.h"

#include "base/mem.h"
#include "wire/spdy.h"

enum { OUT_MAX = 4 << 20 };

struct notes {
    struct buf *log;
    struct spdy *spdy;
    uint32_t stream; /* of the data that is being noted, so that pieces join */
};

static void note_open(void *ctx, uint32_t stream, const struct http_header *headers, size_t count,
                      bool is_end)
{
    struct notes *notes = ctx;
    notes->stream = 0;
    (void)buf_addf(notes->log, "\nopen %u %d", stream, is_end);
    for (size_t i = 0; i < count; i++) {
        (void)buf_add(notes->log, headers[i].name);
        (void)buf_addc(notes->log, '=');
        (void)buf_add(notes->log, headers[i].value);
    }
    spdy_accept(notes->spdy, stream);
}

static void note_data(void *ctx, uint32_t stream, struct str bytes, bool is_end)
{
    struct notes *notes = ctx;
    if (notes->stream != stream) {
        (void)buf_addf(notes->log, "\ndata %u:", stream);
        notes->stream = stream;
    }
    (void)buf_add(notes->log, bytes);
    if (is_end) {
        notes->stream = 0;
        (void)buf_addf(notes->log, "\nend %u", stream);
    }
}

static void note_reset(void *ctx, uint32_t stream)
{
    struct notes *notes = ctx;
    notes->stream = 0;
    (void)buf_addf(notes->log, "\nreset %u", stream);
}

static void note_goaway(void *ctx)
{
    struct notes *notes = ctx;
    notes->stream = 0;
    (void)buf_addf(notes->log, "\ngoaway");
}

static void *notes_open(unsigned flags, struct buf *log)
{
    static const struct spdy_events events = {note_open, note_data, note_reset, note_goaway};
    struct notes *notes = xcalloc(1, sizeof *notes);
    (void)flags;
    notes->log = log;
    notes->spdy = spdy_new(&events, notes, OUT_MAX);
    return notes;
}

static bool notes_feed(void *p, struct str piece)
{
    struct notes *notes = p;
    struct err err;
    int r = spdy_feed(notes->spdy, piece, &err);
    if (r < 0) {
        (void)buf_addf(notes->log, "\n%s\n", err_name(r));
    }
    return r == 0;
}

static void notes_close(void *p)
{
    auto_free struct notes *notes = p;
    (void)buf_add(notes->log, buf_str(spdy_out(notes->spdy)));
    spdy_free(notes->spdy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_parser parser = {notes_open, notes_feed, notes_close};
    fuzz_split(&parser, data, size);
    return 0;
}
