// SPDX-License-Identifier: Apache-2.0
//
// What to do next for one pod (spec/node.md 1.4 to 1.7). Pure: no clock, no file, no call out.
//
//   a pod                                        a container (slot)
//   ─────                                        ──────────────────
//   blocked ──older uid is dead──▶ run            NONE ──CREATE──▶ CREATED ──START──▶ RUNNING
//   run: PREPARE_DIRS                              ▲ ▲                │                  │
//   POST_START
//        NETWORK_UP ∥ MOUNT_VOLUME…                │ └─failed, later──┤ DISCARD          │ STOP
//        (probe, init containers one by one                │                  ▼                  ▼
//        hook, end) main containers side by side              └───back-off─── EXITED
//        ◀──────────────┘
//   end (deleted, failed, all done):
//        STOP mains ─▶ STOP sidecars, last first ─▶ NETWORK_DOWN ─▶ UNMOUNT
//        ─▶ deleted: DELETE_OBJECT once the phase is terminal ─▶ FORGET
//
// Invariants:
// (1) No step for a slot that is pending or whose failed create is being taken back, and none but
// STOP for a pod that ends; it then gives up
//     pulling images (CANCEL).
// (2) Nothing is created before directories, sandbox and all volumes are there.
// (3) An init container starts only when all before it are done (sidecars: started).
// (4) A container whose restart waits for back-off or retry gives exactly one wake-up time.
// (5) The network goes only after the last container, the object only after the network.
// (6) A blocked pod gives no step, unless it ends.
#include "node/pod_decide.h"

#include "base/mem.h"
#include "controllers/meta.h"
#include "node/oci_spec.h"
#include "registry/reference.h"

enum { IMAGE_REF_ARENA_MAX = 1 << 16 };

static void add_step(struct plan *plan, enum step_type type, size_t index, usec grace,
                     struct str message)
{
    if (plan->count < PLAN_STEPS_MAX) {
        plan->steps[plan->count++] = (struct step){type, index, grace, message};
    }
}

static void wake_at(struct plan *plan, usec at)
{
    if (plan->wake_at == 0 || at < plan->wake_at) {
        plan->wake_at = at;
    }
}

/* true = due; otherwise the plan wakes then. */
/* A deadline that is over is somebody else's turn (the kill timer's): waking for it again and again
 * would spin until the container is gone. */
static void wake_later(const struct pod_facts *f, struct plan *plan, usec at)
{
    if (at > f->now) {
        wake_at(plan, at);
    }
}

static bool is_due(const struct pod_facts *f, struct plan *plan, usec at)
{
    if (f->now >= at) {
        return true;
    }
    wake_at(plan, at);
    return false;
}

/* --- facts derived --- */

bool slot_wants_restart(const struct pod_facts *f, const struct slot *slot, int exit_code)
{
    if (slot->class == SLOT_EPHEMERAL) {
        return false;
    }
    struct str policy = val_text(val_get(slot->spec, S("restartPolicy")));
    const struct val *rules = val_get(slot->spec, S("restartPolicyRules"));
    for (size_t i = 0; i < val_count(rules); i++) {
        const struct val *codes = val_path(val_at(rules, i), "exitCodes");
        const struct val *values = val_get(codes, S("values"));
        bool is_in = false;
        for (size_t k = 0; k < val_count(values); k++) {
            is_in = is_in || val_number(val_at(values, k), -1) == exit_code;
        }
        bool wants_in = str_eq(val_text(val_get(codes, S("operator"))), S("In"));
        if (codes && is_in == wants_in) {
            return str_eq(val_text(val_get(val_at(rules, i), S("action"))), S("Restart"));
        }
    }
    if (policy.n == 0) {
        policy = val_text_at(f->pod, "spec.restartPolicy");
        if (slot->class == SLOT_INIT && !str_eq(policy, S("Never"))) {
            policy = S("OnFailure"); /* spec 1.6 */
        }
    }
    if (str_eq(policy, S("Never"))) {
        return false;
    }
    return !str_eq(policy, S("OnFailure")) || exit_code != 0;
}

