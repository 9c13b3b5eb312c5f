// SPDX-License-Identifier: Apache-2.0
//
// Checks on a decision: its actions against the committed state that it was made from (numbers are
// those of spec/statefulset.md 9). The revisions that hold are those of the status that the same
// decision writes; that they are the right ones is checked against the templates.
#include "facts.h"

#include "base/mem.h"

#include <stdlib.h>

enum { PACE_MAX = 200 }; /* decisions with actions a key and second of virtual time */

struct look {
    struct sim *sim;
    struct arena *arena;
    const struct actions *actions;
    struct facts f;
    struct str update, current;
    size_t creates, deletes, healthy_updates;
};

static bool is_status(const struct action *a)
{
    return a->type == ACTION_STATUS || a->type == ACTION_PATCH_STATUS;
}

/* A text of the status that this decision leaves behind. */
static struct str stored_or(const struct look *l, const char *path, struct str stored)
{
    for (size_t i = 0; i < l->actions->count; i++) {
        const struct action *a = &l->actions->list[i];
        if (is_status(a) && a->kind == kind_of(KIND_STATEFUL_SET) &&
            val_path(a->body, path) != NULL) {
            return val_text_at(a->body, path);
        }
    }
    return stored;
}

static bool is_deleted_here(const struct look *l, const struct set_pod *m)
{
    for (size_t i = 0; i < l->actions->count; i++) {
        const struct action *a = &l->actions->list[i];
        if (a->type == ACTION_DELETE && a->kind == kind_of(KIND_POD) && str_eq(a->name, m->name)) {
            return true;
        }
    }
    return false;
}

/* --- creations --- */

static void check_identity(struct look *l, const struct action *a, int64_t ordinal)
{
    struct sim *sim = l->sim;
    const struct val *pod = a->body;
    struct str digits = arena_fmt(l->arena, "%lld", (long long)ordinal);
    if (!str_eq(meta_label(pod, S("statefulset.kubernetes.io/pod-name")), a->name) ||
        !str_eq(meta_label(pod, S("apps.kubernetes.io/pod-index")), digits) ||
        !str_eq(val_text_at(pod, "spec.hostname"), a->name) ||
        !str_eq(val_text_at(pod, "spec.subdomain"), val_text_at(l->f.set, "spec.serviceName")) ||
        val_count(val_path(pod, "metadata.ownerReferences")) != 1 ||
        !meta_is_controlled_by(pod, l->f.uid)) {
        sim_fail(sim, "2", "pod " STR_FMT " is made with a wrong identity", STR_ARG(a->name));
    }
    const struct val *templates = val_path(l->f.set, "spec.volumeClaimTemplates");
    for (size_t i = 0; i < val_count(templates); i++) {
        struct str template = meta_name(val_at(templates, i));
        struct str want =
            arena_fmt(l->arena, STR_FMT "-" STR_FMT, STR_ARG(template), STR_ARG(a->name));
        const struct val *volume = val_at(val_path(pod, "spec.volumes"), i);
        if (!str_eq(val_text_at(volume, "name"), template) ||
            !str_eq(val_text_at(volume, "persistentVolumeClaim.claimName"), want)) {
            sim_fail(sim, "3", "pod " STR_FMT " has a wrong volume " STR_FMT, STR_ARG(a->name),
                     STR_ARG(template));
        }
        const struct val *claim = sim_get(sim, KIND_PVC, l->f.ns, want);
        const struct val *refs = val_path(claim, "metadata.ownerReferences");
        bool is_stale = false;
        for (size_t k = 0; l->f.has_scaled_delete && k < val_count(refs); k++) {
            is_stale = is_stale || (str_eq(val_text_at(val_at(refs, k), "kind"), S("Pod")) &&
                                    str_eq(val_text_at(val_at(refs, k), "name"), a->name));
        }
        if (is_stale || meta_is_deleting(claim)) {
            sim_fail(sim, "32", "pod " STR_FMT " is made while its claim is %s", STR_ARG(a->name),
                     is_stale ? "stale" : "being deleted");
        }
    }
}

static void check_revision(struct look *l, const struct action *a, int64_t ordinal)
{
    struct str revision = pod_revision(a->body);
    bool is_below = l->f.has_rolling && ordinal < l->f.start + l->f.partition;
    bool is_old = str_eq(revision, l->current) || str_eq(revision, l->f.current);
    bool is_new = str_eq(revision, l->update);
    bool is_free = !l->f.has_rolling && !l->f.is_on_delete && is_old; /* 6.7 */
    if (is_below ? !is_old : (!is_new && !is_free)) {
        sim_fail(l->sim, "12",
                 "pod " STR_FMT " is made at revision " STR_FMT ", partition %lld, current " STR_FMT
                 ", update " STR_FMT,
                 STR_ARG(a->name), STR_ARG(revision), (long long)l->f.partition,
                 STR_ARG(l->current), STR_ARG(l->update));
    }
}

