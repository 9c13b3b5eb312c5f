// SPDX-License-Identifier: Apache-2.0
//
// Builds container images without Docker: reads recipes, writes one OCI image archive (a tar of an
// OCI image layout, image-spec 1.1). The same inputs always give the same bytes: entries sorted by
// name, times 0, owner 0, layers not compressed. It does not pull, run or inherit anything.
//
// Usage: mkimage OUT.tar RECIPE...
// A recipe is lines of words; '#' starts a comment:
//   image REF [REF...]        starts an image, named with all its tags
//   layer                     starts its next layer
//   include FILE              reads FILE here; paths are relative to the working directory
//   dir MODE PATH             a directory of the layer (parents have to be listed too)
//   file MODE PATH SOURCE     a file of the layer, with the bytes of SOURCE
//   link PATH TARGET          a symbolic link of the layer
//   workdir DIR, env NAME=VALUE, expose PORT/PROTOCOL, cmd WORD..., label NAME=VALUE
#include "base/enc.h"
#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

enum {
    WORDS_MAX = 24,
    DEPTH_MAX = 4,
    ENTRIES_MAX = 2000,
    IMAGES_MAX = 16,
    LAYERS_MAX = 8,
    BLOBS_MAX = 256,
    FILE_BYTES_MAX = 64 << 20,
    ARCHIVE_BYTES_MAX = 512 << 20,
    ARENA_BYTES_MAX = 64 << 20,
    BLOCK = 512,
    NAME_BYTES = 100,
    PREFIX_BYTES = 155,
    DIGEST_HEX = 64,
};

struct entry {
    char type; /* as tar says it: '0' file, '2' symbolic link, '5' directory */
    int mode;
    struct str path; /* without slash in front */
    struct str from; /* source of a file, target of a link */
};

struct layer {
    struct entry entries[ENTRIES_MAX];
    int entries_count;
};

struct image {
    struct str refs[WORDS_MAX];
    int refs_count;
    struct layer *layers[LAYERS_MAX];
    int layers_count;
    struct val config; /* of the OCI config: Cmd, Env, ... */
};

struct blob {
    struct str hex;
    struct str bytes;
};

struct maker {
    struct arena *arena;
    struct image images[IMAGES_MAX];
    int images_count;
    struct blob blobs[BLOBS_MAX];
    int blobs_count;
};

static _Noreturn void die(const char *where, int line, const char *what)
{
    (void)fprintf(stderr, "mkimage: %s:%d: %s\n", where, line, what);
    exit(1);
}

static void must(int r, const struct err *err)
{
    if (r < 0) {
        (void)fprintf(stderr, "mkimage: %s\n", err->msg);
        exit(1);
    }
}

static struct str read_source(struct str path)
{
    struct err err = {0};
    struct buf bytes;
    buf_init(&bytes, FILE_BYTES_MAX);
    auto_free char *name = xstrndup(path.p, path.n);
    must(file_read(AT_FDCWD, name, &bytes, &err), &err);
    size_t n = bytes.n;
    return (struct str){buf_take(&bytes), n};
}

/* Blobs by digest; one that is there already is not added twice. Returns the hex digest. */
static struct str add_blob(struct maker *m, struct str bytes)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct buf hex;
    buf_init(&hex, DIGEST_HEX);
    if (EVP_Digest(bytes.p, bytes.n, digest, &n, EVP_sha256(), NULL) != 1 ||
        hex_encode(&hex, (struct str){(const char *)digest, n}) < 0) {
        die("sha256", 0, "failed");
    }
    struct str name = arena_dup(m->arena, buf_str(&hex));
    buf_done(&hex);
    for (int i = 0; i < m->blobs_count; i++) {
        if (str_eq(m->blobs[i].hex, name)) {
            return name;
        }
    }
    if (m->blobs_count == BLOBS_MAX) {
        die("recipe", 0, "too many blobs");
    }
    m->blobs[m->blobs_count++] = (struct blob){.hex = name, .bytes = bytes};
    return name;
}

/* tar (POSIX ustar). Names of up to 100 bytes, or up to 255 where a slash can split them. */

static void put_octal(char *field, size_t size, unsigned long long value)
{
    (void)snprintf(field, size, "%0*llo", (int)size - 1, value);
}

static void put_name(char *block, struct str name)
{
    if (name.n <= NAME_BYTES) {
        memcpy(block, name.p, name.n);
        return;
    }
    for (size_t i = name.n - NAME_BYTES - 1; i < name.n && i <= PREFIX_BYTES; i++) {
        if (name.p[i] == '/') {
            memcpy(block + 345, name.p, i);
            memcpy(block, name.p + i + 1, name.n - i - 1);
            return;
        }
    }
    die(name.p, 0, "name too long for tar");
}

