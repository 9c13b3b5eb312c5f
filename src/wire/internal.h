// SPDX-License-Identifier: Apache-2.0
//
// The served connection and its exchange, shared by http_server.c (connections, requests) and
// exchange.c (replies).
#ifndef CORACLE_WIRE_INTERNAL_H
#define CORACLE_WIRE_INTERNAL_H

#include "base/list.h"
#include "wire/conn.h"
#include "wire/http.h"
#include "wire/http1.h"
#include "wire/http2.h"

enum { PEER_TEXT_MAX = 64 };

struct served; /* one connection of a server */

enum exchange_state {
    EXCHANGE_WAITING,   /* the request was given to the gate */
    EXCHANGE_STREAMING, /* http_stream_begin */
    EXCHANGE_RAW        /* http_upgrade */
};

struct http_exchange {
    struct http_request request;
    struct http1_message message; /* owns the arena */
    struct buf body;
    struct served *served;       /* NULL = the client is gone */
    struct http2_stream *stream; /* NULL = HTTP/1.1, or gone */
    enum exchange_state state;
    bool is_head;
    bool is_keep_alive;
    bool was_over; /* the backlog was over STREAM_BACKLOG_MAX */
    void (*drained)(void *ctx);
    void *drained_ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
    void (*bytes)(void *ctx, struct str bytes);
    void *bytes_ctx;
};

struct conn *served_conn(struct served *served);
usec served_wall(const struct served *served);
/* The exchange is over: next request, or the end of the connection. */
void served_over(struct served *served, bool is_keep_alive);
/* The client of a stream doesn't keep up: from now on it has idle_timeout for each move. */
void served_is_behind(struct served *served);
/* The connection changes hands: what was read too far goes to the exchange's bytes. */
void served_raw(struct served *served);
void exchange_free(struct http_exchange *x);

#endif
