// SPDX-License-Identifier: Apache-2.0
//
// The cluster's network, in the network namespace this process lives in: one bridge, a veth a pod,
// /32 addresses routed over the bridge (spec/machine.md 3 says why). All calls are synchronous
// netlink transactions of 0.1 to 2 ms and may run on a pool thread (one at a time: they share a
// socket).
#ifndef CORACLE_NET_POD_NET_H
#define CORACLE_NET_POD_NET_H

#include "base/str.h"

#include <stdint.h>

struct pod_net;

struct pod_net_config {
    uint32_t pod_cidr;     /* host order, 10.244.0.0 */
    int pod_prefix;        /* 16: addresses from .0.2 on; .0.1 is the bridge and the node */
    uint32_t service_cidr; /* 10.96.0.0 */
    int service_prefix; /* 12: routed to the bridge so that connect() from the node reaches NAT */
    const char *netns_dir; /* where pod namespaces are pinned, /run/coracle/netns */
};

/* Brings up lo, the bridge cni0 with its address, sysctls (ip_forward, bridge-nf-call-iptables=0,
 * send_redirects=0, ip_unprivileged_port_start stays) and the service route. Idempotent: a second
 * brain finds everything there. */
struct pod_net *pod_net_open(const struct pod_net_config *config, struct err *err);
void pod_net_close(struct pod_net *net); /* leaves the network as it is */
/* Puts address/32 on lo: 10.96.0.10, 10.96.0.1 (kernels without dummy links exist). Idempotent. */
MUST_CHECK int pod_net_add_local(struct pod_net *net, uint32_t address, struct err *err);
bool pod_net_was_up(const struct pod_net *net); /* an earlier brain's, with flows of its pods */
uint32_t pod_net_node_address(const struct pod_net *net); /* the bridge's: the node's InternalIP */

/* Makes namespace netns_dir/id with eth0 at address and lo up, pinned by a bind mount; host end
 * "v" + 8 hex of a hash of id. Idempotent for the same id and address. */
MUST_CHECK int pod_net_add(struct pod_net *net, const char *id, uint32_t address, struct err *err);
/* Unpins it; the kernel takes the links away a moment later. Absent is fine. */
MUST_CHECK int pod_net_remove(struct pod_net *net, const char *id, struct err *err);
/* A TCP socket in the pod's namespace, connecting (non-blocking) to 127.0.0.1:port or ::1;
 * port-forward and nothing else. Runs on a pool thread (changes the thread's namespace and back).
 * -1 with err. */
int pod_net_connect(const char *netns_path, uint16_t port, struct err *err);
/* Forgets UDP flows from and to address (conntrack), so that who gets it next gets no stale traffic
 * (spec/node.md 7.5). The kernel walks its whole table for it: 5 ms with 262,144 buckets. */
MUST_CHECK int pod_net_flush_udp(struct pod_net *net, uint32_t address, struct err *err);

/* Text of an address, and back. */
enum { IP4_TEXT_MAX = 16 };
void ip4_format(uint32_t address, char out[static IP4_TEXT_MAX]);
MUST_CHECK int ip4_parse(struct str text, uint32_t *ret);
MUST_CHECK int cidr4_parse(struct str text, uint32_t *ret_base, int *ret_prefix);

#endif
