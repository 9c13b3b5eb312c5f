// SPDX-License-Identifier: Apache-2.0
//
// The loop of the simulation: no kernel, no threads. Work runs in the call that asks for it (it may
// not touch the loop's state, so nobody can tell) and completes as a deferred call.
#include "loop/internal.h"

#include "base/mem.h"

#include <stdlib.h>

struct loop_virtual {
    usec wall_offset; /* wall = now + wall_offset */
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

static void virtual_run(struct loop *loop)
{
    while (!loop->is_stopping && loop_turn(loop)) {
    }
}

static void virtual_work(struct loop *loop, void (*work)(void *), void (*done)(void *), void *ctx)
{
    work(ctx);
    loop_defer(loop, done, ctx);
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
