// SPDX-License-Identifier: Apache-2.0
//
// The Node object and its lease (spec/node.md 11.9): capacity from the machine, conditions, the
// heartbeat. The status is written at start and every five minutes, the lease (volatile) every ten
// seconds.
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "node/pod.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LEASE_SECONDS = 40, RENEW_SECONDS = 10, STATUS_SECONDS = 300, PODS_MAX = 1000 };

static struct str read_line(const char *path, struct arena *arena)
{
    auto_buf struct buf text;
    struct err err = {0};
    buf_init(&text, 1 << 16);
    if (file_read(AT_FDCWD, path, &text, &err) < 0) {
        return S("");
    }
    return arena_dup(arena, str_trim(buf_str(&text)));
}

static struct str os_name(struct arena *arena)
{
    struct str text = read_line("/etc/os-release", arena);
    while (text.p) {
        struct str line = str_cut(&text, '\n');
        if (str_starts(line, S("PRETTY_NAME="))) {
            struct str name = str_sub(line, 12, line.n);
            return name.n >= 2 && name.p[0] == '"' ? str_sub(name, 1, name.n - 1) : name;
        }
    }
    return S("Linux");
}

static const char *go_arch(const char *machine)
{
    static const struct {
        const char *machine, *arch;
    } rows[] = {
        {"x86_64",  "amd64"  },
        {"aarch64", "arm64"  },
        {"armv7l",  "arm"    },
        {"riscv64", "riscv64"},
        {"ppc64le", "ppc64le"},
        {"s390x",   "s390x"  }
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_eq(str_of(machine), str_of(rows[i].machine))) {
            return rows[i].arch;
        }
    }
    return machine;
}

static void set(struct arena *arena, struct val *map, const char *key, struct str value)
{
    val_set(arena, map, str_of(key), val_str(value));
}

static struct val capacity(const struct node *node, struct arena *arena)
{
    struct val v = val_map();
    struct statvfs fs = {0};
    const char *where = node_has_disk(node) ? node->config.root_dir.p : "/";
    unsigned long long disk =
        statvfs(where, &fs) == 0 ? (unsigned long long)fs.f_blocks * fs.f_frsize : 0;
    set(arena, &v, "cpu", arena_fmt(arena, "%ld", sysconf(_SC_NPROCESSORS_ONLN)));
    set(arena, &v, "memory",
        arena_fmt(arena, "%lldKi", (long long)(node->machine.memory_bytes / 1024)));
    set(arena, &v, "ephemeral-storage", arena_fmt(arena, "%lluKi", disk / 1024));
    set(arena, &v, "hugepages-2Mi", S("0"));
    set(arena, &v, "pods", arena_fmt(arena, "%d", PODS_MAX));
    return v;
}

static struct val node_info(const struct node *node, struct arena *arena)
{
    struct val v = val_map();
    struct utsname u = {0};
    (void)uname(&u);
    struct str machine = read_line("/etc/machine-id", arena);
    set(arena, &v, "architecture", arena_dup(arena, str_of(go_arch(u.machine))));
    set(arena, &v, "bootID", read_line("/proc/sys/kernel/random/boot_id", arena));
    set(arena, &v, "containerRuntimeVersion",
        arena_fmt(arena, STR_FMT "://" STR_FMT, STR_ARG(node->config.runtime->name),
                  STR_ARG(node->config.runtime->version)));
    set(arena, &v, "kernelVersion", arena_dup(arena, str_of(u.release)));
    set(arena, &v, "kubeProxyVersion", S(""));
    set(arena, &v, "kubeletVersion", node->config.version);
    set(arena, &v, "machineID", machine);
    set(arena, &v, "operatingSystem", S("linux"));
    set(arena, &v, "osImage", os_name(arena));
    set(arena, &v, "systemUUID", machine);
    return v;
}

static void add_condition(struct node *node, struct arena *arena, struct val *list,
                          const struct val *before, const char *const row[4])
{
    char now[TIME_TEXT_MAX];
    time_format(loop_wall(node->config.loop), now);
    struct val v = val_map();
    struct str since = arena_dup(arena, str_of(now));
    for (size_t i = 0; i < val_count(before); i++) {
        const struct val *old = val_at(before, i);
        if (str_eq(val_text(val_get(old, S("type"))), str_of(row[0])) &&
            str_eq(val_text(val_get(old, S("status"))), str_of(row[1]))) {
            since = val_text(val_get(old, S("lastTransitionTime")));
        }
    }
    set(arena, &v, "type", str_of(row[0]));
    set(arena, &v, "status", str_of(row[1]));
    set(arena, &v, "reason", str_of(row[2]));
    set(arena, &v, "message", str_of(row[3]));
    set(arena, &v, "lastHeartbeatTime", arena_dup(arena, str_of(now)));
    set(arena, &v, "lastTransitionTime", since);
    val_push(arena, list, v);
}

