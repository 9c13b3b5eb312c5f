// SPDX-License-Identifier: Apache-2.0
//
// The page: a clock face with the time in Moscow, drawn as SVG, that goes on ticking in browsers
// with JavaScript and is right at its moment without. Moscow is UTC+3 all year round since 2014,
// so no time zone data is needed.
#ifndef CORACLE_EXAMPLES_PAGE_H
#define CORACLE_EXAMPLES_PAGE_H

#include "http_server.h"

#include <stdint.h>

struct page {
    const char *title, *pod, *version;
    uint64_t visit;
    int64_t now; /* seconds since 1970, UTC */
};

struct moscow_clock {
    int year, month, day; /* month and day from 1 */
    int weekday;          /* 0 = Sunday */
    int hour, minute, second;
};

int64_t page_now(void);
/* What clocks and calendars in Moscow show at a moment from 1970 on. */
struct moscow_clock moscow_clock_at(int64_t now);
void page_write(struct http_reply *reply, const struct page *page);

#endif
