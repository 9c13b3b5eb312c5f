// SPDX-License-Identifier: Apache-2.0
//
// The whole file is also held in memory (it is small), so that readers never wait for the disk.
#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 16 * 1024 };

static int complain(const char *what)
{
    (void)fprintf(stderr, "history: %s: %s\n", what, strerror(errno));
    return -1;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

int history_open(struct history *history, const char *dir)
{
    history->fd = -1;
    history->len = 0;
    if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
        return complain(dir);
    }
    history->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (history->dir_fd < 0) {
        return complain(dir);
    }
    history->fd = openat(history->dir_fd, "history", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (history->fd < 0) {
        return complain("open");
    }
    ssize_t n;
    while ((n = read(history->fd, history->text + history->len, HISTORY_BYTES_MAX - history->len)) >
           0) {
        history->len += (size_t)n;
    }
    while (history->len > 0 && history->text[history->len - 1] != '\n') {
        history->len--; /* what a crash left of a line */
    }
    history->text[history->len] = '\0';
    if (n < 0 || ftruncate(history->fd, (off_t)history->len) < 0 ||
        lseek(history->fd, 0, SEEK_END) < 0 || fsync(history->dir_fd) < 0) {
        return complain("read");
    }
    return 0;
}

/* Drops the older half: a new file with the newer one takes the old one's place. */
static bool history_shorten(struct history *history)
{
    const char *half = memchr(history->text + history->len / 2, '\n', history->len / 2 + 1);
    half = half == NULL ? history->text + history->len : half + 1;
    size_t len = (size_t)(history->text + history->len - half);
    int fd = openat(history->dir_fd, "history.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return false;
    }
    if (!write_all(fd, half, len) || fsync(fd) < 0 ||
        renameat(history->dir_fd, "history.new", history->dir_fd, "history") < 0 ||
        fsync(history->dir_fd) < 0) {
        (void)close(fd);
        return false;
    }
    memmove(history->text, half, len + 1);
    history->len = len;
    (void)close(history->fd);
    history->fd = fd;
    return true;
}

/* " pod=visits ..." of those that answered. */
static size_t write_counts(const struct board *board, char *out, size_t max)
{
    size_t len = 0;
    out[0] = '\0';
    for (int i = 0; i < board->rows_count; i++) {
        if (!board->rows[i].is_known || len + BOARD_POD_MAX + 24 > max) {
            continue;
        }
        len += (size_t)snprintf(out + len, max - len, " %s=%" PRIu64, board->rows[i].pod,
                                board->rows[i].visits);
    }
    return len;
}

/* True when the last line says the same. */
static bool is_last(const struct history *history, const char *counts, size_t len)
{
    const char *end = history->text + history->len;
    return history->len > len && end[-1] == '\n' && memcmp(end - 1 - len, counts, len) == 0 &&
           end[-2 - (ptrdiff_t)len] >= '0' && end[-2 - (ptrdiff_t)len] <= '9';
}

bool history_add(struct history *history, const struct board *board)
{
    static char counts[LINE_BYTES_MAX], line[LINE_BYTES_MAX + 32];
    size_t len = write_counts(board, counts, sizeof counts);
    if (len == 0 || is_last(history, counts, len)) {
        return true;
    }
    int n = snprintf(line, sizeof line, "%" PRId64 "%s\n", board->asked_at, counts);
    if (history->len + (size_t)n > HISTORY_BYTES_MAX && !history_shorten(history)) {
        return complain("shorten") == 0;
    }
    if (!write_all(history->fd, line, (size_t)n) || fsync(history->fd) < 0) {
        (void)complain("append");
        (void)!ftruncate(history->fd, (off_t)history->len);
        (void)lseek(history->fd, (off_t)history->len, SEEK_SET);
        return false;
    }
    memcpy(history->text + history->len, line, (size_t)n + 1);
    history->len += (size_t)n;
    return true;
}
