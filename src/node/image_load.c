// SPDX-License-Identifier: Apache-2.0
//
// An archive is unpacked beside first, by the same careful code as a layer; from then on it is a
// layout directory. Everything that a digest names is checked against it.
#include "node/image_load.h"

#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image.h"
#include "node/layer.h"
#include "registry/digest.h"
#include "registry/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { INDEX_DEPTH_MAX = 4 };

struct loading {
    const char *store;
    const char *archive; /* for names of images that have only a tag */
    struct arena *arena;
    int root; /* of the layout */
    int serial;
    struct val *images;
};

struct image_parts {
    struct str config; /* its bytes */
    struct str layer_paths[IMAGE_LAYERS_MAX];
    struct str layer_digests[IMAGE_LAYERS_MAX]; /* empty = the archive names none */
    uint64_t layer_bytes[IMAGE_LAYERS_MAX];
    size_t layers_count;
    struct str manifest_digest; /* empty: docker archive, one is made up */
    struct val names;
};

static int open_file(struct loading *ld, struct str path, struct err *err)
{
    /* Links inside the archive are fine (docker save makes them), out of it they can't lead. */
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT};
    struct str name = arena_dup(ld->arena, path);
    int fd = (int)syscall(SYS_openat2, ld->root, name.p, &how, sizeof how);
    struct stat st;
    if (fd < 0) {
        return err_errno(err, "'%s' in the archive", name.p);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return err_set(err, ERR_INVALID, "'%s' in the archive is not a file", name.p);
    }
    return fd;
}

static int read_file(struct loading *ld, struct str path, struct str *ret, struct err *err)
{
    auto_close int fd = open_file(ld, path, err);
    auto_buf struct buf text;
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    if (fd < 0) {
        return fd;
    }
    auto_free char *self = xasprintf("/proc/self/fd/%d", fd);
    if (file_read(AT_FDCWD, self, &text, err) < 0) {
        return err_wrap(err, "'" STR_FMT "' in the archive", STR_ARG(path));
    }
    *ret = arena_dup(ld->arena, buf_str(&text));
    return 0;
}

static int read_json(struct loading *ld, struct str path, struct val *ret, struct err *err)
{
    struct str text = {0};
    if (read_file(ld, path, &text, err) < 0) {
        return err->code;
    }
    return json_read(text, ld->arena, NULL, ret, err) < 0
               ? err_wrap(err, "'" STR_FMT "' in the archive", STR_ARG(path))
               : 0;
}

/* "blobs/sha256/…" of a digest; empty when it is not one that we check. */
static struct str blob_path(struct loading *ld, struct str digest)
{
    return digest_is_valid(digest)
               ? arena_fmt(ld->arena, "blobs/sha256/" STR_FMT, STR_ARG(digest_hex(digest)))
               : (struct str){0};
}

static int read_blob(struct loading *ld, struct str digest, struct str *ret, struct err *err)
{
    struct str path = blob_path(ld, digest);
    char found[DIGEST_TEXT_MAX];
    if (path.n == 0) {
        return err_set(err, ERR_INVALID, "'" STR_FMT "' is not a sha256 digest", STR_ARG(digest));
    }
    if (read_file(ld, path, ret, err) < 0) {
        return err->code;
    }
    digest_of(*ret, found);
    return str_eq(digest, str_of(found))
               ? 0
               : err_set(err, ERR_CORRUPT, "'" STR_FMT "' in the archive has digest %s",
                         STR_ARG(path), found);
}

