// SPDX-License-Identifier: Apache-2.0
#include "wire/spdy.h"

#include "test.h"

#include <zlib.h>

static void note_open(void *ctx, uint32_t stream, const struct http_header *headers, size_t count,
                      bool is_end)
{
    (void)buf_addf(ctx, "open %u%s", stream, is_end ? " end" : "");
    for (size_t i = 0; i < count; i++) {
        (void)buf_addf(ctx, " %.*s=%.*s", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    }
    (void)buf_addc(ctx, '\n');
}

static void note_data(void *ctx, uint32_t stream, struct str bytes, bool is_end)
{
    for (size_t i = 0; i < bytes.n; i++) {
        (void)buf_addf(ctx, "%u:%c\n", stream, bytes.p[i]);
    }
    if (is_end) {
        (void)buf_addf(ctx, "%u end\n", stream);
    }
}

static void note_reset(void *ctx, uint32_t stream)
{
    (void)buf_addf(ctx, "reset %u\n", stream);
}

static void note_goaway(void *ctx)
{
    (void)buf_addf(ctx, "goaway\n");
}

static const struct spdy_events events = {note_open, note_data, note_reset, note_goaway};

/* Go's client compresses with the dictionary; so does this. */
static void put_syn_stream(struct buf *out, z_stream *z, unsigned stream, struct str block)
{
    unsigned char packed[512];
    z->next_in = (Bytef *)(uintptr_t)block.p;
    z->avail_in = (uInt)block.n;
    z->next_out = packed;
    z->avail_out = sizeof packed;
    EXPECT_INT(Z_OK, deflate(z, Z_SYNC_FLUSH));
    size_t n = sizeof packed - z->avail_out;
    char head[18] = {(char)0x80, 3, 0, 1, 0, 0, (char)((n + 10) >> 8), (char)(n + 10)};
    head[11] = (char)stream;
    (void)buf_add(out, (struct str){head, sizeof head});
    (void)buf_add(out, (struct str){(const char *)packed, n});
}

static void dictionary(struct buf *out)
{
    static const char words[] =
        "options head post put delete trace accept accept-charset accept-encoding accept-language "
        "accept-ranges age allow authorization cache-control connection content-base "
        "content-encoding content-language content-length content-location content-md5 "
        "content-range content-type date etag expect expires from host if-match if-modified-since "
        "if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
        "proxy-authenticate proxy-authorization range referer retry-after server te trailer "
        "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status "
        "200+OK version HTTP/1.1 url public set-cookie keep-alive origin";
    static const char tail[] =
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
        "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 "
        "Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, "
        "Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/"
        "gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
        "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    for (struct str rest = str_of(words); rest.p != NULL;) {
        struct str word = str_cut(&rest, ' ');
        char n[4] = {0, 0, 0, (char)word.n};
        (void)buf_add(out, (struct str){n, 4});
        (void)buf_add(out, str_eq(word, S("200+OK")) ? S("200 OK") : word);
    }
    (void)buf_add(out, str_of(tail));
}

static void make_input(struct buf *in)
{
    z_stream z = {0};
    auto_buf struct buf dict;
    buf_init(&dict, 4096);
    dictionary(&dict);
    EXPECT_INT(1423, dict.n);
    EXPECT_INT(0xE3C6A7C2, adler32(adler32(0, NULL, 0), (const Bytef *)dict.p, 1423));
    EXPECT_INT(Z_OK, deflateInit(&z, 9));
    EXPECT_INT(Z_OK, deflateSetDictionary(&z, (const Bytef *)dict.p, (uInt)dict.n));
    put_syn_stream(in, &z, 1, S("\0\0\0\1\0\0\0\x0astreamtype\0\0\0\5error"));
    put_syn_stream(in, &z, 3,
                   S("\0\0\0\2\0\0\0\x0astreamtype\0\0\0\4data\0\0\0\4port\0\0\0\4"
                     "8080"));
    (void)deflateEnd(&z);
    (void)buf_add(in, S("\0\0\0\1\1\0\0\0"));                    /* FIN on 1 */
    (void)buf_add(in, S("\0\0\0\3\0\0\0\2hi\0\0\0\3\1\0\0\1!")); /* data */
    (void)buf_add(in, S("\x80\3\0\6\0\0\0\4\0\0\0\1"));          /* PING 1 */
    (void)buf_add(in, S("\x80\3\0\3\0\0\0\x8\0\0\0\3\0\0\0\5")); /* RST_STREAM */
    (void)buf_add(in, S("\x80\3\0\7\0\0\0\x8\0\0\0\0\0\0\0\0"));
}

