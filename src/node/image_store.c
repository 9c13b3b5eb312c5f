// SPDX-License-Identifier: Apache-2.0
//
// The store of images: index.json is the list of what is there (read once, rewritten whole),
// configs/ and layers/ hold the rest, uses/ says which root file system holds which image, tmp/ is
// swept at every open. Loads run one at a time in a worker process; only its finished result
// changes the index. Root file systems are in rootfs.c.
#include "node/image_store.h"

#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image_load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct load {
    struct list node;
    struct image_store *store;
    char *path;
    image_loaded_fn *done;
    void *ctx;
    struct child *child;
    struct io *io;
    int fd;
    struct buf output;
};

static void entry_free(void *p)
{
    struct image_entry *e = p;
    if (e != NULL) {
        doc_unref(e->config);
        arena_free(e->arena);
        free(e);
    }
}

static void add_entry_name(struct image_entry *e, struct str name)
{
    struct str *names = arena_alloc(e->arena, (e->image.names_count + 1) * sizeof *names);
    for (size_t i = 0; i < e->image.names_count; i++) {
        if (str_eq(e->image.names[i], name)) {
            return;
        }
        names[i] = e->image.names[i];
    }
    names[e->image.names_count++] = arena_dup(e->arena, name);
    e->image.names = names;
}

static void drop_entry_name(struct image_entry *e, struct str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->image.names_count; i++) {
        if (!str_eq(e->image.names[i], name)) {
            e->image.names[kept++] = e->image.names[i];
        }
    }
    e->image.names_count = kept;
}

static int read_config(const struct image_store *store, struct image_entry *e, struct err *err)
{
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    auto_buf struct buf text;
    struct val v;
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    auto_free char *path = xasprintf("%s/configs/" STR_FMT ".json", store->dir,
                                     STR_ARG(str_sub(e->image.id, 7, e->image.id.n)));
    if (file_read(AT_FDCWD, path, &text, err) < 0 ||
        json_read(buf_str(&text), arena, NULL, &v, err) < 0) {
        return err_set(err, ERR_CORRUPT, "image configuration '%s' can't be read", path);
    }
    e->config = doc_freeze(&v);
    e->image.config = val_get(&e->config->root, S("config"));
    return 0;
}

/* One row of the index, or of a worker's answer. */
static int add_image(struct image_store *store, const struct val *row, struct err *err)
{
    struct str id = val_text_at(row, "id");
    struct image_entry *e = map_find(&store->images, id);
    const struct val *names = val_get(row, S("names"));
    const struct val *layers = val_get(row, S("layers"));
    if (e == NULL) {
        e = xcalloc(1, sizeof *e);
        e->arena = arena_new(1 << 20);
        e->image.id = arena_dup(e->arena, id);
        e->image.digest = arena_dup(e->arena, val_text_at(row, "digest"));
        e->image.bytes = (uint64_t)val_number_at(row, "bytes", 0);
        e->layers_count = val_count(layers);
        e->layers = arena_alloc(e->arena, (e->layers_count + 1) * sizeof *e->layers);
        for (size_t i = 0; i < e->layers_count; i++) {
            e->layers[i] = arena_dup(e->arena, val_text(val_at(layers, i)));
        }
        if (read_config(store, e, err) < 0) {
            entry_free(e);
            return err->code;
        }
        (void)map_put(&store->images, id, e);
    }
    for (size_t i = 0; i < val_count(names); i++) {
        for (size_t k = 0; k < store->images.count; k++) {
            drop_entry_name(store->images.entries[k].value, val_text(val_at(names, i)));
        }
        add_entry_name(e, val_text(val_at(names, i)));
    }
    return 0;
}

static int write_index(const struct image_store *store, struct err *err)
{
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    auto_buf struct buf text;
    struct val list = val_list();
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    for (size_t i = 0; i < store->images.count; i++) {
        const struct image_entry *e = store->images.entries[i].value;
        struct val row = val_map();
        (void)val_set(arena, &row, S("id"), val_str(e->image.id));
        (void)val_set(arena, &row, S("digest"), val_str(e->image.digest));
        (void)val_set(arena, &row, S("bytes"), val_int((int64_t)e->image.bytes));
        struct val names = val_list();
        for (size_t k = 0; k < e->image.names_count; k++) {
            (void)val_push(arena, &names, val_str(e->image.names[k]));
        }
        struct val layers = val_list();
        for (size_t k = 0; k < e->layers_count; k++) {
            (void)val_push(arena, &layers, val_str(e->layers[k]));
        }
        (void)val_set(arena, &row, S("names"), names);
        (void)val_set(arena, &row, S("layers"), layers);
        (void)val_push(arena, &list, row);
    }
    auto_free char *path = xasprintf("%s/index.json", store->dir);
    if (json_write_pretty(&text, &list) < 0) {
        return err_set(err, ERR_LIMIT, "the index of images is too long");
    }
    return file_write_atomic(AT_FDCWD, path, buf_str(&text), 0644, err);
}

