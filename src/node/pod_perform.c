// SPDX-License-Identifier: Apache-2.0
//
// One pod's worker: keeps the facts, asks pod_decide what to do, performs the steps, writes the
// status. What a step starts completes as a changed fact and another decision.
#define LOG_ROOM "node"
#include "base/enc.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "controllers/meta.h"
#include "node/pod.h"
#include "node/pod_status.h"
#include "node/probe.h"
#include "node/volume.h"
#include "scheduler/host_ports.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

void text_set(char **at, const char *text)
{
    char *copy = text ? xstrdup(text) : NULL;
    free(*at);
    *at = copy;
}

struct str text_clean(struct arena *arena, struct str bytes)
{
    auto_buf struct buf out;
    buf_init(&out, bytes.n * 3 + 1);
    while (bytes.n > 0) {
        struct str good = str_sub(bytes, 0, utf8_valid_prefix(bytes));
        ptrdiff_t nul = str_find(good, '\0');
        good = nul >= 0 ? str_sub(good, 0, (size_t)nul) : good;
        (void)buf_add(&out, good);
        if (good.n < bytes.n) {
            (void)utf8_put(&out, 0xfffd);
        }
        bytes = str_sub(bytes, good.n + 1, bytes.n);
    }
    return arena_dup(arena, buf_str(&out));
}

/* --- events --- */

void pod_event(struct pod *pod, struct str field, const char *type, const char *reason,
               struct str message)
{
    if (!pod->node->config.recorder) {
        return;
    }
    struct event_source source = {S("kubelet"), pod->node->config.name};
    struct arena *arena = arena_new(1 << 20);
    recorder_event(pod->node->config.recorder, source, kind_of(KIND_POD), pod->facts.pod, field,
                   str_of(type), str_of(reason), text_clean(arena, message));
    arena_free(arena);
}

void slot_event(struct pod *pod, size_t index, const char *type, const char *reason,
                struct str message)
{
    const struct slot *slot = &pod->facts.slots[index];
    const char *list = slot->class == SLOT_MAIN        ? "containers"
                       : slot->class == SLOT_EPHEMERAL ? "ephemeralContainers"
                                                       : "initContainers";
    auto_free char *field = xasprintf("spec.%s{%s}", list, slot->name);
    pod_event(pod, str_of(field), type, reason, message);
}

/* --- slots --- */

static struct slot *slot_named(struct pod *pod, struct str name)
{
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        if (str_eq(str_of(pod->facts.slots[i].name), name)) {
            return &pod->facts.slots[i];
        }
    }
    return NULL;
}

static void bind_probes(struct slot *slot)
{
    static const char *const keys[PROBE_TYPE_COUNT] = {"startupProbe", "livenessProbe",
                                                       "readinessProbe"};
    bool can_probe = slot->class == SLOT_MAIN || slot->class == SLOT_SIDECAR;
    for (int t = 0; t < PROBE_TYPE_COUNT; t++) {
        slot->has_probe[t] = can_probe && val_is(val_get(slot->spec, str_of(keys[t])), VAL_MAP);
    }
}

static void add_slot(struct pod *pod, const struct val *spec, enum slot_class class)
{
    struct pod_facts *f = &pod->facts;
    f->slots = xrealloc(f->slots, (f->slots_count + 1) * sizeof *f->slots);
    pod->work = xrealloc(pod->work, (f->slots_count + 1) * sizeof *pod->work);
    struct slot *slot = &f->slots[f->slots_count];
    *slot = (struct slot){.class = class, .spec = spec, .stop_grace = -1};
    struct str name = val_text(val_get(spec, S("name")));
    slot->name = xstrndup(name.n ? name.p : "", name.n);
    bind_probes(slot);
    struct slot_work *work = xcalloc(1, sizeof *work);
    work->pod = pod;
    work->index = f->slots_count;
    pod->work[f->slots_count++] = work;
}

/* Another image has back-offs of its own, and nobody waits for the old one (which pod_decide stops
 * where it runs). */
