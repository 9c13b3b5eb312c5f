// SPDX-License-Identifier: Apache-2.0
//
// `coracle kubeconfig`: prints what `coracle up` adds to the user's file.
#include "base/fd.h"
#include "base/limits.h"
#include "cli/internal.h"
#include "data/yaml.h"

#include <fcntl.h>
#include <stdio.h>

int cmd_kubeconfig(struct cli *cli)
{
    struct err err = {0};
    auto_buf struct buf port;
    auto_buf struct buf text;
    buf_init(&port, 64);
    buf_init(&text, FILE_BYTES_MAX);
    struct val config;
    if (file_read(AT_FDCWD, cluster_path(cli, "port"), &port, &err) < 0) {
        cli_error("cluster '" STR_FMT "' is not there; make it with `coracle up`",
                  STR_ARG(cli->name));
        return EXIT_NOT_RUNNING;
    }
    struct str server =
        arena_fmt(cli->arena, "https://127.0.0.1:" STR_FMT, STR_ARG(str_trim(buf_str(&port))));
    if (kubeconfig_make(cli, server, &config, &err) < 0 || yaml_write(&text, &config, &err) < 0) {
        cli_error("%s", err.msg);
        return EXIT_FAILED;
    }
    (void)fwrite(text.p, 1, text.n, stdout);
    return EXIT_OK;
}
