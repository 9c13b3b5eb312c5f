// SPDX-License-Identifier: Apache-2.0
//
// Reading sets and pods for the checks, and what the checks remember of objects by uid.
#include "facts.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <stdlib.h>

struct note {
    unsigned bits;
};

unsigned note_of(struct sim *sim, struct str uid)
{
    const struct note *note = map_find(&sim->notes, uid);
    return note == NULL ? 0 : note->bits;
}

void note_add(struct sim *sim, struct str uid, unsigned bits)
{
    struct note *note = map_find(&sim->notes, uid);
    if (note == NULL) {
        note = xcalloc(1, sizeof *note);
        map_put(&sim->notes, uid, note);
    }
    note->bits |= bits;
}

int64_t ordinal_of(struct str set, struct str name)
{
    uint64_t n;
    if (!str_starts(name, set) || name.n < set.n + 2 || name.p[set.n] != '-') {
        return -1;
    }
    struct str digits = str_sub(name, set.n + 1, name.n);
    if (str_to_u64(digits, &n) < 0 || n > INT32_MAX || (digits.n > 1 && digits.p[0] == '0')) {
        return -1;
    }
    return (int64_t)n;
}

struct str pod_revision(const struct val *pod)
{
    return meta_label(pod, S("controller-revision-hash"));
}

static bool is_selected(const struct val *set, const struct val *pod)
{
    const struct val *match = val_path(set, "spec.selector.matchLabels");
    for (size_t i = 0; i < val_count(match); i++) {
        if (!str_eq(meta_label(pod, match->members[i].key), val_text(&match->members[i].val))) {
            return false;
        }
    }
    return true;
}

static bool is_available(const struct sim *sim, const struct facts *facts, const struct val *pod)
{
    usec since = 0;
    const struct val *ready = meta_condition(pod, S("Ready"));
    if (facts->min_ready_us == 0) {
        return true;
    }
    return time_parse(val_text(val_get(ready, S("lastTransitionTime"))), &since) == 0 &&
           since + facts->min_ready_us < loop_wall(sim->loop);
}

static void add_member(struct sim *sim, struct facts *facts, const struct val *pod)
{
    int64_t ordinal = ordinal_of(facts->name, meta_name(pod));
    const struct val *ref = meta_controller(pod);
    bool is_ours = meta_is_controlled_by(pod, facts->uid);
    if (ordinal < 0 || !is_selected(facts->set, pod) || (ref != NULL && !is_ours) ||
        (ref == NULL && (meta_is_deleting(pod) || facts->is_deleting))) {
        return;
    }
    struct set_pod m = {.obj = pod,
                        .name = meta_name(pod),
                        .uid = meta_uid(pod),
                        .revision = pod_revision(pod),
                        .ordinal = ordinal,
                        .is_terminating = meta_is_deleting(pod),
                        .is_terminal = pod_is_terminal(pod)};
    m.is_ready = str_eq(val_text_at(pod, "status.phase"), S("Running")) && pod_is_ready(pod);
    m.is_available = m.is_ready && is_available(sim, facts, pod);
    size_t at = facts->members_count++;
    for (; at > 0 && facts->members[at - 1].ordinal > ordinal; at--) {
        facts->members[at] = facts->members[at - 1];
    }
    facts->members[at] = m;
}

void facts_read(struct sim *sim, struct arena *arena, const struct val *set, struct facts *ret)
{
    *ret = (struct facts){.set = set,
                          .ns = meta_ns(set),
                          .name = meta_name(set),
                          .uid = meta_uid(set),
                          .is_deleting = meta_is_deleting(set),
                          .current = val_text_at(set, "status.currentRevision"),
                          .update = val_text_at(set, "status.updateRevision"),
                          .replicas = val_number_at(set, "spec.replicas", 1),
                          .start = val_number_at(set, "spec.ordinals.start", 0)};
    const struct val *rolling = val_path(set, "spec.updateStrategy.rollingUpdate");
    ret->has_rolling = rolling != NULL;
    ret->partition = val_number(val_get(rolling, S("partition")), 0);
    ret->max_unavailable = val_number(val_get(rolling, S("maxUnavailable")), 1);
    ret->min_ready_us = val_number_at(set, "spec.minReadySeconds", 0) * USEC_PER_SEC;
    ret->is_parallel = str_eq(val_text_at(set, "spec.podManagementPolicy"), S("Parallel"));
    ret->is_on_delete = str_eq(val_text_at(set, "spec.updateStrategy.type"), S("OnDelete"));
    const struct val *keep = val_path(set, "spec.persistentVolumeClaimRetentionPolicy");
    ret->has_scaled_delete = str_eq(val_text(val_get(keep, S("whenScaled"))), S("Delete"));
    ret->has_deleted_delete = str_eq(val_text(val_get(keep, S("whenDeleted"))), S("Delete"));
    ret->is_sick = ret->is_parallel &&
                   str_starts(val_text_at(set, "spec.template.spec.containers.0.image"), S("bad"));
    struct objs pods = sim_list(sim, arena, KIND_POD, ret->ns);
    ret->members = arena_alloc(arena, (pods.count + 1) * sizeof *ret->members);
    for (size_t i = 0; i < pods.count; i++) {
        add_member(sim, ret, pods.list[i]);
    }
}

const struct set_pod *facts_member(const struct facts *facts, int64_t ordinal)
{
    for (size_t i = 0; i < facts->members_count; i++) {
        if (facts->members[i].ordinal == ordinal) {
            return &facts->members[i];
        }
    }
    return NULL;
}

bool facts_in_range(const struct facts *facts, int64_t ordinal)
{
    return ordinal >= facts->start && ordinal < facts->start + facts->replicas;
}