static void reset_image(struct pod *pod, struct slot *slot, const struct val *spec)
{
    if (!str_eq(val_text(val_get(slot->spec, S("image"))), val_text(val_get(spec, S("image"))))) {
        slot_cancel_pull(pod, (size_t)(slot - pod->facts.slots));
        slot->image_backoff = 0;
        slot->image_at = 0;
        slot->retry_at = 0;
        slot->backoff = 0;
        slot->restart_at = 0;
    }
}

/* Points facts at a new version of the object. before stays alive during the call. */
static void bind_object(struct pod *pod)
{
    static const struct {
        const char *path;
        enum slot_class class;
    } lists[] = {
        {"spec.initContainers",      SLOT_INIT     },
        {"spec.containers",          SLOT_MAIN     },
        {"spec.ephemeralContainers", SLOT_EPHEMERAL}
    };
    pod->facts.pod = object_val(pod->object);
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        const struct val *list = val_path(pod->facts.pod, lists[k].path);
        for (size_t i = 0; i < val_count(list); i++) {
            const struct val *spec = val_at(list, i);
            struct slot *slot = slot_named(pod, val_text(val_get(spec, S("name"))));
            bool is_sidecar = lists[k].class == SLOT_INIT &&
                              str_eq(val_text(val_get(spec, S("restartPolicy"))), S("Always"));
            if (!slot) {
                add_slot(pod, spec, is_sidecar ? SLOT_SIDECAR : lists[k].class);
                continue;
            }
            reset_image(pod, slot, spec);
            slot->spec = spec;
        }
    }
}

static void bind_volumes(struct pod *pod)
{
    struct pod_facts *f = &pod->facts;
    const struct val *list = val_path(f->pod, "spec.volumes");
    f->volumes_count = node_has_disk(pod->node) ? val_count(list) : 0;
    f->volumes = xcalloc(f->volumes_count + 1, sizeof *f->volumes);
    pod->volumes = xcalloc(f->volumes_count + 1, sizeof *pod->volumes);
    for (size_t i = 0; i < f->volumes_count; i++) {
        struct str name = val_text(val_get(val_at(list, i), S("name")));
        f->volumes[i].name = xstrndup(name.p, name.n);
        pod->volumes[i] = volume_new(pod, i);
    }
}

/* --- life --- */

/* What the API remembers when our own record is lost. */
static void recall_attempts(struct pod *pod)
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        const struct val *list = val_path(pod->facts.pod, lists[k]);
        for (size_t i = 0; i < val_count(list); i++) {
            const struct val *status = val_at(list, i);
            struct slot *slot = slot_named(pod, val_text(val_get(status, S("name"))));
            if (slot && val_text(val_get(status, S("containerID"))).n) {
                slot->cur.attempt = (int)val_number(val_get(status, S("restartCount")), 0) + 1;
            }
        }
    }
}

static char *dup_at(const struct val *v, const char *path)
{
    struct str s = val_text_at(v, path);
    return xstrndup(s.n ? s.p : "", s.n);
}

struct pod *pod_new(struct node *node, struct object *object)
{
    struct pod *pod = xcalloc(1, sizeof *pod);
    const struct val *v = object_val(object);
    pod->node = node;
    pod->refs = 1;
    pod->object = object_ref(object);
    pod->uid = dup_at(v, "metadata.uid");
    pod->ns = dup_at(v, "metadata.namespace");
    pod->name = dup_at(v, "metadata.name");
    pod->dir = xasprintf(STR_FMT "/pods/%s", STR_ARG(node->config.root_dir), pod->uid);
    pod->log_dir =
        xasprintf(STR_FMT "/%s_%s_%s", STR_ARG(node->config.log_dir), pod->ns, pod->name, pod->uid);
    pod->facts.runtime = "crun";
    if (node->config.runtime->name.n) {
        pod->facts.runtime = node->config.runtime->name.p;
    }
    text_set(&pod->facts.host_ip, node->host_ip);
    pod->facts.start_wall = loop_wall(node->config.loop);
    bind_object(pod);
    recall_attempts(pod);
    bind_volumes(pod);
    pod->facts.has_dirs = !node_has_disk(node);
    pod_record_load(pod);
    return pod;
}

