// SPDX-License-Identifier: Apache-2.0
//
// The image worker's rights, given up before it reads the first byte from outside: whoever takes it
// over by an archive or a registry's answer gets no more of the machine than the images.
//
//   a root of its own   the store, and read-only: system libraries, names of hosts, certificates,
//   what reads lists Landlock            the same files; no /proc of other processes, no signals,
//   no listening (as the kernel has it) capabilities        those that give files to ids, and no
//   device nodes; no_new_privs seccomp             no other program, no tracing, mounting,
//   namespaces, keys, io_uring; sockets for TCP and UDP only limits              no core, few
//   descriptors, memory, sizes of files
#ifndef CORACLE_NODE_IMAGE_CONFINE_H
#define CORACLE_NODE_IMAGE_CONFINE_H

#include "base/err.h"

#include <stdbool.h>

struct image_reach {
    const char *store;        /* absolute */
    const char *const *reads; /* more files and folders; ended by NULL */
    bool has_network;
};

/* For this process and its children, for good. What the kernel doesn't have is left out; what it
 * refuses is an error. */
MUST_CHECK int image_confine(const struct image_reach *reach, struct err *err);
/* Without it the worker can look at processes of its own user. */
bool image_confine_has_landlock(void);

#endif
