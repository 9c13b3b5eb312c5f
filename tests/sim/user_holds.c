// SPDX-License-Identifier: Apache-2.0
//
// What a user puts in a set's way: finalizers that nobody takes off, a pod of their own under a
// member's name, a closed node, evictions and budgets, a claim that somebody else owns too, a
// revision deleted by hand. In phase 2 all of it goes again.
#include "facts.h"

#include "base/mem.h"

#define HOLD     S("sim.coracle.io/hold")
#define SQUATTER S("sim-squatter")

/* The finalizers without the hold, with it behind them when is_held. */
static void write_finalizers(struct sim *sim, enum kind_id kind, const struct val *obj,
                             bool is_held)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    const struct val *old = val_path(obj, "metadata.finalizers");
    struct val list = val_list();
    for (size_t i = 0; i < val_count(old); i++) {
        if (!str_eq(val_text(val_at(old, i)), HOLD)) {
            val_push(arena, &list, *val_at(old, i));
        }
    }
    if (is_held) {
        val_push(arena, &list, val_str(HOLD));
    }
    struct val body = val_map();
    struct err err = {0};
    val_set_path(arena, &body, "metadata.finalizers", list);
    /* An update of what was read: another finalizer that came meanwhile must not get lost. */
    val_set_path(arena, &body, "metadata.resourceVersion",
                 *val_path(obj, "metadata.resourceVersion"));
    struct client_write write = {.verb = VERB_PATCH,
                                 .patch = PATCH_MERGE,
                                 .kind = kind,
                                 .ns = meta_ns(obj),
                                 .name = meta_name(obj),
                                 .body = &body,
                                 .grace_seconds = -1};
    (void)sim->user->ops->write(sim->user, &write, NULL, NULL, &err);
}

static const enum kind_id kinds_held[] = {KIND_POD, KIND_PVC, KIND_STATEFUL_SET,
                                          KIND_CONTROLLER_REVISION};

void op_finalizer(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    enum kind_id kind = kinds_held[rng_below(&sim->rng, ARRAY_LEN(kinds_held))];
    const struct val *obj = user_any(sim, arena, p, kind);
    if (sim->swarm.has_holds && obj != NULL) {
        write_finalizers(sim, kind, obj, !has_finalizer(obj, HOLD));
    }
}

bool is_squatter(const struct val *pod)
{
    return meta_label(pod, SQUATTER).n > 0;
}

/* A pod under a member's name that the set doesn't select: the set has to wait for the name. */
void op_squat(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    if (sim->swarm.has_holds) {
        (void)sim_write(
            sim, sim->user,
            (struct client_write){
                .verb = VERB_CREATE, .kind = KIND_POD, .ns = str_of(p->ns), .grace_seconds = -1},
            NULL, NULL,
            arena_fmt(arena,
                      "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s-%d\","
                      "\"labels\":{\"" STR_FMT "\":\"x\"}},\"spec\":{"
                      "\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":\"main\","
                      "\"image\":\"app:v1\"}]}}",
                      p->name, p->start + (int)rng_below(&sim->rng, 5), STR_ARG(SQUATTER)));
    }
}

void user_close_node(struct sim *sim, bool is_closed)
{
    const struct val *node = sim_get(sim, KIND_NODE, S(""), S("node-1"));
    if (node != NULL && val_true_at(node, "spec.unschedulable") != is_closed) {
        user_patch(sim, KIND_NODE, node,
                   is_closed ? S("{\"spec\":{\"unschedulable\":true}}")
                             : S("{\"spec\":{\"unschedulable\":null}}"));
    }
}

void op_cordon(struct sim *sim, struct plan *p)
{
    (void)p;
    if (sim->swarm.has_drains) {
        user_close_node(sim, sim_chance(sim, 1, 2));
    }
}

static void evict(struct sim *sim, const struct val *pod)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    note_add(sim, meta_uid(pod), NOTE_USER_DELETED);
    (void)sim_write(
        sim, sim->user,
        (struct client_write){.verb = VERB_CREATE,
                              .kind = KIND_POD,
                              .ns = meta_ns(pod),
                              .name = meta_name(pod),
                              .subresource = S("eviction"),
                              .grace_seconds = -1},
        NULL, NULL,
        arena_fmt(arena,
                  "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":"
                  "\"" STR_FMT "\",\"namespace\":\"" STR_FMT "\"}}",
                  STR_ARG(meta_name(pod)), STR_ARG(meta_ns(pod))));
}

