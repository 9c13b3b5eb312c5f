// SPDX-License-Identifier: Apache-2.0
//
// `coracle image pull | load | list | remove | prune`, through the control socket.
#include "base/enc.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 4 << 20, ID_SHOWN = 12 };

static struct str query(struct cli *cli, const char *path, struct str value)
{
    auto_buf struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    (void)percent_encode(&text, value);
    return arena_fmt(cli->arena, "%s" STR_FMT, path, STR_ARG(buf_str(&text)));
}

static int load(struct cli *cli, struct str file)
{
    auto_free char *path = realpath(file.p, NULL);
    if (path == NULL) {
        cli_error("image load: '" STR_FMT "': %s", STR_ARG(file), strerror(errno));
        return EXIT_FAILED;
    }
    struct val answer;
    struct err err;
    if (control_call(cli, S("POST"), query(cli, "/images?path=", str_of(path)), &answer, &err) <
        0) {
        cli_error("image load: '" STR_FMT "': %s", STR_ARG(file), err.msg);
        return err.code == ERR_NOT_FOUND ? EXIT_NOT_RUNNING : EXIT_FAILED;
    }
    const struct val *names = val_get(&answer, S("names"));
    for (size_t i = 0; i < val_count(names); i++) {
        (void)printf("loaded " STR_FMT "\n", STR_ARG(val_text(val_at(names, i))));
    }
    return EXIT_OK;
}

static int list(struct cli *cli)
{
    struct val answer;
    struct err err;
    if (control_call(cli, S("GET"), S("/images"), &answer, &err) < 0) {
        cli_error("image list: %s", err.msg);
        return err.code == ERR_NOT_FOUND ? EXIT_NOT_RUNNING : EXIT_FAILED;
    }
    if (cli->has_json) {
        auto_buf struct buf text;
        buf_init(&text, TEXT_BYTES_MAX);
        (void)json_write_pretty(&text, &answer);
        (void)printf(STR_FMT "\n", STR_ARG(buf_str(&text)));
        return EXIT_OK;
    }
    const struct val *images = val_get(&answer, S("images"));
    (void)printf("%-60s %-14s %s\n", "NAME", "ID", "SIZE");
    for (size_t i = 0; i < val_count(images); i++) {
        const struct val *image = val_at(images, i);
        const struct val *names = val_get(image, S("names"));
        struct str id = val_text_at(image, "id");
        id = str_starts(id, S("sha256:")) ? str_sub(id, 7, 7 + ID_SHOWN) : id;
        bool has_tag = false;
        for (size_t k = 0; k < val_count(names); k++) {
            has_tag = has_tag || str_find(val_text(val_at(names, k)), '@') < 0;
        }
        for (size_t k = 0; k == 0 || k < val_count(names); k++) {
            struct str name = val_count(names) == 0 ? S("<none>") : val_text(val_at(names, k));
            if (has_tag && str_find(name, '@') >= 0) {
                continue; /* told by --json */
            }
            (void)printf("%-60.*s %-14.*s %.1f MB\n", STR_ARG(name), STR_ARG(id),
                         (double)val_number_at(image, "bytes", 0) / 1e6);
        }
    }
    return EXIT_OK;
}

static int remove_image(struct cli *cli, struct str name)
{
    struct val answer;
    struct err err;
    if (control_call(cli, S("DELETE"), query(cli, "/images?name=", name), &answer, &err) < 0) {
        cli_error("image remove: %s", err.msg);
        return err.code == ERR_NOT_FOUND ? EXIT_NOT_RUNNING : EXIT_FAILED;
    }
    (void)printf("removed " STR_FMT "\n", STR_ARG(name));
    return EXIT_OK;
}

static int prune(struct cli *cli)
{
    struct val answer;
    struct err err;
    struct str path = cli->is_all ? S("/prune?all=true") : S("/prune");
    if (control_call(cli, S("POST"), path, &answer, &err) < 0) {
        cli_error("image prune: %s", err.msg);
        return err.code == ERR_NOT_FOUND ? EXIT_NOT_RUNNING : EXIT_FAILED;
    }
    const struct val *names = val_get(&answer, S("names"));
    for (size_t i = 0; i < val_count(names); i++) {
        (void)printf("removed " STR_FMT "\n", STR_ARG(val_text(val_at(names, i))));
    }
    return EXIT_OK;
}

/* name, function for each argument */
static const struct {
    const char *name;
    int (*each)(struct cli *cli, struct str argument);
} verbs[] = {
    {"pull",   image_pull_verb},
    {"load",   load           },
    {"remove", remove_image   }
};

int cmd_image(struct cli *cli)
{
    struct str verb = cli->args_count == 0 ? S("") : cli->args[0];
    if (str_eq(verb, S("list")) && cli->args_count == 1) {
        return list(cli);
    }
    if (str_eq(verb, S("prune")) && cli->args_count == 1) {
        return prune(cli);
    }
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (!str_eq(verb, str_of(verbs[i].name)) || cli->args_count < 2) {
            continue;
        }
        int r = EXIT_OK;
        for (size_t k = 1; r == EXIT_OK && k < cli->args_count; k++) {
            r = verbs[i].each(cli, cli->args[k]);
        }
        return r;
    }
    cli_error("image: expected `pull NAME...`, `load FILE...`, `list`, `remove NAME...` or "
              "`prune`");
    return EXIT_USAGE;
}
