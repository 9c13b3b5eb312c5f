// SPDX-License-Identifier: Apache-2.0
//
// What only a file can suffer: power cuts, damage, foreign files, a second opener.
#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "store/journal.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 16 << 20 };

struct files {
    char dir[32];
    char *main;
    char *wal;
};

static void files_init(struct files *f, const char *template)
{
    (void)snprintf(f->dir, sizeof f->dir, "%s", template);
    EXPECT(mkdtemp(f->dir) != NULL);
    f->main = xasprintf("%s/journal", f->dir);
    f->wal = xasprintf("%s/journal-wal", f->dir);
}

static void files_done(struct files *f)
{
    (void)unlink(f->main);
    (void)unlink(f->wal);
    EXPECT_INT(0, rmdir(f->dir));
    free(f->main);
    free(f->wal);
}

static void copy_prefix(const char *from, const char *to, size_t bytes_max)
{
    auto_buf struct buf buf;
    buf_init(&buf, FILE_MAX);
    struct err err = {0};
    EXPECT_OK(file_read(AT_FDCWD, from, &buf, &err));
    EXPECT_OK(file_write_atomic(AT_FDCWD, to, str_sub(buf_str(&buf), 0, bytes_max), 0600, &err));
}

static int append(struct journal *journal, uint64_t rev, struct err *err)
{
    char json[64];
    (void)snprintf(json, sizeof json, "{\"n\":%u}", (unsigned)rev);
    const struct journal_entry entries[] = {
        {S("k/a"), rev, str_of(json)},
        {S("k/b"), rev, str_of(json)},
        {S("k/c"), rev, {NULL, 0}   },
    };
    return journal->ops->append(journal, entries, ARRAY_LEN(entries), rev + 100, err);
}

struct seen {
    uint64_t revs[2];
    size_t count;
};

static int see(void *ctx, const struct journal_entry *entry, struct err *err)
{
    struct seen *seen = ctx;
    (void)err;
    EXPECT(seen->count < 2);
    seen->revs[seen->count++] = entry->rev;
    return 0;
}

/* A power cut leaves any prefix of the write-ahead log: whole transactions or nothing. */
TEST(sqlite_survives_cuts_at_every_place)
{
    struct files live;
    struct files cut;
    struct err err = {0};
    files_init(&live, "/tmp/sqlite-test-"
                      "XX"
                      "XX"
                      "XX");
    files_init(&cut, "/tmp/sqlite-test-"
                     "XX"
                     "XX"
                     "XX");
    struct journal *journal = journal_open_sqlite(live.main, &err);
    EXPECT_OK(journal == NULL ? err.code : 0);
    for (uint64_t rev = 1; rev <= 4; rev++) {
        EXPECT_OK(append(journal, rev, &err));
    }
    struct stat st;
    EXPECT_INT(0, stat(live.wal, &st));
    EXPECT(st.st_size > 0);
    EXPECT_INT(0600, st.st_mode & 0777);
    uint64_t last = 0;
    for (size_t bytes = 0; bytes <= (size_t)st.st_size; bytes += 1021) {
        copy_prefix(live.main, cut.main, SIZE_MAX);
        copy_prefix(live.wal, cut.wal, bytes);
        struct journal *again = journal_open_sqlite(cut.main, &err);
        EXPECT_OK(again == NULL ? err.code : 0);
        struct seen seen = {0};
        uint64_t ceiling = 0;
        EXPECT_OK(again->ops->load(again, see, &seen, &ceiling, &err));
        EXPECT(seen.count == 0 || (seen.count == 2 && seen.revs[0] == seen.revs[1]));
        EXPECT_INT(seen.count == 0 ? 0 : seen.revs[0] + 100, ceiling);
        EXPECT(seen.revs[0] >= last);
        last = seen.revs[0];
        again->ops->close(again);
    }
    EXPECT(last >= 3);
    journal->ops->close(journal);
    files_done(&live);
    files_done(&cut);
}

