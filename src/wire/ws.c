// SPDX-License-Identifier: Apache-2.0
//
// Frames: 2 bytes, length of 0, 2 or 8 more, 4 of mask, payload. The header is gathered whole, the
// payload is unmasked as it comes.
//
//   HEAD --header complete--> PAYLOAD --payload complete--> HEAD; any --close--> OVER
#include "wire/ws.h"

#include "base/enc.h"
#include "base/mem.h"

#include <openssl/sha.h>
#include <stdlib.h>

enum ws_opcode { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { WS_HEAD_MAX = 14, CONTROL_BYTES_MAX = 125 };
enum ws_state { WS_HEAD, WS_PAYLOAD, WS_OVER };

struct ws {
    struct ws_events events;
    void *ctx;
    enum ws_state state;
    unsigned char head[WS_HEAD_MAX];
    size_t head_n;
    unsigned opcode;
    bool is_final;
    uint64_t left; /* of the payload */
    size_t mask_at;
    unsigned char mask[4];
    bool is_in_message; /* a fragmented message is under way */
    bool is_text;
    struct buf message;
    struct buf control;
    struct buf out;
    bool is_close_sent;
    bool is_close_seen;
};

struct ws *ws_new(const struct ws_events *events, void *ctx, size_t message_bytes_max,
                  size_t out_bytes_max)
{
    struct ws *ws = xcalloc(1, sizeof *ws);
    ws->events = *events;
    ws->ctx = ctx;
    buf_init(&ws->message, message_bytes_max);
    buf_init(&ws->control, CONTROL_BYTES_MAX);
    buf_init(&ws->out, out_bytes_max);
    return ws;
}

void ws_free(struct ws *ws)
{
    if (ws != NULL) {
        buf_done(&ws->message);
        buf_done(&ws->control);
        buf_done(&ws->out);
        free(ws);
    }
}

static void put_frame(struct ws *ws, unsigned opcode, struct str head, struct str bytes)
{
    unsigned char h[10] = {(unsigned char)(0x80 | opcode)};
    size_t n = head.n + bytes.n;
    size_t h_n = 2;
    if (n < 126) {
        h[1] = (unsigned char)n;
    } else if (n <= UINT16_MAX) {
        h[1] = 126;
        h[2] = (unsigned char)(n >> 8);
        h[3] = (unsigned char)n;
        h_n = 4;
    } else {
        h[1] = 127;
        for (int i = 0; i < 8; i++) {
            h[2 + i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
        }
        h_n = 10;
    }
    (void)buf_add(&ws->out, (struct str){(const char *)h, h_n});
    (void)buf_add(&ws->out, head);
    (void)buf_add(&ws->out, bytes);
}

static void put_close(struct ws *ws, int code, struct str reason)
{
    if (!ws->is_close_sent) {
        char c[2] = {(char)(code >> 8), (char)code};
        ws->is_close_sent = true;
        put_frame(ws, OP_CLOSE, code == 0 ? S("") : (struct str){c, sizeof c},
                  str_sub(reason, 0, CONTROL_BYTES_MAX - 2));
    }
}

/* The client broke a rule: say so, hear nothing more. */
static void give_up(struct ws *ws, int code)
{
    ws->state = WS_OVER;
    put_close(ws, code, S(""));
    ws->is_close_seen = true;
    ws->events.closed(ws->ctx, code);
}

static void closed_by_client(struct ws *ws)
{
    struct str body = buf_str(&ws->control);
    int code = 0;
    if (body.n >= 2) {
        code = (unsigned char)body.p[0] << 8 | (unsigned char)body.p[1];
    }
    if (body.n == 1 || (body.n > 2 && utf8_valid_prefix(str_sub(body, 2, body.n)) != body.n - 2)) {
        give_up(ws, WS_PROTOCOL_ERROR);
        return;
    }
    ws->state = WS_OVER;
    ws->is_close_seen = true;
    put_close(ws, code, S(""));
    ws->events.closed(ws->ctx, code == 0 ? WS_NORMAL : code);
}

static void message_done(struct ws *ws)
{
    struct str text = buf_str(&ws->message);
    ws->is_in_message = false;
    if (ws->is_text && utf8_valid_prefix(text) != text.n) {
        give_up(ws, WS_BAD_DATA);
        return;
    }
    if (!ws->is_close_sent) {
        ws->events.message(ws->ctx, ws->is_text, text);
    }
    size_t max = ws->message.max;
    buf_done(&ws->message);
    buf_init(&ws->message, max);
}

static void frame_done(struct ws *ws)
{
    ws->state = WS_HEAD;
    ws->head_n = 0;
    if (ws->opcode == OP_CLOSE) {
        closed_by_client(ws);
    } else if (ws->opcode == OP_PING) {
        if (!ws->is_close_sent) {
            put_frame(ws, OP_PONG, S(""), buf_str(&ws->control));
        }
    } else if (ws->opcode != OP_PONG && ws->is_final) {
        message_done(ws);
    }
}

static bool is_frame_legal(const struct ws *ws)
{
    bool is_control = (ws->opcode & 8) != 0;
    bool is_known = ws->opcode <= OP_BINARY || (ws->opcode >= OP_CLOSE && ws->opcode <= OP_PONG);
    bool has_reserved = (ws->head[0] & 0x70) != 0;
    bool is_masked = (ws->head[1] & 0x80) != 0; /* clients must */
    if (!is_known || has_reserved || !is_masked) {
        return false;
    }
    if (is_control) {
        return ws->is_final && ws->left <= CONTROL_BYTES_MAX;
    }
    return (ws->opcode == OP_MORE) == ws->is_in_message;
}

/* Bytes that the header needs, as far as it is known. */
static size_t head_size(const struct ws *ws)
{
    if (ws->head_n < 2) {
        return 2;
    }
    unsigned len = ws->head[1] & 0x7f;
    return 2 + (len == 126 ? 2U : len == 127 ? 8U : 0U) + ((ws->head[1] & 0x80) != 0 ? 4U : 0U);
}

static void head_done(struct ws *ws)
{
    unsigned len = ws->head[1] & 0x7f;
    size_t len_n = len == 126 ? 2 : len == 127 ? 8 : 0;
    ws->opcode = ws->head[0] & 0x0f;
    ws->is_final = (ws->head[0] & 0x80) != 0;
    ws->left = len;
    if (len_n > 0) {
        ws->left = 0;
        for (size_t i = 0; i < len_n; i++) {
            ws->left = ws->left << 8 | ws->head[2 + i];
        }
    }
    if (!is_frame_legal(ws)) {
        give_up(ws, WS_PROTOCOL_ERROR);
        return;
    }
    memcpy(ws->mask, ws->head + 2 + len_n, sizeof ws->mask);
    ws->mask_at = 0;
    if ((ws->opcode & 8) != 0) {
        buf_clear(&ws->control);
    } else {
        if (ws->opcode != OP_MORE) {
            ws->is_text = ws->opcode == OP_TEXT;
            ws->is_in_message = true;
        }
        if (ws->left > ws->message.max - ws->message.n) {
            give_up(ws, WS_TOO_BIG);
            return;
        }
    }
    ws->state = WS_PAYLOAD;
    if (ws->left == 0) {
        frame_done(ws);
    }
}

static void feed_payload(struct ws *ws, struct str *in)
{
    struct buf *to = (ws->opcode & 8) != 0 ? &ws->control : &ws->message;
    size_t n = in->n < ws->left ? in->n : (size_t)ws->left;
    char *room = buf_room(to, n);
    if (room == NULL) {
        give_up(ws, WS_TOO_BIG);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        room[i] = (char)((unsigned char)in->p[i] ^ ws->mask[(ws->mask_at + i) & 3]);
    }
    buf_grew(to, n);
    ws->mask_at = (ws->mask_at + n) & 3;
    ws->left -= n;
    *in = str_sub(*in, n, in->n);
    if (ws->left == 0) {
        frame_done(ws);
    }
}

void ws_feed(struct ws *ws, struct str in)
{
    while (in.n > 0 && ws->state != WS_OVER) {
        if (ws->state == WS_PAYLOAD) {
            feed_payload(ws, &in);
            continue;
        }
        size_t missing = head_size(ws) - ws->head_n;
        size_t n = in.n < missing ? in.n : missing;
        memcpy(ws->head + ws->head_n, in.p, n);
        ws->head_n += n;
        in = str_sub(in, n, in.n);
        if (ws->head_n == head_size(ws)) {
            head_done(ws);
        }
    }
}

void ws_send(struct ws *ws, bool is_text, struct str bytes)
{
    if (!ws->is_close_sent) {
        put_frame(ws, is_text ? OP_TEXT : OP_BINARY, S(""), bytes);
    }
}

void ws_send_parts(struct ws *ws, struct str head, struct str bytes)
{
    if (!ws->is_close_sent) {
        put_frame(ws, OP_BINARY, head, bytes);
    }
}

void ws_close(struct ws *ws, int code, struct str reason)
{
    put_close(ws, code, reason);
}

bool ws_is_closed(const struct ws *ws)
{
    return ws->is_close_sent && ws->is_close_seen;
}

struct buf *ws_out(struct ws *ws)
{
    return &ws->out;
}

int ws_accept_key(struct buf *out, struct str key)
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    auto_buf struct buf text;
    unsigned char digest[SHA_DIGEST_LENGTH];
    buf_init(&text, 1024);
    if (buf_add(&text, key) < 0 || buf_add(&text, str_of(magic)) < 0) {
        return ERR_LIMIT;
    }
    (void)SHA1((const unsigned char *)text.p, text.n, digest);
    return base64_encode(out, (struct str){(const char *)digest, sizeof digest});
}
