// SPDX-License-Identifier: Apache-2.0
//
// Mutations: the StatefulSet controller with a planted mistake, to show that the checks find it.
// Most show the controller a set that isn't the stored one; the others alter its actions.
#include "facts.h"

#include "base/mem.h"

static enum mutation active;
static const struct controller *genuine;

struct lens {
    const struct view *view;
    struct arena *arena;
};

const char *mutation_text(enum mutation mutation)
{
    static const char *const texts[] = {
#define MUTATION_TEXT(id, text) text,
        MUTATIONS(MUTATION_TEXT)
#undef MUTATION_TEXT
    };
    return texts[mutation];
}

static const struct val *altered(struct arena *arena, const struct val *set)
{
    struct val *copy = arena_val(arena, val_copy(arena, set));
    struct val *rolling = val_slot_path(copy, "spec.updateStrategy.rollingUpdate");
    if (active == MUTATION_IGNORES_PARTITION && rolling != NULL) {
        val_remove(rolling, S("partition"));
    } else if (active == MUTATION_IGNORES_ORDER) {
        val_set_path(arena, copy, "spec.podManagementPolicy", val_str(S("Parallel")));
    } else if (active == MUTATION_DELETES_TWO && rolling != NULL) {
        val_set(arena, rolling, S("maxUnavailable"),
                val_int(1 + val_number(val_get(rolling, S("maxUnavailable")), 1)));
    } else if (active == MUTATION_ACTS_WHILE_DELETING) {
        val_remove(val_slot(copy, S("metadata")), S("deletionTimestamp"));
    } else if (active == MUTATION_WAITS_AT_BROKEN) {
        struct val *notes = val_need_map(arena, val_slot(copy, S("metadata")), S("annotations"));
        val_set(arena, notes, S("coracle.io/strict-rollout"), val_str(S("true")));
    }
    return copy;
}

/* A claim without any sign that it is about to go. */
static const struct val *freshened(struct arena *arena, const struct val *claim)
{
    struct val *copy = arena_val(arena, val_copy(arena, claim));
    const struct val *refs = val_path(claim, "metadata.ownerReferences");
    struct val kept = val_list();
    for (size_t i = 0; i < val_count(refs); i++) {
        if (!str_eq(val_text_at(val_at(refs, i), "kind"), S("Pod"))) {
            val_push(arena, &kept, *val_at(refs, i));
        }
    }
    val_remove(val_slot(copy, S("metadata")), S("deletionTimestamp"));
    val_set_path(arena, copy, "metadata.ownerReferences", kept);
    return copy;
}

/* As if a release before had written one more field. */
static const struct val *aged(struct arena *arena, const struct val *revision)
{
    struct val *copy = arena_val(arena, val_copy(arena, revision));
    val_set_path(arena, copy, "data.spec.template.metadata.generateName", val_str(S("x")));
    return copy;
}

/* A pod that the set of this name takes for its own. */
static const struct val *taken(struct arena *arena, const struct view *view, const struct val *pod)
{
    const struct val *ref = meta_controller(pod);
    const struct val *set =
        view->get(view->ctx, KIND_STATEFUL_SET, meta_ns(pod), val_text_at(ref, "name"));
    if (set == NULL || val_count(val_path(pod, "metadata.ownerReferences")) != 1) {
        return pod;
    }
    struct val *copy = arena_val(arena, val_copy(arena, pod));
    struct val *refs = val_slot_path(copy, "metadata.ownerReferences");
    val_set(arena, &refs->items[0], S("uid"), val_str(meta_uid(set)));
    return copy;
}

static const struct val *lens_get(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    const struct lens *lens = ctx;
    const struct val *obj = lens->view->get(lens->view->ctx, kind, ns, name);
    if (kind == KIND_PVC && obj != NULL && active == MUTATION_NO_CLAIM_BARRIER) {
        return freshened(lens->arena, obj);
    }
    if (kind == KIND_CONTROLLER_REVISION && obj != NULL && active == MUTATION_NEW_REVISIONS) {
        return aged(lens->arena, obj);
    }
    return kind == KIND_STATEFUL_SET && obj != NULL ? altered(lens->arena, obj) : obj;
}

struct lens_each {
    const struct lens *lens;
    enum kind_id kind;
    bool (*each)(void *each_ctx, const struct val *obj);
    void *ctx;
};

static bool lens_listed(void *ctx, const struct val *obj)
{
    const struct lens_each *e = ctx;
    if (e->kind == KIND_CONTROLLER_REVISION && active == MUTATION_NEW_REVISIONS) {
        obj = aged(e->lens->arena, obj);
    } else if (e->kind == KIND_POD && active == MUTATION_TAKES_STRANGERS) {
        obj = taken(e->lens->arena, e->lens->view, obj);
    }
    return e->each(e->ctx, obj);
}

