// SPDX-License-Identifier: Apache-2.0
//
// Conditions, container statuses and addresses of a pod. Values compare equal to what is stored
// when nothing changed, so the caller writes only changes.
#include "node/pod_status.h"

#include "base/enc.h"
#include "base/timefmt.h"
#include "node/pod_decide.h"

enum { MESSAGES_BYTES_MAX = 12 << 10 };

static struct val text(struct arena *arena, const char *s)
{
    return val_str(arena_dup(arena, str_of(s)));
}

static struct val time_val(struct arena *arena, usec wall)
{
    char out[TIME_TEXT_MAX];
    time_format(wall, out);
    return text(arena, out);
}

static void set_text(struct arena *arena, struct val *map, struct str key, struct str value)
{
    if (value.n > 0) {
        val_set(arena, map, key, val_str(value));
    }
}

/* --- container statuses --- */

static struct str container_id(const struct pod_facts *f, const struct slot *slot,
                               const struct run *run, struct arena *arena)
{
    return arena_fmt(arena, "%s://" STR_FMT "_%s_%d", f->runtime ? f->runtime : "crun",
                     STR_ARG(val_text_at(f->pod, "metadata.uid")), slot->name, run->attempt);
}

/* What one container may say when the pod may say 12 KiB. */
static struct str message_part(const struct pod_facts *f, const char *message)
{
    size_t max = MESSAGES_BYTES_MAX / (f->slots_count ? f->slots_count : 1);
    struct str s = str_of(message);
    return s.n > max ? str_sub(s, 0, utf8_valid_prefix(str_sub(s, 0, max))) : s;
}

static struct val terminated(const struct pod_facts *f, const struct slot *slot,
                             const struct run *run, struct arena *arena)
{
    struct val t = val_map();
    struct str reason = run->exit_code == 0 ? S("Completed") : S("Error");
    if (run->is_start_error) {
        reason = S("StartError");
    } else if (run->is_lost) {
        reason = S("ContainerStatusUnknown");
    } else if (run->is_oom) {
        reason = S("OOMKilled");
    }
    set_text(arena, &t, S("containerID"), container_id(f, slot, run, arena));
    val_set(arena, &t, S("exitCode"), val_int(run->exit_code));
    val_set(arena, &t, S("finishedAt"), time_val(arena, run->finished_wall));
    if (run->message && run->message[0]) {
        val_set(arena, &t, S("message"), val_str(arena_dup(arena, message_part(f, run->message))));
    }
    val_set(arena, &t, S("reason"), val_str(reason));
    val_set(arena, &t, S("startedAt"), time_val(arena, run->started_wall));
    struct val state = val_map();
    val_set(arena, &state, S("terminated"), t);
    return state;
}

static struct val never_ran(struct arena *arena)
{
    struct val t = val_map();
    val_set(arena, &t, S("exitCode"), val_int(137));
    val_set(arena, &t, S("finishedAt"), val_null());
    val_set(arena, &t, S("message"),
            val_str(S("The container could not be located when the pod was terminated")));
    val_set(arena, &t, S("reason"), val_str(S("ContainerStatusUnknown")));
    val_set(arena, &t, S("startedAt"), val_null());
    struct val state = val_map();
    val_set(arena, &state, S("terminated"), t);
    return state;
}

static bool has_init(const struct pod_facts *f)
{
    for (size_t i = 0; i < f->slots_count; i++) {
        if (f->slots[i].class == SLOT_INIT || f->slots[i].class == SLOT_SIDECAR) {
            return true;
        }
    }
    return false;
}

static struct val waiting(const struct pod_facts *f, const struct slot *slot, struct arena *arena)
{
    struct val w = val_map();
    if (slot->wait_reason) {
        if (slot->wait_message && slot->wait_message[0]) {
            val_set(arena, &w, S("message"), text(arena, slot->wait_message));
        }
        val_set(arena, &w, S("reason"), text(arena, slot->wait_reason));
    } else {
        bool is_initializing = slot->class != SLOT_EPHEMERAL && has_init(f);
        val_set(arena, &w, S("reason"),
                val_str(is_initializing ? S("PodInitializing") : S("ContainerCreating")));
    }
    struct val state = val_map();
    val_set(arena, &state, S("waiting"), w);
    return state;
}

static bool is_torn_down(const struct pod_facts *f)
{
    for (size_t i = 0; i < f->slots_count; i++) {
        if (slot_is_alive(&f->slots[i])) {
            return false;
        }
    }
    return (pod_is_deleting(f) || f->end_reason) && f->sandbox_state == SANDBOX_NONE &&
           f->removing_count == 0;
}