static void run_done(struct run *run)
{
    free(run->message);
    free(run->image);
    free(run->image_id);
}

static void stop_timers(struct pod *pod)
{
    timer_stop(&pod->wake);
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        timer_stop(&pod->work[i]->kill_timer);
        probes_stop(pod, i);
    }
}

void pod_free(struct pod *pod)
{
    struct pod_facts *f = &pod->facts;
    pod->refs = INT_MAX / 2; /* what its probes held is given back below */
    for (size_t i = 0; i < f->slots_count; i++) {
        slot_cancel_pull(pod, i);
    }
    stop_timers(pod);
    for (size_t i = 0; i < f->slots_count; i++) {
        struct slot *slot = &f->slots[i];
        run_done(&slot->cur);
        run_done(&slot->last);
        free(slot->name);
        free(slot->wait_reason);
        free(slot->wait_message);
        free(slot->image_error);
        free(slot->stop_message);
        free(pod->work[i]->rootfs);
        free(pod->work[i]);
    }
    for (size_t i = 0; i < f->volumes_count; i++) {
        volume_free(pod->volumes[i]);
        free(f->volumes[i].name);
    }
    free(f->slots);
    free(f->volumes);
    free(f->host_ip);
    free(f->end_reason);
    free(f->end_message);
    free(pod->work);
    free(pod->volumes);
    free(pod->uid);
    free(pod->ns);
    free(pod->name);
    free(pod->dir);
    free(pod->log_dir);
    doc_unref(pod->written);
    object_unref(pod->object);
    free(pod);
}

struct pod *pod_ref(struct pod *pod)
{
    pod->refs++;
    return pod;
}

void pod_unref(struct pod *pod)
{
    if (--pod->refs == 0) {
        pod_free(pod);
    }
}

static void take_object(struct pod *pod, struct object *object)
{
    if (object->rev < pod->object->rev) {
        return;
    }
    struct object *before = pod->object;
    pod->object = object_ref(object);
    bind_object(pod);
    bool is_same = val_eq(val_path(object_val(before), "metadata.labels"),
                          val_path(object_val(object), "metadata.labels")) &&
                   val_eq(val_path(object_val(before), "metadata.annotations"),
                          val_path(object_val(object), "metadata.annotations"));
    if (!is_same) {
        volumes_object_changed(pod, KIND_POD, str_of(pod->name));
    }
    object_unref(before);
}

void pod_update(struct pod *pod, struct object *object)
{
    take_object(pod, object);
    if (pod_is_deleting(&pod->facts) && pod->facts.stop_begun_at == 0) {
        pod->facts.stop_begun_at = loop_now(pod->node->config.loop);
    }
    pod_wake(pod);
}

void pod_gone(struct pod *pod, struct object *last)
{
    take_object(pod, last);
    pod->facts.is_gone = true;
    pod->facts.stop_begun_at = loop_now(pod->node->config.loop);
    pod_wake(pod);
}

bool pod_is_dead(const struct pod *pod)
{
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        if (slot_is_alive(&pod->facts.slots[i])) {
            return false;
        }
    }
    return pod->facts.removing_count == 0;
}

/* --- status --- */

static void published(void *ctx, struct object *object, const struct val *val,
                      const struct err *err)
{
    struct pod *pod = ctx;
    (void)val;
    pod->is_writing = false;
    if (!err && object) {
        pod->written_rev = object->rev;
        take_object(pod, object);
    } else if (err) {
        /* Also when it is not found: the event that it is gone comes once that is durable. */
        pod->write_retry_at = loop_now(pod->node->config.loop) +
                              (err->code == ERR_CONFLICT ? 10 * USEC_PER_MS : USEC_PER_SEC);
        doc_unref(pod->written);
        pod->written = NULL;
        if (err->code != ERR_CONFLICT && err->code != ERR_NOT_FOUND) {
            log_warn("status of pod %s/%s: %s, trying again", pod->ns, pod->name, err->msg);
        }
    }
    pod_wake(pod);
    pod_unref(pod);
}