void op_evict(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *pod = user_any(sim, arena, p, KIND_POD);
    if (sim->swarm.has_drains && pod != NULL) {
        evict(sim, pod);
    }
}

void op_drain(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    (void)p;
    if (!sim->swarm.has_drains) {
        return;
    }
    user_close_node(sim, true);
    struct objs pods = sim_list(sim, arena, KIND_POD, S(""));
    for (size_t i = 0; i < pods.count; i++) {
        evict(sim, pods.list[i]);
    }
}

void op_budget(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    const struct val *budget = sim_get(sim, KIND_PDB, str_of(p->ns), str_of(p->name));
    if (!sim->swarm.has_drains) {
        return;
    }
    if (budget != NULL) {
        user_delete(sim, KIND_PDB, budget, -1);
        return;
    }
    (void)sim_write(
        sim, sim->user,
        (struct client_write){
            .verb = VERB_CREATE, .kind = KIND_PDB, .ns = str_of(p->ns), .grace_seconds = -1},
        NULL, NULL,
        arena_fmt(arena,
                  "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{"
                  "\"name\":\"%s\"},\"spec\":{\"maxUnavailable\":1,\"selector\":{\"matchLabels\":{"
                  "\"app\":\"%s\"}}}}",
                  p->name, p->name));
}

/* Another controller on a claim: the retention policy no longer counts for it (4.3). */
void op_stranger(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *claim = user_any(sim, arena, p, KIND_PVC);
    const struct val *service = sim_get(sim, KIND_SERVICE, str_of(p->ns), str_of(p->name));
    if (sim->swarm.has_holds && claim != NULL && service != NULL &&
        val_count(val_path(claim, "metadata.ownerReferences")) == 0) {
        user_patch(sim, KIND_PVC, claim,
                   arena_fmt(arena,
                             "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":"
                             "\"Service\",\"name\":\"%s\",\"uid\":\"" STR_FMT "\",\"controller\":"
                             "true}]}}",
                             p->name, STR_ARG(meta_uid(service))));
    }
}

/* Takes the claims of a pod that waits for a node away from it (e2e 28); without such a pod, sees
 * to it that there will be one. */
void op_renew(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *pod = user_any(sim, arena, p, KIND_POD);
    if (!sim->swarm.has_claim_deletes || pod == NULL || is_squatter(pod)) {
        return;
    }
    if (val_text_at(pod, "spec.nodeName").n > 0) {
        user_close_node(sim, true);
        user_delete(sim, KIND_POD, pod, 0);
        return;
    }
    const struct val *volumes = val_path(pod, "spec.volumes");
    for (size_t i = 0; i < val_count(volumes); i++) {
        struct str name = val_text_at(val_at(volumes, i), "persistentVolumeClaim.claimName");
        const struct val *claim = name.n == 0 ? NULL : sim_get(sim, KIND_PVC, meta_ns(pod), name);
        if (claim != NULL) {
            user_delete(sim, KIND_PVC, claim, -1);
        }
    }
}

void op_lose_revision(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *revision = user_any(sim, arena, p, KIND_CONTROLLER_REVISION);
    if (sim->swarm.has_holds && revision != NULL) {
        user_delete(sim, KIND_CONTROLLER_REVISION, revision, -1);
    }
}

void user_let_go(struct sim *sim)
{
    auto_arena struct arena *arena = arena_new(1 << 24);
    user_close_node(sim, false);
    for (size_t k = 0; k < ARRAY_LEN(kinds_held); k++) {
        struct objs objs = sim_list(sim, arena, kinds_held[k], S(""));
        for (size_t i = 0; i < objs.count; i++) {
            const struct val *obj = objs.list[i];
            if (has_finalizer(obj, HOLD)) {
                write_finalizers(sim, kinds_held[k], obj, false);
            } else if (kinds_held[k] == KIND_POD && is_squatter(obj) && !meta_is_deleting(obj)) {
                user_delete(sim, KIND_POD, obj, -1);
            }
        }
    }
}
