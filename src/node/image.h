// SPDX-License-Identifier: Apache-2.0
//
// Images: a store of layers and configurations on disk, loaded from archives (OCI archive, docker
// archive, OCI layout directory), and the overlay root file systems that containers get from it.
//
// Invariants: (1) a layer directory is complete or absent: unpacked beside, fsynced, renamed; (2) a
// layer is stored once, under its chain id; (3) nothing in use is removed; (4) no path from an
// archive is ever followed outside its root (openat2 with RESOLVE_IN_ROOT, no symlink is followed
// while writing).
#ifndef CORACLE_NODE_IMAGE_H
#define CORACLE_NODE_IMAGE_H

#include "data/val.h"
#include "loop/loop.h"

struct image_store;

/* What a container needs to know; strings live as long as the image is in the store. */
struct image {
    struct str id;     /* "sha256:…" of the configuration */
    struct str *names; /* normalised references, docker.io/library/busybox:1.36 */
    size_t names_count;
    struct str digest; /* manifest digest */
    uint64_t bytes;
    const struct val *config; /* the image configuration's "config": Env, Entrypoint, Cmd, User … */
};

/* dir is made when absent. Reads the index; ERR_CORRUPT names the file. */
struct image_store *image_store_open(struct loop *loop, const char *dir, struct err *err);
void image_store_close(struct image_store *store);

/* "busybox" to "docker.io/library/busybox:latest". ERR_INVALID with "couldn't parse image name …".
 */
MUST_CHECK int image_ref_normalise(struct arena *arena, struct str text, struct str *ret,
                                   struct err *err);
/* imagePullPolicy when the pod says none (spec/node.md 5.1): "Always" or "IfNotPresent". */
struct str image_default_pull_policy(struct str ref);

/* By reference, id or digest; NULL when absent. Borrowed until the store's next change. */
const struct image *image_find(struct image_store *store, struct str ref);
void image_each(struct image_store *store, void (*each)(void *ctx, const struct image *image),
                void *ctx);

/* Loads an archive or layout directory through a short-lived worker process; done gets the names
 * that were loaded, or the first error, naming file and entry. Nothing is changed on error. */
typedef void image_loaded_fn(void *ctx, const struct str *names, size_t count,
                             const struct err *err);
void image_load(struct image_store *store, const char *path, image_loaded_fn *done, void *ctx);
/* ERR_NOT_FOUND, or ERR_CONFLICT while a root file system made from it is mounted. */
MUST_CHECK int image_remove(struct image_store *store, struct str ref, struct err *err);

/* Mounts overlay(layers + a fresh upper) at dir/rootfs, with dir/upper and dir/work, and keeps the
 * image in use until rootfs_unmount. Synchronous, 0.3 ms. */
MUST_CHECK int rootfs_mount(struct image_store *store, struct str ref, const char *dir,
                            struct err *err);
/* Unmounts and removes dir. Absent is fine. */
MUST_CHECK int rootfs_unmount(struct image_store *store, const char *dir, struct err *err);

/* Entry point of the worker process ("coracle image-worker …"): never returns. */
_Noreturn void image_worker_main(int argc, char **argv);

#endif
