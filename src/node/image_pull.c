// SPDX-License-Identifier: Apache-2.0
#include "node/image_pull.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image_load.h"
#include "node/image_store.h"
#include "registry/digest.h"
#include "registry/endpoints.h"
#include "registry/pull.h"
#include "registry/reference.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNPACK_AT_ONCE = 2 };

enum layer_state { LAYER_AWAITED, LAYER_FETCHED, LAYER_UNPACKING, LAYER_DONE };

struct layer {
    struct str digest;
    struct str diff_id;
    struct str chain;
    uint64_t size;
    enum layer_state state;
    pid_t unpacker;
};

struct pulling {
    struct arena *arena;
    const char *store;
    const struct val *registries;
    char *layout;
    void (*progress)(const struct val *progress);
    struct layer layers[IMAGE_LAYERS_MAX];
    size_t layers_count;
    int unpackers;
};

static void tell(struct pulling *p, struct str digest, uint64_t bytes, uint64_t size,
                 const char *state)
{
    auto_arena struct arena *arena = arena_new(64 << 10);
    struct val v = val_map();
    (void)val_set(arena, &v, S("layer"), val_str(digest));
    (void)val_set(arena, &v, S("bytes"), val_int((int64_t)bytes));
    (void)val_set(arena, &v, S("size"), val_int((int64_t)size));
    (void)val_set(arena, &v, S("state"), val_str(str_of(state)));
    p->progress(&v);
}

static void tell_layer(struct pulling *p, const struct layer *layer, const char *state)
{
    tell(p, layer->digest, layer->size, layer->size, state);
}

/* What is fetched lies packed and unpacked on the disk for a while: twice its size is the least. */
static int check_room(const struct pulling *p, uint64_t bytes, struct err *err)
{
    struct statvfs fs;
    uint64_t free_bytes =
        statvfs(p->store, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
    return bytes > free_bytes / 2
               ? err_set(err, ERR_LIMIT,
                         "needs %llu MB of disk, %llu MB are free: remove images with `coracle "
                         "image prune --all`",
                         (unsigned long long)(bytes * 2 >> 20),
                         (unsigned long long)(free_bytes >> 20))
               : 0;
}

static int plan(void *ctx, const struct manifest *m, struct str config_text,
                bool wanted[static MANIFEST_LAYERS_MAX], struct err *err)
{
    struct pulling *p = ctx;
    struct val config;
    struct str chains[IMAGE_LAYERS_MAX];
    uint64_t bytes = 0;
    if (json_read(config_text, p->arena, NULL, &config, err) < 0) {
        return err_wrap(err, "configuration");
    }
    if (image_chains(&config, m->layers_count, p->arena, chains, err) < 0) {
        return err->code;
    }
    if (!platform_is_ours(&config)) {
        struct str os = val_text_at(&config, "os");
        struct str machine = val_text_at(&config, "architecture");
        return err_set(err, ERR_UNSUPPORTED,
                       "no match for platform in manifest: the image is for " STR_FMT "/" STR_FMT,
                       STR_ARG(os), STR_ARG(machine));
    }
    p->layers_count = m->layers_count;
    for (size_t i = 0; i < m->layers_count; i++) {
        auto_free char *dir = xasprintf("%s/layers/" STR_FMT, p->store, STR_ARG(chains[i]));
        struct layer *layer = &p->layers[i];
        *layer =
            (struct layer){.digest = arena_dup(p->arena, m->layers[i].digest),
                           .diff_id = val_text(val_at(val_path(&config, "rootfs.diff_ids"), i)),
                           .chain = chains[i],
                           .size = m->layers[i].size};
        wanted[i] = access(dir, F_OK) < 0;
        bytes += wanted[i] ? layer->size : 0;
        layer->state = wanted[i] ? LAYER_AWAITED : LAYER_DONE;
        tell(p, layer->digest, 0, layer->size, wanted[i] ? "waiting" : "exists");
    }
    return check_room(p, bytes, err);
}

static void arrived(void *ctx, const struct descriptor *blob)
{
    struct pulling *p = ctx;
    for (size_t i = 0; i < p->layers_count; i++) {
        struct layer *layer = &p->layers[i];
        if (layer->state == LAYER_AWAITED && str_eq(layer->digest, blob->digest)) {
            layer->state = LAYER_FETCHED;
        }
    }
}

static void progress(void *ctx, const struct descriptor *blob, uint64_t bytes)
{
    tell(ctx, blob->digest, bytes, blob->size, "downloading");
}

static void unpack(struct pulling *p, struct layer *layer)
{
    pid_t worker = getpid();
    layer->state = LAYER_UNPACKING;
    tell_layer(p, layer, "unpacking");
    layer->unpacker = fork();
    if (layer->unpacker == 0) {
        struct err err;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != worker) {
            _exit(1);
        }
        _exit(image_load_layer(p->layout, layer->digest, layer->diff_id, layer->chain, p->store,
                               &err) < 0);
    }
    p->unpackers += layer->unpacker > 0;
}

/* An unpacker that fails says nothing: the layer is then unpacked with its image, and fails with
 * words. */
static void note_unpacked(struct pulling *p, pid_t pid)
{
    for (size_t i = 0; i < p->layers_count; i++) {
        struct layer *layer = &p->layers[i];
        if (layer->state == LAYER_UNPACKING && layer->unpacker == pid) {
            layer->state = LAYER_DONE;
            p->unpackers--;
            tell_layer(p, layer, "done");
        }
    }
}

