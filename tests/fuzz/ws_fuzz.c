// SPDX-License-Identifier: Apache-2.0
//
// WebSocket frames: the same messages and the same answers however the bytes are split.
#include "fuzz.h"

#include "base/mem.h"
#include "wire/ws.h"

enum { MESSAGE_MAX = 4096, OUT_MAX = 4 << 20 };

struct party {
    struct buf *log;
    struct ws *ws;
};

static void note_message(void *ctx, bool is_text, struct str bytes)
{
    const struct party *party = ctx;
    (void)buf_addf(party->log, "%d %zu:", is_text, bytes.n);
    (void)buf_add(party->log, bytes);
}

static void note_closed(void *ctx, int code)
{
    const struct party *party = ctx;
    (void)buf_addf(party->log, "close %d\n", code);
}

static void *party_open(unsigned flags, struct buf *log)
{
    static const struct ws_events events = {note_message, note_closed};
    struct party *party = xcalloc(1, sizeof *party);
    (void)flags;
    party->log = log;
    party->ws = ws_new(&events, party, MESSAGE_MAX, OUT_MAX);
    return party;
}

static bool party_feed(void *p, struct str piece)
{
    struct party *party = p;
    ws_feed(party->ws, piece);
    return true;
}

static void party_close(void *p)
{
    auto_free struct party *party = p;
    (void)buf_add(party->log, buf_str(ws_out(party->ws)));
    ws_free(party->ws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_parser parser = {party_open, party_feed, party_close};
    fuzz_split(&parser, data, size);
    return 0;
}
