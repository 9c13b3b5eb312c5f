// SPDX-License-Identifier: Apache-2.0
//
// Putting config.json together: template, image, pod, container, agent files; mounts sorted so that
// parents come before what lies in them.
#include "node/oci_spec.h"

#include "base/fd.h"
#include "base/mem.h"
#include "data/quantity.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static struct str read_proc(const char *path, struct buf *out)
{
    struct err err = {0};
    return file_read(-1, path, out, &err) < 0 ? S("") : buf_str(out);
}

void oci_machine_probe(bool has_one_id, bool has_cgroups, struct oci_machine *ret)
{
    static const char oom_path[] = "/proc/self/oom_score_adj";
    auto_buf struct buf text;
    buf_init(&text, 1 << 16);
    *ret = (struct oci_machine){.has_one_id = has_one_id, .has_cgroups = has_cgroups};
    struct str map = read_proc("/proc/self/gid_map", &text);
    while (map.p) {
        struct str line = str_trim(str_cut(&map, '\n'));
        uint64_t inside = 0;
        uint64_t count = 0;
        ptrdiff_t last = str_rfind(line, ' ');
        if (str_to_u64(str_cut(&line, ' '), &inside) == 0 && last >= 0 && line.p) {
            struct str n = str_sub(line, (size_t)str_rfind(line, ' ') + 1, line.n);
            ret->has_gid_5 =
                ret->has_gid_5 || (str_to_u64(n, &count) == 0 && inside <= 5 && 5 < inside + count);
        }
    }
    buf_clear(&text);
    int64_t own = 0;
    (void)!str_to_i64(str_trim(read_proc(oom_path, &text)), &own);
    char digits[24];
    struct err err = {0};
    (void)snprintf(digits, sizeof digits, "%lld", (long long)own - 1);
    bool can_lower = own > -1000 && file_put(-1, oom_path, str_of(digits), &err) == 0;
    (void)snprintf(digits, sizeof digits, "%lld", (long long)own);
    if (can_lower) {
        can_lower = file_put(-1, oom_path, str_of(digits), &err) == 0;
    }
    ret->oom_floor = can_lower ? -1000 : (int)own;
    for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
        ret->caps |= prctl(PR_CAPBSET_READ, cap) == 1 ? UINT64_C(1) << cap : 0;
    }
    ret->memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

/* --- lists of the template --- */

static const char *const masked_paths[] = {
    "/proc/asound",      "/proc/acpi",          "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap",
};
static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static struct val text_list(struct arena *arena, const char *const *list, size_t count)
{
    struct val out = val_list();
    for (size_t i = 0; i < count; i++) {
        val_push(arena, &out, val_str(str_of(list[i])));
    }
    return out;
}

static void set_str(struct arena *arena, struct val *map, struct str key, struct str value)
{
    val_set(arena, map, key, val_str(value));
}

/* options: comma separated. */
static struct val mount_val(struct arena *arena, struct str target, struct str type,
                            struct str source, struct str options)
{
    struct val mount = val_map();
    struct val list = val_list();
    while (options.p) {
        val_push(arena, &list, val_str(str_cut(&options, ',')));
    }
    set_str(arena, &mount, S("destination"), target);
    set_str(arena, &mount, S("type"), type);
    set_str(arena, &mount, S("source"), source);
    val_set(arena, &mount, S("options"), list);
    return mount;
}

static bool has_target(const struct oci_input *in, struct str target)
{
    for (size_t i = 0; i < in->mounts_count; i++) {
        if (str_eq(in->mounts[i].target, target)) {
            return true;
        }
    }
    return false;
}

static size_t path_depth(struct str path)
{
    size_t depth = 0;
    for (size_t i = 0; i + 1 < path.n; i++) {
        depth += path.p[i] == '/' ? 1 : 0;
    }
    return depth;
}

