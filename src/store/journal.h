// SPDX-License-Identifier: Apache-2.0
//
// What makes a store durable. A journal keeps the last version of each key and the highest revision
// handed out; it knows nothing of events. append runs on a pool thread and never twice at once.
#ifndef CORACLE_STORE_JOURNAL_H
#define CORACLE_STORE_JOURNAL_H

#include "base/str.h"

#include <stdint.h>

struct journal;

struct journal_entry {
    struct str key;
    uint64_t rev;
    struct str json; /* p NULL = the key is deleted */
};

struct journal_ops {
    /* Calls each for every live key, in any order; ret_rev_ceiling is the highest revision that may
     * ever have been shown (0 for a new journal). */
    int (*load)(struct journal *journal,
                int (*each)(void *ctx, const struct journal_entry *entry, struct err *err),
                void *ctx, uint64_t *ret_rev_ceiling, struct err *err);
    /* Makes all entries durable as one transaction, or none. rev_ceiling: as in load, to keep. */
    int (*append)(struct journal *journal, const struct journal_entry *entries, size_t count,
                  uint64_t rev_ceiling, struct err *err);
    uint64_t (*size)(struct journal *journal); /* bytes on disk */
    void (*close)(struct journal *journal);
};

struct journal {
    const struct journal_ops *ops;
};

/* In memory, for tests and simulation. */
struct journal *journal_open_memory(void);
/* A disk made of memory that outlives the journals opened on it (one at a time): restarts and
 * failing writes for tests and simulation. */
struct journal_disk;
struct journal_disk *journal_disk_new(void);
void journal_disk_free(struct journal_disk *disk);
/* The next appends_count appends fail with ERR_IO and change nothing. */
void journal_disk_fail(struct journal_disk *disk, unsigned appends_count);
struct journal *journal_open_disk(struct journal_disk *disk);
/* SQLite in WAL mode with synchronous=FULL at path (made when absent, mode 0600), locked against
 * other processes while open. NULL with ERR_CORRUPT, ERR_CONFLICT (in use) or ERR_IO. */
struct journal *journal_open_sqlite(const char *path, struct err *err);

#endif
