// SPDX-License-Identifier: Apache-2.0
//
// Frames: 8 bytes of head, then a payload. Control payloads are gathered (CONTROL_BYTES_MAX), data
// passes through as it comes. Stream ids are not tracked: who holds the engine knows its streams.
#include "wire/spdy.h"

#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    FRAME_HEAD = 8,
    CONTROL_BYTES_MAX = 64 << 10, /* a compressed header block; kubectl's are under 200 bytes */
    BLOCK_BYTES_MAX = 64 << 10,   /* inflated */
    SPDY_HEADERS_MAX = 64,
    SPDY_VERSION = 3
};

enum spdy_type {
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    HEADERS = 8,
    WINDOW_UPDATE = 9
};
enum { FLAG_FIN = 1 };

enum spdy_state { SPDY_HEAD, SPDY_CONTROL, SPDY_DATA, SPDY_OVER };

struct spdy {
    struct spdy_events events;
    void *ctx;
    enum spdy_state state;
    unsigned char head[FRAME_HEAD];
    size_t head_n;
    size_t left;
    struct buf control;
    struct buf block;
    z_stream inflate;
    struct buf out;
    bool is_out_begun; /* the zlib header of our direction was written */
};

static const char *const dictionary_words[] = {"options",
                                               "head",
                                               "post",
                                               "put",
                                               "delete",
                                               "trace",
                                               "accept",
                                               "accept-charset",
                                               "accept-encoding",
                                               "accept-language",
                                               "accept-ranges",
                                               "age",
                                               "allow",
                                               "authorization",
                                               "cache-control",
                                               "connection",
                                               "content-base",
                                               "content-encoding",
                                               "content-language",
                                               "content-length",
                                               "content-location",
                                               "content-md5",
                                               "content-range",
                                               "content-type",
                                               "date",
                                               "etag",
                                               "expect",
                                               "expires",
                                               "from",
                                               "host",
                                               "if-match",
                                               "if-modified-since",
                                               "if-none-match",
                                               "if-range",
                                               "if-unmodified-since",
                                               "last-modified",
                                               "location",
                                               "max-forwards",
                                               "pragma",
                                               "proxy-authenticate",
                                               "proxy-authorization",
                                               "range",
                                               "referer",
                                               "retry-after",
                                               "server",
                                               "te",
                                               "trailer",
                                               "transfer-encoding",
                                               "upgrade",
                                               "user-agent",
                                               "vary",
                                               "via",
                                               "warning",
                                               "www-authenticate",
                                               "method",
                                               "get",
                                               "status",
                                               "200 OK",
                                               "version",
                                               "HTTP/1.1",
                                               "url",
                                               "public",
                                               "set-cookie",
                                               "keep-alive",
                                               "origin"};
static const char dictionary_tail[] =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 "
    "Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
    "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service "
    "UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/"
    "xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-"
    "8charset=iso-8859-1,utf-,*,enq=0.";
enum { DICTIONARY_BYTES = 1423 };

