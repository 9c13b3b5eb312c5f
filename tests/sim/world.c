// SPDX-License-Identifier: Apache-2.0
//
// One run: opens the brain on the disk, turns the loop, lets faults happen between turns, shows
// each change to the checks, and in phase 2 waits for rest. A crash drops the brain as it is, with
// what it had under way (that memory is left to the end of the process), and opens a new one.
#include "facts.h"

#include "base/limits.h"
#include "base/mem.h"
#include "control/bootstrap.h"
#include "data/json.h"
#include "scheduler/scheduler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PHASE1_TURNS_MAX = 4000,
    PHASE2_TURNS_MAX = 60000,
    PHASE2_SECONDS_MAX = 3 * 3600, /* back-off alone may take 1,000 s */
    REST_SECONDS = 70,             /* at rest for so long, sweeps included */
    SAME_TIME_TURNS_MAX = 500
};

#define START_WALL ((usec)1767225600 * USEC_PER_SEC) /* 2026-01-01T00:00:00Z */

usec sim_now(const struct sim *sim)
{
    return sim->mono_before + loop_now(sim->loop);
}

bool sim_chance(struct sim *sim, unsigned per, unsigned of)
{
    return per > 0 && rng_below(&sim->rng, of) < per;
}

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    char text[1024];
    if (sim->trace == TRACE_NONE) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    char **line = &sim->lines[sim->lines_count++ % TRACE_LINES];
    free(*line);
    *line = xasprintf("%10.3f %s", (double)sim_now(sim) / 1e6, text);
    if (sim->trace == TRACE_ALL) {
        puts(*line);
    }
}

void sim_fail(struct sim *sim, const char *check, const char *fmt, ...)
{
    if (sim->is_failed) {
        return;
    }
    char text[900];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    sim->is_failed = true;
    (void)snprintf(sim->failure, sizeof sim->failure, "%s: %s", check, text);
    sim_trace(sim, "FAILED %s", sim->failure);
}

const struct val *sim_get(struct sim *sim, enum kind_id kind, struct str ns, struct str name)
{
    struct object *object = sim->client->ops->get(sim->client, kind, ns, name);
    return object == NULL ? NULL : object_val(object);
}

static bool list_each(void *ctx, struct object *object)
{
    return objs_each(ctx, object_val(object));
}

struct objs sim_list(struct sim *sim, struct arena *arena, enum kind_id kind, struct str ns)
{
    struct objs objs = {.arena = arena};
    sim->client->ops->list(sim->client, kind, ns, list_each, &objs);
    return objs;
}

int sim_write(struct sim *sim, struct client *client, struct client_write write,
              client_done_fn *done, void *ctx, struct str json)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val body;
    struct err err = {0};
    int r = 0;
    if (json.n > 0) {
        r = json_read(json, arena, NULL, &body, &err);
        write.body = &body;
    }
    r = r < 0 ? r : client->ops->write(client, &write, done, ctx, &err);
    if (r < 0) {
        sim_trace(sim, "refused: %s", err.msg);
    }
    return r;
}

/* --- changes --- */

static struct str summary(struct arena *arena, const struct val *obj, struct str key)
{
    if (str_starts(key, S("pods/"))) {
        return arena_fmt(arena, STR_FMT "%s rev=" STR_FMT "%s",
                         STR_ARG(val_text_at(obj, "status.phase")),
                         pod_is_ready(obj) ? " ready" : "", STR_ARG(pod_revision(obj)),
                         meta_controller(obj) == NULL ? " unowned" : "");
    }
    if (str_starts(key, S("statefulsets.apps/"))) {
        return arena_fmt(
            arena,
            "gen=%lld/%lld want=%lld have=%lld ready=%lld current=%lld updated=%lld " STR_FMT
            ">" STR_FMT,
            (long long)val_number_at(obj, "metadata.generation", 0),
            (long long)val_number_at(obj, "status.observedGeneration", 0),
            (long long)val_number_at(obj, "spec.replicas", 0),
            (long long)val_number_at(obj, "status.replicas", 0),
            (long long)val_number_at(obj, "status.readyReplicas", 0),
            (long long)val_number_at(obj, "status.currentReplicas", 0),
            (long long)val_number_at(obj, "status.updatedReplicas", 0),
            STR_ARG(val_text_at(obj, "status.currentRevision")),
            STR_ARG(val_text_at(obj, "status.updateRevision")));
    }
    if (str_starts(key, S("events/"))) {
        return arena_fmt(arena, STR_FMT ": " STR_FMT, STR_ARG(val_text_at(obj, "reason")),
                         STR_ARG(val_text_at(obj, "message")));
    }
    return val_text_at(obj, "status.phase");
}

