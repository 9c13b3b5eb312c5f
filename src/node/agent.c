// SPDX-License-Identifier: Apache-2.0
//
// The node agent: adopts what an earlier brain left, then one worker a pod that is bound here.
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/pod.h"
#include "node/probe.h"
#include "node/volume.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

bool node_has_disk(const struct node *node)
{
    return node->config.root_dir.n > 0;
}

/* --- the network lane --- */

struct lane_job {
    struct list node;
    struct node *owner;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void lane_next(struct node *node);

static void lane_work(void *ctx)
{
    struct lane_job *job = ctx;
    job->work(job->ctx);
}

static void lane_done(void *ctx)
{
    struct lane_job *job = ctx;
    struct node *node = job->owner;
    node->is_lane_busy = false;
    lane_next(node);
    job->done(job->ctx);
    free(job);
}

static void lane_next(struct node *node)
{
    if (node->is_lane_busy || list_empty(&node->lane)) {
        return;
    }
    struct lane_job *job = container_of(node->lane.next, struct lane_job, node);
    list_remove(&job->node);
    node->is_lane_busy = true;
    loop_work(node->config.loop, lane_work, lane_done, job);
}

void node_lane(struct node *node, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct lane_job *job = xcalloc(1, sizeof *job);
    *job = (struct lane_job){.owner = node, .work = work, .done = done, .ctx = ctx};
    list_init(&job->node);
    list_add_tail(&node->lane, &job->node);
    lane_next(node);
}

/* --- addresses --- */

#define FLOWS_LIVE (180 * USEC_PER_SEC) /* the longest that conntrack keeps a silent UDP flow */

static bool is_address_taken(const struct node *node, uint32_t address)
{
    char text[IP4_TEXT_MAX];
    ip4_format(address, text);
    for (size_t i = 0; i < node->pods.count; i++) {
        const struct pod *pod = node->pods.entries[i].value;
        if (pod->holds_ip && str_eq(str_of(pod->facts.ip), str_of(text))) {
            return true;
        }
    }
    return false;
}

/* Goes on after the last one, so that a freed address rests. .0 is the network, .1 the node, the
 * last one broadcast. */
uint32_t node_take_address(struct node *node)
{
    uint32_t base = node->config.pod_cidr;
    uint32_t size = node->config.pod_prefix >= 31 ? 0 : 1u << (32 - node->config.pod_prefix);
    for (uint32_t step = 1; step < size; step++) {
        uint32_t at = (node->ip_last - base + step) % size;
        if (at >= 2 && at < size - 1 && !is_address_taken(node, base + at)) {
            node->has_ip_wrapped = node->has_ip_wrapped || base + at < node->ip_last;
            node->ip_last = base + at;
            return base + at;
        }
    }
    return 0;
}

static void recall_address(struct node *node, const struct pod *pod)
{
    uint32_t address;
    if (pod->holds_ip && ip4_parse(str_of(pod->facts.ip), &address) == 0 &&
        address > node->ip_last) {
        node->ip_last = address;
    }
}

/* --- pods --- */

void node_wake_all(struct node *node)
{
    for (size_t i = 0; i < node->pods.count; i++) {
        pod_wake(node->pods.entries[i].value);
    }
}

static void check_shutdown(struct node *node);

void node_forget_pod(struct node *node, struct pod *pod)
{
    (void)map_remove(&node->pods, str_of(pod->uid));
    node_wake_all(node);
    pod_unref(pod);
}

static bool is_ours(const struct node *node, const struct val *pod)
{
    return str_eq(val_text_at(pod, "spec.nodeName"), node->config.name);
}

static void add_pod(struct node *node, struct object *object)
{
    struct pod *pod = pod_new(node, object);
    map_put(&node->pods, str_of(pod->uid), pod);
    recall_address(node, pod);
    pod_wake(pod);
}

static void pod_changed(void *ctx, const struct kind *kind, struct object *object,
                        struct object *before, bool is_delete)
{
    struct node *node = ctx;
    const struct val *v = object_val(object);
    (void)kind;
    (void)before;
    if (!is_ours(node, v)) {
        return;
    }
    struct pod *pod = map_find(&node->pods, val_text_at(v, "metadata.uid"));
    if (pod && is_delete) {
        pod_gone(pod, object);
    } else if (pod) {
        pod_update(pod, object);
    } else if (!is_delete) {
        add_pod(node, object);
    }
}

/* Something that a pod may wait for, or show in its files. */
static void material_changed(void *ctx, const struct kind *kind, struct object *object,
                             struct object *before, bool is_delete)
{
    struct node *node = ctx;
    const struct val *v = object_val(object);
    struct str ns = val_text_at(v, "metadata.namespace");
    struct str name = val_text_at(v, "metadata.name");
    enum kind_id id = kind == kind_of(KIND_SECRET) ? KIND_SECRET
                      : kind == kind_of(KIND_PVC)  ? KIND_PVC
                      : kind == kind_of(KIND_PV)   ? KIND_PV
                                                   : KIND_CONFIG_MAP;
    (void)before;
    for (size_t i = 0; i < node->pods.count; i++) {
        struct pod *pod = node->pods.entries[i].value;
        if (id == KIND_PV || str_eq(str_of(pod->ns), ns)) {
            volumes_object_changed(pod, id, name);
        }
    }
    if (id == KIND_PV && !is_delete) {
        node_volume_event(node, object);
    }
}

/* --- containers --- */

static void container_exited(void *ctx, const struct container_fact *fact)
{
    struct node *node = ctx;
    struct str uid;
    struct str name;
    int attempt;
    if (!run_id_split(fact->id, &uid, &name, &attempt)) {
        return;
    }
    /* What was found may end before its pod is known: the pod takes over the fact from here. */
    struct container_fact *found = map_find(&node->found, fact->id);
    if (found) {
        *found = *fact;
    }
    if (node_orphan_exited(node, fact->id)) {
        return;
    }
    struct pod *pod = map_find(&node->pods, uid);
    for (size_t i = 0; pod && i < pod->facts.slots_count; i++) {
        const struct slot *slot = &pod->facts.slots[i];
        bool is_alive = slot->cur.state == RUN_RUNNING || slot->cur.state == RUN_CREATED;
        if (is_alive && slot->cur.attempt == attempt && str_eq(str_of(slot->name), name)) {
            slot_exited(pod, i, fact);
            check_shutdown(node);
            return;
        }
    }
}

static void found_container(void *ctx, const struct container_fact *fact)
{
    struct node *node = ctx;
    struct container_fact *copy = xcalloc(1, sizeof *copy);
    *copy = *fact;
    free(map_put(&node->found, fact->id, copy));
}

static void ignore_done(void *ctx, const struct err *err)
{
    (void)ctx;
    (void)err;
}

/* --- starting --- */

/* The pods are known: whatever else runs is an orphan. */
static void begin(void *ctx)
{
    struct node *node = ctx;
    node_orphans_find(node);
    node_wake_all(node);
}

/* What the runtime has is known: asks for the pods. */
static void adopted(void *ctx, const struct err *err)
{
    struct node *node = ctx;
    struct client *client = node->config.client;
    if (err) {
        log_error("asking the runtime for its containers: %s, going on without", err->msg);
    }
    client->ops->watch(client, KIND_POD, pod_changed, node);
    client->ops->watch(client, KIND_CONFIG_MAP, material_changed, node);
    client->ops->watch(client, KIND_SECRET, material_changed, node);
    client->ops->watch(client, KIND_PVC, material_changed, node);
    client->ops->watch(client, KIND_PV, material_changed, node);
    client->ops->watch(client, KIND_ENDPOINT_SLICE, pod_names_changed, node);
    node_images_start(node);
    /* Behind the watches' first answers. A list of our own could name a pod that is gone by then,
     * and no watch would tell. */
    timer_start(node->config.loop, &node->orphan_timer, 0, begin, node);
}

static int make_dirs(struct node *node, struct err *err)
{
    static const char *const under_run[] = {"ipc", "uts", "netns", "b"};
    auto_free char *pods = xasprintf(STR_FMT "/pods", STR_ARG(node->config.root_dir));
    int rc = dir_make_all(pods, 0750, err);
    rc = rc == 0 ? dir_make_all(node->config.log_dir.p, 0755, err) : rc;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(under_run); i++) {
        auto_free char *path =
            xasprintf(STR_FMT "/%s", STR_ARG(node->config.run_dir), under_run[i]);
        rc = dir_make_all(path, 0755, err);
    }
    /* Mount points are known to the kernel by their real paths. */
    auto_free char *real = rc == 0 ? realpath(node->config.root_dir.p, NULL) : NULL;
    if (real) {
        node->config.root_dir = arena_dup(node->arena, str_of(real));
    }
    return rc;
}