static bool is_layer_used(const struct image_store *store, struct str name)
{
    for (size_t i = 0; i < store->images.count; i++) {
        const struct image_entry *e = store->images.entries[i].value;
        for (size_t k = 0; k < e->layers_count; k++) {
            if (str_eq(e->layers[k], name)) {
                return true;
            }
        }
    }
    return str_eq(name, S("empty"));
}

/* Layers that no image names, and whatever a worker left in tmp. */
static void sweep(const struct image_store *store)
{
    struct err err;
    static const char *const rooms[] = {"tmp", "layers"};
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        auto_free char *path = xasprintf("%s/%s", store->dir, rooms[i]);
        DIR *dir = opendir(path);
        for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
            if (e->d_name[0] != '.' && (i == 0 || !is_layer_used(store, str_of(e->d_name))) &&
                dir_remove_all(dirfd(dir), e->d_name, &err) < 0) {
                continue; /* the next sweep tries again */
            }
        }
        if (dir != NULL) {
            (void)closedir(dir);
        }
    }
}

static int read_index(struct image_store *store, struct err *err)
{
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    auto_buf struct buf text;
    struct val list;
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    auto_free char *path = xasprintf("%s/index.json", store->dir);
    if (file_read(AT_FDCWD, path, &text, err) < 0) {
        return err->code == ERR_NOT_FOUND ? 0 : err->code;
    }
    if (json_read(buf_str(&text), arena, NULL, &list, err) < 0) {
        return err_set(err, ERR_CORRUPT, "index of images '%s' can't be read", path);
    }
    for (size_t i = 0; i < val_count(&list); i++) {
        if (add_image(store, val_at(&list, i), err) < 0) {
            return err->code;
        }
    }
    return 0;
}

struct image_store *image_store_open(struct loop *loop, const char *dir, struct err *err)
{
    static const char *const rooms[] = {"layers/empty", "configs", "tmp", "uses"};
    struct image_store *store = xcalloc(1, sizeof *store);
    store->loop = loop;
    store->dir = xstrdup(dir);
    list_init(&store->loads);
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(rooms); i++) {
        auto_free char *path = xasprintf("%s/%s", dir, rooms[i]);
        r = dir_make_all(path, 0755, err);
    }
    if (r < 0 || read_index(store, err) < 0) {
        image_store_close(store);
        return NULL;
    }
    sweep(store);
    return store;
}

static void load_free(struct load *load)
{
    list_remove(&load->node);
    if (load->child != NULL) {
        child_kill(load->child, 9);
        child_detach(load->child);
    }
    io_stop(load->io);
    if (load->fd >= 0) {
        (void)close(load->fd);
    }
    buf_done(&load->output);
    free(load->path);
    free(load);
}

void image_store_close(struct image_store *store)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &store->loads) {
        load_free(container_of(it, struct load, node));
    }
    timer_stop(&store->kick);
    map_done(&store->images, entry_free);
    free(store->dir);
    free(store);
}

const struct image *image_find(struct image_store *store, struct str ref)
{
    auto_arena struct arena *arena = arena_new(64 << 10);
    struct err err;
    struct str name = {0};
    ptrdiff_t at = str_find(ref, '@');
    struct str digest = at < 0 ? ref : str_sub(ref, (size_t)at + 1, ref.n);
    bool is_name = at < 0 && image_ref_normalise(arena, ref, &name, &err) == 0;
    for (size_t i = 0; i < store->images.count; i++) {
        const struct image_entry *e = store->images.entries[i].value;
        if (str_eq(e->image.id, digest) || str_eq(e->image.digest, digest) ||
            str_eq(str_sub(e->image.id, 7, e->image.id.n), ref)) {
            return &e->image;
        }
        for (size_t k = 0; is_name && k < e->image.names_count; k++) {
            if (str_eq(e->image.names[k], name)) {
                return &e->image;
            }
        }
    }
    return NULL;
}

void image_each(struct image_store *store, void (*each)(void *ctx, const struct image *image),
                void *ctx)
{
    for (size_t i = 0; i < store->images.count; i++) {
        each(ctx, &((const struct image_entry *)store->images.entries[i].value)->image);
    }
}

static void start_next(struct image_store *store);

