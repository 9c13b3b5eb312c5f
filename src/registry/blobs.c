// SPDX-License-Identifier: Apache-2.0
//
// A blob's life:
//   WAITING ──lock──▶ RUNNING ──whole, right digest──▶ DONE
//      ▲  (held by another: later)  │
//      └── cut off, refused for now ┘ ── wrong, or too often ──▶ the first error ends it all
#include "registry/blobs.h"

#include "base/fd.h"
#include "base/mem.h"
#include "registry/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 << 10, REFUSAL_BYTES_MAX = 4096, NAME_BYTES = 80 };

#define RETRY_DELAY (500 * USEC_PER_MS)

enum blob_state { BLOB_WAITING, BLOB_RUNNING, BLOB_DONE };

struct blob {
    struct run *run;
    const struct descriptor *descriptor;
    enum blob_state state;
    int fd; /* of HEX.part, locked */
    struct digest *digest;
    uint64_t got;
    uint64_t offset; /* where this transfer began */
    bool is_begun;   /* its first bytes came */
    bool is_resumed; /* some of it is older than this transfer */
    int tries;
    usec retry_at;
    struct buf refusal;
    char name[NAME_BYTES];
    char part[NAME_BYTES];
};

struct run {
    const struct blobs_config *config;
    struct blob *blobs;
    size_t running;
    size_t done;
    struct err err; /* the first */
};

static usec now(void)
{
    const struct clock *clock = clock_system();
    return clock->mono(clock->ctx);
}

static void blob_init(struct blob *b, struct run *run, const struct descriptor *descriptor)
{
    struct str hex = digest_hex(descriptor->digest);
    *b = (struct blob){.run = run, .descriptor = descriptor, .fd = -1};
    (void)snprintf(b->name, sizeof b->name, STR_FMT, STR_ARG(hex));
    (void)snprintf(b->part, sizeof b->part, STR_FMT ".part", STR_ARG(hex));
    buf_init(&b->refusal, REFUSAL_BYTES_MAX);
}

static void blob_close(struct blob *b)
{
    if (b->fd >= 0) {
        (void)close(b->fd);
    }
    b->fd = -1;
    digest_free(b->digest);
    b->digest = NULL;
}

static void blob_done(struct blob *b)
{
    const struct blobs_config *config = b->run->config;
    blob_close(b);
    b->state = BLOB_DONE;
    b->run->done++;
    config->arrived(config->ctx, b->descriptor);
}

/* Later again, or never: then why is the error of the run. */
static void blob_retry(struct blob *b, const struct err *why)
{
    bool may_pass = why->code == ERR_IO || why->code == ERR_AGAIN || why->code == ERR_CORRUPT;
    blob_close(b);
    b->state = BLOB_WAITING;
    b->tries++;
    b->retry_at = now() + RETRY_DELAY * b->tries;
    if ((!may_pass || b->tries >= BLOB_TRIES_MAX) && b->run->err.code == 0) {
        b->run->err = *why;
        (void)err_wrap(&b->run->err, "blob " STR_FMT, STR_ARG(b->descriptor->digest));
    }
}

