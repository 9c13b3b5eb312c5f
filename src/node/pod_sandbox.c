// SPDX-License-Identifier: Apache-2.0
//
// A pod's sandbox without a pause process: network, IPC and UTS namespaces pinned by bind mounts of
// nsfs, the shared /dev/shm, and the files that the node writes for the pod. Namespaces are made on
// a pool thread, which leaves its own for a moment and comes back (0.1 ms; a fork costs 1 ms).
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/plain_file.h"
#include "node/pod.h"
#include "node/pod_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

struct sandbox_op {
    struct pod *pod;
    uint32_t address;
    bool has_network, has_ipc, has_uts;
    bool may_have_flows; /* another pod had the address a while ago */
    char *ipc, *uts, *shm, *hostname;
    char *cgroup; /* the pod's, NULL = none */
    struct err err;
};

struct str pod_pin(const struct pod *pod, const char *kind, struct arena *arena)
{
    return arena_fmt(arena, STR_FMT "/%s/%s", STR_ARG(pod->node->config.run_dir), kind, pod->uid);
}

static struct sandbox_op *op_new(struct pod *pod)
{
    const struct val *v = pod->facts.pod;
    struct node *node = pod->node;
    struct sandbox_op *op = xcalloc(1, sizeof *op);
    struct arena *arena = arena_new(1 << 16);
    op->pod = pod_ref(pod);
    bool is_host = pod_is_host_network(v);
    op->has_network = node->config.net && !is_host;
    op->has_ipc = node_has_disk(node) && !val_true_at(v, "spec.hostIPC");
    op->has_uts = node_has_disk(node) && !is_host;
    op->ipc = xstrdup(pod_pin(pod, "ipc", arena).p);
    op->uts = xstrdup(pod_pin(pod, "uts", arena).p);
    op->shm = xasprintf("%s/shm", pod->dir);
    op->hostname = xstrdup(pod_kernel_hostname(v, node->config.cluster_domain, arena).p);
    op->cgroup = node->machine.has_cgroups && node_has_disk(node)
                     ? xstrdup(oci_pod_cgroup(&node->machine, v, arena).p)
                     : NULL;
    arena_free(arena);
    return op;
}

static void op_free(struct sandbox_op *op)
{
    free(op->ipc);
    free(op->uts);
    free(op->shm);
    free(op->hostname);
    free(op->cgroup);
    pod_unref(op->pod);
    free(op);
}

/* --- pins --- */

static bool is_pinned(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

static int pin(const char *source, const char *path, struct err *err)
{
    auto_close int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_errno(err, "create %s", path);
    }
    if (mount(source, path, NULL, MS_BIND, NULL) < 0) {
        return err_errno(err, "bind %s on %s", source, path);
    }
    return 0;
}

/* Runs on a pool thread. A thread that can't come back to its namespaces must not live on. */
static int make_pins(struct sandbox_op *op)
{
    bool wants_ipc = op->has_ipc && !is_pinned(op->ipc);
    bool wants_uts = op->has_uts && !is_pinned(op->uts);
    int flags = (wants_ipc ? CLONE_NEWIPC : 0) | (wants_uts ? CLONE_NEWUTS : 0);
    if (flags == 0) {
        return 0;
    }
    auto_close int own_ipc = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
    auto_close int own_uts = open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC);
    if (own_ipc < 0 || own_uts < 0) {
        return err_errno(&op->err, "open our namespaces");
    }
    if (unshare(flags) < 0) {
        return err_errno(&op->err, "unshare");
    }
    int rc = 0;
    if (wants_uts && sethostname(op->hostname, strlen(op->hostname)) < 0) {
        rc = err_errno(&op->err, "set hostname \"%s\"", op->hostname);
    }
    rc = rc == 0 && wants_ipc ? pin("/proc/thread-self/ns/ipc", op->ipc, &op->err) : rc;
    rc = rc == 0 && wants_uts ? pin("/proc/thread-self/ns/uts", op->uts, &op->err) : rc;
    if (setns(own_ipc, CLONE_NEWIPC) < 0 || setns(own_uts, CLONE_NEWUTS) < 0) {
        log_error("can't return to our own namespaces, giving up");
        abort();
    }
    return rc;
}

