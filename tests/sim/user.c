// SPDX-License-Identifier: Apache-2.0
//
// A fake user: makes the planned sets with their services, then changes them, their pods and their
// claims at random, as kubectl would. In phase 2 it undoes what nothing else can undo (labels taken
// off, images that never start) and then keeps still.
#include "facts.h"

#include "base/mem.h"

static const struct client_write patch_of = {
    .verb = VERB_PATCH, .patch = PATCH_MERGE, .grace_seconds = -1};

static void act(void *ctx);

static struct str plan_ns(const struct plan *p)
{
    return str_of(p->ns);
}

static void patch_set(struct sim *sim, const struct plan *p, struct str json)
{
    struct client_write write = patch_of;
    write.kind = KIND_STATEFUL_SET;
    write.ns = plan_ns(p);
    write.name = str_of(p->name);
    (void)sim_write(sim, sim->user, write, NULL, NULL, json);
}

static struct str image(struct arena *arena, const struct plan *p)
{
    return arena_fmt(arena, "%s:v%d", p->is_bad ? "bad" : "app", p->version);
}

static struct str template_json(struct arena *arena, const struct plan *p)
{
    return arena_fmt(arena,
                     "{\"metadata\":{\"labels\":{\"app\":\"%s\"}},\"spec\":{"
                     "\"terminationGracePeriodSeconds\":%d,\"containers\":[{\"name\":\"main\","
                     "\"image\":\"" STR_FMT "\",\"readinessProbe\":{\"exec\":{\"command\":["
                     "\"ready\"]},\"periodSeconds\":5}}]}}",
                     p->name, p->grace, STR_ARG(image(arena, p)));
}

static struct str strategy_json(struct arena *arena, const struct plan *p)
{
    if (p->is_on_delete) {
        return S("{\"type\":\"OnDelete\",\"rollingUpdate\":null}");
    }
    return arena_fmt(arena,
                     "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"partition\":%d,"
                     "\"maxUnavailable\":%d}}",
                     p->partition, p->max_unavailable);
}

static struct str retention_json(struct arena *arena, const struct plan *p)
{
    return arena_fmt(arena, "{\"whenScaled\":\"%s\",\"whenDeleted\":\"%s\"}",
                     p->has_scaled_delete ? "Delete" : "Retain",
                     p->has_deleted_delete ? "Delete" : "Retain");
}

static void create_set(struct sim *sim, const struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    auto_buf struct buf json;
    buf_init(&json, 1 << 16);
    buf_addf(&json,
             "{\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\",\"metadata\":{\"name\":\"%s\","
             "\"namespace\":\"%s\"},\"spec\":{\"serviceName\":\"%s\",\"replicas\":%d,",
             p->name, p->ns, p->name, p->replicas);
    buf_addf(&json,
             "\"podManagementPolicy\":\"%s\",\"minReadySeconds\":%d,\"revisionHistoryLimit\":%d,"
             "\"ordinals\":{\"start\":%d},\"selector\":{\"matchLabels\":{\"app\":\"%s\"}},",
             p->is_parallel ? "Parallel" : "OrderedReady", p->min_ready, p->history, p->start,
             p->name);
    buf_addf(&json,
             "\"updateStrategy\":" STR_FMT ",\"persistentVolumeClaimRetentionPolicy\":" STR_FMT
             ",\"template\":" STR_FMT ",\"volumeClaimTemplates\":[",
             STR_ARG(strategy_json(arena, p)), STR_ARG(retention_json(arena, p)),
             STR_ARG(template_json(arena, p)));
    for (int i = 0; i < p->templates_count; i++) {
        buf_addf(&json,
                 "%s{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"accessModes\":["
                 "\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Mi\"}}}}",
                 i == 0 ? "" : ",", i == 0 ? "data" : "log");
    }
    buf_addf(&json, "]}}");
    struct client_write write = {
        .verb = VERB_CREATE, .kind = KIND_STATEFUL_SET, .ns = plan_ns(p), .grace_seconds = -1};
    (void)sim_write(sim, sim->user, write, NULL, NULL, buf_str(&json));
}

