// SPDX-License-Identifier: Apache-2.0
//
// Test help: queries from text, answers as text.
#ifndef CORACLE_TESTS_DNS_PRINT_H
#define CORACLE_TESTS_DNS_PRINT_H

#include "dns/wire.h"

enum { QUERY_ID = 0x1234 };

/* A query for name and type; edns_bytes 0 = without EDNS. */
struct str query_make(struct buf *out, const char *name, uint16_t type, uint16_t edns_bytes);
/* "NOERROR aa | web.… 5 A 10.96.0.1 | …", sections parted by " / ". A message that can't be read
 * gives "malformed". */
void answer_print(struct buf *out, struct str message);

#endif
