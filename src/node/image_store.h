// SPDX-License-Identifier: Apache-2.0
//
// What image_store.c, image_job.c and rootfs.c share; the rest of the room uses image.h.
#ifndef CORACLE_NODE_IMAGE_STORE_H
#define CORACLE_NODE_IMAGE_STORE_H

#include "base/list.h"
#include "base/map.h"
#include "node/image.h"

enum { IMAGE_NAMES_MAX = 1024 /* of one archive */ };

/* Below the store: blobs of pulls, named by their digests, as an OCI layout has them. */
#define DOWNLOAD_DIR "download"
#define BLOBS_DIR    "download/blobs/sha256"

struct image_entry {
    struct image image;
    struct arena *arena; /* owns the image's strings */
    struct doc *config;
    struct doc *access; /* what image.access is */
    struct str *layers; /* bottom first: names below layers/ */
    size_t layers_count;
    usec seen_at; /* 0 = it was there at start */
    usec used_at; /* when image_gc saw it last in use */
};

struct image_store {
    struct loop *loop;
    char *dir;
    struct map images; /* id -> struct image_entry */
    struct list jobs;  /* workers, those that run first */
    struct timer kick;
    image_launch_fn *launch; /* NULL = a child of this process */
    void *launch_ctx;
};

/* Does a root file system hold this image? Uses of directories that are gone don't count. */
bool rootfs_is_used(const struct image_store *store, struct str id);

/* Rows of a worker's answer become images; the index is written. */
MUST_CHECK int image_store_add(struct image_store *store, const struct val *rows, struct err *err);
MUST_CHECK int image_store_write(const struct image_store *store, struct err *err); /* the index */
/* access NULL = everybody */
void image_entry_set_access(struct image_entry *e, const struct val *access);
/* Takes away layers that no image names, temporary files, and blobs as told: WHOLE leaves those
 * that a later pull can go on with. Does nothing while a worker runs. */
enum sweep_blobs { SWEEP_NONE, SWEEP_WHOLE, SWEEP_ALL };
void image_store_sweep(const struct image_store *store, enum sweep_blobs blobs);
/* Ends all workers; nobody is called. */
void image_jobs_drop(struct image_store *store);

#endif
