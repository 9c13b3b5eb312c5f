// SPDX-License-Identifier: Apache-2.0
//
// Rest: what must hold when faults are over and nothing moves any more (spec/statefulset.md 9,
// numbers 22, 23, 26, 29, 30, 37 to 43), and what is missing when it never comes.
#include "facts.h"

#include "base/mem.h"
#include "scheduler/scheduler.h"

#include <stdlib.h>

static bool is_pod_right(const struct facts *f, int64_t ordinal, struct buf *why)
{
    const struct set_pod *m = facts_member(f, ordinal);
    const char *text = NULL;
    if (m == NULL) {
        text = "is absent";
    } else if (m->is_terminating) {
        text = "is terminating";
    } else if (f->is_sick && !m->is_available) { /* 41 */
        bool is_kept = f->is_on_delete || ordinal < f->start + f->partition;
        text = is_kept || str_eq(m->revision, f->update) ? NULL : "is broken at an old revision";
    } else if (!m->is_ready) {
        text = "is not ready";
    } else if (!m->is_available) {
        text = "is not available";
    } else if (!f->is_sick && !f->is_on_delete && ordinal >= f->start + f->partition &&
               !str_eq(m->revision, f->update)) {
        text = "is at an old revision";
    }
    if (text != NULL) {
        buf_addf(why, "pod " STR_FMT "/" STR_FMT "-%lld %s", STR_ARG(f->ns), STR_ARG(f->name),
                 (long long)ordinal, text);
    }
    return text == NULL;
}

/* 26 and 38 for one set. */
static bool is_set_at_rest(const struct facts *f, struct buf *why)
{
    int64_t updated = 0;
    int64_t current = 0;
    int64_t ready = 0;
    int64_t available = 0;
    for (int64_t k = f->start; k < f->start + f->replicas; k++) {
        if (!is_pod_right(f, k, why)) {
            return false;
        }
    }
    for (size_t i = 0; i < f->members_count; i++) {
        if (!facts_in_range(f, f->members[i].ordinal)) {
            buf_addf(why, "pod " STR_FMT " is left over", STR_ARG(f->members[i].name));
            return false;
        }
        ready += f->members[i].is_ready;
        available += f->members[i].is_available;
        updated += str_eq(f->members[i].revision, f->update);
        current += str_eq(f->members[i].revision, f->current);
    }
    int64_t generation = val_number_at(f->set, "metadata.generation", 0);
    const struct {
        const char *path;
        int64_t want;
    } rows[] = {
        {"status.replicas",           f->replicas},
        {"status.readyReplicas",      ready      },
        {"status.availableReplicas",  available  },
        {"status.currentReplicas",    current    },
        {"status.updatedReplicas",    updated    },
        {"status.observedGeneration", generation },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (val_number_at(f->set, rows[i].path, 0) != rows[i].want) {
            buf_addf(why, "set " STR_FMT ": %s is %lld, should be %lld", STR_ARG(f->name),
                     rows[i].path, (long long)val_number_at(f->set, rows[i].path, 0),
                     (long long)rows[i].want);
            return false;
        }
    }
    return true;
}

static const enum kind_id kinds_watched[] = {
    KIND_POD,       KIND_PVC,           KIND_PV, KIND_STATEFUL_SET, KIND_CONTROLLER_REVISION,
    KIND_NAMESPACE, KIND_ENDPOINT_SLICE};

static bool is_owned_by_nobody(struct sim *sim, const struct val *obj)
{
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    for (size_t i = 0; i < val_count(refs); i++) {
        const struct val *ref = val_at(refs, i);
        struct str kind_name = val_text_at(ref, "kind");
        enum kind_id kind = str_eq(kind_name, S("Pod"))           ? KIND_POD
                            : str_eq(kind_name, S("StatefulSet")) ? KIND_STATEFUL_SET
                                                                  : KIND_SERVICE;
        const struct val *owner = sim_get(sim, kind, meta_ns(obj), val_text_at(ref, "name"));
        if (owner != NULL && str_eq(meta_uid(owner), val_text_at(ref, "uid"))) {
            return false;
        }
    }
    return val_count(refs) > 0;
}