/* Unpacks one layer beside and renames it into place, unless the store has it. */
static int load_layer(struct loading *ld, struct str path, struct str digest, struct str diff_id,
                      struct str chain, struct err *err)
{
    auto_free char *final = xasprintf("%s/layers/" STR_FMT, ld->store, STR_ARG(chain));
    auto_free char *temp = xasprintf("%s/tmp/layer-%d-%d", ld->store, (int)getpid(), ld->serial++);
    char blob[DIGEST_TEXT_MAX];
    char plain[DIGEST_TEXT_MAX];
    uint64_t bytes = 0;
    if (access(final, F_OK) == 0) {
        return 0;
    }
    auto_close int fd = open_file(ld, path, err);
    if (fd < 0) {
        return fd;
    }
    if (dir_make_all(temp, 0755, err) < 0 ||
        layer_unpack(fd, temp, &layer_limits_default, blob, plain, &bytes, err) < 0) {
        return err->code;
    }
    if (digest.n > 0 && !str_eq(digest, str_of(blob))) {
        return err_set(err, ERR_CORRUPT, "digest is %s, not " STR_FMT, blob, STR_ARG(digest));
    }
    if (!str_eq(diff_id, str_of(plain))) {
        return err_set(err, ERR_CORRUPT, "unpacked digest is %s, not " STR_FMT, plain,
                       STR_ARG(diff_id));
    }
    auto_close int dir = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || syncfs(dir) < 0) {
        return err_errno(err, "store layer '%s'", final);
    }
    /* Another worker may have brought the same layer meanwhile. */
    return rename(temp, final) < 0 && errno != EEXIST && errno != ENOTEMPTY
               ? err_errno(err, "store layer '%s'", final)
               : 0;
}

/* What it takes packed: as its manifest says, else as its file is. */
static uint64_t layer_bytes(struct loading *ld, const struct image_parts *parts, size_t i)
{
    struct stat st;
    struct str path = arena_dup(ld->arena, parts->layer_paths[i]);
    bool is_file = parts->layer_bytes[i] == 0 && fstatat(ld->root, path.p, &st, 0) == 0;
    return is_file ? (uint64_t)st.st_size : parts->layer_bytes[i];
}

/* An OCI manifest for an image that came without one: the same archive gives the same digest. */
static struct str make_up_manifest(struct loading *ld, const struct image_parts *parts,
                                   const char *config_digest, const struct val *diff_ids)
{
    static const char config_type[] = "application/vnd.oci.image.config.v1+json";
    static const char layer_type[] = "application/vnd.oci.image.layer.v1.tar";
    struct val m = val_map();
    auto_buf struct buf text;
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    (void)val_set(ld->arena, &m, S("schemaVersion"), val_int(2));
    (void)val_set_path(ld->arena, &m, "config.mediaType", val_str(str_of(config_type)));
    (void)val_set_path(ld->arena, &m, "config.digest", val_str(str_of(config_digest)));
    (void)val_set_path(ld->arena, &m, "config.size", val_int((int64_t)parts->config.n));
    for (size_t i = 0; i < parts->layers_count; i++) {
        struct val layer = val_map();
        (void)val_set(ld->arena, &layer, S("mediaType"), val_str(str_of(layer_type)));
        (void)val_set(ld->arena, &layer, S("digest"), *val_at(diff_ids, i));
        (void)val_push(ld->arena, val_need_list(ld->arena, &m, S("layers")), layer);
    }
    char digest[DIGEST_TEXT_MAX];
    (void)json_write(&text, &m);
    digest_of(buf_str(&text), digest);
    return arena_dup(ld->arena, str_of(digest));
}

int image_chains(const struct val *config, size_t layers_count, struct arena *arena,
                 struct str ret[static IMAGE_LAYERS_MAX], struct err *err)
{
    const struct val *diff_ids = val_path(config, "rootfs.diff_ids");
    struct str chain = {0};
    if (!val_is(config, VAL_MAP) || val_count(diff_ids) != layers_count) {
        return err_set(err, ERR_INVALID,
                       "the configuration lists %zu layers (rootfs.diff_ids), the manifest %zu",
                       val_count(diff_ids), layers_count);
    }
    for (size_t i = 0; i < layers_count; i++) {
        struct str diff_id = val_text(val_at(diff_ids, i));
        char digest[DIGEST_TEXT_MAX];
        if (!digest_is_valid(diff_id)) {
            return err_set(err, ERR_INVALID, "diff id '" STR_FMT "' is not a sha256 digest",
                           STR_ARG(diff_id));
        }
        digest_of(arena_fmt(arena, STR_FMT " " STR_FMT, STR_ARG(chain), STR_ARG(diff_id)), digest);
        chain = i == 0 ? diff_id : arena_dup(arena, str_of(digest));
        ret[i] = digest_hex(chain);
    }
    return 0;
}

