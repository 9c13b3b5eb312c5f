// SPDX-License-Identifier: Apache-2.0
//
// The container runtime as an interface: conmon with an OCI runtime in the program
// (runtime_conmon.c), a fake in tests and simulation. Everything that takes time completes through
// callbacks from the loop. A container survives the death of this process; runtime_ops.adopt finds
// it again.
//
// Ids are unique for ever: "<pod uid>_<container>_<attempt>".
#ifndef CORACLE_NODE_RUNTIME_H
#define CORACLE_NODE_RUNTIME_H

#include "base/clock.h"
#include "base/str.h"
#include "data/val.h"

#include <stdbool.h>

struct runtime;

enum container_state { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED };

struct container_fact {
    struct str id;
    enum container_state state;
    int exit_code; /* exited: 0..255, 128 + signal; 137 and is_lost when nobody knows */
    bool is_oom;   /* the kernel killed a process of it for memory */
    bool is_lost;  /* the monitor died: the code is a guess */
    usec started_wall;
    usec finished_wall;
};

struct container_config {
    struct str id;
    struct str bundle;     /* directory for config.json and the runtime's files; made by create */
    struct str rootfs;     /* mounted root file system, absolute */
    const struct val *oci; /* the OCI config.json document, root.path included */
    struct str log_path;   /* CRI log file; its directory exists */
    bool has_stdin;
    bool is_stdin_once;
    bool has_tty;
};

typedef void runtime_done_fn(void *ctx, const struct err *err); /* err NULL = done */

/* exit_code of an exec; output holds both streams, capped at 10 KiB. err: could not be run at all,
 * or ERR_TIMEOUT. */
typedef void runtime_exec_fn(void *ctx, int exit_code, struct str output, const struct err *err);

struct runtime_ops {
    /* A create of this id is to be expected: what takes time and needs neither oci nor rootfs may
     * begin. Tells nothing, fails silently, lapses by itself when no create comes. NULL is fine. */
    void (*prepare)(struct runtime *rt, const struct container_config *config);
    /* Makes the container, not started. Error codes: NOT_FOUND and DENIED = the command can't be
     * executed; others as they come. */
    void (*create)(struct runtime *rt, const struct container_config *config, runtime_done_fn *done,
                   void *ctx);
    void (*start)(struct runtime *rt, struct str id, runtime_done_fn *done, void *ctx);
    /* Sends a signal to its first process; a container that is gone is fine. */
    void (*kill)(struct runtime *rt, struct str id, int signal, runtime_done_fn *done, void *ctx);
    /* Removes an exited (or created) container and its bundle. Absent is fine. */
    void (*remove)(struct runtime *rt, struct str id, runtime_done_fn *done, void *ctx);
    /* Runs argv inside, with the container's environment, for probes and hooks; killed at timeout.
     */
    void (*exec)(struct runtime *rt, struct str id, const struct val *argv, usec timeout,
                 runtime_exec_fn *done, void *ctx);
    /* Every container that exists on this machine, from an earlier brain too; called once at start.
     */
    void (*adopt)(struct runtime *rt, void (*each)(void *ctx, const struct container_fact *fact),
                  runtime_done_fn *done, void *ctx);
    void (*close)(struct runtime *rt); /* containers go on */
};

struct runtime {
    const struct runtime_ops *ops;
    /* Set by the owner before the first call: told of each exit, from the loop. */
    void (*exited)(void *ctx, const struct container_fact *fact);
    void *exited_ctx;
    struct str name;    /* "crun" */
    struct str version; /* "1.8.1" */
};

#endif
