// SPDX-License-Identifier: Apache-2.0
//
// The disk's part of a volume, on a pool thread: directories, tmpfs, type checks, projected files,
// ownership (spec/node.md 4.1, 4.6). Knows no loop and no objects.
#ifndef CORACLE_NODE_VOLUME_DISK_H
#define CORACLE_NODE_VOLUME_DISK_H

#include "node/volume_files.h"

#include <stdbool.h>

enum volume_job_kind {
    JOB_EMPTY, /* a directory of ours */
    JOB_TMPFS,
    JOB_HOST,  /* a path of the node, checked by type */
    JOB_CLAIM, /* a claim's directory, made when absent */
    JOB_FILES
};

struct volume_job {
    enum volume_job_kind kind;
    const char *path;
    struct str type;  /* JOB_HOST: hostPath.type */
    int64_t size;     /* JOB_TMPFS, bytes */
    bool is_memory;   /* JOB_FILES: on a tmpfs */
    bool wants_group; /* fsGroup applies */
    bool is_on_mismatch;
    int64_t group; /* -1 = none */
    struct volume_files files;
    usec wall;
    uint64_t stamp;
    struct err err; /* the outcome */
};

/* ctx is a struct volume_job. */
void volume_job_run(void *ctx);

#endif
