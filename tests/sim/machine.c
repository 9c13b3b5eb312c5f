// SPDX-License-Identifier: Apache-2.0
//
// The machine below the node's own agent: a runtime whose containers are rows, and an image store
// that holds "app:v1" to "app:v<n>" and no "bad" one. Containers take their time to start and stop,
// exit on their own and fail their probes at random, and outlive the brain, which finds them again
// by adopt. Some lie: they are started, says the answer, and are dead by then; their end is told
// late, or with a code that nobody knows; they don't listen to SIGTERM. Answers come late or as
// errors, and probes not before their timeout. It checks what only a machine sees: no two pods of
// one name run at the same time.
#include "facts.h"

#include "base/mem.h"
#include "node/image_store.h"
#include "node/node.h"

#include <signal.h>
#include <stdlib.h>

enum { IMAGES = 120, EXIT_TERM = 143, EXIT_KILL = 137 };

struct box {
    struct machine *machine;
    struct container_fact fact; /* id owned */
    char *pod;                  /* "ns/name" */
    usec due;                   /* of the exit; -1 = runs on */
    int exit_code;
    bool is_deaf; /* to SIGTERM */
    usec told_at; /* exited, and the agent is told then; -1 = it knows */
    usec ready_at;
    unsigned brain; /* which one started it */
};

struct machine {
    struct sim *sim;
    struct runtime runtime;
    struct image_store images;
    struct map boxes; /* id to struct box * */
    struct timer timer;
    struct recorder *recorder;
    struct node *node;
};

/* An answer that comes later, from the loop. */
struct answer {
    struct timer timer;
    struct machine *machine;
    char *id;
    enum { ANSWER_CREATE, ANSWER_START, ANSWER_KILL, ANSWER_REMOVE, ANSWER_EXEC } what;
    int signal;
    bool is_timeout; /* ANSWER_EXEC */
    runtime_done_fn *done;
    runtime_exec_fn *exec_done;
    void *ctx;
};

static struct machine *self(struct runtime *rt)
{
    return container_of(rt, struct machine, runtime);
}

static usec span(struct sim *sim, unsigned ms_max)
{
    return (usec)rng_below(&sim->rng, ms_max + 1) * USEC_PER_MS;
}

static void plan(struct machine *m);

static bool is_lying(struct machine *m)
{
    return !m->sim->is_calm && sim_chance(m->sim, m->sim->swarm.lie, 1000);
}

static void tell_exit(struct box *b)
{
    struct machine *m = b->machine;
    b->told_at = -1;
    if (m->runtime.exited != NULL) {
        m->runtime.exited(m->runtime.exited_ctx, &b->fact);
    }
}

static void box_exit(struct box *b)
{
    struct machine *m = b->machine;
    b->fact.state = CONTAINER_EXITED;
    b->fact.is_lost = is_lying(m);
    b->fact.exit_code = b->fact.is_lost ? EXIT_KILL : b->exit_code;
    b->fact.finished_wall = loop_wall(m->sim->loop);
    b->due = -1;
    sim_trace(m->sim, "machine: " STR_FMT " exits with %d", STR_ARG(b->fact.id), b->exit_code);
    if (is_lying(m)) {
        b->told_at = sim_now(m->sim) + span(m->sim, 60000);
    } else {
        tell_exit(b);
    }
}

/* When the box needs the machine next; -1 = not at all. */
static usec box_due(const struct box *b)
{
    return b->fact.state == CONTAINER_RUNNING ? b->due : b->told_at;
}

static void tick(void *ctx)
{
    struct machine *m = ctx;
    for (size_t i = 0; i < m->boxes.count; i++) {
        struct box *b = m->boxes.entries[i].value;
        usec due = box_due(b);
        if (due >= 0 && due <= sim_now(m->sim)) {
            if (b->fact.state == CONTAINER_RUNNING) {
                box_exit(b);
            } else {
                tell_exit(b);
            }
        }
    }
    plan(m);
}

