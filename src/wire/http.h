// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 over TLS, served and spoken: engines on llhttp and OpenSSL, glued to the loop. Requests
// arrive whole (body capped at BODY_BYTES_MAX); replies go out whole or as streams with
// backpressure.
#ifndef CORACLE_WIRE_HTTP_H
#define CORACLE_WIRE_HTTP_H

#include "base/arena.h"
#include "loop/loop.h"

#include <stdint.h>

struct http_header {
    struct str name; /* as sent; compare without case */
    struct str value;
};

struct http_request {
    struct str method;
    struct str target; /* "/api/v1/pods?limit=5" */
    struct str path;   /* percent-decoded */
    struct str query;  /* raw, without '?' */
    struct http_header *headers;
    size_t headers_count;
    struct str body;
    int refused; /* not 0: the request could not be read; the gate words this code (400, 413, 431)
                    with why, and the connection ends after it */
    struct str why;
    bool has_client_cert;
    bool has_bad_cert;             /* one came that doesn't verify */
    struct str cert_name;          /* subject CN of a verified client certificate */
    const struct str *cert_groups; /* its O values */
    size_t cert_groups_count;
    struct str peer;     /* "127.0.0.1:5000" */
    struct arena *arena; /* freed when the exchange is over, or by http_forget_request */
    struct http_exchange *exchange;
};
struct str http_header(const struct http_request *request, struct str name); /* first, or empty */
/* First (index 0), second … value of a query parameter, percent-decoded in the arena; false when
 * absent. */
bool http_query(const struct http_request *request, struct str name, size_t index, struct str *ret);

/* One request and its answer. Always ended by its holder: http_reply, http_stream_end or
 * http_raw_close; x and the request are invalid afterwards. When the client goes first, closed is
 * called once; what is sent from then on is dropped, and the exchange still has to be ended (from
 * inside closed or later), so that work on its way keeps its arena. */
struct http_exchange;
void http_reply(struct http_exchange *x, int code, const struct http_header *headers, size_t count,
                struct str body);
/* Starts a chunked reply; headers are sent at once. */
void http_stream_begin(struct http_exchange *x, int code, const struct http_header *headers,
                       size_t count);
void http_stream_write(struct http_exchange *x, struct str bytes);
void http_stream_end(struct http_exchange *x);
/* Forgets the request, its strings, body and arena, before the exchange's end: for streams that
 * last. */
void http_forget_request(struct http_exchange *x);
/* Bytes waiting to be sent; drained(ctx) is called when it falls to 0 after having been over
 * STREAM_BACKLOG_MAX. */
size_t http_backlog(const struct http_exchange *x);
bool http_is_gone(const struct http_exchange *x); /* the client went */
void http_on_drained(struct http_exchange *x, void (*drained)(void *ctx), void *ctx);
void http_on_closed(struct http_exchange *x, void (*closed)(void *ctx), void *ctx);
/* Answers 101 with these headers and hands the connection over: bytes(ctx, …) gets what arrives,
 * closed as above. raw_write and raw_close speak on it. */
void http_upgrade(struct http_exchange *x, const struct http_header *headers, size_t count,
                  void (*bytes)(void *ctx, struct str bytes), void *ctx);
/* The same with a head of the holder's own making instead of the 101. */
void http_raw_begin(struct http_exchange *x, struct str head,
                    void (*bytes)(void *ctx, struct str bytes), void *ctx);
void http_raw_write(struct http_exchange *x, struct str bytes);
void http_raw_pause(struct http_exchange *x, bool is_paused); /* stops reading */
void http_raw_close(struct http_exchange *x);                 /* after what is waiting was sent */

/* Serving. */
struct tls_server; /* wire/tls.h */
struct http_server;
struct http_server_config {
    struct loop *loop;
    struct tls_server *tls; /* NULL = plain */
    void (*request)(void *ctx, struct http_request *request);
    void *ctx;
    /* 0 = the default */
    usec head_timeout;      /* all headers of a request within 10 s */
    usec body_timeout;      /* its body within 60 s from there */
    usec idle_timeout;      /* 180 s between requests */
    size_t connections_max; /* CONNECTIONS_MAX; more are closed at once */
};
struct http_server *http_server_new(const struct http_server_config *config);
/* Accepts on a listening socket (owned from here on). */
MUST_CHECK int http_server_listen(struct http_server *server, int fd, struct err *err);
void http_server_free(struct http_server *server); /* closes everything */

/* Speaking: one request on a connection of its own, for probes, hooks and health checks. */
struct http_call_config {
    struct str host; /* address to connect to */
    uint16_t port;
    bool is_tls; /* not verified: probes */
    struct str method;
    struct str target;
    const struct http_header *headers;
    size_t headers_count;
    usec timeout;
    size_t body_bytes_max; /* what is beyond is dropped */
};
struct http_call;
/* err set: transport failed; message as Go words it ("dial tcp 10.1.2.3:80: connect: connection
 * refused", "context deadline exceeded (Client.Timeout exceeded while awaiting headers)").
 * location: header. */
typedef void http_called_fn(void *ctx, int code, struct str location, struct str body,
                            const struct err *err);
struct http_call *http_call(struct loop *loop, const struct http_call_config *config,
                            http_called_fn *done, void *ctx);
void http_call_cancel(struct http_call *call); /* no callback any more */
/* TCP connect probe. */
struct http_call *tcp_call(struct loop *loop, struct str host, uint16_t port, usec timeout,
                           http_called_fn *done, void *ctx);

#endif