static int turn(void *ctx, struct err *err)
{
    struct pulling *p = ctx;
    (void)err;
    for (pid_t pid = waitpid(-1, NULL, WNOHANG); pid > 0; pid = waitpid(-1, NULL, WNOHANG)) {
        note_unpacked(p, pid);
    }
    for (size_t i = 0; i < p->layers_count && p->unpackers < UNPACK_AT_ONCE; i++) {
        if (p->layers[i].state == LAYER_FETCHED) {
            unpack(p, &p->layers[i]);
        }
    }
    return 0;
}

static void finish_unpacking(struct pulling *p, struct err *err)
{
    for (;;) {
        (void)turn(p, err);
        pid_t pid = waitpid(-1, NULL, 0);
        if (pid <= 0) {
            return;
        }
        note_unpacked(p, pid);
    }
}

int image_pull_registries(const char *store, struct arena *arena, struct val *ret, struct err *err)
{
    auto_free char *path = xasprintf("%s/../registries.yaml", store);
    auto_buf struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    *ret = val_null();
    if (file_read(AT_FDCWD, path, &text, err) < 0) {
        return err->code == ERR_NOT_FOUND ? 0 : err->code;
    }
    return endpoints_read(arena_dup(arena, buf_str(&text)), arena, ret, err) < 0
               ? err_wrap(err, "registries.yaml")
               : 0;
}

/* Its names: tag, unless a digest was asked for, and digest. */
static void name_image(struct pulling *p, struct str text, const struct pulled *pulled,
                       struct val *image)
{
    struct reference r;
    struct err err;
    struct val names = val_list();
    if (reference_parse(text, &r, &err) == 0) {
        if (r.digest.n == 0) {
            (void)val_push(p->arena, &names, val_str(text));
        }
        (void)val_push(p->arena, &names,
                       val_str(arena_fmt(
                           p->arena, STR_FMT "/" STR_FMT "@" STR_FMT, STR_ARG(r.domain),
                           STR_ARG(reference_repository(p->arena, &r)), STR_ARG(pulled->digest))));
    }
    (void)val_set(p->arena, image, S("names"), names);
    (void)val_set(p->arena, image, S("digest"), val_str(pulled->digest));
}

static void write_answer(struct pulling *p, struct val images, const struct credential *credential,
                         struct val *ret)
{
    char hash[DIGEST_TEXT_MAX];
    *ret = val_map();
    (void)val_set(p->arena, ret, S("images"), images);
    if (credential != NULL && credential->document >= 0) {
        credential_hash(credential, hash);
        (void)val_set(p->arena, ret, S("document"), val_int(credential->document));
        (void)val_set(p->arena, ret, S("credential"), val_str(arena_dup(p->arena, str_of(hash))));
    }
}

static int pull(struct pulling *p, struct str name, struct str known, const struct val *documents,
                struct val *ret, struct err *err)
{
    struct pulled pulled;
    auto_free char *blobs = xasprintf("%s/" BLOBS_DIR, p->store);
    auto_close int dir = open(blobs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return err_errno(err, "open '%s'", blobs);
    }
    const struct pull_config config = {.reference = name,
                                       .known = known,
                                       .registries = p->registries,
                                       .documents = documents,
                                       .dir = dir,
                                       .plan = plan,
                                       .arrived = arrived,
                                       .progress = progress,
                                       .turn = turn,
                                       .ctx = p};
    struct val images = val_list();
    int r = registry_pull(&config, p->arena, &pulled, err);
    struct err ignored;
    finish_unpacking(p, &ignored);
    if (r < 0) {
        return r;
    }
    if (!pulled.is_known) {
        if (image_load_manifest(p->layout, pulled.manifest, name, p->store, p->arena, &images,
                                err) < 0) {
            return err_wrap(err, "failed to unpack image \"" STR_FMT "\"", STR_ARG(name));
        }
        name_image(p, name, &pulled, &images.items[0]);
    }
    write_answer(p, images, pulled.credential, ret);
    return 0;
}

int image_pull_into(const struct val *request, const struct val *registries,
                    void (*tell_progress)(const struct val *progress), struct arena *arena,
                    struct val *ret, struct err *err)
{
    struct pulling *p = arena_alloc(arena, sizeof *p);
    struct str name;
    struct val documents = val_list();
    const struct val *texts = val_get(request, S("documents"));
    p->arena = arena;
    p->store = arena_dup(arena, val_text_at(request, "store")).p;
    p->registries = registries;
    p->progress = tell_progress;
    p->layout = xasprintf("%s/" DOWNLOAD_DIR, p->store);
    if (reference_normalise(arena, val_text_at(request, "reference"), &name, err) < 0) {
        return err->code;
    }
    for (size_t i = 0; i < val_count(texts); i++) {
        struct val document = val_null();
        struct err ignored; /* a secret that can't be read counts as none */
        (void)!json_read(val_text(val_at(texts, i)), arena, NULL, &document, &ignored);
        (void)val_push(arena, &documents, document);
    }
    int r = pull(p, name, val_text_at(request, "known"), &documents, ret, err);
    free(p->layout);
    return r;
}
