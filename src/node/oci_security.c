// SPDX-License-Identifier: Apache-2.0
//
// Who a container runs as and what it may: user, groups, capabilities, oom score.
#include "node/oci_spec.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct val *oci_security(const struct oci_input *in, struct str field)
{
    const struct val *own = val_get(val_get(in->container, S("securityContext")), field);
    return own ? own : val_get(val_path(in->pod, "spec.securityContext"), field);
}

/* --- files beneath a root --- */

int beneath_open(const char *root, const char *path, int flags, struct err *err)
{
    auto_close int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return err_errno(err, "open %s", root);
    }
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    return fd >= 0 ? fd : err_errno(err, "open %s in %s", path, root);
}

/* Makes one component in fd when it is absent. */
static int make_component(int fd, struct str name, bool is_file, struct err *err)
{
    char text[256];
    if (name.n >= sizeof text) {
        return err_set(err, ERR_INVALID, "path component \"" STR_FMT "\" is too long",
                       STR_ARG(name));
    }
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    if (is_file) {
        int made = openat(fd, text, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (made < 0 && errno != EEXIST) {
            return err_errno(err, "create %s", text);
        }
        if (made >= 0) {
            (void)close(made);
        }
        return 0;
    }
    if (mkdirat(fd, text, 0755) < 0 && errno != EEXIST) {
        return err_errno(err, "mkdir %s", text);
    }
    return 0;
}

int beneath_make(const char *root, struct str path, bool is_file, struct err *err)
{
    char so_far[4096] = ".";
    size_t n = 1;
    while (path.p) {
        struct str name = str_cut(&path, '/');
        if (name.n == 0 || str_eq(name, S("."))) {
            continue;
        }
        if (str_eq(name, S(".."))) {
            return err_set(err, ERR_INVALID, "path holds \"..\"");
        }
        while (path.p && path.n > 0 && path.p[0] == '/') {
            path = str_sub(path, 1, path.n);
        }
        bool is_last = !path.p || path.n == 0;
        int dir = beneath_open(root, so_far, O_PATH | O_DIRECTORY, err);
        if (dir < 0) {
            return dir;
        }
        int rc = make_component(dir, name, is_last && is_file, err);
        (void)close(dir);
        if (rc < 0) {
            return rc;
        }
        if (n + name.n + 2 > sizeof so_far) {
            return err_set(err, ERR_INVALID, "path is too long");
        }
        so_far[n++] = '/';
        memcpy(so_far + n, name.p, name.n);
        n += name.n;
        so_far[n] = '\0';
    }
    return 0;
}

static struct str read_file(const char *root, const char *path, struct buf *out)
{
    struct err err = {0};
    auto_close int fd = beneath_open(root, path, O_RDONLY | O_NONBLOCK, &err);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return S("");
    }
    for (;;) {
        char *room = buf_room(out, 4096);
        ssize_t n = room ? read(fd, room, 4096) : 0;
        if (n <= 0) {
            return buf_str(out);
        }
        buf_grew(out, (size_t)n);
    }
}

/* --- users --- */

struct passwd_line {
    struct str name;
    uint64_t uid, gid;
};

/* Finds a line of passwd by name or number. */
static bool passwd_find(struct str file, struct str who, struct passwd_line *ret)
{
    uint64_t number = UINT64_MAX;
    bool is_number = str_to_u64(who, &number) == 0;
    while (file.p) {
        struct str line = str_cut(&file, '\n');
        struct passwd_line found = {.name = str_cut(&line, ':')};
        (void)str_cut(&line, ':');
        if (str_to_u64(str_cut(&line, ':'), &found.uid) < 0 ||
            str_to_u64(str_cut(&line, ':'), &found.gid) < 0) {
            continue;
        }
        if (str_eq(found.name, who) || (is_number && found.uid == number)) {
            *ret = found;
            return true;
        }
    }
    return false;
}

static void add_group(struct oci_user *user, uint64_t gid)
{
    for (size_t i = 0; i < user->groups_count; i++) {
        if (user->groups[i] == gid) {
            return;
        }
    }
    if (user->groups_count < ARRAY_LEN(user->groups)) {
        user->groups[user->groups_count++] = (uint32_t)gid;
    }
}

/* Group number by name or digits; false = unknown. With member, adds the groups it belongs to. */
static bool group_walk(struct str file, struct str who, struct str member, struct oci_user *user,
                       uint64_t *ret)
{
    bool is_found = who.n > 0 && str_to_u64(who, ret) == 0;
    while (file.p) {
        struct str line = str_cut(&file, '\n');
        struct str name = str_cut(&line, ':');
        (void)str_cut(&line, ':');
        uint64_t gid;
        if (str_to_u64(str_cut(&line, ':'), &gid) < 0) {
            continue;
        }
        if (who.n && str_eq(name, who)) {
            *ret = gid;
            is_found = true;
        }
        while (member.n && line.p) {
            if (str_eq(str_trim(str_cut(&line, ',')), member)) {
                add_group(user, gid);
            }
        }
    }
    return is_found;
}

