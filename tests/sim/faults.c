// SPDX-License-Identifier: Apache-2.0
//
// Faults: between turns (the disk fails or is slow, the wall clock jumps, the brain dies) and, by
// a client that stands before the real one, in the middle of a decision: writes are refused, and
// the brain dies between two effects, the first durable, the second never tried. As the client of a
// server elsewhere it is slow too, its writes keep their order, and an answer may be lost on the
// way: the write is done and looks failed.
#include "sim.h"

#include "base/mem.h"

#include <stdlib.h>

struct faulty {
    struct client client;
    struct sim *sim;
    struct client *inner;
    bool is_remote;
    usec last_due; /* of the writes on their way */
};

/* A write on its way to a server elsewhere. */
struct parcel {
    struct timer timer;
    struct faulty *faulty;
    struct arena *arena;
    struct client_write write;
    client_done_fn *done;
    void *ctx;
    bool is_answer_lost;
};

static struct faulty *self(struct client *client)
{
    return container_of(client, struct faulty, client);
}

static struct object *faulty_get(struct client *client, enum kind_id kind, struct str ns,
                                 struct str name)
{
    return self(client)->inner->ops->get(self(client)->inner, kind, ns, name);
}

static void faulty_list(struct client *client, enum kind_id kind, struct str ns,
                        bool (*each)(void *ctx, struct object *object), void *ctx)
{
    self(client)->inner->ops->list(self(client)->inner, kind, ns, each, ctx);
}

static void faulty_watch(struct client *client, enum kind_id kind, client_event_fn *fn, void *ctx)
{
    self(client)->inner->ops->watch(self(client)->inner, kind, fn, ctx);
}

/* Is this the last write of this brain? It is made durable, and nothing follows it. */
static void maybe_cut(struct sim *sim, const struct client_write *write)
{
    if (!sim->is_calm && sim_chance(sim, sim->swarm.cut, 10000)) {
        sim_trace(sim, "FAULT: the brain dies behind its write of " STR_FMT " " STR_FMT "/" STR_FMT,
                  STR_ARG(kind_of(write->kind)->name), STR_ARG(write->ns), STR_ARG(write->name));
        sim->is_cut = true;
    }
}

static int refusal(struct sim *sim, const struct client_write *write, struct err *err)
{
    static const struct {
        int code;
        const char *text;
    } rows[] = {
        {ERR_CONFLICT, "the object has been modified"          },
        {ERR_INTERNAL, "an internal error occurred on request" },
        {ERR_TIMEOUT,  "the request timed out before it began" },
        {ERR_LIMIT,    "the server has received too many of it"},
    };
    if (sim->is_calm || !sim_chance(sim, sim->swarm.refuse, 10000)) {
        return 0;
    }
    /* A delete names no version that it could conflict with. */
    size_t i = rng_below(&sim->rng, ARRAY_LEN(rows));
    i += i == 0 && write->verb == VERB_DELETE;
    sim_trace(sim, "FAULT: a write of " STR_FMT " " STR_FMT "/" STR_FMT " is refused: %s",
              STR_ARG(kind_of(write->kind)->name), STR_ARG(write->ns), STR_ARG(write->name),
              rows[i].text);
    return err_set(err, rows[i].code, "%s", rows[i].text);
}

static void parcel_free(struct parcel *p)
{
    arena_free(p->arena);
    free(p);
}

static void lose_answer(void *ctx, struct object *object, const struct val *val,
                        const struct err *err)
{
    (void)object;
    (void)val;
    (void)err;
    struct parcel *p = ctx;
    struct err lost = {0};
    (void)err_set(&lost, ERR_TIMEOUT, "the answer was lost");
    if (p->done != NULL) {
        p->done(p->ctx, NULL, NULL, &lost);
    }
    parcel_free(p);
}

static void arrive(void *ctx)
{
    struct parcel *p = ctx;
    struct sim *sim = p->faulty->sim;
    struct err err = {0};
    if (sim->is_cut) {
        return; /* the next brain knows nothing of it */
    }
    struct client *inner = p->faulty->inner;
    int r = refusal(sim, &p->write, &err);
    if (r == 0 && p->is_answer_lost) {
        sim_trace(sim, "FAULT: the next answer is lost");
        r = inner->ops->write(inner, &p->write, lose_answer, p, &err);
    } else if (r == 0) {
        r = inner->ops->write(inner, &p->write, p->done, p->ctx, &err);
    }
    if (r == 0) {
        maybe_cut(sim, &p->write);
    } else if (p->done != NULL) {
        p->done(p->ctx, NULL, NULL, &err);
    }
    if (r < 0 || !p->is_answer_lost) {
        parcel_free(p);
    }
}

