// SPDX-License-Identifier: Apache-2.0
//
// Root file systems: overlay of an image's layers and a fresh upper directory. Layers are named by
// descriptor ("/proc/self/fd/7"), so that 128 of them fit into the one page that mount(2) takes.
// userxattr always (layers carry user.overlay marks), volatile always: an upper directory is never
// used again after a crash.
#include "base/fd.h"
#include "base/mem.h"
#include "node/blob_stream.h"
#include "node/image_load.h"
#include "node/image_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

enum { MOUNT_OPTIONS_MAX = 4095 };

/* uses/<hash of dir>: a link to dir, preceded by the image's id: "sha256:…" + dir. */
static char *use_path(const struct image_store *store, const char *dir)
{
    char digest[DIGEST_TEXT_MAX];
    digest_of(str_of(dir), digest);
    return xasprintf("%s/uses/%s", store->dir, digest + 7);
}

bool rootfs_is_used(const struct image_store *store, struct str id)
{
    auto_free char *path = xasprintf("%s/uses", store->dir);
    DIR *uses = opendir(path);
    bool is_used = false;
    for (struct dirent *e = uses == NULL ? NULL : readdir(uses); e != NULL && !is_used;
         e = readdir(uses)) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(dirfd(uses), e->d_name, target, sizeof target - 1);
        if (n <= DIGEST_TEXT_MAX - 1) {
            continue;
        }
        target[n] = '\0';
        const char *dir = target + DIGEST_TEXT_MAX - 1;
        if (access(dir, F_OK) < 0) {
            (void)unlinkat(dirfd(uses), e->d_name, 0);
        } else {
            is_used = str_starts(str_of(target), id);
        }
    }
    if (uses != NULL) {
        (void)closedir(uses);
    }
    return is_used;
}

struct layer_fds {
    int fds[IMAGE_LAYERS_MAX + 2];
    size_t count;
};

static int add_option(struct layer_fds *all, struct buf *options, const char *key, const char *path,
                      struct err *err)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, "open '%s'", path);
    }
    all->fds[all->count++] = fd;
    (void)buf_addf(options, "%s/proc/self/fd/%d", key, fd);
    return 0;
}

static int mount_overlay(const struct image_store *store, const struct image_entry *e,
                         const char *dir, struct err *err)
{
    struct layer_fds all = {.count = 0};
    auto_buf struct buf options;
    buf_init(&options, MOUNT_OPTIONS_MAX);
    static const struct str empty = {"empty", 5};
    const struct str *layers = e->layers_count == 0 ? &empty : e->layers;
    size_t count = e->layers_count == 0 ? 1 : e->layers_count;
    int r = 0;
    (void)buf_add(&options, S("userxattr,volatile"));
    for (size_t i = count; r == 0 && i-- > 0;) {
        auto_free char *layer = xasprintf("%s/layers/" STR_FMT, store->dir, STR_ARG(layers[i]));
        r = add_option(&all, &options, i + 1 == count ? ",lowerdir=" : ":", layer, err);
    }
    auto_free char *upper = xasprintf("%s/upper", dir);
    auto_free char *work = xasprintf("%s/work", dir);
    auto_free char *target = xasprintf("%s/rootfs", dir);
    r = r < 0 ? r : add_option(&all, &options, ",upperdir=", upper, err);
    r = r < 0 ? r : add_option(&all, &options, ",workdir=", work, err);
    if (r == 0 && options.over) {
        r = err_set(err, ERR_LIMIT, "too many layers to mount");
    }
    if (r == 0 && mount("overlay", target, "overlay", 0, options.p) < 0) {
        r = err_errno(err, "mount overlay of %zu layers at '%s'", count, target);
    }
    for (size_t i = 0; i < all.count; i++) {
        (void)close(all.fds[i]);
    }
    return r;
}

int rootfs_mount(struct image_store *store, struct str ref, const char *dir, struct err *err)
{
    static const char *const parts[] = {"rootfs", "upper", "work"};
    const struct image *image = image_find(store, ref);
    if (image == NULL) {
        return err_set(err, ERR_NOT_FOUND, "image \"" STR_FMT "\" not found", STR_ARG(ref));
    }
    const struct image_entry *e = map_find(&store->images, image->id);
    auto_free char *use = use_path(store, dir);
    auto_free char *target = xasprintf(STR_FMT "%s", STR_ARG(image->id), dir);
    int r = rootfs_unmount(store, dir, err);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(parts); i++) {
        auto_free char *path = xasprintf("%s/%s", dir, parts[i]);
        r = dir_make_all(path, 0755, err);
    }
    if (r == 0 && symlink(target, use) < 0) {
        r = err_errno(err, "'%s'", use);
    }
    r = r < 0 ? r : mount_overlay(store, e, dir, err);
    if (r < 0) {
        struct err second;
        if (rootfs_unmount(store, dir, &second) < 0) {
            return r; /* the first error is the one that explains */
        }
    }
    return r;
}

int rootfs_unmount(struct image_store *store, const char *dir, struct err *err)
{
    auto_free char *use = use_path(store, dir);
    auto_free char *target = xasprintf("%s/rootfs", dir);
    if (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT) {
        return err_errno(err, "unmount '%s'", target);
    }
    static const char *const parts[] = {"rootfs", "upper", "work"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        auto_free char *path = xasprintf("%s/%s", dir, parts[i]);
        if (dir_remove_all(AT_FDCWD, path, err) < 0) {
            return err->code;
        }
    }
    (void)unlink(use);
    return rmdir(dir) < 0 && errno != ENOENT && errno != ENOTEMPTY
               ? err_errno(err, "rmdir '%s'", dir)
               : 0;
}
