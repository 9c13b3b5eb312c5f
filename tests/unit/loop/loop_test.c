// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

struct trace {
    struct loop *loop;
    char text[64];
    size_t n;
};

static void mark(struct trace *t, char c)
{
    t->text[t->n++] = c;
}

static void mark_a(void *ctx)
{
    mark(ctx, 'a');
}

static void mark_b(void *ctx)
{
    mark(ctx, 'b');
    loop_defer(((struct trace *)ctx)->loop, mark_a, ctx);
}

static void stop(void *ctx)
{
    loop_stop(((struct trace *)ctx)->loop);
}

TEST(virtual_timers_fire_in_deadline_then_start_order)
{
    struct trace t = {.loop = loop_new_virtual(USEC_PER_SEC)};
    struct timer timers[3] = {0};
    timer_start(t.loop, &timers[0], 20, mark_a, &t);
    timer_start(t.loop, &timers[1], 10, mark_b, &t);
    timer_start(t.loop, &timers[2], 20, mark_b, &t);
    loop_run(t.loop);
    EXPECT_STR("baaba", str_of(t.text));
    EXPECT_INT(20, loop_now(t.loop));
    EXPECT_INT(USEC_PER_SEC + 20, loop_wall(t.loop));
    loop_free(t.loop);
}

TEST(a_stopped_timer_is_silent)
{
    struct trace t = {.loop = loop_new_virtual(0)};
    struct timer timer = {0};
    timer_start(t.loop, &timer, 20, mark_a, &t);
    EXPECT(timer_is_running(&timer));
    timer_stop(&timer);
    loop_run(t.loop);
    EXPECT_STR("", str_of(t.text));
    loop_free(t.loop);
}

static void work_mark(void *ctx)
{
    mark(ctx, 'w');
}

static void child_gone(void *ctx, int code, int signal)
{
    struct trace *t = ctx;
    EXPECT_INT(0, signal);
    mark(t, (char)('0' + code));
    loop_stop(t->loop);
}

static void work_done(void *ctx)
{
    struct trace *t = ctx;
    struct err err = {0};
    mark(t, 'd');
    const char *const argv[] = {"sh", "-c", "exit 3", NULL};
    struct child_options options = {.file = "/bin/sh", .argv = argv};
    EXPECT(child_start(t->loop, &options, child_gone, t, &err) != NULL);
}

TEST(work_and_children_come_back_to_the_real_loop)
{
    struct trace t = {.loop = loop_new()};
    loop_work(t.loop, work_mark, work_done, &t);
    loop_run(t.loop);
    EXPECT_STR("wd3", str_of(t.text));
    loop_free(t.loop);
}

static void child_killed(void *ctx, int code, int signal)
{
    struct trace *t = ctx;
    EXPECT_INT(0, code);
    EXPECT_INT(SIGKILL, signal);
    loop_stop(t->loop);
}

/* Given crosswise, so that a careless dup2 closes one before it is copied. */
TEST(children_get_their_descriptors_directory_and_signals)
{
    struct trace t = {.loop = loop_new()};
    struct err err = {0};
    int ends[2][2];
    EXPECT_INT(0, pipe2(ends[0], O_CLOEXEC));
    EXPECT_INT(0, pipe2(ends[1], O_CLOEXEC));
    EXPECT_INT(15, dup3(ends[1][1], 15, O_CLOEXEC));
    EXPECT_INT(14, dup3(ends[0][1], 14, O_CLOEXEC));
    const char *const argv[] = {"bash", "-c", "printf three >&14; printf four$PWD >&15; kill -9 $$",
                                NULL};
    const int fds[] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 15, 14};
    struct child_options options = {
        .file = "bash", .argv = argv, .cwd = "/tmp", .fds = fds, .fds_count = ARRAY_LEN(fds)};
    EXPECT(child_start(t.loop, &options, child_killed, &t, &err) != NULL);
    loop_run(t.loop);
    char text[2][32] = {"", ""};
    EXPECT_INT(5, read(ends[1][0], text[1], sizeof text[1]));
    EXPECT_INT(8, read(ends[0][0], text[0], sizeof text[0]));
    EXPECT_STR("three", str_of(text[1]));
    EXPECT_STR("four/tmp", str_of(text[0]));
    options.file = "/nowhere/at/all";
    EXPECT(child_start(t.loop, &options, child_killed, &t, &err) == NULL);
    EXPECT_INT(ERR_NOT_FOUND, err.code);
    loop_free(t.loop);
}

static void readable(void *ctx, int events)
{
    EXPECT(events & IO_READ);
    mark(ctx, 'r');
    stop(ctx);
}

TEST(descriptors_wake_the_real_loop)
{
    struct trace t = {.loop = loop_new()};
    struct err err = {0};
    int fds[2];
    EXPECT_INT(0, pipe(fds));
    struct io *io = io_start(t.loop, fds[0], IO_READ, readable, &t, &err);
    EXPECT(io != NULL);
    EXPECT_INT(1, write(fds[1], "x", 1));
    loop_run(t.loop);
    io_stop(io);
    EXPECT_STR("r", str_of(t.text));
    (void)close(fds[0]);
    (void)close(fds[1]);
    loop_free(t.loop);
}

static void note_done(void *ctx)
{
    *(usec *)ctx = 1;
}

static void work_nothing(void *ctx)
{
    (void)ctx;
}

TEST(virtual_work_completes_late)
{
    struct loop *loop = loop_new_virtual(0);
    usec done = 0;
    loop_delay_work(loop, 300);
    loop_work(loop, work_nothing, note_done, &done);
    EXPECT_INT(0, done);
    loop_run(loop);
    EXPECT_INT(1, done);
    EXPECT_INT(300, loop_now(loop));
    loop_free(loop);
}
