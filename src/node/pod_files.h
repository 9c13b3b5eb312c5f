// SPDX-License-Identifier: Apache-2.0
//
// The files that the node writes for a pod: /etc/hosts, /etc/resolv.conf, /etc/hostname
// (spec/node.md 3.3). Text only, nothing is written here.
#ifndef CORACLE_NODE_POD_FILES_H
#define CORACLE_NODE_POD_FILES_H

#include "data/val.h"

/* spec.hostname or the pod's name, at most 63 characters. */
struct str pod_hostname(const struct val *pod, struct arena *arena);
/* "<subdomain>.<ns>.svc.<zone>", or empty. */
struct str pod_domain(const struct val *pod, struct str zone, struct arena *arena);
/* What sethostname gets: the host name, or the FQDN when the pod asks for it; hostNetwork: empty.
 */
struct str pod_kernel_hostname(const struct val *pod, struct str zone, struct arena *arena);

/* node_hosts: the node's own file, for hostNetwork pods. */
void pod_hosts_write(struct buf *out, const struct val *pod, struct str ip, struct str zone,
                     struct str node_hosts, struct arena *arena);
/* node_resolv: the node's own file. Returns the text of a DNSConfigForming warning, or empty. */
struct str pod_resolv_write(struct buf *out, const struct val *pod, struct str cluster_dns,
                            struct str zone, struct str node_resolv, struct arena *arena);

#endif
