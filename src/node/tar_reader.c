// SPDX-License-Identifier: Apache-2.0
#include "node/tar_reader.h"

#include "base/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* result, name, arguments */
#define LIBARCHIVE(X)                                                                              \
    X(struct archive *, archive_read_new, (void))                                                  \
    X(int, archive_read_support_format_tar, (struct archive *))                                    \
    X(int, archive_read_set_format_option,                                                         \
      (struct archive *, const char *, const char *, const char *))                                \
    X(int, archive_read_open,                                                                      \
      (struct archive *, void *, archive_open_callback *, archive_read_callback *,                 \
       archive_close_callback *))                                                                  \
    X(int, archive_read_next_header, (struct archive *, struct archive_entry **))                  \
    X(int, archive_read_data_block, (struct archive *, const void **, size_t *, la_int64_t *))     \
    X(int, archive_read_free, (struct archive *))                                                  \
    X(const char *, archive_error_string, (struct archive *))                                      \
    X(const char *, archive_entry_pathname, (struct archive_entry *))                              \
    X(const char *, archive_entry_hardlink, (struct archive_entry *))                              \
    X(const char *, archive_entry_symlink, (struct archive_entry *))                               \
    X(mode_t, archive_entry_mode, (struct archive_entry *))                                        \
    X(la_int64_t, archive_entry_uid, (struct archive_entry *))                                     \
    X(la_int64_t, archive_entry_gid, (struct archive_entry *))                                     \
    X(dev_t, archive_entry_rdev, (struct archive_entry *))                                         \
    X(la_int64_t, archive_entry_size, (struct archive_entry *))                                    \
    X(time_t, archive_entry_mtime, (struct archive_entry *))                                       \
    X(long, archive_entry_mtime_nsec, (struct archive_entry *))                                    \
    X(int, archive_entry_xattr_reset, (struct archive_entry *))                                    \
    X(int, archive_entry_xattr_next,                                                               \
      (struct archive_entry *, const char **, const void **, size_t *))

struct libarchive {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): declarations */
#define MEMBER(result, name, args) result(*name) args;
    LIBARCHIVE(MEMBER)
#undef MEMBER
};

struct tar_reader {
    struct libarchive api;
    void *library;
    struct archive *archive;
    struct archive_entry *entry;
    struct blob_stream *stream;
    struct err stream_err; /* what the stream said, better than libarchive's echo */
};

static int load(struct tar_reader *t, struct err *err)
{
    t->library = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    if (t->library == NULL) {
        return err_set(err, ERR_UNSUPPORTED,
                       "images can't be unpacked without libarchive: install libarchive13");
    }
    void *symbol;
#define LOAD(result, name, args)                                                                   \
    symbol = dlsym(t->library, #name);                                                             \
    if (symbol == NULL) {                                                                          \
        return err_set(err, ERR_UNSUPPORTED, "libarchive has no %s", #name);                       \
    }                                                                                              \
    memcpy(&t->api.name, &symbol, sizeof symbol);
    LIBARCHIVE(LOAD)
#undef LOAD
    return 0;
}

static la_ssize_t on_read(struct archive *archive, void *ctx, const void **ret)
{
    struct tar_reader *t = ctx;
    struct str chunk;
    (void)archive;
    if (blob_stream_next(t->stream, &chunk, &t->stream_err) < 0) {
        return -1;
    }
    *ret = chunk.p;
    return (la_ssize_t)chunk.n;
}

static int fail(struct tar_reader *t, struct err *err)
{
    if (t->stream_err.code < 0) {
        *err = t->stream_err;
        return err->code;
    }
    const char *text = t->api.archive_error_string(t->archive);
    return err_set(err, ERR_CORRUPT, "not a sound tar archive: %s", text == NULL ? "" : text);
}

struct tar_reader *tar_reader_new(struct blob_stream *stream, struct err *err)
{
    struct tar_reader *t = xcalloc(1, sizeof *t);
    t->stream = stream;
    if (load(t, err) < 0) {
        tar_reader_free(t);
        return NULL;
    }
    t->archive = t->api.archive_read_new();
    (void)t->api.archive_read_support_format_tar(t->archive);
    if (t->api.archive_read_open(t->archive, t, NULL, on_read, NULL) < ARCHIVE_WARN) {
        (void)fail(t, err);
        tar_reader_free(t);
        return NULL;
    }
    return t;
}

void tar_reader_free(struct tar_reader *t)
{
    if (t == NULL) {
        return;
    }
    if (t->archive != NULL) {
        (void)t->api.archive_read_free(t->archive);
    }
    /* The library stays mapped: unloading buys nothing in a process that ends soon. */
    free(t);
}

int tar_reader_next(struct tar_reader *t, struct tar_entry *ret, struct err *err)
{
    const struct libarchive *api = &t->api;
    int r = api->archive_read_next_header(t->archive, &t->entry);
    if (r == ARCHIVE_EOF) {
        return 0;
    }
    if (r < ARCHIVE_WARN) {
        return fail(t, err);
    }
    const char *path = api->archive_entry_pathname(t->entry);
    if (path == NULL) {
        return err_set(err, ERR_CORRUPT, "an entry has no readable name");
    }
    *ret = (struct tar_entry){.path = path,
                              .hardlink = api->archive_entry_hardlink(t->entry),
                              .symlink = api->archive_entry_symlink(t->entry),
                              .mode = api->archive_entry_mode(t->entry),
                              .uid = (uid_t)api->archive_entry_uid(t->entry),
                              .gid = (gid_t)api->archive_entry_gid(t->entry),
                              .rdev = api->archive_entry_rdev(t->entry),
                              .size = api->archive_entry_size(t->entry),
                              .mtime_sec = api->archive_entry_mtime(t->entry),
                              .mtime_nsec = api->archive_entry_mtime_nsec(t->entry)};
    (void)api->archive_entry_xattr_reset(t->entry);
    return 1;
}

int tar_reader_copy(struct tar_reader *t, int fd, struct err *err)
{
    const void *block;
    size_t n;
    la_int64_t offset = 0;
    int64_t end = t->api.archive_entry_size(t->entry);
    int r;
    while ((r = t->api.archive_read_data_block(t->archive, &block, &n, &offset)) >= ARCHIVE_WARN &&
           r != ARCHIVE_EOF) {
        for (size_t at = 0; at < n;) {
            ssize_t w = pwrite(fd, (const char *)block + at, n - at, offset + (off_t)at);
            if (w < 0 && errno != EINTR) {
                return err_errno(err, "write");
            }
            at += w < 0 ? 0 : (size_t)w;
        }
    }
    if (r != ARCHIVE_EOF) {
        return fail(t, err);
    }
    /* A sparse file may end in a hole. */
    return ftruncate(fd, end) < 0 ? err_errno(err, "truncate") : 0;
}

bool tar_reader_xattr(struct tar_reader *t, const char **name, const void **value, size_t *size)
{
    return t->api.archive_entry_xattr_next(t->entry, name, value, size) == ARCHIVE_OK;
}
