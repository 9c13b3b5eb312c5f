// SPDX-License-Identifier: Apache-2.0
//
// HTTP/2 as the gRPC probe reads it: the same answer and the same bytes sent however what the
// server says is split. Flag 1: the server's preface (an empty SETTINGS) goes before the input.
#include "fuzz.h"

#include "base/mem.h"
#include "wire/grpc.h"

enum { FLAG_PREFACE = 1 };

struct party {
    struct buf *log;
    struct grpc *grpc;
    bool is_over;
};

static bool party_feed(void *p, struct str piece)
{
    struct party *party = p;
    struct grpc_result result;
    struct err err = {0};
    int r = grpc_feed(party->grpc, piece, &result, &err);
    if (r < 0) {
        must(err.msg[0] != '\0');
        (void)buf_addf(party->log, "error\n");
    } else if (r > 0) {
        (void)buf_addf(party->log, "%d " STR_FMT "\n", result.status, STR_ARG(result.message));
        (void)buf_add(party->log, result.reply);
    }
    party->is_over = r != 0;
    return r == 0;
}

static void *party_open(unsigned flags, struct buf *log)
{
    struct party *party = xcalloc(1, sizeof *party);
    struct err err;
    party->log = log;
    party->grpc =
        grpc_new(S("10.0.0.1:80"), S("/grpc.health.v1.Health/Check"), S(""), S("probe"), &err);
    must(party->grpc != NULL);
    if ((flags & FLAG_PREFACE) != 0) {
        must(party_feed(party, S("\0\0\0\4\0\0\0\0\0")));
    }
    return party;
}

static void party_close(void *p)
{
    auto_free struct party *party = p;
    grpc_free(party->grpc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_parser parser = {party_open, party_feed, party_close};
    fuzz_split(&parser, data, size);
    return 0;
}
