// SPDX-License-Identifier: Apache-2.0
//
// Blobs as they come from archives and registries (plain, gzip, zstd): the same bytes, digests and
// verdict whether they are read from a file or from a pipe in small packets; the digests are those
// of what went in and came out; the ceiling holds.
#include "fuzz.h"

#include "base/mem.h"
#include "node/blob_stream.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { PLAIN_MAX = 1 << 20, PACKETS = 16, IN_MAX = 48 << 10 };

struct outcome {
    int code;
    struct buf plain;
    char blob_digest[DIGEST_TEXT_MAX];
    char plain_digest[DIGEST_TEXT_MAX];
    uint64_t blob_bytes;
};

static void read_all(int fd, struct outcome *ret)
{
    struct blob_stream *stream = blob_stream_new(fd, PLAIN_MAX);
    struct str chunk = S("x");
    struct err err = {0};
    buf_init(&ret->plain, PLAIN_MAX);
    ret->code = 0;
    while (ret->code == 0 && chunk.n > 0) {
        ret->code = blob_stream_next(stream, &chunk, &err);
        if (ret->code == 0) {
            must(buf_add(&ret->plain, chunk) == 0);
        }
    }
    if (ret->code == 0) {
        ret->code =
            blob_stream_finish(stream, ret->blob_digest, ret->plain_digest, &ret->blob_bytes, &err);
    }
    blob_stream_free(stream);
    (void)close(fd);
}

/* Each write is one read on the other side (O_DIRECT). */
static int packets(struct str in)
{
    int ends[2];
    must(pipe2(ends, O_CLOEXEC | O_DIRECT | O_NONBLOCK) == 0);
    size_t step = in.n / PACKETS + 1;
    for (size_t at = 0; at < in.n; at += step) {
        struct str packet = str_sub(in, at, at + step);
        must(write(ends[1], packet.p, packet.n) == (ssize_t)packet.n);
    }
    (void)close(ends[1]);
    return ends[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    char digest[DIGEST_TEXT_MAX];
    struct outcome whole;
    struct outcome cut;
    if (size > IN_MAX) {
        return 0;
    }
    read_all(fuzz_file(in), &whole);
    read_all(packets(in), &cut);
    must((whole.code == 0) == (cut.code == 0)); /* which limit is hit first may differ */
    if (whole.code == 0) {
        digest_of(in, digest);
        must(strcmp(digest, whole.blob_digest) == 0 && whole.blob_bytes == size);
        digest_of(buf_str(&whole.plain), digest);
        must(strcmp(digest, whole.plain_digest) == 0);
        must(strcmp(digest, cut.plain_digest) == 0);
    }
    buf_done(&whole.plain);
    buf_done(&cut.plain);
    return 0;
}
