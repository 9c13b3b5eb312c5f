// SPDX-License-Identifier: Apache-2.0
//
// HTTP/2 as a server (RFC 9113, by nghttp2): frames in, whole requests out; answers in, frames out.
// Sans-IO but for the timers of streams that don't move. What happens is noted while bytes are read
// or written, and told by http2_tell: nothing calls back from inside a call.
#ifndef CORACLE_WIRE_HTTP2_H
#define CORACLE_WIRE_HTTP2_H

#include "loop/loop.h"
#include "wire/http1.h"

struct http2;
struct http2_stream; /* one request and its answer; ends when both are over and http2_release came
                      */

struct http2_config {
    struct loop *loop;
    usec request_timeout; /* from a request's first byte to its last */
    usec stall_timeout;   /* an answer may stand still for so long while much of it waits */
    /* A request is whole, or refused (a code and why, as http_request has it). From http2_tell. */
    void (*request)(void *ctx, struct http2_stream *stream, int refused, struct str why);
    /* The client gave the stream up, or the session ended: its owner is told, once, and the stream
     * is gone. Not after http2_release. */
    void (*gone)(void *ctx, void *owner);
    /* All that was written is on its way, after more than STREAM_BACKLOG_MAX waited. */
    void (*drained)(void *ctx, void *owner);
    /* There is something to tell or to send: call http2_tell and http2_out soon. */
    void (*work)(void *ctx);
    void *ctx;
};
struct http2 *http2_new(const struct http2_config *config);
/* Tells gone for each stream that has an owner. */
void http2_free(struct http2 *h);
/* Bytes of the client. An error is the end: send what http2_out still has (it says why), close. */
MUST_CHECK int http2_feed(struct http2 *h, struct str bytes, struct err *err);
void http2_tell(struct http2 *h);
/* The next bytes to send, at most some 16 KiB; empty = nothing now. Borrowed until the next call.
 */
struct str http2_out(struct http2 *h);
/* Nothing comes or goes any more: goodbye was said, or a fault of the client's. */
bool http2_is_over(const struct http2 *h);
/* No stream is open: the connection is idle. */
bool http2_is_idle(const struct http2 *h);
/* Says goodbye: no new streams. */
void http2_go_away(struct http2 *h);

/* The request's message, once; message and body are the caller's from then on. */
void http2_take(struct http2_stream *stream, struct http1_message *ret, struct buf *ret_body);
void http2_own(struct http2_stream *stream, void *owner);
/* The answer: head, bytes, end. Names are lowered; what HTTP/2 forbids is left out. */
void http2_head(struct http2_stream *stream, int code, const struct http_header *headers,
                size_t count, bool is_end);
void http2_write(struct http2_stream *stream, struct str bytes);
void http2_end(struct http2_stream *stream);
size_t http2_backlog(const struct http2_stream *stream);
/* The owner is done with it; an answer without end is cut off. */
void http2_release(struct http2_stream *stream);

#endif
