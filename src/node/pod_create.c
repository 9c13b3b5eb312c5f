// SPDX-License-Identifier: Apache-2.0
//
// From a container's spec to a running container: image, environment, mounts, root file system,
// OCI configuration, create, start, postStart. Every failure is told as the waiting reason and the
// event of spec/node.md 1.3 and 1.10.
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/plain_file.h"
#include "node/pod.h"
#include "node/pod_env.h"
#include "node/pod_files.h"
#include "node/pod_image.h"
#include "node/probe.h"
#include "node/volume.h"
#include "registry/reference.h"

#include <stdlib.h>

enum { RETRY_SECONDS = 10 };

struct slot_op {
    struct pod *pod;
    size_t index;
    int attempt;
    struct arena *arena;
    struct str image;
    struct str image_id;
    struct run_user user;
};

static struct slot_op *op_new(struct pod *pod, size_t index, int attempt)
{
    struct slot_op *op = xcalloc(1, sizeof *op);
    op->pod = pod_ref(pod);
    op->index = index;
    op->attempt = attempt;
    op->arena = arena_new(REQUEST_ARENA_MAX);
    return op;
}

static void op_free(struct slot_op *op)
{
    pod_unref(op->pod);
    arena_free(op->arena);
    free(op);
}

/* --- names and places --- */

struct str run_id(const struct pod *pod, const struct slot *slot, int attempt, struct arena *arena)
{
    return arena_fmt(arena, "%s_%s_%d", pod->uid, slot->name, attempt);
}

struct str run_dir(const struct pod *pod, const struct slot *slot, int attempt, struct arena *arena)
{
    return arena_fmt(arena, "%s/containers/%s/%d", pod->dir, slot->name, attempt);
}

struct str run_log(const struct pod *pod, const struct slot *slot, int attempt, struct arena *arena)
{
    return arena_fmt(arena, "%s/%s/%d.log", pod->log_dir, slot->name, attempt);
}

/* Short, since a Unix socket lies in it: 108 bytes is all a socket's path may have. */
struct str run_bundle(const struct node *node, struct str id, struct arena *arena)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < id.n; i++) {
        hash = (hash ^ (unsigned char)id.p[i]) * 1099511628211u;
    }
    return arena_fmt(arena, STR_FMT "/b/%016llx", STR_ARG(node->config.run_dir),
                     (unsigned long long)hash);
}

struct pod_source pod_source(const struct pod *pod)
{
    struct node *node = pod->node;
    bool is_host = pod_is_host_network(pod->facts.pod);
    return (struct pod_source){.client = node->config.client,
                               .pod = pod->facts.pod,
                               .pod_ip = str_of(is_host ? node->host_ip : pod->facts.ip),
                               .host_ip = str_of(node->host_ip),
                               .node_name = node->config.name,
                               .allocatable = node->allocatable ? &node->allocatable->root : NULL};
}

/* --- failing --- */

void slot_wait(struct slot *slot, const char *reason, struct str message)
{
    auto_free char *text = xstrndup(message.n ? message.p : "", message.n);
    text_set(&slot->wait_reason, reason);
    text_set(&slot->wait_message, text);
}

void slot_fail(struct pod *pod, size_t index, const char *reason, const char *message)
{
    struct slot *slot = &pod->facts.slots[index];
    slot->is_pending = false;
    slot->retry_at = loop_now(pod->node->config.loop) + RETRY_SECONDS * USEC_PER_SEC;
    bool is_same = slot->wait_reason && str_eq(str_of(slot->wait_reason), str_of(reason));
    is_same = is_same && str_eq(str_of(slot->wait_message), str_of(message));
    slot_wait(slot, reason, str_of(message));
    auto_free char *text = xasprintf("Error: %s", message);
    slot_event(pod, index, "Warning", "Failed", str_of(text));
    if (!is_same) {
        log_debug("pod %s/%s container %s: %s: %s", pod->ns, pod->name, slot->name, reason,
                  message);
    }
    pod_wake(pod);
}