static void put_tar_entry(struct buf *out, char type, int mode, struct str name, struct str link,
                          struct str bytes)
{
    char block[BLOCK] = {0};
    put_name(block, name);
    put_octal(block + 100, 8, (unsigned)mode);
    put_octal(block + 108, 8, 0);
    put_octal(block + 116, 8, 0);
    put_octal(block + 124, 12, bytes.n);
    put_octal(block + 136, 12, 0);
    memset(block + 148, ' ', 8);
    block[156] = type;
    if (link.n > NAME_BYTES) {
        die(link.p, 0, "link target too long for tar");
    }
    if (link.n > 0) {
        memcpy(block + 157, link.p, link.n);
    }
    memcpy(block + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < BLOCK; i++) {
        sum += (unsigned char)block[i];
    }
    put_octal(block + 148, 7, sum);
    static const char zeros[BLOCK];
    size_t pad = (BLOCK - bytes.n % BLOCK) % BLOCK;
    (void)buf_add(out, (struct str){block, BLOCK});
    (void)buf_add(out, bytes);
    (void)buf_add(out, (struct str){zeros, pad});
}

static struct str take_tar(struct buf *out)
{
    static const char zeros[2 * BLOCK];
    (void)buf_add(out, (struct str){zeros, sizeof zeros});
    if (out->over) {
        die("archive", 0, "too large");
    }
    size_t n = out->n;
    return (struct str){buf_take(out), n};
}

static int compare_entries(const void *a, const void *b)
{
    return str_cmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static struct str layer_tar(struct maker *m, struct layer *layer)
{
    struct buf out;
    buf_init(&out, ARCHIVE_BYTES_MAX);
    qsort(layer->entries, (size_t)layer->entries_count, sizeof *layer->entries, compare_entries);
    for (int i = 0; i < layer->entries_count; i++) {
        const struct entry *e = &layer->entries[i];
        struct str bytes = e->type == '0' ? read_source(e->from) : S("");
        struct str name =
            e->type == '5' ? arena_fmt(m->arena, STR_FMT "/", STR_ARG(e->path)) : e->path;
        put_tar_entry(&out, e->type, e->mode, name, e->type == '2' ? e->from : S(""), bytes);
        if (e->type == '0') {
            free((void *)(uintptr_t)bytes.p);
        }
    }
    return take_tar(&out);
}

/* Recipes. */

struct line {
    const char *file;
    int number, depth;
    struct str words[WORDS_MAX];
    int words_count;
    struct image *image; /* NULL before the first */
};

static void read_recipe(struct maker *m, struct str path, int depth);

static struct layer *layer_of(struct line *l)
{
    if (l->image == NULL || l->image->layers_count == 0) {
        die(l->file, l->number, "expected 'image' and 'layer' before this");
    }
    return l->image->layers[l->image->layers_count - 1];
}

static int mode_of(const struct line *l, struct str word)
{
    int mode = 0;
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '7' || mode > 0777) {
            die(l->file, l->number, "mode: expected octal digits");
        }
        mode = mode * 8 + (word.p[i] - '0');
    }
    return mode;
}

static void add_entry(struct line *l, struct entry entry)
{
    struct layer *layer = layer_of(l);
    if (layer->entries_count == ENTRIES_MAX) {
        die(l->file, l->number, "too many entries in one layer");
    }
    if (entry.path.n == 0 || entry.path.p[0] == '/') {
        die(l->file, l->number, "path: expected one without a slash in front");
    }
    layer->entries[layer->entries_count++] = entry;
}

static void do_image(struct maker *m, struct line *l)
{
    if (m->images_count == IMAGES_MAX) {
        die(l->file, l->number, "too many images");
    }
    struct image *image = &m->images[m->images_count++];
    image->config = val_map();
    for (int i = 1; i < l->words_count; i++) {
        image->refs[image->refs_count++] = l->words[i];
    }
}

static void do_layer(struct maker *m, struct line *l)
{
    if (l->image == NULL || l->image->layers_count == LAYERS_MAX) {
        die(l->file, l->number, "a layer needs an image, which has at most 8");
    }
    l->image->layers[l->image->layers_count++] = arena_alloc(m->arena, sizeof(struct layer));
}

static void do_include(struct maker *m, struct line *l)
{
    read_recipe(m, l->words[1], l->depth + 1);
}

static void do_dir(struct maker *m, struct line *l)
{
    (void)m;
    add_entry(l, (struct entry){'5', mode_of(l, l->words[1]), l->words[2], S("")});
}

static void do_file(struct maker *m, struct line *l)
{
    (void)m;
    add_entry(l, (struct entry){'0', mode_of(l, l->words[1]), l->words[2], l->words[3]});
}

