// SPDX-License-Identifier: Apache-2.0
//
// What the files of net/ share: one netlink conversation, the conntrack sweep and the pure half of
// the loader (slots). Nothing here is for other rooms.
#ifndef CORACLE_NET_INTERNAL_H
#define CORACLE_NET_INTERNAL_H

#include "net/ruleset.h"

#include <libmnl/libmnl.h>

/* A netlink socket and its counter. It stays bound to the network namespace it was opened in. */
struct nl {
    struct mnl_socket *socket; /* NULL = closed */
    uint32_t seq;
};

enum { NL_MSG_MAX = 2048 }; /* every request we build fits; rtnetlink ones take 300 bytes */

MUST_CHECK int nl_open(struct nl *nl, int bus, struct err *err);
void nl_close(struct nl *nl);
/* Sends one request and waits for its answer; cb (may be NULL) sees each data message. 0, or -1
 * with errno as the kernel said. */
int nl_talk(struct nl *nl, struct nlmsghdr *msg, mnl_cb_t cb, void *ctx);

/* One UDP service whose endpoints changed: flows to it must lead to one of these endpoints. */
struct udp_change {
    uint32_t address; /* 0 = node port: any original destination */
    uint16_t port;
    const struct rule_endpoint *endpoints; /* sorted */
    size_t endpoints_count;
};
/* Forgets UDP flows that match a change and lead elsewhere. */
MUST_CHECK int conntrack_drop_stale(struct nl *nl, const struct udp_change *changes, size_t count,
                                    struct err *err);
/* Forgets UDP flows from, to or answered by address. */
MUST_CHECK int conntrack_drop_address(struct nl *nl, uint32_t address, struct err *err);

/* Slots. The map of the kernel has one element a slot; a rule draws a slot number at random. A
 * class is a range of slot numbers with a rule of its own. */
struct slot_class {
    uint32_t offset; /* first slot number */
    uint32_t count;
};
enum { SLOT_CLASSES = 4, SLOTS_MAX = 1260 };
extern const struct slot_class slot_classes[SLOT_CLASSES];

/* Class for so many endpoints (> 0). Sticky services change class as rarely as can be. */
size_t slot_class_of(size_t endpoints_count, bool is_sticky);
/* Deals endpoints (sorted, > 0) out to count slots, evenly (shares differ by one at most); slots
 * that were (NULL = none) keep their endpoint where that stays even. */
void slots_deal(const struct rule_endpoint *endpoints, size_t endpoints_count,
                const struct rule_endpoint *were, size_t count, struct rule_endpoint *out);

int service_cmp(const struct rule_service *a, const struct rule_service *b);
int endpoint_cmp(const struct rule_endpoint *a, const struct rule_endpoint *b);
bool endpoint_is_in(const struct rule_endpoint *sorted, size_t count,
                    const struct rule_endpoint *endpoint);

#endif