static void note_run(const struct slot_op *op, struct run *run)
{
    run->user = op->user;
    run->image = op->image.n ? xstrndup(op->image.p, op->image.n) : NULL;
    run->image_id = op->image_id.n ? xstrndup(op->image_id.p, op->image_id.n) : NULL;
}

/* The command can't run: an instance that ended before it began. */
static void fail_start(const struct slot_op *op, const char *message)
{
    struct pod *pod = op->pod;
    size_t index = op->index;
    struct slot *slot = &pod->facts.slots[index];
    struct container_fact fact = {.exit_code = 128,
                                  .finished_wall = loop_wall(pod->node->config.loop)};
    auto_free char *text = xasprintf("Error: %s", message);
    slot->is_pending = false;
    slot_event(pod, index, "Warning", "Failed", str_of(text));
    if (slot->cur.state != RUN_CREATED) {
        free(slot->last.message);
        free(slot->last.image);
        free(slot->last.image_id);
        slot->last = slot->cur;
        slot->cur = (struct run){
            .state = RUN_CREATED, .attempt = op->attempt, .sandbox = pod->facts.sandbox};
        note_run(op, &slot->cur);
        if (slot->last.state == RUN_NONE) {
            slot->last = (struct run){0};
        }
    }
    slot->cur.is_start_error = true;
    text_set(&slot->cur.message, message);
    slot_exited(pod, index, &fact);
    if (slot_wants_restart(&pod->facts, slot, fact.exit_code)) {
        slot_wait(slot, "RunContainerError", str_of(message));
    }
}

/* --- mounts --- */

enum { MOUNTS_MAX = 256 };
struct mount_list {
    struct oci_mount list[MOUNTS_MAX];
    size_t count;
};

static void add_mount(struct mount_list *mounts, struct str target, struct str source,
                      bool is_read_only)
{
    if (mounts->count < MOUNTS_MAX) {
        mounts->list[mounts->count++] =
            (struct oci_mount){.target = target, .source = source, .is_read_only = is_read_only};
    }
}

static bool has_mount_at(const struct mount_list *mounts, struct str target)
{
    for (size_t i = 0; i < mounts->count; i++) {
        if (str_eq(mounts->list[i].target, target)) {
            return true;
        }
    }
    return false;
}

