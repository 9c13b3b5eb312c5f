// SPDX-License-Identifier: Apache-2.0
//
// The VFS has no shared memory, which SQLite's WAL does without in exclusive locking mode, and no
// memory maps, so that every byte goes through the calls below.
#include "fault_disk.h"

#include "base/mem.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 4, SECTOR = 512 };

enum change_kind { CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_REMOVE, CHANGE_SYNC, CHANGE_SYNC_FAILED };

struct change {
    enum change_kind kind;
    size_t file;
    size_t at; /* of a write; the size of a truncate */
    size_t n;
    char *bytes;
};

struct image {
    bool is_there;
    char *bytes;
    size_t n;
    size_t cap;
};

struct fault_disk {
    sqlite3_vfs vfs; /* first */
    sqlite3_vfs *system;
    char *names[FILES_MAX];
    struct image first[FILES_MAX]; /* when the record began */
    struct image now[FILES_MAX];
    struct change *changes;
    size_t changes_count;
    size_t changes_cap;
    size_t calls_count;
    size_t fail_at;
    enum fault fault;
    bool is_lasting;
    bool has_failed;
    bool is_stopped;
    bool is_recording;
    struct rng *rng;
};

struct handle {
    sqlite3_file base; /* first */
    struct fault_disk *disk;
    size_t file;
};

/* Images. */

static void image_fit(struct image *image, size_t n)
{
    if (n > image->cap) {
        size_t cap = n * 2 < 65536 ? 65536 : n * 2;
        image->bytes = xrealloc(image->bytes, cap);
        memset(image->bytes + image->cap, 0, cap - image->cap);
        image->cap = cap;
    }
    if (n > image->n) {
        image->n = n;
    }
}

static void image_copy(struct image *to, const struct image *from)
{
    image_fit(to, from->n);
    if (from->n > 0) {
        memcpy(to->bytes, from->bytes, from->n);
    }
    if (to->cap > from->n) {
        memset(to->bytes + from->n, 0, to->cap - from->n);
    }
    to->n = from->n;
    to->is_there = from->is_there;
}

static void image_apply(struct image *image, const struct change *change, size_t from, size_t to)
{
    if (change->kind == CHANGE_WRITE && to > from) {
        image->is_there = true;
        image_fit(image, change->at + to);
        memcpy(image->bytes + change->at + from, change->bytes + from, to - from);
    } else if (change->kind == CHANGE_TRUNCATE && change->at < image->n) {
        memset(image->bytes + change->at, 0, image->n - change->at);
        image->n = change->at;
    } else if (change->kind == CHANGE_REMOVE) {
        image->is_there = false;
        image->n = 0;
    }
}

/* The record. */

static void record(struct fault_disk *disk, struct change change, const void *bytes)
{
    if (!disk->is_recording) {
        return;
    }
    if (change.n > 0) {
        change.bytes = xmalloc(change.n);
        memcpy(change.bytes, bytes, change.n);
    }
    if (disk->changes_count == disk->changes_cap) {
        disk->changes_cap = disk->changes_cap == 0 ? 256 : disk->changes_cap * 2;
        disk->changes = xrealloc(disk->changes, disk->changes_cap * sizeof *disk->changes);
    }
    disk->changes[disk->changes_count++] = change;
}

static void forget_record(struct fault_disk *disk)
{
    for (size_t i = 0; i < disk->changes_count; i++) {
        free(disk->changes[i].bytes);
    }
    disk->changes_count = 0;
}

/* Which changes before the cut a successful sync covers. Caller frees. */
static bool *synced_before(const struct fault_disk *disk, size_t cut)
{
    bool *is_synced = xcalloc(cut + 1, sizeof *is_synced);
    bool is_covered[FILES_MAX] = {false};
    for (size_t i = cut < disk->changes_count ? cut : disk->changes_count; i-- > 0;) {
        const struct change *change = &disk->changes[i];
        if (change->kind == CHANGE_SYNC || change->kind == CHANGE_SYNC_FAILED) {
            is_covered[change->file] = change->kind == CHANGE_SYNC;
        }
        is_synced[i] = is_covered[change->file];
    }
    return is_synced;
}

/* Whole, not at all, a first part, or some sectors. */
static void apply_some(struct image *image, const struct change *change, struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        image_apply(image, change, 0, change->n);
        return;
    case 1:
        return;
    case 2:
        image_apply(image, change, 0, change->n == 0 ? 0 : rng_below(rng, change->n + 1));
        return;
    default:
        for (size_t from = 0; from < change->n; from += SECTOR) {
            size_t to = from + SECTOR < change->n ? from + SECTOR : change->n;
            if (rng_below(rng, 2) == 0) {
                image_apply(image, change, from, to);
            }
        }
    }
}

