// SPDX-License-Identifier: Apache-2.0
#include "wire/ws.h"

#include "test.h"

#define SC(text)                                                                                   \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static void note_message(void *ctx, bool is_text, struct str bytes)
{
    (void)buf_addf(ctx, "%c:%.*s\n", is_text ? 't' : 'b', STR_ARG(bytes));
}

static void note_closed(void *ctx, int code)
{
    (void)buf_addf(ctx, "close %d\n", code);
}

/* The events of a text, fed in pieces of step bytes; then what is to be sent. */
static void run(struct str in, size_t step, struct buf *log)
{
    static const struct ws_events events = {note_message, note_closed};
    struct ws *ws = ws_new(&events, log, 300, 4096);
    for (size_t at = 0; at < in.n; at += step) {
        ws_feed(ws, str_sub(in, at, at + step));
    }
    (void)buf_add(log, S("out="));
    (void)buf_add(log, buf_str(ws_out(ws)));
    ws_free(ws);
}

TEST(ws_reads_frames_whole_and_bytewise)
{
    static const struct {
        struct str in;
        const char *want;
    } cases[] = {
  /* RFC 6455 section 5.7: a masked "Hello". */
        {SC("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "t:Hello\nout="                   },
 /* Two fragments with a ping between them. */
        {SC("\x02\x82\0\0\0\0"
            "ab"
            "\x89\x81\0\0\0\0"
            "p"
            "\x80\x81\0\0\0\0"
            "c"),
         "b:abc\nout=\x8a\x01p"                                                                },
 /* kubectl's stdin end on v5: FF 00 reads as a message of two bytes. */
        {SC("\x82\x82\0\0\0\0"
            "\x7f"
            "0"),
         "b:\x7f"
         "0\nout="                                                                             },
 /* Close 1000 is echoed; nothing after it is heard. */
        {SC("\x88\x82\0\0\0\0\x03\xe8\x82\x81\0\0\0\0x"),    "close 1000\nout=\x88\x02\x03\xe8"},
 /* Not masked, reserved bits, unknown opcode, a continuation of nothing. */
        {SC("\x82\x01x"),                                    "close 1002\nout=\x88\x02\x03\xea"},
        {SC("\xc2\x81\0\0\0\0x"),                            "close 1002\nout=\x88\x02\x03\xea"},
        {SC("\x83\x81\0\0\0\0x"),                            "close 1002\nout=\x88\x02\x03\xea"},
        {SC("\x80\x81\0\0\0\0x"),                            "close 1002\nout=\x88\x02\x03\xea"},
 /* Over the ceiling of 300 bytes; text that isn't UTF-8. */
        {SC("\x82\xfe\x01\x2d\0\0\0\0"),                     "close 1009\nout=\x88\x02\x03\xf1"},
        {SC("\x81\x81\0\0\0\0\xff"),                         "close 1007\nout=\x88\x02\x03\xef"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step < 20; step += 3) {
            auto_buf struct buf log;
            buf_init(&log, 4096);
            run(cases[i].in, step, &log);
            EXPECT_STR(cases[i].want, buf_str(&log));
        }
    }
}

TEST(ws_accepts_the_key_of_the_rfc)
{
    auto_buf struct buf out;
    buf_init(&out, 100);
    EXPECT_INT(0, ws_accept_key(&out, S("dGhlIHNhbXBsZSBub25jZQ==")));
    EXPECT_STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", buf_str(&out));
}

TEST(ws_writes_all_three_lengths)
{
    static const size_t sizes[] = {125, 126, 65535, 65536};
    static const size_t heads[] = {2, 4, 4, 10};
    static char bytes[65536];
    static const struct ws_events events = {note_message, note_closed};
    for (size_t i = 0; i < 4; i++) {
        struct ws *ws = ws_new(&events, NULL, 10, 100000);
        ws_send(ws, false, (struct str){bytes, sizes[i]});
        EXPECT_INT(heads[i] + sizes[i], ws_out(ws)->n);
        ws_free(ws);
    }
}
