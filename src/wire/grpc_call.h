// SPDX-License-Identifier: Apache-2.0
//
// One unary gRPC call on a connection of its own: HTTP/2 without TLS (nghttp2), one message there,
// one message back, the status of the trailers. For health probes; no streams, no compression, no
// retries (gRPC over HTTP/2, "PROTOCOL-HTTP2").
#ifndef CORACLE_WIRE_GRPC_CALL_H
#define CORACLE_WIRE_GRPC_CALL_H

#include "loop/loop.h"

#include "base/str.h"

struct grpc_call_config {
    struct str host; /* numeric address */
    uint16_t port;
    struct str path;    /* "/grpc.health.v1.Health/Check" */
    struct str message; /* protobuf bytes */
    struct str user_agent;
    usec timeout; /* of connecting and of the whole */
};
struct grpc_call;
/* Once, from the loop. status: grpc-status, 0 = OK and reply holds the message. err: no answer;
 * ERR_TIMEOUT or other, is_connected tells how far it came. */
struct grpc_answer {
    bool is_connected;
    int status;
    struct str message; /* grpc-message, percent-decoded */
    struct str reply;
};
typedef void grpc_called_fn(void *ctx, const struct grpc_answer *answer, const struct err *err);

struct grpc_call *grpc_call(struct loop *loop, const struct grpc_call_config *config,
                            grpc_called_fn *done, void *ctx);
void grpc_call_cancel(struct grpc_call *call); /* no callback any more; NULL is fine */

#endif