void fault_disk_cut(struct fault_disk *disk, size_t change, size_t bytes, struct rng *rng)
{
    for (size_t f = 0; f < FILES_MAX; f++) {
        image_copy(&disk->now[f], &disk->first[f]);
    }
    auto_free bool *is_synced = synced_before(disk, change);
    for (size_t i = 0; i < disk->changes_count && i <= change; i++) {
        const struct change *c = &disk->changes[i];
        struct image *image = &disk->now[c->file];
        size_t n = i < change || bytes > c->n ? c->n : bytes;
        if (rng == NULL || c->kind == CHANGE_REMOVE || is_synced[i]) {
            image_apply(image, c, 0, n);
        } else {
            apply_some(image, c, rng);
        }
    }
    disk->is_stopped = false;
    disk->is_recording = false;
}

void fault_disk_lose_power(struct fault_disk *disk, struct rng *rng)
{
    fault_disk_cut(disk, disk->changes_count, 0, rng);
    for (size_t f = 0; f < FILES_MAX; f++) {
        image_copy(&disk->first[f], &disk->now[f]);
    }
    forget_record(disk);
    disk->is_recording = true;
}

size_t fault_disk_changes(const struct fault_disk *disk)
{
    return disk->changes_count;
}

size_t fault_disk_change_bytes(const struct fault_disk *disk, size_t change)
{
    return disk->changes[change].n;
}

/* Failing. */

void fault_disk_fail(struct fault_disk *disk, size_t calls_count, enum fault fault, bool is_lasting,
                     struct rng *rng)
{
    disk->calls_count = 0;
    disk->fail_at = calls_count;
    disk->fault = fault;
    disk->is_lasting = is_lasting;
    disk->has_failed = false;
    disk->rng = rng;
}

size_t fault_disk_calls(const struct fault_disk *disk)
{
    return disk->calls_count;
}

bool fault_disk_has_failed(const struct fault_disk *disk)
{
    return disk->has_failed;
}

void fault_disk_stop(struct fault_disk *disk)
{
    disk->is_stopped = true;
}

void fault_disk_revive(struct fault_disk *disk)
{
    disk->is_stopped = false;
}

/* Whether this call fails. */
static bool fails(struct fault_disk *disk, bool is_write)
{
    if (disk->is_stopped) {
        return true;
    }
    disk->calls_count++;
    bool is_due = disk->fail_at != 0 && (disk->calls_count == disk->fail_at ||
                                         (disk->calls_count > disk->fail_at && disk->is_lasting));
    if (!is_due || (disk->fault == FAULT_FULL && !is_write)) {
        return false;
    }
    disk->has_failed = true;
    return true;
}

/* Calls on a file. */

static struct fault_disk *disk_of(sqlite3_file *file)
{
    return ((struct handle *)(void *)file)->disk;
}

static struct image *image_of(sqlite3_file *file)
{
    const struct handle *handle = (struct handle *)(void *)file;
    return &handle->disk->now[handle->file];
}

static size_t index_of(sqlite3_file *file)
{
    return ((struct handle *)(void *)file)->file;
}

static int on_close(sqlite3_file *file)
{
    (void)file;
    return SQLITE_OK;
}

static int on_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
    const struct image *image = image_of(file);
    if (fails(disk_of(file), /*is_write=*/false)) {
        return SQLITE_IOERR_READ;
    }
    size_t have = (size_t)at < image->n ? image->n - (size_t)at : 0;
    have = have < (size_t)n ? have : (size_t)n;
    memset(to, 0, (size_t)n);
    if (have > 0) {
        memcpy(to, image->bytes + at, have);
    }
    return have == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static void write_bytes(sqlite3_file *file, const void *bytes, size_t n, size_t at)
{
    struct change change = {.kind = CHANGE_WRITE, .file = index_of(file), .at = at, .n = n};
    record(disk_of(file), change, bytes);
    change.bytes = (char *)(uintptr_t)bytes;
    image_apply(image_of(file), &change, 0, n);
}

static int on_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    struct fault_disk *disk = disk_of(file);
    if (fails(disk, /*is_write=*/true)) {
        if (!disk->is_stopped) {
            write_bytes(file, bytes, rng_below(disk->rng, (uint64_t)n), (size_t)at);
        }
        return disk->fault == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    write_bytes(file, bytes, (size_t)n, (size_t)at);
    return SQLITE_OK;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct fault_disk *disk = disk_of(file);
    struct change change = {.kind = CHANGE_TRUNCATE, .file = index_of(file), .at = (size_t)size};
    if (fails(disk, disk->fault == FAULT_IO)) {
        return SQLITE_IOERR_TRUNCATE;
    }
    record(disk, change, NULL);
    image_apply(image_of(file), &change, 0, 0);
    return SQLITE_OK;
}

static int on_sync(sqlite3_file *file, int flags)
{
    struct fault_disk *disk = disk_of(file);
    (void)flags;
    bool is_failing = fails(disk, disk->fault == FAULT_IO);
    if (!disk->is_stopped) {
        record(disk,
               (struct change){.kind = is_failing ? CHANGE_SYNC_FAILED : CHANGE_SYNC,
                               .file = index_of(file)},
               NULL);
    }
    return is_failing ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int on_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    if (fails(disk_of(file), /*is_write=*/false)) {
        return SQLITE_IOERR_FSTAT;
    }
    *ret = (sqlite3_int64)image_of(file)->n;
    return SQLITE_OK;
}

