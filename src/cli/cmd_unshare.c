// SPDX-License-Identifier: Apache-2.0
//
// `coracle unshare -- COMMAND`: for a user's clusters, whose pods may write as other users than
// root: their files belong to sub-ids, which the user can neither read nor remove from outside.
#include "cli/internal.h"
#include "hull/hull.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 }; /* as shells have them */

static int run_inside(void *ctx)
{
    const struct cli *cli = ctx;
    char **argv = arena_alloc(cli->arena, (cli->args_count + 1) * sizeof *argv);
    for (size_t i = 0; i < cli->args_count; i++) {
        argv[i] = (char *)(uintptr_t)cli->args[i].p; /* of main's argv: NUL-terminated */
    }
    argv[cli->args_count] = NULL;
    (void)signal(SIGINT, SIG_DFL);
    (void)execvp(cli->args[0].p, argv);
    cli_error("unshare: run '" STR_FMT "': %s", STR_ARG(cli->args[0]), strerror(errno));
    return EXIT_NOT_FOUND;
}

int cmd_unshare(struct cli *cli)
{
    struct err err = {0};
    int status = 0;
    if (cli->args_count == 0) {
        cli_error("unshare: expected a command, as in `coracle unshare -- tar c .`");
        return EXIT_USAGE;
    }
    if (chdir(cluster_path(cli, "volumes")) < 0) {
        cli_error("unshare: '%s': %s; is there a cluster '" STR_FMT "'?",
                  cluster_path(cli, "volumes"), strerror(errno), STR_ARG(cli->name));
        return EXIT_NOT_RUNNING;
    }
    (void)signal(SIGINT, SIG_IGN); /* it is the command's */
    if (hull_unshare(run_inside, cli, &status, &err) < 0) {
        cli_error("unshare: %s", err.msg);
        return EXIT_FAILED;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status);
}