static void plan(struct machine *m)
{
    usec next = -1;
    for (size_t i = 0; i < m->boxes.count; i++) {
        usec due = box_due(m->boxes.entries[i].value);
        next = due >= 0 && (next < 0 || due < next) ? due : next;
    }
    timer_stop(&m->timer);
    if (next >= 0) {
        usec now = sim_now(m->sim);
        timer_start(m->sim->loop, &m->timer, next > now ? next - now : 0, tick, m);
    }
}

/* "ns/name" of the pod with this uid, from the store. */
static char *pod_of(struct sim *sim, struct str id)
{
    auto_arena struct arena *arena = arena_new(1 << 24);
    struct str rest = id;
    struct str uid = str_cut(&rest, '_');
    struct objs pods = sim_list(sim, arena, KIND_POD, S(""));
    for (size_t i = 0; i < pods.count; i++) {
        if (str_eq(meta_uid(pods.list[i]), uid)) {
            return xasprintf(STR_FMT "/" STR_FMT, STR_ARG(meta_ns(pods.list[i])),
                             STR_ARG(meta_name(pods.list[i])));
        }
    }
    return xstrdup("?");
}

/* 1: at most one running container of an identity. */
static void check_single(struct machine *m, const struct box *b)
{
    for (size_t i = 0; i < m->boxes.count; i++) {
        const struct box *o = m->boxes.entries[i].value;
        if (o != b && o->fact.state == CONTAINER_RUNNING && strcmp(o->pod, b->pod) == 0) {
            sim_fail(m->sim, "1", "two containers of pod %s run: " STR_FMT " and " STR_FMT, b->pod,
                     STR_ARG(o->fact.id), STR_ARG(b->fact.id));
        }
    }
}

static void start_box(struct machine *m, struct box *b)
{
    struct sim *sim = m->sim;
    b->brain = sim->brains;
    check_single(m, b);
    b->fact.state = CONTAINER_RUNNING;
    b->fact.started_wall = loop_wall(sim->loop);
    b->ready_at = sim_now(sim) + span(sim, sim->swarm.ready_ms);
    b->due = -1;
    b->is_deaf = is_lying(m);
    if (!sim->is_calm && sim_chance(sim, sim->swarm.fail, 300)) {
        b->due = sim_now(sim) + span(sim, 20000);
        b->exit_code = 1;
    }
    sim_trace(sim, "machine: " STR_FMT " runs", STR_ARG(b->fact.id));
    if (is_lying(m)) {
        b->exit_code = 1;
        box_exit(b); /* before the answer that it was started */
    }
}

static void kill_box(struct machine *m, struct box *b, int signal)
{
    bool is_hard = signal == SIGKILL;
    usec due = sim_now(m->sim) + (is_hard ? 0 : span(m->sim, m->sim->swarm.stop_ms));
    if (b->is_deaf && !is_hard) {
        return;
    }
    if (b->fact.state == CONTAINER_RUNNING && (b->due < 0 || due < b->due || is_hard)) {
        b->due = due;
        b->exit_code = is_hard ? EXIT_KILL : EXIT_TERM;
    }
}

static void box_free(struct box *b)
{
    free((void *)(uintptr_t)b->fact.id.p);
    free(b->pod);
    free(b);
}

static void act(struct answer *a, struct box *b, struct err *err)
{
    struct machine *m = a->machine;
    switch (a->what) {
    case ANSWER_CREATE:
        return;
    case ANSWER_START:
        if (b == NULL) {
            err_set(err, ERR_NOT_FOUND, "no container %s", a->id);
        } else if (b->fact.state == CONTAINER_CREATED) {
            start_box(m, b);
        }
        return;
    case ANSWER_KILL:
        if (b != NULL) {
            kill_box(m, b, a->signal);
        }
        return;
    case ANSWER_REMOVE:
        if (b != NULL && b->fact.state == CONTAINER_RUNNING) {
            sim_fail(m->sim, "runtime", "container %s is removed while it runs", a->id);
        } else if (b != NULL) {
            map_remove(&m->boxes, b->fact.id);
            box_free(b);
        }
        return;
    case ANSWER_EXEC:
        return;
    }
}

