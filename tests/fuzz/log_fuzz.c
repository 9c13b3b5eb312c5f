// SPDX-License-Identifier: Apache-2.0
//
// Log files: the same output however the file is split; a byte limit cuts that output and nothing
// else; a tail of n lines begins at the nth last line. Flags 1: time stamps; 2: stderr alone;
// 4: since 2026.
#include "fuzz.h"

#include "base/mem.h"
#include "node/logfile.h"

#include <stdlib.h>
#include <unistd.h>

enum { FLAG_TIMES = 1, FLAG_STDERR = 2, FLAG_SINCE = 4, LIMIT = 100, OUT_MAX = 16 << 20 };

static const usec since = INT64_C(1767225600) * USEC_PER_SEC;

struct party {
    struct buf *log;
    struct log_reader all;
    struct log_reader limited;
    struct buf cut;
    size_t start; /* of log */
};

static void start(struct log_reader *r, unsigned flags, int64_t limit)
{
    log_reader_init(r, (flags & FLAG_STDERR) != 0 ? S("Stderr") : S("All"),
                    (flags & FLAG_SINCE) != 0 ? since : 0, limit, (flags & FLAG_TIMES) != 0);
}

static void *party_open(unsigned flags, struct buf *log)
{
    struct party *party = xcalloc(1, sizeof *party);
    party->log = log;
    start(&party->all, flags, -1);
    start(&party->limited, flags, LIMIT);
    buf_init(&party->cut, OUT_MAX);
    return party;
}

static bool party_feed(void *p, struct str piece)
{
    struct party *party = p;
    log_reader_feed(&party->all, piece, party->log);
    log_reader_feed(&party->limited, piece, &party->cut);
    return true;
}

static void party_close(void *p)
{
    auto_free struct party *party = p;
    must(str_eq(buf_str(&party->cut), str_sub(buf_str(party->log), 0, LIMIT)));
    log_reader_done(&party->all);
    log_reader_done(&party->limited);
    buf_done(&party->cut);
}

/* Where the last lines begin, by the book. */
static int64_t tail_of(struct str text, int64_t lines)
{
    size_t at = text.n > 0 && text.p[text.n - 1] == '\n' ? text.n - 1 : text.n;
    if (lines == 0) {
        return (int64_t)text.n;
    }
    while (lines-- > 0) {
        ptrdiff_t end = str_rfind(str_sub(text, 0, at), '\n');
        if (end < 0) {
            return 0;
        }
        at = (size_t)end;
    }
    return (int64_t)at + 1;
}

static void check_tail(struct str text)
{
    auto_close int fd = fuzz_file(text);
    for (int64_t lines = -1; lines < 4; lines++) {
        int64_t offset = -1;
        struct err err;
        must(logfile_tail(fd, lines, &offset, &err) == 0);
        must(offset == (lines < 0 ? 0 : tail_of(text, lines)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_parser parser = {party_open, party_feed, party_close};
    fuzz_split(&parser, data, size);
    check_tail((struct str){(const char *)data, size});
    return 0;
}