static void trace_change(struct sim *sim, const struct object *object, bool is_new, bool is_delete)
{
    auto_arena struct arena *arena = arena_new(1 << 16);
    const struct val *obj = object_val(object);
    sim_trace(sim, "%llu %s " STR_FMT "%s " STR_FMT, (unsigned long long)object->rev,
              is_delete ? "DELETED " : (is_new ? "ADDED   " : "MODIFIED"), STR_ARG(object->key),
              meta_is_deleting(obj) ? " deleting" : "", STR_ARG(summary(arena, obj, object->key)));
}

/* Policies a step counts for: its set's kind of update, and what widens it. */
static void count_for(struct sim *sim, const struct plan *p)
{
    sim->steps[(p->is_parallel ? 2 : 0) + p->is_on_delete]++;
    sim->steps[POLICY_MAX_UNAVAILABLE] += !p->is_on_delete && p->max_unavailable > 1;
    sim->steps[POLICY_PARTITION] += !p->is_on_delete && p->partition > 0;
}

/* Whose step is it? Names of pods, claims and revisions hold the name of their set. */
static void count_step(struct sim *sim, const struct object *object)
{
    static const struct str kinds[] = {
        {"pods/",                     5 },
        {"statefulsets.apps/",        18},
        {"persistentvolumeclaims/",   23},
        {"controllerrevisions.apps/", 25},
    };
    const struct val *obj = object_val(object);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        for (int i = 0; str_starts(object->key, kinds[k]) && i < sim->swarm.sets_count; i++) {
            const struct plan *p = &sim->swarm.plans[i];
            if (str_eq(meta_ns(obj), str_of(p->ns)) &&
                str_search(meta_name(obj), str_of(p->name)) >= 0) {
                count_for(sim, p);
            }
        }
    }
}

static void observe(struct sim *sim, struct object *object, bool is_delete)
{
    struct object *before = map_find(&sim->shadow, object->key);
    sim->writes++;
    count_step(sim, object);
    if (sim->trace != TRACE_NONE) {
        trace_change(sim, object, before == NULL, is_delete);
    }
    if (before != NULL && object->rev <= before->rev) {
        sim_fail(sim, "store", STR_FMT " went from revision %llu to %llu", STR_ARG(object->key),
                 (unsigned long long)before->rev, (unsigned long long)object->rev);
    }
    check_change(sim, before, object, is_delete);
    if (is_delete) {
        object_unref(map_remove(&sim->shadow, object->key));
    } else {
        object_unref(map_put(&sim->shadow, object->key, object_ref(object)));
    }
}

static void observe_events(struct sim *sim)
{
    struct store_event event;
    int r;
    while ((r = watch_next(sim->watch, &event)) == 1) {
        observe(sim, event.object, event.is_delete);
    }
    if (r < 0) {
        sim_fail(sim, "store", "the checks' watch fell out of the window");
    }
}

static bool is_volatile(struct str key)
{
    return str_starts(key, S("events/")) || str_starts(key, S("leases."));
}

static void wake(void *ctx)
{
    (void)ctx; /* the checks look after each turn */
}

/* After a crash the checks' watch goes on where it was, and what it was told makes up what is
 * there: no event is skipped, none comes twice. The volatile objects are gone without a word. */
static bool resume_watch(struct sim *sim)
{
    auto_arena struct arena *arena = arena_new(1 << 24);
    struct object **objects;
    size_t count;
    struct err err;
    for (size_t i = sim->shadow.count; i-- > 0;) {
        if (is_volatile(sim->shadow.entries[i].key)) {
            object_unref(map_remove(&sim->shadow, sim->shadow.entries[i].key));
        }
    }
    uint64_t after = sim->watch_rev == 0 ? store_rev(sim->store) : sim->watch_rev;
    sim->watch = store_watch(sim->store, S(""), after, 0, wake, sim, &err);
    if (sim->watch == NULL ||
        store_list(sim->store, S(""), 0, 0, arena, &objects, &count, &err) < 0) {
        sim_fail(sim, "store", "watch and list after restart: %s", err.msg);
        return false;
    }
    observe_events(sim);
    bool is_same = count == sim->shadow.count;
    for (size_t i = 0; i < count && is_same; i++) {
        const struct object *seen = sim->shadow.entries[i].value;
        is_same = str_eq(seen->key, objects[i]->key) && seen->rev == objects[i]->rev;
    }
    if (!is_same) {
        sim_fail(sim, "store", "a watch over a restart does not add up to what is there");
    }
    return true;
}