static bool is_there(const struct blob *b)
{
    struct stat st;
    return fstatat(b->run->config->dir, b->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           (uint64_t)st.st_size == b->descriptor->size;
}

static int start_over(struct blob *b, struct err *err)
{
    digest_free(b->digest);
    b->digest = digest_new();
    b->got = 0;
    b->is_resumed = false;
    return ftruncate(b->fd, 0) < 0 || lseek(b->fd, 0, SEEK_SET) < 0
               ? err_errno(err, "'%s'", b->part)
               : 0;
}

/* Takes what an earlier transfer left into the digest. */
static int take_part(struct blob *b, struct err *err)
{
    char chunk[CHUNK_BYTES / 8];
    ssize_t n;
    digest_free(b->digest);
    b->digest = digest_new();
    b->got = 0;
    while ((n = read(b->fd, chunk, sizeof chunk)) > 0) {
        digest_add(b->digest, (struct str){chunk, (size_t)n});
        b->got += (uint64_t)n;
    }
    b->is_resumed = b->got > 0;
    if (n < 0) {
        return err_errno(err, "read '%s'", b->part);
    }
    return b->got > b->descriptor->size ? start_over(b, err) : 0;
}

/* 1 = ours; 0 = another process is at it. */
static int open_part(struct blob *b, struct err *err)
{
    b->fd = openat(b->run->config->dir, b->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (b->fd < 0) {
        return err_errno(err, "create '%s'", b->part);
    }
    if (flock(b->fd, LOCK_EX | LOCK_NB) < 0) {
        bool is_held = errno == EWOULDBLOCK;
        int r = is_held ? 0 : err_errno(err, "lock '%s'", b->part);
        blob_close(b);
        return r;
    }
    return take_part(b, err) < 0 ? err->code : 1;
}

/* All bytes are there: are they right? */
static int check_whole(struct blob *b, struct err *err)
{
    char found[DIGEST_TEXT_MAX];
    const struct descriptor *d = b->descriptor;
    int dir = b->run->config->dir;
    if (b->got < d->size) {
        return err_set(err, ERR_IO, "ended after %llu of %llu bytes", (unsigned long long)b->got,
                       (unsigned long long)d->size);
    }
    digest_text(b->digest, found);
    if (str_eq(d->digest, str_of(found))) {
        return renameat(dir, b->part, dir, b->name) < 0 ? err_errno(err, "rename '%s'", b->part)
                                                        : 0;
    }
    (void)unlinkat(dir, b->part, 0);
    /* The older piece may be what is wrong: once more from the start. */
    return err_set(err, b->is_resumed ? ERR_CORRUPT : ERR_INVALID,
                   "the registry sent bytes with digest %s", found);
}

/* The first bytes: does the head agree with what was asked for? */
static int check_head(struct blob *b, const struct transfer_head *head, struct err *err)
{
    uint64_t start;
    if (answer_body_start(head, b->offset, b->descriptor->size, &start, err) < 0) {
        return err->code;
    }
    if (start < b->offset && start_over(b, err) < 0) {
        return err->code;
    }
    b->offset = start;
    return 0;
}

static int on_bytes(void *ctx, const struct transfer_head *head, struct str bytes, struct err *err)
{
    struct blob *b = ctx;
    if (head->status != 200 && head->status != 206) {
        (void)buf_add(&b->refusal, str_sub(bytes, 0, b->refusal.max - b->refusal.n));
        return 0;
    }
    if (!b->is_begun && check_head(b, head, err) < 0) {
        return err->code;
    }
    b->is_begun = true;
    if (bytes.n > b->descriptor->size - b->got) {
        return err_set(err, ERR_INVALID,
                       "the registry sends more than the %llu bytes of its manifest",
                       (unsigned long long)b->descriptor->size);
    }
    if (fd_write_all(b->fd, bytes, err) < 0) {
        err->code = ERR_LIMIT; /* a full disk: trying again does not help */
        return err->code;
    }
    digest_add(b->digest, bytes);
    b->got += bytes.n;
    return 0;
}

static void on_done(void *ctx, const struct transfer_head *head, const struct err *failure)
{
    struct blob *b = ctx;
    struct err err = {0};
    int r;
    b->run->running--;
    if (failure != NULL) {
        err = *failure;
        r = err.code;
    } else if (head->status == 200 || head->status == 206) {
        r = check_whole(b, &err);
    } else if (head->status == 416) {
        r = start_over(b, &err) < 0 ? err.code
                                    : err_set(&err, ERR_AGAIN, "416 Range Not Satisfiable");
    } else {
        r = origin_refusal(head, buf_str(&b->refusal), &err);
        struct err ignored;
        if (head->status == 401 && b->tries == 0 &&
            origin_authorise(b->run->config->origin, head, &ignored) == 0) {
            err.code = ERR_AGAIN; /* the token was too old */
        }
    }
    if (r < 0) {
        blob_retry(b, &err);
    } else {
        blob_done(b);
    }
}

static void blob_start(struct blob *b)
{
    const struct blobs_config *config = b->run->config;
    struct err err = {0};
    struct transfer_request request;
    const struct transfer_sink sink = {on_bytes, on_done, b};
    int r = is_there(b) ? 0 : open_part(b, &err);
    if (r == 0 && is_there(b)) {
        blob_done(b); /* found, or the other process made it */
        return;
    }
    if (r > 0 && b->got == b->descriptor->size) {
        r = check_whole(b, &err);
        if (r == 0) {
            blob_done(b);
            return;
        }
    }
    if (r <= 0) {
        b->retry_at = now() + RETRY_DELAY; /* held by another */
        if (r < 0) {
            blob_retry(b, &err);
        }
        return;
    }
    b->state = BLOB_RUNNING;
    b->is_begun = false;
    b->offset = b->got;
    buf_clear(&b->refusal);
    b->run->running++;
    origin_blob_request(config->origin, b->descriptor->digest, b->offset, &request);
    transfer_start(config->transfers, &request, &sink);
}

usec blobs_time_max(const struct descriptor *list, size_t count)
{
    uint64_t seconds = BLOBS_SECONDS;
    for (size_t i = 0; i < count; i++) {
        seconds += list[i].size / BLOBS_BYTES_A_SECOND;
    }
    return (usec)seconds * USEC_PER_SEC;
}

static int run_all(struct run *run, struct err *err)
{
    const struct blobs_config *config = run->config;
    usec time_max = blobs_time_max(config->list, config->count);
    usec end = now() + time_max;
    while (run->done < config->count && run->err.code == 0) {
        if (now() >= end) {
            return err_set(err, ERR_TIMEOUT, "%zu of %zu blobs came within %lld minutes", run->done,
                           config->count, (long long)(time_max / USEC_PER_SEC / 60));
        }
        for (size_t i = 0; i < config->count && run->err.code == 0; i++) {
            struct blob *b = &run->blobs[i];
            if (b->state == BLOB_WAITING && run->running < BLOBS_AT_ONCE && now() >= b->retry_at) {
                blob_start(b);
            }
            if (b->state == BLOB_RUNNING) {
                config->progress(config->ctx, b->descriptor, b->got);
            }
        }
        if (config->turn(config->ctx, err) < 0) {
            return err->code;
        }
        if (!transfers_run(config->transfers) && run->done < config->count) {
            (void)usleep(50000); /* all wait: for their next try, for another process */
        }
    }
    if (run->err.code != 0) {
        *err = run->err;
        return err->code;
    }
    return 0;
}

int blobs_fetch(const struct blobs_config *config, struct err *err)
{
    struct run run = {.config = config, .blobs = xcalloc(config->count + 1, sizeof *run.blobs)};
    for (size_t i = 0; i < config->count; i++) {
        blob_init(&run.blobs[i], &run, &config->list[i]);
    }
    int r = run_all(&run, err);
    transfers_stop(config->transfers);
    for (size_t i = 0; i < config->count; i++) {
        blob_close(&run.blobs[i]);
        buf_done(&run.blobs[i].refusal);
    }
    free(run.blobs);
    return r;
}
