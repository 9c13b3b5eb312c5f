// SPDX-License-Identifier: Apache-2.0
//
// The journal in one SQLite file: WAL, synchronous=FULL, one transaction an append, all statements
// prepared once. The file is locked for us alone while it is open, so two servers can't share one.
// Checkpoints run inside commits, and those run on pool threads.
#include "store/journal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x636f7261, FORMAT = 2 }; /* "cora" */

enum statement { ST_BEGIN, ST_COMMIT, ST_ROLLBACK, ST_PUT, ST_FORGET, ST_LIMITS, ST_COUNT };

static const char *const statements[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_PUT] = "INSERT INTO versions (rev, key, is_delete, json) VALUES (?1, ?2, ?3, ?4)",
    [ST_FORGET] = "DELETE FROM versions WHERE rev = ?1",
    [ST_LIMITS] = "UPDATE limits SET ceiling = max(ceiling, ?1), floor = max(floor, ?2)",
};

struct journal_sqlite {
    struct journal journal; /* first */
    char *path;
    char *path_wal;
    sqlite3 *db;
    sqlite3_stmt *prepared[ST_COUNT];
    uint64_t ceiling; /* as committed: the two move rarely, and their row is a page of an append */
    uint64_t floor;
};

static struct journal_sqlite *self(struct journal *journal)
{
    return container_of(journal, struct journal_sqlite, journal);
}

/* Turns the last failure of the database into an error that names the file. */
static int fail(const struct journal_sqlite *j, struct err *err)
{
    int code = sqlite3_errcode(j->db);
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, ERR_CORRUPT, "journal \"%s\" is damaged: %s", j->path,
                       sqlite3_errmsg(j->db));
    case SQLITE_DONE: /* a row that must be there is not */
        return err_set(err, ERR_CORRUPT, "journal \"%s\" is damaged: a row is missing", j->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_CONFLICT, "journal \"%s\" is in use by another process", j->path);
    case SQLITE_FULL:
        return err_set(err, ERR_IO, "journal \"%s\" can't be written: the disk is full", j->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return err_set(err, ERR_IO, "journal \"%s\" can't be opened for writing: %s", j->path,
                       sqlite3_errmsg(j->db));
    default:
        return err_set(err, ERR_IO, "journal \"%s\": %s (SQLite code %d)", j->path,
                       sqlite3_errmsg(j->db), code);
    }
}

