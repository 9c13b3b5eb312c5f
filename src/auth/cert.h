// SPDX-License-Identifier: Apache-2.0
//
// The cluster's CA and the certificates it signs (OpenSSL, ECDSA P-256). Keys are PEM texts of mode
// 0600.
#ifndef CORACLE_AUTH_CERT_H
#define CORACLE_AUTH_CERT_H

#include "base/clock.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct cert_request {
    struct str common_name;
    const struct str *organizations;
    size_t organizations_count;
    const struct str *dns_names; /* server certificates */
    size_t dns_names_count;
    const struct str *addresses; /* "127.0.0.1" */
    size_t addresses_count;
    bool is_server; /* extended key usage: server, else client */
    usec valid_from_wall;
    usec valid_for;
};
/* A self-signed CA; appends PEM texts. */
MUST_CHECK int cert_make_ca(struct str common_name, usec from_wall, usec valid_for,
                            struct buf *ret_cert, struct buf *ret_key, struct err *err);
MUST_CHECK int cert_make(struct str ca_cert_pem, struct str ca_key_pem,
                         const struct cert_request *request, struct buf *ret_cert,
                         struct buf *ret_key, struct err *err);
/* A key for signing tokens. */
MUST_CHECK int cert_make_key(struct buf *ret_key, struct err *err);
/* When it is valid; ERR_INVALID when key isn't its key. */
MUST_CHECK int cert_check(struct str cert_pem, struct str key_pem, usec *ret_from_wall,
                          usec *ret_until_wall, struct err *err);

#endif