static int on_lock(sqlite3_file *file, int level)
{
    (void)level;
    return fails(disk_of(file), /*is_write=*/false) ? SQLITE_IOERR_LOCK : SQLITE_OK;
}

static int on_unlock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int on_check_lock(sqlite3_file *file, int *ret)
{
    *ret = 0;
    return fails(disk_of(file), /*is_write=*/false) ? SQLITE_IOERR_CHECKRESERVEDLOCK : SQLITE_OK;
}

static int on_control(sqlite3_file *file, int what, void *argument)
{
    (void)file;
    (void)what;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int on_sector_size(sqlite3_file *file)
{
    (void)file;
    return 4096;
}

static int on_characteristics(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite takes every Unix disk to be */
}

/* Calls on names. */

static size_t find_file(struct fault_disk *disk, const char *name)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (disk->names[i] == NULL) {
            disk->names[i] = xstrdup(name);
        }
        if (strcmp(disk->names[i], name) == 0) {
            return i;
        }
    }
    abort();
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret)
{
    static const sqlite3_io_methods methods = {.iVersion = 1,
                                               .xClose = on_close,
                                               .xRead = on_read,
                                               .xWrite = on_write,
                                               .xTruncate = on_truncate,
                                               .xSync = on_sync,
                                               .xFileSize = on_size,
                                               .xLock = on_lock,
                                               .xUnlock = on_unlock,
                                               .xCheckReservedLock = on_check_lock,
                                               .xFileControl = on_control,
                                               .xSectorSize = on_sector_size,
                                               .xDeviceCharacteristics = on_characteristics};
    struct fault_disk *disk = (struct fault_disk *)(void *)vfs;
    struct handle *handle = (struct handle *)(void *)file;
    handle->base.pMethods = NULL;
    size_t at = find_file(disk, name);
    if (fails(disk, /*is_write=*/false)) {
        return SQLITE_CANTOPEN;
    }
    if (!disk->now[at].is_there && (flags & SQLITE_OPEN_CREATE) == 0 && at != 0) {
        return SQLITE_CANTOPEN;
    }
    disk->now[at].is_there = true;
    *handle = (struct handle){.base = {&methods}, .disk = disk, .file = at};
    if (ret != NULL) {
        *ret = flags;
    }
    return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    struct fault_disk *disk = (struct fault_disk *)(void *)vfs;
    struct change change = {.kind = CHANGE_REMOVE, .file = find_file(disk, name)};
    (void)sync_dir;
    if (fails(disk, disk->fault == FAULT_IO)) {
        return SQLITE_IOERR_DELETE;
    }
    if (!disk->now[change.file].is_there) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    record(disk, change, NULL);
    image_apply(&disk->now[change.file], &change, 0, 0);
    return SQLITE_OK;
}

static int on_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    struct fault_disk *disk = (struct fault_disk *)(void *)vfs;
    const struct image *image = &disk->now[find_file(disk, name)];
    (void)flags;
    if (fails(disk, /*is_write=*/false)) {
        return SQLITE_IOERR_ACCESS;
    }
    *ret = image->is_there && image->n > 0;
    return SQLITE_OK;
}

static int on_full_name(sqlite3_vfs *vfs, const char *name, int n, char *ret)
{
    (void)vfs;
    (void)snprintf(ret, (size_t)n, "%s", name);
    return SQLITE_OK;
}

static int on_randomness(sqlite3_vfs *vfs, int n, char *ret)
{
    (void)vfs;
    memset(ret, 7, (size_t)n); /* a run is the same each time */
    return n;
}

static int on_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    *ret = 2460000.5;
    return SQLITE_OK;
}

static int on_last_error(sqlite3_vfs *vfs, int n, char *text)
{
    (void)vfs;
    (void)n;
    (void)text;
    return 0;
}

struct fault_disk *fault_disk_new(void)
{
    struct fault_disk *disk = xcalloc(1, sizeof *disk);
    disk->system = sqlite3_vfs_find(NULL);
    disk->is_recording = true;
    disk->vfs = (sqlite3_vfs){.iVersion = 1,
                              .szOsFile = sizeof(struct handle),
                              .mxPathname = 512,
                              .zName = "fault-disk",
                              .xOpen = on_open,
                              .xDelete = on_delete,
                              .xAccess = on_access,
                              .xFullPathname = on_full_name,
                              .xRandomness = on_randomness,
                              .xCurrentTime = on_time,
                              .xGetLastError = on_last_error};
    (void)sqlite3_vfs_register(&disk->vfs, 1);
    return disk;
}

void fault_disk_free(struct fault_disk *disk)
{
    (void)sqlite3_vfs_unregister(&disk->vfs);
    (void)sqlite3_vfs_register(disk->system, 1);
    forget_record(disk);
    for (size_t f = 0; f < FILES_MAX; f++) {
        free(disk->names[f]);
        free(disk->first[f].bytes);
        free(disk->now[f].bytes);
    }
    free(disk->changes);
    free(disk);
}