static void need(struct sim *sim, enum kind_id kind, struct str ns, const char *name,
                 struct str json)
{
    struct client_write write = {.verb = VERB_CREATE, .kind = kind, .ns = ns, .grace_seconds = -1};
    if (sim_get(sim, kind, ns, str_of(name)) == NULL) {
        (void)sim_write(sim, sim->user, write, NULL, NULL, json);
    }
}

static void need_plan(struct sim *sim, const struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    need(sim, KIND_NAMESPACE, S(""), p->ns,
         arena_fmt(arena,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}",
                   p->ns));
    if (!p->is_wanted || sim_get(sim, KIND_NAMESPACE, S(""), plan_ns(p)) == NULL) {
        return;
    }
    need(sim, KIND_SERVICE, plan_ns(p), p->name,
         arena_fmt(arena,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%s\","
                   "\"namespace\":\"%s\"},\"spec\":{\"clusterIP\":\"None\",\"selector\":{\"app\":"
                   "\"%s\"},\"ports\":[{\"port\":80}]}}",
                   p->name, p->ns, p->name));
    if (sim_get(sim, KIND_STATEFUL_SET, plan_ns(p), str_of(p->name)) == NULL) {
        create_set(sim, p);
    }
}

void user_patch(struct sim *sim, enum kind_id kind, const struct val *obj, struct str json)
{
    struct client_write write = patch_of;
    write.kind = kind;
    write.ns = meta_ns(obj);
    write.name = meta_name(obj);
    (void)sim_write(sim, sim->user, write, NULL, NULL, json);
}

/* --- single acts; each may find nothing to do --- */

static void op_scale(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    p->replicas = (int)rng_below(&sim->rng, 6);
    patch_set(sim, p, arena_fmt(arena, "{\"spec\":{\"replicas\":%d}}", p->replicas));
}

void user_write_template(struct sim *sim, const struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    patch_set(sim, p,
              arena_fmt(arena, "{\"spec\":{\"template\":" STR_FMT "}}",
                        STR_ARG(template_json(arena, p))));
}

static void op_template(struct sim *sim, struct plan *p)
{
    p->version_before = p->version;
    p->version++;
    p->is_bad = sim->swarm.has_bad_templates && sim_chance(sim, 1, 3);
    user_write_template(sim, p);
}

static void op_revert(struct sim *sim, struct plan *p)
{
    int version = p->version_before;
    p->version_before = p->version;
    p->version = version;
    p->is_bad = false;
    user_write_template(sim, p);
}

static void op_same_template(struct sim *sim, struct plan *p)
{
    user_write_template(sim, p);
}

static void op_strategy(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    p->partition = (int)rng_below(&sim->rng, 5);
    p->partition = sim_chance(sim, 1, 2) ? 0 : p->partition;
    p->max_unavailable = 1 + (int)rng_below(&sim->rng, 2);
    patch_set(sim, p,
              arena_fmt(arena, "{\"spec\":{\"updateStrategy\":" STR_FMT "}}",
                        STR_ARG(strategy_json(arena, p))));
}

static void op_retention(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    p->has_scaled_delete = sim_chance(sim, 1, 2);
    p->has_deleted_delete = sim_chance(sim, 1, 2);
    patch_set(sim, p,
              arena_fmt(arena, "{\"spec\":{\"persistentVolumeClaimRetentionPolicy\":" STR_FMT "}}",
                        STR_ARG(retention_json(arena, p))));
}

const struct val *user_any(struct sim *sim, struct arena *arena, const struct plan *p,
                           enum kind_id kind)
{
    struct objs objs = sim_list(sim, arena, kind, plan_ns(p));
    return objs.count == 0 ? NULL : objs.list[rng_below(&sim->rng, objs.count)];
}

