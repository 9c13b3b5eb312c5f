// SPDX-License-Identifier: Apache-2.0
//
// What only a file can suffer: damage, foreign files, a second opener. Power cuts and failing calls
// are journal_fault_test.c's.
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

static int append(struct journal *journal, uint64_t rev, struct err *err)
{
    char json[64];
    (void)snprintf(json, sizeof json, "{\"n\":%u}", (unsigned)rev);
    const struct journal_version versions[] = {
        {rev,     S("k/a"), str_of(json), false},
        {rev + 1, S("k/b"), str_of(json), true },
    };
    const uint64_t forget[] = {rev - 2, rev - 1};
    const struct journal_batch batch = {versions,          ARRAY_LEN(versions), forget,
                                        ARRAY_LEN(forget), rev + 100,           rev - 1};
    return journal->ops->append(journal, &batch, err);
}

static int see(void *ctx, const struct journal_version *version, struct err *err)
{
    (void)err;
    return buf_addf(ctx, STR_FMT "@%u%s=" STR_FMT ";", STR_ARG(version->key),
                    (unsigned)version->rev, version->is_delete ? "-" : "", STR_ARG(version->json));
}

TEST(sqlite_keeps_versions_until_they_are_forgotten)
{
    struct files f;
    struct err err = {0};
    files_init(&f, "/tmp/sqlite-test-"
                   "XX"
                   "XX"
                   "XX");
    auto_buf struct buf seen;
    buf_init(&seen, 4096);
    for (uint64_t rev = 1; rev <= 5; rev += 2) {
        struct journal *journal = journal_open_sqlite(f.main, &err);
        EXPECT_OK(journal == NULL ? err.code : 0);
        struct journal_batch limits = {0};
        buf_clear(&seen);
        EXPECT_OK(journal->ops->load(journal, see, &seen, &limits, &err));
        EXPECT_INT(rev == 1 ? 0 : rev + 98, limits.rev_ceiling);
        EXPECT_INT(rev == 1 ? 0 : rev - 3, limits.rev_floor);
        EXPECT_OK(append(journal, rev, &err));
        journal->ops->close(journal);
    }
    EXPECT_STR("k/a@3={\"n\":3};k/b@4-={\"n\":3};", buf_str(&seen));
    files_done(&f);
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

TEST(store_refuses_a_journal_that_holds_garbage)
{
    static const struct {
        uint64_t rev;
        struct str key, json;
        uint64_t rev_ceiling, rev_floor;
        const char *want;
    } cases[] = {
        {5, {"pods/a/b", 8}, {"{\"a\":", 5}, 10,        0,  "object \"pods/a/b\" in the journal: "         },
        {5, {"pods/a/b", 8}, {"5", 1},       10,        0,  "object \"pods/a/b\" in the journal: no object"},
        {5, {"", 0},         {"{}", 2},      10,        0,  "object \"\" in the journal: no key"           },
        {0, {"pods/a/b", 8}, {"{}", 2},      10,        0,  "a revision that doesn't ascend"               },
        {5, {"pods/a/b", 8}, {"{}", 2},      4,         0,  "revisions end at 5, with a ceiling of 4"      },
        {5, {"pods/a/b", 8}, {"{}", 2},      10,        11, "a ceiling of 10 and a floor of 11"            },
        {5, {"pods/a/b", 8}, {"{}", 2},      INT64_MAX, 0,  "with a ceiling of 9223372036854775807"        },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct journal *journal = journal_open_memory();
        const struct journal_version version = {cases[i].rev, cases[i].key, cases[i].json, false};
        const struct journal_batch batch = {.versions = &version,
                                            .versions_count = 1,
                                            .rev_ceiling = cases[i].rev_ceiling,
                                            .rev_floor = cases[i].rev_floor};
        EXPECT_OK(journal->ops->append(journal, &batch, &err));
        struct loop *loop = loop_new_virtual(0);
        EXPECT(store_open(loop, journal, &err) == NULL);
        EXPECT_INT(ERR_CORRUPT, err.code);
        EXPECT(strstr(err.msg, cases[i].want) != NULL);
        loop_free(loop);
    }
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
