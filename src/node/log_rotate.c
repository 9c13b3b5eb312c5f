// SPDX-License-Identifier: Apache-2.0
#include "node/log_rotate.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/timefmt.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { ROTATED_MAX = 256, STAMP_LEN = 15 /* YYYYMMDD-HHMMSS */ };

/* "2026-01-02T03:04:05Z" to "20260102-030405". */
static void stamp_of(usec wall, char out[static STAMP_LEN + 1])
{
    static const int from[STAMP_LEN] = {0, 1, 2, 3, 5, 6, 8, 9, 4, 11, 12, 14, 15, 17, 18};
    char text[TIME_TEXT_MAX];
    time_format(wall, text);
    for (int i = 0; i < STAMP_LEN; i++) {
        out[i] = text[from[i]];
    }
    out[STAMP_LEN] = '\0';
}

static int gzip_file(int dir_fd, const char *name)
{
    auto_free char *temp = xasprintf("%s.tmp", name);
    auto_free char *final = xasprintf("%s.gz", name);
    auto_close int in = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    int out = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    gzFile gz = out < 0 ? NULL : gzdopen(out, "wb");
    if (gz == NULL && out >= 0) {
        (void)close(out);
    }
    char chunk[8192];
    ssize_t n = -1;
    bool is_fine = in >= 0 && gz != NULL;
    while (is_fine && (n = read(in, chunk, sizeof chunk)) > 0) {
        is_fine = gzwrite(gz, chunk, (unsigned)n) == (int)n;
    }
    is_fine = (gz != NULL && gzclose(gz) == Z_OK) && is_fine && n == 0;
    if (!is_fine || renameat(dir_fd, temp, dir_fd, final) < 0) {
        (void)unlinkat(dir_fd, temp, 0);
        return -1;
    }
    return unlinkat(dir_fd, name, 0);
}

static int newest_first(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*y, *x);
}

/* Names of path's rotated files, newest first: the stamps sort as text. */
static size_t list_rotated(int dir_fd, struct str base, char *names[static ROTATED_MAX])
{
    size_t count = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL && count < ROTATED_MAX;
         e = readdir(dir)) {
        struct str name = str_of(e->d_name);
        if (str_starts(name, base) && name.n > base.n + STAMP_LEN && name.p[base.n] == '.') {
            if (str_ends(name, S(".tmp"))) {
                (void)unlinkat(dir_fd, e->d_name, 0); /* of a run that was cut short */
            } else {
                names[count++] = xstrdup(e->d_name);
            }
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    } else if (fd >= 0) {
        (void)close(fd);
    }
    qsort(names, count, sizeof names[0], newest_first);
    return count;
}

void log_compress_rotated(const char *path)
{
    ptrdiff_t slash = str_rfind(str_of(path), '/');
    auto_free char *parent = slash <= 0 ? xstrdup(".") : xstrndup(path, (size_t)slash);
    auto_close int dir_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *names[ROTATED_MAX];
    size_t count = dir_fd < 0 ? 0 : list_rotated(dir_fd, str_of(path + slash + 1), names);
    for (size_t i = 0; i < count; i++) {
        if (i >= LOG_FILES_MAX - 1) {
            (void)unlinkat(dir_fd, names[i], 0);
        } else if (i > 0 && !str_ends(str_of(names[i]), S(".gz"))) {
            (void)gzip_file(dir_fd, names[i]);
        }
        free(names[i]);
    }
}

struct compression {
    char *path;
};

static void compress_work(void *ctx)
{
    const struct compression *job = ctx;
    log_compress_rotated(job->path);
}

static void compress_done(void *ctx)
{
    struct compression *job = ctx;
    free(job->path);
    free(job);
}

void log_rotate(struct loop *loop, const char *path, const char *bundle, int64_t bytes_max)
{
    struct stat st;
    if (stat(path, &st) < 0 || st.st_size <= bytes_max) {
        return;
    }
    char stamp[STAMP_LEN + 1];
    stamp_of(loop_wall(loop), stamp);
    auto_free char *rotated = xasprintf("%s.%s", path, stamp);
    auto_free char *ctl_path = xasprintf("%s/ctl", bundle);
    auto_close int ctl = open(ctl_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (ctl < 0 || access(rotated, F_OK) == 0 || rename(path, rotated) < 0) {
        return;
    }
    if (write(ctl, "2 0 0\n", 6) != 6) {
        (void)rename(rotated, path);
        return;
    }
    struct compression *job = xcalloc(1, sizeof *job);
    job->path = xstrdup(path);
    loop_work(loop, compress_work, compress_done, job);
}