/* Fills state and lastState. */
static void set_states(const struct pod_facts *f, const struct slot *slot, struct arena *arena,
                       struct val *status)
{
    const struct run *cur = &slot->cur;
    const struct run *last = slot->last.state == RUN_EXITED ? &slot->last : NULL;
    struct val state;
    bool is_over = pod_is_deleting(f) || f->end_reason;
    if (cur->state == RUN_RUNNING) {
        struct val running = val_map();
        val_set(arena, &running, S("startedAt"), time_val(arena, cur->started_wall));
        state = val_map();
        val_set(arena, &state, S("running"), running);
    } else if (cur->state == RUN_EXITED) {
        bool is_done = slot->class == SLOT_INIT && cur->exit_code == 0;
        if (slot->wait_reason && !is_done && !is_over) {
            state = waiting(f, slot, arena);
            last = cur;
        } else {
            state = terminated(f, slot, cur, arena);
        }
    } else if (is_torn_down(f) && !last) {
        state = never_ran(arena);
    } else {
        state = waiting(f, slot, arena);
    }
    val_set(arena, status, S("state"), state);
    val_set(arena, status, S("lastState"), last ? terminated(f, slot, last, arena) : val_map());
}

static void set_mounts(const struct slot *slot, struct arena *arena, struct val *status)
{
    const struct val *mounts = val_get(slot->spec, S("volumeMounts"));
    if (val_count(mounts) == 0) {
        return;
    }
    struct val list = val_list();
    for (size_t i = 0; i < val_count(mounts); i++) {
        const struct val *mount = val_at(mounts, i);
        struct val out = val_map();
        val_set(arena, &out, S("mountPath"), val_str(val_text(val_get(mount, S("mountPath")))));
        val_set(arena, &out, S("name"), val_str(val_text(val_get(mount, S("name")))));
        if (val_is_true(val_get(mount, S("readOnly")))) {
            val_set(arena, &out, S("readOnly"), val_bool(true));
            val_set(arena, &out, S("recursiveReadOnly"), val_str(S("Disabled")));
        }
        val_push(arena, &list, out);
    }
    val_set(arena, status, S("volumeMounts"), list);
}

static void set_user(const struct run *run, struct arena *arena, struct val *status)
{
    if (!run->user.is_known || run->state == RUN_NONE) {
        return;
    }
    struct val user = val_map();
    struct val groups = val_list();
    for (size_t i = 0; i < run->user.groups_count; i++) {
        val_push(arena, &groups, val_int(run->user.groups[i]));
    }
    val_set(arena, &user, S("gid"), val_int(run->user.groups[0]));
    val_set(arena, &user, S("supplementalGroups"), groups);
    val_set(arena, &user, S("uid"), val_int(run->user.uid));
    val_set_path(arena, status, "user.linux", user);
}

struct val container_status(const struct pod_facts *f, const struct slot *slot,
                            const struct val *before, struct arena *arena)
{
    struct val s = val_map();
    const struct run *shown = &slot->cur;
    val_set(arena, &s, S("name"), text(arena, slot->name));
    const char *image = shown->image;
    val_set(arena, &s, S("image"),
            image ? text(arena, image) : val_str(val_text(val_get(slot->spec, S("image")))));
    val_set(arena, &s, S("imageID"), text(arena, shown->image_id ? shown->image_id : ""));
    if (shown->state != RUN_NONE) {
        set_text(arena, &s, S("containerID"), container_id(f, slot, shown, arena));
    }
    val_set(arena, &s, S("ready"), val_bool(slot_is_ready(slot)));
    val_set(arena, &s, S("started"), val_bool(slot_is_started(slot)));
    val_set(arena, &s, S("restartCount"),
            val_int(shown->state == RUN_NONE ? val_number(val_get(before, S("restartCount")), 0)
                                             : shown->attempt));
    set_states(f, slot, arena, &s);
    const struct val *resources = val_get(slot->spec, S("resources"));
    if (val_count(resources) > 0 && shown->state == RUN_RUNNING) {
        val_set(arena, &s, S("resources"), *resources);
        if (val_count(val_get(resources, S("requests"))) > 0) {
            val_set(arena, &s, S("allocatedResources"), *val_get(resources, S("requests")));
        }
    }
    set_mounts(slot, arena, &s);
    set_user(shown, arena, &s);
    return s;
}

static const struct val *find_named(const struct val *list, struct str key, struct str name)
{
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_get(val_at(list, i), key)), name)) {
            return val_at(list, i);
        }
    }
    return NULL;
}

static void push_sorted(struct arena *arena, struct val *list, struct val status)
{
    size_t at = 0;
    struct str name = val_text(val_get(&status, S("name")));
    while (at < val_count(list) &&
           str_cmp(val_text(val_get(val_at(list, at), S("name"))), name) < 0) {
        at++;
    }
    val_insert(arena, list, at, status);
}

