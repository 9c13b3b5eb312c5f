// SPDX-License-Identifier: Apache-2.0
#include "node/blob_stream.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { CHUNK_BYTES = 64 << 10, MAGIC_BYTES = 4 };

enum encoding { ENCODING_UNKNOWN, ENCODING_PLAIN, ENCODING_GZIP, ENCODING_ZSTD };

struct blob_stream {
    int fd;
    enum encoding encoding;
    uint64_t plain_max;
    uint64_t plain_bytes;
    uint64_t blob_bytes;
    struct digest *blob_hash;
    struct digest *plain_hash;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool is_between; /* compressed members may follow one another; the end may come here */
    size_t in_at;
    size_t in_n;
    unsigned char in[CHUNK_BYTES];
    unsigned char out[CHUNK_BYTES];
};

struct blob_stream *blob_stream_new(int fd, uint64_t plain_max)
{
    struct blob_stream *s = xcalloc(1, sizeof *s);
    s->fd = fd;
    s->plain_max = plain_max;
    s->blob_hash = digest_new();
    s->plain_hash = digest_new();
    return s;
}

void blob_stream_free(struct blob_stream *s)
{
    if (s == NULL) {
        return;
    }
    if (s->encoding == ENCODING_GZIP) {
        (void)inflateEnd(&s->gzip);
    }
    (void)ZSTD_freeDStream(s->zstd);
    digest_free(s->blob_hash);
    digest_free(s->plain_hash);
    free(s);
}

/* Appends what one read gives; nothing at the end. */
static int read_more(struct blob_stream *s, struct err *err)
{
    ssize_t n;
    do {
        n = read(s->fd, s->in + s->in_n, sizeof s->in - s->in_n);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return err_errno(err, "read");
    }
    digest_add(s->blob_hash, (struct str){(const char *)s->in + s->in_n, (size_t)n});
    s->in_n += (size_t)n;
    s->blob_bytes += (uint64_t)n;
    return 0;
}

/* Keeps the input non-empty until the file ends. */
static int refill(struct blob_stream *s, struct err *err)
{
    if (s->in_at < s->in_n) {
        return 0;
    }
    s->in_at = 0;
    s->in_n = 0;
    return read_more(s, err);
}

static int recognise(struct blob_stream *s, struct err *err)
{
    for (size_t before = SIZE_MAX; s->in_n < MAGIC_BYTES && s->in_n != before;) { /* pipes */
        before = s->in_n;
        if (read_more(s, err) < 0) {
            return err->code;
        }
    }
    s->encoding = ENCODING_PLAIN;
    if (s->in_n >= 2 && s->in[0] == 0x1f && s->in[1] == 0x8b) {
        s->encoding = ENCODING_GZIP;
        if (inflateInit2(&s->gzip, 15 + 16 /* gzip */) != Z_OK) {
            abort(); /* out of memory */
        }
    } else if (s->in_n >= MAGIC_BYTES && memcmp(s->in, "\x28\xb5\x2f\xfd", MAGIC_BYTES) == 0) {
        s->encoding = ENCODING_ZSTD;
        s->zstd = ZSTD_createDStream();
        /* 128 MiB windows, as zstd's own command accepts. */
        (void)ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, 27);
    }
    return 0;
}

static int gzip_step(struct blob_stream *s, size_t *ret_n, struct err *err)
{
    if (s->is_between && inflateReset(&s->gzip) != Z_OK) {
        return err_set(err, ERR_INTERNAL, "gzip reset");
    }
    s->is_between = false;
    s->gzip.next_in = s->in + s->in_at;
    s->gzip.avail_in = (unsigned)(s->in_n - s->in_at);
    s->gzip.next_out = s->out;
    s->gzip.avail_out = sizeof s->out;
    int r = inflate(&s->gzip, Z_NO_FLUSH);
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) {
        return err_set(err, ERR_CORRUPT, "gzip data are damaged: %s",
                       s->gzip.msg == NULL ? "no detail" : s->gzip.msg);
    }
    s->is_between = r == Z_STREAM_END;
    s->in_at = s->in_n - s->gzip.avail_in;
    *ret_n = sizeof s->out - s->gzip.avail_out;
    return 0;
}

static int zstd_step(struct blob_stream *s, size_t *ret_n, struct err *err)
{
    ZSTD_inBuffer in = {s->in, s->in_n, s->in_at};
    ZSTD_outBuffer out = {s->out, sizeof s->out, 0};
    size_t r = ZSTD_decompressStream(s->zstd, &out, &in);
    if (ZSTD_isError(r)) {
        return err_set(err, ERR_CORRUPT, "zstd data are damaged: %s", ZSTD_getErrorName(r));
    }
    s->is_between = r == 0;
    s->in_at = in.pos;
    *ret_n = out.pos;
    return 0;
}

int blob_stream_next(struct blob_stream *s, struct str *ret, struct err *err)
{
    size_t n = 0;
    if (s->encoding == ENCODING_UNKNOWN && recognise(s, err) < 0) {
        return err->code;
    }
    while (n == 0) {
        if (refill(s, err) < 0) {
            return err->code;
        }
        bool is_end = s->in_n == 0;
        if (s->encoding == ENCODING_PLAIN) {
            n = s->in_n;
            memcpy(s->out, s->in, n);
            s->in_at = n;
        } else if (is_end && s->is_between) {
            n = 0;
        } else {
            int r = s->encoding == ENCODING_GZIP ? gzip_step(s, &n, err) : zstd_step(s, &n, err);
            if (r < 0) {
                return r;
            }
            if (is_end && n == 0) {
                return err_set(err, ERR_CORRUPT, "compressed data end too early");
            }
        }
        if (is_end && n == 0) {
            break;
        }
    }
    s->plain_bytes += n;
    if (s->plain_bytes > s->plain_max) {
        return err_set(err, ERR_LIMIT, "unpacks to more than %llu bytes",
                       (unsigned long long)s->plain_max);
    }
    digest_add(s->plain_hash, (struct str){(const char *)s->out, n});
    *ret = (struct str){(const char *)s->out, n};
    return 0;
}

int blob_stream_finish(struct blob_stream *s, char blob[static DIGEST_TEXT_MAX],
                       char plain[static DIGEST_TEXT_MAX], uint64_t *ret_blob_bytes,
                       struct err *err)
{
    struct str chunk = S("x");
    while (chunk.n > 0) {
        if (blob_stream_next(s, &chunk, err) < 0) {
            return err->code;
        }
    }
    digest_text(s->blob_hash, blob);
    digest_text(s->plain_hash, plain);
    *ret_blob_bytes = s->blob_bytes;
    return 0;
}
