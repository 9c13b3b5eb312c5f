// SPDX-License-Identifier: Apache-2.0
//
// Mutations: the StatefulSet controller with a planted mistake, to show that the checks find it.
// Most show the controller a set that isn't the stored one; the others alter its actions.
#include "sim.h"

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
    }
    return copy;
}

/* A claim without any sign that it is about to go. */
static const struct val *freshened(struct arena *arena, const struct val *claim)
{
    struct val *copy = arena_val(arena, val_copy(arena, claim));
    val_remove(val_slot(copy, S("metadata")), S("deletionTimestamp"));
    val_remove(val_slot(copy, S("metadata")), S("ownerReferences"));
    return copy;
}

static const struct val *lens_get(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    const struct lens *lens = ctx;
    const struct val *obj = lens->view->get(lens->view->ctx, kind, ns, name);
    if (kind == KIND_PVC && obj != NULL && active == MUTATION_NO_CLAIM_BARRIER) {
        return freshened(lens->arena, obj);
    }
    return kind == KIND_STATEFUL_SET && obj != NULL ? altered(lens->arena, obj) : obj;
}

static void lens_list(void *ctx, enum kind_id kind, struct str ns,
                      bool (*each)(void *each_ctx, const struct val *obj), void *each_ctx)
{
    const struct lens *lens = ctx;
    lens->view->list(lens->view->ctx, kind, ns, each, each_ctx);
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

static void alter_actions(const struct view *view, struct actions *out)
{
    size_t count = out->count;
    for (size_t i = 0; i < count; i++) {
        struct action action = out->list[i];
        if (active == MUTATION_DELETES_CLAIMS && action.type == ACTION_DELETE &&
            action.kind == kind_of(KIND_POD)) {
            delete_claim_of(view, out, &action);
        } else if (active == MUTATION_WRONG_STATUS && action.type == ACTION_PATCH_STATUS) {
            struct val *body = arena_val(out->arena, val_copy(out->arena, action.body));
            val_set_path(out->arena, body, "status.readyReplicas",
                         val_int(1 + val_number_at(body, "status.readyReplicas", 0)));
            out->list[i].body = body;
        } else if (active == MUTATION_FORGETS_PODS && action.type == ACTION_CREATE &&
                   action.kind == kind_of(KIND_POD) && str_ends(action.name, S("-1"))) {
            out->count = i; /* the rest follows from it */
            return;
        }
    }
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    struct lens lens = {view, env->arena};
    struct view seen = {lens_get, lens_list, lens_dependents, lens_gone_for, &lens};
    genuine->decide(&seen, ns, name, env, out);
    alter_actions(view, out);
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