static struct val conditions(struct node *node, struct arena *arena, const struct val *before)
{
    static const char *const rows[][4] = {
        {"MemoryPressure", "False", "KubeletHasSufficientMemory",
         "kubelet has sufficient memory available"                                                      },
        {"DiskPressure",   "False", "KubeletHasNoDiskPressure",   "kubelet has no disk pressure"        },
        {"PIDPressure",    "False", "KubeletHasSufficientPID",    "kubelet has sufficient PID available"},
        {"Ready",          "True",  "KubeletReady",               "kubelet is posting ready status"     },
    };
    static const char *const unlimited[4] = {
        "ResourceEnforcement", "False", "NoCgroups",
        "no cgroup can be written here: limits of pods are not enforced"};
    struct val list = val_list();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        add_condition(node, arena, &list, before, rows[i]);
    }
    if (!node->config.has_cgroups) {
        add_condition(node, arena, &list, before, unlimited);
    }
    return list;
}

static struct val addresses(const struct node *node, struct arena *arena)
{
    struct val list = val_list();
    struct val ip = val_map();
    struct val name = val_map();
    set(arena, &ip, "type", S("InternalIP"));
    set(arena, &ip, "address", str_of(node->host_ip));
    set(arena, &name, "type", S("Hostname"));
    set(arena, &name, "address", node->config.name);
    val_push(arena, &list, ip);
    val_push(arena, &list, name);
    return list;
}

struct image_walk {
    struct arena *arena;
    struct val *list;
};

static void add_image(void *ctx, const struct image *image)
{
    struct image_walk *walk = ctx;
    struct val v = val_map();
    struct val names = val_list();
    for (size_t i = 0; i < image->names_count; i++) {
        val_push(walk->arena, &names, val_str(arena_dup(walk->arena, image->names[i])));
    }
    val_set(walk->arena, &v, S("names"), names);
    val_set(walk->arena, &v, S("sizeBytes"), val_int((int64_t)image->bytes));
    if (val_count(walk->list) < 50) { /* as upstream */
        val_push(walk->arena, walk->list, v);
    }
}

static struct val status(struct node *node, struct arena *arena, const struct val *before)
{
    struct val v = val_map();
    struct val endpoint = val_map();
    struct val endpoints = val_map();
    struct val images = val_list();
    val_set(arena, &v, S("capacity"), capacity(node, arena));
    val_set(arena, &v, S("allocatable"), capacity(node, arena));
    val_set(arena, &v, S("addresses"), addresses(node, arena));
    val_set(arena, &v, S("conditions"), conditions(node, arena, val_get(before, S("conditions"))));
    val_set(arena, &endpoint, S("Port"), val_int(10250));
    val_set(arena, &endpoints, S("kubeletEndpoint"), endpoint);
    val_set(arena, &v, S("daemonEndpoints"), endpoints);
    val_set(arena, &v, S("nodeInfo"), node_info(node, arena));
    if (node->config.images) {
        struct image_walk walk = {arena, &images};
        image_each(node->config.images, add_image, &walk);
        val_set(arena, &v, S("images"), images);
    }
    return v;
}

/* --- writing --- */

static int write_object(struct node *node, enum api_verb verb, enum kind_id kind,
                        const char *subresource, struct str ns, const struct val *body,
                        client_done_fn *done)
{
    struct client *client = node->config.client;
    struct client_write write = {.verb = verb,
                                 .patch = verb == VERB_PATCH ? PATCH_MERGE : PATCH_NONE,
                                 .kind = kind,
                                 .subresource = str_of(subresource),
                                 .ns = ns,
                                 .name = node->config.name,
                                 .body = body,
                                 .grace_seconds = -1};
    struct err err = {0};
    if (client->ops->write(client, &write, done, node, &err) < 0) {
        log_debug("writing the node: %s", err.msg);
        return err.code;
    }
    return 0;
}

static void status_due(void *ctx);

static void write_status(struct node *node)
{
    struct client *client = node->config.client;
    struct object *object = client->ops->get(client, KIND_NODE, S(""), node->config.name);
    if (!object) {
        return;
    }
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val body = val_copy(arena, object_val(object));
    val_set(arena, &body, S("status"), status(node, arena, val_path(&body, "status")));
    (void)write_object(node, VERB_UPDATE, KIND_NODE, "status", S(""), &body, NULL);
    arena_free(arena);
}

static void status_due(void *ctx)
{
    struct node *node = ctx;
    write_status(node);
    timer_start(node->config.loop, &node->status_timer, STATUS_SECONDS * USEC_PER_SEC, status_due,
                node);
}

