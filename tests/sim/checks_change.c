// SPDX-License-Identifier: Apache-2.0
//
// Checks on a single change of the store, from the state before to the state after, whoever wrote
// it (numbers are those of spec/statefulset.md 9).
#include "facts.h"

#include "base/mem.h"
#include "controllers/statefulset.h"

static long long num(const struct val *obj, const char *path)
{
    return (long long)val_number_at(obj, path, 0);
}

static void check_owners(struct sim *sim, struct str key, const struct val *obj)
{
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    size_t controllers_count = 0;
    for (size_t i = 0; i < val_count(refs); i++) {
        controllers_count += val_true_at(val_at(refs, i), "controller");
    }
    if (controllers_count > 1) {
        sim_fail(sim, "2", STR_FMT " has %zu controllers", STR_ARG(key), controllers_count);
    }
}

/* When a pod went, and in which life of the brain. */
struct end {
    usec at;
    unsigned brain;
};

/* A set's pod is not made anew at once: watchers have to see the old one's end. */
static void check_pause(struct sim *sim, const struct val *pod, bool is_create, bool is_delete)
{
    auto_arena struct arena *arena = arena_new(1 << 12);
    struct str key =
        arena_fmt(arena, STR_FMT "/" STR_FMT, STR_ARG(meta_ns(pod)), STR_ARG(meta_name(pod)));
    struct end *end = map_find(&sim->ends, key);
    const struct val *ref = meta_controller(pod);
    if (is_create && end != NULL && end->brain == sim->brains && ref != NULL &&
        str_eq(val_text_at(ref, "kind"), S("StatefulSet")) &&
        sim_now(sim) - end->at < STS_REMAKE_PAUSE) {
        sim_fail(sim, "pause", "pod " STR_FMT " is made anew after %lld us",
                 STR_ARG(meta_name(pod)), (long long)(sim_now(sim) - end->at));
    }
    if (is_delete && ref != NULL) {
        if (end == NULL) {
            end = xcalloc(1, sizeof *end);
            map_put(&sim->ends, key, end);
        }
        *end = (struct end){sim_now(sim), sim->brains};
    }
}

/* A member's identity: 2, 3 and 5; and 15 when it is made. */
static void check_member(struct sim *sim, const struct val *pod, const struct val *ref,
                         bool is_create)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    struct str name = meta_name(pod);
    int64_t ordinal = ordinal_of(val_text_at(ref, "name"), name);
    struct str digits = arena_fmt(arena, "%lld", (long long)ordinal);
    struct str end = arena_fmt(arena, "-" STR_FMT, STR_ARG(name));
    if (ordinal < 0 || !str_eq(meta_label(pod, S("statefulset.kubernetes.io/pod-name")), name) ||
        !str_eq(meta_label(pod, S("apps.kubernetes.io/pod-index")), digits) ||
        !str_eq(val_text_at(pod, "spec.hostname"), name)) {
        sim_fail(sim, "2", "pod " STR_FMT " is owned and has another identity", STR_ARG(name));
    }
    const struct val *volumes = val_path(pod, "spec.volumes");
    for (size_t i = 0; i < val_count(volumes); i++) {
        struct str claim = val_text_at(val_at(volumes, i), "persistentVolumeClaim.claimName");
        if (claim.n > 0 && !str_ends(claim, end)) {
            sim_fail(sim, "5", "pod " STR_FMT " uses claim " STR_FMT, STR_ARG(name),
                     STR_ARG(claim));
        }
    }
    struct str revision = pod_revision(pod);
    const struct val *set = sim_get(sim, KIND_STATEFUL_SET, meta_ns(pod), val_text_at(ref, "name"));
    bool is_live = str_eq(meta_uid(set), val_text_at(ref, "uid")) && !meta_is_deleting(set);
    struct str mark =
        arena_fmt(arena, "left " STR_FMT "/" STR_FMT, STR_ARG(meta_ns(pod)), STR_ARG(revision));
    if (is_create && is_live &&
        sim_get(sim, KIND_CONTROLLER_REVISION, meta_ns(pod), revision) == NULL &&
        !sim->swarm.has_holds && note_of(sim, mark) == 0) {
        sim_fail(sim, "15", "pod " STR_FMT " is made at revision " STR_FMT ", which is not there",
                 STR_ARG(name), STR_ARG(revision));
    }
}