static int run(struct journal_sqlite *j, const char *sql, struct err *err)
{
    return sqlite3_exec(j->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(j, err);
}

/* The integer that a query gives. */
static int query_int(struct journal_sqlite *j, const char *sql, int64_t *ret, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int result = 0;
    if (sqlite3_prepare_v2(j->db, sql, -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW) {
        result = fail(j, err);
    } else {
        *ret = sqlite3_column_int64(stmt, 0);
    }
    (void)sqlite3_finalize(stmt);
    return result;
}

static int check_pages(struct journal_sqlite *j, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int result = 0;
    if (sqlite3_prepare_v2(j->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW) {
        result = fail(j, err);
    } else {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (text == NULL || strcmp(text, "ok") != 0) {
            result = err_set(err, ERR_CORRUPT, "journal \"%s\" is damaged: %s", j->path,
                             text == NULL ? "no verdict" : text);
        }
    }
    (void)sqlite3_finalize(stmt);
    return result;
}

static int make_tables(struct journal_sqlite *j, struct err *err)
{
    auto_free char *sql = xasprintf("BEGIN;"
                                    "CREATE TABLE versions (rev INTEGER PRIMARY KEY,"
                                    " key BLOB NOT NULL, is_delete INTEGER NOT NULL,"
                                    " json BLOB NOT NULL);"
                                    "CREATE TABLE limits (ceiling INTEGER NOT NULL,"
                                    " floor INTEGER NOT NULL);"
                                    "INSERT INTO limits (ceiling, floor) VALUES (0, 0);"
                                    "PRAGMA application_id = %d;"
                                    "PRAGMA user_version = %d;"
                                    "COMMIT",
                                    APPLICATION_ID, FORMAT);
    return run(j, sql, err);
}

/* Ours, of a format that we know; an empty file becomes ours. */
static int check_format(struct journal_sqlite *j, struct err *err)
{
    int64_t id = 0;
    int64_t format = 0;
    int64_t tables_count = 0;
    if (query_int(j, "PRAGMA application_id", &id, err) < 0 ||
        query_int(j, "PRAGMA user_version", &format, err) < 0 ||
        query_int(j, "SELECT count(*) FROM sqlite_schema", &tables_count, err) < 0) {
        return err->code;
    }
    if (tables_count == 0 && id == 0) {
        return make_tables(j, err);
    }
    if (id != APPLICATION_ID) {
        return err_set(err, ERR_CORRUPT, "\"%s\" is a database, but not a journal", j->path);
    }
    if (format != FORMAT) {
        return err_set(
            err, ERR_UNSUPPORTED,
            "journal \"%s\" has format %lld, expected %d: another version of coracle made it",
            j->path, (long long)format, FORMAT);
    }
    return check_pages(j, err);
}

static int prepare_all(struct journal_sqlite *j, struct err *err)
{
    for (size_t i = 0; i < ST_COUNT; i++) {
        if (sqlite3_prepare_v3(j->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &j->prepared[i],
                               NULL) != SQLITE_OK) {
            return fail(j, err);
        }
    }
    return 0;
}

/* SQLite gives the files beside it (-wal) the mode of the main file. */
static int make_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_errno(err, "journal \"%s\" can't be opened for writing", path);
    }
    (void)close(fd);
    return 0;
}

/* What an earlier life left in the log may be in the page cache alone, after a flush that failed:
 * it is written anew into the main file, and flushed, before anybody is shown it. So is the end of
 * the log: it would come back with a part of its pages, and hide those in the main file. */
static int settle_log(struct journal_sqlite *j, struct err *err)
{
    sqlite3_file *log = NULL;
    if (run(j, "PRAGMA wal_checkpoint(TRUNCATE)", err) < 0 ||
        sqlite3_file_control(j->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK) {
        return fail(j, err);
    }
    if (log != NULL && log->pMethods != NULL &&
        log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) != SQLITE_OK) {
        return err_set(err, ERR_IO, "journal \"%s\": its log can't be flushed", j->path);
    }
    return 0;
}

static int setup(struct journal_sqlite *j, struct err *err)
{
    /* One thread at a time uses the connection (journal.h), so it needs no mutex. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (make_file(j->path, err) < 0) {
        return err->code;
    }
    if (sqlite3_open_v2(j->path, &j->db, flags, NULL) != SQLITE_OK) {
        return fail(j, err);
    }
    (void)sqlite3_extended_result_codes(j->db, 1);
    if (run(j, "PRAGMA locking_mode = EXCLUSIVE", err) < 0 ||
        run(j, "PRAGMA journal_mode = WAL", err) < 0 ||
        run(j, "PRAGMA synchronous = FULL", err) < 0 ||
        run(j, "PRAGMA cache_size = -512", err) < 0 || settle_log(j, err) < 0 ||
        check_format(j, err) < 0) {
        return err->code;
    }
    return prepare_all(j, err);
}

/* Runs a prepared statement that gives no rows. */
static int step(struct journal_sqlite *j, enum statement which, struct err *err)
{
    sqlite3_stmt *stmt = j->prepared[which];
    int code = sqlite3_step(stmt);
    int result = code == SQLITE_DONE ? 0 : fail(j, err);
    (void)sqlite3_reset(stmt);
    (void)sqlite3_clear_bindings(stmt);
    return result;
}

static int write_version(struct journal_sqlite *j, const struct journal_version *version,
                         struct err *err)
{
    sqlite3_stmt *stmt = j->prepared[ST_PUT];
    int code = sqlite3_bind_int64(stmt, 1, (sqlite3_int64)version->rev);
    code |= sqlite3_bind_blob64(stmt, 2, version->key.p, version->key.n, SQLITE_STATIC);
    code |= sqlite3_bind_int(stmt, 3, version->is_delete);
    code |= sqlite3_bind_blob64(stmt, 4, version->json.p, version->json.n, SQLITE_STATIC);
    return code == SQLITE_OK ? step(j, ST_PUT, err) : fail(j, err);
}

static int forget_version(struct journal_sqlite *j, uint64_t rev, struct err *err)
{
    int code = sqlite3_bind_int64(j->prepared[ST_FORGET], 1, (sqlite3_int64)rev);
    return code == SQLITE_OK ? step(j, ST_FORGET, err) : fail(j, err);
}

static int write_limits(struct journal_sqlite *j, const struct journal_batch *batch,
                        struct err *err)
{
    if (batch->rev_ceiling <= j->ceiling && batch->rev_floor <= j->floor) {
        return 0;
    }
    sqlite3_stmt *stmt = j->prepared[ST_LIMITS];
    int code = sqlite3_bind_int64(stmt, 1, (sqlite3_int64)batch->rev_ceiling);
    code |= sqlite3_bind_int64(stmt, 2, (sqlite3_int64)batch->rev_floor);
    return code == SQLITE_OK ? step(j, ST_LIMITS, err) : fail(j, err);
}

static int write_all(struct journal_sqlite *j, const struct journal_batch *batch, struct err *err)
{
    for (size_t i = 0; i < batch->versions_count; i++) {
        if (write_version(j, &batch->versions[i], err) < 0) {
            return err->code;
        }
    }
    for (size_t i = 0; i < batch->forget_count; i++) {
        if (forget_version(j, batch->forget[i], err) < 0) {
            return err->code;
        }
    }
    return write_limits(j, batch, err);
}

/* After a failed write or flush the disk may hold the batch, a part of it or nothing, and a later
 * flush that succeeds says nothing about it. A full disk refuses before anything is flushed. */
static bool is_known_to_be_absent(const struct journal_sqlite *j)
{
    return (sqlite3_errcode(j->db) & 0xff) == SQLITE_FULL;
}

static int sqlite_append(struct journal *journal, const struct journal_batch *batch,
                         struct err *err)
{
    struct journal_sqlite *j = self(journal);
    if (journal->is_broken) {
        return err_set(err, ERR_IO, "journal \"%s\" failed before", j->path);
    }
    if (step(j, ST_BEGIN, err) < 0 || write_all(j, batch, err) < 0 || step(j, ST_COMMIT, err) < 0) {
        struct err ignored; /* SQLite may have rolled back by itself */
        journal->is_broken = !is_known_to_be_absent(j);
        if (sqlite3_get_autocommit(j->db) == 0) {
            journal->is_broken |= step(j, ST_ROLLBACK, &ignored) < 0;
        }
        return err->code;
    }
    j->ceiling = batch->rev_ceiling > j->ceiling ? batch->rev_ceiling : j->ceiling;
    j->floor = batch->rev_floor > j->floor ? batch->rev_floor : j->floor;
    return 0;
}

static int load_rows(struct journal_sqlite *j, sqlite3_stmt *stmt,
                     int (*each)(void *ctx, const struct journal_version *version, struct err *err),
                     void *ctx, struct err *err)
{
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct journal_version version = {
            .rev = (uint64_t)sqlite3_column_int64(stmt, 0),
            .key = {sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1)},
            .is_delete = sqlite3_column_int(stmt, 2) != 0,
            .json = {sqlite3_column_blob(stmt, 3), (size_t)sqlite3_column_bytes(stmt, 3)},
        };
        if (each(ctx, &version, err) < 0) {
            return err_wrap(err, "journal \"%s\"", j->path);
        }
    }
    return code == SQLITE_DONE ? 0 : fail(j, err);
}