static void copy_config(struct node *node, const struct node_config *config)
{
    node->config = *config;
    struct node_config *c = &node->config;
    struct str *const texts[] = {&c->name,           &c->root_dir, &c->log_dir,     &c->cluster_dns,
                                 &c->cluster_domain, &c->run_dir,  &c->volumes_dir, &c->version};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        *texts[i] = arena_dup(node->arena, *texts[i]);
    }
    if (c->run_dir.n == 0) {
        c->run_dir = S("/run/coracle");
    }
    if (c->version.n == 0) {
        c->version = S("v1.35.0+coracle");
    }
    if (c->volumes_dir.n == 0 && c->root_dir.n) {
        c->volumes_dir = arena_fmt(node->arena, STR_FMT "/../volumes", STR_ARG(c->root_dir));
    }
    if (c->pod_prefix == 0) {
        c->pod_cidr = 10u << 24 | 244u << 16;
        c->pod_prefix = 16;
    }
}

static int lookup_open(struct node *node, struct err *err);

struct node *node_new(const struct node_config *config, struct err *err)
{
    struct node *node = xcalloc(1, sizeof *node);
    node->arena = arena_new(1 << 20);
    copy_config(node, config);
    list_init(&node->lane);
    node->ip_last = node->config.pod_cidr + 1;
    if (node->config.net && pod_net_was_up(node->config.net)) {
        node->flows_until = loop_now(node->config.loop) + FLOWS_LIVE;
    }
    uint32_t address =
        node->config.net ? pod_net_node_address(node->config.net) : node->config.pod_cidr + 1;
    ip4_format(address, node->host_ip);
    oci_machine_probe(config->has_one_id, config->has_cgroups, &node->machine);
    node->machine.cgroup_parent = config->cgroup_parent;
    if ((node_has_disk(node) && make_dirs(node, err) < 0) || lookup_open(node, err) < 0) {
        arena_free(node->arena);
        free(node);
        return NULL;
    }
    struct runtime *runtime = node->config.runtime;
    runtime->exited = container_exited;
    runtime->exited_ctx = node;
    node_register(node);
    runtime->ops->adopt(runtime, found_container, adopted, node);
    return node;
}

