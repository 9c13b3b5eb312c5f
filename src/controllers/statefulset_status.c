// SPDX-License-Identifier: Apache-2.0
//
// Status of a StatefulSet: counters (spec/statefulset.md 2.9), promotion (2.10), and the write when
// something changed (2.11). The write is a merge patch of what this controller owns, so it needs no
// revision: a counter that is out of date is written again by the decision that the newer pod
// brings. Only the list of conditions is written whole, and then names the version it was read
// from.
#include "controllers/meta.h"
#include "controllers/statefulset.h"

static struct sts_status count(const struct sts *sts)
{
    struct sts_status status = {.current_revision = sts->current.name,
                                .update_revision = sts->update.name};
    for (size_t i = 0; i < sts->pods_count; i++) {
        const struct sts_pod *pod = &sts->pods[i];
        status.replicas++;
        status.ready += pod->is_running_ready;
        status.available += pod->is_running_ready && pod->is_available;
        if (!pod->is_terminating) {
            status.current += str_eq(pod->revision, sts->current.name);
            status.updated += str_eq(pod->revision, sts->update.name);
        }
    }
    status.current -= sts->decremented;
    if (!sts->is_on_delete && status.updated == status.ready && status.ready == status.replicas &&
        status.replicas == sts->replicas) {
        status.current = status.updated;
        status.current_revision = status.update_revision;
    }
    return status;
}

struct counter {
    const char *key;
    int64_t value;
    bool is_always; /* written even when 0 */
};

static bool is_same(const struct val *old, const struct counter *counters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (val_number(val_get(old, str_of(counters[i].key)), 0) != counters[i].value) {
            return false;
        }
    }
    return true;
}

static void set_text(struct arena *arena, struct val *map, struct str key, struct str text)
{
    val_set(arena, map, key, text.n == 0 ? val_null() : val_str(text));
}

void sts_write_status(struct sts *sts)
{
    struct sts_status now = count(sts);
    const struct counter counters[] = {
        {"replicas",          now.replicas,  true },
        {"readyReplicas",     now.ready,     false},
        {"availableReplicas", now.available, true },
        {"currentReplicas",   now.current,   false},
        {"updatedReplicas",   now.updated,   false},
    };
    const struct val *old = val_get(sts->obj, S("status"));
    int64_t generation = val_number_at(sts->obj, "metadata.generation", 0);
    struct val conditions;
    bool has_conditions = !sts->is_deleting && sts_conditions(sts, &now, &conditions);
    if (!has_conditions && val_number(val_get(old, S("observedGeneration")), 0) >= generation &&
        is_same(old, counters, sizeof counters / sizeof counters[0]) &&
        str_eq(val_text(val_get(old, S("currentRevision"))), now.current_revision) &&
        str_eq(val_text(val_get(old, S("updateRevision"))), now.update_revision)) {
        return;
    }
    struct arena *arena = sts->arena;
    struct val status = val_map();
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        bool is_left_out = counters[i].value == 0 && !counters[i].is_always;
        val_set(arena, &status, str_of(counters[i].key),
                is_left_out ? val_null() : val_int(counters[i].value));
    }
    val_set(arena, &status, S("observedGeneration"), val_int(generation));
    val_set(arena, &status, S("collisionCount"), val_int(sts->collision_count));
    set_text(arena, &status, S("currentRevision"), now.current_revision);
    set_text(arena, &status, S("updateRevision"), now.update_revision);
    if (has_conditions) {
        val_set(arena, &status, S("conditions"), conditions);
    }
    struct val body = val_map();
    val_set(arena, &body, S("status"), status);
    struct action *action =
        actions_add(sts->out, ACTION_PATCH_STATUS, sts->kind, sts->ns, sts->name);
    action->body = arena_val(arena, body);
    action->uid = sts->uid;
    action->rev = has_conditions ? meta_rev(sts->obj) : 0;
    action->is_optional = true;
}