static int load_layers(struct loading *ld, const struct image_parts *parts,
                       const struct val *config, struct val *ret_chains, uint64_t *bytes,
                       struct err *err)
{
    struct str chains[IMAGE_LAYERS_MAX];
    const struct val *diff_ids = val_path(config, "rootfs.diff_ids");
    if (image_chains(config, parts->layers_count, ld->arena, chains, err) < 0) {
        return err->code;
    }
    for (size_t i = 0; i < parts->layers_count; i++) {
        *bytes += layer_bytes(ld, parts, i);
        if (load_layer(ld, parts->layer_paths[i], parts->layer_digests[i],
                       val_text(val_at(diff_ids, i)), chains[i], err) < 0) {
            return err_wrap(err, "layer %zu ('" STR_FMT "')", i + 1,
                            STR_ARG(parts->layer_paths[i]));
        }
        (void)val_push(ld->arena, ret_chains, val_str(chains[i]));
    }
    return 0;
}

static int load_image(struct loading *ld, const struct image_parts *parts, struct err *err)
{
    struct val config;
    struct val image = val_map();
    struct val chains = val_list();
    uint64_t bytes = parts->config.n;
    char id[DIGEST_TEXT_MAX];
    digest_of(parts->config, id);
    if (json_read(parts->config, ld->arena, NULL, &config, err) < 0) {
        return err_wrap(err, "image configuration");
    }
    if (load_layers(ld, parts, &config, &chains, &bytes, err) < 0) {
        return err->code;
    }
    auto_free char *config_path = xasprintf("%s/configs/%s.json", ld->store, id + 7);
    if (file_write_atomic(AT_FDCWD, config_path, parts->config, 0644, err) < 0) {
        return err->code;
    }
    struct str digest = parts->manifest_digest.n > 0
                            ? parts->manifest_digest
                            : make_up_manifest(ld, parts, id, val_path(&config, "rootfs.diff_ids"));
    (void)val_set(ld->arena, &image, S("id"), val_str(arena_dup(ld->arena, str_of(id))));
    (void)val_set(ld->arena, &image, S("digest"), val_str(digest));
    (void)val_set(ld->arena, &image, S("names"), parts->names);
    (void)val_set(ld->arena, &image, S("bytes"), val_int((int64_t)bytes));
    (void)val_set(ld->arena, &image, S("layers"), chains);
    (void)val_push(ld->arena, ld->images, image);
    return 0;
}

static int add_name(struct loading *ld, struct val *names, struct str text, struct err *err)
{
    struct str name;
    if (reference_normalise(ld->arena, text, &name, err) < 0) {
        return err->code;
    }
    (void)val_push(ld->arena, names, val_str(name));
    return 0;
}

/* A bare tag ("1.36") gets the archive's file name as its repository, as people expect it. */
static struct str name_of(struct loading *ld, const struct val *descriptor)
{
    const struct val *notes = val_get(descriptor, S("annotations"));
    struct str full = val_text(val_get(notes, S("io.containerd.image.name")));
    struct str ref = val_text(val_get(notes, S("org.opencontainers.image.ref.name")));
    if (full.n > 0 || ref.n == 0 || str_find(ref, ':') >= 0 || str_find(ref, '/') >= 0) {
        return full.n > 0 ? full : ref;
    }
    struct str file = str_of(ld->archive);
    file = str_sub(file, (size_t)(str_rfind(file, '/') + 1), file.n);
    ptrdiff_t dot = str_search(file, S(".tar"));
    dot = dot < 0 ? str_search(file, S(".oci")) : dot;
    file = dot < 0 ? file : str_sub(file, 0, (size_t)dot);
    return arena_fmt(ld->arena, STR_FMT ":" STR_FMT, STR_ARG(file), STR_ARG(ref));
}