static struct val new_node(struct node *node, struct arena *arena)
{
    struct val v = val_map();
    struct val labels = val_map();
    struct val spec = val_map();
    struct val cidrs = val_list();
    char ip[IP4_TEXT_MAX];
    struct utsname u = {0};
    (void)uname(&u);
    ip4_format(node->config.pod_cidr, ip);
    struct str cidr = arena_fmt(arena, "%s/%d", ip, node->config.pod_prefix);
    struct str arch = arena_dup(arena, str_of(go_arch(u.machine)));
    set(arena, &labels, "kubernetes.io/hostname", node->config.name);
    set(arena, &labels, "kubernetes.io/os", S("linux"));
    set(arena, &labels, "kubernetes.io/arch", arch);
    set(arena, &labels, "beta.kubernetes.io/os", S("linux"));
    set(arena, &labels, "beta.kubernetes.io/arch", arch);
    set(arena, &labels, "node-role.kubernetes.io/control-plane", S(""));
    set(arena, &v, "apiVersion", S("v1"));
    set(arena, &v, "kind", S("Node"));
    val_set_path(arena, &v, "metadata.name", val_str(node->config.name));
    val_set_path(arena, &v, "metadata.labels", labels);
    struct val *notes = val_need_map(arena, val_slot(&v, S("metadata")), S("annotations"));
    set(arena, notes, "node.alpha.kubernetes.io/ttl", S("0"));
    set(arena, notes, "volumes.kubernetes.io/controller-managed-attach-detach", S("true"));
    val_push(arena, &cidrs, val_str(cidr));
    set(arena, &spec, "podCIDR", cidr);
    val_set(arena, &spec, S("podCIDRs"), cidrs);
    val_set(arena, &v, S("spec"), spec);
    return v;
}

static void register_again(void *ctx)
{
    node_register(ctx);
}

static void registered(void *ctx, struct object *object, const struct val *val,
                       const struct err *err)
{
    struct node *node = ctx;
    (void)val;
    if (err && err->code != ERR_EXISTS) {
        log_warn("registering node " STR_FMT ": %s, trying again", STR_ARG(node->config.name),
                 err->msg);
        timer_start(node->config.loop, &node->status_timer, USEC_PER_SEC, register_again, node);
        return;
    }
    if (object && node->config.recorder) {
        struct event_source source = {S("kubelet"), node->config.name};
        recorder_event(node->config.recorder, source, kind_of(KIND_NODE), object_val(object), S(""),
                       S("Normal"), S("Starting"), S("Starting kubelet."));
    }
    status_due(node);
}

/* --- the lease --- */

static void lease_due(void *ctx);

static void lease_written(void *ctx, struct object *object, const struct val *val,
                          const struct err *err)
{
    struct node *node = ctx;
    (void)object;
    (void)val;
    node->is_lease_known = !err || err->code == ERR_EXISTS || err->code == ERR_CONFLICT;
}

static void lease_due(void *ctx)
{
    struct node *node = ctx;
    struct arena *arena = arena_new(1 << 20);
    char now[TIME_TEXT_MAX];
    time_format_micro(loop_wall(node->config.loop), now);
    struct val v = val_map();
    set(arena, &v, "apiVersion", S("coordination.k8s.io/v1"));
    set(arena, &v, "kind", S("Lease"));
    val_set_path(arena, &v, "metadata.name", val_str(node->config.name));
    val_set_path(arena, &v, "metadata.namespace", val_str(S("kube-node-lease")));
    val_set_path(arena, &v, "spec.holderIdentity", val_str(node->config.name));
    val_set_path(arena, &v, "spec.leaseDurationSeconds", val_int(LEASE_SECONDS));
    val_set_path(arena, &v, "spec.renewTime", val_str(str_of(now)));
    (void)write_object(node, node->is_lease_known ? VERB_PATCH : VERB_CREATE, KIND_LEASE, "",
                       S("kube-node-lease"), &v, lease_written);
    timer_start(node->config.loop, &node->lease_timer, RENEW_SECONDS * USEC_PER_SEC, lease_due,
                node);
    arena_free(arena);
}

void node_register(struct node *node)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val v = new_node(node, arena);
    if (!node->allocatable) {
        struct val room = capacity(node, arena);
        node->allocatable = doc_freeze(&room);
    }
    if (!timer_is_running(&node->lease_timer)) {
        timer_start(node->config.loop, &node->lease_timer, 0, lease_due, node);
    }
    int r = write_object(node, VERB_CREATE, KIND_NODE, "", S(""), &v, registered);
    if (r == ERR_EXISTS) { /* refused at once: registered by an earlier brain */
        status_due(node);
    } else if (r < 0) {
        timer_start(node->config.loop, &node->status_timer, USEC_PER_SEC, register_again, node);
    }
    arena_free(arena);
}

void node_registration_stop(struct node *node)
{
    timer_stop(&node->lease_timer);
    timer_stop(&node->status_timer);
}
