// SPDX-License-Identifier: Apache-2.0
//
// Workers of the image store: each is a process that gets its request as one line of JSON on a
// socket, answers with lines, {"progress": …} and at last {"images": […]} or {"error": …}, and
// ends. JOBS_MAX pulls run side by side, and as many loads; the others wait. No registry has all
// places, so that a slow one holds up its own images only. Closing our end of the socket ends the
// worker.
#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image_load.h"
#include "node/image_store.h"
#include "registry/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { JOBS_MAX = 4, JOBS_OF_REGISTRY_MAX = 3, CHUNK_BYTES = 8 << 10 };

struct image_job {
    struct list node;
    struct image_store *store;
    char *request; /* a line */
    size_t sent;
    bool is_started;
    bool is_over;   /* the worker closed its end */
    bool is_ending; /* those who wait are being told */
    int signal;     /* that it died of, when it is our child */
    int fd;
    struct io *io;
    struct child *child;
    struct buf lines; /* not yet taken */
    struct list pulls;
    char *registry; /* NULL = a load */
    /* a load has these instead of pulls */
    image_loaded_fn *loaded;
    void *ctx;
};

struct image_pull {
    struct list node;
    struct image_job *job;
    char *ref;
    image_progress_fn *progress;
    image_pulled_fn *done;
    void *ctx;
};

static void pull_free(struct image_pull *pull)
{
    list_remove(&pull->node);
    free(pull->ref);
    free(pull);
}

static void job_free(struct image_job *job)
{
    struct list *it;
    struct list *next;
    list_remove(&job->node);
    list_foreach (it, next, &job->pulls) {
        pull_free(container_of(it, struct image_pull, node));
    }
    if (job->child != NULL) {
        child_kill(job->child, 9);
        child_detach(job->child);
    }
    io_stop(job->io);
    if (job->fd >= 0) {
        (void)close(job->fd);
    }
    buf_done(&job->lines);
    free(job->request);
    free(job->registry);
    free(job);
}

void image_jobs_drop(struct image_store *store)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &store->jobs) {
        job_free(container_of(it, struct image_job, node));
    }
}

static void start_next(struct image_store *store);

/* ---- the end --------------------------------------------------------------------------------- */

static void tell_load(struct image_job *job, const struct val *images, const struct err *failure)
{
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    struct str *names = arena_alloc(arena, IMAGE_NAMES_MAX * sizeof *names);
    size_t count = 0;
    for (size_t i = 0; failure == NULL && i < val_count(images); i++) {
        const struct val *list = val_get(val_at(images, i), S("names"));
        for (size_t k = 0; k < val_count(list) && count < IMAGE_NAMES_MAX; k++) {
            names[count++] = val_text(val_at(list, k));
        }
    }
    job->loaded(job->ctx, names, count, failure);
}

static void tell_pulls(struct image_job *job, const struct val *answer, const struct err *failure)
{
    const struct image_leave leave = {.document = (int)val_number_at(answer, "document", -1),
                                      .hash = val_text_at(answer, "credential")};
    for (struct list *it = list_take(&job->pulls); it != NULL; it = list_take(&job->pulls)) {
        struct image_pull *pull = container_of(it, struct image_pull, node);
        const struct image *image =
            failure == NULL ? image_find(job->store, str_of(pull->ref)) : NULL;
        struct err lost = {.code = failure == NULL ? ERR_INTERNAL : failure->code};
        if (failure == NULL && image == NULL) {
            (void)err_set(&lost, ERR_INTERNAL, "image \"%s\" is not in the store after its pull",
                          pull->ref);
            failure = &lost;
        }
        pull->done(pull->ctx, image, &leave, failure);
        pull_free(pull);
    }
}

/* The worker's last line, or why there is none. */
static int take_answer(struct image_job *job, struct arena *arena, struct val *ret, struct err *err)
{
    if (job->signal != 0) {
        return err_set(err, ERR_INTERNAL, "the image worker died of signal %d", job->signal);
    }
    if (json_read(str_trim(buf_str(&job->lines)), arena, NULL, ret, err) < 0) {
        return err_set(err, ERR_INTERNAL, "the image worker ended without an answer");
    }
    const struct val *images = val_get(ret, S("images"));
    return images == NULL ? err_set(err, (int)val_number_at(ret, "code", ERR_INTERNAL), STR_FMT,
                                    STR_ARG(val_text_at(ret, "error")))
                          : image_store_add(job->store, images, err);
}