static void answer(void *ctx)
{
    struct answer *a = ctx;
    struct machine *m = a->machine;
    struct sim *sim = m->sim;
    struct box *b = map_find(&m->boxes, str_of(a->id));
    struct err err = {0};
    bool is_adopt = a->what == ANSWER_CREATE && b == NULL;
    bool is_refused = is_lying(m) && a->what != ANSWER_EXEC && !is_adopt;
    if (is_refused && a->what == ANSWER_CREATE) {
        map_remove(&m->boxes, b->fact.id);
        box_free(b);
        b = NULL;
    }
    if (is_refused) {
        err_set(&err, ERR_IO, "the machine fails on request");
    } else {
        act(a, b, &err);
    }
    plan(m);
    if (a->what == ANSWER_EXEC && a->is_timeout) {
        err_set(&err, ERR_TIMEOUT, "the command took too long");
        a->exec_done(a->ctx, 0, S(""), &err);
    } else if (a->what == ANSWER_EXEC) {
        bool is_flap = !sim->is_calm && sim_chance(sim, sim->swarm.flap, 1000);
        bool is_ready = b != NULL && sim_now(sim) >= b->ready_at && !is_flap;
        a->exec_done(a->ctx, is_ready ? 0 : 1, S(""), NULL);
    } else if (a->done != NULL) {
        a->done(a->ctx, err.code == 0 ? NULL : &err);
    }
    free(a->id);
    free(a);
}

static struct answer *later(struct runtime *rt, struct str id, int what, unsigned ms_max,
                            runtime_done_fn *done, void *ctx)
{
    struct machine *m = self(rt);
    struct answer *a = xcalloc(1, sizeof *a);
    *a = (struct answer){
        .machine = m, .id = xstrndup(id.p, id.n), .what = what, .done = done, .ctx = ctx};
    unsigned ms = is_lying(m) ? 20000 : ms_max;
    timer_start(m->sim->loop, &a->timer, span(m->sim, ms), answer, a);
    return a;
}

static void rt_create(struct runtime *rt, const struct container_config *config,
                      runtime_done_fn *done, void *ctx)
{
    struct machine *m = self(rt);
    struct box *b = xcalloc(1, sizeof *b);
    *b = (struct box){.machine = m,
                      .fact = {.id = {xstrndup(config->id.p, config->id.n), config->id.n}},
                      .pod = pod_of(m->sim, config->id),
                      .told_at = -1,
                      .due = -1};
    b->brain = m->sim->brains;
    /* Without a disk the agent may not know of what the brain before it made and never told. */
    struct box *old = map_put(&m->boxes, b->fact.id, b);
    if (old != NULL && (old->brain == b->brain || old->fact.state == CONTAINER_RUNNING)) {
        sim_fail(m->sim, "runtime", "container " STR_FMT " is made twice", STR_ARG(config->id));
    }
    (void)later(rt, config->id, ANSWER_CREATE, m->sim->swarm.start_ms, done, ctx);
}

static void rt_start(struct runtime *rt, struct str id, runtime_done_fn *done, void *ctx)
{
    (void)later(rt, id, ANSWER_START, 50, done, ctx);
}

static void rt_kill(struct runtime *rt, struct str id, int signal, runtime_done_fn *done, void *ctx)
{
    later(rt, id, ANSWER_KILL, 50, done, ctx)->signal = signal;
}

static void rt_remove(struct runtime *rt, struct str id, runtime_done_fn *done, void *ctx)
{
    (void)later(rt, id, ANSWER_REMOVE, 50, done, ctx);
}