void pod_publish(struct pod *pod)
{
    if (pod->is_writing || pod->facts.is_gone || pod->facts.is_shutdown ||
        pod->facts.now < pod->write_retry_at) {
        return;
    }
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val status = pod_status(&pod->facts, arena);
    bool is_same = val_eq(&status, val_get(pod->facts.pod, S("status")));
    bool is_told = pod->written && pod->written_rev == pod->object->rev &&
                   val_eq(&status, &pod->written->root);
    if (!is_same && !is_told) {
        struct val body = val_copy(arena, pod->facts.pod);
        val_set(arena, &body, S("status"), status);
        struct client_write write = {.verb = VERB_UPDATE,
                                     .kind = KIND_POD,
                                     .subresource = S("status"),
                                     .ns = str_of(pod->ns),
                                     .name = str_of(pod->name),
                                     .body = &body,
                                     .expect_uid = str_of(pod->uid),
                                     .grace_seconds = -1};
        struct err err = {0};
        struct client *client = pod->node->config.client;
        doc_unref(pod->written);
        pod->written = doc_freeze(&status);
        pod->is_writing = true;
        pod_ref(pod);
        if (client->ops->write(client, &write, published, pod, &err) < 0) {
            published(pod, NULL, NULL, &err);
        }
    }
    arena_free(arena);
}

/* --- steps --- */

static void prepare_dirs(struct pod *pod)
{
    struct err err = {0};
    auto_free char *volumes = xasprintf("%s/volumes", pod->dir);
    auto_free char *containers = xasprintf("%s/containers", pod->dir);
    if (dir_make_all(volumes, 0750, &err) < 0 || dir_make_all(containers, 0750, &err) < 0 ||
        dir_make_all(pod->log_dir, 0755, &err) < 0) {
        auto_free char *text = xasprintf("error making pod data directories: %s", err.msg);
        pod_event(pod, S(""), "Warning", "FailedSync", str_of(text));
        pod->facts.dirs_retry_at = loop_now(pod->node->config.loop) + 10 * USEC_PER_SEC;
        return;
    }
    pod->facts.has_dirs = true;
    pod->facts.has_mounts = true;
    pod_record_save(pod);
}

static void back_off(struct pod *pod, size_t index)
{
    struct slot *slot = &pod->facts.slots[index];
    struct arena *arena = arena_new(1 << 20);
    char span[TIME_TEXT_MAX];
    span_format_go(slot->backoff, span);
    struct str who = pod_rendering(arena, pod->facts.pod);
    text_set(&slot->wait_reason, "CrashLoopBackOff");
    text_set(&slot->wait_message,
             arena_fmt(arena, "back-off %s restarting failed container=%s pod=" STR_FMT, span,
                       slot->name, STR_ARG(who))
                 .p);
    slot->is_backoff_told = true;
    slot_event(pod, index, "Warning", "BackOff",
               arena_fmt(arena, "Back-off restarting failed container %s in pod " STR_FMT,
                         slot->name, STR_ARG(who)));
    arena_free(arena);
}

static void fail(struct pod *pod, struct str reason)
{
    struct arena *arena = arena_new(1 << 16);
    struct str why = pod->facts.is_port_taken
                         ? S("Predicate NodePorts failed: node(s) didn't have free ports for the "
                             "requested pod ports")
                         : pod_forbidden_sysctl(pod->facts.pod, arena);
    bool is_rejected = why.n > 0;
    struct str text = is_rejected
                          ? arena_fmt(arena, "Pod was rejected: " STR_FMT, STR_ARG(why))
                          : S("Pod was active on the node longer than the specified deadline");
    auto_free char *name = xstrndup(reason.p, reason.n);
    text_set(&pod->facts.end_reason, name);
    text_set(&pod->facts.end_message, text.p);
    pod->facts.stop_begun_at = loop_now(pod->node->config.loop);
    pod_event(pod, S(""), is_rejected ? "Warning" : "Normal", name, is_rejected ? why : text);
    pod_record_save(pod);
    arena_free(arena);
}