static void lens_list(void *ctx, enum kind_id kind, struct str ns,
                      bool (*each)(void *each_ctx, const struct val *obj), void *each_ctx)
{
    const struct lens *lens = ctx;
    struct lens_each e = {lens, kind, each, each_ctx};
    lens->view->list(lens->view->ctx, kind, ns, lens_listed, &e);
}

static void lens_dependents(void *ctx, struct str uid,
                            bool (*each)(void *each_ctx, const struct kind *kind,
                                         const struct val *obj),
                            void *each_ctx)
{
    const struct lens *lens = ctx;
    lens->view->dependents(lens->view->ctx, uid, each, each_ctx);
}

static usec lens_gone_for(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    const struct lens *lens = ctx;
    return active == MUTATION_NO_PAUSE ? VIEW_GONE_KEPT
                                       : lens->view->gone_for(lens->view->ctx, kind, ns, name);
}

static void delete_claim_of(const struct view *view, struct actions *out, const struct action *pod)
{
    const struct val *volumes =
        val_path(view->get(view->ctx, KIND_POD, pod->ns, pod->name), "spec.volumes");
    struct str claim = val_text_at(val_at(volumes, 0), "persistentVolumeClaim.claimName");
    if (claim.n > 0) {
        actions_add(out, ACTION_DELETE, kind_of(KIND_PVC), pod->ns, claim)->grace_seconds = -1;
    }
}

/* What a mistake in one action is told. */
struct mistake {
    const struct view *view;
    const struct val *set;
    struct actions *out;
    int64_t spared; /* pods at the current revision that are not deleted after all */
};

static int64_t status_of(const struct val *body, const char *path)
{
    return val_number_at(body, path, 0);
}

static bool makes_pod(const struct actions *out)
{
    for (size_t i = 0; i < out->count; i++) {
        if (out->list[i].type == ACTION_CREATE && out->list[i].kind == kind_of(KIND_POD)) {
            return true;
        }
    }
    return false;
}

static void alter_status(const struct mistake *m, struct action *action)
{
    struct arena *arena = m->out->arena;
    struct val *body = arena_val(arena, val_copy(arena, action->body));
    int64_t updated = status_of(body, "status.updatedReplicas");
    if (active == MUTATION_WRONG_STATUS) {
        val_set_path(arena, body, "status.readyReplicas",
                     val_int(1 + status_of(body, "status.readyReplicas")));
    } else if (active == MUTATION_PROMOTES_EARLY &&
               status_of(body, "status.readyReplicas") == updated &&
               status_of(body, "status.replicas") == updated &&
               !str_eq(val_text_at(m->set, "spec.updateStrategy.type"), S("OnDelete"))) {
        val_set_path(arena, body, "status.currentRevision",
                     *val_path(body, "status.updateRevision"));
        val_set_path(arena, body, "status.currentReplicas", val_int(updated));
    } else if (active == MUTATION_COUNTS_BELOW) {
        int64_t current = status_of(body, "status.currentReplicas");
        for (size_t i = 0; i < m->out->count; i++) {
            const struct action *a = &m->out->list[i];
            current -= a->type == ACTION_DELETE && a->kind == kind_of(KIND_POD);
        }
        val_set_path(arena, body, "status.currentReplicas", val_int(current));
    } else if (m->spared > 0) {
        val_set_path(arena, body, "status.currentReplicas",
                     val_int(m->spared + status_of(body, "status.currentReplicas")));
    } else if (active == MUTATION_STALE_STATUS && makes_pod(m->out)) {
        val_set_path(arena, body, "status.replicas", val_int(status_of(m->set, "status.replicas")));
        val_set_path(arena, body, "status.availableReplicas",
                     val_int(status_of(m->set, "status.availableReplicas")));
    }
    action->body = body;
}

static bool is_highest_ready(const struct mistake *m, struct str ns)
{
    struct objs pods = view_objs(m->view, m->out->arena, KIND_POD, ns);
    for (size_t i = 0; i < pods.count; i++) {
        const struct val *ref = meta_controller(pods.list[i]);
        if (str_eq(val_text_at(ref, "uid"), meta_uid(m->set)) && !pod_is_ready(pods.list[i])) {
            return false;
        }
    }
    return true;
}

static bool is_in_range(const struct val *set, struct str pod)
{
    int64_t index = ordinal_of(meta_name(set), pod) - val_number_at(set, "spec.ordinals.start", 0);
    return index >= 0 && index < val_number_at(set, "spec.replicas", 1);
}

