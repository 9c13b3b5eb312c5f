// SPDX-License-Identifier: Apache-2.0
//
// The journal of tests and simulation: versions in order of their revisions. They belong to a disk,
// which outlives the journal when it came from outside.
#include "store/journal.h"

#include "base/mem.h"

#include <stdlib.h>

struct row {
    uint64_t rev;
    bool is_delete;
    size_t key_bytes;
    size_t json_bytes;
    char text[]; /* key, JSON */
};

struct journal_disk {
    struct row **rows;
    size_t count;
    size_t cap;
    uint64_t rev_ceiling;
    uint64_t rev_floor;
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
                       int (*each)(void *ctx, const struct journal_version *version,
                                   struct err *err),
                       void *ctx, struct journal_batch *ret_batch, struct err *err)
{
    const struct journal_disk *disk = self(journal)->disk;
    for (size_t i = 0; i < disk->count; i++) {
        const struct row *row = disk->rows[i];
        struct journal_version version = {
            .rev = row->rev,
            .key = {row->text,                  row->key_bytes },
            .json = {row->text + row->key_bytes, row->json_bytes},
            .is_delete = row->is_delete
        };
        if (each(ctx, &version, err) < 0) {
            return err->code;
        }
    }
    *ret_batch =
        (struct journal_batch){.rev_ceiling = disk->rev_ceiling, .rev_floor = disk->rev_floor};
    return 0;
}

static void row_add(struct journal_disk *disk, const struct journal_version *version)
{
    struct row *row = xmalloc(sizeof *row + version->key.n + version->json.n);
    *row = (struct row){.rev = version->rev,
                        .is_delete = version->is_delete,
                        .key_bytes = version->key.n,
                        .json_bytes = version->json.n};
    memcpy(row->text, version->key.p, version->key.n);
    memcpy(row->text + version->key.n, version->json.p, version->json.n);
    if (disk->count == disk->cap) {
        disk->cap = disk->cap == 0 ? 64 : disk->cap * 2;
        disk->rows = xrealloc(disk->rows, disk->cap * sizeof(struct row *));
    }
    disk->rows[disk->count++] = row;
    disk->bytes += version->json.n;
}

static int compare_revs(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return *left < *right ? -1 : *left > *right;
}

static void forget(struct journal_disk *disk, const struct journal_batch *batch)
{
    uint64_t *revs = xmalloc((batch->forget_count + 1) * sizeof *revs);
    if (batch->forget_count > 0) {
        memcpy(revs, batch->forget, batch->forget_count * sizeof *revs);
        qsort(revs, batch->forget_count, sizeof *revs, compare_revs);
    }
    size_t kept = 0;
    for (size_t i = 0; i < disk->count; i++) {
        struct row *row = disk->rows[i];
        if (bsearch(&row->rev, revs, batch->forget_count, sizeof *revs, compare_revs) == NULL) {
            disk->rows[kept++] = row;
        } else {
            disk->bytes -= row->json_bytes;
            free(row);
        }
    }
    disk->count = kept;
    free(revs);
}

static int memory_append(struct journal *journal, const struct journal_batch *batch,
                         struct err *err)
{
    struct journal_disk *disk = self(journal)->disk;
    if (disk->failures_count > 0) {
        disk->failures_count--;
        return err_set(err, ERR_IO, "the journal's disk fails on request");
    }
    for (size_t i = 0; i < batch->versions_count; i++) {
        row_add(disk, &batch->versions[i]);
    }
    if (batch->forget_count > 0) {
        forget(disk, batch);
    }
    disk->rev_ceiling =
        batch->rev_ceiling > disk->rev_ceiling ? batch->rev_ceiling : disk->rev_ceiling;
    disk->rev_floor = batch->rev_floor > disk->rev_floor ? batch->rev_floor : disk->rev_floor;
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
        for (size_t i = 0; i < disk->count; i++) {
            free(disk->rows[i]);
        }
        free(disk->rows);
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