static struct str own(struct arena *arena, struct str s)
{
    return arena_fmt(arena, STR_FMT, STR_ARG(s));
}

static int send(struct faulty *f, const struct client_write *write, client_done_fn *done, void *ctx)
{
    struct sim *sim = f->sim;
    struct parcel *p = xcalloc(1, sizeof *p);
    struct arena *arena = arena_new(1 << 22);
    *p = (struct parcel){.faulty = f, .arena = arena, .write = *write, .done = done, .ctx = ctx};
    p->write.ns = own(arena, write->ns);
    p->write.name = own(arena, write->name);
    p->write.subresource = own(arena, write->subresource);
    p->write.expect_uid = own(arena, write->expect_uid);
    p->write.propagation = own(arena, write->propagation);
    if (write->body != NULL) {
        p->write.body = arena_val(arena, val_copy(arena, write->body));
    }
    p->is_answer_lost = !sim->is_calm && sim_chance(sim, sim->swarm.refuse, 10000);
    usec due = sim_now(sim) + (usec)rng_below(&sim->rng, sim->swarm.remote_ms * USEC_PER_MS + 1);
    f->last_due = due > f->last_due ? due : f->last_due;
    timer_start(sim->loop, &p->timer, f->last_due - sim_now(sim), arrive, p);
    return 0;
}

static int faulty_write(struct client *client, const struct client_write *write,
                        client_done_fn *done, void *ctx, struct err *err)
{
    struct faulty *f = self(client);
    struct sim *sim = f->sim;
    if (sim->is_cut) {
        return 0;
    }
    if (f->is_remote) {
        return send(f, write, done, ctx);
    }
    if (refusal(sim, write, err) < 0) {
        return err->code;
    }
    int r = f->inner->ops->write(f->inner, write, done, ctx, err);
    if (r == 0) {
        maybe_cut(sim, write);
    }
    return r;
}

struct client *faulty_new(struct sim *sim, struct client *inner, bool is_remote)
{
    static const struct client_ops ops = {faulty_get, faulty_list, faulty_watch, faulty_write};
    struct faulty *f = xcalloc(1, sizeof *f);
    *f = (struct faulty){.client = {&ops}, .sim = sim, .inner = inner, .is_remote = is_remote};
    return &f->client;
}

void faulty_free(struct client *client)
{
    struct faulty *f = self(client);
    client_local_free(f->inner);
    free(f);
}

static void disk_fault(struct sim *sim)
{
    static const unsigned delays_ms[] = {0, 5, 300, 4000};
    if (sim_chance(sim, 1, 2)) {
        unsigned count = 1 + (unsigned)rng_below(&sim->rng, 3);
        sim_trace(sim, "FAULT: the next %u appends fail", count);
        journal_disk_fail(sim->disk, count);
    } else {
        unsigned ms = delays_ms[rng_below(&sim->rng, ARRAY_LEN(delays_ms))];
        sim_trace(sim, "FAULT: an append takes %u ms from here on", ms);
        loop_delay_work(sim->loop, ms * USEC_PER_MS);
    }
}

static void jump(struct sim *sim)
{
    static const int64_t spans_s[] = {2, 300, 86400};
    int64_t most = spans_s[rng_below(&sim->rng, sim->swarm.has_day_jumps ? 3 : 2)];
    int64_t delta = (int64_t)rng_below(&sim->rng, (uint64_t)(2 * most)) - most;
    sim_trace(sim, "FAULT: the wall clock jumps by %lld s", (long long)delta);
    loop_shift_wall(sim->loop, delta * USEC_PER_SEC);
}

bool fault(struct sim *sim)
{
    const struct swarm *s = &sim->swarm;
    if (sim_chance(sim, s->disk_fault, 10000)) {
        disk_fault(sim);
    }
    if (sim_chance(sim, s->jump, 10000)) {
        jump(sim);
    }
    return sim->is_cut || sim_chance(sim, s->crash, 10000);
}

void faults_end(struct sim *sim)
{
    journal_disk_fail(sim->disk, 0);
    loop_delay_work(sim->loop, 0);
}