/* The worker's answer becomes images, or its error ours. */
static int take_result(struct load *load, struct arena *arena, struct str *names, size_t *count,
                       struct err *err)
{
    struct val v;
    if (json_read(str_trim(buf_str(&load->output)), arena, NULL, &v, err) < 0) {
        return err_set(err, ERR_INTERNAL, "image archive '%s': the worker ended without an answer",
                       load->path);
    }
    const struct val *images = val_get(&v, S("images"));
    if (images == NULL) {
        return err_set(err, (int)val_number_at(&v, "code", ERR_INTERNAL), STR_FMT,
                       STR_ARG(val_text_at(&v, "error")));
    }
    for (size_t i = 0; i < val_count(images); i++) {
        const struct val *list = val_get(val_at(images, i), S("names"));
        if (add_image(load->store, val_at(images, i), err) < 0) {
            return err->code;
        }
        for (size_t k = 0; k < val_count(list) && *count < IMAGE_NAMES_MAX; k++) {
            names[(*count)++] = val_text(val_at(list, k));
        }
    }
    return write_index(load->store, err);
}

static void on_worker_exit(void *ctx, int code, int signal)
{
    struct load *load = ctx;
    struct image_store *store = load->store;
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    struct str *names = arena_alloc(arena, IMAGE_NAMES_MAX * sizeof *names);
    size_t count = 0;
    struct err err = {0};
    char chunk[4096];
    ssize_t n;
    (void)code;
    load->child = NULL;
    while ((n = read(load->fd, chunk, sizeof chunk)) > 0) {
        (void)buf_add(&load->output, (struct str){chunk, (size_t)n});
    }
    int r = signal != 0
                ? err_set(&err, ERR_INTERNAL, "image archive '%s': worker died of signal %d",
                          load->path, signal)
                : take_result(load, arena, names, &count, &err);
    sweep(store);
    image_loaded_fn *done = load->done;
    void *done_ctx = load->ctx;
    load_free(load);
    start_next(store);
    done(done_ctx, names, r < 0 ? 0 : count, r < 0 ? &err : NULL);
}

static void on_worker_output(void *ctx, int events)
{
    struct load *load = ctx;
    char chunk[4096];
    (void)events;
    ssize_t n = read(load->fd, chunk, sizeof chunk);
    if (n > 0) {
        (void)buf_add(&load->output, (struct str){chunk, (size_t)n});
    } else if (n == 0 || errno != EAGAIN) {
        io_set(load->io, 0);
    }
}

static int start_worker(struct load *load, struct err *err)
{
    int ends[2];
    const char *const argv[] = {"coracle", "image-worker", load->path, load->store->dir, NULL};
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    load->fd = ends[0];
    (void)fd_set_nonblock(load->fd);
    const int fds[] = {-1, ends[1], 2};
    const struct child_options options = {.file = load->store->worker == NULL ? "/proc/self/exe"
                                                                              : load->store->worker,
                                          .argv = argv,
                                          .fds = fds,
                                          .fds_count = 3};
    load->io = io_start(load->store->loop, load->fd, IO_READ, on_worker_output, load, err);
    load->child = load->io == NULL
                      ? NULL
                      : child_start(load->store->loop, &options, on_worker_exit, load, err);
    (void)close(ends[1]);
    return load->child == NULL ? err->code : 0;
}

static void kick(void *ctx)
{
    struct image_store *store = ctx;
    if (list_empty(&store->loads)) {
        return;
    }
    struct load *load = container_of(store->loads.next, struct load, node);
    struct err err;
    if (load->child == NULL && start_worker(load, &err) < 0) {
        image_loaded_fn *done = load->done;
        void *ctx_of_done = load->ctx;
        load_free(load);
        start_next(store);
        done(ctx_of_done, NULL, 0, &err);
    }
}

static void start_next(struct image_store *store)
{
    timer_start(store->loop, &store->kick, 0, kick, store);
}

void image_load(struct image_store *store, const char *path, image_loaded_fn *done, void *ctx)
{
    struct load *load = xcalloc(1, sizeof *load);
    load->store = store;
    load->path = xstrdup(path);
    load->done = done;
    load->ctx = ctx;
    load->fd = -1;
    buf_init(&load->output, IMAGE_JSON_BYTES_MAX);
    list_add_tail(&store->loads, &load->node);
    start_next(store);
}

int image_remove(struct image_store *store, struct str ref, struct err *err)
{
    const struct image *image = image_find(store, ref);
    if (image == NULL) {
        return err_set(err, ERR_NOT_FOUND, "image \"" STR_FMT "\" not found", STR_ARG(ref));
    }
    if (rootfs_is_used(store, image->id)) {
        return err_set(err, ERR_CONFLICT, "image \"" STR_FMT "\" is in use by a container",
                       STR_ARG(ref));
    }
    auto_free char *id = xasprintf(STR_FMT, STR_ARG(image->id));
    auto_free char *config = xasprintf("%s/configs/%s.json", store->dir, id + 7);
    entry_free(map_remove(&store->images, str_of(id)));
    if (write_index(store, err) < 0) {
        return err->code;
    }
    (void)unlink(config);
    if (list_empty(&store->loads)) {
        sweep(store); /* a load that is running may just have made a layer that it needs */
    }
    return 0;
}