void user_delete(struct sim *sim, enum kind_id kind, const struct val *obj, int64_t grace_seconds)
{
    note_add(sim, meta_uid(obj), NOTE_USER_DELETED);
    (void)sim_write(sim, sim->user,
                    (struct client_write){.verb = VERB_DELETE,
                                          .kind = kind,
                                          .ns = meta_ns(obj),
                                          .name = meta_name(obj),
                                          .expect_uid = meta_uid(obj),
                                          .grace_seconds = grace_seconds},
                    NULL, NULL, S(""));
}

static void op_pod_delete(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *pod = user_any(sim, arena, p, KIND_POD);
    if (pod != NULL) {
        user_delete(sim, KIND_POD, pod, sim_chance(sim, 1, 3) ? 0 : -1);
    }
}

static void label_pod(struct sim *sim, const struct val *pod, struct str value)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    user_patch(
        sim, KIND_POD, pod,
        arena_fmt(arena, "{\"metadata\":{\"labels\":{\"app\":" STR_FMT "}}}", STR_ARG(value)));
}

static struct str set_of_pod(const struct val *pod)
{
    struct str name = meta_name(pod);
    ptrdiff_t dash = str_rfind(name, '-');
    return dash < 0 ? name : str_sub(name, 0, (size_t)dash);
}

static void op_label(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *pod = user_any(sim, arena, p, KIND_POD);
    if (pod == NULL || !sim->swarm.has_label_ops || is_squatter(pod)) {
        return;
    }
    bool has = meta_label(pod, S("app")).n > 0;
    label_pod(sim, pod,
              has ? S("null") : arena_fmt(arena, "\"" STR_FMT "\"", STR_ARG(set_of_pod(pod))));
}

/* The pod's owner is taken away: its set has to adopt it again. */
static void op_disown(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *pod = user_any(sim, arena, p, KIND_POD);
    if (pod != NULL && sim->swarm.has_label_ops) {
        user_patch(sim, KIND_POD, pod, S("{\"metadata\":{\"ownerReferences\":null}}"));
    }
}

static void op_start(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    if (sim->swarm.has_moves) {
        p->start = (int)rng_below(&sim->rng, 4);
        patch_set(sim, p, arena_fmt(arena, "{\"spec\":{\"ordinals\":{\"start\":%d}}}", p->start));
    }
}

static void op_claim_delete(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    const struct val *claim = user_any(sim, arena, p, KIND_PVC);
    if (claim != NULL && sim->swarm.has_claim_deletes) {
        user_delete(sim, KIND_PVC, claim, -1);
    }
}

/* An edit that means nothing and makes versions go on: writers with a precondition conflict. */
static void op_edit(struct sim *sim, struct plan *p)
{
    static const enum kind_id kinds[] = {KIND_POD, KIND_STATEFUL_SET, KIND_PVC,
                                         KIND_CONTROLLER_REVISION};
    auto_arena struct arena *arena = arena_new(1 << 22);
    for (size_t i = 0; sim->swarm.has_edits && i < ARRAY_LEN(kinds); i++) {
        const struct val *obj = user_any(sim, arena, p, kinds[i]);
        if (obj != NULL) {
            user_patch(sim, kinds[i], obj,
                       arena_fmt(arena, "{\"metadata\":{\"annotations\":{\"sim\":\"%u\"}}}",
                                 sim->ops_done));
        }
    }
}

void user_delete_set(struct sim *sim, const struct plan *p, size_t mode)
{
    static const struct str modes[MODES] = {
        {"Background", 10},
        {"Foreground", 10},
        {"Orphan",     6 }
    };
    const struct val *set = sim_get(sim, KIND_STATEFUL_SET, plan_ns(p), str_of(p->name));
    if (set == NULL) {
        return;
    }
    note_add(sim, meta_uid(set), NOTE_USER_DELETED);
    (void)sim_write(sim, sim->user,
                    (struct client_write){.verb = VERB_DELETE,
                                          .kind = KIND_STATEFUL_SET,
                                          .ns = plan_ns(p),
                                          .name = str_of(p->name),
                                          .propagation = modes[mode],
                                          .grace_seconds = -1},
                    NULL, NULL, S(""));
}

