// SPDX-License-Identifier: Apache-2.0
//
// Named scenarios: what once went wrong, as a script of acts in place of the random user. Seeds rot
// when code changes, scripts don't. No faults but those of the script; afterwards the same rest and
// the same checks as for any run.
#include "facts.h"

struct act {
    unsigned after_ms; /* the act before */
    void (*run)(struct sim *sim, struct plan *p, int n);
    int n;
};

struct scenario {
    const char *name;
    struct plan plan; /* of default/web; what is always so is filled in */
    unsigned remote_ms;
    bool has_agent;
    const struct act *acts;
};

static const struct val *set_of(struct sim *sim, const struct plan *p)
{
    return sim_get(sim, KIND_STATEFUL_SET, str_of(p->ns), str_of(p->name));
}

static const struct val *object_of(struct sim *sim, const struct plan *p, enum kind_id kind, int n)
{
    auto_arena struct arena *arena = arena_new(1 << 12);
    const char *prefix = kind == KIND_PVC ? "data-" : "";
    return sim_get(sim, kind, str_of(p->ns), arena_fmt(arena, "%s%s-%d", prefix, p->name, n));
}

static void patch(struct sim *sim, enum kind_id kind, const struct val *obj, struct str json)
{
    if (obj != NULL) {
        user_patch(sim, kind, obj, json);
    }
}

static void scale(struct sim *sim, struct plan *p, int n)
{
    auto_arena struct arena *arena = arena_new(1 << 12);
    p->replicas = n;
    patch(sim, KIND_STATEFUL_SET, set_of(sim, p),
          arena_fmt(arena, "{\"spec\":{\"replicas\":%d}}", n));
}

static void delete_object(struct sim *sim, const struct plan *p, enum kind_id kind, int n,
                          int64_t grace)
{
    const struct val *obj = object_of(sim, p, kind, n);
    if (obj != NULL) {
        user_delete(sim, kind, obj, grace);
    }
}

static void delete_pod(struct sim *sim, struct plan *p, int n)
{
    delete_object(sim, p, KIND_POD, n, -1);
}

static void force_pod(struct sim *sim, struct plan *p, int n)
{
    delete_object(sim, p, KIND_POD, n, 0);
}

static void delete_claim(struct sim *sim, struct plan *p, int n)
{
    delete_object(sim, p, KIND_PVC, n, -1);
}

static void disown_pod(struct sim *sim, struct plan *p, int n)
{
    patch(sim, KIND_POD, object_of(sim, p, KIND_POD, n),
          S("{\"metadata\":{\"ownerReferences\":null}}"));
}

static void unlabel_pod(struct sim *sim, struct plan *p, int n)
{
    patch(sim, KIND_POD, object_of(sim, p, KIND_POD, n),
          S("{\"metadata\":{\"labels\":{\"app\":null}}}"));
}

static void label_pod(struct sim *sim, struct plan *p, int n)
{
    auto_arena struct arena *arena = arena_new(1 << 12);
    patch(sim, KIND_POD, object_of(sim, p, KIND_POD, n),
          arena_fmt(arena, "{\"metadata\":{\"labels\":{\"app\":\"%s\"}}}", p->name));
}

static void new_template(struct sim *sim, struct plan *p, int n)
{
    p->version = n;
    user_write_template(sim, p);
}

static void bad_template(struct sim *sim, struct plan *p, int n)
{
    p->is_bad = true;
    new_template(sim, p, n);
}

static void delete_set(struct sim *sim, struct plan *p, int n)
{
    p->is_wanted = false;
    user_delete_set(sim, p, (size_t)n);
}

static void make_set(struct sim *sim, struct plan *p, int n)
{
    (void)n;
    p->is_wanted = true;
    user_heal(sim, /*is_first=*/false);
}

static void close_node(struct sim *sim, struct plan *p, int n)
{
    (void)p;
    user_close_node(sim, n != 0);
}

static void die(struct sim *sim, struct plan *p, int n)
{
    (void)p;
    (void)n;
    sim->is_cut = true;
}