/* --- the brain --- */

static void trace_decision(struct sim *sim, const struct controller *controller, struct str ns,
                           struct str name, const struct actions *actions)
{
    auto_buf struct buf text;
    buf_init(&text, 1 << 16);
    actions_write(&text, actions);
    struct str rest = buf_str(&text);
    while (rest.p != NULL && rest.n > 0) {
        struct str line = str_cut(&rest, '\n');
        sim_trace(sim, STR_FMT " " STR_FMT "/" STR_FMT ": " STR_FMT, STR_ARG(controller->name),
                  STR_ARG(ns), STR_ARG(name), STR_ARG(line));
    }
}

static void on_decision(void *ctx, const struct controller *controller, struct str ns,
                        struct str name, const struct actions *actions)
{
    struct sim *sim = ctx;
    sim->decisions++;
    if (sim->trace != TRACE_NONE) {
        trace_decision(sim, controller, ns, name, actions);
    }
    check_decision(sim, controller, ns, name, actions);
}

static struct client *client_as(struct sim *sim, struct str name)
{
    static const struct str groups[] = {
        {"system:masters",       14},
        {"system:authenticated", 20}
    };
    struct api_user user = {.name = name, .groups = groups, .groups_count = ARRAY_LEN(groups)};
    return client_local_new(sim->api, &user);
}

static bool open_rooms(struct sim *sim)
{
    struct err err;
    struct journal *journal = journal_open_disk(sim->disk);
    sim->loop = loop_new_virtual(sim->wall_start);
    sim->store = store_open(sim->loop, journal, &err);
    if (sim->store == NULL) {
        sim_fail(sim, "store", "open: %s", err.msg);
        return false;
    }
    struct api_config config = {.loop = sim->loop,
                                .store = sim->store,
                                .rng = &sim->brain_rng,
                                .service_cidr = 0x0a600000u,
                                .service_prefix = 12,
                                .cluster_domain = S("cluster.local")};
    sim->api = api_new(&config);
    sim->user = client_as(sim, S("sailor"));
    sim->client = faulty_new(sim, client_as(sim, S("system:coracle")), sim->swarm.remote_ms > 0);
    sim->node = faulty_new(sim, client_as(sim, S("system:node:node-1")), /*is_remote=*/false);
    return true;
}

static void open_control(struct sim *sim)
{
    struct control_config config = {.loop = sim->loop,
                                    .rng = &sim->brain_rng,
                                    .client = sim->client,
                                    .is_remote = sim->swarm.remote_ms > 0};
    size_t count;
    const struct controller *const *rows = controllers(&count);
    sim->control = control_new(&config);
    for (size_t i = 0; i < count; i++) {
        control_add(sim->control, mutation_row(sim->mutation, rows[i]));
    }
    control_add(sim->control, &scheduler_controller);
    control_set_trace(sim->control, on_decision, sim);
}

static void open_brain(struct sim *sim)
{
    struct err err = {0};
    journal_disk_fail(sim->disk, 0);
    if (!open_rooms(sim)) {
        return;
    }
    if (!resume_watch(sim)) {
        return;
    }
    sim->brains++;
    struct bootstrap_config config = {.ca_pem = S("-"),
                                      .volumes_dir = S("/sim/volumes"),
                                      .api_address = S("10.244.0.1"),
                                      .api_port = 6443,
                                      .service_ip = S("10.96.0.1"),
                                      .dns_ip = S("10.96.0.10")};
    if (bootstrap_write(sim->user, &config, &err) < 0) {
        sim_fail(sim, "bootstrap", "%s", err.msg);
        return;
    }
    store_flush(sim->store);
    open_control(sim);
    kubelet_attach(sim->kubelet);
    if (sim->swarm.has_agent) {
        machine_attach(sim->machine);
    }
    user_start(sim);
}

