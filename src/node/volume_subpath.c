// SPDX-License-Identifier: Apache-2.0
//
// Mount points of a pod: subPath binds, and taking everything away again. A subPath is resolved
// with openat2 beneath the volume's root and bound through the opened descriptor, so that a link
// which a container plants can't lead out (spec/node.md 4.4).
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/oci_spec.h"
#include "node/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOUNTINFO_BYTES_MAX = 16 << 20 };

static int open_below(const char *root, const char *path, struct err *err)
{
    auto_close int dir = open(root, O_PATH | O_CLOEXEC);
    if (dir < 0) {
        return err_errno(err, "open %s", root);
    }
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    return fd >= 0 ? fd : err_errno(err, "open subPath %s", path);
}

/* A component "..": refused as text, though the kernel would keep it beneath the root. */
static bool has_backstep(struct str path)
{
    bool found = false;
    while (path.p != NULL && !found) {
        found = str_eq(str_cut(&path, '/'), S(".."));
    }
    return found;
}

static int make_target(const char *target, bool is_dir, struct err *err)
{
    auto_free char *parent = xstrdup(target);
    *strrchr(parent, '/') = '\0';
    int rc = dir_make_all(parent, 0750, err);
    if (rc < 0) {
        return rc;
    }
    if (is_dir) {
        return mkdir(target, 0750) < 0 && errno != EEXIST ? err_errno(err, "mkdir %s", target) : 0;
    }
    int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_errno(err, "create %s", target);
    }
    (void)close(fd);
    return 0;
}

int volume_subpath(const struct pod *pod, struct str volume, struct str sub_path,
                   const char *container, size_t index, struct arena *arena, struct str *ret,
                   struct err *err)
{
    const char *root = volume_path(pod, volume);
    auto_free char *path = xstrndup(sub_path.p, sub_path.n);
    if (!root || sub_path.p[0] == '/' || has_backstep(sub_path)) {
        return err_set(err, ERR_INVALID,
                       "failed to prepare subPath for volumeMount \"" STR_FMT
                       "\" of container \"%s\"",
                       STR_ARG(volume), container);
    }
    struct err first = {0};
    auto_close int fd = open_below(root, path, &first);
    if (fd < 0 && first.code == ERR_NOT_FOUND) {
        if (beneath_make(root, sub_path, /*is_file=*/false, err) < 0) {
            return err->code;
        }
        fd = open_below(root, path, err);
    } else if (fd < 0) {
        *err = first;
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        return err_wrap(
            err, "failed to prepare subPath for volumeMount \"" STR_FMT "\" of container \"%s\"",
            STR_ARG(volume), container);
    }
    *ret = arena_fmt(arena, "%s/volume-subpaths/" STR_FMT "/%s/%zu", pod->dir, STR_ARG(volume),
                     container, index);
    (void)umount2(ret->p, MNT_DETACH | UMOUNT_NOFOLLOW);
    int rc = make_target(ret->p, S_ISDIR(st.st_mode), err);
    auto_free char *source = xasprintf("/proc/self/fd/%d", fd);
    if (rc == 0 && mount(source, ret->p, NULL, MS_BIND | MS_REC, NULL) < 0) {
        rc = err_errno(err, "bind subPath on %s", ret->p);
    }
    return rc;
}

/* --- taking away --- */

/* Undoes the octal escapes of mountinfo. */
static struct str unescape(struct str s, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 3 < s.n) {
            out[n++] = (char)((s.p[i + 1] - '0') * 64 + (s.p[i + 2] - '0') * 8 + s.p[i + 3] - '0');
            i += 3;
        } else {
            out[n++] = s.p[i];
        }
    }
    out[n] = '\0';
    return (struct str){out, n};
}

/* Mount points at or below prefix, or (infix) whose path below prefix holds infix. */
static int unmount_matching(const char *prefix, struct str infix, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, MOUNTINFO_BYTES_MAX);
    int rc = file_read(AT_FDCWD, "/proc/self/mountinfo", &text, err);
    if (rc < 0) {
        return rc;
    }
    struct str rest = str_trim(buf_str(&text));
    struct str dir = str_of(prefix);
    while (rest.n > 0) { /* from the last mount to the first: children before parents */
        ptrdiff_t line_at = str_rfind(rest, '\n');
        struct str line = str_sub(rest, (size_t)(line_at + 1), rest.n);
        rest = line_at < 0 ? S("") : str_sub(rest, 0, (size_t)line_at);
        for (int column = 0; column < 4; column++) {
            (void)str_cut(&line, ' ');
        }
        struct str escaped = str_cut(&line, ' ');
        char path[4096];
        if (escaped.n >= sizeof path) {
            continue;
        }
        struct str at = unescape(escaped, path);
        bool is_below = str_starts(at, dir) && (at.n == dir.n || at.p[dir.n] == '/') &&
                        (infix.n == 0 || str_search(str_sub(at, dir.n, at.n), infix) >= 0);
        if (is_below && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL) {
            rc = err_errno(err, "unmount %s", path);
        }
    }
    return rc;
}

int unmount_below(const char *dir, struct err *err)
{
    return unmount_matching(dir, S(""), err);
}

void volume_subpaths_unmount(const struct pod *pod, const char *container)
{
    bool has_any = false;
    const struct slot *slot = NULL;
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        if (str_eq(str_of(pod->facts.slots[i].name), str_of(container))) {
            slot = &pod->facts.slots[i];
        }
    }
    const struct val *mounts = slot ? val_get(slot->spec, S("volumeMounts")) : NULL;
    for (size_t i = 0; i < val_count(mounts); i++) {
        has_any = has_any || val_get(val_at(mounts, i), S("subPath")) ||
                  val_get(val_at(mounts, i), S("subPathExpr"));
    }
    if (!has_any) {
        return;
    }
    struct err err = {0};
    auto_free char *dir = xasprintf("%s/volume-subpaths", pod->dir);
    auto_free char *infix = xasprintf("/%s/", container);
    if (unmount_matching(dir, str_of(infix), &err) < 0) {
        log_warn("%s, ignoring", err.msg);
    }
}