static void set_container_statuses(const struct pod_facts *f, struct arena *arena,
                                   struct val *status)
{
    const struct val *before = val_get(f->pod, S("status"));
    struct val lists[3] = {val_list(), val_list(), val_list()};
    static const char *const keys[3] = {"initContainerStatuses", "containerStatuses",
                                        "ephemeralContainerStatuses"};
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        int which = slot->class == SLOT_MAIN ? 1 : slot->class == SLOT_EPHEMERAL ? 2 : 0;
        const struct val *old =
            find_named(val_get(before, str_of(keys[which])), S("name"), str_of(slot->name));
        struct val s = container_status(f, slot, old, arena);
        if (which == 0) {
            val_push(arena, &lists[0], s);
        } else {
            push_sorted(arena, &lists[which], s);
        }
    }
    for (int k = 0; k < 3; k++) {
        if (val_count(&lists[k]) > 0) {
            val_set(arena, status, str_of(keys[k]), lists[k]);
        }
    }
}

/* --- conditions --- */

struct condition {
    struct str type;
    bool is_true;
    struct str reason;
    struct str message;
};

/* "containers with <what> status: [a b]" over the containers that pass; empty when none does. */
static struct str unready_text(const struct pod_facts *f, struct arena *arena, bool is_init)
{
    auto_buf struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        bool counts = is_init ? (slot->class == SLOT_INIT && !slot_is_ready(slot)) ||
                                    (slot->class == SLOT_SIDECAR && !slot_is_started(slot))
                              : (slot->class == SLOT_SIDECAR || slot->class == SLOT_MAIN) &&
                                    !slot_is_ready(slot);
        if (counts) {
            buf_addf(&out, "%s%s", out.n ? " " : "", slot->name);
        }
    }
    if (out.n == 0) {
        return S("");
    }
    return arena_fmt(arena, "containers with %s status: [" STR_FMT "]",
                     is_init ? "incomplete" : "unready", STR_ARG(buf_str(&out)));
}

static struct condition initialized(const struct pod_facts *f, struct str phase,
                                    struct arena *arena)
{
    struct condition c = {.type = S("Initialized"), .is_true = true};
    if (str_eq(phase, S("Succeeded"))) {
        c.reason = S("PodCompleted");
        return c;
    }
    if (has_init(f) && !pod_is_initialized(f)) {
        c.message = unready_text(f, arena, /*is_init=*/true);
        c.is_true = c.message.n == 0;
        c.reason = c.is_true ? S("") : S("ContainersNotInitialized");
    }
    return c;
}

static struct condition containers_ready(const struct pod_facts *f, struct str phase,
                                         struct arena *arena)
{
    struct condition c = {.type = S("ContainersReady"), .is_true = true};
    if (str_eq(phase, S("Succeeded")) || str_eq(phase, S("Failed"))) {
        c.is_true = false;
        c.reason = str_eq(phase, S("Failed")) ? S("PodFailed") : S("PodCompleted");
        return c;
    }
    c.message = unready_text(f, arena, /*is_init=*/false);
    c.is_true = c.message.n == 0;
    c.reason = c.is_true ? S("") : S("ContainersNotReady");
    return c;
}

static struct condition ready(const struct pod_facts *f, struct condition containers,
                              struct arena *arena)
{
    struct condition c = containers;
    c.type = S("Ready");
    if (!c.is_true) {
        return c;
    }
    const struct val *gates = val_path(f->pod, "spec.readinessGates");
    const struct val *conditions = val_path(f->pod, "status.conditions");
    auto_buf struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < val_count(gates); i++) {
        struct str type = val_text(val_get(val_at(gates, i), S("conditionType")));
        const struct val *gate = find_named(conditions, S("type"), type);
        struct str status = val_text(val_get(gate, S("status")));
        const char *comma = out.n ? ", " : "";
        if (!gate) {
            buf_addf(&out,
                     "%scorresponding condition of pod readiness gate \"" STR_FMT
                     "\" does not exist.",
                     comma, STR_ARG(type));
        } else if (!str_eq(status, S("True"))) {
            buf_addf(&out,
                     "%sthe status of pod readiness gate \"" STR_FMT
                     "\" is not \"True\", but " STR_FMT,
                     comma, STR_ARG(type), STR_ARG(status));
        }
    }
    if (out.n > 0) {
        c.is_true = false;
        c.reason = S("ReadinessGatesNotReady");
        c.message = arena_dup(arena, buf_str(&out));
    }
    return c;
}

/* Times have seconds, so what a pod loses in its first ones would look as if it had never had it:
 * that is no earlier than here after its start. Controllers tell by it which pods were once ready.
 */
static const usec LOST_AFTER = 2 * USEC_PER_SEC;

