// SPDX-License-Identifier: Apache-2.0
//
// The loop of the simulation: no kernel, no threads. Work runs in the call that asks for it (it may
// not touch the loop's state, so nobody can tell) and completes as a deferred call, or later.
#include "loop/internal.h"

#include "base/mem.h"

#include <stdlib.h>

struct loop_virtual {
    usec wall_offset; /* wall = now + wall_offset */
    usec work_delay;
};

struct late_work {
    struct timer timer;
    void (*done)(void *ctx);
    void *ctx;
};

bool loop_turn(struct loop *loop)
{
    struct loop_virtual *v = loop->impl;
    loop_run_hooks(loop);
    if (loop->deferred_count == 0) {
        usec next = loop_next_deadline(loop);
        if (next < 0) {
            return false;
        }
        loop->now = next > loop->now ? next : loop->now;
    }
    loop->wall = loop->now + v->wall_offset;
    loop_run_timers(loop);
    loop_run_deferred(loop);
    return true;
}

void loop_shift_wall(struct loop *loop, usec delta)
{
    struct loop_virtual *v = loop->impl;
    v->wall_offset += delta;
    loop->wall += delta;
}

void loop_delay_work(struct loop *loop, usec delay)
{
    struct loop_virtual *v = loop->impl;
    v->work_delay = delay;
}

static void virtual_run(struct loop *loop)
{
    while (!loop->is_stopping && loop_turn(loop)) {
    }
}

static void end_late(void *ctx)
{
    struct late_work *late = ctx;
    struct late_work ended = *late;
    free(late);
    ended.done(ended.ctx);
}

static void virtual_work(struct loop *loop, void (*work)(void *), void (*done)(void *), void *ctx)
{
    const struct loop_virtual *v = loop->impl;
    work(ctx);
    if (v->work_delay == 0) {
        loop_defer(loop, done, ctx);
        return;
    }
    struct late_work *late = xcalloc(1, sizeof *late);
    *late = (struct late_work){.done = done, .ctx = ctx};
    timer_start(loop, &late->timer, v->work_delay, end_late, late);
}

static void virtual_close(struct loop *loop)
{
    free(loop->impl);
}

struct loop *loop_new_virtual(usec start_wall)
{
    static const struct loop_ops ops = {virtual_run, virtual_work, virtual_close};
    struct loop *loop = loop_new_base();
    struct loop_virtual *v = xcalloc(1, sizeof *v);
    v->wall_offset = start_wall;
    loop->ops = &ops;
    loop->impl = v;
    loop->wall = start_wall;
    return loop;
}
