// SPDX-License-Identifier: Apache-2.0
//
// `coracle image pull`: sends the user's credentials along, shows what comes. The credentials are
// those that `docker login` and `podman login` keep, in files or with credential helpers.
#include "base/enc.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DOCUMENT_BYTES_MAX = BODY_BYTES_MAX / 8,
    LAYERS_SHOWN_MAX = 128,
    ANSWER_ARENA_MAX = 1 << 20
};

/* Files of credentials, in the order in which they are asked: variable, rest of the path. */
static const struct {
    const char *variable;
    const char *rest;
} auth_files[] = {
    {"REGISTRY_AUTH_FILE", ""                             },
    {"XDG_RUNTIME_DIR",    "/containers/auth.json"        },
    {"DOCKER_CONFIG",      "/config.json"                 },
    {"HOME",               "/.docker/config.json"         },
    {"HOME",               "/.config/containers/auth.json"},
};

static void add_text(struct cli *cli, const struct val *document, struct val *documents)
{
    auto_buf struct buf text;
    buf_init(&text, DOCUMENT_BYTES_MAX);
    (void)json_write(&text, document);
    (void)val_push(cli->arena, documents, val_str(arena_dup(cli->arena, buf_str(&text))));
}

static int add_document(struct cli *cli, const char *path, struct str image, struct val *documents,
                        struct err *err)
{
    struct val more;
    auto_buf struct buf text;
    struct val v;
    buf_init(&text, DOCUMENT_BYTES_MAX);
    if (file_read(AT_FDCWD, path, &text, err) < 0) {
        return err->code;
    }
    struct str copy = arena_dup(cli->arena, buf_str(&text));
    if (json_read(copy, cli->arena, NULL, &v, err) < 0) {
        return err_wrap(err, "'%s'", path);
    }
    if (credential_helper_ask(cli, &v, image, &more)) {
        add_text(cli, &more, documents);
    }
    add_text(cli, &v, documents);
    return 0;
}

static int read_documents(struct cli *cli, struct str image, struct val *documents, struct err *err)
{
    if (cli->authfile.n > 0) {
        return add_document(cli, cli->authfile.p, image, documents, err);
    }
    for (size_t i = 0; i < ARRAY_LEN(auth_files); i++) {
        const char *base = getenv(auth_files[i].variable);
        auto_free char *path = xasprintf("%s%s", base == NULL ? "" : base, auth_files[i].rest);
        if (base != NULL && base[0] != '\0' && add_document(cli, path, image, documents, err) < 0 &&
            err->code != ERR_NOT_FOUND) {
            return err->code;
        }
    }
    return 0;
}

struct watched {
    struct str name;
    bool is_terminal;
    struct layer_shown {
        char digest[80];
        char state[16];
        int64_t bytes;
        int64_t size;
    } layers[LAYERS_SHOWN_MAX];
    size_t layers_count;
    struct arena *arena; /* of the last line */
    struct val last;
};

static void note_layer(struct watched *w, const struct val *v)
{
    struct str digest = val_text_at(v, "layer");
    struct layer_shown *layer = NULL;
    for (size_t i = 0; i < w->layers_count; i++) {
        layer = str_eq(digest, str_of(w->layers[i].digest)) ? &w->layers[i] : layer;
    }
    if (layer == NULL && w->layers_count < LAYERS_SHOWN_MAX) {
        layer = &w->layers[w->layers_count++];
        (void)snprintf(layer->digest, sizeof layer->digest, STR_FMT, STR_ARG(digest));
    }
    if (layer != NULL) {
        layer->bytes = val_number_at(v, "bytes", 0);
        layer->size = val_number_at(v, "size", 0);
        (void)snprintf(layer->state, sizeof layer->state, STR_FMT,
                       STR_ARG(val_text_at(v, "state")));
    }
}

/* One line, written over itself. */
static void show(const struct watched *w)
{
    int64_t bytes = 0;
    int64_t size = 0;
    size_t there = 0;
    size_t unpacking = 0;
    for (size_t i = 0; i < w->layers_count; i++) {
        const struct layer_shown *layer = &w->layers[i];
        bool is_old = strcmp(layer->state, "exists") == 0;
        there += is_old || strcmp(layer->state, "done") == 0;
        unpacking += strcmp(layer->state, "unpacking") == 0;
        bytes += is_old ? 0 : layer->bytes;
        size += is_old ? 0 : layer->size;
    }
    (void)fprintf(stderr, "\r\x1b[K" STR_FMT ": %zu of %zu layers, %.1f of %.1f MB%s",
                  STR_ARG(w->name), there, w->layers_count, (double)bytes / 1e6, (double)size / 1e6,
                  unpacking > 0 ? ", unpacking" : "");
}

static void on_line(void *ctx, struct str line)
{
    struct watched *w = ctx;
    struct err err;
    arena_reset(w->arena);
    w->last = val_null();
    if (json_read(arena_dup(w->arena, line), w->arena, NULL, &w->last, &err) < 0) {
        return;
    }
    if (val_get(&w->last, S("layer")) != NULL) {
        note_layer(w, &w->last);
        if (w->is_terminal) {
            show(w);
        }
    }
}

static int tell_end(const struct watched *w)
{
    if (w->is_terminal && w->layers_count > 0) {
        (void)fprintf(stderr, "\r\x1b[K");
    }
    struct str pulled = val_text_at(&w->last, "name");
    if (pulled.n == 0) {
        struct str message = val_text_at(&w->last, "message");
        cli_error("image pull: '" STR_FMT "': " STR_FMT, STR_ARG(w->name),
                  STR_ARG(message.n > 0 ? message : S("the brain ended before the pull did")));
        return EXIT_FAILED;
    }
    (void)printf("pulled " STR_FMT " (" STR_FMT ", %.1f MB)\n", STR_ARG(pulled),
                 STR_ARG(val_text_at(&w->last, "digest")),
                 (double)val_number_at(&w->last, "bytes", 0) / 1e6);
    return EXIT_OK;
}

int image_pull_verb(struct cli *cli, struct str name)
{
    struct err err = {0};
    struct val documents = val_list();
    auto_buf struct buf body;
    auto_buf struct buf path;
    auto_arena struct arena *arena = arena_new(ANSWER_ARENA_MAX);
    struct watched *w = arena_alloc(cli->arena, sizeof *w);
    *w = (struct watched){.name = name, .is_terminal = isatty(STDERR_FILENO) == 1, .arena = arena};
    buf_init(&body, BODY_BYTES_MAX);
    buf_init(&path, BODY_BYTES_MAX);
    (void)buf_add(&path, S("/pulls?name="));
    (void)percent_encode(&path, name);
    if (read_documents(cli, name, &documents, &err) < 0) {
        cli_error("image pull: credentials: %s", err.msg);
        return EXIT_FAILED;
    }
    (void)json_write(&body, &documents);
    if (control_follow(cli, buf_str(&path), buf_str(&body), on_line, w, &err) < 0) {
        cli_error("image pull: %s", err.msg);
        return err.code == ERR_NOT_FOUND ? EXIT_NOT_RUNNING : EXIT_FAILED;
    }
    return tell_end(w);
}
