// SPDX-License-Identifier: Apache-2.0
//
// What image_store.c and rootfs.c share; the rest of the room uses image.h.
#ifndef CORACLE_NODE_IMAGE_STORE_H
#define CORACLE_NODE_IMAGE_STORE_H

#include "base/list.h"
#include "base/map.h"
#include "node/image.h"

enum { IMAGE_NAMES_MAX = 1024 /* of one archive */ };

struct image_entry {
    struct image image;
    struct arena *arena; /* owns the image's strings */
    struct doc *config;
    struct str *layers; /* bottom first: names below layers/ */
    size_t layers_count;
};

struct image_store {
    struct loop *loop;
    char *dir;
    struct map images; /* id -> struct image_entry */
    struct list loads; /* the first one runs */
    struct timer kick;
    const char *worker; /* program of the worker; NULL = this one (tests set it) */
};

/* Does a root file system hold this image? Uses of directories that are gone don't count. */
bool rootfs_is_used(const struct image_store *store, struct str id);

#endif
