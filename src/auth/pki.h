// SPDX-License-Identifier: Apache-2.0
//
// A cluster's folder of keys and certificates: ca, server, admin (.crt and .key) and
// service-accounts.key, all of mode 0600 in a folder of mode 0700.
//
// Certificates live a year and are renewed when less than a third of it is left, or when file and
// key don't fit. They are valid since 1970, so that a clock that is set back breaks none of them,
// and the CA outlives all clocks that are set forward.
#ifndef CORACLE_AUTH_PKI_H
#define CORACLE_AUTH_PKI_H

#include "base/clock.h"
#include "base/err.h"

/* Makes what is absent, renews what is due; blocks. *ret_renew_at (wall): when the next
 * certificate is due. */
MUST_CHECK int pki_ensure(const char *dir, usec now_wall, usec *ret_renew_at, struct err *err);

#endif
