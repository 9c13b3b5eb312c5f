// SPDX-License-Identifier: Apache-2.0
//
// A short child process with its output collected: calls of the OCI runtime, probes and hooks.
#ifndef CORACLE_NODE_COMMAND_H
#define CORACLE_NODE_COMMAND_H

#include "base/str.h"
#include "loop/loop.h"

struct command;

struct command_options {
    const char *const *argv;
    const char *const *envp; /* NULL = ours */
    size_t output_max;       /* both streams in order of arrival; what goes over is dropped */
    usec timeout;            /* 0 = none */
    const char *pid_file;    /* at timeout the process group named there dies; may be NULL */
};

struct command_result {
    int code; /* 0..255, 128 + signal */
    bool is_timeout;
    struct str output; /* borrowed for the call */
};

typedef void command_done_fn(void *ctx, const struct command_result *result);

/* done comes once, from the loop; the command is freed after it. NULL with err when it can't be
 * started. */
struct command *command_start(struct loop *loop, const struct command_options *options,
                              command_done_fn *done, void *ctx, struct err *err);
/* Forgets the callback; the process goes on. NULL is fine. */
void command_cancel(struct command *command);

/* Absolute path of a program in PATH (and the usual sbin directories). Caller frees; NULL when
 * there is none. */
char *program_find(const char *name);

#endif
