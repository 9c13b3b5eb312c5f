// SPDX-License-Identifier: Apache-2.0
//
// The client's side of one unary gRPC call over HTTP/2 (nghttp2), sans-IO: bytes in through
// grpc_feed, bytes to send gathered in grpc_out. One message there, one message back, the status of
// the trailers (gRPC over HTTP/2, "PROTOCOL-HTTP2"). The result is the same however the bytes are
// split (fuzzed).
#ifndef CORACLE_WIRE_GRPC_H
#define CORACLE_WIRE_GRPC_H

#include "base/str.h"

struct grpc;

/* authority: "10.1.2.3:80"; path: "/grpc.health.v1.Health/Check"; message: protobuf bytes. The
 * request is in grpc_out at once. NULL: no session could be made. */
struct grpc *grpc_new(struct str authority, struct str path, struct str message,
                      struct str user_agent, struct err *err);
void grpc_free(struct grpc *grpc); /* NULL is fine */

struct grpc_result {
    int status;         /* grpc-status, 0 = OK and reply holds the message */
    struct str message; /* grpc-message, percent-decoded */
    struct str reply;
};
/* 0 = more is awaited, 1 = *ret is the answer (borrowed from grpc), or an error: what came is no
 * answer. Nothing may be fed after either. */
MUST_CHECK int grpc_feed(struct grpc *grpc, struct str bytes, struct grpc_result *ret,
                         struct err *err);
/* Bytes for the server; taken by whoever sends them, with buf_clear. */
struct buf *grpc_out(struct grpc *grpc);

#endif
