// SPDX-License-Identifier: Apache-2.0
//
// The count on disk, and the calendar of the page.
#include "test.h"

#include "page.h"
#include "visits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/visits-test-XXXXXX";

static void put(int dir_fd, const char *text)
{
    int fd = openat(dir_fd, "visits", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    EXPECT(fd >= 0);
    EXPECT_INT(strlen(text), write(fd, text, strlen(text)));
    (void)close(fd);
}

static void new_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/visits-test-XXXXXX");
    EXPECT(mkdtemp(dir) != NULL);
}

static void remove_dir(void)
{
    char path[sizeof dir + 16];
    static const char *const names[] = {"visits", "visits.new"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
        (void)rmdir(path);
    }
    EXPECT_INT(0, rmdir(dir));
}

TEST(visits_are_kept)
{
    struct visits v;
    new_dir();
    EXPECT_INT(0, visits_open(&v, dir));
    EXPECT_INT(0, v.count);
    EXPECT_INT(1, visits_add(&v));
    EXPECT_INT(2, visits_add(&v));
    EXPECT_INT(0, v.committed);
    EXPECT(visits_commit(&v));
    EXPECT_INT(3, visits_add(&v)); /* never committed: a crash forgets it */
    visits_close(&v);
    EXPECT_INT(0, visits_open(&v, dir));
    EXPECT_INT(2, v.count);
    visits_close(&v);
    remove_dir();
}

TEST(visits_fail_to_commit)
{
    struct visits v;
    new_dir();
    EXPECT_INT(0, visits_open(&v, dir));
    EXPECT_INT(0, mkdirat(v.dir_fd, "visits.new", 0755)); /* in the way of the new file */
    (void)visits_add(&v);
    EXPECT(!visits_commit(&v));
    EXPECT_INT(0, v.count);
    EXPECT_INT(0, unlinkat(v.dir_fd, "visits.new", AT_REMOVEDIR));
    (void)visits_add(&v);
    EXPECT(visits_commit(&v));
    EXPECT_INT(1, v.committed);
    visits_close(&v);
    remove_dir();
}

TEST(visits_read_only_counts)
{
    /* text, count or -1 for refused */
    static const struct {
        const char *text;
        int64_t count;
    } cases[] = {
        {"7\n",                       7          },
        {"7",                         7          },
        {"12345678901\n",             12345678901},
        {"",                          -1         },
        {"\n",                        -1         },
        {"x",                         -1         },
        {"-1\n",                      -1         },
        {"7x\n",                      -1         },
        {"7\n8\n",                    -1         },
        {"99999999999999999999999\n", -1         },
    };
    new_dir();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct visits v;
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        put(fd, cases[i].text);
        (void)close(fd);
        EXPECT_INT(cases[i].count < 0 ? -1 : 0, visits_open(&v, dir));
        if (cases[i].count >= 0) {
            EXPECT_INT(cases[i].count, v.count);
        }
        visits_close(&v);
    }
    remove_dir();
}

TEST(moscow_clock)
{
    static const struct {
        int64_t now;
        struct moscow_clock want;
    } cases[] = {
        {0,          {1970, 1, 1, 4, 3, 0, 0}    },
        {75599,      {1970, 1, 1, 4, 23, 59, 59} },
        {75600,      {1970, 1, 2, 5, 0, 0, 0}    },
        {951771600,  {2000, 2, 29, 2, 0, 0, 0}   },
        {1709240399, {2024, 2, 29, 4, 23, 59, 59}},
        {1709240400, {2024, 3, 1, 5, 0, 0, 0}    },
        {4107531600, {2100, 3, 1, 1, 0, 0, 0}    }, /* 2100 is no leap year */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct moscow_clock got = moscow_clock_at(cases[i].now);
        EXPECT_INT(cases[i].want.year, got.year);
        EXPECT_INT(cases[i].want.month, got.month);
        EXPECT_INT(cases[i].want.day, got.day);
        EXPECT_INT(cases[i].want.weekday, got.weekday);
        EXPECT_INT(cases[i].want.hour, got.hour);
        EXPECT_INT(cases[i].want.minute, got.minute);
        EXPECT_INT(cases[i].want.second, got.second);
    }
}