static int check_non_root(const struct oci_input *in, const struct val *run_as, struct str name,
                          bool is_number, uint32_t uid, struct err *err)
{
    if (!val_is_true(oci_security(in, S("runAsNonRoot")))) {
        return 0;
    }
    struct str pod = val_text_at(in->pod, "metadata.name");
    struct str ns = val_text_at(in->pod, "metadata.namespace");
    struct str pod_uid = val_text_at(in->pod, "metadata.uid");
    struct str c = val_text(val_get(in->container, S("name")));
    const char *text = NULL;
    if (run_as && uid == 0) {
        text = "container's runAsUser breaks non-root policy";
    } else if (!run_as && name.n && !is_number) {
        return err_set(err, ERR_INVALID,
                       "container has runAsNonRoot and image has non-numeric user (" STR_FMT
                       "), cannot verify user is non-root (pod: \"" STR_FMT "_" STR_FMT "(" STR_FMT
                       ")\", container: " STR_FMT ")",
                       STR_ARG(name), STR_ARG(pod), STR_ARG(ns), STR_ARG(pod_uid), STR_ARG(c));
    } else if (!run_as && uid == 0) {
        text = "container has runAsNonRoot and image will run as root";
    }
    if (!text) {
        return 0;
    }
    return err_set(err, ERR_INVALID,
                   "%s (pod: \"" STR_FMT "_" STR_FMT "(" STR_FMT ")\", container: " STR_FMT ")",
                   text, STR_ARG(pod), STR_ARG(ns), STR_ARG(pod_uid), STR_ARG(c));
}

int oci_user_find(const struct oci_input *in, struct oci_user *ret, struct err *err)
{
    auto_buf struct buf passwd;
    auto_buf struct buf group;
    buf_init(&passwd, 1 << 20);
    buf_init(&group, 1 << 20);
    read_file(in->rootfs, "etc/passwd", &passwd);
    read_file(in->rootfs, "etc/group", &group);
    *ret = (struct oci_user){0};
    const struct val *run_as = oci_security(in, S("runAsUser"));
    struct str image_group = val_text(val_get(in->image_config, S("User")));
    struct str who = str_cut(&image_group, ':');
    char digits[24];
    uint64_t number = 0;
    if (run_as) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)val_number(run_as, 0));
        who = str_of(digits);
        image_group = S("");
    }
    bool is_number = str_to_u64(who, &number) == 0;
    struct passwd_line line = {0};
    bool is_known = who.n && passwd_find(buf_str(&passwd), who, &line);
    if (!is_known && who.n && !is_number) {
        return err_set(err, ERR_NOT_FOUND,
                       "unable to find user " STR_FMT ": no matching entries in passwd file",
                       STR_ARG(who));
    }
    ret->uid = (uint32_t)(is_known ? line.uid : number);
    uint64_t gid = is_known ? line.gid : 0;
    int rc = check_non_root(in, run_as, who, is_number, ret->uid, err);
    if (rc < 0) {
        return rc;
    }
    struct str policy = val_text_at(in->pod, "spec.securityContext.supplementalGroupsPolicy");
    bool is_strict = str_eq(policy, S("Strict"));
    struct str member = is_strict ? S("") : is_known ? line.name : who.n ? S("") : S("root");
    uint64_t named = 0;
    bool has_named = group_walk(buf_str(&group), image_group, member, ret, &named);
    if (image_group.n && !has_named) {
        return err_set(err, ERR_NOT_FOUND,
                       "unable to find group " STR_FMT ": no matching entries in group file",
                       STR_ARG(image_group));
    }
    const struct val *run_group = oci_security(in, S("runAsGroup"));
    ret->gid = (uint32_t)(run_group ? (uint64_t)val_number(run_group, 0) : has_named ? named : gid);
    const struct val *extra = val_path(in->pod, "spec.securityContext.supplementalGroups");
    for (size_t i = 0; i < val_count(extra); i++) {
        add_group(ret, (uint64_t)val_number(val_at(extra, i), 0));
    }
    const struct val *fs_group = val_path(in->pod, "spec.securityContext.fsGroup");
    if (fs_group) {
        add_group(ret, (uint64_t)val_number(fs_group, 0));
    }
    return 0;
}

/* --- capabilities --- */

