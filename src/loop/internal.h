// SPDX-License-Identifier: Apache-2.0
//
// What loop.c, loop_uv.c and loop_virtual.c share.
#ifndef CORACLE_LOOP_INTERNAL_H
#define CORACLE_LOOP_INTERNAL_H

#include "loop/loop.h"

#include <stddef.h>

enum { HOOKS_MAX = 16 };

struct call {
    void (*fn)(void *ctx);
    void *ctx;
};

struct loop_ops {
    void (*run)(struct loop *loop);
    void (*work)(struct loop *loop, void (*work)(void *), void (*done)(void *), void *ctx);
    void (*close)(struct loop *loop);
};

struct loop {
    const struct loop_ops *ops;
    usec now;
    usec wall;
    struct clock clock;
    struct timer **heap; /* binary heap by (deadline, serial) */
    size_t heap_count;
    size_t heap_cap;
    uint64_t timer_serial;
    struct call *deferred;
    size_t deferred_count;
    size_t deferred_cap;
    struct call hooks[HOOKS_MAX];
    size_t hooks_count;
    bool is_stopping;
    void *impl;
};

struct loop *loop_new_base(void);
usec loop_next_deadline(const struct loop *loop); /* -1 = no timer */
void loop_run_timers(struct loop *loop);
void loop_run_deferred(struct loop *loop);
void loop_run_hooks(struct loop *loop);

#endif