static void job_end(struct image_job *job)
{
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    struct image_store *store = job->store;
    struct val answer = val_null();
    struct err err = {0};
    int r = take_answer(job, arena, &answer, &err);
    io_stop(job->io);
    job->io = NULL;
    list_remove(&job->node);
    job->is_ending = true;
    image_store_sweep(store, r < 0 ? SWEEP_NONE : SWEEP_WHOLE);
    start_next(store);
    if (job->loaded != NULL) {
        tell_load(job, val_get(&answer, S("images")), r < 0 ? &err : NULL);
    } else {
        tell_pulls(job, &answer, r < 0 ? &err : NULL);
    }
    job_free(job);
}

/* ---- talking --------------------------------------------------------------------------------- */

static void tell_progress(struct image_job *job, struct str line)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val v;
    struct err err;
    struct list *it;
    struct list *next;
    if (json_read(line, arena, NULL, &v, &err) < 0) {
        return;
    }
    list_foreach (it, next, &job->pulls) {
        struct image_pull *pull = container_of(it, struct image_pull, node);
        if (pull->progress != NULL) {
            pull->progress(pull->ctx, val_get(&v, S("progress")));
        }
    }
}

/* All lines but the last one, which is the answer. */
static void take_lines(struct image_job *job)
{
    for (;;) {
        struct str all = buf_str(&job->lines);
        ptrdiff_t end = str_find(all, '\n');
        if (end < 0 || !str_starts(all, S("{\"progress\":"))) {
            return;
        }
        tell_progress(job, str_sub(all, 0, (size_t)end));
        buf_consume(&job->lines, (size_t)end + 1);
    }
}

static void on_socket(void *ctx, int events)
{
    struct image_job *job = ctx;
    char chunk[CHUNK_BYTES];
    size_t left = strlen(job->request) - job->sent;
    if ((events & IO_WRITE) != 0 && left > 0) {
        ssize_t n = send(job->fd, job->request + job->sent, left, MSG_NOSIGNAL);
        job->sent += n > 0 ? (size_t)n : 0;
        left -= n > 0 ? (size_t)n : 0;
        io_set(job->io, left > 0 ? IO_READ | IO_WRITE : IO_READ);
    }
    ssize_t n = recv(job->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n > 0) {
        (void)buf_add(&job->lines, (struct str){chunk, (size_t)n});
        take_lines(job);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        job->is_over = true;
        io_set(job->io, 0);
        if (job->child == NULL) {
            job_end(job);
        }
    }
}

static void on_worker_exit(void *ctx, int code, int signal)
{
    struct image_job *job = ctx;
    (void)code;
    job->child = NULL;
    job->signal = signal;
    if (job->is_over) {
        job_end(job);
    }
}

static int start_child(struct image_job *job, int fd, struct err *err)
{
    static const char *const argv[] = {"coracle", "image-worker", NULL};
    const int fds[] = {fd, fd, 2};
    const struct child_options options = {
        .file = "/proc/self/exe", .argv = argv, .fds = fds, .fds_count = 3};
    job->child = child_start(job->store->loop, &options, on_worker_exit, job, err);
    return job->child == NULL ? err->code : 0;
}

static int job_start(struct image_job *job, struct err *err)
{
    int ends[2];
    struct image_store *store = job->store;
    job->is_started = true;
    if (store->dir == NULL) {
        return err_set(err, ERR_DENIED, "this image store is held in memory and fetches nothing");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return err_errno(err, "socketpair");
    }
    job->fd = ends[0];
    auto_close int worker_end = ends[1];
    (void)fd_set_nonblock(job->fd);
    job->io = io_start(store->loop, job->fd, IO_READ | IO_WRITE, on_socket, job, err);
    if (job->io == NULL) {
        return err->code;
    }
    return job->loaded == NULL && store->launch != NULL
               ? store->launch(store->launch_ctx, worker_end, err)
               : start_child(job, worker_end, err);
}

static void job_refuse(struct image_job *job, const struct err *err)
{
    list_remove(&job->node);
    job->is_ending = true;
    if (job->loaded != NULL) {
        tell_load(job, NULL, err);
    } else {
        tell_pulls(job, NULL, err);
    }
    job_free(job);
}

