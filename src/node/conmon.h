// SPDX-License-Identifier: Apache-2.0
//
// What the files of the conmon runtime share. Not for the rest of the room: that is
// runtime_conmon.h.
//
// A call of runtime_ops is an `op` from its start to its done; all are on rt->ops, so that close
// can drop them. An op's timer also carries results that are known at once, since done never comes
// from inside the call.
#ifndef CORACLE_NODE_CONMON_H
#define CORACLE_NODE_CONMON_H

#include "base/list.h"
#include "base/map.h"
#include "base/timefmt.h"
#include "node/command.h"
#include "node/container_record.h"
#include "node/runtime_conmon.h"

enum {
    SPEC_BYTES_MAX = 4 << 20,      /* an OCI config.json: 1,000 variables of 1 KiB and room */
    COMMAND_OUTPUT_MAX = 64 << 10, /* what the OCI runtime says when it fails */
    EXEC_OUTPUT_MAX = 10 << 10,    /* a probe's output, as upstream keeps it */
};

struct runtime_conmon {
    struct runtime base;
    struct loop *loop;
    struct oci_command command;
    char *state_dir;
    char *oci;    /* state_dir/oci */
    char *exits;  /* state_dir/exits */
    char *links;  /* state_dir/containers */
    char *crun;   /* path */
    char *sealed; /* the same program where nothing can write to it; crun when that can't be had */
    char *path_var;
    const char *envp[3]; /* of the OCI runtime */
    char *own_group;     /* v1: the cgroup that this process moves into; NULL = none */
    usec lead_until;     /* conmon_create.c: our moves between cgroups, ahead of crun's */
    struct timer lead_timer;
    struct leader *leader;
    char *conmon; /* path */
    char *name;
    char *version;
    struct map containers; /* id -> struct container */
    struct list ops;
    int inotify_fd;
    struct io *inotify_io;
    struct timer rotation;
    uint64_t exec_serial;
};

struct op {
    struct list node;
    struct runtime_conmon *rt;
    char *id;
    runtime_done_fn *done;
    runtime_exec_fn *exec_done;
    void *ctx;
    void (*adopt_each)(void *ctx, const struct container_fact *fact);
    struct timer timer;
    struct command *command;
    struct err err; /* code 0 = fine */
    /* create */
    struct container *container; /* owned until it is in the map */
    struct child *conmon;
    struct io *sync_io;
    int sync_fd;
    struct buf sync;
    int start_fd;     /* the monitor waits for a byte from here; -1 = it has it */
    bool is_prepared; /* no create has asked for it yet */
    pid_t pid;        /* 0 = not told yet */
    bool is_conmon_daemon;
    /* remove */
    int rounds; /* waited for the monitor's end */
    /* exec */
    char *process_file;
    char *pid_file;
    char *exec_text; /* the command, for messages */
    char exec_span[TIME_TEXT_MAX];
};

/* A new op on rt's list. */
struct op *op_new(struct runtime_conmon *rt, struct str id, runtime_done_fn *done, void *ctx);
/* Takes the op off, calls done with op->err and frees it. */
void op_finish(struct op *op);
/* op_finish in the next turn, with the error that is set in op->err. */
void op_finish_soon(struct op *op);
/* Frees without a call: for close. */
void op_free(struct op *op);
/* Runs the OCI runtime with args (NULL-terminated, at most 6); false with op->err set. */
bool op_call_oci(struct op *op, const char *const *args, command_done_fn *done);
/* A failed call's message into op->err: the runtime's words, else the exit code. */
void op_fail_oci(struct op *op, const char *verb, const struct command_result *result);

/* Watches the monitor of a container (conmon_fd); its end is an exit or a loss. */
MUST_CHECK int conmon_watch(struct runtime_conmon *rt, struct container *c, struct err *err);
/* Takes the files of a container and its record away. */
void conmon_forget(struct runtime_conmon *rt, const char *id, const char *bundle);
/* Has the container's exit file come? Then its state is EXITED. */
bool conmon_read_exit(const struct runtime_conmon *rt, struct container *c);
/* The monitor is gone without an exit file: ends the container, EXITED and lost. */
void conmon_lose(struct runtime_conmon *rt, struct container *c);

/* conmon_create.c, for close. */
void conmon_stop_leading(struct runtime_conmon *rt);

/* Slots of runtime_ops. */
void conmon_prepare(struct runtime *base, const struct container_config *config);
void conmon_create(struct runtime *base, const struct container_config *config,
                   runtime_done_fn *done, void *ctx);
void conmon_exec(struct runtime *base, struct str id, const struct val *argv, usec timeout,
                 runtime_exec_fn *done, void *ctx);
void conmon_adopt(struct runtime *base, void (*each)(void *ctx, const struct container_fact *fact),
                  runtime_done_fn *done, void *ctx);

#endif