static void op_set_delete(struct sim *sim, struct plan *p)
{
    const struct val *set = sim_get(sim, KIND_STATEFUL_SET, plan_ns(p), str_of(p->name));
    if (set == NULL || meta_is_deleting(set) || !sim->swarm.has_deletes) {
        return;
    }
    size_t mode = rng_below(&sim->rng, MODES);
    p->is_wanted = sim_chance(sim, 2, 3);
    user_delete_set(sim, p, mode);
}

static void op_namespace_delete(struct sim *sim, struct plan *p)
{
    const struct val *ns = sim_get(sim, KIND_NAMESPACE, S(""), plan_ns(p));
    if (sim->swarm.has_deletes && strcmp(p->ns, "default") != 0 && ns != NULL &&
        !meta_is_deleting(ns)) {
        user_delete(sim, KIND_NAMESPACE, ns, -1);
    }
}

/* Through the subresource, as kubectl scale does. */
static void op_scale_subresource(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    struct client_write write = patch_of;
    write.kind = KIND_STATEFUL_SET;
    write.ns = plan_ns(p);
    write.name = str_of(p->name);
    write.subresource = S("scale");
    p->replicas = (int)rng_below(&sim->rng, 6);
    (void)sim_write(sim, sim->user, write, NULL, NULL,
                    arena_fmt(arena, "{\"spec\":{\"replicas\":%d}}", p->replicas));
}

/* The fields that change seldom: the type of the strategy, the pace, the history. */
static void op_tweak(struct sim *sim, struct plan *p)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    if (!sim->swarm.has_tweaks) {
        return;
    }
    p->is_on_delete = sim_chance(sim, 1, 2);
    p->history = (int)rng_below(&sim->rng, 4);
    p->min_ready = sim->swarm.has_day_jumps ? 0 : (int)rng_below(&sim->rng, 8);
    patch_set(sim, p,
              arena_fmt(arena,
                        "{\"spec\":{\"updateStrategy\":" STR_FMT
                        ",\"minReadySeconds\":%d,\"revisionHistoryLimit\":%d}}",
                        STR_ARG(strategy_json(arena, p)), p->min_ready, p->history));
}

static void op_want(struct sim *sim, struct plan *p)
{
    p->is_wanted = true;
    need_plan(sim, p);
}

static const struct {
    const char *name;
    unsigned weight;
    void (*run)(struct sim *sim, struct plan *p);
} ops[] = {
    {"scale",            6, op_scale            },
    {"template",         5, op_template         },
    {"revert",           2, op_revert           },
    {"same template",    1, op_same_template    },
    {"strategy",         3, op_strategy         },
    {"retention",        1, op_retention        },
    {"delete pod",       5, op_pod_delete       },
    {"label",            3, op_label            },
    {"disown",           1, op_disown           },
    {"start",            1, op_start            },
    {"delete claim",     2, op_claim_delete     },
    {"edit",             5, op_edit             },
    {"delete set",       2, op_set_delete       },
    {"delete namespace", 1, op_namespace_delete },
    {"want",             3, op_want             },
    {"scale/scale",      1, op_scale_subresource},
    {"tweak",            2, op_tweak            },
    {"finalizer",        2, op_finalizer        },
    {"squat",            1, op_squat            },
    {"lose revision",    1, op_lose_revision    },
    {"renew",            3, op_renew            },
    {"stranger",         1, op_stranger         },
    {"cordon",           2, op_cordon           },
    {"evict",            2, op_evict            },
    {"drain",            1, op_drain            },
    {"budget",           1, op_budget           },
};

static void again(struct sim *sim)
{
    usec gap = sim->scenario != NULL
                   ? scenario_delay(sim)
                   : (usec)rng_below(&sim->rng, sim->swarm.op_gap_ms + 1) * USEC_PER_MS;
    timer_start(sim->loop, &sim->user_timer, gap, act, sim);
}