/* Those that run already and take a place from job. */
static bool has_place(const struct image_store *store, const struct image_job *job)
{
    struct list *it;
    struct list *next;
    int running = 0;
    int of_registry = 0;
    list_foreach (it, next, &store->jobs) {
        const struct image_job *other = container_of(it, struct image_job, node);
        if (other->is_started && (other->registry == NULL) == (job->registry == NULL)) {
            running++;
            of_registry += job->registry != NULL && strcmp(job->registry, other->registry) == 0;
        }
    }
    return running < JOBS_MAX && of_registry < JOBS_OF_REGISTRY_MAX;
}

static void kick(void *ctx)
{
    struct image_store *store = ctx;
    struct list *it;
    struct list *next;
    list_foreach (it, next, &store->jobs) {
        struct image_job *job = container_of(it, struct image_job, node);
        struct err err;
        if (!job->is_started && has_place(store, job) && job_start(job, &err) < 0) {
            start_next(store);
            job_refuse(job, &err); /* may change the list: the others have their turn later */
            return;
        }
    }
}

static void start_next(struct image_store *store)
{
    timer_start(store->loop, &store->kick, 0, kick, store);
}

/* request is a map in arena; the store's directory is added. */
static char *write_request(const struct image_store *store, struct arena *arena,
                           struct val *request)
{
    auto_buf struct buf text;
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    (void)val_set(arena, request, S("store"), val_str(str_of(store->dir)));
    (void)json_write(&text, request);
    (void)buf_addc(&text, '\n');
    return buf_take(&text);
}

static char *registry_of(struct str ref)
{
    struct reference r;
    struct err err;
    struct str domain = reference_parse(ref, &r, &err) < 0 ? ref : r.domain;
    return xasprintf(STR_FMT, STR_ARG(domain));
}

/* request is owned from here on. */
static struct image_job *job_new(struct image_store *store, char *request)
{
    struct image_job *job = xcalloc(1, sizeof *job);
    job->store = store;
    job->request = request;
    job->fd = -1;
    list_init(&job->pulls);
    buf_init(&job->lines, IMAGE_JSON_BYTES_MAX);
    list_add_tail(&store->jobs, &job->node);
    start_next(store);
    return job;
}

void image_load(struct image_store *store, const char *path, image_loaded_fn *done, void *ctx)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val request = val_map();
    (void)val_set(arena, &request, S("archive"), val_str(str_of(path)));
    struct image_job *job = job_new(store, write_request(store, arena, &request));
    job->loaded = done;
    job->ctx = ctx;
}

static struct image_job *job_find(const struct image_store *store, const char *request)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &store->jobs) {
        struct image_job *job = container_of(it, struct image_job, node);
        if (strcmp(job->request, request) == 0 && job->loaded == NULL) {
            return job;
        }
    }
    return NULL;
}

struct image_pull *image_pull(struct image_store *store, struct str ref,
                              const struct val *documents, image_progress_fn *progress,
                              image_pulled_fn *done, void *ctx)
{
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    struct val request = val_map();
    const struct image *present = image_find(store, ref);
    struct str known = present == NULL ? S("") : image_digest_name(present, ref);
    known = str_sub(known, (size_t)(str_find(known, '@') + 1), known.n);
    (void)val_set(arena, &request, S("reference"), val_str(ref));
    (void)val_set(arena, &request, S("known"), val_str(known));
    (void)val_set(arena, &request, S("documents"), documents == NULL ? val_list() : *documents);
    char *text = write_request(store, arena, &request);
    struct image_job *job = job_find(store, text);
    if (job == NULL) {
        job = job_new(store, text);
        job->registry = registry_of(ref);
    } else {
        free(text);
    }
    struct image_pull *pull = xcalloc(1, sizeof *pull);
    pull->job = job;
    pull->ref = xstrndup(ref.p, ref.n);
    pull->progress = progress;
    pull->done = done;
    pull->ctx = ctx;
    list_add_tail(&job->pulls, &pull->node);
    return pull;
}

void image_pull_cancel(struct image_pull *pull)
{
    struct image_job *job = pull->job;
    pull_free(pull);
    if (list_empty(&job->pulls) && !job->is_ending) {
        struct image_store *store = job->store;
        job_free(job);
        image_store_sweep(store, SWEEP_NONE);
        start_next(store);
    }
}

void image_store_launch_by(struct image_store *store, image_launch_fn *launch, void *ctx)
{
    store->launch = launch;
    store->launch_ctx = ctx;
}
