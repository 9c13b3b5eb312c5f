// SPDX-License-Identifier: Apache-2.0
//
// The history of the board: lines "<seconds since 1970> pod=visits pod=visits" in data/history,
// appended and synced. A line that a crash cut short is dropped at the next start. When the file
// is full, its older half goes.
#ifndef CORACLE_EXAMPLES_HISTORY_H
#define CORACLE_EXAMPLES_HISTORY_H

#include "board.h"

enum { HISTORY_BYTES_MAX = 128 * 1024 };

struct history {
    int dir_fd, fd;
    size_t len; /* bytes of whole lines; text[len] is NUL */
    char text[HISTORY_BYTES_MAX + 1];
};

/* -1 with the reason on stderr. */
int history_open(struct history *history, const char *dir);
/* Appends a round, should it differ from the last one. False, with the reason on stderr, when it
 * could not be written; the next round tries again. */
bool history_add(struct history *history, const struct board *board);

#endif