/* Scripts; the last row ends one. (clang-format 14 dies of these tables.) */
// clang-format off
static const struct act acts_foreground[] = {
    {60000, scale,      1              },
    {0,     delete_set, MODE_FOREGROUND},
    {60000, make_set,   0              },
    {0,     NULL,       0              }
};
static const struct act acts_foreground_anew[] = {
    {60000, delete_set, MODE_FOREGROUND},
    {0,     make_set,   0              },
    {30000, make_set,   0              },
    {0,     NULL,       0              }
};
static const struct act acts_claim[] = {
    {60000, close_node,   1},
    {0,     delete_pod,   0},
    {30000, close_node,   0},
    {1500,  delete_claim, 0},
    {20000, scale,        2},
    {0,     NULL,         0}
};
static const struct act acts_disown[] = {
    {60000, disown_pod, 2              },
    {0,     delete_set, MODE_BACKGROUND},
    {30000, make_set,   0              },
    {0,     NULL,       0              }
};
static const struct act acts_label[] = {
    {60000, new_template, 2},
    {10000, delete_pod,   1},
    {60000, new_template, 3},
    {20000, unlabel_pod,  1},
    {500,   label_pod,    1},
    {20000, scale,        3},
    {0,     NULL,         0}
};
static const struct act acts_die[] = {
    {60000, force_pod, 1},
    {0,     die,       0},
    {0,     force_pod, 2},
    {0,     die,       0},
    {0,     force_pod, 0},
    {0,     die,       0},
    {5000,  die,       0},
    {0,     NULL,      0}
};
static const struct act acts_start[] = {
    {60000, die,       0},
    {5,     force_pod, 0},
    {5,     force_pod, 1},
    {5,     force_pod, 2},
    {20000, scale,     4},
    {0,     NULL,      0}
};
static const struct act acts_orphan[] = {
    {60000, delete_set, MODE_ORPHAN},
    {0,     make_set,   0          },
    {10000, make_set,   0          },
    {0,     NULL,       0          }
};
static const struct act acts_bad[] = {
    {60000, bad_template, 2},
    {60000, delete_pod,   0},
    {30000, delete_pod,   2},
    {0,     NULL,         0}
};
static const struct act acts_late[] = {
    {60000, bad_template, 2},
    {5000,  delete_pod,   1},
    {3500,  delete_pod,   2},
    {0,     NULL,         0}
};

static const struct scenario scenarios[] = {
    {
     .name = "foreground-deletion-while-pods-own-claims",
     .plan = {.replicas = 4, .templates_count = 1, .has_scaled_delete = true},
     .acts = acts_foreground,
     },
    {
     .name = "foreground-deletion-with-claims-of-the-set",
     .plan = {.replicas = 3, .templates_count = 2, .has_deleted_delete = true},
     .has_agent = true,
     .acts = acts_foreground_anew,
     },
    {
     .name = "claim-goes-while-its-pod-is-bound",
     .plan = {.replicas = 1, .templates_count = 1},
     .remote_ms = 3000,
     .acts = acts_claim,
     },
    {
     .name = "disowned-pod-outlives-its-set",
     .plan = {.replicas = 3, .templates_count = 1, .has_deleted_delete = true},
     .acts = acts_disown,
     },
    {
     .name = "label-comes-back-before-the-release",
     .plan = {.replicas = 2, .is_on_delete = true},
     .remote_ms = 3000,
     .acts = acts_label,
     },
    {
     .name = "brain-dies-and-a-pod-is-forced-away",
     .plan = {.replicas = 3, .templates_count = 1},
     .has_agent = true,
     .acts = acts_die,
     },
    {
     .name = "pod-is-forced-away-while-the-node-starts",
     .plan = {.replicas = 3, .is_parallel = true},
     .has_agent = true,
     .acts = acts_start,
     },
    {
     .name = "orphans-are-taken-over",
     .plan = {.replicas = 3, .templates_count = 1, .has_deleted_delete = true},
     .has_agent = true,
     .acts = acts_orphan,
     },
    {
     .name = "bad-template-is-mended",
     .plan = {.replicas = 3},
     .acts = acts_bad,
     },
    {
     .name = "late-pod-of-a-bad-template-under-on-delete",
     .plan = {.replicas = 3, .is_on_delete = true},
     .remote_ms = 3000,
     .has_agent = true,
     .acts = acts_late,
     },
};
// clang-format on

const struct scenario *scenario_at(size_t i)
{
    return i < ARRAY_LEN(scenarios) ? &scenarios[i] : NULL;
}

const char *scenario_name(const struct scenario *scenario)
{
    return scenario->name;
}

void scenario_draw(struct sim *sim)
{
    struct swarm *s = &sim->swarm;
    *s = (struct swarm){.sets_count = 1,
                        .start_ms = 300,
                        .ready_ms = 2000,
                        .stop_ms = 2000,
                        .remote_ms = sim->scenario->remote_ms,
                        .has_agent = sim->scenario->has_agent,
                        .has_holds = true};
    s->plans[0] = sim->scenario->plan;
    struct plan *p = &s->plans[0];
    p->name = "web";
    p->ns = "default";
    p->is_wanted = true;
    p->version = p->version_before = 1;
    p->max_unavailable = 1;
    p->grace = 30;
    while (sim->scenario->acts[s->ops].run != NULL) {
        s->ops++;
    }
}

usec scenario_delay(const struct sim *sim)
{
    bool is_over = sim->ops_done >= sim->swarm.ops;
    return is_over ? 0 : sim->scenario->acts[sim->ops_done].after_ms * USEC_PER_MS;
}

void scenario_act(struct sim *sim)
{
    const struct act *act = &sim->scenario->acts[sim->ops_done];
    sim_trace(sim, "script: act %u", sim->ops_done);
    act->run(sim, &sim->swarm.plans[0], act->n);
}
