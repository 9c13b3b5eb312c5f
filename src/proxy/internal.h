// SPDX-License-Identifier: Apache-2.0
//
// What the two builders of proxy/ share.
#ifndef CORACLE_PROXY_INTERNAL_H
#define CORACLE_PROXY_INTERNAL_H

#include "data/val.h"

#include <stdint.h>

/* IPPROTO_... of a port's "protocol", TCP where there is none; 0 = not one of ours. */
uint8_t port_protocol(const struct val *port);

#endif
