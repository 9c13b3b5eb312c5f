// SPDX-License-Identifier: Apache-2.0
//
// The event loop: a small door to libuv, with a virtual twin for the simulation. One thread owns
// all state; only work functions run elsewhere. A turn is:
//   1. hooks of loop_on_turn_end, in order of registration (the store commits its batch, replies go
//   out)
//   2. poll for descriptors until the next deadline
//   3. the clock is read once; loop_now and loop_wall give this time all turn long
//   4. due timers, in (deadline, start number) order
//   5. descriptor callbacks, finished work, exited children
//   6. deferred calls, until none is left or 8 rounds are over (the rest waits for the next turn)
// Callbacks never re-enter: nothing below calls back from inside the call that asked for it.
// A struct timer or io may be freed as soon as it is stopped.
#ifndef CORACLE_LOOP_LOOP_H
#define CORACLE_LOOP_LOOP_H

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;

/* The real loop (libuv, kernel clocks) or the virtual one, whose time moves only when nothing else
 * is due: loop_run then jumps to the next deadline. The virtual loop has no descriptors and no
 * children; its work runs at once and completes in a later turn. start_wall is its first wall time.
 */
struct loop *loop_new(void);
struct loop *loop_new_virtual(usec start_wall);
void loop_free(struct loop *loop); /* everything must be stopped */

/* Runs until loop_stop (real), or until loop_stop or nothing is left to do (virtual). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Virtual only: one turn; returns false when nothing is scheduled any more. */
bool loop_turn(struct loop *loop);
/* Virtual only: the wall clock jumps by delta (may be negative). */
void loop_shift_wall(struct loop *loop, usec delta);
/* Virtual only: from now on work completes so much later (0 = in the next turn). */
void loop_delay_work(struct loop *loop, usec delay);

usec loop_now(const struct loop *loop);                  /* monotonic, of this turn */
usec loop_wall(const struct loop *loop);                 /* wall, of this turn */
const struct clock *loop_clock(const struct loop *loop); /* the same two as a clock */

struct timer {
    struct loop *loop; /* set while running */
    void (*fn)(void *ctx);
    void *ctx;
    usec deadline;   /* monotonic */
    uint64_t serial; /* start number: ties fire in start order */
    size_t heap_at;
};
/* Starts (or restarts) a one-shot timer after delay (>= 0). */
void timer_start(struct loop *loop, struct timer *timer, usec delay, void (*fn)(void *ctx),
                 void *ctx);
void timer_stop(struct timer *timer); /* not running is fine */
bool timer_is_running(const struct timer *timer);

enum { IO_READ = 1, IO_WRITE = 2, IO_HANGUP = 4 };
struct io; /* one watched descriptor */
/* Watches fd (not owned) for events; fn gets those that are ready. NULL with err on failure. */
struct io *io_start(struct loop *loop, int fd, int events, void (*fn)(void *ctx, int events),
                    void *ctx, struct err *err);
void io_set(struct io *io, int events); /* 0 pauses */
void io_stop(struct io *io);            /* NULL is fine; frees io; fd may be closed afterwards */

/* Calls fn later in this turn (step 6), in order of the calls. */
void loop_defer(struct loop *loop, void (*fn)(void *ctx), void *ctx);
/* Calls fn in step 1 of each turn, until loop_off_turn_end with the same fn and ctx. */
void loop_on_turn_end(struct loop *loop, void (*fn)(void *ctx), void *ctx);
void loop_off_turn_end(struct loop *loop, void (*fn)(void *ctx), void *ctx);

/* Runs work(ctx) on a pool thread, then done(ctx) on the loop. work touches nothing the loop owns.
 */
void loop_work(struct loop *loop, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

struct child_options {
    const char *file;        /* absolute path, or searched in PATH */
    const char *const *argv; /* NULL-terminated */
    const char *const *envp; /* NULL = ours */
    const char *cwd;         /* NULL = ours */
    const int *fds;          /* child's descriptors 0, 1, 2 …: ours to dup, or -1 for /dev/null */
    size_t fds_count;        /* at least 3 when fds is given; NULL fds = all /dev/null */
};
struct child;
/* Starts a process; exited(ctx, code, signal) comes once. NULL with err when it can't be started.
 */
struct child *child_start(struct loop *loop, const struct child_options *options,
                          void (*exited)(void *ctx, int code, int signal), void *ctx,
                          struct err *err);
pid_t child_pid(const struct child *child);
void child_kill(struct child *child, int signal);
/* Forgets the callback; the process goes on and is reaped silently. child is invalid afterwards, as
 * it is after exited returned. */
void child_detach(struct child *child);

#endif
