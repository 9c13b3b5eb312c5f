// SPDX-License-Identifier: Apache-2.0
//
// Id maps of a user namespace (user_namespaces(7)): the user becomes root inside; with sub-ids from
// /etc/subuid and /etc/subgid ids 1 to 65536 exist too, written by the setuid helpers newuidmap and
// newgidmap (package uidmap).
#include "hull/internal.h"

#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct id_range {
    uint64_t start;
    uint64_t count;
};

/* First range of "name:start:count" lines for this user, by name or by number. */
static bool find_range(const char *path, struct id_range *ret)
{
    auto_buf struct buf text;
    buf_init(&text, 1 << 20);
    struct err err;
    if (file_read(AT_FDCWD, path, &text, &err) < 0) {
        return false;
    }
    const struct passwd *user = getpwuid(getuid());
    char number[24];
    (void)snprintf(number, sizeof number, "%u", getuid());
    struct str rest = buf_str(&text);
    while (rest.p != NULL) {
        struct str line = str_cut(&rest, '\n');
        struct str name = str_cut(&line, ':');
        bool is_ours =
            str_eq(name, str_of(number)) || (user != NULL && str_eq(name, str_of(user->pw_name)));
        if (is_ours && line.p != NULL && str_to_u64(str_cut(&line, ':'), &ret->start) == 0 &&
            line.p != NULL && str_to_u64(str_trim(line), &ret->count) == 0 && ret->count >= 1) {
            return true;
        }
    }
    return false;
}

static int run_helper(const char *helper, pid_t pid, unsigned own, const struct id_range *range)
{
    char args[6][24];
    (void)snprintf(args[0], sizeof args[0], "%d", (int)pid);
    (void)snprintf(args[1], sizeof args[1], "%u", own);
    (void)snprintf(args[2], sizeof args[2], "%llu", (unsigned long long)range->start);
    (void)snprintf(args[3], sizeof args[3], "%llu", (unsigned long long)range->count);
    pid_t child = fork();
    if (child == 0) {
        (void)execlp(helper, helper, args[0], "0", args[1], "1", "1", args[2], args[3],
                     (char *)NULL);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : -1;
}

static int write_single(pid_t pid, const char *file, unsigned own, struct err *err)
{
    char path[64];
    char line[48];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int n = snprintf(line, sizeof line, "0 %u 1", own);
    return file_put(AT_FDCWD, path, (struct str){line, (size_t)n}, err);
}

int idmap_write(pid_t pid, struct err *err)
{
    struct id_range uids;
    struct id_range gids;
    if (find_range("/etc/subuid", &uids) && find_range("/etc/subgid", &gids) &&
        run_helper("newuidmap", pid, getuid(), &uids) == 0) {
        if (run_helper("newgidmap", pid, getgid(), &gids) < 0) {
            return err_set(err, ERR_IO, "newgidmap failed: is package uidmap whole?");
        }
        return 0;
    }
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/setgroups", (int)pid);
    if (file_put(AT_FDCWD, path, S("deny"), err) < 0 ||
        write_single(pid, "uid_map", geteuid(), err) < 0 ||
        write_single(pid, "gid_map", getegid(), err) < 0) {
        return err_wrap(err, "map ids of the user namespace");
    }
    return 0;
}

bool hull_has_one_id(void)
{
    auto_buf struct buf text;
    buf_init(&text, 4096);
    struct err err;
    uint64_t count = 0;
    if (file_read(AT_FDCWD, "/proc/self/uid_map", &text, &err) < 0) {
        return false;
    }
    struct str line = str_trim(buf_str(&text));
    bool is_one_line = str_find(line, '\n') < 0;
    return is_one_line &&
           str_to_u64(str_sub(line, (size_t)(str_rfind(line, ' ') + 1), line.n), &count) == 0 &&
           count == 1;
}
