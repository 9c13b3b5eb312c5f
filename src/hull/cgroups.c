// SPDX-License-Identifier: Apache-2.0
//
// Cgroups are directories of the host: what a cluster made is taken away when it ends.
#include "hull/internal.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { CGROUP_DEPTH_MAX = 8 };

/* False when something of that name is busy. */
/* NOLINTNEXTLINE(misc-no-recursion): CGROUP_DEPTH_MAX */
static bool remove_tree(int parent_fd, const char *name, int depth)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return fd < 0;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_type == DT_DIR && e->d_name[0] != '.' && depth < CGROUP_DEPTH_MAX) {
            (void)remove_tree(dirfd(dir), e->d_name, depth + 1);
        }
    }
    (void)closedir(dir);
    /* Another user's group of the same name is not ours to wait for. */
    return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno != EBUSY;
}

bool cgroups_remove(const char *name)
{
    auto_free char *ours = xasprintf("coracle-%s", name);
    DIR *dir = opendir("/sys/fs/cgroup");
    if (dir == NULL) {
        return true;
    }
    bool is_gone = remove_tree(dirfd(dir), ours, 0); /* a v2 host */
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        int fd = e->d_name[0] == '.' || e->d_type != DT_DIR
                     ? -1
                     : openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            is_gone = remove_tree(fd, ours, 0) && is_gone;
            (void)close(fd);
        }
    }
    (void)closedir(dir);
    return is_gone;
}

/* A killed init gives up the lock before its children are gone: their groups are busy a little
 * longer. */
void hull_clean(const char *name)
{
    enum { STEP_MS = 20, STEPS_MAX = 250 };
    for (int i = 0; i < STEPS_MAX && !cgroups_remove(name); i++) {
        (void)poll(NULL, 0, STEP_MS);
    }
}
