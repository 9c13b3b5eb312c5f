// SPDX-License-Identifier: Apache-2.0
//
// The objects that stand before anyone asks: namespaces, root CA, storage class, the services of
// the API and of DNS. What is there already is left alone, so that users may change it.
#ifndef CORACLE_CONTROL_BOOTSTRAP_H
#define CORACLE_CONTROL_BOOTSTRAP_H

#include "client/client.h"

struct bootstrap_config {
    struct str ca_pem;      /* kube-root-ca.crt */
    struct str volumes_dir; /* where class standard keeps claims */
    struct str api_address; /* endpoint of service kubernetes: "10.244.0.1" */
    int api_port;           /* 6443 */
    struct str service_ip;  /* of service kubernetes: "10.96.0.1" */
    struct str dns_ip;      /* of service kube-dns: "10.96.0.10" */
    const struct val *more; /* further objects (roles), an array */
    size_t more_count;
};
/* Proposes what is absent; durable with the store's next commit. */
MUST_CHECK int bootstrap_write(struct client *client, const struct bootstrap_config *config,
                               struct err *err);

#endif