static void add_template_mounts(const struct oci_input *in, struct arena *arena, struct val *list)
{
    bool is_privileged = val_is_true(val_path(in->container, "securityContext.privileged"));
    const struct {
        const char *target, *type, *source, *options;
    } rows[] = {
        {"/proc",       "proc",   "proc",   "nosuid,noexec,nodev"                    },
        {"/dev",        "tmpfs",  "tmpfs",  "nosuid,strictatime,mode=755,size=65536k"},
        {"/dev/pts",    "devpts", "devpts",
         in->machine->has_gid_5 ? "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"
                                : "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620"},
        {"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"                    },
        {"/sys",        "sysfs",  "sysfs",
         is_privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro"            },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!has_target(in, str_of(rows[i].target))) {
            val_push(arena, list,
                     mount_val(arena, str_of(rows[i].target), str_of(rows[i].type),
                               str_of(rows[i].source), str_of(rows[i].options)));
        }
    }
    if (in->machine->has_cgroups && !has_target(in, S("/sys/fs/cgroup"))) {
        val_push(arena, list,
                 mount_val(arena, S("/sys/fs/cgroup"), S("cgroup"), S("cgroup"),
                           is_privileged ? S("nosuid,noexec,nodev,relatime")
                                         : S("nosuid,noexec,nodev,relatime,ro")));
    }
}

static struct val mounts(const struct oci_input *in, struct arena *arena)
{
    struct val list = val_list();
    add_template_mounts(in, arena, &list);
    size_t fixed = val_count(&list);
    for (size_t i = 0; i < in->mounts_count; i++) {
        const struct oci_mount *m = &in->mounts[i];
        struct str spread = m->propagation.n ? m->propagation : S("rprivate");
        struct str options = arena_fmt(arena, "rbind," STR_FMT ",%s", STR_ARG(spread),
                                       m->is_read_only ? "ro" : "rw");
        struct val mount = mount_val(arena, m->target, S("bind"), m->source, options);
        size_t at = val_count(&list);
        while (at > fixed &&
               path_depth(val_text(val_get(val_at(&list, at - 1), S("destination")))) >
                   path_depth(m->target)) {
            at--;
        }
        val_insert(arena, &list, at, mount);
    }
    return list;
}

static void add_namespace(struct arena *arena, struct val *list, struct str type, struct str path)
{
    struct val ns = val_map();
    set_str(arena, &ns, S("type"), type);
    if (path.n) {
        set_str(arena, &ns, S("path"), path);
    }
    val_push(arena, list, ns);
}

/* Where one id is all that there is, a container that is to run as another gets a user namespace in
 * which that one has the wanted number: it owns all files, and nobody else exists. */
static void map_user(const struct oci_user *user, struct arena *arena, struct val *out)
{
    const struct {
        struct str key;
        uint32_t id;
    } rows[] = {
        {S("uidMappings"), user->uid},
        {S("gidMappings"), user->gid}
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct val row = val_map();
        val_set(arena, &row, S("containerID"), val_int(rows[i].id));
        val_set(arena, &row, S("hostID"), val_int(0));
        val_set(arena, &row, S("size"), val_int(1));
        struct val list = val_list();
        val_push(arena, &list, row);
        val_set(arena, out, rows[i].key, list);
    }
}

static bool has_own_users(const struct oci_input *in, const struct oci_user *user)
{
    return in->machine->has_one_id && (user->uid != 0 || user->gid != 0);
}

static struct val namespaces(const struct oci_input *in, const struct oci_user *user,
                             struct arena *arena)
{
    struct val list = val_list();
    if (has_own_users(in, user)) {
        add_namespace(arena, &list, S("user"), S(""));
    }
    add_namespace(arena, &list, S("mount"), S(""));
    if (!val_true_at(in->pod, "spec.hostPID")) {
        add_namespace(arena, &list, S("pid"), in->pid_path);
    }
    if (in->net_path.n) {
        add_namespace(arena, &list, S("network"), in->net_path);
    }
    if (in->ipc_path.n) {
        add_namespace(arena, &list, S("ipc"), in->ipc_path);
    }
    if (in->uts_path.n) {
        add_namespace(arena, &list, S("uts"), in->uts_path);
    }
    if (in->machine->has_cgroups) {
        add_namespace(arena, &list, S("cgroup"), S(""));
    }
    return list;
}

/* --- resources --- */

bool oci_quantity(const struct val *container, const char *path, struct quantity *ret)
{
    struct err err = {0};
    const struct val *v = val_path(container, path);
    char digits[24];
    struct str s = val_text(v);
    if (val_is(v, VAL_INT)) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)val_number(v, 0));
        s = str_of(digits);
    }
    return s.n > 0 && quantity_parse(s, ret, &err) == 0;
}

