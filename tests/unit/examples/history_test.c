// SPDX-License-Identifier: Apache-2.0
//
// The board's history: what is appended, what a crash leaves, and the cut at its limit.
#include "test.h"

#include "history.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct history h;
static struct board board;
static char dir[64];

static void open_new(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/history-test-XXXXXX");
    EXPECT(mkdtemp(dir) != NULL);
    EXPECT_INT(0, history_open(&h, dir));
}

static void close_and_remove(void)
{
    (void)unlinkat(h.dir_fd, "history", 0);
    (void)close(h.fd);
    (void)close(h.dir_fd);
    EXPECT_INT(0, rmdir(dir));
}

static void set_row(int i, const char *pod, uint64_t visits, bool is_known)
{
    board.rows[i] = (struct board_row){.visits = visits, .is_known = is_known};
    (void)snprintf(board.rows[i].pod, sizeof board.rows[i].pod, "%s", pod);
    board.rows_count = i + 1;
}

TEST(history_adds_what_changed)
{
    open_new();
    set_row(0, "m-0", 10, true);
    set_row(1, "m-1", 7, false);
    board.asked_at = 100;
    EXPECT(history_add(&h, &board));
    EXPECT_STR("100 m-0=10\n", str_of(h.text));
    board.asked_at = 105;
    EXPECT(history_add(&h, &board)); /* the same counts */
    EXPECT_STR("100 m-0=10\n", str_of(h.text));
    set_row(1, "m-1", 7, true);
    EXPECT(history_add(&h, &board));
    EXPECT_STR("100 m-0=10\n105 m-0=10 m-1=7\n", str_of(h.text));
    close_and_remove();
}

TEST(history_drops_a_torn_line)
{
    open_new();
    set_row(0, "m-0", 1, true);
    board.asked_at = 1;
    EXPECT(history_add(&h, &board));
    EXPECT_INT(6, write(h.fd, "2 m-0=", 6));
    (void)close(h.fd);
    (void)close(h.dir_fd);
    EXPECT_INT(0, history_open(&h, dir));
    EXPECT_STR("1 m-0=1\n", str_of(h.text));
    set_row(0, "m-0", 2, true);
    EXPECT(history_add(&h, &board));
    EXPECT_STR("1 m-0=1\n1 m-0=2\n", str_of(h.text));
    close_and_remove();
}

TEST(history_forgets_its_older_half)
{
    struct stat st;
    open_new();
    for (uint64_t i = 0; i < 2000; i++) {
        set_row(0, "a-pod-with-a-name-that-is-as-long-as-names-of-pods-get-to-be-0", i, true);
        board.asked_at = (int64_t)i;
        EXPECT(history_add(&h, &board));
        EXPECT(h.len <= HISTORY_BYTES_MAX && h.text[h.len - 1] == '\n');
    }
    EXPECT(strstr(h.text, "0=1999\n") != NULL);
    EXPECT(strstr(h.text, "0=0\n") == NULL);
    EXPECT_INT(0, fstat(h.fd, &st));
    EXPECT_INT(h.len, st.st_size);
    close_and_remove();
}
