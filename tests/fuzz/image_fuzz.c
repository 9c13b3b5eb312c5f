// SPDX-License-Identifier: Apache-2.0
//
// Layout directories of images: index, manifest, configuration and a layer, each a part of the
// input between zero bytes ("o" + index, or "d" + a docker archive's manifest.json, first). "@N" in
// a part becomes the digest of part N, so that what the digests guard is reached. An image that is
// told lies in the store whole: its configuration has its id as digest, its layers are directories,
// its names are normal forms. A refusal says why.
#include "fuzz.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "node/blob_stream.h"
#include "node/image.h"
#include "node/image_load.h"
#include "registry/reference.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARTS_MAX = 5, IN_MAX = 16 << 10 };

struct place {
    char dir[64];
    char *layout;
    char *store;
};

static void make_dir(const struct place *p, const char *name)
{
    struct err err;
    auto_free char *path = xasprintf("%s/%s", p->dir, name);
    must(dir_make_all(path, 0755, &err) == 0);
}

static void put_file(const struct place *p, const char *name, struct str bytes)
{
    auto_free char *path = xasprintf("%s/%s", p->dir, name);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct err err;
    must(fd >= 0 && fd_write_all(fd, bytes, &err) == 0);
}

/* Replaces "@N" by the digest of part N; parts only know those behind them. */
static struct str fill_in(struct arena *arena, struct str text, char digests[][DIGEST_TEXT_MAX])
{
    auto_buf struct buf out;
    buf_init(&out, IN_MAX * 80);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '@' && i + 1 < text.n && text.p[i + 1] > '0' &&
            text.p[i + 1] < '0' + PARTS_MAX) {
            (void)buf_add(&out, str_of(digests[text.p[++i] - '0']));
        } else {
            (void)buf_addc(&out, text.p[i]);
        }
    }
    return arena_dup(arena, buf_str(&out));
}

static void lay_out(const struct place *p, struct arena *arena, bool is_docker, struct str in)
{
    struct str parts[PARTS_MAX] = {{0}};
    char digests[PARTS_MAX][DIGEST_TEXT_MAX] = {{0}};
    for (size_t i = 0; i < PARTS_MAX && in.p != NULL; i++) {
        parts[i] = i == PARTS_MAX - 1 ? in : str_cut(&in, '\0');
    }
    for (size_t i = PARTS_MAX; i-- > 0;) {
        struct str text = i == PARTS_MAX - 1 ? parts[i] : fill_in(arena, parts[i], digests);
        digest_of(text, digests[i]);
        auto_free char *name =
            i == 0 ? xasprintf("layout/%s", is_docker ? "manifest.json" : "index.json")
                   : xasprintf("layout/blobs/sha256/%s", digests[i] + 7);
        put_file(p, name, text);
    }
}

static void must_be_whole(const struct place *p, struct arena *arena, const struct val *image)
{
    struct str id = val_text_at(image, "id");
    char digest[DIGEST_TEXT_MAX];
    auto_buf struct buf config;
    struct stat st;
    struct err err;
    buf_init(&config, FILE_BYTES_MAX);
    must(id.n == DIGEST_TEXT_MAX - 1);
    auto_free char *path = xasprintf("%s/configs/%s.json", p->store, id.p + 7);
    must(file_read(AT_FDCWD, path, &config, &err) == 0);
    digest_of(buf_str(&config), digest);
    must(str_eq(id, str_of(digest)));
    const struct val *layers = val_get(image, S("layers"));
    for (size_t i = 0; i < val_count(layers); i++) {
        auto_free char *layer =
            xasprintf("%s/layers/" STR_FMT, p->store, STR_ARG(val_text(val_at(layers, i))));
        must(lstat(layer, &st) == 0 && S_ISDIR(st.st_mode));
    }
    const struct val *names = val_get(image, S("names"));
    for (size_t i = 0; i < val_count(names); i++) {
        struct str name = val_text(val_at(names, i));
        struct str form;
        must(reference_normalise(arena, name, &form, &err) == 0 && str_eq(name, form));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    struct place p = {.dir = "/dev/shm/coracle-image-fuzz-XXXXXX"};
    struct err err = {0};
    struct val images;
    if (size == 0 || size > IN_MAX) {
        return 0;
    }
    must(mkdtemp(p.dir) != NULL);
    p.layout = xasprintf("%s/layout", p.dir);
    p.store = xasprintf("%s/store", p.dir);
    make_dir(&p, "layout/blobs/sha256");
    make_dir(&p, "store/layers");
    make_dir(&p, "store/configs");
    make_dir(&p, "store/tmp");
    lay_out(&p, arena, data[0] == 'd', (struct str){(const char *)data + 1, size - 1});
    if (image_load_into(p.layout, p.store, arena, &images, &err) < 0) {
        must(err.code < 0 && err.msg[0] != '\0');
    } else {
        must(val_count(&images) > 0);
        for (size_t i = 0; i < val_count(&images); i++) {
            must_be_whole(&p, arena, val_at(&images, i));
        }
    }
    must(dir_remove_all(AT_FDCWD, p.dir, &err) == 0);
    free(p.layout);
    free(p.store);
    return 0;
}