static void act_at_random(struct sim *sim)
{
    unsigned total = 0;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        total += ops[i].weight;
    }
    unsigned roll = (unsigned)rng_below(&sim->rng, total);
    struct plan *p = &sim->swarm.plans[rng_below(&sim->rng, (uint64_t)sim->swarm.sets_count)];
    size_t i = 0;
    for (; roll >= ops[i].weight; i++) {
        roll -= ops[i].weight;
    }
    sim_trace(sim, "user: %s %s/%s", ops[i].name, p->ns, p->name);
    ops[i].run(sim, p);
}

static void act(void *ctx)
{
    struct sim *sim = ctx;
    if (sim->is_calm || sim->ops_done >= sim->swarm.ops) {
        return;
    }
    if (sim->scenario != NULL) {
        scenario_act(sim);
    } else {
        act_at_random(sim);
    }
    sim->ops_done++;
    again(sim);
}

void user_start(struct sim *sim)
{
    sim->user_timer = (struct timer){0};
    if (sim->is_calm) {
        return;
    }
    for (int i = 0; sim->ops_done == 0 && i < sim->swarm.sets_count; i++) {
        need_plan(sim, &sim->swarm.plans[i]);
    }
    again(sim);
}

static bool has_ending_claim(struct sim *sim, const struct val *pod)
{
    const struct val *volumes = val_path(pod, "spec.volumes");
    for (size_t k = 0; k < val_count(volumes); k++) {
        struct str name = val_text_at(val_at(volumes, k), "persistentVolumeClaim.claimName");
        if (name.n > 0 && meta_is_deleting(sim_get(sim, KIND_PVC, meta_ns(pod), name))) {
            return true;
        }
    }
    return false;
}

/* Pods that only a user can help, each time, since one may have been on its way to the store; and
 * once what has to be removed by hand for a scaling down to go on: of two unhealthy pods one
 * (2.7). */
static bool is_doomed(struct sim *sim, const struct plan *p, const struct val *pod, bool is_first)
{
    bool is_bad = str_starts(val_text_at(pod, "spec.containers.0.image"), S("bad"));
    int64_t ordinal = ordinal_of(str_of(p->name), meta_name(pod));
    bool is_condemned = ordinal < p->start || ordinal >= p->start + p->replicas;
    return has_ending_claim(sim, pod) || (is_bad && p->is_on_delete && (is_first || !p->is_sick)) ||
           (is_first && is_condemned && (is_bad || pod_is_terminal(pod)));
}

static void heal_pods(struct sim *sim, const struct plan *p, bool is_first)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    struct objs pods = sim_list(sim, arena, KIND_POD, plan_ns(p));
    for (size_t i = 0; i < pods.count; i++) {
        const struct val *pod = pods.list[i];
        if (!str_eq(set_of_pod(pod), str_of(p->name)) || is_squatter(pod)) {
            continue;
        }
        if (is_first && meta_label(pod, S("app")).n == 0) {
            label_pod(sim, pod, arena_fmt(arena, "\"%s\"", p->name));
        }
        if (!meta_is_deleting(pod) && is_doomed(sim, p, pod, is_first)) {
            user_delete(sim, KIND_POD, pod, -1);
        }
    }
}

void user_heal(struct sim *sim, bool is_first)
{
    user_let_go(sim);
    for (int i = 0; i < sim->swarm.sets_count; i++) {
        struct plan *p = &sim->swarm.plans[i];
        p->partition = sim->swarm.has_bad_templates || p->is_sick ? 0 : p->partition;
        if (is_first && sim_get(sim, KIND_STATEFUL_SET, plan_ns(p), str_of(p->name)) != NULL) {
            auto_arena struct arena *arena = arena_new(1 << 16);
            p->version += p->is_bad || p->is_sick;
            p->is_bad = p->is_sick;
            user_write_template(sim, p);
            patch_set(sim, p,
                      arena_fmt(arena, "{\"spec\":{\"updateStrategy\":" STR_FMT "}}",
                                STR_ARG(strategy_json(arena, p))));
        }
        p->is_bad = p->is_sick;
        heal_pods(sim, p, is_first);
        need_plan(sim, p);
    }
}