static int add_volume_mount(struct slot_op *op, size_t at, const struct val *mount,
                            const struct env_list *env, struct mount_list *mounts, struct err *err)
{
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    struct str volume = val_text(val_get(mount, S("name")));
    struct str target = val_text(val_get(mount, S("mountPath")));
    struct str sub = val_text(val_get(mount, S("subPath")));
    struct str expression = val_text(val_get(mount, S("subPathExpr")));
    const char *path = volume_path(pod, volume);
    if (!path) {
        return err_set(err, ERR_NOT_FOUND,
                       "cannot find volume \"" STR_FMT "\" to mount into "
                       "container \"%s\"",
                       STR_ARG(volume), slot->name);
    }
    struct str source = str_of(path);
    int rc = expression.n ? env_expand_strict(env, expression, op->arena, &sub, err) : 0;
    if (rc == 0 && sub.n) {
        rc = volume_subpath(pod, volume, sub, slot->name, at, op->arena, &source, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (target.n == 0 || target.p[0] != '/') {
        target = arena_fmt(op->arena, "/" STR_FMT, STR_ARG(target));
    }
    bool is_read_only =
        val_is_true(val_get(mount, S("readOnly"))) || volume_is_read_only(pod, volume);
    add_mount(mounts, target, source, is_read_only);
    struct str spread = val_text(val_get(mount, S("mountPropagation")));
    struct oci_mount *last = &mounts->list[mounts->count - 1];
    last->propagation = str_eq(spread, S("HostToContainer")) ? S("rslave")
                        : str_eq(spread, S("Bidirectional")) ? S("rshared")
                                                             : S("rprivate");
    return 0;
}

/* A fresh file for the termination message. */
static int add_termination_file(struct slot_op *op, struct str dir, struct mount_list *mounts,
                                struct err *err)
{
    const struct slot *slot = &op->pod->facts.slots[op->index];
    struct str target = val_text(val_get(slot->spec, S("terminationMessagePath")));
    target = target.n ? target : S("/dev/termination-log");
    struct str path = arena_fmt(op->arena, STR_FMT "-termination", STR_ARG(dir));
    int rc = file_write_plain(path.p, S(""), 0666, err);
    if (rc == 0) {
        add_mount(mounts, target, path, false);
    }
    return rc;
}

static int collect_mounts(struct slot_op *op, struct str dir, const struct env_list *env,
                          struct mount_list *mounts, struct err *err)
{
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    const struct val *list = val_get(slot->spec, S("volumeMounts"));
    for (size_t i = 0; i < val_count(list); i++) {
        int rc = add_volume_mount(op, i, val_at(list, i), env, mounts, err);
        if (rc < 0) {
            return rc;
        }
    }
    static const struct {
        const char *target, *file;
    } agent_files[] = {
        {"/etc/hosts",       "etc-hosts"  },
        {"/etc/resolv.conf", "resolv.conf"},
        {"/etc/hostname",    "hostname"   },
        {"/dev/shm",         "shm"        }
    };
    for (size_t i = 0; i < ARRAY_LEN(agent_files); i++) {
        if (!has_mount_at(mounts, str_of(agent_files[i].target))) {
            add_mount(mounts, str_of(agent_files[i].target),
                      arena_fmt(op->arena, "%s/%s", pod->dir, agent_files[i].file), false);
        }
    }
    return add_termination_file(op, dir, mounts, err);
}

/* --- create --- */

static void created(void *ctx, const struct err *err)
{
    struct slot_op *op = ctx;
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    if (err) {
        bool is_command = err->code == ERR_NOT_FOUND || err->code == ERR_DENIED;
        if (is_command) {
            slot_remove_run(pod, op->index, op->attempt);
            fail_start(op, err->msg);
        } else {
            slot_take_back(pod, op->index, op->attempt);
            slot_fail(pod, op->index, "CreateContainerError", err->msg);
        }
        pod_wake(pod);
        op_free(op);
        return;
    }
    free(slot->last.message);
    free(slot->last.image);
    free(slot->last.image_id);
    slot->last = slot->cur;
    if (slot->last.state == RUN_NONE) {
        slot->last = (struct run){0};
    }
    slot->cur =
        (struct run){.state = RUN_CREATED, .attempt = op->attempt, .sandbox = pod->facts.sandbox};
    note_run(op, &slot->cur);
    slot->is_pending = false;
    slot->is_post_start_done = false;
    slot->must_restart = false;
    text_set(&slot->wait_reason, NULL);
    text_set(&slot->wait_message, NULL);
    probes_reset(slot);
    slot_event(pod, op->index, "Normal", "Created", S("Container created"));
    pod_record_save(pod);
    pod_wake(pod);
    op_free(op);
}

/* The user that the specification names. */
static void note_user(struct slot_op *op, const struct val *spec)
{
    const struct val *user = val_path(spec, "process.user");
    const struct val *groups = val_get(user, S("additionalGids"));
    struct run_user *ret = &op->user;
    *ret = (struct run_user){.is_known = user != NULL, .groups_count = 1};
    ret->uid = (uint32_t)val_number(val_get(user, S("uid")), 0);
    ret->groups[0] = (uint32_t)val_number(val_get(user, S("gid")), 0);
    for (size_t i = 0; i < val_count(groups) && ret->groups_count < RUN_GROUPS_MAX; i++) {
        uint32_t group = (uint32_t)val_number(val_at(groups, i), 0);
        if (group != ret->groups[0]) {
            ret->groups[ret->groups_count++] = group;
        }
    }
}

/* Image name and id as the status shows them. */
static void note_image(struct slot_op *op, const struct image *image, struct str ref)
{
    struct err err = {0};
    struct str name;
    if (reference_normalise(op->arena, ref, &name, &err) < 0) {
        name = ref;
    }
    op->image = arena_dup(op->arena, name);
    struct str known = image_digest_name(image, name);
    struct reference parts;
    if (known.n > 0 || image->digest.n == 0 || reference_parse(name, &parts, &err) < 0) {
        op->image_id = arena_dup(op->arena, known.n > 0 ? known : image->id);
        return;
    }
    op->image_id = arena_fmt(op->arena, STR_FMT "/" STR_FMT "@" STR_FMT, STR_ARG(parts.domain),
                             STR_ARG(parts.path), STR_ARG(image->digest));
}

/* The process namespace of the container that an ephemeral one looks at; empty = its own. */
static int find_pid_path(struct slot_op *op, struct str *ret, struct err *err)
{
    struct pod *pod = op->pod;
    struct str target =
        val_text(val_get(pod->facts.slots[op->index].spec, S("targetContainerName")));
    *ret = S("");
    if (target.n == 0) {
        return 0;
    }
    auto_buf struct buf text;
    buf_init(&text, 64);
    uint64_t pid = 0;
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        const struct slot *slot = &pod->facts.slots[i];
        if (slot->cur.state == RUN_RUNNING && str_eq(str_of(slot->name), target)) {
            struct str id = run_id(pod, slot, slot->cur.attempt, op->arena);
            struct str bundle = run_bundle(pod->node, id, op->arena);
            struct str path = arena_fmt(op->arena, STR_FMT "/init.pid", STR_ARG(bundle));
            if (file_read(-1, path.p, &text, err) < 0 ||
                str_to_u64(str_trim(buf_str(&text)), &pid) < 0) {
                return err_wrap(err, "process of container \"%s\"", slot->name);
            }
        }
    }
    if (pid == 0) {
        return err_set(err, ERR_NOT_FOUND, "target container \"" STR_FMT "\" is not running",
                       STR_ARG(target));
    }
    *ret = arena_fmt(op->arena, "/proc/%llu/ns/pid", (unsigned long long)pid);
    return 0;
}

static int make_slot_dirs(const struct pod *pod, const struct slot *slot, struct err *err)
{
    auto_free char *runs = xasprintf("%s/containers/%s", pod->dir, slot->name);
    auto_free char *logs = xasprintf("%s/%s", pod->log_dir, slot->name);
    int rc = dir_make_all(runs, 0750, err);
    return rc < 0 ? rc : dir_make_all(logs, 0755, err);
}

static struct str rootfs_mark(const struct slot_op *op, const struct image *image)
{
    return arena_fmt(op->arena, "%d " STR_FMT, op->attempt, STR_ARG(image->id));
}

/* The root file system: the one mounted ahead, unless the name has come to mean another image. */
static int take_rootfs(const struct slot_op *op, const struct image *image, const char *dir,
                       struct err *err)
{
    struct image_store *images = op->pod->node->config.images;
    auto_free char *ahead = op->pod->work[op->index]->rootfs;
    op->pod->work[op->index]->rootfs = NULL;
    if (ahead && str_eq(str_of(ahead), rootfs_mark(op, image))) {
        return 0;
    }
    int rc = rootfs_unmount(images, dir, err);
    return rc < 0 ? rc : rootfs_mount(images, image->id, dir, err);
}

static int build_spec(struct slot_op *op, const struct image *image, struct val *ret,
                      struct str *ret_rootfs, struct err *err)
{
    struct pod *pod = op->pod;
    struct node *node = pod->node;
    struct slot *slot = &pod->facts.slots[op->index];
    struct pod_source source = pod_source(pod);
    struct str zone = node->config.cluster_domain;
    struct str hostname = pod_kernel_hostname(pod->facts.pod, zone, op->arena);
    struct env_list env = {.arena = op->arena};
    struct val argv;
    const struct val *config = image ? image->config : NULL;
    int rc = env_build(&source, slot->spec, config, hostname, &env, err);
    if (rc < 0) {
        return rc;
    }
    rc = env_command(slot->spec, config, &env, op->arena, &argv, err);
    if (rc < 0 && node_has_disk(node)) {
        return rc;
    }
    if (!node_has_disk(node)) {
        *ret = val_map();
        *ret_rootfs = S("");
        return 0;
    }
    if (image == NULL) {
        return err_set(err, ERR_INTERNAL, "container \"%s\" has no image", slot->name);
    }
    struct str dir = run_dir(pod, slot, op->attempt, op->arena);
    struct mount_list *mounts = arena_alloc(op->arena, sizeof *mounts);
    if ((rc = make_slot_dirs(pod, slot, err)) < 0 ||
        (rc = collect_mounts(op, dir, &env, mounts, err)) < 0 ||
        (rc = take_rootfs(op, image, dir.p, err)) < 0) {
        return rc;
    }
    *ret_rootfs = arena_fmt(op->arena, STR_FMT "/rootfs", STR_ARG(dir));
    bool is_host = pod_is_host_network(pod->facts.pod);
    struct str pid_path;
    rc = find_pid_path(op, &pid_path, err);
    if (rc < 0) {
        return rc;
    }
    bool is_host_ipc = val_true_at(pod->facts.pod, "spec.hostIPC");
    struct oci_input input = {
        .pod = pod->facts.pod,
        .container = slot->spec,
        .image_config = config,
        .argv = &argv,
        .env = &env,
        .rootfs = ret_rootfs->p,
        .id = run_id(pod, slot, op->attempt, op->arena).p,
        .net_path = is_host || !node->config.net ? S("") : pod_pin(pod, "netns", op->arena),
        .ipc_path = is_host_ipc ? S("") : pod_pin(pod, "ipc", op->arena),
        .uts_path = is_host ? S("") : pod_pin(pod, "uts", op->arena),
        .pid_path = pid_path,
        .mounts = mounts->list,
        .mounts_count = mounts->count,
        .machine = &node->machine,
        .seccomp_dir = arena_fmt(op->arena, STR_FMT "/seccomp", STR_ARG(node->config.root_dir)),
    };
    rc = oci_spec_build(&input, op->arena, ret, err);
    if (rc == 0) {
        note_user(op, ret);
    }
    return rc;
}

static struct container_config runtime_config(const struct slot_op *op)
{
    const struct pod *pod = op->pod;
    const struct slot *slot = &pod->facts.slots[op->index];
    struct str id = run_id(pod, slot, op->attempt, op->arena);
    return (struct container_config){
        .id = id,
        .bundle = run_bundle(pod->node, id, op->arena),
        .log_path = run_log(pod, slot, op->attempt, op->arena),
        .has_stdin = val_is_true(val_get(slot->spec, S("stdin"))),
        .is_stdin_once = val_is_true(val_get(slot->spec, S("stdinOnce"))),
        .has_tty = val_is_true(val_get(slot->spec, S("tty"))),
    };
}

static int next_attempt(const struct slot *slot)
{
    return slot->cur.attempt + (slot->cur.state == RUN_EXITED ? 1 : 0);
}

static void mount_ahead(const struct slot_op *op, const struct image *image)
{
    const struct slot *slot = &op->pod->facts.slots[op->index];
    struct err err = {0};
    struct str dir = run_dir(op->pod, slot, op->attempt, op->arena);
    if (take_rootfs(op, image, dir.p, &err) == 0) {
        op->pod->work[op->index]->rootfs = xstrdup(rootfs_mark(op, image).p);
    }
}

/* What fails here fails again in the create, which says why. */
static void slot_prepare(struct pod *pod, size_t index)
{
    struct node *node = pod->node;
    const struct slot *slot = &pod->facts.slots[index];
    struct runtime *runtime = node->config.runtime;
    struct err err = {0};
    const struct image *image =
        node->config.images
            ? image_find(node->config.images, val_text(val_get(slot->spec, S("image"))))
            : NULL;
    if (!image || !runtime->ops->prepare || make_slot_dirs(pod, slot, &err) < 0) {
        return;
    }
    struct slot_op *op = op_new(pod, index, next_attempt(slot));
    struct container_config config = runtime_config(op);
    runtime->ops->prepare(runtime, &config);
    mount_ahead(op, image);
    op_free(op);
}

void slots_prepare(struct pod *pod)
{
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        if (pod->facts.slots[i].class != SLOT_EPHEMERAL) {
            slot_prepare(pod, i);
        }
        if (pod->facts.slots[i].class == SLOT_INIT || pod->facts.slots[i].class == SLOT_SIDECAR) {
            return; /* the others wait for this one */
        }
    }
}