static int make_shm(struct sandbox_op *op)
{
    struct stat at;
    struct stat parent;
    if (mkdir(op->shm, 01777) < 0 && errno != EEXIST) {
        return err_errno(&op->err, "mkdir %s", op->shm);
    }
    if (stat(op->shm, &at) == 0 && stat(op->pod->dir, &parent) == 0 && at.st_dev != parent.st_dev) {
        return 0; /* an earlier brain's */
    }
    if (mount("shm", op->shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m") <
        0) {
        return err_errno(&op->err, "mount %s", op->shm);
    }
    return 0;
}

static void bring_up(void *ctx)
{
    struct sandbox_op *op = ctx;
    struct node *node = op->pod->node;
    if (op->has_network &&
        ((op->may_have_flows && pod_net_flush_udp(node->config.net, op->address, &op->err) < 0) ||
         pod_net_add(node->config.net, op->pod->uid, op->address, &op->err) < 0)) {
        return;
    }
    op->err.code = 0; /* what a call that succeeded left there is no failure */
    if (node_has_disk(node) && make_pins(op) == 0) {
        (void)make_shm(op);
    }
}

/* --- files of the node --- */

static struct str read_first(const char *const *paths, size_t count, struct buf *out)
{
    struct err err = {0};
    for (size_t i = 0; i < count; i++) {
        buf_clear(out);
        if (file_read(AT_FDCWD, paths[i], out, &err) == 0) {
            return buf_str(out);
        }
    }
    buf_clear(out);
    return S("");
}

static int write_files(struct pod *pod, struct err *err)
{
    static const char *const hosts_paths[] = {"/etc/hosts"};
    static const char *const resolv_paths[] = {"/etc/resolv.conf"};
    struct node *node = pod->node;
    const struct val *v = pod->facts.pod;
    struct arena *arena = arena_new(1 << 20);
    auto_buf struct buf text;
    auto_buf struct buf own;
    buf_init(&text, 1 << 20);
    buf_init(&own, 1 << 20);
    struct str zone = node->config.cluster_domain;
    struct str path = arena_fmt(arena, "%s/etc-hosts", pod->dir);
    pod_hosts_write(&text, v, str_of(pod->facts.ip), zone,
                    read_first(hosts_paths, ARRAY_LEN(hosts_paths), &own), arena);
    int rc = file_write_over(path.p, buf_str(&text), 0644, err);
    buf_clear(&text);
    struct str warning =
        pod_resolv_write(&text, v, node->config.cluster_dns, zone,
                         read_first(resolv_paths, ARRAY_LEN(resolv_paths), &own), arena);
    if (warning.n) {
        pod_event(pod, S(""), "Warning", "DNSConfigForming", warning);
    }
    path = arena_fmt(arena, "%s/resolv.conf", pod->dir);
    rc = rc == 0 ? file_write_over(path.p, buf_str(&text), 0644, err) : rc;
    struct str hostname =
        arena_fmt(arena, STR_FMT "\n", STR_ARG(pod_kernel_hostname(v, zone, arena)));
    path = arena_fmt(arena, "%s/hostname", pod->dir);
    rc = rc == 0 ? file_write_over(path.p, hostname, 0644, err) : rc;
    arena_free(arena);
    return rc;
}

/* --- up and down --- */

static void fail_up(struct pod *pod, const char *message)
{
    auto_free char *text = xasprintf("Failed to create pod sandbox: %s", message);
    pod_event(pod, S(""), "Warning", "FailedCreatePodSandBox", str_of(text));
    pod->facts.sandbox_state = SANDBOX_NONE;
    pod->facts.sandbox_retry_at = loop_now(pod->node->config.loop) + 10 * USEC_PER_SEC;
}

static void is_up(void *ctx)
{
    struct sandbox_op *op = ctx;
    struct pod *pod = op->pod;
    struct err err = {0};
    if (op->err.code < 0) {
        fail_up(pod, op->err.msg);
    } else if (node_has_disk(pod->node) && write_files(pod, &err) < 0) {
        fail_up(pod, err.msg);
    } else {
        pod->facts.sandbox_state = SANDBOX_READY;
        pod_record_save(pod);
    }
    pod_wake(pod);
    op_free(op);
}

void pod_network_up(struct pod *pod)
{
    struct node *node = pod->node;
    struct sandbox_op *op = op_new(pod);
    if (!pod->holds_ip && !pod_is_host_network(pod->facts.pod)) {
        uint32_t address = node_take_address(node);
        if (address == 0) {
            fail_up(pod, "no pod address is free");
            op_free(op);
            return;
        }
        ip4_format(address, pod->facts.ip);
        pod->holds_ip = true;
    }
    op->may_have_flows = node->has_ip_wrapped || loop_now(node->config.loop) < node->flows_until;
    if (pod->facts.ip[0] && ip4_parse(str_of(pod->facts.ip), &op->address) < 0) {
        op->address = 0;
    }
    pod->facts.sandbox_state = SANDBOX_MAKING;
    node_lane(node, bring_up, is_up, op);
    slots_prepare(pod);
}

/* The OCI runtime removes a container's cgroup, but not the pod's above it: in each hierarchy of
 * version 1, or in the tree of version 2. */
static void remove_cgroups(const char *cgroup)
{
    DIR *dir = opendir("/sys/fs/cgroup");
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        bool is_whole = str_eq(str_of(e->d_name), S("."));
        if (is_whole || (e->d_type == DT_DIR && e->d_name[0] != '.')) {
            auto_free char *path = xasprintf("/sys/fs/cgroup/%s%s", e->d_name, cgroup);
            (void)rmdir(path);
        }
    }
    if (dir) {
        (void)closedir(dir);
    }
}