bool slot_is_alive(const struct slot *slot)
{
    return slot->is_pending || slot->cur.state == RUN_CREATED || slot->cur.state == RUN_RUNNING;
}

bool slot_is_started(const struct slot *slot)
{
    return slot->cur.state == RUN_RUNNING &&
           (!slot->has_probe[PROBE_STARTUP] || slot->verdicts[PROBE_STARTUP] == VERDICT_SUCCESS);
}

bool slot_is_outdated(const struct slot *slot)
{
    auto_arena struct arena *arena = arena_new(IMAGE_REF_ARENA_MAX);
    struct str name;
    struct err err;
    struct str ref = val_text(val_get(slot->spec, S("image")));
    if (slot->cur.image == NULL || slot->class == SLOT_INIT || slot->class == SLOT_EPHEMERAL ||
        str_eq(ref, str_of(slot->cur.image))) {
        return false;
    }
    /* A name that can't be read is the next create's error; the old image goes on until then. */
    return reference_normalise(arena, ref, &name, &err) == 0 &&
           !str_eq(name, str_of(slot->cur.image));
}

bool slot_is_ready(const struct slot *slot)
{
    if (slot->class == SLOT_INIT) {
        return slot->cur.state == RUN_EXITED && slot->cur.exit_code == 0;
    }
    return slot_is_started(slot) && !slot_is_outdated(slot) &&
           (!slot->has_probe[PROBE_READINESS] ||
            slot->verdicts[PROBE_READINESS] == VERDICT_SUCCESS);
}

bool pod_is_deleting(const struct pod_facts *f)
{
    return f->is_gone || val_path(f->pod, "metadata.deletionTimestamp");
}

bool pod_is_host_network(const struct val *pod)
{
    return val_true_at(pod, "spec.hostNetwork");
}

bool pod_is_initialized(const struct pod_facts *f)
{
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        if (slot->class == SLOT_MAIN && slot->cur.state != RUN_NONE &&
            slot->cur.sandbox == f->sandbox) {
            return true;
        }
    }
    return false;
}

struct str pod_rendering(struct arena *arena, const struct val *pod)
{
    return arena_fmt(
        arena, STR_FMT "_" STR_FMT "(" STR_FMT ")", STR_ARG(val_text_at(pod, "metadata.name")),
        STR_ARG(val_text_at(pod, "metadata.namespace")), STR_ARG(val_text_at(pod, "metadata.uid")));
}

/* Ended, and not to be started again. */
static bool is_final(const struct pod_facts *f, const struct slot *slot)
{
    return !slot->is_pending && slot->cur.state == RUN_EXITED &&
           !slot_wants_restart(f, slot, slot->cur.exit_code);
}

bool pod_is_completed(const struct pod_facts *f)
{
    size_t mains = 0;
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        if (slot->class == SLOT_INIT && is_final(f, slot) && slot->cur.exit_code != 0 &&
            !pod_is_initialized(f)) {
            return true;
        }
        if (slot->class == SLOT_MAIN) {
            if (!is_final(f, slot)) {
                return false;
            }
            mains++;
        }
    }
    return mains > 0;
}

/* --- running --- */

static usec pod_grace(const struct pod_facts *f)
{
    return USEC_PER_SEC * val_number_at(f->pod, "spec.terminationGracePeriodSeconds", 30);
}