static void crash(struct sim *sim)
{
    sim_trace(sim, "CRASH of the brain at revision %llu",
              (unsigned long long)store_rev(sim->store));
    if (sim->is_cut) {
        store_flush(sim->store); /* what the brain wrote before the cut is durable */
    }
    sim->wall_start = loop_wall(sim->loop);
    usec now = sim_now(sim);
    if (sim->swarm.has_agent) {
        machine_detach(sim->machine);
    }
    control_free(sim->control);
    faulty_free(sim->client);
    faulty_free(sim->node);
    client_local_free(sim->user);
    api_free(sim->api);
    sim->watch_rev = watch_rev(sim->watch);
    store_close(sim->store);
    loop_free(sim->loop);
    sim->control = NULL;
    sim->is_cut = false;
    sim->mono_before = now;
    open_brain(sim);
}

/* --- turning --- */

static void turn(struct sim *sim, unsigned *same)
{
    usec before = sim_now(sim);
    if (!loop_turn(sim->loop)) {
        sim_fail(sim, "loop", "nothing is scheduled any more");
        return;
    }
    sim->turns++;
    observe_events(sim);
    *same = sim_now(sim) == before ? *same + 1 : 0;
    if (*same > SAME_TIME_TURNS_MAX) {
        sim_fail(sim, "43", "%d turns without time going on: a hot loop", SAME_TIME_TURNS_MAX);
    }
}

static void phase1(struct sim *sim)
{
    unsigned same = 0;
    while (!sim->is_failed && sim->ops_done < sim->swarm.ops && sim->turns < PHASE1_TURNS_MAX) {
        turn(sim, &same);
        if (!sim->is_failed && fault(sim)) {
            crash(sim);
        }
    }
}

static void phase2(struct sim *sim)
{
    auto_buf struct buf why;
    buf_init(&why, 1 << 12);
    usec begin = sim_now(sim);
    usec rest_since = -1;
    usec looked = 0;
    usec healed = begin;
    unsigned same = 0;
    unsigned turns = sim->turns;
    while (!sim->is_failed) {
        turn(sim, &same);
        usec now = sim_now(sim);
        if (now - healed > 10 * USEC_PER_SEC) {
            user_heal(sim, /*is_first=*/false);
            healed = now;
        }
        if (now - looked > USEC_PER_SEC) {
            bool is_rest = check_rest(sim, &why);
            rest_since = is_rest ? (rest_since < 0 ? now : rest_since) : -1;
            looked = now;
        }
        if (rest_since >= 0 && now - rest_since > REST_SECONDS * USEC_PER_SEC) {
            return;
        }
        if (now - begin > PHASE2_SECONDS_MAX * USEC_PER_SEC ||
            sim->turns - turns > PHASE2_TURNS_MAX) {
            sim_fail(sim, "38", "not at rest after %lld s of calm and %u turns: %s",
                     (long long)((now - begin) / USEC_PER_SEC), sim->turns - turns,
                     why.p == NULL ? "?" : why.p);
        }
    }
}

bool sim_run(uint64_t seed, enum mutation mutation, const struct scenario *scenario,
             enum trace trace, struct sim *sim)
{
    *sim = (struct sim){.seed = seed,
                        .mutation = mutation,
                        .scenario = scenario,
                        .trace = trace,
                        .wall_start = START_WALL};
    rng_seed(&sim->rng, seed);
    rng_seed(&sim->brain_rng, seed ^ 0x9e3779b97f4a7c15u);
    if (scenario != NULL) {
        scenario_draw(sim);
    } else {
        swarm_draw(sim);
    }
    sim->disk = journal_disk_new();
    sim->kubelet = kubelet_new(sim);
    sim->machine = machine_new(sim);
    open_brain(sim);
    phase1(sim);
    if (!sim->is_failed) {
        sim_trace(sim, "CALM: no more faults");
        sim->is_calm = true;
        timer_stop(&sim->user_timer);
        faults_end(sim);
        store_flush(sim->store); /* the user's last act is to be seen by what heals it */
        user_heal(sim, /*is_first=*/true);
        phase2(sim);
    }
    if (!sim->is_failed) {
        check_end(sim);
    }
    return !sim->is_failed;
}
