// SPDX-License-Identifier: Apache-2.0
//
// Ports of the host in step with Services and pods: publish_claims.h says who gets which, a
// function of the holder opens them (the keeper does, in the host's network), wire/forward.h
// carries the traffic.
//
// Invariants: (1) a port that nobody asks for any more is closed in the turn that learns it; (2) a
// port that can't be had gives one Warning event "PortNotPublished" on who asks, and is tried again
// every PUBLISH_RETRY; (3) a LoadBalancer's status names 127.0.0.1 exactly while all its ports are
// open, with ipMode Proxy, so that pods reach that service by its rules and not by that address.
#ifndef CORACLE_CONTROL_PUBLISH_H
#define CORACLE_CONTROL_PUBLISH_H

#include "client/client.h"
#include "control/control.h"
#include "loop/loop.h"

#define PUBLISH_RETRY (5 * USEC_PER_SEC)

/* A listening (TCP) or bound (UDP) non-blocking socket of the host, or -1 with err (ERR_EXISTS:
 * taken). protocol is "tcp" or "udp". */
typedef int publish_listen_fn(void *ctx, const char *protocol, const char *address, uint16_t port,
                              struct err *err);
/* The port may be closed, and told so to whoever keeps the socket for the next process. */
typedef void publish_unlisten_fn(void *ctx, const char *protocol, const char *address,
                                 uint16_t port);

struct publish;
struct publish_config {
    struct loop *loop;
    struct client *client;
    struct recorder *recorder;
    publish_listen_fn *listen;
    publish_unlisten_fn *unlisten;
    void *ctx; /* of both */
};
/* For the process' life: watches of a client are for good. */
struct publish *publish_new(const struct publish_config *config);
void publish_free(struct publish *publish);
size_t publish_count(const struct publish *publish); /* open ports */

#endif