static void put32(struct buf *out, uint32_t v)
{
    char b[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    (void)buf_add(out, (struct str){b, sizeof b});
}

static uint32_t get32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int set_dictionary(z_stream *z)
{
    auto_buf struct buf dictionary;
    buf_init(&dictionary, DICTIONARY_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(dictionary_words); i++) {
        struct str word = str_of(dictionary_words[i]);
        put32(&dictionary, (uint32_t)word.n);
        (void)buf_add(&dictionary, word);
    }
    (void)buf_add(&dictionary, str_of(dictionary_tail));
    return inflateSetDictionary(z, (const Bytef *)dictionary.p, (uInt)dictionary.n);
}

struct spdy *spdy_new(const struct spdy_events *events, void *ctx, size_t out_bytes_max)
{
    struct spdy *spdy = xcalloc(1, sizeof *spdy);
    spdy->events = *events;
    spdy->ctx = ctx;
    buf_init(&spdy->control, CONTROL_BYTES_MAX);
    buf_init(&spdy->block, BLOCK_BYTES_MAX);
    buf_init(&spdy->out, out_bytes_max);
    if (inflateInit(&spdy->inflate) != Z_OK) {
        abort(); /* out of memory */
    }
    return spdy;
}

void spdy_free(struct spdy *spdy)
{
    if (spdy != NULL) {
        (void)inflateEnd(&spdy->inflate);
        buf_done(&spdy->control);
        buf_done(&spdy->block);
        buf_done(&spdy->out);
        free(spdy);
    }
}

/* Inflates one header block; the stream's window goes on over all blocks. */
static int inflate_block(struct spdy *spdy, struct str in, struct err *err)
{
    z_stream *z = &spdy->inflate;
    unsigned char bytes[CONTROL_BYTES_MAX / 16];
    buf_clear(&spdy->block);
    auto_free char *copy = xmalloc(in.n + 1);
    memcpy(copy, in.p, in.n);
    z->next_in = (Bytef *)copy;
    z->avail_in = (uInt)in.n;
    for (;;) {
        z->next_out = bytes;
        z->avail_out = sizeof bytes;
        int r = inflate(z, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT && set_dictionary(z) == Z_OK) {
            continue;
        }
        size_t n = sizeof bytes - z->avail_out;
        if (buf_add(&spdy->block, (struct str){(const char *)bytes, n}) < 0) {
            return err_set(err, ERR_LIMIT, "SPDY header block over %d bytes", BLOCK_BYTES_MAX);
        }
        if (r == Z_BUF_ERROR || (r == Z_OK && z->avail_out > 0 && z->avail_in == 0)) {
            return 0;
        }
        if (r != Z_OK) {
            return err_set(err, ERR_SYNTAX, "SPDY header block: zlib error %d", r);
        }
    }
}

static bool take_text(struct str *rest, struct str *ret)
{
    if (rest->n < 4) {
        return false;
    }
    size_t n = get32(rest->p);
    if (n > rest->n - 4) {
        return false;
    }
    *ret = str_sub(*rest, 4, 4 + n);
    *rest = str_sub(*rest, 4 + n, rest->n);
    return true;
}

static int read_headers(struct spdy *spdy, struct str compressed,
                        struct http_header headers[static SPDY_HEADERS_MAX], size_t *ret_count,
                        struct err *err)
{
    int r = inflate_block(spdy, compressed, err);
    if (r < 0) {
        return r;
    }
    struct str rest = buf_str(&spdy->block);
    size_t count = rest.n < 4 ? 0 : get32(rest.p);
    if (rest.n < 4 || count > SPDY_HEADERS_MAX) {
        return err_set(err, ERR_SYNTAX, "SPDY header block with %zu headers", count);
    }
    rest = str_sub(rest, 4, rest.n);
    for (size_t i = 0; i < count; i++) {
        if (!take_text(&rest, &headers[i].name) || !take_text(&rest, &headers[i].value)) {
            return err_set(err, ERR_SYNTAX, "SPDY header block ends early");
        }
    }
    *ret_count = count;
    return 0;
}

static void put_control(struct spdy *spdy, enum spdy_type type, uint32_t length)
{
    put32(&spdy->out, 0x80000000U | SPDY_VERSION << 16 | (uint32_t)type);
    put32(&spdy->out, length); /* flags 0 */
}

static int on_syn_stream(struct spdy *spdy, struct str payload, unsigned flags, struct err *err)
{
    struct http_header headers[SPDY_HEADERS_MAX];
    size_t count = 0;
    if (payload.n < 10) {
        return err_set(err, ERR_SYNTAX, "SPDY SYN_STREAM of %zu bytes", payload.n);
    }
    uint32_t stream = get32(payload.p) & 0x7fffffffU;
    int r = read_headers(spdy, str_sub(payload, 10, payload.n), headers, &count, err);
    if (r == 0) {
        spdy->events.open(spdy->ctx, stream, headers, count, (flags & FLAG_FIN) != 0);
    }
    return r;
}

static int on_control(struct spdy *spdy, struct err *err)
{
    struct str payload = buf_str(&spdy->control);
    unsigned version = (unsigned)(spdy->head[0] & 0x7f) << 8 | spdy->head[1];
    unsigned type = (unsigned)spdy->head[2] << 8 | spdy->head[3];
    struct http_header headers[SPDY_HEADERS_MAX];
    size_t count = 0;
    if (version != SPDY_VERSION) {
        return err_set(err, ERR_SYNTAX, "SPDY version %u, expected 3", version);
    }
    if (type == SYN_STREAM) {
        return on_syn_stream(spdy, payload, spdy->head[4], err);
    }
    if ((type == SYN_REPLY || type == HEADERS) && payload.n >= 4) {
        /* Only for the zlib window. */
        return read_headers(spdy, str_sub(payload, 4, payload.n), headers, &count, err);
    }
    if (type == RST_STREAM && payload.n >= 4) {
        spdy->events.reset(spdy->ctx, get32(payload.p) & 0x7fffffffU);
    } else if (type == PING && payload.n >= 4 && (get32(payload.p) & 1) != 0) {
        put_control(spdy, PING, 4);
        put32(&spdy->out, get32(payload.p));
    } else if (type == GOAWAY) {
        spdy->state = SPDY_OVER;
        spdy->events.goaway(spdy->ctx);
    }
    return 0;
}

static int head_done(struct spdy *spdy, struct err *err)
{
    spdy->left = (size_t)spdy->head[5] << 16 | (size_t)spdy->head[6] << 8 | spdy->head[7];
    spdy->head_n = 0;
    if ((spdy->head[0] & 0x80) == 0) {
        uint32_t stream = get32((const char *)spdy->head);
        spdy->state = spdy->left == 0 ? SPDY_HEAD : SPDY_DATA;
        if (spdy->left == 0 && (spdy->head[4] & FLAG_FIN) != 0) {
            spdy->events.data(spdy->ctx, stream, S(""), /*is_end=*/true);
        }
        return 0;
    }
    if (spdy->left > CONTROL_BYTES_MAX) {
        return err_set(err, ERR_LIMIT, "SPDY control frame of %zu bytes", spdy->left);
    }
    buf_clear(&spdy->control);
    spdy->state = spdy->left == 0 ? SPDY_HEAD : SPDY_CONTROL;
    return spdy->left == 0 ? on_control(spdy, err) : 0;
}

static int feed_frame(struct spdy *spdy, struct str *in, struct err *err)
{
    size_t n = in->n < spdy->left ? in->n : spdy->left;
    struct str piece = str_sub(*in, 0, n);
    *in = str_sub(*in, n, in->n);
    spdy->left -= n;
    if (spdy->state == SPDY_DATA) {
        bool is_end = spdy->left == 0 && (spdy->head[4] & FLAG_FIN) != 0;
        spdy->state = spdy->left == 0 ? SPDY_HEAD : SPDY_DATA;
        spdy->events.data(spdy->ctx, get32((const char *)spdy->head), piece, is_end);
        return 0;
    }
    (void)buf_add(&spdy->control, piece);
    if (spdy->left > 0) {
        return 0;
    }
    spdy->state = SPDY_HEAD;
    return on_control(spdy, err);
}

int spdy_feed(struct spdy *spdy, struct str in, struct err *err)
{
    int r = 0;
    while (in.n > 0 && r == 0 && spdy->state != SPDY_OVER) {
        if (spdy->state == SPDY_CONTROL || spdy->state == SPDY_DATA) {
            r = feed_frame(spdy, &in, err);
            continue;
        }
        size_t missing = FRAME_HEAD - spdy->head_n;
        size_t n = in.n < missing ? in.n : missing;
        memcpy(spdy->head + spdy->head_n, in.p, n);
        spdy->head_n += n;
        in = str_sub(in, n, in.n);
        if (spdy->head_n == FRAME_HEAD) {
            r = head_done(spdy, err);
        }
    }
    if (r < 0) {
        spdy->state = SPDY_OVER;
    }
    return r;
}

void spdy_accept(struct spdy *spdy, uint32_t stream)
{
    /* No headers: the block is a count of 0, as stored deflate blocks (RFC 1951 section 3.2.4). */
    static const char begin[] = {0x78, 0x01};
    static const char block[] = {0, 4, 0, (char)0xfb, (char)0xff, 0, 0, 0, 0};
    static const char flush[] = {0, 0, 0, (char)0xff, (char)0xff};
    size_t n = (spdy->is_out_begun ? 0 : sizeof begin) + sizeof block + sizeof flush;
    put_control(spdy, SYN_REPLY, (uint32_t)(4 + n));
    put32(&spdy->out, stream);
    if (!spdy->is_out_begun) {
        (void)buf_add(&spdy->out, (struct str){begin, sizeof begin});
        spdy->is_out_begun = true;
    }
    (void)buf_add(&spdy->out, (struct str){block, sizeof block});
    (void)buf_add(&spdy->out, (struct str){flush, sizeof flush});
}

void spdy_send(struct spdy *spdy, uint32_t stream, struct str bytes, bool is_end)
{
    enum { DATA_BYTES_MAX = 64 << 10 };
    do {
        struct str piece = str_sub(bytes, 0, DATA_BYTES_MAX);
        bytes = str_sub(bytes, piece.n, bytes.n);
        uint32_t flags = is_end && bytes.n == 0 ? FLAG_FIN : 0;
        put32(&spdy->out, stream);
        put32(&spdy->out, flags << 24 | (uint32_t)piece.n);
        (void)buf_add(&spdy->out, piece);
    } while (bytes.n > 0);
}

void spdy_reset(struct spdy *spdy, uint32_t stream, uint32_t status)
{
    put_control(spdy, RST_STREAM, 8);
    put32(&spdy->out, stream);
    put32(&spdy->out, status);
}

void spdy_goaway(struct spdy *spdy)
{
    put_control(spdy, GOAWAY, 8);
    put32(&spdy->out, 0);
    put32(&spdy->out, 0);
}

struct buf *spdy_out(struct spdy *spdy)
{
    return &spdy->out;
}
