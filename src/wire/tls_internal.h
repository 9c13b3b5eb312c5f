// SPDX-License-Identifier: Apache-2.0
//
// What conn.c's owners need of TLS, within wire/.
#ifndef CORACLE_WIRE_TLS_INTERNAL_H
#define CORACLE_WIRE_TLS_INTERNAL_H

#include "base/arena.h"
#include "wire/tls.h"

#include <openssl/ssl.h>

/* The context for connections from now on; borrowed, SSL_new takes its own reference. */
SSL_CTX *tls_server_ctx(const struct tls_server *tls);
/* A context for speaking without verification (probes). Caller frees with SSL_CTX_free. */
SSL_CTX *tls_client_ctx_unverified(void);
/* Subject CN and O values of a certificate, copied into the arena. */
void tls_cert_names(X509 *cert, struct arena *arena, struct str *ret_cn, struct str **ret_orgs,
                    size_t *ret_orgs_count);

#endif