static void check_order(struct look *l, const struct action *a, int64_t ordinal)
{
    for (int64_t k = l->f.start; !l->f.is_parallel && k < ordinal; k++) {
        const struct set_pod *m = facts_member(&l->f, k);
        if (m == NULL || m->is_terminating || !m->is_available) {
            sim_fail(l->sim, "6", "pod " STR_FMT " is made while ordinal %lld %s", STR_ARG(a->name),
                     (long long)k,
                     m == NULL ? "is absent"
                               : (m->is_terminating ? "is terminating" : "is not available"));
        }
    }
    if (!l->f.is_parallel && ++l->creates > 1) {
        sim_fail(l->sim, "7", "two pods are made in one decision");
    }
}

static void check_create(struct look *l, const struct action *a)
{
    int64_t ordinal = ordinal_of(l->f.name, a->name);
    if (ordinal < 0 || !facts_in_range(&l->f, ordinal)) {
        sim_fail(l->sim, "4", "pod " STR_FMT " is made outside %lld..%lld", STR_ARG(a->name),
                 (long long)l->f.start, (long long)(l->f.start + l->f.replicas - 1));
        return;
    }
    check_identity(l, a, ordinal);
    check_revision(l, a, ordinal);
    check_order(l, a, ordinal);
}

/* --- deletions --- */

static int64_t unavailable_count(const struct look *l)
{
    int64_t count = 0;
    for (int64_t k = l->f.start; k < l->f.start + l->f.replicas; k++) {
        const struct set_pod *m = facts_member(&l->f, k);
        count += m == NULL || m->is_terminating || !m->is_available;
    }
    return count;
}

static void check_condemned(struct look *l, const struct set_pod *m)
{
    for (size_t i = 0; !l->f.is_parallel && i < l->f.members_count; i++) {
        const struct set_pod *o = &l->f.members[i];
        if (o->ordinal > m->ordinal && !facts_in_range(&l->f, o->ordinal)) {
            sim_fail(l->sim, "9", "pod " STR_FMT " is removed before " STR_FMT, STR_ARG(m->name),
                     STR_ARG(o->name));
        }
    }
    if (!l->f.is_parallel && unavailable_count(l) > 0) {
        sim_fail(l->sim, "9", "pod " STR_FMT " is removed while a kept pod is not available",
                 STR_ARG(m->name));
    }
}

static void check_update(struct look *l, const struct set_pod *m)
{
    struct sim *sim = l->sim;
    if (l->f.is_on_delete) {
        sim_fail(sim, "14", "pod " STR_FMT " is replaced under OnDelete", STR_ARG(m->name));
    }
    if (str_eq(m->revision, l->update) || m->ordinal < l->f.start + l->f.partition) {
        sim_fail(sim, "13", "pod " STR_FMT " at revision " STR_FMT " is replaced, partition %lld",
                 STR_ARG(m->name), STR_ARG(m->revision), (long long)l->f.partition);
    }
    if (!m->is_available) {
        return;
    }
    l->healthy_updates++;
    if (unavailable_count(l) + (int64_t)l->healthy_updates > l->f.max_unavailable) {
        sim_fail(sim, "17",
                 "pod " STR_FMT " is replaced: %lld are unavailable, %zu go, budget %lld",
                 STR_ARG(m->name), (long long)unavailable_count(l), l->healthy_updates,
                 (long long)l->f.max_unavailable);
    }
    for (size_t i = 0; i < l->f.members_count; i++) {
        const struct set_pod *o = &l->f.members[i];
        bool is_condemned = !facts_in_range(&l->f, o->ordinal);
        if (is_condemned && !l->f.is_parallel) {
            sim_fail(sim, "19", "pod " STR_FMT " is replaced while " STR_FMT " is to go",
                     STR_ARG(m->name), STR_ARG(o->name));
        }
        if (o->ordinal > m->ordinal && !is_condemned && o->is_available && !o->is_terminating &&
            !str_eq(o->revision, l->update) && !is_deleted_here(l, o)) {
            sim_fail(sim, "16", "pod " STR_FMT " is replaced before " STR_FMT, STR_ARG(m->name),
                     STR_ARG(o->name));
        }
    }
}