static void do_link(struct maker *m, struct line *l)
{
    (void)m;
    add_entry(l, (struct entry){'2', 0777, l->words[1], l->words[2]});
}

static void do_workdir(struct maker *m, struct line *l)
{
    val_set(m->arena, &l->image->config, S("WorkingDir"), val_str(l->words[1]));
}

static void do_env(struct maker *m, struct line *l)
{
    val_push(m->arena, val_need_list(m->arena, &l->image->config, S("Env")), val_str(l->words[1]));
}

static void do_expose(struct maker *m, struct line *l)
{
    val_set(m->arena, val_need_map(m->arena, &l->image->config, S("ExposedPorts")), l->words[1],
            val_map());
}

static void do_cmd(struct maker *m, struct line *l)
{
    struct val *list = val_need_list(m->arena, &l->image->config, S("Cmd"));
    for (int i = 1; i < l->words_count; i++) {
        val_push(m->arena, list, val_str(l->words[i]));
    }
}

static void do_label(struct maker *m, struct line *l)
{
    struct str value = l->words[1], name = str_cut(&value, '=');
    val_set(m->arena, val_need_map(m->arena, &l->image->config, S("Labels")), name, val_str(value));
}

/* word, what it does, words at least and at most, needs an image */
static const struct {
    const char *word;
    void (*run)(struct maker *m, struct line *l);
    int words_min, words_max;
    bool needs_image;
} verbs[] = {
    {"image",   do_image,   2, WORDS_MAX, false},
    {"layer",   do_layer,   1, 1,         true },
    {"include", do_include, 2, 2,         true },
    {"dir",     do_dir,     3, 3,         true },
    {"file",    do_file,    4, 4,         true },
    {"link",    do_link,    3, 3,         true },
    {"workdir", do_workdir, 2, 2,         true },
    {"env",     do_env,     2, 2,         true },
    {"expose",  do_expose,  2, 2,         true },
    {"cmd",     do_cmd,     2, WORDS_MAX, true },
    {"label",   do_label,   2, 2,         true },
};

static void run_line(struct maker *m, struct line *l)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (!str_eq(l->words[0], str_of(verbs[i].word))) {
            continue;
        }
        if (l->words_count < verbs[i].words_min || l->words_count > verbs[i].words_max) {
            die(l->file, l->number, "wrong number of words");
        }
        l->image = m->images_count == 0 ? NULL : &m->images[m->images_count - 1];
        if (l->image == NULL && verbs[i].needs_image) {
            die(l->file, l->number, "expected 'image' before this");
        }
        verbs[i].run(m, l);
        return;
    }
    die(l->file, l->number, "unknown word");
}

/* NOLINTNEXTLINE(misc-no-recursion): at most DEPTH_MAX deep. */
static void read_recipe(struct maker *m, struct str path, int depth)
{
    struct str name = arena_dup(m->arena, path);
    if (depth > DEPTH_MAX) {
        die(name.p, 0, "includes nest too deep");
    }
    struct str read = read_source(name), rest = arena_dup(m->arena, read);
    free((void *)(uintptr_t)read.p);
    for (int number = 1; rest.p != NULL; number++) {
        struct str text = str_cut(&rest, '\n');
        struct line line = {.file = name.p, .number = number, .depth = depth};
        text = str_cut(&text, '#');
        while (text.p != NULL) {
            struct str word = str_trim(str_cut(&text, ' '));
            if (word.n > 0 && line.words_count == WORDS_MAX) {
                die(name.p, number, "too many words");
            }
            if (word.n > 0) {
                line.words[line.words_count++] = word;
            }
        }
        if (line.words_count > 0) {
            run_line(m, &line);
        }
    }
}

/* Images into blobs. */

static struct str to_json(const struct val *v)
{
    struct buf out;
    buf_init(&out, FILE_BYTES_MAX);
    if (json_write(&out, v) < 0) {
        die("json", 0, "too large");
    }
    size_t n = out.n;
    return (struct str){buf_take(&out), n};
}

static struct val descriptor(struct maker *m, const char *media_type, struct str hex, size_t size)
{
    struct val v = val_map();
    struct str digest = arena_fmt(m->arena, "sha256:" STR_FMT, STR_ARG(hex));
    val_set(m->arena, &v, S("mediaType"), val_str(str_of(media_type)));
    val_set(m->arena, &v, S("digest"), val_str(digest));
    val_set(m->arena, &v, S("size"), val_int((int64_t)size));
    return v;
}