/* 8: in an OrderedReady set, no pod gets ready before the one below it was ready once. */
static void check_first_ready(struct sim *sim, const struct val *pod, const struct val *ref)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    if (!pod_is_ready(pod)) {
        return;
    }
    struct str set_name = val_text_at(ref, "name");
    const struct val *set = sim_get(sim, KIND_STATEFUL_SET, meta_ns(pod), set_name);
    int64_t ordinal = ordinal_of(set_name, meta_name(pod));
    struct str mark = arena_fmt(arena, "ready " STR_FMT "/" STR_FMT, STR_ARG(meta_ns(pod)),
                                STR_ARG(meta_name(pod)));
    struct str below = arena_fmt(arena, "ready " STR_FMT "/" STR_FMT "-%lld", STR_ARG(meta_ns(pod)),
                                 STR_ARG(set_name), (long long)ordinal - 1);
    if (note_of(sim, mark) == 0 && set != NULL && !sim->swarm.has_moves &&
        str_eq(val_text_at(set, "spec.podManagementPolicy"), S("OrderedReady")) &&
        ordinal > val_number_at(set, "spec.ordinals.start", 0) && note_of(sim, below) == 0) {
        sim_fail(sim, "8", "pod " STR_FMT " is ready, the one below it never was",
                 STR_ARG(meta_name(pod)));
    }
    note_add(sim, mark, 1);
}

static void check_pod(struct sim *sim, const struct val *old, const struct val *pod, bool is_delete)
{
    struct str name = meta_name(pod);
    const struct val *ref = meta_controller(pod);
    if (ref != NULL && str_eq(val_text_at(ref, "kind"), S("StatefulSet"))) {
        check_member(sim, pod, ref, /*is_create=*/old == NULL && !is_delete);
    }
    check_first_ready(sim, pod, ref);
    struct str node = val_text_at(old, "spec.nodeName");
    if (node.n > 0 && !str_eq(node, val_text_at(pod, "spec.nodeName"))) {
        sim_fail(sim, "binding", "pod " STR_FMT " moved to another node", STR_ARG(name));
    }
    if (old != NULL && !str_eq(meta_uid(old), meta_uid(pod))) {
        sim_fail(sim, "1", "pod " STR_FMT " changed its uid", STR_ARG(name));
    }
    bool is_going = is_delete || meta_is_deleting(pod);
    if (is_going && note_of(sim, meta_uid(pod)) == 0) {
        sim_fail(sim, "11", "pod " STR_FMT " is deleted and nobody asked for it", STR_ARG(name));
    }
}

static bool is_promoted(const struct val *set)
{
    return num(set, "status.updatedReplicas") == num(set, "spec.replicas") &&
           num(set, "status.readyReplicas") == num(set, "spec.replicas") &&
           num(set, "status.replicas") == num(set, "spec.replicas");
}

static void check_counters(struct sim *sim, const struct val *set)
{
    long long all = num(set, "status.replicas");
    long long ready = num(set, "status.readyReplicas");
    long long available = num(set, "status.availableReplicas");
    long long current = num(set, "status.currentReplicas");
    long long updated = num(set, "status.updatedReplicas");
    if (available < 0 || ready < available || all < ready || current < 0 || current > all ||
        updated < 0 || updated > all) {
        sim_fail(sim, "24",
                 "set " STR_FMT " counts %lld, ready %lld, available %lld, current %lld, "
                 "updated %lld",
                 STR_ARG(meta_name(set)), all, ready, available, current, updated);
    }
    if (num(set, "status.observedGeneration") > num(set, "metadata.generation")) {
        sim_fail(sim, "25", "set " STR_FMT " observed a generation to come",
                 STR_ARG(meta_name(set)));
    }
}