static void check_delete(struct look *l, const struct action *a)
{
    const struct set_pod *m = facts_member(&l->f, ordinal_of(l->f.name, a->name));
    if (m == NULL) {
        sim_fail(l->sim, "34", "pod " STR_FMT " is deleted and no member", STR_ARG(a->name));
        return;
    }
    if (!str_eq(a->uid, m->uid)) {
        sim_fail(l->sim, "34", "pod " STR_FMT " is deleted without its uid", STR_ARG(a->name));
    }
    note_add(l->sim, m->uid, NOTE_CONTROLLER_DELETED);
    if (!l->f.is_parallel && l->f.max_unavailable == 1 && ++l->deletes > 1) {
        sim_fail(l->sim, "18", "two pods are deleted in one decision");
    }
    for (size_t i = 0; !l->f.is_parallel && m->is_ready && i < l->f.members_count; i++) {
        const struct set_pod *o = &l->f.members[i];
        if (l->f.max_unavailable == 1 && o->is_terminating && facts_in_range(&l->f, o->ordinal) &&
            (note_of(l->sim, o->uid) & NOTE_CONTROLLER_DELETED) != 0) {
            sim_fail(l->sim, "10", "pod " STR_FMT " is deleted while " STR_FMT " is on its way out",
                     STR_ARG(m->name), STR_ARG(o->name));
        }
    }
    if (!facts_in_range(&l->f, m->ordinal)) {
        check_condemned(l, m);
    } else if (!m->is_terminal) {
        check_update(l, m);
    }
}

/* --- status --- */

/* The counters that this decision leaves behind, against a recount of what it saw: 24 and 26. */
static void check_counts(struct look *l)
{
    struct {
        const char *path;
        int64_t least, most;
    } rows[] = {
        {"status.replicas",          0, 0},
        {"status.readyReplicas",     0, 0},
        {"status.availableReplicas", 0, 0},
        {"status.updatedReplicas",   0, 0},
        {"status.currentReplicas",   0, 0},
    };
    for (size_t i = 0; i < l->f.members_count; i++) {
        const struct set_pod *m = &l->f.members[i];
        bool is_current = !m->is_terminating && str_eq(m->revision, l->current);
        const bool counts[] = {true, m->is_ready, m->is_available,
                               !m->is_terminating && str_eq(m->revision, l->update), is_current};
        for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
            rows[k].least += counts[k];
            rows[k].most += counts[k];
        }
        rows[4].least -= is_current && is_deleted_here(l, m);
    }
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        int64_t is = val_number_at(l->f.set, rows[k].path, 0);
        for (size_t i = 0; i < l->actions->count; i++) {
            const struct action *a = &l->actions->list[i];
            if (is_status(a) && a->kind == kind_of(KIND_STATEFUL_SET)) {
                is = val_number_at(a->body, rows[k].path, 0);
            }
        }
        if (is < rows[k].least || is > rows[k].most) {
            sim_fail(l->sim, "26", "set " STR_FMT ": %s is %lld, a recount gives %lld",
                     STR_ARG(l->f.name), rows[k].path, (long long)is, (long long)rows[k].most);
        }
    }
}

/* --- all actions --- */

static bool has_owner(const struct val *obj, struct str uid)
{
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    for (size_t i = 0; i < val_count(refs); i++) {
        if (str_eq(val_text_at(val_at(refs, i), "uid"), uid)) {
            return true;
        }
    }
    return false;
}

/* 28 to 30: which owners a claim gets follows table 4.2, and none beside another controller. */
static void check_claim_owners(struct look *l, const struct action *a)
{
    const struct val *claim = sim_get(l->sim, KIND_PVC, a->ns, a->name);
    const struct val *refs = val_path(a->body, "metadata.ownerReferences");
    const struct val *controller = meta_controller(claim);
    bool is_strange = controller != NULL && !str_eq(val_text_at(controller, "kind"), S("Pod")) &&
                      !str_eq(val_text_at(controller, "kind"), S("StatefulSet"));
    for (size_t i = 0; i < val_count(refs); i++) {
        const struct val *ref = val_at(refs, i);
        if (has_owner(claim, val_text_at(ref, "uid"))) {
            continue;
        }
        ptrdiff_t dash = str_rfind(a->name, '-');
        struct str digits = str_sub(a->name, (size_t)dash + 1, a->name.n);
        uint64_t n = 0;
        bool is_pod = str_eq(val_text_at(ref, "kind"), S("Pod"));
        bool is_in = str_to_u64(digits, &n) == 0 && facts_in_range(&l->f, (int64_t)n);
        bool is_scaled = l->f.has_scaled_delete && !is_in;
        if (is_strange || (is_pod ? !is_scaled : (!l->f.has_deleted_delete || is_scaled))) {
            sim_fail(l->sim, "29", "claim " STR_FMT " gets a " STR_FMT " as its owner",
                     STR_ARG(a->name), STR_ARG(val_text_at(ref, "kind")));
        }
    }
}