static int sqlite_load(struct journal *journal,
                       int (*each)(void *ctx, const struct journal_version *version,
                                   struct err *err),
                       void *ctx, struct journal_batch *ret_batch, struct err *err)
{
    struct journal_sqlite *j = self(journal);
    sqlite3_stmt *stmt = NULL;
    int64_t ceiling = 0;
    int64_t floor = 0;
    if (query_int(j, "SELECT ceiling FROM limits", &ceiling, err) < 0 ||
        query_int(j, "SELECT floor FROM limits", &floor, err) < 0) {
        return err->code;
    }
    const char *sql = "SELECT rev, key, is_delete, json FROM versions ORDER BY rev";
    if (sqlite3_prepare_v2(j->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        return fail(j, err);
    }
    int result = load_rows(j, stmt, each, ctx, err);
    (void)sqlite3_finalize(stmt);
    if (result == 0) {
        j->ceiling = (uint64_t)ceiling;
        j->floor = (uint64_t)floor;
        *ret_batch = (struct journal_batch){.rev_ceiling = j->ceiling, .rev_floor = j->floor};
    }
    return result;
}

/* By the files, not the connection: an append may be using that right now. */
static uint64_t sqlite_size(struct journal *journal)
{
    const struct journal_sqlite *j = self(journal);
    const char *const paths[] = {j->path, j->path_wal};
    uint64_t bytes = 0;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct stat st;
        if (stat(paths[i], &st) == 0) {
            bytes += (uint64_t)st.st_size;
        }
    }
    return bytes;
}

static void sqlite_close(struct journal *journal)
{
    struct journal_sqlite *j = self(journal);
    for (size_t i = 0; i < ST_COUNT; i++) {
        (void)sqlite3_finalize(j->prepared[i]);
    }
    (void)sqlite3_close(j->db);
    free(j->path);
    free(j->path_wal);
    free(j);
}

struct journal *journal_open_sqlite(const char *path, struct err *err)
{
    static const struct journal_ops ops = {sqlite_load, sqlite_append, sqlite_size, sqlite_close};
    struct journal_sqlite *j = xcalloc(1, sizeof *j);
    j->journal.ops = &ops;
    j->path = xstrdup(path);
    j->path_wal = xasprintf("%s-wal", path);
    if (setup(j, err) < 0) {
        sqlite_close(&j->journal);
        return NULL;
    }
    return &j->journal;
}
