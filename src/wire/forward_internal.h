// SPDX-License-Identifier: Apache-2.0
//
// What forward.c and forward_udp.c share.
#ifndef CORACLE_WIRE_FORWARD_INTERNAL_H
#define CORACLE_WIRE_FORWARD_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "wire/forward.h"

#include <netinet/in.h>

struct forward {
    struct loop *loop;
    int fd;
    bool is_udp;
    struct io *io;
    struct sockaddr_in target;
    struct list members; /* connections, or flows with the longest idle one first */
    size_t count;
    struct map flows;   /* UDP: client address -> struct flow */
    struct timer timer; /* TCP: the pause of accept; UDP: the next look for idle flows */
};

void forward_on_accept(void *ctx, int events);
void forward_on_datagram(void *ctx, int events);
void forward_drop_flows(struct forward *forward);

#endif