static void check_claim_write(struct look *l, const struct action *a)
{
    if (a->type != ACTION_DELETE) {
        check_claim_owners(l, a);
    }
    if (a->type == ACTION_DELETE) {
        sim_fail(l->sim, "28", "claim " STR_FMT " is deleted by the set", STR_ARG(a->name));
    } else if (a->type != ACTION_CREATE && val_get(a->body, S("spec")) != NULL) {
        sim_fail(l->sim, "31", "the spec of claim " STR_FMT " is written", STR_ARG(a->name));
    }
}

static void check_pod_write(struct look *l, const struct action *a)
{
    const struct val *pod = sim_get(l->sim, KIND_POD, a->ns, a->name);
    if (a->type != ACTION_CREATE && meta_controller(pod) != NULL &&
        !meta_is_controlled_by(pod, l->f.uid)) {
        sim_fail(l->sim, "34", "pod " STR_FMT " of another controller is touched",
                 STR_ARG(a->name));
    }
    if (a->type == ACTION_CREATE) {
        check_create(l, a);
    } else if (a->type == ACTION_DELETE) {
        check_delete(l, a);
    }
}

/* The update revision is the set's template, whether stored or made in this decision. */
static void check_update_revision(struct look *l)
{
    const struct val *revision = sim_get(l->sim, KIND_CONTROLLER_REVISION, l->f.ns, l->update);
    for (size_t i = 0; revision == NULL && i < l->actions->count; i++) {
        const struct action *a = &l->actions->list[i];
        if (a->type == ACTION_CREATE && a->kind == kind_of(KIND_CONTROLLER_REVISION) &&
            str_eq(a->name, l->update)) {
            revision = a->body;
        }
    }
    const struct val *data = val_path(revision, "data.spec.template");
    struct val *template =
        arena_val(l->arena, val_copy(l->arena, val_path(l->f.set, "spec.template")));
    val_set(l->arena, template, S("$patch"), val_str(S("replace")));
    if (data == NULL || !val_eq(data, template)) {
        sim_fail(l->sim, "22", "update revision " STR_FMT " of set " STR_FMT " is not its template",
                 STR_ARG(l->update), STR_ARG(l->f.name));
    }
}

static void check_set(struct sim *sim, struct str ns, struct str name,
                      const struct actions *actions)
{
    auto_arena struct arena *arena = arena_new(1 << 24);
    const struct val *set = sim_get(sim, KIND_STATEFUL_SET, ns, name);
    struct look l = {.sim = sim, .arena = arena, .actions = actions};
    if (set == NULL) {
        return;
    }
    facts_read(sim, arena, set, &l.f);
    l.update = stored_or(&l, "status.updateRevision", l.f.update);
    l.current = stored_or(&l, "status.currentRevision", l.f.current);
    bool is_writing_pods = false;
    for (size_t i = 0; i < actions->count; i++) {
        const struct action *a = &actions->list[i];
        if (l.f.is_deleting && !is_status(a) && a->type != ACTION_EVENT) {
            sim_fail(sim, "35", "set " STR_FMT " is being deleted and writes " STR_FMT " " STR_FMT,
                     STR_ARG(name), STR_ARG(a->kind->name), STR_ARG(a->name));
        }
        if (a->type == ACTION_EVENT) {
            continue;
        }
        if (a->kind == kind_of(KIND_POD)) {
            is_writing_pods = true;
            check_pod_write(&l, a);
        } else if (a->kind == kind_of(KIND_PVC)) {
            check_claim_write(&l, a);
        }
    }
    if (is_writing_pods && !l.f.is_deleting) {
        check_update_revision(&l);
    }
    if (actions->count > 0 && !l.f.is_deleting) {
        check_counts(&l);
    }
}

/* --- other controllers --- */

