// SPDX-License-Identifier: Apache-2.0
//
// One port of the host forwarded in user space: what comes in on a socket that somebody else opened
// is connected to one address and port as this process sees them, and copied both ways. Knows
// descriptors and the loop alone; who wants which port is control/publish.h's business.
//
// TCP: each direction holds at most what one read gave (FORWARD_CHUNK) until the other end takes
// it, so a slow reader stops its writer; an end that says it has finished is passed on as such
// (half-close); a target that refuses resets the client. UDP: a flow for each client address, gone
// after FORWARD_FLOW_IDLE without a datagram, the longest idle one when there are too many.
//
// Invariants: (1) forward_free ends every connection and closes every descriptor; (2) at most
// FORWARD_CONNECTIONS_MAX connections or flows are open: more clients wait in the kernel's queue
// (TCP), or take the place of the longest idle flow (UDP).
#ifndef CORACLE_WIRE_FORWARD_H
#define CORACLE_WIRE_FORWARD_H

#include "loop/loop.h"

#include <stddef.h>

enum {
    FORWARD_CONNECTIONS_MAX = 1024, /* two descriptors each */
    FORWARD_CHUNK = 64 << 10,       /* also the longest datagram */
    FORWARD_TURNS = 4               /* reads of one end before others have their turn */
};
#define FORWARD_CONNECT_LIMIT (10 * USEC_PER_SEC)
#define FORWARD_FLOW_IDLE     (60 * USEC_PER_SEC)

struct forward;
struct forward_config {
    struct loop *loop;
    int fd; /* listening (TCP) or bound (UDP), non-blocking; owned from here on */
    bool is_udp;
    uint32_t address; /* target, host order */
    uint16_t port;
};
/* NULL with err when the descriptor can't be watched (it is closed then). */
struct forward *forward_new(const struct forward_config *config, struct err *err);
void forward_free(struct forward *forward); /* NULL is fine */
/* Changes the target of connections from now on; UDP flows start over. */
void forward_aim(struct forward *forward, uint32_t address, uint16_t port);
size_t forward_count(const struct forward *forward); /* open connections or flows */

#endif
