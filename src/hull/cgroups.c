// SPDX-License-Identifier: Apache-2.0
//
// Cgroups are directories of the host: what a cluster made is taken away when it ends.
#include "hull/internal.h"

#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { CGROUP_DEPTH_MAX = 8 };

/* NOLINTNEXTLINE(misc-no-recursion): CGROUP_DEPTH_MAX */
static void remove_tree(int parent_fd, const char *name, int depth)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_type == DT_DIR && e->d_name[0] != '.' && depth < CGROUP_DEPTH_MAX) {
            remove_tree(dirfd(dir), e->d_name, depth + 1);
        }
    }
    (void)closedir(dir);
    (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

void cgroups_remove(const char *name)
{
    auto_free char *ours = xasprintf("coracle-%s", name);
    DIR *dir = opendir("/sys/fs/cgroup");
    if (dir == NULL) {
        return;
    }
    remove_tree(dirfd(dir), ours, 0); /* a v2 host */
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        int fd = e->d_name[0] == '.' || e->d_type != DT_DIR
                     ? -1
                     : openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            remove_tree(fd, ours, 0);
            (void)close(fd);
        }
    }
    (void)closedir(dir);
}

void hull_clean(const char *name)
{
    cgroups_remove(name);
}
