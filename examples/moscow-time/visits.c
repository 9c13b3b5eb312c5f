// SPDX-License-Identifier: Apache-2.0
//
// Why rename and not append: `cat data/visits` is what people look at, so the file is the number.
#include "visits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_BYTES_MAX = 32, LOCK_TRIES = 100, LOCK_PAUSE_MS = 100 };

static int complain(const char *what)
{
    (void)fprintf(stderr, "visits: %s: %s\n", what, strerror(errno));
    return -1;
}

/* A pod that replaces another on the same volume may find its forerunner still ending. */
static int lock(int dir_fd)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0) {
            return 0;
        }
        if (errno != EWOULDBLOCK) {
            return complain("lock the folder");
        }
        (void)nanosleep(&pause, NULL);
    }
    return complain("another process counts in this folder");
}

static int read_count(struct visits *visits)
{
    char text[COUNT_BYTES_MAX + 1];
    int fd = openat(visits->dir_fd, "visits", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : complain("open the count");
    }
    ssize_t n = read(fd, text, COUNT_BYTES_MAX);
    (void)close(fd);
    if (n < 0) {
        return complain("read the count");
    }
    uint64_t count = 0;
    ssize_t at = 0;
    for (; at < n && text[at] >= '0' && text[at] <= '9'; at++) {
        uint64_t digit = (uint64_t)(text[at] - '0');
        if (count > (UINT64_MAX - digit) / 10) {
            at = 0;
            break;
        }
        count = count * 10 + digit;
    }
    if (at == 0 || (at < n && !(text[at] == '\n' && at + 1 == n))) {
        (void)fprintf(stderr, "visits: the file holds no count; mend or remove it\n");
        return -1;
    }
    visits->count = visits->committed = count;
    return 0;
}

int visits_open(struct visits *visits, const char *dir)
{
    *visits = (struct visits){.dir_fd = -1};
    if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
        return complain(dir);
    }
    visits->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (visits->dir_fd < 0) {
        return complain(dir);
    }
    return lock(visits->dir_fd) < 0 ? -1 : read_count(visits);
}

void visits_close(struct visits *visits)
{
    if (visits->dir_fd >= 0) {
        (void)close(visits->dir_fd);
        visits->dir_fd = -1;
    }
}

uint64_t visits_add(struct visits *visits)
{
    return ++visits->count;
}

static bool write_count(struct visits *visits)
{
    char text[COUNT_BYTES_MAX];
    int n = snprintf(text, sizeof text, "%" PRIu64 "\n", visits->count);
    int fd = openat(visits->dir_fd, "visits.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return false;
    }
    bool is_written = write(fd, text, (size_t)n) == n && fsync(fd) == 0;
    is_written = close(fd) == 0 && is_written;
    return is_written && renameat(visits->dir_fd, "visits.new", visits->dir_fd, "visits") == 0 &&
           fsync(visits->dir_fd) == 0;
}

bool visits_commit(struct visits *visits)
{
    if (visits->count == visits->committed) {
        return true;
    }
    if (!write_count(visits)) {
        (void)complain("write the count");
        visits->count = visits->committed;
        return false;
    }
    visits->committed = visits->count;
    return true;
}