static void deleted(void *ctx, struct object *object, const struct val *val, const struct err *err)
{
    struct pod *pod = ctx;
    (void)object;
    (void)val;
    if (err && (err->code == ERR_NOT_FOUND || err->code == ERR_CONFLICT)) {
        pod->facts.is_gone = true;
    } else if (err) {
        pod->facts.is_deleting = false;
        pod->facts.delete_retry_at = loop_now(pod->node->config.loop) + USEC_PER_SEC;
        log_warn("removing pod %s/%s: %s, trying again", pod->ns, pod->name, err->msg);
    }
    pod_wake(pod);
    pod_unref(pod);
}

static void delete_object(struct pod *pod)
{
    struct client_write write = {.verb = VERB_DELETE,
                                 .kind = KIND_POD,
                                 .ns = str_of(pod->ns),
                                 .name = str_of(pod->name),
                                 .expect_uid = str_of(pod->uid),
                                 .grace_seconds = 0};
    struct err err = {0};
    struct client *client = pod->node->config.client;
    pod->facts.is_deleting = true;
    pod_ref(pod);
    if (client->ops->write(client, &write, deleted, pod, &err) < 0) {
        deleted(pod, NULL, NULL, &err);
    }
}

/* What is left on disk of a pod that is forgotten: an emptyDir may hold anything. */
struct remains {
    char *name;
    char *dirs[2];
    struct err err;
};

static void remove_dirs(void *ctx)
{
    struct remains *r = ctx;
    for (size_t i = 0; i < ARRAY_LEN(r->dirs) && r->err.code == 0; i++) {
        r->err.code = dir_remove_all(AT_FDCWD, r->dirs[i], &r->err);
    }
}

static void dirs_removed(void *ctx)
{
    struct remains *r = ctx;
    if (r->err.code < 0) {
        log_warn("removing the directories of pod %s: %s, ignoring", r->name, r->err.msg);
    }
    free(r->name);
    free(r->dirs[0]);
    free(r->dirs[1]);
    free(r);
}

static void forget(struct pod *pod)
{
    if (node_has_disk(pod->node)) {
        struct remains *r = xcalloc(1, sizeof *r);
        *r = (struct remains){
            .name = xasprintf("%s/%s", pod->ns, pod->name),
            .dirs = {xstrdup(pod->dir), xstrdup(pod->log_dir)}
        };
        loop_work(pod->node->config.loop, remove_dirs, dirs_removed, r);
    }
    stop_timers(pod);
    pod->is_over = true;
    node_forget_pod(pod->node, pod);
}

static void perform(struct pod *pod, const struct step *step)
{
    switch (step->type) {
    case STEP_PREPARE_DIRS:
        prepare_dirs(pod);
        break;
    case STEP_NETWORK_UP:
        pod_network_up(pod);
        break;
    case STEP_MOUNT_VOLUME:
        volume_mount(pod->volumes[step->index]);
        break;
    case STEP_CREATE:
        slot_create(pod, step->index);
        break;
    case STEP_START:
        slot_start(pod, step->index);
        break;
    case STEP_POST_START:
        slot_post_start(pod, step->index);
        break;
    case STEP_BACK_OFF:
        back_off(pod, step->index);
        break;
    case STEP_STOP:
        slot_stop(pod, step->index, step->grace, step->message);
        break;
    case STEP_DISCARD:
        slot_discard(pod, step->index);
        break;
    case STEP_CANCEL:
        slot_cancel_pull(pod, step->index);
        break;
    case STEP_FAIL:
        fail(pod, step->message);
        break;
    case STEP_NETWORK_DOWN:
        pod_network_down(pod);
        break;
    case STEP_UNMOUNT:
        volumes_unmount(pod);
        break;
    case STEP_DELETE_OBJECT:
        delete_object(pod);
        break;
    case STEP_FORGET:
        forget(pod);
        break;
    }
}

