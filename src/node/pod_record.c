// SPDX-License-Identifier: Apache-2.0
//
// A pod's record, <pod dir>/worker.json: what a new brain needs to go on where the old one stopped
// (attempts, exits, address, back-off, start time). Written without fsync: it must survive a killed
// brain, and a power cut takes the containers with it anyway; a record that is torn or lost leaves
// the restart counts of the API's status.
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "data/json.h"
#include "node/plain_file.h"
#include "node/pod.h"
#include "node/probe.h"

#include <fcntl.h>
#include <stdio.h>

/* --- saving --- */

static void put_text(struct arena *arena, struct val *map, struct str key, const char *text)
{
    if (text) {
        val_set(arena, map, key, val_str(str_of(text)));
    }
}

static struct val run_val(const struct run *run, struct arena *arena)
{
    struct val v = val_map();
    val_set(arena, &v, S("state"), val_int(run->state));
    val_set(arena, &v, S("attempt"), val_int(run->attempt));
    val_set(arena, &v, S("sandbox"), val_int(run->sandbox));
    val_set(arena, &v, S("exitCode"), val_int(run->exit_code));
    val_set(arena, &v, S("isOom"), val_bool(run->is_oom));
    val_set(arena, &v, S("isLost"), val_bool(run->is_lost));
    val_set(arena, &v, S("isStartError"), val_bool(run->is_start_error));
    val_set(arena, &v, S("started"), val_int(run->started_wall));
    val_set(arena, &v, S("finished"), val_int(run->finished_wall));
    put_text(arena, &v, S("message"), run->message);
    put_text(arena, &v, S("image"), run->image);
    put_text(arena, &v, S("imageID"), run->image_id);
    if (run->user.is_known) {
        struct val groups = val_list();
        for (size_t i = 0; i < run->user.groups_count; i++) {
            val_push(arena, &groups, val_int(run->user.groups[i]));
        }
        val_set(arena, &v, S("uid"), val_int(run->user.uid));
        val_set(arena, &v, S("groups"), groups);
    }
    return v;
}

void pod_record_save(struct pod *pod)
{
    if (!node_has_disk(pod->node) || !pod->facts.has_dirs) {
        return;
    }
    const struct pod_facts *f = &pod->facts;
    struct loop *loop = pod->node->config.loop;
    usec to_wall = loop_wall(loop) - loop_now(loop);
    struct arena *arena = arena_new(1 << 20);
    struct val root = val_map();
    struct val slots = val_map();
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        struct val v = val_map();
        val_set(arena, &v, S("cur"), run_val(&slot->cur, arena));
        val_set(arena, &v, S("last"), run_val(&slot->last, arena));
        val_set(arena, &v, S("backoff"), val_int(slot->backoff));
        val_set(arena, &v, S("backoffAt"), val_int(slot->backoff_at + to_wall));
        val_set(arena, &v, S("restartAt"), val_int(slot->restart_at + to_wall));
        val_set(arena, &slots, str_of(slot->name), v);
    }
    val_set(arena, &root, S("slots"), slots);
    val_set(arena, &root, S("name"), val_str(str_of(pod->name)));
    val_set(arena, &root, S("namespace"), val_str(str_of(pod->ns)));
    val_set(arena, &root, S("ip"), val_str(str_of(f->ip)));
    val_set(arena, &root, S("holdsIP"), val_bool(pod->holds_ip));
    val_set(arena, &root, S("sandbox"), val_int(f->sandbox));
    val_set(arena, &root, S("hasSandbox"), val_bool(f->sandbox_state == SANDBOX_READY));
    val_set(arena, &root, S("start"), val_int(f->start_wall));
    put_text(arena, &root, S("endReason"), f->end_reason);
    put_text(arena, &root, S("endMessage"), f->end_message);
    auto_buf struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    auto_free char *path = xasprintf("%s/worker.json", pod->dir);
    struct err err = {0};
    if (json_write(&out, &root) < 0 || file_write_plain(path, buf_str(&out), 0600, &err) < 0) {
        log_warn("record of pod %s/%s: %s, ignoring", pod->ns, pod->name, err.msg);
    }
    arena_free(arena);
}

/* --- loading --- */

static void take_text(const struct val *map, struct str key, char **ret)
{
    struct str s = val_text(val_get(map, key));
    if (s.n) {
        auto_free char *text = xstrndup(s.p, s.n);
        text_set(ret, text);
    }
}