void slot_create(struct pod *pod, size_t index)
{
    bool has_images = pod->node->config.images != NULL;
    pod->facts.slots[index].is_pending = true;
    const struct image *image = has_images ? slot_image(pod, index) : NULL;
    if (image != NULL || !has_images) {
        slot_create_from(pod, index, image);
    }
}

void slot_create_from(struct pod *pod, size_t index, const struct image *image)
{
    struct node *node = pod->node;
    struct slot *slot = &pod->facts.slots[index];
    bool is_restart = slot->cur.state == RUN_EXITED;
    struct slot_op *op = op_new(pod, index, next_attempt(slot));
    struct val spec;
    struct str rootfs;
    struct err err = {0};
    if (image) {
        note_image(op, image, val_text(val_get(slot->spec, S("image"))));
    }
    if (build_spec(op, image, &spec, &rootfs, &err) < 0) {
        slot_fail(pod, index, "CreateContainerConfigError", err.msg);
        op_free(op);
        return;
    }
    if (is_restart) {
        usec max = 300 * USEC_PER_SEC;
        slot->backoff = slot->backoff ? slot->backoff * 2 : 10 * USEC_PER_SEC;
        slot->backoff = slot->backoff > max ? max : slot->backoff;
        slot->backoff_at = loop_now(node->config.loop);
    }
    struct container_config config = runtime_config(op);
    config.rootfs = rootfs;
    config.oci = &spec;
    node->config.runtime->ops->create(node->config.runtime, &config, created, op);
}