static void decide_running(const struct pod_facts *f, size_t index, struct arena *arena,
                           struct plan *plan)
{
    const struct slot *slot = &f->slots[index];
    if (slot->is_stopping) {
        wake_later(f, plan, slot->stop_at);
    } else if (slot->must_restart) {
        usec grace = slot->stop_grace >= 0 ? slot->stop_grace : pod_grace(f);
        add_step(plan, STEP_STOP, index, grace, str_of(slot->stop_message));
    } else if (slot_is_outdated(slot)) {
        add_step(
            plan, STEP_STOP, index, pod_grace(f),
            arena_fmt(arena, "Container %s definition changed, will be restarted", slot->name));
    } else if (!slot->is_post_start_done) {
        add_step(plan, STEP_POST_START, index, 0, S(""));
    }
}

/* The next step of one container that should run. */
static void decide_slot(const struct pod_facts *f, size_t index, bool may_start,
                        struct arena *arena, struct plan *plan)
{
    const struct slot *slot = &f->slots[index];
    if (slot->is_pending || slot->is_clearing) {
        return; /* keeps (1) */
    }
    bool is_stale = slot->cur.state == RUN_EXITED && slot->cur.sandbox != f->sandbox;
    switch (slot->cur.state) {
    case RUN_EXITED:
        if (!is_stale && !slot_wants_restart(f, slot, slot->cur.exit_code)) {
            return;
        }
        if (f->now < slot->restart_at) {
            if (!slot->is_backoff_told) {
                add_step(plan, STEP_BACK_OFF, index, 0, S(""));
            }
            wake_at(plan, slot->restart_at); /* keeps (4) */
            return;
        }
        if (is_due(f, plan, slot->retry_at)) {
            add_step(plan, STEP_CREATE, index, 0, S(""));
        }
        return;
    case RUN_NONE:
        if (is_due(f, plan, slot->retry_at)) {
            add_step(plan, STEP_CREATE, index, 0, S(""));
        }
        return;
    case RUN_CREATED:
        if (may_start) {
            add_step(plan, STEP_START, index, 0, S(""));
        }
        return;
    case RUN_RUNNING:
        decide_running(f, index, arena, plan);
        return;
    }
}

/* True when main containers may be started. */
static bool decide_init(const struct pod_facts *f, struct arena *arena, struct plan *plan)
{
    bool is_initialized = pod_is_initialized(f);
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        if (slot->class == SLOT_INIT) {
            if (is_initialized || (slot->cur.state == RUN_EXITED && slot->cur.exit_code == 0 &&
                                   slot->cur.sandbox == f->sandbox)) {
                continue;
            }
            decide_slot(f, i, /*may_start=*/true, arena, plan);
            return false; /* keeps (3) */
        }
        if (slot->class == SLOT_SIDECAR) {
            decide_slot(f, i, /*may_start=*/true, arena, plan);
            if (!is_initialized &&
                (!slot_is_started(slot) || slot->is_pending || !slot->is_post_start_done)) {
                return false;
            }
        }
    }
    return true;
}

static void decide_mains(const struct pod_facts *f, struct arena *arena, struct plan *plan)
{
    bool may_start = true; /* a container starts after those before it have started or failed */
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        if (slot->class != SLOT_MAIN) {
            continue;
        }
        decide_slot(f, i, may_start, arena, plan);
        bool is_past = (slot->cur.state == RUN_RUNNING && slot->is_post_start_done) ||
                       (slot->cur.state == RUN_EXITED && slot->cur.sandbox == f->sandbox) ||
                       (slot->cur.state == RUN_NONE && slot->wait_reason && !slot->is_pending);
        may_start = may_start && is_past;
    }
}

/* True when containers may be created: keeps (2). */
static bool decide_ground(const struct pod_facts *f, struct plan *plan)
{
    if (!f->has_dirs) {
        if (is_due(f, plan, f->dirs_retry_at)) {
            add_step(plan, STEP_PREPARE_DIRS, 0, 0, S(""));
        }
        return false;
    }
    bool is_ready = f->sandbox_state == SANDBOX_READY;
    if (f->sandbox_state == SANDBOX_NONE && is_due(f, plan, f->sandbox_retry_at)) {
        add_step(plan, STEP_NETWORK_UP, 0, 0, S(""));
    }
    for (size_t i = 0; i < f->volumes_count; i++) {
        const struct volume_fact *volume = &f->volumes[i];
        is_ready = is_ready && volume->state == VOLUME_MOUNTED;
        if (volume->state == VOLUME_ABSENT ||
            (volume->state == VOLUME_FAILED && is_due(f, plan, volume->retry_at))) {
            add_step(plan, STEP_MOUNT_VOLUME, i, 0, S(""));
        }
    }
    return is_ready;
}

