// SPDX-License-Identifier: Apache-2.0
//
// The board: which replicas there are and how many visits each has counted. Finding and asking
// happen in a thread of its own, one round after another; readers take a copy.
#ifndef CORACLE_EXAMPLES_BOARD_H
#define CORACLE_EXAMPLES_BOARD_H

#include "resolver.h"

enum { BOARD_ROWS_MAX = 200, BOARD_POD_MAX = 64 };

struct board_row {
    char host[DNS_NAME_MAX]; /* target of the SRV record */
    char pod[BOARD_POD_MAX]; /* who says it answered (X-Pod), else the first label of host */
    uint64_t visits;
    bool is_known;    /* visits is an answer of this round */
    char problem[80]; /* why not */
};

struct board {
    struct board_row rows[BOARD_ROWS_MAX];
    int rows_count;
    int64_t asked_at;  /* seconds since 1970; 0 = no round is over yet */
    char problem[300]; /* why no replica was found; empty when some were */
};

/* One round: finds the replicas by the SRV records of service and asks each for /visits. The rows
 * come in the order of ordinals. */
void board_ask(const struct resolver *resolver, const char *service, int64_t now,
               struct board *ret);
#endif
