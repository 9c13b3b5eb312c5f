// SPDX-License-Identifier: Apache-2.0
//
// A small HTTP/1.x server: one thread, one epoll loop, many connections. What it promises:
// (1) a reply leaves only after `commit` said that what its handler did is durable; all requests
//     of one turn share one commit;
// (2) a client that is slow, silent or sends nonsense costs one slot for a limited time;
// (3) SIGTERM and SIGINT let running requests end, then http_serve returns.
// It doesn't do TLS, bodies of requests, or compression: a Service's pod needs none of them.
#ifndef CORACLE_EXAMPLES_HTTP_SERVER_H
#define CORACLE_EXAMPLES_HTTP_SERVER_H

#include "http_request.h"

#include <stdint.h>

enum { HTTP_BODY_MAX = 256 * 1024 };

/* What a handler fills. Starts as 200 text/html with an empty body. */
struct http_reply {
    int status;
    const char *content_type; /* a literal */
    bool needs_commit;        /* 503 instead of this, should the commit fail */
    char *body;
    size_t body_len, body_cap;
};

/* Appends to the body, as printf; what goes over HTTP_BODY_MAX makes the reply a 500. */
void http_reply_printf(struct http_reply *reply, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends text with &, <, > and quotes escaped for HTML. */
void http_reply_text(struct http_reply *reply, const char *text);

struct http_options {
    uint16_t port;
    const char *pod; /* told in the header X-Pod of each reply, so clients see who answered */
    void (*handle)(void *ctx, const struct http_request *req, struct http_reply *reply);
    bool (*commit)(
        void *ctx); /* NULL = nothing to commit. False: the replies that needed it fail */
    void *ctx;
};

/* Serves until SIGTERM or SIGINT. 0, or -1 with the reason on stderr. */
int http_serve(const struct http_options *options);

#endif