/* --- the turn --- */

static bool is_blocked(const struct pod *pod)
{
    const struct map *pods = &pod->node->pods;
    for (size_t i = 0; i < pods->count; i++) {
        const struct pod *other = pods->entries[i].value;
        if (other != pod && str_eq(str_of(other->name), str_of(pod->name)) &&
            str_eq(str_of(other->ns), str_of(pod->ns)) && !pod_is_dead(other)) {
            return true;
        }
    }
    return false;
}

/* Only of a pod that is about to begin: one bound by hand, since the scheduler looks, too. */
static bool is_port_taken(const struct pod *pod)
{
    const struct map *pods = &pod->node->pods;
    for (size_t i = 0; i < pods->count && !pod->facts.has_dirs; i++) {
        const struct pod *other = pods->entries[i].value;
        bool is_over =
            pod_is_terminal(other->facts.pod) || (other->facts.is_gone && pod_is_dead(other));
        if (other != pod && other->facts.has_dirs && !is_over &&
            host_ports_clash(val_get(pod->facts.pod, S("spec")),
                             val_get(other->facts.pod, S("spec")))) {
            return true;
        }
    }
    return false;
}

static void wake_again(void *ctx)
{
    pod_wake(ctx);
}

static void read_clock(struct pod *pod)
{
    struct loop *loop = pod->node->config.loop;
    pod->facts.now = loop_now(loop);
    pod->facts.now_wall = loop_wall(loop);
    pod->facts.is_shutdown = pod->node->is_shutdown;
}

/* Decides until a decision brings nothing that can be done at once. */
static void decide_and_perform(struct pod *pod)
{
    struct plan *plan = xcalloc(1, sizeof *plan);
    struct arena *arena = arena_new(1 << 20);
    for (int round = 0; round < 8 && !pod->is_over; round++) {
        pod->facts.is_blocked = is_blocked(pod) || node_orphan_blocks(pod);
        pod->facts.is_port_taken = is_port_taken(pod);
        pod->facts.name_wait_until = pod_name_wait(pod);
        pod_decide(&pod->facts, arena, plan);
        for (size_t i = 0; i < plan->count && !pod->is_over; i++) {
            perform(pod, &plan->steps[i]);
        }
        if (plan->count == 0) {
            break;
        }
    }
    usec wake = plan->wake_at;
    if (!pod->is_over) {
        pod_publish(pod);
        if (pod->write_retry_at > pod->facts.now && (wake == 0 || pod->write_retry_at < wake)) {
            wake = pod->write_retry_at;
        }
        timer_stop(&pod->wake);
        if (wake > 0) {
            usec delay = wake > pod->facts.now ? wake - pod->facts.now : 0;
            timer_start(pod->node->config.loop, &pod->wake, delay, wake_again, pod);
        }
    }
    arena_free(arena);
    free(plan);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the wake holds a reference until the end */
static void sync_pod(void *ctx)
{
    struct pod *pod = ctx;
    pod->is_wake_asked = false;
    if (!pod->is_over) {
        read_clock(pod);
        if (pod_is_deleting(&pod->facts) && pod->facts.stop_begun_at == 0) {
            pod->facts.stop_begun_at = pod->facts.now;
        }
        pod_publish(pod); /* what happened is told before what is done about it */
        probes_update(pod);
        decide_and_perform(pod);
    }
    pod_unref(pod);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

void pod_wake(struct pod *pod)
{
    if (!pod->is_wake_asked && !pod->is_over) {
        pod->is_wake_asked = true;
        pod_ref(pod);
        loop_defer(pod->node->config.loop, sync_pod, pod);
    }
}
