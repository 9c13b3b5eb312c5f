// SPDX-License-Identifier: Apache-2.0
//
// TLS 1.2 and 1.3 for the server side (OpenSSL), with optional client certificates verified against
// a CA.
#ifndef CORACLE_WIRE_TLS_H
#define CORACLE_WIRE_TLS_H

#include "base/str.h"

struct tls_server;
/* PEM texts. client_ca names the CA whose certificates are users. */
struct tls_server *tls_server_new(struct str cert_pem, struct str key_pem, struct str client_ca_pem,
                                  struct err *err);
/* New certificate for connections from now on. */
MUST_CHECK int tls_server_renew(struct tls_server *tls, struct str cert_pem, struct str key_pem,
                                struct err *err);
void tls_server_free(struct tls_server *tls);

#endif