static struct val device_rule(struct arena *arena, bool is_allowed, const char *type, int64_t major,
                              int64_t minor, const char *access)
{
    struct val rule = val_map();
    val_set(arena, &rule, S("allow"), val_bool(is_allowed));
    set_str(arena, &rule, S("access"), str_of(access));
    if (type) {
        set_str(arena, &rule, S("type"), str_of(type));
    }
    if (major >= 0) {
        val_set(arena, &rule, S("major"), val_int(major));
    }
    if (minor >= 0) {
        val_set(arena, &rule, S("minor"), val_int(minor));
    }
    return rule;
}

static struct val device_rules(const struct oci_input *in, struct arena *arena)
{
    static const struct {
        int major, minor;
    } allowed[] = {
        {1,   3 },
        {1,   5 },
        {1,   7 },
        {1,   8 },
        {1,   9 },
        {5,   0 },
        {5,   1 },
        {5,   2 },
        {136, -1}
    };
    struct val list = val_list();
    if (val_is_true(val_path(in->container, "securityContext.privileged"))) {
        val_push(arena, &list, device_rule(arena, true, NULL, -1, -1, "rwm"));
        return list;
    }
    val_push(arena, &list, device_rule(arena, false, NULL, -1, -1, "rwm"));
    val_push(arena, &list, device_rule(arena, true, "c", -1, -1, "m"));
    val_push(arena, &list, device_rule(arena, true, "b", -1, -1, "m"));
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        val_push(arena, &list,
                 device_rule(arena, true, "c", allowed[i].major, allowed[i].minor, "rwm"));
    }
    return list;
}

static struct val resources(const struct oci_input *in, struct arena *arena)
{
    struct val out = val_map();
    struct val cpu = val_map();
    struct quantity q;
    int64_t request = 0;
    int64_t limit = 0;
    if (oci_quantity(in->container, "resources.limits.cpu", &q)) {
        limit = quantity_millis(q);
        request = limit;
    }
    if (oci_quantity(in->container, "resources.requests.cpu", &q)) {
        request = quantity_millis(q);
    }
    int64_t shares = request * 1024 / 1000;
    shares = shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
    val_set(arena, &cpu, S("shares"), val_int(shares));
    if (limit > 0) {
        val_set(arena, &cpu, S("period"), val_int(100000));
        val_set(arena, &cpu, S("quota"), val_int(limit * 100 < 1000 ? 1000 : limit * 100));
    }
    val_set(arena, &out, S("cpu"), cpu);
    if (oci_quantity(in->container, "resources.limits.memory", &q)) {
        struct val memory = val_map();
        val_set(arena, &memory, S("limit"), val_int(quantity_units(q)));
        val_set(arena, &out, S("memory"), memory);
    }
    val_set(arena, &out, S("devices"), device_rules(in, arena));
    return out;
}

struct str oci_pod_cgroup(const struct oci_machine *machine, const struct val *pod,
                          struct arena *arena)
{
    struct str qos = pod_qos(pod);
    const char *parent = str_eq(qos, S("BestEffort"))  ? "/kubepods/besteffort"
                         : str_eq(qos, S("Burstable")) ? "/kubepods/burstable"
                                                       : "/kubepods";
    return arena_fmt(arena, STR_FMT "%s/pod" STR_FMT, STR_ARG(machine->cgroup_parent), parent,
                     STR_ARG(val_text_at(pod, "metadata.uid")));
}

/* --- the parts --- */

static struct str working_dir(const struct oci_input *in)
{
    struct str dir = val_text(val_get(in->container, S("workingDir")));
    dir = dir.n ? dir : val_text(val_get(in->image_config, S("WorkingDir")));
    return dir.n ? dir : S("/");
}

static struct val process(const struct oci_input *in, const struct oci_user *user,
                          struct arena *arena)
{
    struct val u = val_map();
    val_set(arena, &u, S("uid"), val_int(user->uid));
    val_set(arena, &u, S("gid"), val_int(user->gid));
    struct val groups = val_list();
    for (size_t i = 0; i < user->groups_count; i++) {
        val_push(arena, &groups, val_int(user->groups[i]));
    }
    if (user->groups_count > 0 && !in->machine->has_one_id) {
        val_set(arena, &u, S("additionalGids"), groups);
    }
    struct val env = val_list();
    for (size_t i = 0; i < in->env->count; i++) {
        val_push(arena, &env,
                 val_str(arena_fmt(arena, STR_FMT "=" STR_FMT, STR_ARG(in->env->vars[i].name),
                                   STR_ARG(in->env->vars[i].value))));
    }
    struct val p = val_map();
    val_set(arena, &p, S("user"), u);
    val_set(arena, &p, S("args"), *in->argv);
    val_set(arena, &p, S("env"), env);
    set_str(arena, &p, S("cwd"), working_dir(in));
    val_set(arena, &p, S("terminal"), val_bool(val_is_true(val_get(in->container, S("tty")))));
    val_set(arena, &p, S("capabilities"), oci_capabilities(in, arena));
    const struct val *escalation =
        val_path(in->container, "securityContext.allowPrivilegeEscalation");
    bool is_fixed = val_is(escalation, VAL_BOOL) && !val_is_true(escalation);
    val_set(arena, &p, S("noNewPrivileges"), val_bool(is_fixed));
    val_set(arena, &p, S("oomScoreAdj"), val_int(oci_oom_score(in)));
    return p;
}