/* --- start --- */

static void started(void *ctx, const struct err *err)
{
    struct slot_op *op = ctx;
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    if (err) {
        fail_start(op, err->msg);
    } else {
        slot->is_pending = false;
        slot_event(pod, op->index, "Normal", "Started", S("Container started"));
        if (slot->cur.state == RUN_CREATED) { /* else it has ended already */
            slot->cur.state = RUN_RUNNING;
            slot->cur.started_wall = loop_wall(pod->node->config.loop);
            slot->is_post_start_done = !val_path(slot->spec, "lifecycle.postStart");
        }
        pod_record_save(pod);
    }
    pod_wake(pod);
    op_free(op);
}

void slot_start(struct pod *pod, size_t index)
{
    struct slot *slot = &pod->facts.slots[index];
    struct runtime *runtime = pod->node->config.runtime;
    struct slot_op *op = op_new(pod, index, slot->cur.attempt);
    slot->is_pending = true;
    runtime->ops->start(runtime, run_id(pod, slot, op->attempt, op->arena), started, op);
}

static void post_started(void *ctx, const struct err *err)
{
    struct slot_op *op = ctx;
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    slot->is_pending = false;
    slot->is_post_start_done = true;
    if (err && slot->cur.state == RUN_RUNNING && slot->cur.attempt == op->attempt) {
        slot_event(pod, op->index, "Warning", "FailedPostStartHook", S("PostStartHook failed"));
        slot->must_restart = true;
        slot->stop_grace = -1;
        text_set(&slot->stop_message, "FailedPostStartHook");
        slot_wait(slot, "PostStartHookError", str_of(err->msg));
    }
    pod_wake(pod);
    op_free(op);
}

void slot_post_start(struct pod *pod, size_t index)
{
    struct slot *slot = &pod->facts.slots[index];
    struct slot_op *op = op_new(pod, index, slot->cur.attempt);
    slot->is_pending = true;
    hook_run(pod, index, val_path(slot->spec, "lifecycle.postStart"), 0, post_started, op);
}