/* In the kernel's order: the index is the number. */
static const char *const all_caps[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static const char *const default_caps[] = {
    "CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",           "MKNOD",      "NET_RAW", "SETGID",
    "SETUID", "SETFCAP",      "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE",
};

static bool same_cap(struct str name, const char *cap)
{
    if (name.n > 4 && (name.p[0] | 0x20) == 'c' && (name.p[1] | 0x20) == 'a' &&
        (name.p[2] | 0x20) == 'p' && name.p[3] == '_') {
        name = str_sub(name, 4, name.n);
    }
    struct str c = str_of(cap);
    if (name.n != c.n) {
        return false;
    }
    for (size_t i = 0; i < c.n; i++) {
        char a = name.p[i] >= 'a' && name.p[i] <= 'z' ? (char)(name.p[i] - 32) : name.p[i];
        if (a != c.p[i]) {
            return false;
        }
    }
    return true;
}

static bool list_has(const struct val *list, const char *cap)
{
    for (size_t i = 0; i < val_count(list); i++) {
        if (same_cap(val_text(val_at(list, i)), cap)) {
            return true;
        }
    }
    return false;
}

struct val oci_capabilities(const struct oci_input *in, struct arena *arena)
{
    const struct val *context = val_get(in->container, S("securityContext"));
    const struct val *add = val_path(context, "capabilities.add");
    const struct val *drop = val_path(context, "capabilities.drop");
    bool is_privileged = val_is_true(val_get(context, S("privileged")));
    struct val list = val_list();
    for (size_t i = 0; i < ARRAY_LEN(all_caps); i++) {
        bool has = false;
        for (size_t k = 0; k < ARRAY_LEN(default_caps); k++) {
            has = has || str_eq(str_of(default_caps[k]), str_of(all_caps[i]));
        }
        has = has && !list_has(drop, "ALL");
        has = has || list_has(add, "ALL") || list_has(add, all_caps[i]);
        has = (has && !list_has(drop, all_caps[i])) || is_privileged;
        /* What this node lacks, it can't give: the runtime would fail. */
        has = has && (in->machine->caps == 0 || (in->machine->caps >> i & 1) != 0);
        if (has) {
            val_push(arena, &list, val_str(arena_fmt(arena, "CAP_%s", all_caps[i])));
        }
    }
    struct val caps = val_map();
    val_set(arena, &caps, S("bounding"), list);
    val_set(arena, &caps, S("effective"), val_copy(arena, &list));
    val_set(arena, &caps, S("permitted"), val_copy(arena, &list));
    return caps;
}

/* --- sysctls --- */

struct str pod_forbidden_sysctl(const struct val *pod, struct arena *arena)
{
    static const char *const safe[] = {
        "kernel.shm_rmid_forced",           "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",     "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",      "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",          "net.ipv4.tcp_wmem"};
    const struct val *list = val_path(pod, "spec.securityContext.sysctls");
    for (size_t i = 0; i < val_count(list); i++) {
        struct str name = val_text(val_get(val_at(list, i), S("name")));
        bool is_safe = false;
        for (size_t k = 0; k < ARRAY_LEN(safe); k++) {
            is_safe = is_safe || str_eq(name, str_of(safe[k]));
        }
        const char *why = NULL;
        if (!is_safe) {
            why = "not allowlisted";
        } else if (val_true_at(pod, "spec.hostNetwork") && str_starts(name, S("net."))) {
            why = "not allowed with host net enabled";
        } else if (val_true_at(pod, "spec.hostIPC") && str_starts(name, S("kernel."))) {
            why = "not allowed with host ipc enabled";
        }
        if (why) {
            return arena_fmt(arena, "forbidden sysctl: \"" STR_FMT "\" %s", STR_ARG(name), why);
        }
    }
    return S("");
}

/* --- quality of service --- */

static int64_t amount(const struct val *container, const char *path, bool is_milli)
{
    struct quantity q = {0};
    if (!oci_quantity(container, path, &q)) {
        return 0;
    }
    return is_milli ? quantity_millis(q) : quantity_units(q);
}

struct str pod_qos(const struct val *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    bool has_any = false;
    bool is_guaranteed = true;
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        const struct val *list = val_path(pod, lists[k]);
        for (size_t i = 0; i < val_count(list); i++) {
            const struct val *c = val_at(list, i);
            int64_t cpu = amount(c, "resources.limits.cpu", true);
            int64_t memory = amount(c, "resources.limits.memory", false);
            int64_t cpu_request = amount(c, "resources.requests.cpu", true);
            int64_t memory_request = amount(c, "resources.requests.memory", false);
            has_any = has_any || cpu || memory || cpu_request || memory_request;
            is_guaranteed = is_guaranteed && cpu && memory &&
                            (cpu_request == 0 || cpu_request == cpu) &&
                            (memory_request == 0 || memory_request == memory);
        }
    }
    return !has_any ? S("BestEffort") : is_guaranteed ? S("Guaranteed") : S("Burstable");
}

int oci_oom_score(const struct oci_input *in)
{
    struct str qos = pod_qos(in->pod);
    int64_t score;
    if (str_eq(qos, S("Guaranteed"))) {
        score = -997;
    } else if (str_eq(qos, S("BestEffort"))) {
        score = 1000;
    } else {
        int64_t request = amount(in->container, "resources.requests.memory", false);
        int64_t total = in->machine->memory_bytes > 0 ? in->machine->memory_bytes : 1;
        score = 1000 - (int64_t)(1000.0 * (double)request / (double)total);
        score = score < 3 ? 3 : score > 999 ? 999 : score;
    }
    return score < in->machine->oom_floor ? in->machine->oom_floor : (int)score;
}