static void check_set(struct sim *sim, const struct val *old, const struct val *set)
{
    struct str name = meta_name(set);
    if (meta_is_deleting(set) && has_finalizer(set, S("orphan"))) {
        note_add(sim, meta_uid(set), NOTE_ORPHANING);
    }
    check_counters(sim, set);
    if (old == NULL || !str_eq(meta_uid(old), meta_uid(set))) {
        return;
    }
    bool is_spec = !val_eq(val_get(old, S("spec")), val_get(set, S("spec")));
    bool is_status = !val_eq(val_get(old, S("status")), val_get(set, S("status")));
    if (is_spec && is_status) {
        sim_fail(sim, "27", "one write changed spec and status of set " STR_FMT, STR_ARG(name));
    }
    bool is_newer = num(set, "metadata.generation") > num(old, "metadata.generation");
    bool is_ending = meta_is_deleting(set) && !meta_is_deleting(old);
    if (is_newer != (is_spec || is_ending) && !(is_spec && is_ending)) {
        sim_fail(sim, "27", "generation of set " STR_FMT " goes from %lld to %lld", STR_ARG(name),
                 num(old, "metadata.generation"), num(set, "metadata.generation"));
    }
    if (num(set, "status.observedGeneration") < num(old, "status.observedGeneration") ||
        num(set, "status.collisionCount") < num(old, "status.collisionCount")) {
        sim_fail(sim, "25", "set " STR_FMT " went back in its status", STR_ARG(name));
    }
    struct str was = val_text_at(old, "status.currentRevision");
    struct str is = val_text_at(set, "status.currentRevision");
    /* A status may be written after the spec that it was computed from has changed again. What the
     * set before it left behind, held by a finalizer, is no revision of this one. */
    bool is_observed = num(set, "status.observedGeneration") == num(set, "metadata.generation");
    const struct val *revision = sim_get(sim, KIND_CONTROLLER_REVISION, meta_ns(set), was);
    if (was.n > 0 && !str_eq(was, is) && is_observed &&
        meta_is_controlled_by(revision, meta_uid(set)) &&
        !(str_eq(is, val_text_at(set, "status.updateRevision")) && is_promoted(set))) {
        sim_fail(sim, "20", "set " STR_FMT " promotes " STR_FMT " too early", STR_ARG(name),
                 STR_ARG(is));
    }
}

static void check_claim(struct sim *sim, const struct val *old, const struct val *claim,
                        bool is_delete)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    struct str name = meta_name(claim);
    if ((is_delete || meta_is_deleting(claim)) && note_of(sim, meta_uid(claim)) == 0) {
        sim_fail(sim, "33", "claim " STR_FMT " is deleted and nobody asked for it", STR_ARG(name));
    }
    if (old != NULL && str_eq(meta_uid(old), meta_uid(claim))) {
        struct val was = val_copy(arena, val_get(old, S("spec")));
        struct val is = val_copy(arena, val_get(claim, S("spec")));
        struct str volume = val_text_at(old, "spec.volumeName");
        if (volume.n > 0 && !str_eq(volume, val_text_at(claim, "spec.volumeName"))) {
            sim_fail(sim, "31", "claim " STR_FMT " changed its volume", STR_ARG(name));
        }
        val_remove(&was, S("volumeName"));
        val_remove(&is, S("volumeName"));
        if (!val_eq(&was, &is)) {
            sim_fail(sim, "31", "the spec of claim " STR_FMT " changed", STR_ARG(name));
        }
    }
    /* 29: what else owns the claim goes on owning it. */
    const struct val *refs = val_path(old, "metadata.ownerReferences");
    for (size_t i = 0;
         i < val_count(refs) && old != NULL && str_eq(meta_uid(old), meta_uid(claim)) && !is_delete;
         i++) {
        if (str_eq(val_text_at(val_at(refs, i), "kind"), S("Service")) &&
            val_count(val_path(claim, "metadata.ownerReferences")) == 0) {
            sim_fail(sim, "29", "claim " STR_FMT " lost its other owner", STR_ARG(name));
        }
    }
    struct str volume = val_text_at(claim, "spec.volumeName");
    for (size_t i = 0; volume.n > 0 && i < sim->shadow.count; i++) {
        const struct object *other = sim->shadow.entries[i].value;
        if (str_starts(other->key, S("persistentvolumeclaims/")) &&
            !str_eq(meta_uid(object_val(other)), meta_uid(claim)) &&
            str_eq(val_text_at(object_val(other), "spec.volumeName"), volume)) {
            sim_fail(sim, "3", "claims " STR_FMT " and " STR_FMT " have one volume", STR_ARG(name),
                     STR_ARG(other->key));
        }
    }
}