static void bring_down(void *ctx)
{
    struct sandbox_op *op = ctx;
    struct node *node = op->pod->node;
    const char *const paths[] = {op->ipc, op->uts};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        (void)umount2(paths[i], MNT_DETACH | UMOUNT_NOFOLLOW);
        (void)unlink(paths[i]);
    }
    (void)umount2(op->shm, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (op->cgroup) {
        remove_cgroups(op->cgroup);
    }
    if (op->has_network) {
        op->err.code = pod_net_remove(node->config.net, op->pod->uid, &op->err); /* for is_down */
    }
}

static void is_down(void *ctx)
{
    struct sandbox_op *op = ctx;
    struct pod *pod = op->pod;
    if (op->err.code < 0) {
        log_warn("taking down the network of pod %s/%s: %s, ignoring", pod->ns, pod->name,
                 op->err.msg);
    }
    pod->facts.sandbox_state = SANDBOX_NONE;
    pod->facts.sandbox++;
    pod->holds_ip = false; /* the address stays in the status */
    pod_record_save(pod);
    pod_wake(pod);
    op_free(op);
}

void pod_network_down(struct pod *pod)
{
    struct sandbox_op *op = op_new(pod);
    if (ip4_parse(str_of(pod->facts.ip), &op->address) < 0) {
        op->address = 0;
        op->has_network = false;
    }
    pod->facts.sandbox_state = SANDBOX_REMOVING;
    node_lane(pod->node, bring_down, is_down, op);
}

bool pod_sandbox_exists(const struct pod *pod)
{
    struct sandbox_op *op = op_new((struct pod *)(uintptr_t)pod);
    struct arena *arena = arena_new(1 << 16);
    bool is_there = (!op->has_ipc || is_pinned(op->ipc)) && (!op->has_uts || is_pinned(op->uts)) &&
                    (!op->has_network || is_pinned(pod_pin(pod, "netns", arena).p));
    arena_free(arena);
    op_free(op);
    return is_there;
}
