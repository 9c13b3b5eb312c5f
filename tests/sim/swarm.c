// SPDX-License-Identifier: Apache-2.0
//
// The options of a run. Many are off in any one run, so that what is left happens often.
#include "sim.h"

static int below(struct sim *sim, int bound)
{
    return (int)rng_below(&sim->rng, (uint64_t)bound);
}

static unsigned pick(struct sim *sim, const unsigned *of, size_t count)
{
    return of[rng_below(&sim->rng, count)];
}

static void draw_plan(struct sim *sim, struct plan *plan, int i)
{
    static const char *const names[SETS_MAX] = {"web", "db", "kv-store"};
    *plan = (struct plan){
        .name = names[i], .ns = i == 2 ? "team" : "default", .version = 1, .version_before = 1};
    plan->is_wanted = true;
    plan->replicas = below(sim, 5);
    plan->is_parallel = sim_chance(sim, 1, 2);
    plan->is_sick = plan->is_parallel && sim_chance(sim, 1, 4);
    plan->is_on_delete = sim_chance(sim, 1, 2);
    plan->partition = sim_chance(sim, 2, 3) ? 1 + below(sim, 3) : 0;
    plan->max_unavailable = sim_chance(sim, 1, 2) ? 2 : 1;
    plan->min_ready = !sim->swarm.has_day_jumps && sim_chance(sim, 1, 4) ? 1 + below(sim, 10) : 0;
    plan->templates_count = below(sim, 3);
    plan->has_scaled_delete = sim_chance(sim, 1, 3);
    plan->has_deleted_delete = sim_chance(sim, 1, 3);
    plan->start = sim_chance(sim, 1, 6) ? 1 + below(sim, 3) : 0;
    plan->history = below(sim, 4);
    plan->grace = below(sim, 2) == 0 ? 30 : 2;
}

void swarm_draw(struct sim *sim)
{
    static const unsigned rates[] = {0, 0, 100, 400};
    static const unsigned gaps[] = {50, 500, 3000, 15000};
    static const unsigned delays[] = {1, 300, 2000, 20000};
    static const unsigned flaps[] = {0, 20, 100};
    struct swarm *s = &sim->swarm;
    s->has_day_jumps = sim_chance(sim, 1, 4);
    s->sets_count = 1 + below(sim, SETS_MAX);
    for (int i = 0; i < s->sets_count; i++) {
        draw_plan(sim, &s->plans[i], i);
    }
    s->ops = 15 + (unsigned)below(sim, 50);
    s->op_gap_ms = pick(sim, gaps, 4);
    s->crash = pick(sim, rates, 4);
    s->disk_fault = pick(sim, rates, 4);
    s->jump = pick(sim, rates, 4);
    s->cut = pick(sim, rates, 4) / 2;
    s->refuse = pick(sim, rates, 4);
    s->remote_ms = sim_chance(sim, 1, 4) ? pick(sim, gaps, 3) : 0;
    s->start_ms = pick(sim, delays, 4);
    s->ready_ms = pick(sim, delays, 4);
    s->stop_ms = pick(sim, delays, 4);
    s->flap = pick(sim, flaps, 3);
    s->fail = pick(sim, flaps, 3);
    s->lie = pick(sim, flaps, 3);
    s->has_bad_templates = sim_chance(sim, 1, 3);
    s->has_deletes = sim_chance(sim, 1, 2);
    s->has_label_ops = sim_chance(sim, 1, 3);
    s->has_claim_deletes = sim_chance(sim, 1, 3);
    s->has_edits = sim_chance(sim, 1, 2);
    s->has_moves = sim_chance(sim, 1, 5);
    s->has_holds = sim_chance(sim, 1, 3);
    s->has_drains = sim_chance(sim, 1, 3);
    s->has_tweaks = sim_chance(sim, 1, 3);
    s->has_agent = sim_chance(sim, 1, 3);
}
