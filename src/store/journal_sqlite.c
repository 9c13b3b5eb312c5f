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

enum { APPLICATION_ID = 0x636f7261, FORMAT = 1 }; /* "cora" */

enum statement { ST_BEGIN, ST_COMMIT, ST_ROLLBACK, ST_PUT, ST_DELETE, ST_CEILING, ST_COUNT };

static const char *const statements[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_PUT] = ("INSERT INTO objects (key, rev, json) VALUES (?1, ?2, ?3) "
                "ON CONFLICT (key) DO UPDATE SET rev = ?2, json = ?3"),
    [ST_DELETE] = "DELETE FROM objects WHERE key = ?1",
    [ST_CEILING] = "UPDATE ceiling SET rev = max(rev, ?1)",
};

struct journal_sqlite {
    struct journal journal; /* first */
    char *path;
    char *path_wal;
    sqlite3 *db;
    sqlite3_stmt *prepared[ST_COUNT];
    uint64_t ceiling; /* as committed: it moves rarely, and its row is a page of every append */
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
                                    "CREATE TABLE objects (key BLOB PRIMARY KEY NOT NULL,"
                                    " rev INTEGER NOT NULL, json BLOB NOT NULL);"
                                    "CREATE TABLE ceiling (rev INTEGER NOT NULL);"
                                    "INSERT INTO ceiling (rev) VALUES (0);"
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
        return err_set(err, ERR_UNSUPPORTED, "journal \"%s\" has format %lld, expected %d", j->path,
                       (long long)format, FORMAT);
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
        run(j, "PRAGMA cache_size = -512", err) < 0 || check_format(j, err) < 0) {
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

static int write_entry(struct journal_sqlite *j, const struct journal_entry *entry, struct err *err)
{
    enum statement which = entry->json.p == NULL ? ST_DELETE : ST_PUT;
    sqlite3_stmt *stmt = j->prepared[which];
    int code = sqlite3_bind_blob64(stmt, 1, entry->key.p, entry->key.n, SQLITE_STATIC);
    if (which == ST_PUT) {
        code |= sqlite3_bind_int64(stmt, 2, (sqlite3_int64)entry->rev);
        code |= sqlite3_bind_blob64(stmt, 3, entry->json.p, entry->json.n, SQLITE_STATIC);
    }
    return code == SQLITE_OK ? step(j, which, err) : fail(j, err);
}

static int write_all(struct journal_sqlite *j, const struct journal_entry *entries, size_t count,
                     uint64_t rev_ceiling, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (write_entry(j, &entries[i], err) < 0) {
            return err->code;
        }
    }
    if (rev_ceiling <= j->ceiling) {
        return 0;
    }
    if (sqlite3_bind_int64(j->prepared[ST_CEILING], 1, (sqlite3_int64)rev_ceiling) != SQLITE_OK) {
        return fail(j, err);
    }
    return step(j, ST_CEILING, err);
}

static int sqlite_append(struct journal *journal, const struct journal_entry *entries, size_t count,
                         uint64_t rev_ceiling, struct err *err)
{
    struct journal_sqlite *j = self(journal);
    if (step(j, ST_BEGIN, err) < 0) {
        return err->code;
    }
    if (write_all(j, entries, count, rev_ceiling, err) < 0 || step(j, ST_COMMIT, err) < 0) {
        struct err ignored; /* SQLite may have rolled back by itself */
        if (sqlite3_get_autocommit(j->db) == 0) {
            (void)step(j, ST_ROLLBACK, &ignored);
        }
        return err->code;
    }
    j->ceiling = rev_ceiling > j->ceiling ? rev_ceiling : j->ceiling;
    return 0;
}

static int load_rows(struct journal_sqlite *j, sqlite3_stmt *stmt,
                     int (*each)(void *ctx, const struct journal_entry *entry, struct err *err),
                     void *ctx, struct err *err)
{
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct journal_entry entry = {
            .key = {sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0)},
            .rev = (uint64_t)sqlite3_column_int64(stmt, 1),
            .json = {sqlite3_column_blob(stmt, 2), (size_t)sqlite3_column_bytes(stmt, 2)},
        };
        if (each(ctx, &entry, err) < 0) {
            return err_wrap(err, "journal \"%s\"", j->path);
        }
    }
    return code == SQLITE_DONE ? 0 : fail(j, err);
}

static int sqlite_load(struct journal *journal,
                       int (*each)(void *ctx, const struct journal_entry *entry, struct err *err),
                       void *ctx, uint64_t *ret_rev_ceiling, struct err *err)
{
    struct journal_sqlite *j = self(journal);
    sqlite3_stmt *stmt = NULL;
    int64_t ceiling = 0;
    if (query_int(j, "SELECT rev FROM ceiling", &ceiling, err) < 0) {
        return err->code;
    }
    const char *sql = "SELECT key, rev, json FROM objects ORDER BY key";
    if (sqlite3_prepare_v2(j->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        return fail(j, err);
    }
    int result = load_rows(j, stmt, each, ctx, err);
    (void)sqlite3_finalize(stmt);
    if (result == 0) {
        *ret_rev_ceiling = j->ceiling = (uint64_t)ceiling;
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
