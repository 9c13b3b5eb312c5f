// SPDX-License-Identifier: Apache-2.0
//
// The few rtnetlink verbs that pod_net needs, each one idempotent: a link, an address or a route
// that exists is fine. Part of net/ alone.
#ifndef CORACLE_NET_LINK_H
#define CORACLE_NET_LINK_H

#include "net/internal.h"

enum { LINK_ALIAS_MAX = 255 }; /* of the kernel's IFALIASZ */

struct link_info {
    uint32_t index;
    char alias[LINK_ALIAS_MAX + 1];
};

/* ERR_NOT_FOUND when there is none. */
MUST_CHECK int link_find(struct nl *nl, const char *name, struct link_info *ret, struct err *err);
/* Makes a bridge (up) whose hardware address comes from its address, so that it stays the same. */
MUST_CHECK int link_add_bridge(struct nl *nl, const char *name, uint32_t address, struct err *err);
/* Makes a veth pair: name, up, a port of bridge here; eth0 in the namespace ns_fd. ERR_EXISTS when
 * there is a link of that name. */
MUST_CHECK int link_add_veth(struct nl *nl, const char *name, uint32_t bridge, int ns_fd,
                             uint32_t address, struct err *err);
/* Names the owner of a bridge port and isolates it from the other ports. */
MUST_CHECK int link_set_port(struct nl *nl, const char *name, const char *alias, struct err *err);
MUST_CHECK int link_set_up(struct nl *nl, uint32_t index, struct err *err);
MUST_CHECK int link_remove(struct nl *nl, const char *name, struct err *err);
MUST_CHECK int address_add(struct nl *nl, uint32_t index, uint32_t address, struct err *err);
/* Route to base/prefix: on link index (gateway 0), or by way of gateway. */
struct route {
    uint32_t base;
    int prefix;
    uint32_t gateway;
    uint32_t index;
};
MUST_CHECK int route_add(struct nl *nl, const struct route *route, struct err *err);
MUST_CHECK int route_remove(struct nl *nl, const struct route *route, struct err *err);

#endif
