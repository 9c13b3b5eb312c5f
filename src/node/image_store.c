// SPDX-License-Identifier: Apache-2.0
//
// The store of images: index.json is the list of what is there (read once, rewritten whole),
// configs/ and layers/ hold the rest, uses/ says which root file system holds which image, tmp/ is
// swept when nothing is under way, blobs/ holds what pulls fetch. Workers are in image_job.c, root
// file systems in rootfs.c.
#include "node/image_store.h"

#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image_load.h"
#include "registry/reference.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void entry_free(void *p)
{
    struct image_entry *e = p;
    if (e != NULL) {
        doc_unref(e->config);
        doc_unref(e->access);
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

void image_entry_set_access(struct image_entry *e, const struct val *access)
{
    struct doc *old = e->access; /* access may be part of it */
    e->access = val_is(access, VAL_MAP) ? doc_freeze(access) : NULL;
    e->image.access = e->access == NULL ? NULL : &e->access->root;
    doc_unref(old);
}

/* One row of the index, or of a worker's answer. */
static int add_image(struct image_store *store, const struct val *row, usec seen_at,
                     struct err *err)
{
    struct str id = val_text_at(row, "id");
    struct image_entry *e = map_find(&store->images, id);
    const struct val *names = val_get(row, S("names"));
    const struct val *layers = val_get(row, S("layers"));
    if (e == NULL) {
        e = xcalloc(1, sizeof *e);
        e->arena = arena_new(1 << 20);
        e->seen_at = seen_at;
        e->image.id = arena_dup(e->arena, id);
        e->image.digest = arena_dup(e->arena, val_text_at(row, "digest"));
        e->image.bytes = (uint64_t)val_number_at(row, "bytes", 0);
        e->layers_count = val_count(layers);
        e->layers = arena_alloc(e->arena, (e->layers_count + 1) * sizeof *e->layers);
        for (size_t i = 0; i < e->layers_count; i++) {
            e->layers[i] = arena_dup(e->arena, val_text(val_at(layers, i)));
        }
        image_entry_set_access(e, val_get(row, S("access")));
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

int image_store_write(const struct image_store *store, struct err *err)
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
        if (e->image.access != NULL) {
            (void)val_set(arena, &row, S("access"), *e->image.access);
        }
        (void)val_push(arena, &list, row);
    }
    auto_free char *path = xasprintf("%s/index.json", store->dir);
    if (json_write_pretty(&text, &list) < 0) {
        return err_set(err, ERR_LIMIT, "the index of images is too long");
    }
    return file_write_atomic(AT_FDCWD, path, buf_str(&text), 0600, err);
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

static bool is_garbage(const struct image_store *store, const char *room, const char *name,
                       enum sweep_blobs blobs)
{
    if (strcmp(room, "layers") == 0) {
        return name[0] != '.' && !is_layer_used(store, str_of(name));
    }
    bool is_part = str_ends(str_of(name), S(".part"));
    return name[0] != '.' && (strcmp(room, BLOBS_DIR) != 0 || blobs == SWEEP_ALL ||
                              (blobs == SWEEP_WHOLE && !is_part));
}

void image_store_sweep(const struct image_store *store, enum sweep_blobs blobs)
{
    static const char *const rooms[] = {"tmp", "layers", BLOBS_DIR};
    struct err err;
    if (!list_empty(&store->jobs)) {
        return; /* it may just have made what no image names yet */
    }
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        auto_free char *path = xasprintf("%s/%s", store->dir, rooms[i]);
        DIR *dir = opendir(path);
        for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
            if (is_garbage(store, rooms[i], e->d_name, blobs) &&
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
        if (add_image(store, val_at(&list, i), /*seen_at=*/0, err) < 0) {
            return err->code;
        }
    }
    return 0;
}

struct image_store *image_store_open(struct loop *loop, const char *dir, struct err *err)
{
    static const char *const rooms[] = {"layers/empty", "configs", "tmp", "uses", BLOBS_DIR};
    struct image_store *store = xcalloc(1, sizeof *store);
    store->loop = loop;
    store->dir = xstrdup(dir);
    list_init(&store->jobs);
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(rooms); i++) {
        auto_free char *path = xasprintf("%s/%s", dir, rooms[i]);
        r = dir_make_all(path, 0755, err);
    }
    if (r < 0 || read_index(store, err) < 0) {
        image_store_close(store);
        return NULL;
    }
    image_store_sweep(store, SWEEP_WHOLE);
    return store;
}

const char *image_store_dir(const struct image_store *store)
{
    return store->dir;
}

void image_store_close(struct image_store *store)
{
    image_jobs_drop(store);
    timer_stop(&store->kick);
    map_done(&store->images, entry_free);
    free(store->dir);
    free(store);
}

/* As names are kept: a digest decides, the tag beside it is nothing. */
static struct str name_of(struct arena *arena, struct str ref)
{
    struct reference r;
    struct err err;
    struct str name = {0};
    if (reference_parse(ref, &r, &err) == 0 && r.digest.n > 0) {
        return arena_fmt(arena, STR_FMT "/" STR_FMT "@" STR_FMT, STR_ARG(r.domain),
                         STR_ARG(reference_repository(arena, &r)), STR_ARG(r.digest));
    }
    return reference_normalise(arena, ref, &name, &err) < 0 ? ref : name;
}

bool image_has_name(const struct image *image, struct str name)
{
    for (size_t i = 0; i < image->names_count; i++) {
        if (str_eq(image->names[i], name)) {
            return true;
        }
    }
    return false;
}

const struct image *image_find(struct image_store *store, struct str ref)
{
    auto_arena struct arena *arena = arena_new(64 << 10);
    struct str name = name_of(arena, ref);
    ptrdiff_t at = str_find(ref, '@');
    struct str digest = at < 0 ? ref : str_sub(ref, (size_t)at + 1, ref.n);
    for (size_t i = 0; i < store->images.count; i++) {
        const struct image *image =
            &((const struct image_entry *)store->images.entries[i].value)->image;
        if (str_eq(image->id, digest) || str_eq(image->digest, digest) ||
            str_eq(str_sub(image->id, 7, image->id.n), ref) || image_has_name(image, name)) {
            return image;
        }
    }
    return NULL;
}

struct str image_digest_name(const struct image *image, struct str ref)
{
    auto_arena struct arena *arena = arena_new(64 << 10);
    struct reference r;
    struct err err;
    if (reference_parse(ref, &r, &err) < 0) {
        return (struct str){0};
    }
    struct str start = arena_fmt(arena, STR_FMT "/" STR_FMT "@", STR_ARG(r.domain),
                                 STR_ARG(reference_repository(arena, &r)));
    for (size_t i = image->names_count; i-- > 0;) {
        if (str_starts(image->names[i], start)) {
            return image->names[i];
        }
    }
    return (struct str){0};
}

void image_each(struct image_store *store, void (*each)(void *ctx, const struct image *image),
                void *ctx)
{
    for (size_t i = 0; i < store->images.count; i++) {
        each(ctx, &((const struct image_entry *)store->images.entries[i].value)->image);
    }
}

int image_store_add(struct image_store *store, const struct val *rows, struct err *err)
{
    for (size_t i = 0; i < val_count(rows); i++) {
        if (add_image(store, val_at(rows, i), loop_now(store->loop), err) < 0) {
            return err->code;
        }
    }
    return image_store_write(store, err);
}

static void remove_entry(struct image_store *store, struct str id)
{
    auto_free char *config =
        xasprintf("%s/configs/" STR_FMT ".json", store->dir, STR_ARG(str_sub(id, 7, id.n)));
    (void)unlink(config);
    entry_free(map_remove(&store->images, id)); /* id may live in it */
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
    remove_entry(store, image->id);
    if (image_store_write(store, err) < 0) {
        return err->code;
    }
    image_store_sweep(store, SWEEP_NONE);
    return 0;
}

static bool has_tag(const struct image *image)
{
    for (size_t i = 0; i < image->names_count; i++) {
        if (str_find(image->names[i], '@') < 0) {
            return true;
        }
    }
    return false;
}

int image_prune(struct image_store *store, bool is_all, struct arena *arena, struct val *ret,
                struct err *err)
{
    struct val removed = val_list();
    for (size_t i = store->images.count; i-- > 0;) {
        const struct image *image =
            &((const struct image_entry *)store->images.entries[i].value)->image;
        if ((has_tag(image) && !is_all) || rootfs_is_used(store, image->id)) {
            continue;
        }
        struct str name = image->names_count > 0 ? image->names[0] : image->id;
        (void)val_push(arena, &removed, val_str(arena_dup(arena, name)));
        remove_entry(store, image->id);
    }
    if (image_store_write(store, err) < 0) {
        return err->code;
    }
    image_store_sweep(store, SWEEP_ALL);
    *ret = removed;
    return 0;
}