bool check_rest(struct sim *sim, struct buf *why)
{
    auto_arena struct arena *arena = arena_new(1 << 25);
    buf_clear(why);
    struct objs sets = sim_list(sim, arena, KIND_STATEFUL_SET, S(""));
    for (size_t i = 0; i < sets.count; i++) {
        struct facts f;
        facts_read(sim, arena, sets.list[i], &f);
        if (!is_set_at_rest(&f, why)) {
            return false;
        }
    }
    for (size_t k = 0; k < ARRAY_LEN(kinds_watched); k++) {
        struct objs objs = sim_list(sim, arena, kinds_watched[k], S(""));
        for (size_t i = 0; i < objs.count; i++) {
            const struct val *obj = objs.list[i];
            bool is_lost = is_owned_by_nobody(sim, obj); /* 37 */
            if (is_lost || meta_is_deleting(obj)) {
                buf_addf(why, STR_FMT " " STR_FMT "/" STR_FMT " %s",
                         STR_ARG(kind_of(kinds_watched[k])->name), STR_ARG(meta_ns(obj)),
                         STR_ARG(meta_name(obj)),
                         is_lost ? "has lost its owner" : "is still being deleted");
                return false;
            }
        }
    }
    if (sim->swarm.has_agent && !machine_is_right(sim->machine, why)) {
        return false;
    }
    if (!control_is_idle(sim->control)) {
        buf_addf(why, "control is not idle");
        return false;
    }
    return true;
}

/* --- the end --- */

static bool has_ref(const struct val *obj, struct str kind, struct str uid)
{
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    for (size_t i = 0; i < val_count(refs); i++) {
        if (str_eq(val_text_at(val_at(refs, i), "kind"), kind) &&
            (uid.n == 0 || str_eq(val_text_at(val_at(refs, i), "uid"), uid))) {
            return true;
        }
    }
    return false;
}

/* 29 and 30, and that each claim has its volume. */
static void check_claims(struct sim *sim, struct arena *arena, const struct facts *f)
{
    const struct val *templates = val_path(f->set, "spec.volumeClaimTemplates");
    for (size_t m = 0; m < f->members_count; m++) {
        for (size_t i = 0; i < val_count(templates); i++) {
            struct str name =
                arena_fmt(arena, STR_FMT "-" STR_FMT, STR_ARG(meta_name(val_at(templates, i))),
                          STR_ARG(f->members[m].name));
            const struct val *claim = sim_get(sim, KIND_PVC, f->ns, name);
            const struct val *volume =
                sim_get(sim, KIND_PV, S(""), val_text_at(claim, "spec.volumeName"));
            if ((!str_eq(val_text_at(claim, "status.phase"), S("Bound")) &&
                 f->members[m].is_ready) ||
                !str_eq(val_text_at(volume, "spec.claimRef.uid"), meta_uid(claim))) {
                sim_fail(sim, "3", "claim " STR_FMT " of a ready pod is not bound", STR_ARG(name));
            }
            if (has_ref(claim, S("Service"), S(""))) {
                continue; /* another controller's */
            }
            if (has_ref(claim, S("Pod"), S(""))) {
                sim_fail(sim, "30", "claim " STR_FMT " would go with its pod", STR_ARG(name));
            }
            if (has_ref(claim, S("StatefulSet"), f->uid) != f->has_deleted_delete) {
                sim_fail(sim, "29", "claim " STR_FMT " %s owned by its set", STR_ARG(name),
                         f->has_deleted_delete ? "is not" : "is");
            }
        }
    }
}

/* 22 and 23. */
static void check_revisions(struct sim *sim, struct arena *arena, const struct facts *f)
{
    struct objs objs = sim_list(sim, arena, KIND_CONTROLLER_REVISION, f->ns);
    int64_t newest = -1;
    int64_t update = -2;
    int64_t old = 0;
    for (size_t i = 0; i < objs.count; i++) {
        const struct val *obj = objs.list[i];
        struct str name = meta_name(obj);
        if (!meta_is_controlled_by(obj, f->uid)) {
            continue;
        }
        int64_t n = val_number_at(obj, "revision", 0);
        newest = n > newest ? n : newest;
        update = str_eq(name, f->update) ? n : update;
        bool is_live = str_eq(name, f->update) || str_eq(name, f->current);
        for (size_t m = 0; m < f->members_count; m++) {
            is_live = is_live || str_eq(name, f->members[m].revision);
        }
        old += !is_live;
    }
    if (newest != update) {
        sim_fail(sim, "22", "update revision of set " STR_FMT " is number %lld, newest is %lld",
                 STR_ARG(f->name), (long long)update, (long long)newest);
    }
    if (old > val_number_at(f->set, "spec.revisionHistoryLimit", 10)) {
        sim_fail(sim, "23", "set " STR_FMT " keeps %lld old revisions", STR_ARG(f->name),
                 (long long)old);
    }
}