static const char *architecture(void)
{
    static const char *const names[][2] = {
        {"x86_64",  "amd64"  },
        {"aarch64", "arm64"  },
        {"riscv64", "riscv64"},
        {"ppc64le", "ppc64le"},
        {"s390x",   "s390x"  },
    };
    struct utsname uts;
    if (uname(&uts) == 0) {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            if (str_eq(str_of(uts.machine), str_of(names[i][0]))) {
                return names[i][1];
            }
        }
    }
    die("uname", 0, "unknown architecture");
}

/* Adds the blobs of an image; the descriptor of its manifest. */
static struct val image_descriptor(struct maker *m, struct image *image)
{
    struct arena *arena = m->arena;
    struct val config = val_map(), manifest = val_map(), layers = val_list(), diffs = val_list();
    for (int i = 0; i < image->layers_count; i++) {
        struct str tar = layer_tar(m, image->layers[i]);
        struct str hex = add_blob(m, tar);
        val_push(arena, &diffs, val_str(arena_fmt(arena, "sha256:" STR_FMT, STR_ARG(hex))));
        val_push(arena, &layers,
                 descriptor(m, "application/vnd.oci.image.layer.v1.tar", hex, tar.n));
    }
    val_set(arena, &config, S("architecture"), val_str(str_of(architecture())));
    val_set(arena, &config, S("os"), val_str(S("linux")));
    val_set(arena, &config, S("created"), val_str(S("1970-01-01T00:00:00Z")));
    val_set(arena, &config, S("config"), image->config);
    val_set_path(arena, &config, "rootfs.type", val_str(S("layers")));
    val_set_path(arena, &config, "rootfs.diff_ids", diffs);
    struct str config_json = to_json(&config);
    val_set(arena, &manifest, S("schemaVersion"), val_int(2));
    val_set(arena, &manifest, S("mediaType"),
            val_str(S("application/vnd.oci.image.manifest.v1+json")));
    val_set(arena, &manifest, S("config"),
            descriptor(m, "application/vnd.oci.image.config.v1+json", add_blob(m, config_json),
                       config_json.n));
    val_set(arena, &manifest, S("layers"), layers);
    struct str manifest_json = to_json(&manifest);
    return descriptor(m, "application/vnd.oci.image.manifest.v1+json", add_blob(m, manifest_json),
                      manifest_json.n);
}

static int compare_blobs(const void *a, const void *b)
{
    return str_cmp(((const struct blob *)a)->hex, ((const struct blob *)b)->hex);
}

static struct str make_archive(struct maker *m)
{
    struct val index = val_map(), manifests = val_list();
    struct buf out;
    for (int i = 0; i < m->images_count; i++) {
        struct image *image = &m->images[i];
        struct val v = image_descriptor(m, image);
        for (int k = 0; k < image->refs_count; k++) {
            struct val named = val_copy(m->arena, &v), *notes;
            notes = val_need_map(m->arena, &named, S("annotations"));
            val_set(m->arena, notes, S("org.opencontainers.image.ref.name"),
                    val_str(image->refs[k]));
            val_push(m->arena, &manifests, named);
        }
    }
    val_set(m->arena, &index, S("schemaVersion"), val_int(2));
    val_set(m->arena, &index, S("mediaType"),
            val_str(S("application/vnd.oci.image.index.v1+json")));
    val_set(m->arena, &index, S("manifests"), manifests);
    buf_init(&out, ARCHIVE_BYTES_MAX);
    qsort(m->blobs, (size_t)m->blobs_count, sizeof *m->blobs, compare_blobs);
    put_tar_entry(&out, '5', 0755, S("blobs/"), S(""), S(""));
    put_tar_entry(&out, '5', 0755, S("blobs/sha256/"), S(""), S(""));
    for (int i = 0; i < m->blobs_count; i++) {
        put_tar_entry(&out, '0', 0644,
                      arena_fmt(m->arena, "blobs/sha256/" STR_FMT, STR_ARG(m->blobs[i].hex)), S(""),
                      m->blobs[i].bytes);
    }
    put_tar_entry(&out, '0', 0644, S("index.json"), S(""), to_json(&index));
    put_tar_entry(&out, '0', 0644, S("oci-layout"), S(""), S("{\"imageLayoutVersion\":\"1.0.0\"}"));
    return take_tar(&out);
}

int main(int argc, char **argv)
{
    static struct maker m;
    struct err err = {0};
    if (argc < 3) {
        (void)fprintf(stderr, "usage: mkimage OUT.tar RECIPE...\n");
        return 2;
    }
    m.arena = arena_new(ARENA_BYTES_MAX);
    for (int i = 2; i < argc; i++) {
        read_recipe(&m, str_of(argv[i]), 0);
    }
    must(file_write_atomic(AT_FDCWD, argv[1], make_archive(&m), 0644, &err), &err);
    /* Blobs live until here; the process ends, which frees them. */
    arena_free(m.arena);
    return 0;
}
