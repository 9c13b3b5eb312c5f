// SPDX-License-Identifier: Apache-2.0
//
// What makes a store durable. A journal keeps versions of objects under their revisions: the last
// one of each key, and older ones until it is told to forget them. append runs on a pool thread and
// never twice at once.
#ifndef CORACLE_STORE_JOURNAL_H
#define CORACLE_STORE_JOURNAL_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct journal;

struct journal_version {
    uint64_t rev; /* unique in the journal */
    struct str key;
    struct str json;
    bool is_delete; /* json is the last state of a key that is gone */
};

struct journal_batch {
    const struct journal_version *versions; /* revisions ascend, over all batches */
    size_t versions_count;
    const uint64_t *forget; /* revisions; absent ones are fine */
    size_t forget_count;
    uint64_t rev_ceiling; /* highest revision that may ever have been shown */
    uint64_t rev_floor;   /* no change after this one has been forgotten */
};

struct journal_ops {
    /* Calls each for every version, by ascending revision; ret_batch gets the highest ceiling and
     * floor appended (0 for a new journal), and nothing else. */
    int (*load)(struct journal *journal,
                int (*each)(void *ctx, const struct journal_version *version, struct err *err),
                void *ctx, struct journal_batch *ret_batch, struct err *err);
    /* Makes the batch durable as one transaction, or nothing of it. When it can't be told which,
     * is_broken is set, and every later append fails: only opening the journal again tells. */
    int (*append)(struct journal *journal, const struct journal_batch *batch, struct err *err);
    uint64_t (*size)(struct journal *journal); /* bytes on disk */
    void (*close)(struct journal *journal);
};

struct journal {
    const struct journal_ops *ops;
    bool is_broken;
};

/* In memory, for tests and simulation. */
struct journal *journal_open_memory(void);
/* A disk made of memory that outlives the journals opened on it (one at a time): restarts and
 * failing writes for tests and simulation. */
struct journal_disk;
struct journal_disk *journal_disk_new(void);
void journal_disk_free(struct journal_disk *disk);
/* The next appends_count appends fail with ERR_IO and change nothing, as on a full disk. */
void journal_disk_fail(struct journal_disk *disk, unsigned appends_count);
struct journal *journal_open_disk(struct journal_disk *disk);
/* SQLite in WAL mode with synchronous=FULL at path (made when absent, mode 0600), locked against
 * other processes while open. NULL with ERR_CORRUPT, ERR_CONFLICT (in use) or ERR_IO. */
struct journal *journal_open_sqlite(const char *path, struct err *err);

#endif