/* Every ready pod of a service's selector is in its slices, and nothing else. */
static void check_endpoints(struct sim *sim, struct arena *arena, const struct facts *f)
{
    struct objs slices = sim_list(sim, arena, KIND_ENDPOINT_SLICE, f->ns);
    int64_t ready = 0;
    int64_t want = 0;
    for (size_t i = 0; i < f->members_count; i++) {
        want += f->members[i].is_ready;
    }
    for (size_t i = 0; i < slices.count; i++) {
        if (!str_eq(meta_label(slices.list[i], S("kubernetes.io/service-name")), f->name)) {
            continue;
        }
        const struct val *endpoints = val_path(slices.list[i], "endpoints");
        for (size_t k = 0; k < val_count(endpoints); k++) {
            ready += val_true_at(val_at(endpoints, k), "conditions.ready");
        }
    }
    if (ready != want && sim_get(sim, KIND_SERVICE, f->ns, f->name) != NULL) {
        sim_fail(sim, "endpoints", "service " STR_FMT " has %lld ready endpoints, %lld pods",
                 STR_ARG(f->name), (long long)ready, (long long)want);
    }
}

/* --- a second decision of everything gives nothing --- */

struct again {
    struct sim *sim;
    const struct controller *controller;
    struct view view;
    struct env env;
};

static const struct val *view_get(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    const struct again *again = ctx;
    return sim_get(again->sim, kind, ns, name);
}

static void view_list(void *ctx, enum kind_id kind, struct str ns,
                      bool (*each)(void *each_ctx, const struct val *obj), void *each_ctx)
{
    const struct again *again = ctx;
    struct objs objs = sim_list(again->sim, again->env.arena, kind, ns);
    for (size_t i = 0; i < objs.count && each(each_ctx, objs.list[i]); i++) {
    }
}

static void view_dependents(void *ctx, struct str uid,
                            bool (*each)(void *each_ctx, const struct kind *kind,
                                         const struct val *obj),
                            void *each_ctx)
{
    const struct again *again = ctx;
    for (int k = 0; k < KIND_ID_COUNT; k++) {
        struct objs objs = sim_list(again->sim, again->env.arena, (enum kind_id)k, S(""));
        for (size_t i = 0; i < objs.count; i++) {
            const struct val *refs = val_path(objs.list[i], "metadata.ownerReferences");
            for (size_t r = 0; r < val_count(refs); r++) {
                if (str_eq(val_text_at(val_at(refs, r), "uid"), uid) &&
                    !each(each_ctx, kind_of((enum kind_id)k), objs.list[i])) {
                    return;
                }
            }
        }
    }
}

static usec view_gone_for(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    (void)ctx;
    (void)kind;
    (void)ns;
    (void)name;
    return VIEW_GONE_KEPT;
}

static void decide_key(void *ctx, struct str ns, struct str name)
{
    struct again *again = ctx;
    struct actions actions;
    auto_buf struct buf text;
    buf_init(&text, 1 << 16);
    actions_init(&actions, again->env.arena);
    again->controller->decide(&again->view, ns, name, &again->env, &actions);
    if (actions.count > 0) {
        actions_write(&text, &actions);
        sim_fail(again->sim, "idempotence", STR_FMT " " STR_FMT "/" STR_FMT " still wants: %s",
                 STR_ARG(again->controller->name), STR_ARG(ns), STR_ARG(name), text.p);
    }
}

static void decide_all(struct sim *sim, const struct controller *controller)
{
    for (size_t k = 0; k < controller->kinds_count; k++) {
        auto_arena struct arena *list_arena = arena_new(1 << 25);
        struct objs objs = sim_list(sim, list_arena, controller->kinds[k], S(""));
        for (size_t i = 0; i < objs.count; i++) {
            auto_arena struct arena *arena = arena_new(1 << 25);
            struct again again = {
                .sim = sim,
                .controller = controller,
                .env = {.now_wall = loop_wall(sim->loop), .rng = &sim->brain_rng, .arena = arena}
            };
            again.view = (struct view){view_get, view_list, view_dependents, view_gone_for, &again};
            controller->enqueue(&again.view, kind_of(controller->kinds[k]), objs.list[i], NULL,
                                decide_key, &again);
        }
    }
}

void check_end(struct sim *sim)
{
    auto_arena struct arena *arena = arena_new(1 << 25);
    struct objs sets = sim_list(sim, arena, KIND_STATEFUL_SET, S(""));
    for (size_t i = 0; i < sets.count; i++) {
        struct facts f;
        facts_read(sim, arena, sets.list[i], &f);
        check_claims(sim, arena, &f);
        check_revisions(sim, arena, &f);
        check_endpoints(sim, arena, &f);
    }
    size_t count;
    const struct controller *const *rows = controllers(&count);
    for (size_t i = 0; i < count; i++) {
        decide_all(sim, rows[i]);
    }
    decide_all(sim, &scheduler_controller);
}