static void push_condition(const struct pod_facts *f, struct arena *arena, struct val *list,
                           struct condition c)
{
    const struct val *old = find_named(val_path(f->pod, "status.conditions"), S("type"), c.type);
    struct str status = c.is_true ? S("True") : S("False");
    struct val out = val_map();
    const struct val *since = val_get(old, S("lastTransitionTime"));
    bool is_same = str_eq(val_text(val_get(old, S("status"))), status);
    usec at = f->now_wall;
    if (since && !c.is_true && at < f->start_wall + LOST_AFTER) {
        at = f->start_wall + LOST_AFTER;
    }
    val_set(arena, &out, S("lastProbeTime"), val_null());
    val_set(arena, &out, S("lastTransitionTime"), is_same && since ? *since : time_val(arena, at));
    set_text(arena, &out, S("message"), c.message);
    const struct val *generation = val_path(f->pod, "metadata.generation");
    if (generation) {
        val_set(arena, &out, S("observedGeneration"), *generation);
    }
    set_text(arena, &out, S("reason"), c.reason);
    val_set(arena, &out, S("status"), val_str(status));
    val_set(arena, &out, S("type"), val_str(c.type));
    val_push(arena, list, out);
}

static void set_conditions(const struct pod_facts *f, struct str phase, struct arena *arena,
                           struct val *status)
{
    struct condition containers = containers_ready(f, phase, arena);
    bool has_sandbox = f->sandbox_state == SANDBOX_READY;
    struct condition own[] = {
        {.type = S("PodReadyToStartContainers"), .is_true = has_sandbox},
        initialized(f, phase, arena),
        ready(f, containers, arena),
        containers,
        {.type = S("PodScheduled"),              .is_true = true       },
    };
    struct val list = val_list();
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        push_condition(f, arena, &list, own[i]);
    }
    const struct val *before = val_path(f->pod, "status.conditions");
    for (size_t i = 0; i < val_count(before); i++) {
        struct str type = val_text(val_get(val_at(before, i), S("type")));
        bool is_own = false;
        for (size_t k = 0; k < sizeof own / sizeof own[0]; k++) {
            is_own = is_own || str_eq(type, own[k].type);
        }
        if (!is_own) {
            val_push(arena, &list, *val_at(before, i));
        }
    }
    val_set(arena, status, S("conditions"), list);
}

/* --- the whole --- */

static void set_ips(struct arena *arena, struct val *status, struct str one, struct str many,
                    struct str ip)
{
    struct val item = val_map();
    struct val list = val_list();
    val_set(arena, status, one, val_str(arena_dup(arena, ip)));
    val_set(arena, &item, S("ip"), *val_get(status, one));
    val_push(arena, &list, item);
    val_set(arena, status, many, list);
}

struct val pod_status(const struct pod_facts *f, struct arena *arena)
{
    static const char *const owned[] = {"phase",
                                        "conditions",
                                        "containerStatuses",
                                        "initContainerStatuses",
                                        "hostIP",
                                        "hostIPs",
                                        "startTime",
                                        "podIP",
                                        "podIPs",
                                        "observedGeneration",
                                        "ephemeralContainerStatuses"};
    const struct val *before = val_get(f->pod, S("status"));
    struct val status = val_map();
    for (size_t i = 0; val_is(before, VAL_MAP) && i < val_count(before); i++) {
        bool is_owned = false;
        for (size_t k = 0; k < sizeof owned / sizeof owned[0]; k++) {
            is_owned = is_owned || str_eq(before->members[i].key, str_of(owned[k]));
        }
        if (!is_owned) {
            val_set(arena, &status, before->members[i].key, before->members[i].val);
        }
    }
    struct str phase = pod_phase(f);
    val_set(arena, &status, S("phase"), val_str(arena_dup(arena, phase)));
    if (f->end_reason && str_eq(phase, S("Failed"))) {
        val_set(arena, &status, S("reason"), text(arena, f->end_reason));
        val_set(arena, &status, S("message"), text(arena, f->end_message ? f->end_message : ""));
    }
    set_conditions(f, phase, arena, &status);
    if (!str_starts(str_of(f->end_message), S("Pod was rejected: "))) { /* nothing was ever begun */
        set_container_statuses(f, arena, &status);
    }
    const struct val *generation = val_path(f->pod, "metadata.generation");
    if (generation) {
        val_set(arena, &status, S("observedGeneration"), *generation);
    }
    if (f->start_wall > 0) {
        val_set(arena, &status, S("startTime"), time_val(arena, f->start_wall));
    }
    if (f->host_ip && f->host_ip[0]) {
        set_ips(arena, &status, S("hostIP"), S("hostIPs"), str_of(f->host_ip));
    }
    bool is_host = pod_is_host_network(f->pod);
    const char *ip = is_host ? f->host_ip : f->ip;
    if (ip && ip[0]) {
        set_ips(arena, &status, S("podIP"), S("podIPs"), str_of(ip));
    }
    val_prune_nulls(&status);
    return status;
}
