// SPDX-License-Identifier: Apache-2.0
//
// The count of visits in a small text file, "104\n". Invariants: (1) the file always holds a whole
// count, whatever moment the power fails (a new file is written, synced and renamed over the old
// one); (2) what visits_commit acknowledged is never lost; (3) one process at a time counts in a
// folder (a lock on the folder), so no two of them overwrite each other.
#ifndef CORACLE_EXAMPLES_VISITS_H
#define CORACLE_EXAMPLES_VISITS_H

#include <stdbool.h>
#include <stdint.h>

struct visits {
    int dir_fd;
    uint64_t count;     /* with those that wait for a commit */
    uint64_t committed; /* what the disk holds */
};

/* Opens (or makes) the folder and reads its count, 0 when there is none. -1 with the reason on
 * stderr, also when the file holds no number: a count is never silently started anew. */
int visits_open(struct visits *visits, const char *dir);
void visits_close(struct visits *visits);
/* Counts one more, to be made durable by the next commit. Returns the number of this visit. */
uint64_t visits_add(struct visits *visits);
/* True when all counted visits are on disk. False: they were not, and are no longer counted. */
bool visits_commit(struct visits *visits);

#endif