static void take_run(const struct val *v, struct run *run)
{
    int64_t state = val_number(val_get(v, S("state")), RUN_NONE);
    if (!v || state < RUN_NONE || state > RUN_EXITED) {
        return;
    }
    run->state = (enum run_state)state;
    run->attempt = (int)val_number(val_get(v, S("attempt")), 0);
    run->sandbox = (int)val_number(val_get(v, S("sandbox")), 0);
    run->exit_code = (int)val_number(val_get(v, S("exitCode")), 0);
    run->is_oom = val_is_true(val_get(v, S("isOom")));
    run->is_lost = val_is_true(val_get(v, S("isLost")));
    run->is_start_error = val_is_true(val_get(v, S("isStartError")));
    run->started_wall = val_number(val_get(v, S("started")), 0);
    run->finished_wall = val_number(val_get(v, S("finished")), 0);
    take_text(v, S("message"), &run->message);
    take_text(v, S("image"), &run->image);
    take_text(v, S("imageID"), &run->image_id);
    const struct val *groups = val_get(v, S("groups"));
    for (size_t i = 0; i < val_count(groups) && i < RUN_GROUPS_MAX; i++) {
        run->user.is_known = true;
        run->user.groups[run->user.groups_count++] = (uint32_t)val_number(val_at(groups, i), 0);
    }
    run->user.uid = (uint32_t)val_number(val_get(v, S("uid")), 0);
}

static void take_slot(struct pod *pod, struct slot *slot, const struct val *v)
{
    struct loop *loop = pod->node->config.loop;
    usec to_mono = loop_now(loop) - loop_wall(loop);
    if (!v) {
        return;
    }
    take_run(val_get(v, S("cur")), &slot->cur);
    take_run(val_get(v, S("last")), &slot->last);
    slot->backoff = val_number(val_get(v, S("backoff")), 0);
    slot->backoff_at = val_number(val_get(v, S("backoffAt")), 0) + to_mono;
    slot->restart_at = val_number(val_get(v, S("restartAt")), 0) + to_mono;
    usec latest = loop_now(loop) + slot->backoff; /* the clock may have jumped meanwhile */
    slot->restart_at = slot->restart_at > latest ? latest : slot->restart_at;
}

/* The whole cluster had ended, by `down` or a power cut: no container of it failed by itself. */
static void forget_backoff(struct pod_facts *f)
{
    for (size_t i = 0; i < f->slots_count; i++) {
        f->slots[i].backoff = 0;
        f->slots[i].restart_at = 0;
    }
}

static void take_root(struct pod *pod, const struct val *root)
{
    struct pod_facts *f = &pod->facts;
    const struct val *slots = val_get(root, S("slots"));
    for (size_t i = 0; i < f->slots_count; i++) {
        take_slot(pod, &f->slots[i], val_get(slots, str_of(f->slots[i].name)));
    }
    struct str ip = val_text(val_get(root, S("ip")));
    if (ip.n < sizeof f->ip) {
        memcpy(f->ip, ip.p, ip.n);
        f->ip[ip.n] = '\0';
    }
    pod->holds_ip = val_is_true(val_get(root, S("holdsIP")));
    f->sandbox = (int)val_number(val_get(root, S("sandbox")), 0);
    f->start_wall = val_number(val_get(root, S("start")), f->start_wall);
    take_text(root, S("endReason"), &f->end_reason);
    take_text(root, S("endMessage"), &f->end_message);
    f->has_dirs = true;
    f->has_mounts = true;
    if (val_is_true(val_get(root, S("hasSandbox")))) {
        if (pod_sandbox_exists(pod)) {
            f->sandbox_state = SANDBOX_READY;
        } else {
            f->sandbox++;
            forget_backoff(f);
            pod_event(pod, S(""), "Normal", "SandboxChanged",
                      S("Pod sandbox changed, it will be killed and re-created."));
        }
    }
}

/* The newest instance of this slot that the runtime has; -1 = none. An older one that still runs
 * beside it is an orphan. */
static int find_newest(const struct pod *pod, const struct slot *slot,
                       const struct container_fact **ret)
{
    int newest = -1;
    *ret = NULL;
    for (size_t i = 0; i < pod->node->found.count; i++) {
        struct str uid;
        struct str name;
        int attempt;
        if (run_id_split(pod->node->found.entries[i].key, &uid, &name, &attempt) &&
            str_eq(uid, str_of(pod->uid)) && str_eq(name, str_of(slot->name)) && attempt > newest) {
            newest = attempt;
            *ret = pod->node->found.entries[i].value;
        }
    }
    return newest;
}

