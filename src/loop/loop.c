// SPDX-License-Identifier: Apache-2.0
//
// Timers, deferred calls and hooks are ours and shared by both loops, so that their order is the
// same in production and in the simulation; libuv serves descriptors, work and children
// (loop_uv.c).
#include "loop/internal.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

enum { DEFER_ROUNDS_MAX = 8 };

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->serial < b->serial;
}

static void heap_set(struct loop *loop, size_t at, struct timer *t)
{
    loop->heap[at] = t;
    t->heap_at = at;
}

static void heap_up(struct loop *loop, size_t at)
{
    struct timer *t = loop->heap[at];
    while (at > 0 && is_before(t, loop->heap[(at - 1) / 2])) {
        heap_set(loop, at, loop->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(loop, at, t);
}

static void heap_down(struct loop *loop, size_t at)
{
    struct timer *t = loop->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= loop->heap_count) {
            break;
        }
        if (child + 1 < loop->heap_count && is_before(loop->heap[child + 1], loop->heap[child])) {
            child++;
        }
        if (!is_before(loop->heap[child], t)) {
            break;
        }
        heap_set(loop, at, loop->heap[child]);
        at = child;
    }
    heap_set(loop, at, t);
}

void timer_start(struct loop *loop, struct timer *timer, usec delay, void (*fn)(void *ctx),
                 void *ctx)
{
    assert(delay >= 0);
    timer_stop(timer);
    if (loop->heap_count == loop->heap_cap) {
        loop->heap_cap = loop->heap_cap == 0 ? 64 : loop->heap_cap * 2;
        loop->heap = xrealloc(loop->heap, loop->heap_cap * sizeof(struct timer *));
    }
    usec deadline = delay > INT64_MAX - loop->now ? INT64_MAX : loop->now + delay;
    *timer = (struct timer){
        .loop = loop, .fn = fn, .ctx = ctx, .deadline = deadline, .serial = loop->timer_serial++};
    loop->heap_count++;
    heap_set(loop, loop->heap_count - 1, timer);
    heap_up(loop, loop->heap_count - 1);
}

void timer_stop(struct timer *timer)
{
    struct loop *loop = timer->loop;
    if (loop == NULL) {
        return;
    }
    size_t at = timer->heap_at;
    timer->loop = NULL;
    struct timer *last = loop->heap[--loop->heap_count];
    if (last != timer) {
        heap_set(loop, at, last);
        heap_up(loop, at);
        heap_down(loop, last->heap_at);
    }
}

bool timer_is_running(const struct timer *timer)
{
    return timer->loop != NULL;
}

usec loop_next_deadline(const struct loop *loop)
{
    return loop->heap_count == 0 ? -1 : loop->heap[0]->deadline;
}

void loop_run_timers(struct loop *loop)
{
    /* Timers started from here on wait for the next turn, even with no delay. */
    uint64_t serial_end = loop->timer_serial;
    while (loop->heap_count > 0 && loop->heap[0]->deadline <= loop->now &&
           loop->heap[0]->serial < serial_end) {
        struct timer *t = loop->heap[0];
        timer_stop(t);
        t->fn(t->ctx);
    }
}

void loop_defer(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
    if (loop->deferred_count == loop->deferred_cap) {
        loop->deferred_cap = loop->deferred_cap == 0 ? 64 : loop->deferred_cap * 2;
        loop->deferred = xrealloc(loop->deferred, loop->deferred_cap * sizeof(struct call));
    }
    loop->deferred[loop->deferred_count++] = (struct call){fn, ctx};
}

void loop_run_deferred(struct loop *loop)
{
    for (int round = 0; round < DEFER_ROUNDS_MAX && loop->deferred_count > 0; round++) {
        struct call *calls = loop->deferred;
        size_t count = loop->deferred_count;
        loop->deferred = NULL;
        loop->deferred_count = 0;
        loop->deferred_cap = 0;
        for (size_t i = 0; i < count; i++) {
            calls[i].fn(calls[i].ctx);
        }
        free(calls);
    }
}

void loop_on_turn_end(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
    assert(loop->hooks_count < HOOKS_MAX);
    loop->hooks[loop->hooks_count++] = (struct call){fn, ctx};
}

void loop_off_turn_end(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
    size_t kept = 0;
    for (size_t i = 0; i < loop->hooks_count; i++) {
        if (loop->hooks[i].fn != fn || loop->hooks[i].ctx != ctx) {
            loop->hooks[kept++] = loop->hooks[i];
        }
    }
    loop->hooks_count = kept;
}

void loop_run_hooks(struct loop *loop)
{
    for (size_t i = 0; i < loop->hooks_count; i++) {
        loop->hooks[i].fn(loop->hooks[i].ctx);
    }
}

usec loop_now(const struct loop *loop)
{
    return loop->now;
}

usec loop_wall(const struct loop *loop)
{
    return loop->wall;
}

static usec clock_mono(void *ctx)
{
    return loop_now(ctx);
}

static usec clock_wall(void *ctx)
{
    return loop_wall(ctx);
}

const struct clock *loop_clock(const struct loop *loop)
{
    return &loop->clock;
}

struct loop *loop_new_base(void)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->clock = (struct clock){.mono = clock_mono, .wall = clock_wall, .ctx = loop};
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    loop->ops->close(loop);
    free(loop->heap);
    free(loop->deferred);
    free(loop);
}

void loop_run(struct loop *loop)
{
    loop->is_stopping = false;
    loop->ops->run(loop);
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
}

void loop_work(struct loop *loop, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    loop->ops->work(loop, work, done, ctx);
}