static void rt_exec(struct runtime *rt, struct str id, const struct val *argv, usec timeout,
                    runtime_exec_fn *done, void *ctx)
{
    (void)argv;
    struct machine *m = self(rt);
    struct answer *a = later(rt, id, ANSWER_EXEC, 50, NULL, ctx);
    a->exec_done = done;
    a->is_timeout = is_lying(m);
    if (a->is_timeout) {
        timer_start(m->sim->loop, &a->timer, timeout, answer, a);
    }
}

static void rt_adopt(struct runtime *rt, void (*each)(void *ctx, const struct container_fact *fact),
                     runtime_done_fn *done, void *ctx)
{
    struct machine *m = self(rt);
    for (size_t i = 0; i < m->boxes.count; i++) {
        each(ctx, &((const struct box *)m->boxes.entries[i].value)->fact);
    }
    (void)later(rt, S("-"), ANSWER_CREATE, 10, done, ctx);
}

static void rt_close(struct runtime *rt)
{
    (void)rt;
}

static void add_image(struct machine *m, int version)
{
    struct image_entry *e = xcalloc(1, sizeof *e);
    struct str *name = xcalloc(1, sizeof *name);
    *name = str_of(xasprintf("docker.io/library/app:v%d", version));
    e->image = (struct image){.id = str_of(xasprintf("sha256:%064d", version)),
                              .names = name,
                              .names_count = 1,
                              .digest = str_of(xasprintf("sha256:%064d", 1000 + version))};
    map_put(&m->images.images, e->image.id, e);
}

struct machine *machine_new(struct sim *sim)
{
    static const struct runtime_ops ops = {.create = rt_create,
                                           .start = rt_start,
                                           .kill = rt_kill,
                                           .remove = rt_remove,
                                           .exec = rt_exec,
                                           .adopt = rt_adopt,
                                           .close = rt_close};
    struct machine *m = xcalloc(1, sizeof *m);
    m->sim = sim;
    m->runtime = (struct runtime){.ops = &ops, .name = S("sim"), .version = S("1")};
    for (int i = 1; i <= IMAGES; i++) {
        add_image(m, i);
    }
    return m;
}

void machine_attach(struct machine *m)
{
    struct sim *sim = m->sim;
    struct err err;
    m->timer = (struct timer){0};
    m->runtime.exited = NULL;
    m->images.loop = sim->loop;
    list_init(&m->images.jobs); /* what was under way went with the brain before */
    m->images.kick = (struct timer){0};
    m->recorder = recorder_new(sim->loop, &sim->brain_rng, sim->node);
    struct node_config config = {.loop = sim->loop,
                                 .rng = &sim->brain_rng,
                                 .client = sim->node,
                                 .recorder = m->recorder,
                                 .runtime = &m->runtime,
                                 .images = &m->images,
                                 .name = S("node-1"),
                                 .cluster_dns = S("10.96.0.10"),
                                 .cluster_domain = S("cluster.local")};
    m->node = node_new(&config, &err);
    if (m->node == NULL) {
        sim_fail(sim, "node", "%s", err.msg);
    }
    plan(m);
}

void machine_detach(struct machine *m)
{
    node_free(m->node);
    recorder_free(m->recorder);
    m->node = NULL;
}

bool machine_is_right(struct machine *m, struct buf *why)
{
    auto_arena struct arena *arena = arena_new(1 << 24);
    struct objs pods = sim_list(m->sim, arena, KIND_POD, S(""));
    size_t running = 0;
    for (size_t i = 0; i < m->boxes.count; i++) {
        const struct box *b = m->boxes.entries[i].value;
        running += b->fact.state == CONTAINER_RUNNING;
    }
    size_t ready = 0;
    for (size_t i = 0; i < pods.count; i++) {
        ready += pod_is_ready(pods.list[i]);
    }
    if (running != ready) {
        buf_addf(why, "%zu containers run, %zu pods are ready", running, ready);
    }
    return running == ready;
}