static int load_manifest(struct loading *ld, const struct val *manifest, struct str digest,
                         struct str name, struct err *err)
{
    struct image_parts *parts = arena_alloc(ld->arena, sizeof *parts);
    const struct val *layers = val_get(manifest, S("layers"));
    parts->names = val_list();
    parts->manifest_digest = digest;
    parts->layers_count = val_count(layers);
    if (parts->layers_count > IMAGE_LAYERS_MAX) {
        return err_set(err, ERR_LIMIT, "%zu layers, at most %d", parts->layers_count,
                       IMAGE_LAYERS_MAX);
    }
    if (read_blob(ld, val_text_at(manifest, "config.digest"), &parts->config, err) < 0 ||
        (name.n > 0 && add_name(ld, &parts->names, name, err) < 0)) {
        return err->code;
    }
    for (size_t i = 0; i < parts->layers_count; i++) {
        parts->layer_digests[i] = val_text_at(val_at(layers, i), "digest");
        parts->layer_paths[i] = blob_path(ld, parts->layer_digests[i]);
        parts->layer_bytes[i] = (uint64_t)val_number_at(val_at(layers, i), "size", 0);
        if (parts->layer_paths[i].n == 0) {
            return err_set(err, ERR_INVALID, "layer %zu has no sha256 digest", i + 1);
        }
    }
    return load_image(ld, parts, err);
}