/* 21: no second revision of the same template. 22: a number that is given is the highest. */
static void check_revision(struct sim *sim, const struct val *old, const struct val *revision)
{
    const struct val *ref = meta_controller(revision);
    if (ref == NULL || meta_is_deleting(revision) ||
        (old != NULL && num(old, "revision") == num(revision, "revision"))) {
        return;
    }
    for (size_t i = 0; i < sim->shadow.count; i++) {
        const struct object *object = sim->shadow.entries[i].value;
        const struct val *other = object_val(object);
        if (!str_starts(object->key, S("controllerrevisions.apps/")) ||
            !meta_is_controlled_by(other, val_text_at(ref, "uid")) || meta_is_deleting(other) ||
            str_eq(meta_uid(other), meta_uid(revision))) {
            continue;
        }
        if (old == NULL && val_eq(val_get(other, S("data")), val_get(revision, S("data")))) {
            sim_fail(sim, "21", "revision " STR_FMT " says what " STR_FMT " says",
                     STR_ARG(meta_name(revision)), STR_ARG(meta_name(other)));
        }
        if (num(other, "revision") >= num(revision, "revision")) {
            sim_fail(sim, "22", "revision " STR_FMT " gets number %lld, " STR_FMT " has %lld",
                     STR_ARG(meta_name(revision)), num(revision, "revision"),
                     STR_ARG(meta_name(other)), num(other, "revision"));
        }
    }
}

/* 15: a revision that a pod of its set names is never removed. */
static void check_revision_delete(struct sim *sim, const struct val *revision)
{
    auto_arena struct arena *arena = arena_new(1 << 24);
    const struct val *ref = meta_controller(revision);
    const struct val *set =
        sim_get(sim, KIND_STATEFUL_SET, meta_ns(revision), val_text_at(ref, "name"));
    struct facts f;
    if (ref == NULL || set == NULL || meta_is_deleting(set) ||
        (note_of(sim, meta_uid(revision)) & NOTE_USER_DELETED) != 0 ||
        !str_eq(meta_uid(set), val_text_at(ref, "uid"))) {
        return;
    }
    facts_read(sim, arena, set, &f);
    for (size_t i = 0; i < f.members_count; i++) {
        if (str_eq(f.members[i].revision, meta_name(revision)) &&
            meta_controller(f.members[i].obj) != NULL) {
            sim_fail(sim, "15", "revision " STR_FMT " is removed, pod " STR_FMT " has it",
                     STR_ARG(meta_name(revision)), STR_ARG(f.members[i].name));
        }
    }
}

/* A set that is made anew goes on with the revision that the one before it left, under the same
 * name, until the garbage collector has taken that; then it makes its own. So does upstream's. */
static void note_revision(struct sim *sim, const struct val *revision)
{
    auto_arena struct arena *arena = arena_new(1 << 12);
    const struct val *ref = meta_controller(revision);
    const struct val *set =
        sim_get(sim, KIND_STATEFUL_SET, meta_ns(revision), val_text_at(ref, "name"));
    if (ref != NULL && set != NULL && !str_eq(meta_uid(set), val_text_at(ref, "uid"))) {
        note_add(sim,
                 arena_fmt(arena, "left " STR_FMT "/" STR_FMT, STR_ARG(meta_ns(revision)),
                           STR_ARG(meta_name(revision))),
                 1);
    }
}

/* A controller far away gives an object to a set that has begun to let go of what it owns. */
static void note_late(struct sim *sim, const struct val *old, const struct val *obj)
{
    const struct val *ref = meta_controller(obj);
    bool is_given = old == NULL || !meta_is_controlled_by(old, val_text_at(ref, "uid"));
    if (ref != NULL && is_given && sim->swarm.remote_ms > 0 &&
        (note_of(sim, val_text_at(ref, "uid")) & NOTE_ORPHANING) != 0) {
        note_add(sim, meta_uid(obj), NOTE_LATE);
    }
}

void check_change(struct sim *sim, const struct object *before, const struct object *after,
                  bool is_delete)
{
    const struct val *old = before == NULL ? NULL : object_val(before);
    const struct val *obj = object_val(after);
    struct str key = after->key;
    check_owners(sim, key, obj);
    note_late(sim, old, obj);
    if (str_starts(key, S("pods/"))) {
        check_pause(sim, obj, old == NULL && !is_delete, is_delete);
        check_pod(sim, old, obj, is_delete);
    } else if (str_starts(key, S("statefulsets.apps/"))) {
        check_set(sim, old, obj);
    } else if (str_starts(key, S("persistentvolumeclaims/"))) {
        check_claim(sim, old, obj, is_delete);
    } else if (str_starts(key, S("controllerrevisions.apps/"))) {
        /* What a finalizer kept meanwhile, a pod may have come back to: asked for is what counts.
         */
        bool is_asked = (is_delete || meta_is_deleting(obj)) && !meta_is_deleting(old);
        if (is_asked) {
            check_revision_delete(sim, obj);
        }
        if (is_delete) {
            note_revision(sim, obj);
        } else {
            check_revision(sim, old, obj);
        }
    }
}
