// SPDX-License-Identifier: Apache-2.0
//
// The journal of tests and simulation: the last text of each key in a map. The map belongs to a
// disk, which outlives the journal when it came from outside.
#include "store/journal.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>

struct row {
    uint64_t rev;
    size_t json_bytes;
    char json[];
};

struct journal_disk {
    struct map rows; /* key → struct row * */
    uint64_t rev_ceiling;
    uint64_t bytes;
    unsigned failures_count;
};

struct journal_memory {
    struct journal journal; /* first */
    struct journal_disk *disk;
    bool is_owner;
};

static struct journal_memory *self(struct journal *journal)
{
    return container_of(journal, struct journal_memory, journal);
}

static int memory_load(struct journal *journal,
                       int (*each)(void *ctx, const struct journal_entry *entry, struct err *err),
                       void *ctx, uint64_t *ret_rev_ceiling, struct err *err)
{
    const struct journal_disk *disk = self(journal)->disk;
    for (size_t i = 0; i < disk->rows.count; i++) {
        const struct row *row = disk->rows.entries[i].value;
        struct journal_entry entry = {
            .key = disk->rows.entries[i].key,
            .rev = row->rev,
            .json = {row->json, row->json_bytes}
        };
        if (each(ctx, &entry, err) < 0) {
            return err->code;
        }
    }
    *ret_rev_ceiling = disk->rev_ceiling;
    return 0;
}

static void row_drop(struct journal_disk *disk, struct row *row)
{
    if (row != NULL) {
        disk->bytes -= row->json_bytes;
        free(row);
    }
}

static int memory_append(struct journal *journal, const struct journal_entry *entries, size_t count,
                         uint64_t rev_ceiling, struct err *err)
{
    struct journal_disk *disk = self(journal)->disk;
    if (disk->failures_count > 0) {
        disk->failures_count--;
        return err_set(err, ERR_IO, "the journal's disk fails on request");
    }
    for (size_t i = 0; i < count; i++) {
        const struct journal_entry *entry = &entries[i];
        if (entry->json.p == NULL) {
            row_drop(disk, map_remove(&disk->rows, entry->key));
            continue;
        }
        struct row *row = xmalloc(sizeof *row + entry->json.n);
        *row = (struct row){.rev = entry->rev, .json_bytes = entry->json.n};
        memcpy(row->json, entry->json.p, entry->json.n);
        disk->bytes += entry->json.n;
        row_drop(disk, map_put(&disk->rows, entry->key, row));
    }
    disk->rev_ceiling = rev_ceiling > disk->rev_ceiling ? rev_ceiling : disk->rev_ceiling;
    return 0;
}

static uint64_t memory_size(struct journal *journal)
{
    return self(journal)->disk->bytes;
}

static void memory_close(struct journal *journal)
{
    struct journal_memory *m = self(journal);
    if (m->is_owner) {
        journal_disk_free(m->disk);
    }
    free(m);
}

struct journal_disk *journal_disk_new(void)
{
    return xcalloc(1, sizeof(struct journal_disk));
}

void journal_disk_free(struct journal_disk *disk)
{
    if (disk != NULL) {
        map_done(&disk->rows, free);
        free(disk);
    }
}

void journal_disk_fail(struct journal_disk *disk, unsigned appends_count)
{
    disk->failures_count = appends_count;
}

struct journal *journal_open_disk(struct journal_disk *disk)
{
    static const struct journal_ops ops = {memory_load, memory_append, memory_size, memory_close};
    struct journal_memory *m = xcalloc(1, sizeof *m);
    m->journal.ops = &ops;
    m->disk = disk;
    return &m->journal;
}

struct journal *journal_open_memory(void)
{
    struct journal *journal = journal_open_disk(journal_disk_new());
    self(journal)->is_owner = true;
    return journal;
}