static void decide_run(const struct pod_facts *f, struct arena *arena, struct plan *plan)
{
    if (!decide_ground(f, plan) || !is_due(f, plan, f->name_wait_until)) {
        return;
    }
    for (size_t i = 0; i < f->slots_count; i++) {
        if (f->slots[i].class == SLOT_EPHEMERAL) {
            decide_slot(f, i, /*may_start=*/true, arena, plan);
        }
    }
    if (decide_init(f, arena, plan)) {
        decide_mains(f, arena, plan);
    }
}

/* --- ending --- */

static usec grace_of(const struct pod_facts *f)
{
    if (f->is_gone) {
        return USEC_PER_SEC;
    }
    int64_t own = val_number_at(f->pod, "spec.terminationGracePeriodSeconds", 30);
    int64_t seconds = val_number_at(f->pod, "metadata.deletionGracePeriodSeconds", own);
    return USEC_PER_SEC * (seconds < 1 ? 1 : seconds);
}

static void stop_slot(const struct pod_facts *f, size_t index, usec deadline, struct arena *arena,
                      struct plan *plan)
{
    const struct slot *slot = &f->slots[index];
    if (slot->is_pulling) {
        add_step(plan, STEP_CANCEL, index, 0, S(""));
    }
    if (slot->cur.state == RUN_CREATED && !slot->is_pending) {
        add_step(plan, STEP_DISCARD, index, 0, S(""));
    }
    if (slot->cur.state != RUN_RUNNING) {
        return;
    }
    usec grace = deadline - f->now;
    if (grace < POD_GRACE_MIN_SECONDS * USEC_PER_SEC) {
        grace = POD_GRACE_MIN_SECONDS * USEC_PER_SEC;
    }
    /* A second deletion may shorten what is under way. */
    if (!slot->is_stopping || slot->stop_at > f->now + grace + USEC_PER_SEC) {
        add_step(plan, STEP_STOP, index, grace,
                 arena_fmt(arena, "Stopping container %s", slot->name));
    } else {
        wake_later(f, plan, slot->stop_at);
    }
}

/* True when no container lives any more. */
static bool decide_stops(const struct pod_facts *f, struct arena *arena, struct plan *plan)
{
    usec begun = f->stop_begun_at ? f->stop_begun_at : f->now;
    usec deadline = begun + grace_of(f);
    bool is_main_alive = false;
    for (size_t i = 0; i < f->slots_count; i++) {
        if (f->slots[i].class != SLOT_SIDECAR && slot_is_alive(&f->slots[i])) {
            is_main_alive = true;
            stop_slot(f, i, deadline, arena, plan);
        }
    }
    bool is_later_alive = is_main_alive;
    for (size_t i = f->slots_count; i-- > 0;) {
        if (f->slots[i].class != SLOT_SIDECAR || !slot_is_alive(&f->slots[i])) {
            continue;
        }
        if (!is_later_alive || f->now >= deadline) {
            stop_slot(f, i, deadline, arena, plan);
        } else {
            wake_at(plan, deadline);
        }
        is_later_alive = true;
    }
    return !is_later_alive;
}

