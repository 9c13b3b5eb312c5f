// SPDX-License-Identifier: Apache-2.0
//
// The command line: `coracle VERB [options] [arguments]`. Commands are rows (cli.c); each has a
// file cmd_<verb>.c. Messages go to standard error as "coracle: …", naming what was expected and
// what to do next; results go to standard output.
#ifndef CORACLE_CLI_CLI_H
#define CORACLE_CLI_CLI_H

/* Exit codes that scripts can trust. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,      /* tried and failed */
    EXIT_USAGE = 2,       /* the command line is wrong; nothing was done */
    EXIT_NOT_RUNNING = 3, /* the cluster isn't running (status, down, image) */
    EXIT_RUNNING = 4      /* the cluster runs already (up) */
};

/* The version of the program, and of the Kubernetes API that it serves. */
#define CORACLE_VERSION    "0.1.0"
#define KUBERNETES_VERSION "1.35.0"

int cli_main(int argc, char **argv);

#endif