static struct val linux_part(const struct oci_input *in, const struct oci_user *user,
                             struct arena *arena)
{
    struct val out = val_map();
    val_set(arena, &out, S("namespaces"), namespaces(in, user, arena));
    if (has_own_users(in, user)) {
        map_user(user, arena, &out);
    }
    bool is_open = val_is_true(val_path(in->container, "securityContext.privileged")) ||
                   str_eq(val_text_at(in->container, "securityContext.procMount"), S("Unmasked"));
    if (!is_open) {
        val_set(arena, &out, S("maskedPaths"),
                text_list(arena, masked_paths, ARRAY_LEN(masked_paths)));
        val_set(arena, &out, S("readonlyPaths"),
                text_list(arena, readonly_paths, ARRAY_LEN(readonly_paths)));
    }
    const struct val *sysctls = val_path(in->pod, "spec.securityContext.sysctls");
    for (size_t i = 0; i < val_count(sysctls);
         i++) { /* in joined namespaces: setting again is fine */
        const struct val *pair = val_at(sysctls, i);
        struct val *map = val_need_map(arena, &out, S("sysctl"));
        set_str(arena, map, val_text(val_get(pair, S("name"))),
                val_text(val_get(pair, S("value"))));
    }
    if (in->machine->has_cgroups) {
        struct str group = oci_pod_cgroup(in->machine, in->pod, arena);
        set_str(arena, &out, S("cgroupsPath"),
                arena_fmt(arena, STR_FMT "/%s", STR_ARG(group), in->id));
        val_set(arena, &out, S("resources"), resources(in, arena));
    }
    return out;
}

int oci_spec_build(const struct oci_input *in, struct arena *arena, struct val *ret,
                   struct err *err)
{
    struct val spec = val_map();
    struct oci_user user;
    int rc = oci_user_find(in, &user, err);
    if (rc < 0) {
        return rc;
    }
    struct val p = process(in, &user, arena);
    struct val seccomp;
    rc = oci_seccomp(in, val_path(&p, "capabilities.bounding"), arena, &seccomp, err);
    if (rc < 0) {
        return rc;
    }
    rc = beneath_make(in->rootfs, working_dir(in), /*is_file=*/false, err);
    if (rc < 0 && rc != ERR_IO) { /* a file in the way is the runtime's to report */
        return rc;
    }
    struct val root = val_map();
    set_str(arena, &root, S("path"), str_of(in->rootfs));
    bool is_read_only =
        val_is_true(val_path(in->container, "securityContext.readOnlyRootFilesystem"));
    val_set(arena, &root, S("readonly"), val_bool(is_read_only));
    set_str(arena, &spec, S("ociVersion"), S("1.0.2"));
    val_set(arena, &spec, S("process"), p);
    val_set(arena, &spec, S("root"), root);
    val_set(arena, &spec, S("mounts"), mounts(in, arena));
    struct val linux_val = linux_part(in, &user, arena);
    if (!val_is(&seccomp, VAL_NULL)) {
        val_set(arena, &linux_val, S("seccomp"), seccomp);
    }
    val_set(arena, &spec, S("linux"), linux_val);
    struct val notes = val_map();
    set_str(arena, &notes, S("io.kubernetes.container.name"),
            val_text(val_get(in->container, S("name"))));
    set_str(arena, &notes, S("io.kubernetes.pod.name"), val_text_at(in->pod, "metadata.name"));
    set_str(arena, &notes, S("io.kubernetes.pod.namespace"),
            val_text_at(in->pod, "metadata.namespace"));
    set_str(arena, &notes, S("io.kubernetes.pod.uid"), val_text_at(in->pod, "metadata.uid"));
    val_set(arena, &spec, S("annotations"), notes);
    *ret = spec;
    return 0;
}
