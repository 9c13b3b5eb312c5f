// SPDX-License-Identifier: Apache-2.0
//
// How a session finds the container it is about. The pod worker fills this table; sessions know
// nothing else of pods.
#ifndef CORACLE_NODE_POD_LOOKUP_H
#define CORACLE_NODE_POD_LOOKUP_H

#include "base/str.h"

#include <stdbool.h>

/* Strings are borrowed until the loop's turn ends. */
struct pod_container {
    struct str id;       /* of the runtime; empty = no container was ever made */
    struct str bundle;   /* its directory */
    struct str log_path; /* current CRI log file */
    bool is_running;
    bool has_stdin, is_stdin_once, has_tty; /* of the container's spec */
};

struct pod_lookup {
    void *ctx;
    /* Finds a container; `container` empty = the only one, or the default-container annotation.
     * is_previous = the instance before the last restart. Errors carry the texts of spec/api.md
     * 7.1, 7.7 and spec/node.md 6: NOT_FOUND `pods "p" not found`; INVALID `container X is not
     * valid for pod P`, `a container name must be specified for pod P, choose one of: [a b]`,
     * `previous terminated container "c" in pod "p" not found`, `container "c" in pod "p" is
     * waiting to start: ContainerCreating` (is_log only; for exec and attach a container that does
     * not run is found with is_running false). */
    int (*container)(void *ctx, struct str ns, struct str pod, struct str container,
                     bool is_previous, bool is_log, struct pod_container *ret, struct err *err);
    /* Is this very container (runtime id) still running? Asked by log followers at a pause. */
    bool (*is_running)(void *ctx, struct str id);
    /* Path of the pod's network namespace; empty = the node's own (hostNetwork). */
    int (*netns)(void *ctx, struct str ns, struct str pod, struct str *ret, struct err *err);
};

#endif
