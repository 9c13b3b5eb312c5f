// SPDX-License-Identifier: Apache-2.0
//
// Images: a store of layers and configurations on disk, loaded from archives (OCI archive, docker
// archive, OCI layout directory) or pulled from registries, and the overlay root file systems that
// containers get from it.
//
// Invariants: (1) a layer directory is complete or absent: unpacked beside, fsynced, renamed; (2) a
// layer is stored once, under its chain id; (3) nothing in use is removed; (4) no path from an
// archive is ever followed outside its root (openat2 with RESOLVE_IN_ROOT).
#ifndef CORACLE_NODE_IMAGE_H
#define CORACLE_NODE_IMAGE_H

#include "data/val.h"
#include "loop/loop.h"

struct image_store;

/* What a container needs to know; strings live as long as the image is in the store. */
struct image {
    struct str id; /* "sha256:…" of the configuration */
    /* Normalised references: docker.io/library/busybox:1.36, and where a registry knows it,
     * docker.io/library/busybox@sha256:… */
    struct str *names;
    size_t names_count;
    struct str digest; /* of its manifest or index */
    uint64_t bytes;
    const struct val *config; /* the image configuration's "config": Env, Entrypoint, Cmd, User … */
    /* Who may use it, by repository; NULL = everybody: see image_access.h. */
    const struct val *access;
};

/* dir is made when absent. Reads the index; ERR_CORRUPT names the file. */
struct image_store *image_store_open(struct loop *loop, const char *dir, struct err *err);
const char *image_store_dir(const struct image_store *store);
void image_store_close(struct image_store *store);
/* Where pulls run: launch starts "image-worker" where registries can be reached, with fd (not
 * owned) as its standard input and output. Without it the worker is a child of this process. */
typedef int image_launch_fn(void *ctx, int fd, struct err *err);
void image_store_launch_by(struct image_store *store, image_launch_fn *launch, void *ctx);

/* By reference, id or digest; NULL when absent. Borrowed until the store's next change. */
const struct image *image_find(struct image_store *store, struct str ref);
bool image_has_name(const struct image *image, struct str name); /* normalised */
/* The name with a digest that ref's repository knows this image by; empty when it never was pulled
 * from there. */
struct str image_digest_name(const struct image *image, struct str ref);
void image_each(struct image_store *store, void (*each)(void *ctx, const struct image *image),
                void *ctx);

/* Loads an archive or layout directory through a short-lived worker process; done gets the names
 * that were loaded, or the first error, naming file and entry. Nothing is changed on error. */
typedef void image_loaded_fn(void *ctx, const struct str *names, size_t count,
                             const struct err *err);
void image_load(struct image_store *store, const char *path, image_loaded_fn *done, void *ctx);
/* Pulls an image through a worker process. registries.yaml beside the store's directory says where
 * from; documents is a list of docker configurations (texts) with credentials, or NULL. progress
 * (may be NULL, must not cancel) gets {"layer", "bytes", "size", "state"}: waiting, downloading,
 * unpacking, done or exists. done gets the image and the leave, borrowed, or the
 * error. Pulls of the same image
 * with the same credentials at the same time are one. */
struct image_pull;
typedef void image_progress_fn(void *ctx, const struct val *progress);
/* By whose leave: document counts those of the call, -1 = without, or by registries.yaml's; hash as
 * of credential_hash. */
struct image_leave {
    int document;
    struct str hash;
};
typedef void image_pulled_fn(void *ctx, const struct image *image, const struct image_leave *leave,
                             const struct err *err);
struct image_pull *image_pull(struct image_store *store, struct str ref,
                              const struct val *documents, image_progress_fn *progress,
                              image_pulled_fn *done, void *ctx);
void image_pull_cancel(struct image_pull *pull); /* done is not called any more */

/* ERR_NOT_FOUND, or ERR_CONFLICT while a root file system made from it is mounted. */
MUST_CHECK int image_remove(struct image_store *store, struct str ref, struct err *err);
/* Removes images that no root file system is made from and that have no tag (is_all: tags too),
 * and what pulls left half fetched. ret: a list of their names, in arena. */
MUST_CHECK int image_prune(struct image_store *store, bool is_all, struct arena *arena,
                           struct val *ret, struct err *err);

/* Mounts overlay(layers + a fresh upper) at dir/rootfs, with dir/upper and dir/work, and keeps the
 * image in use until rootfs_unmount. Synchronous, 0.3 ms. */
MUST_CHECK int rootfs_mount(struct image_store *store, struct str ref, const char *dir,
                            struct err *err);
/* Unmounts and removes dir. Absent is fine. */
MUST_CHECK int rootfs_unmount(struct image_store *store, const char *dir, struct err *err);

/* Entry point of the worker process ("coracle image-worker"): never returns. */
_Noreturn void image_worker_main(void);

#endif