static void decide_end(const struct pod_facts *f, struct arena *arena, struct plan *plan)
{
    if (!decide_stops(f, arena, plan) || f->removing_count > 0) {
        return;
    }
    if (f->is_shutdown) {
        return;
    }
    if (f->sandbox_state != SANDBOX_NONE) { /* keeps (5) */
        if (f->sandbox_state == SANDBOX_READY) {
            add_step(plan, STEP_NETWORK_DOWN, 0, 0, S(""));
        }
        return;
    }
    for (size_t i = 0; i < f->volumes_count; i++) {
        if (f->volumes[i].state == VOLUME_MOUNTING) {
            return;
        }
    }
    if (f->has_mounts || f->is_unmounting) {
        if (!f->is_unmounting) {
            add_step(plan, STEP_UNMOUNT, 0, 0, S(""));
        }
        return;
    }
    if (!pod_is_deleting(f)) {
        return;
    }
    if (f->is_gone) {
        add_step(plan, STEP_FORGET, 0, 0, S(""));
        return;
    }
    if (pod_is_terminal(f->pod) && !f->is_deleting && is_due(f, plan, f->delete_retry_at)) {
        add_step(plan, STEP_DELETE_OBJECT, 0, 0, S(""));
    }
}

void pod_decide(const struct pod_facts *f, struct arena *arena, struct plan *plan)
{
    plan->count = 0;
    plan->wake_at = 0;
    if (pod_is_deleting(f) || f->end_reason || f->is_shutdown || pod_is_terminal(f->pod) ||
        pod_is_completed(f)) {
        decide_end(f, arena, plan);
        return;
    }
    if (f->is_blocked) {
        return; /* keeps (6) */
    }
    if (pod_forbidden_sysctl(f->pod, arena).n > 0) {
        add_step(plan, STEP_FAIL, 0, 0, S("SysctlForbidden"));
        return;
    }
    if (f->is_port_taken) {
        add_step(plan, STEP_FAIL, 0, 0, S("NodePorts"));
        return;
    }
    int64_t seconds = val_number_at(f->pod, "spec.activeDeadlineSeconds", 0);
    if (seconds > 0 && f->start_wall > 0) {
        usec left = f->start_wall + seconds * USEC_PER_SEC - f->now_wall;
        if (left <= 0) {
            add_step(plan, STEP_FAIL, 0, 0, S("DeadlineExceeded"));
            return;
        }
        wake_at(plan, f->now + left);
    }
    decide_run(f, arena, plan);
}

/* --- text --- */

static const char *const step_names[] = {
    [STEP_PREPARE_DIRS] = "PREPARE_DIRS",
    [STEP_NETWORK_UP] = "NETWORK_UP",
    [STEP_MOUNT_VOLUME] = "MOUNT_VOLUME",
    [STEP_CREATE] = "CREATE",
    [STEP_START] = "START",
    [STEP_POST_START] = "POST_START",
    [STEP_BACK_OFF] = "BACK_OFF",
    [STEP_STOP] = "STOP",
    [STEP_DISCARD] = "DISCARD",
    [STEP_CANCEL] = "CANCEL",
    [STEP_FAIL] = "FAIL",
    [STEP_NETWORK_DOWN] = "NETWORK_DOWN",
    [STEP_UNMOUNT] = "UNMOUNT",
    [STEP_DELETE_OBJECT] = "DELETE",
    [STEP_FORGET] = "FORGET",
};

int plan_write(struct buf *out, const struct pod_facts *f, const struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct step *step = &plan->steps[i];
        buf_addf(out, "%s", step_names[step->type]);
        if (step->type == STEP_MOUNT_VOLUME) {
            buf_addf(out, " %s", f->volumes[step->index].name);
        } else if (step->type >= STEP_CREATE && step->type <= STEP_CANCEL) {
            buf_addf(out, " %s", f->slots[step->index].name);
        }
        if (step->type == STEP_STOP) {
            buf_addf(out, " %llds", (long long)(step->grace / USEC_PER_SEC));
        }
        buf_addc(out, '\n');
    }
    return out->over ? ERR_LIMIT : 0;
}