TEST(sqlite_names_the_damaged_file)
{
    struct files f;
    struct err err = {0};
    files_init(&f, "/tmp/sqlite-test-"
                   "XX"
                   "XX"
                   "XX");
    struct journal *journal = journal_open_sqlite(f.main, &err);
    EXPECT_OK(journal == NULL ? err.code : 0);
    EXPECT_OK(append(journal, 1, &err));
    journal->ops->close(journal);
    static const struct {
        off_t at;
        const char *bytes;
    } damages[] = {
        {4096, "############################################"},
        {0,    "not a database at all"                       },
    };
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        int fd = open(f.main, O_RDWR | O_CLOEXEC);
        EXPECT(fd >= 0);
        EXPECT(pwrite(fd, damages[i].bytes, strlen(damages[i].bytes), damages[i].at) > 0);
        (void)close(fd);
        EXPECT(journal_open_sqlite(f.main, &err) == NULL);
        EXPECT_INT(ERR_CORRUPT, err.code);
        EXPECT(strstr(err.msg, f.main) != NULL);
    }
    files_done(&f);
}

TEST(sqlite_journal_is_locked_and_private)
{
    struct files f;
    struct err err = {0};
    files_init(&f, "/tmp/sqlite-test-"
                   "XX"
                   "XX"
                   "XX");
    struct journal *journal = journal_open_sqlite(f.main, &err);
    EXPECT_OK(journal == NULL ? err.code : 0);
    EXPECT_OK(append(journal, 1, &err));
    struct stat st;
    EXPECT_INT(0, stat(f.main, &st));
    EXPECT_INT(0600, st.st_mode & 0777);
    EXPECT(journal_open_sqlite(f.main, &err) == NULL);
    EXPECT_INT(ERR_CONFLICT, err.code);
    journal->ops->close(journal);
    EXPECT(journal_open_sqlite("/nonexistent/journal", &err) == NULL);
    EXPECT_INT(ERR_NOT_FOUND, err.code);
    files_done(&f);
}

TEST(store_names_the_broken_object)
{
    struct err err = {0};
    struct journal *journal = journal_open_memory();
    const struct journal_entry entry = {S("pods/a/b"), 5, S("{\"a\":")};
    EXPECT_OK(journal->ops->append(journal, &entry, 1, 10, &err));
    struct loop *loop = loop_new_virtual(0);
    EXPECT(store_open(loop, journal, &err) == NULL);
    EXPECT_INT(ERR_CORRUPT, err.code);
    EXPECT(strstr(err.msg, "pods/a/b") != NULL);
    loop_free(loop);
}

struct run {
    struct loop *loop;
    struct store *store;
    unsigned done_count;
};

static void count_and_stop(void *ctx, struct object *object, const struct err *err)
{
    struct run *run = ctx;
    EXPECT(err == NULL && object != NULL);
    if (++run->done_count == 100) {
        loop_stop(run->loop);
    }
}

/* The real loop and its pool thread; the last writes go through a flush while one is under way. */
TEST(sqlite_commits_from_the_pool)
{
    struct files f;
    struct err err = {0};
    files_init(&f, "/tmp/sqlite-test-"
                   "XX"
                   "XX"
                   "XX");
    struct run run = {.loop = loop_new()};
    struct journal *journal = journal_open_sqlite(f.main, &err);
    EXPECT_OK(journal == NULL ? err.code : 0);
    run.store = store_open(run.loop, journal, &err);
    EXPECT_OK(run.store == NULL ? err.code : 0);
    struct val v = val_map();
    for (unsigned i = 0; i < 100; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "k/%u", i);
        EXPECT_OK(store_put(run.store, str_of(key), &v, 0, 0, count_and_stop, &run, &err));
    }
    loop_run(run.loop);
    EXPECT_INT(100, run.done_count);
    EXPECT_OK(store_put(run.store, S("k/last"), &v, 0, 0, count_and_stop, &run, &err));
    store_flush(run.store);
    EXPECT_INT(101, run.done_count);
    EXPECT_INT(101, store_stats(run.store).objects_count);
    store_close(run.store);
    loop_free(run.loop);
    files_done(&f);
}