/* depth ends indexes that name each other: INDEX_DEPTH_MAX. */
/* NOLINTNEXTLINE(misc-no-recursion): INDEX_DEPTH_MAX */
static int load_index(struct loading *ld, const struct val *index, struct str outer_name, int depth,
                      struct err *err)
{
    const struct val *list = val_get(index, S("manifests"));
    for (size_t i = 0; i < val_count(list); i++) {
        const struct val *descriptor = val_at(list, i);
        struct str digest = val_text_at(descriptor, "digest");
        struct str own_name = name_of(ld, descriptor);
        struct str name = own_name.n > 0 ? own_name : outer_name;
        struct str text = {0};
        struct val v = {0};
        const struct val *platform = val_get(descriptor, S("platform"));
        if (platform != NULL && !platform_is_ours(platform)) {
            continue;
        }
        if (depth == INDEX_DEPTH_MAX) {
            return err_set(err, ERR_LIMIT, "indexes nest deeper than %d", INDEX_DEPTH_MAX);
        }
        if (read_blob(ld, digest, &text, err) < 0 ||
            json_read(text, ld->arena, NULL, &v, err) < 0) {
            return err_wrap(err, "manifest " STR_FMT, STR_ARG(digest));
        }
        int r = val_get(&v, S("manifests")) != NULL ? load_index(ld, &v, name, depth + 1, err)
                                                    : load_manifest(ld, &v, digest, name, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int load_docker(struct loading *ld, const struct val *list, struct err *err)
{
    for (size_t i = 0; i < val_count(list); i++) {
        const struct val *entry = val_at(list, i);
        const struct val *layers = val_get(entry, S("Layers"));
        const struct val *tags = val_get(entry, S("RepoTags"));
        struct image_parts *parts = arena_alloc(ld->arena, sizeof *parts);
        parts->names = val_list();
        parts->layers_count = val_count(layers);
        if (parts->layers_count > IMAGE_LAYERS_MAX) {
            return err_set(err, ERR_LIMIT, "%zu layers, at most %d", parts->layers_count,
                           IMAGE_LAYERS_MAX);
        }
        for (size_t k = 0; k < parts->layers_count; k++) {
            parts->layer_paths[k] = val_text(val_at(layers, k));
        }
        for (size_t k = 0; k < val_count(tags); k++) {
            if (add_name(ld, &parts->names, val_text(val_at(tags, k)), err) < 0) {
                return err->code;
            }
        }
        if (read_file(ld, val_text_at(entry, "Config"), &parts->config, err) < 0 ||
            load_image(ld, parts, err) < 0) {
            return err->code;
        }
    }
    return 0;
}

static int load_layout(struct loading *ld, struct err *err)
{
    struct val v;
    int r;
    if (faccessat(ld->root, "index.json", F_OK, 0) == 0) {
        r = read_json(ld, S("index.json"), &v, err);
        r = r < 0 ? r : load_index(ld, &v, (struct str){0}, 0, err);
    } else if (faccessat(ld->root, "manifest.json", F_OK, 0) == 0) {
        r = read_json(ld, S("manifest.json"), &v, err);
        r = r < 0 ? r : load_docker(ld, &v, err);
    } else {
        return err_set(err, ERR_INVALID,
                       "neither an OCI archive (index.json) nor a docker archive (manifest.json)");
    }
    if (r == 0 && val_count(ld->images) == 0) {
        return err_set(err, ERR_INVALID, "no image for this machine in it");
    }
    return r;
}

static int open_layout(struct loading *ld, const char *temp, struct err *err)
{
    struct stat st;
    char blob[DIGEST_TEXT_MAX];
    char plain[DIGEST_TEXT_MAX];
    uint64_t bytes;
    auto_close int fd = open(ld->archive, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return err_errno(err, "open");
    }
    if (S_ISDIR(st.st_mode)) {
        ld->root = take_fd(&fd);
        return 0;
    }
    if (dir_make_all(temp, 0700, err) < 0 ||
        layer_unpack(fd, temp, &layer_limits_default, blob, plain, &bytes, err) < 0) {
        return err->code;
    }
    ld->root = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ld->root < 0 ? err_errno(err, "open '%s'", temp) : 0;
}

int image_load_into(const char *archive, const char *store, struct arena *arena, struct val *ret,
                    struct err *err)
{
    struct val images = val_list();
    struct loading ld = {
        .store = store, .archive = archive, .arena = arena, .root = -1, .images = &images};
    auto_free char *temp = xasprintf("%s/tmp/archive-%d", store, (int)getpid());
    int r = open_layout(&ld, temp, err);
    r = r < 0 ? r : load_layout(&ld, err);
    if (ld.root >= 0) {
        (void)close(ld.root);
    }
    if (r < 0) {
        return err_wrap(err, "image archive '%s'", archive);
    }
    *ret = images;
    return 0;
}

int image_load_manifest(const char *layout, struct str manifest_digest, struct str name,
                        const char *store, struct arena *arena, struct val *ret, struct err *err)
{
    struct val images = val_list();
    struct val v;
    struct str text;
    auto_close int root = open(layout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct loading ld = {
        .store = store, .archive = layout, .arena = arena, .root = root, .images = &images};
    if (root < 0) {
        return err_errno(err, "open '%s'", layout);
    }
    if (read_blob(&ld, manifest_digest, &text, err) < 0 ||
        json_read(text, arena, NULL, &v, err) < 0 ||
        load_manifest(&ld, &v, manifest_digest, name, err) < 0) {
        return err->code;
    }
    *ret = images;
    return 0;
}

int image_load_layer(const char *layout, struct str digest, struct str diff_id, struct str chain,
                     const char *store, struct err *err)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    auto_close int root = open(layout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct loading ld = {.store = store, .archive = layout, .arena = arena, .root = root};
    return root < 0 ? err_errno(err, "open '%s'", layout)
                    : load_layer(&ld, blob_path(&ld, digest), digest, diff_id, chain, err);
}