static void adopt_slot(struct pod *pod, size_t index)
{
    struct slot *slot = &pod->facts.slots[index];
    const struct container_fact *fact;
    int newest = find_newest(pod, slot, &fact);
    if (slot->cur.state == RUN_NONE && newest >= slot->cur.attempt - 1) {
        slot->cur.attempt = newest < 0 ? 0 : newest; /* no record: the API may know one less */
    } else if (newest > slot->cur.attempt) {
        /* Made just before the old brain died: one further than the record. */
        slot->last = slot->cur;
        slot->cur = (struct run){.attempt = newest, .sandbox = pod->facts.sandbox};
        slot->cur.image = slot->last.image ? xstrdup(slot->last.image) : NULL;
        slot->cur.image_id = slot->last.image_id ? xstrdup(slot->last.image_id) : NULL;
    } else if (newest < slot->cur.attempt) {
        fact = NULL; /* what is left of an instance that ended */
    }
    if (!fact && (slot->cur.state == RUN_RUNNING || slot->cur.state == RUN_CREATED)) {
        struct container_fact lost = {.exit_code = 137, .is_lost = true};
        slot_exited(pod, index, &lost);
        return;
    }
    if (!fact) {
        return;
    }
    probes_reset(slot);
    switch (fact->state) {
    case CONTAINER_CREATED:
        slot->cur.state = RUN_CREATED;
        break;
    case CONTAINER_RUNNING:
        slot->cur.state = RUN_RUNNING;
        slot->cur.started_wall = fact->started_wall;
        slot->is_post_start_done = true; /* hooks are not run again */
        slot->verdicts[PROBE_STARTUP] =
            slot->has_probe[PROBE_STARTUP] ? VERDICT_UNKNOWN : VERDICT_SUCCESS;
        break;
    case CONTAINER_EXITED:
        slot_exited(pod, index, fact);
        break;
    }
}

/* A ready container stays ready over a restart of the brain: its probes start from what the API
 * says. */
static void recall_ready(struct pod *pod)
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        const struct val *list = val_path(pod->facts.pod, lists[k]);
        for (size_t i = 0; i < pod->facts.slots_count; i++) {
            struct slot *slot = &pod->facts.slots[i];
            for (size_t j = 0; j < val_count(list); j++) {
                const struct val *status = val_at(list, j);
                if (slot->cur.state != RUN_RUNNING ||
                    !str_eq(val_text(val_get(status, S("name"))), str_of(slot->name))) {
                    continue;
                }
                if (val_is_true(val_get(status, S("started")))) {
                    slot->verdicts[PROBE_STARTUP] = VERDICT_SUCCESS;
                }
                if (val_is_true(val_get(status, S("ready")))) {
                    slot->verdicts[PROBE_READINESS] = VERDICT_SUCCESS;
                }
            }
        }
    }
}

/* Without a record the API's status must do: address and start time. */
static void recall_status(struct pod *pod)
{
    struct str ip = val_text_at(pod->facts.pod, "status.podIP");
    struct str start = val_text_at(pod->facts.pod, "status.startTime");
    usec wall;
    if (ip.n > 0 && ip.n < sizeof pod->facts.ip && !pod_is_host_network(pod->facts.pod)) {
        memcpy(pod->facts.ip, ip.p, ip.n);
        pod->facts.ip[ip.n] = '\0';
        uint32_t address;
        pod->holds_ip = ip4_parse(ip, &address) == 0;
    }
    if (time_parse(start, &wall) == 0) {
        pod->facts.start_wall = wall;
    }
}

void pod_record_load(struct pod *pod)
{
    auto_free char *path = xasprintf("%s/worker.json", pod->dir);
    auto_buf struct buf text;
    struct arena *arena = arena_new((size_t)4 * BODY_BYTES_MAX);
    struct val root;
    struct err err = {0};
    buf_init(&text, BODY_BYTES_MAX);
    recall_status(pod);
    bool has_record = node_has_disk(pod->node) && file_read(AT_FDCWD, path, &text, &err) == 0;
    if (has_record && json_read(buf_str(&text), arena, NULL, &root, &err) == 0) {
        take_root(pod, &root);
    } else if (has_record) {
        log_warn("%s: %s, ignoring", path, err.msg);
    }
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        adopt_slot(pod, i);
    }
    recall_ready(pod);
    arena_free(arena);
}
