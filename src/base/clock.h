// SPDX-License-Identifier: Apache-2.0
//
// Time as an interface: nothing outside clock.c, the loop and the simulation asks the kernel for
// it.
#ifndef CORACLE_BASE_CLOCK_H
#define CORACLE_BASE_CLOCK_H

#include <stdint.h>

typedef int64_t usec; /* microseconds; a point of a clock or a span */

#define USEC_PER_MS     ((usec)1000)
#define USEC_PER_SEC    ((usec)1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY    (24 * USEC_PER_HOUR)

struct clock {
    usec (*mono)(void *ctx); /* since an arbitrary start; never goes back */
    usec (*wall)(void *ctx); /* since 1970-01-01T00:00:00Z; may jump */
    void *ctx;
};

/* The kernel's clocks; static. */
const struct clock *clock_system(void);

#endif
