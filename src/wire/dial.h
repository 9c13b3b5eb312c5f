// SPDX-License-Identifier: Apache-2.0
//
// The beginning of a TCP connection to a numeric address, worded as Go's net package words it. For
// wire/ itself.
#ifndef CORACLE_WIRE_DIAL_H
#define CORACLE_WIRE_DIAL_H

#include "base/str.h"

#include <netinet/in.h>

enum { DIAL_ADDRESS_MAX = INET6_ADDRSTRLEN + sizeof "[]:65535" };

/* Starts connecting; returns the descriptor (non-blocking, the caller's) or the error's code.
 * address: "10.1.2.3:80", for messages; set in any case. */
MUST_CHECK int dial_tcp(struct str host, uint16_t port, char address[DIAL_ADDRESS_MAX],
                        struct err *err);
/* Go prints errno texts in lower case. */
void dial_lower(struct err *err);

#endif