TEST(spdy_reads_what_kubectl_sends_whole_and_bytewise)
{
    auto_buf struct buf in;
    buf_init(&in, 4096);
    make_input(&in);
    EXPECT_STR("\x78\xf9\xe3\xc6\xa7\xc2", str_sub(buf_str(&in), 18, 24));
    static const size_t steps[] = {1, 2, 5, 9, 4096};
    for (size_t i = 0; i < 5; i++) {
        auto_buf struct buf log;
        struct err err = {0};
        buf_init(&log, 4096);
        struct spdy *spdy = spdy_new(&events, &log, 4096);
        for (size_t at = 0; at < in.n; at += steps[i]) {
            EXPECT_OK(spdy_feed(spdy, str_sub(buf_str(&in), at, at + steps[i]), &err));
        }
        EXPECT_STR("open 1 streamtype=error\nopen 3 streamtype=data port=8080\n1 end\n"
                   "3:h\n3:i\n3:!\n3 end\nreset 3\ngoaway\n",
                   buf_str(&log));
        EXPECT_INT(12, spdy_out(spdy)->n); /* the ping's echo */
        spdy_free(spdy);
    }
}

TEST(spdy_reply_blocks_inflate_to_no_headers)
{
    struct spdy *spdy = spdy_new(&events, NULL, 4096);
    spdy_accept(spdy, 1);
    spdy_accept(spdy, 3);
    struct buf *out = spdy_out(spdy);
    EXPECT_INT(12 + 2 + 14 + 12 + 14, out->n);
    EXPECT_STR("\xff\xff", str_sub(buf_str(out), out->n - 2, out->n)); /* ends on a sync flush */
    z_stream z = {0};
    unsigned char plain[16];
    EXPECT_INT(Z_OK, inflateInit(&z));
    z.next_in = (Bytef *)out->p + 12;
    z.avail_in = 16;
    z.next_out = plain;
    z.avail_out = sizeof plain;
    EXPECT_INT(Z_OK, inflate(&z, Z_SYNC_FLUSH));
    EXPECT_INT(4, sizeof plain - z.avail_out);
    (void)inflateEnd(&z);
    spdy_free(spdy);
}

TEST(spdy_refuses_other_versions_and_huge_frames)
{
    static const struct str bad[] = {
        {"\x80\2\0\4\0\0\0\1x",                        9 },
        {"\x80\3\0\4\0\xff\xff\xff",                   8 },
        {"\x80\3\0\1\0\0\0\x0c\0\0\0\1\0\0\0\0\0\0zz", 20},
    };
    for (size_t i = 0; i < 3; i++) {
        struct err err = {0};
        struct spdy *spdy = spdy_new(&events, NULL, 4096);
        EXPECT(spdy_feed(spdy, bad[i], &err) < 0);
        spdy_free(spdy);
    }
}

/* A holder has let go of what it had; a stream that opens then would find it gone. */
TEST(spdy_reads_nothing_after_goodbye)
{
    auto_buf struct buf in;
    auto_buf struct buf log;
    struct err err = {0};
    buf_init(&in, 4096);
    buf_init(&log, 4096);
    make_input(&in);
    size_t once = in.n;
    (void)buf_add(&in, S("\0\0\0\3\0\0\0\2hi\x80\3\0\7\0\0\0\x8\0\0\0\0\0\0\0\0"));
    struct spdy *spdy = spdy_new(&events, &log, 4096);
    EXPECT_OK(spdy_feed(spdy, buf_str(&in), &err));
    EXPECT_OK(spdy_feed(spdy, str_sub(buf_str(&in), once, in.n), &err));
    EXPECT(str_ends(buf_str(&log), S("reset 3\ngoaway\n")));
    spdy_free(spdy);
}