/* Is this action left out? */
static bool is_forgotten(const struct mistake *m, const struct action *action)
{
    const struct val *pod = m->view->get(m->view->ctx, KIND_POD, action->ns, action->name);
    bool is_pod = action->kind == kind_of(KIND_POD);
    bool is_create = action->type == ACTION_CREATE;
    bool is_delete = action->type == ACTION_DELETE && pod != NULL;
    switch ((int)active) {
    case MUTATION_FORGETS_PODS:
        return is_pod && is_create && str_ends(action->name, S("-1"));
    case MUTATION_WAITS_FOR_HIGHER:
        return is_pod && is_create && !is_highest_ready(m, action->ns) &&
               !str_eq(val_text_at(m->set, "spec.podManagementPolicy"), S("Parallel"));
    case MUTATION_KEEPS_FAILED:
        return is_pod && is_delete && pod_is_terminal(pod);
    case MUTATION_BROKEN_EAT_BUDGET:
        return is_pod && is_delete && !pod_is_ready(pod) && !pod_is_terminal(pod) &&
               is_in_range(m->set, action->name) &&
               str_eq(val_text_at(m->set, "spec.podManagementPolicy"), S("Parallel"));
    case MUTATION_NO_LATE_CLAIM: {
        ptrdiff_t at = str_search(action->name, meta_name(m->set));
        return action->kind == kind_of(KIND_PVC) && is_create && at >= 0 &&
               m->view->get(m->view->ctx, KIND_POD, action->ns,
                            str_sub(action->name, (size_t)at, action->name.n)) != NULL;
    }
    default:
        return false;
    }
}

static void alter_action(const struct mistake *m, struct action *action)
{
    struct actions *out = m->out;
    bool is_pod = action->kind == kind_of(KIND_POD);
    if (action->type == ACTION_PATCH_STATUS) {
        alter_status(m, action);
    } else if (is_pod && action->type == ACTION_DELETE && active == MUTATION_DELETES_CLAIMS) {
        struct action pod = *action;
        delete_claim_of(m->view, out, &pod);
    } else if (is_pod && action->type == ACTION_DELETE && active == MUTATION_NO_UID) {
        action->uid = S("");
    } else if (is_pod && action->type == ACTION_CREATE && active == MUTATION_OLD_ON_DELETE &&
               str_eq(val_text_at(m->set, "spec.updateStrategy.type"), S("OnDelete"))) {
        struct val *body = arena_val(out->arena, val_copy(out->arena, action->body));
        val_set(out->arena, val_slot_path(body, "metadata.labels"), S("controller-revision-hash"),
                *val_path(m->set, "status.currentRevision"));
        action->body = body;
    }
}

static void forget_live(const struct mistake *m)
{
    struct objs revisions =
        view_objs(m->view, m->out->arena, KIND_CONTROLLER_REVISION, meta_ns(m->set));
    for (size_t i = 0; i < revisions.count; i++) {
        const struct val *obj = revisions.list[i];
        if (meta_is_controlled_by(obj, meta_uid(m->set)) &&
            !str_eq(meta_name(obj), val_text_at(m->set, "status.currentRevision")) &&
            !str_eq(meta_name(obj), val_text_at(m->set, "status.updateRevision"))) {
            actions_delete(m->out, kind_of(KIND_CONTROLLER_REVISION), obj);
        }
    }
}

static void alter_actions(const struct view *view, const struct val *set, struct actions *out)
{
    struct mistake m = {view, set, out, 0};
    size_t count = out->count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct action action = out->list[i];
        if (!is_forgotten(&m, &action)) {
            out->list[kept++] = action;
        } else if (active == MUTATION_BROKEN_EAT_BUDGET) {
            const struct val *pod = view->get(view->ctx, KIND_POD, action.ns, action.name);
            struct str revision = meta_label(pod, S("controller-revision-hash"));
            m.spared += str_eq(revision, val_text_at(set, "status.currentRevision"));
        } else {
            break; /* the rest follows from it */
        }
    }
    out->count = kept;
    for (size_t i = 0; i < kept; i++) {
        struct action action = out->list[i];
        alter_action(&m, &action);
        out->list[i] = action;
    }
    if (active == MUTATION_TRUNCATES_LIVE && set != NULL && !meta_is_deleting(set)) {
        forget_live(&m);
    }
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    struct lens lens = {view, env->arena};
    struct view seen = {lens_get, lens_list, lens_dependents, lens_gone_for, &lens};
    genuine->decide(&seen, ns, name, env, out);
    alter_actions(view, view->get(view->ctx, KIND_STATEFUL_SET, ns, name), out);
}

const struct controller *mutation_row(enum mutation mutation, const struct controller *row)
{
    static struct controller mutant;
    if (mutation == MUTATION_NONE || !str_eq(row->name, S("statefulset"))) {
        return row;
    }
    active = mutation;
    genuine = row;
    mutant = *row;
    mutant.decide = decide;
    return &mutant;
}
