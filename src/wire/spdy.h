// SPDX-License-Identifier: Apache-2.0
//
// The part of SPDY/3.1 that kubectl's exec, attach and port-forward use (spec/api.md 7.3), server
// side, sans-IO. No flow control: neither side does it. Header blocks are inflated with the SPDY
// dictionary; ours are written as stored blocks, each ended by an empty one, which Go's reader
// needs.
#ifndef CORACLE_WIRE_SPDY_H
#define CORACLE_WIRE_SPDY_H

#include "wire/http.h"

struct spdy;

struct spdy_events {
    /* A stream was opened by the client; answer with spdy_accept (or spdy_reset). */
    void (*open)(void *ctx, uint32_t stream, const struct http_header *headers, size_t count,
                 bool is_end);
    /* Data, in pieces as they come. A frame of no bytes is told only when is_end. */
    void (*data)(void *ctx, uint32_t stream, struct str bytes, bool is_end);
    void (*reset)(void *ctx, uint32_t stream);
    void (*goaway)(void *ctx); /* nothing is read any more */
};

struct spdy *spdy_new(const struct spdy_events *events, void *ctx, size_t out_bytes_max);
void spdy_free(struct spdy *spdy); /* not from inside an event */
/* Negative: the peer doesn't speak SPDY/3; nothing is read any more. */
MUST_CHECK int spdy_feed(struct spdy *spdy, struct str in, struct err *err);
void spdy_accept(struct spdy *spdy, uint32_t stream);
void spdy_send(struct spdy *spdy, uint32_t stream, struct str bytes, bool is_end);
void spdy_reset(struct spdy *spdy, uint32_t stream, uint32_t status);
void spdy_goaway(struct spdy *spdy);
/* Bytes for the client; taken by whoever sends them, with buf_clear. */
struct buf *spdy_out(struct spdy *spdy);

enum { SPDY_REFUSED_STREAM = 3, SPDY_CANCEL = 5, SPDY_INTERNAL_ERROR = 6 };

#endif
