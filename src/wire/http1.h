// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 messages out of bytes (llhttp, strict): one message at a time, whole. Sans-IO: the
// result is the same however the bytes are split (fuzzed).
#ifndef CORACLE_WIRE_HTTP1_H
#define CORACLE_WIRE_HTTP1_H

#include "base/arena.h"
#include "wire/http.h"

struct http1;

struct http1_message {
    struct str method; /* request */
    struct str target;
    int code; /* response */
    struct http_header *headers;
    size_t headers_count;
    struct str body; /* lives in the parser until http1_next */
    bool is_keep_alive;
    bool is_http10;
    bool is_upgrade;     /* asks for another protocol */
    bool is_body_cut;    /* response: more than body_bytes_max came and was dropped */
    struct arena *arena; /* holds all but the body; taken over by the caller */
};

enum { HTTP1_MORE = 0, HTTP1_MESSAGE = 1, HTTP1_CONTINUE = 2 };

struct http1 *http1_new_request(size_t head_bytes_max, size_t body_bytes_max);
/* is_head: the answer to HEAD, which has no body. */
struct http1 *http1_new_response(size_t head_bytes_max, size_t body_bytes_max, bool is_head);
void http1_free(struct http1 *h); /* NULL is fine */
/* Feeds bytes up to the end of one message. HTTP1_CONTINUE: headers came with "Expect:
 * 100-continue" and the body is awaited; feed on with the rest. ERR_SYNTAX: not HTTP; ERR_LIMIT:
 * head or body over its ceiling (http1_is_head_over tells which). */
MUST_CHECK int http1_feed(struct http1 *h, struct str in, size_t *ret_used, struct err *err);
/* A response may end with the connection: HTTP1_MESSAGE or an error. */
MUST_CHECK int http1_end(struct http1 *h, struct err *err);
/* The message; once, after HTTP1_MESSAGE or after an error (then with what is known). */
void http1_take(struct http1 *h, struct http1_message *ret);
bool http1_is_head_over(const struct http1 *h);
bool http1_is_in_head(const struct http1 *h); /* headers are not complete yet */
bool http1_is_idle(const struct http1 *h);    /* no byte of a message yet */
void http1_next(struct http1 *h);             /* ready for the next message */

/* Value of a header, names compared without case. */
struct str http1_header(const struct http_header *headers, size_t count, struct str name);
bool str_eq_nocase(struct str a, struct str b);
/* True when a comma-separated header value holds the token, without case. */
bool http1_has_token(struct str value, struct str token);

#endif
