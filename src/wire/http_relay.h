// SPDX-License-Identifier: Apache-2.0
//
// One request passed on to another server and its answer passed back as it comes: any length, any
// framing, also a change of protocol. Only the heads are rewritten (RFC 9110 7.6.1): what belongs
// to one connection goes, and the answer ends the client's connection, so that nothing of a next
// request can reach the other server.
#ifndef CORACLE_WIRE_HTTP_RELAY_H
#define CORACLE_WIRE_HTTP_RELAY_H

#include "wire/http.h"

struct http_relay;
struct http_relay_config {
    struct loop *loop;
    struct str host; /* address to connect to */
    uint16_t port;
    bool is_tls; /* not verified */
    struct str target;
    /* Names of request headers to leave out, besides those of the connection. A name that ends with
     * '-' stands for all that begin so. */
    const struct str *secrets;
    size_t secrets_count;
    /* Nothing was sent to the client: the exchange is the holder's again, to answer. Worded as Go's
     * net package words it. */
    void (*failed)(void *ctx, const struct err *err);
    void (*over)(void *ctx); /* the exchange ended */
    void *ctx;
};
/* Takes the exchange over until failed or over, of which one comes, never from inside this call. */
struct http_relay *http_relay_start(struct http_exchange *x,
                                    const struct http_relay_config *config);
void http_relay_end(struct http_relay *relay); /* ends the exchange as well; no callback */

#endif
