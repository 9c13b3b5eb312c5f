// SPDX-License-Identifier: Apache-2.0
//
// The runtime of the program: a conmon per container keeps its log and its exit code, an OCI
// runtime (crun) makes it (spec/node.md 12, spec/machine.md 1). Both are found in PATH.
//
// The state directory holds oci/ (the OCI runtime's own state), exits/ (one file a dead container)
// and containers/ (id -> link to the bundle); a bundle holds config.json, state.json, the pid
// files, conmon's attach socket and control fifo. All of it may live on a tmpfs: containers don't
// outlive a boot either.
#ifndef CORACLE_NODE_RUNTIME_CONMON_H
#define CORACLE_NODE_RUNTIME_CONMON_H

#include "loop/loop.h"
#include "node/runtime.h"

struct runtime_conmon_config {
    const char *state_dir; /* /run/coracle; made when absent */
    bool has_cgroups;      /* false: limits can't be enforced here, containers run without */
    const char *cgroup;    /* "/coracle-default": where we may make cgroups; NULL = nowhere */
};

/* Synchronous, asks the OCI runtime for its version (4 ms). ERR_NOT_FOUND names the package that is
 * missing. Closed by its ops->close. */
struct runtime *runtime_conmon_open(struct loop *loop, const struct runtime_conmon_config *config,
                                    struct err *err);

/* What a streaming exec needs to call the OCI runtime itself; NULL when rt is another kind of
 * runtime. Borrowed, constant. */
struct oci_command {
    const char *path;           /* crun, where nothing can write to it */
    const char *const *envp;    /* says so to it */
    const char *root;           /* its state directory */
    const char *cgroup_manager; /* "cgroupfs" or "disabled" */
};
const struct oci_command *runtime_conmon_command(const struct runtime *rt);

/* Writes the process document for an exec in a bundle: the container's own process with argv and
 * terminal replaced. path is the file to write. */
MUST_CHECK int runtime_conmon_write_process(const char *bundle, const char *path,
                                            const struct val *argv, bool has_tty, struct err *err);

/* The error of an exec that never started its command: NOT_FOUND or DENIED when the text says that
 * the command can't be executed, else INTERNAL. */
int runtime_conmon_exec_error(struct err *err, struct str stderr_text);

#endif
