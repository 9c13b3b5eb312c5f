// SPDX-License-Identifier: Apache-2.0
//
// One TCP connection, plain or TLS, glued to the loop: bytes come in through a callback, go out
// through a buffer. Knows no protocol above TLS. For wire/ itself
// and for protocols that live elsewhere (DNS over TCP).
//
// Invariants: (1) no callback comes from inside a call of ours; (2) closed comes at most once and
// is the last callback; (3) conn_free may be called from inside any callback.
#ifndef CORACLE_WIRE_CONN_H
#define CORACLE_WIRE_CONN_H

#include "base/arena.h"
#include "loop/loop.h"

#include <openssl/ssl.h>

struct conn;

struct conn_config {
    struct loop *loop;
    int fd;         /* owned from here on, non-blocking */
    SSL_CTX *tls;   /* NULL = plain */
    bool is_client; /* a TCP connect is on its way on fd */
    size_t out_max; /* ceiling of unsent bytes; over it the connection breaks */
    void (*bytes)(void *ctx, struct str bytes);
    void (*closed)(void *ctx, const struct err *err); /* code 0 = the peer ended in good order */
    void (*drained)(void *ctx);                       /* all bytes were handed to the kernel */
    void (*opened)(void *ctx); /* client: connected, and the handshake is over; may be NULL */
    void *ctx;
};
/* NULL with err when the descriptor can't be watched (it is closed then). */
struct conn *conn_new(const struct conn_config *config, struct err *err);
void conn_free(struct conn *conn);                  /* NULL is fine; closes at once */
void conn_add(struct conn *conn, struct str bytes); /* queues */
void conn_flush(struct conn *conn);                 /* sends what the kernel takes */
size_t conn_backlog(const struct conn *conn);
void conn_pause(struct conn *conn, bool is_paused); /* stops reading */
/* Sends what is queued, says goodbye, waits for the peer's end (CONN_LINGER) and reports closed;
 * bytes comes no more. */
void conn_finish(struct conn *conn);
/* Ends it as if the other side had: what waits is dropped, closed comes later in this turn. */
void conn_break(struct conn *conn);
bool conn_is_open(const struct conn *conn); /* TCP and TLS handshakes are over */
/* The verified client certificate, or NULL. Caller frees with X509_free. */
X509 *conn_peer_cert(const struct conn *conn);
bool conn_is_http2(const struct conn *conn);     /* ALPN chose it */
bool conn_has_bad_cert(const struct conn *conn); /* one came that doesn't verify */
/* Runs bytes(ctx, …) on text soon, from the loop, before anything newer: what was read too far. */
void conn_unread(struct conn *conn, struct str bytes);

#define CONN_LINGER (1 * USEC_PER_SEC)
#define CONN_STALL  (60 * USEC_PER_SEC) /* the last bytes may take this long without a move */

#endif