static bool is_owner_live(struct sim *sim, const struct val *obj, const struct val *ref)
{
    enum kind_id kind = str_eq(val_text_at(ref, "kind"), S("Pod"))           ? KIND_POD
                        : str_eq(val_text_at(ref, "kind"), S("StatefulSet")) ? KIND_STATEFUL_SET
                                                                             : KIND_SERVICE;
    const struct val *owner = sim_get(sim, kind, meta_ns(obj), val_text_at(ref, "name"));
    return owner != NULL && str_eq(meta_uid(owner), val_text_at(ref, "uid")) &&
           !has_finalizer(owner, S("foregroundDeletion"));
}

/* Given to a set that let go of its dependents meanwhile: the garbage collector didn't see it. Only
 * a controller far away from its server does that, as upstream's. */
static bool is_late(struct sim *sim, const struct val *obj, struct str owner_uid)
{
    bool is_seen = false;
    for (size_t i = 0; i < sim->shadow.count && !is_seen; i++) {
        const struct val *seen = object_val(sim->shadow.entries[i].value);
        is_seen = str_eq(meta_uid(seen), meta_uid(obj)) && has_owner(seen, owner_uid);
    }
    return sim->swarm.remote_ms > 0 && (!is_seen || (note_of(sim, meta_uid(obj)) & NOTE_LATE) != 0);
}

/* The garbage collector deletes only what has owners, all of them gone or going in the foreground,
 * and never what an orphaning set left behind. */
static void check_garbage(struct sim *sim, const struct action *a)
{
    static const enum kind_id kinds[] = {KIND_POD, KIND_PVC, KIND_CONTROLLER_REVISION,
                                         KIND_ENDPOINT_SLICE};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (a->kind != kind_of(kinds[i]) || a->type != ACTION_DELETE) {
            continue;
        }
        const struct val *obj = sim_get(sim, kinds[i], a->ns, a->name);
        const struct val *refs = val_path(obj, "metadata.ownerReferences");
        bool is_free = val_count(refs) > 0;
        for (size_t k = 0; k < val_count(refs); k++) {
            const struct val *ref = val_at(refs, k);
            is_free = is_free && !is_owner_live(sim, obj, ref);
            if ((note_of(sim, val_text_at(ref, "uid")) & NOTE_ORPHANING) != 0 &&
                !is_late(sim, obj, val_text_at(ref, "uid"))) {
                sim_fail(sim, "36", STR_FMT " " STR_FMT " was to be orphaned and is deleted",
                         STR_ARG(a->kind->name), STR_ARG(a->name));
            }
        }
        if (obj != NULL && !is_free) {
            sim_fail(sim, "28", STR_FMT " " STR_FMT " is collected though it has a live owner",
                     STR_ARG(a->kind->name), STR_ARG(a->name));
        }
        note_add(sim, meta_uid(obj), NOTE_GARBAGE_DELETED);
    }
}

static void note_namespace(struct sim *sim, const struct action *a)
{
    static const enum kind_id kinds[] = {KIND_POD, KIND_PVC};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct val *obj = sim_get(sim, kinds[i], a->ns, a->name);
        if (a->kind == kind_of(kinds[i]) && a->type == ACTION_DELETE && obj != NULL) {
            note_add(sim, meta_uid(obj), NOTE_GARBAGE_DELETED);
        }
    }
}

struct pace {
    usec second;
    unsigned count;
};

/* 43: no key is decided without end while it waits. */
static void check_pace(struct sim *sim, const struct controller *controller, struct str ns,
                       struct str name)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    struct str id = arena_fmt(arena, STR_FMT " " STR_FMT "/" STR_FMT, STR_ARG(controller->name),
                              STR_ARG(ns), STR_ARG(name));
    struct pace *pace = map_find(&sim->paces, id);
    usec second = sim_now(sim) / USEC_PER_SEC;
    if (pace == NULL) {
        pace = xcalloc(1, sizeof *pace);
        map_put(&sim->paces, id, pace);
    }
    pace->count = pace->second == second ? pace->count + 1 : 0;
    pace->second = second;
    if (pace->count > PACE_MAX) {
        sim_fail(sim, "43", STR_FMT " decided %d times in a second", STR_ARG(id), PACE_MAX);
    }
}

void check_decision(struct sim *sim, const struct controller *controller, struct str ns,
                    struct str name, const struct actions *actions)
{
    check_pace(sim, controller, ns, name);
    if (str_eq(controller->name, S("statefulset"))) {
        check_set(sim, ns, name, actions);
    }
    for (size_t i = 0; i < actions->count; i++) {
        if (str_eq(controller->name, S("garbage"))) {
            check_garbage(sim, &actions->list[i]);
        } else if (str_eq(controller->name, S("namespace"))) {
            note_namespace(sim, &actions->list[i]);
        }
    }
}