void node_free(struct node *node)
{
    if (!node) {
        return;
    }
    node_registration_stop(node);
    node_images_stop(node);
    node_orphans_done(node);
    timer_stop(&node->shutdown_timer);
    if (node->sessions) {
        sessions_close(node->sessions);
    }
    for (size_t i = 0; i < node->pods.count; i++) {
        pod_free(node->pods.entries[i].value);
    }
    map_done(&node->pods, NULL);
    doc_unref(node->allocatable);
    arena_free(node->arena);
    free(node);
}

/* --- shutting down --- */

static void shutdown_over(void *ctx)
{
    struct node *node = ctx;
    timer_stop(&node->shutdown_timer);
    if (node->shutdown_done) {
        void (*done)(void *) = node->shutdown_done;
        node->shutdown_done = NULL;
        done(node->shutdown_ctx);
    }
}

static void shutdown_late(void *ctx)
{
    struct node *node = ctx;
    struct runtime *runtime = node->config.runtime;
    struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < node->pods.count; i++) {
        struct pod *pod = node->pods.entries[i].value;
        for (size_t k = 0; k < pod->facts.slots_count; k++) {
            const struct slot *slot = &pod->facts.slots[k];
            if (slot->cur.state == RUN_RUNNING) {
                runtime->ops->kill(runtime, run_id(pod, slot, slot->cur.attempt, arena), SIGKILL,
                                   ignore_done, node);
            }
        }
    }
    arena_free(arena);
    shutdown_over(node);
}

static void check_shutdown(struct node *node)
{
    if (!node->is_shutdown || !node->shutdown_done) {
        return;
    }
    for (size_t i = 0; i < node->pods.count; i++) {
        const struct pod *pod = node->pods.entries[i].value;
        for (size_t k = 0; k < pod->facts.slots_count; k++) {
            if (slot_is_alive(&pod->facts.slots[k])) {
                return;
            }
        }
    }
    timer_start(node->config.loop, &node->shutdown_timer, 0, shutdown_over, node);
}

void node_shutdown(struct node *node, usec limit, void (*done)(void *ctx), void *ctx)
{
    node->is_shutdown = true;
    node->shutdown_done = done;
    node->shutdown_ctx = ctx;
    for (size_t i = 0; i < node->pods.count; i++) {
        struct pod *pod = node->pods.entries[i].value;
        if (pod->facts.stop_begun_at == 0) {
            pod->facts.stop_begun_at = loop_now(node->config.loop);
        }
    }
    node_wake_all(node);
    timer_start(node->config.loop, &node->shutdown_timer, limit, shutdown_late, node);
    check_shutdown(node);
}

/* --- sessions --- */

const struct session_ops *node_session_ops(void)
{
    return sessions_ops();
}

void *node_sessions(struct node *node)
{
    return node->sessions;
}

static int lookup_open(struct node *node, struct err *err)
{
    struct pod_lookup lookup;
    if (!node_has_disk(node)) {
        return 0; /* simulation: no descriptors, no sessions */
    }
    pod_lookup_fill(node, &lookup);
    node->sessions = sessions_open(node->config.loop, node->config.runtime, &lookup, err);
    return node->sessions ? 0 : err->code;
}
