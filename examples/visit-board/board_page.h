// SPDX-License-Identifier: Apache-2.0
//
// The board as a page: a row and a bar for each replica, and the latest lines of the history.
#ifndef CORACLE_EXAMPLES_BOARD_PAGE_H
#define CORACLE_EXAMPLES_BOARD_PAGE_H

#include "board.h"
#include "http_server.h"

struct board_page {
    const struct board *board;
    const char *history; /* whole lines */
    const char *pod, *service, *version;
    int refresh_s;
};

void board_page_write(struct http_reply *reply, const struct board_page *page);

#endif
