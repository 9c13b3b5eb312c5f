// SPDX-License-Identifier: Apache-2.0
//
// The phase of a pod: counters over all containers, then one order of rules (spec/node.md 1.1).
#include "controllers/meta.h"
#include "node/pod_decide.h"
#include "node/pod_status.h"

struct phase_counts {
    int pending_init, failed_init_final, pending_sidecar;
    int unknown, running, waiting, stopped, stopped_final, succeeded;
    bool has_main_started;
    bool is_any_alive;
};

/* Ended in an earlier instance, the next one is under way or waits. */
static void count_init(const struct pod_facts *f, const struct slot *slot, struct phase_counts *c)
{
    if (slot->cur.state != RUN_EXITED) {
        c->pending_init++;
        return;
    }
    if (slot->cur.exit_code == 0) {
        return;
    }
    if (!slot_wants_restart(f, slot, slot->cur.exit_code)) {
        c->failed_init_final++;
    } else if (!c->has_main_started) {
        c->pending_init++;
    }
}

static void count_sidecar(const struct slot *slot, struct phase_counts *c)
{
    if (slot->cur.state == RUN_RUNNING) {
        c->running++;
        c->pending_sidecar += slot_is_started(slot) ? 0 : 1;
    } else if (slot->cur.state != RUN_EXITED && slot->last.state != RUN_EXITED) {
        c->pending_sidecar++;
        c->waiting++;
    }
}

static void count_main(const struct pod_facts *f, const struct slot *slot, struct phase_counts *c)
{
    const struct run *ended = slot->cur.state == RUN_EXITED    ? &slot->cur
                              : slot->last.state == RUN_EXITED ? &slot->last
                                                               : NULL;
    if (slot->cur.state == RUN_RUNNING) {
        c->running++;
    } else if (ended) {
        c->stopped++;
        c->succeeded += ended->exit_code == 0 ? 1 : 0;
        c->stopped_final += slot_wants_restart(f, slot, ended->exit_code) ? 0 : 1;
    } else {
        c->waiting++;
    }
}

static struct phase_counts count_slots(const struct pod_facts *f)
{
    struct phase_counts c = {0};
    c.has_main_started = pod_is_initialized(f);
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct slot *slot = &f->slots[i];
        c.is_any_alive = c.is_any_alive || slot_is_alive(slot);
        switch (slot->class) {
        case SLOT_INIT:
            count_init(f, slot, &c);
            break;
        case SLOT_SIDECAR:
            count_sidecar(slot, &c);
            break;
        case SLOT_MAIN:
            count_main(f, slot, &c);
            break;
        case SLOT_EPHEMERAL:
            break;
        }
    }
    return c;
}

struct str pod_phase(const struct pod_facts *f)
{
    struct str before = val_text_at(f->pod, "status.phase");
    struct phase_counts c = count_slots(f);
    bool is_torn_down = pod_is_deleting(f) && !c.is_any_alive && f->sandbox_state == SANDBOX_NONE &&
                        f->removing_count == 0;
    if (pod_is_terminal(f->pod)) {
        return before; /* never left */
    }
    if (f->end_reason) { /* a terminal phase is published when nothing runs any more */
        return !c.is_any_alive ? S("Failed") : before.n ? before : S("Pending");
    }
    if (is_torn_down) {
        bool is_all_good =
            c.stopped > 0 && c.waiting == 0 && c.succeeded == c.stopped && c.failed_init_final == 0;
        return is_all_good ? S("Succeeded") : S("Failed");
    }
    if (c.failed_init_final > 0 && !c.has_main_started) {
        return !c.is_any_alive ? S("Failed") : S("Pending");
    }
    bool is_waiting_for_init = c.pending_init > 0 && !c.has_main_started;
    if (is_waiting_for_init || (c.pending_sidecar > 0 && !c.has_main_started) || c.waiting > 0) {
        return S("Pending");
    }
    if (c.running > 0 && !(pod_is_completed(f) && !c.is_any_alive)) {
        return S("Running");
    }
    if (c.stopped > 0) {
        if (c.stopped_final < c.stopped || pod_is_deleting(f) || c.is_any_alive) {
            return S("Running");
        }
        return c.succeeded == c.stopped ? S("Succeeded") : S("Failed");
    }
    return S("Pending");
}
