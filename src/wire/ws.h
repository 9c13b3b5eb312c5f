// SPDX-License-Identifier: Apache-2.0
//
// WebSocket, server side (RFC 6455), sans-IO: bytes in through ws_feed, whole messages out through
// a callback, bytes to send gathered in ws_out. Pings are answered, a close is echoed, extensions
// are not offered.
#ifndef CORACLE_WIRE_WS_H
#define CORACLE_WIRE_WS_H

#include "base/str.h"

struct ws;

enum {
    WS_NORMAL = 1000,
    WS_PROTOCOL_ERROR = 1002,
    WS_BAD_DATA = 1007,
    WS_TOO_BIG = 1009,
    WS_FAILED = 1011
};

struct ws_events {
    /* A whole message; borrowed for the call. */
    void (*message)(void *ctx, bool is_text, struct str bytes);
    /* The client's close frame, or our own verdict on what it sent; once, nothing comes after it.
     * The answering frame is in ws_out already. */
    void (*closed)(void *ctx, int code);
};

/* messages over message_bytes_max end the connection with 1009; out_bytes_max caps ws_out. */
struct ws *ws_new(const struct ws_events *events, void *ctx, size_t message_bytes_max,
                  size_t out_bytes_max);
void ws_free(struct ws *ws); /* not from inside an event */
/* What comes after a close is ignored. */
void ws_feed(struct ws *ws, struct str in);
void ws_send(struct ws *ws, bool is_text, struct str bytes);
/* The same for a binary message of two parts. */
void ws_send_parts(struct ws *ws, struct str head, struct str bytes);
void ws_close(struct ws *ws, int code, struct str reason); /* once; sends after it are dropped */
bool ws_is_closed(const struct ws *ws);                    /* both sides have said close */
/* Bytes for the client; taken by whoever sends them, with buf_clear. */
struct buf *ws_out(struct ws *ws);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key. */
int ws_accept_key(struct buf *out, struct str key);

#endif
