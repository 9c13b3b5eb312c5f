// SPDX-License-Identifier: Apache-2.0
//
// The messages of grpc.health.v1 and the words for what a health check ended with. Pure.
#ifndef CORACLE_NODE_PROBE_GRPC_H
#define CORACLE_NODE_PROBE_GRPC_H

#include "base/arena.h"
#include "wire/grpc_call.h"

/* HealthCheckRequest{service}. */
struct str grpc_health_request(struct str service, struct arena *arena);
/* True = SERVING. Else *ret_output is the probe's output. address: "IP:PORT"; timeout: "1s". */
bool grpc_health_words(const struct grpc_answer *answer, const struct err *err, struct str address,
                       const char *timeout, struct arena *arena, struct str *ret_output);

#endif
