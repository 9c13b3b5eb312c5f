// SPDX-License-Identifier: Apache-2.0
//
// Ports of the host in step with Services and pods: publish_claims.h says who gets which, functions
// of the holder open and close them; whoever carries the traffic goes on when this process dies, so
// a port that it has open already may be opened again.
//
// Invariants: (1) a port that nobody asks for any more is closed in the turn that learns it, or, as
// a turn opens and closes PUBLISH_BURST ports at most, in one of the next; (2) a
// port that can't be had gives one Warning event "PortNotPublished" on who asks, and is tried again
// every PUBLISH_RETRY; (3) a LoadBalancer's status names 127.0.0.1 exactly while all its ports are
// open, with ipMode Proxy, so that pods reach that service by its rules and not by that address.
#ifndef CORACLE_CONTROL_PUBLISH_H
#define CORACLE_CONTROL_PUBLISH_H

#include "client/client.h"
#include "control/control.h"
#include "control/publish_claims.h"
#include "loop/loop.h"

#define PUBLISH_RETRY (5 * USEC_PER_SEC)
enum { PUBLISH_BURST = 50 }; /* 0.2 ms each while others wait; a Service may have 2,682 */

/* Opens a claim's port, or leads the later connections of an open one to its target. ERR_EXISTS:
 * another program has it. */
typedef int publish_open_fn(void *ctx, const struct publish_claim *claim, struct err *err);
/* Closes the port, which ends its connections. */
typedef void publish_close_fn(void *ctx, const struct publish_claim *claim);

struct publish;
struct publish_config {
    struct loop *loop;
    struct client *client;
    struct recorder *recorder;
    publish_open_fn *open;
    publish_close_fn *close;
    void *ctx; /* of both */
};
/* For the process' life: watches of a client are for good. */
struct publish *publish_new(const struct publish_config *config);
void publish_free(struct publish *publish);
size_t publish_count(const struct publish *publish); /* open ports */

#endif
