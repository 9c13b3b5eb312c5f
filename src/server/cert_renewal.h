// SPDX-License-Identifier: Apache-2.0
//
// Renews the cluster's certificates while the server runs: the wall clock is looked at every
// minute, so that a clock that jumps is noticed, and new connections get the new certificate. The
// admin's is renewed along with it; users get that by `coracle kubeconfig`, or `coracle up` where
// it starts the cluster.
#ifndef CORACLE_SERVER_CERT_RENEWAL_H
#define CORACLE_SERVER_CERT_RENEWAL_H

#include "loop/loop.h"
#include "wire/tls.h"

struct cert_renewal;

/* dir as in auth/pki.h; tls outlives the renewal. The certificates are looked at at once, in the
 * background. */
struct cert_renewal *cert_renewal_new(struct loop *loop, const char *dir, struct tls_server *tls);
/* NULL is fine; what is on its way ends by itself. */
void cert_renewal_free(struct cert_renewal *renewal);

#endif
