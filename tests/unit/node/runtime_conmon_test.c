// SPDX-License-Identifier: Apache-2.0
#include "sandbox.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/runtime_conmon.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char spec_text[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\",\"-c\",\"exit 0\"],\"cwd\":\"/\","
    "\"env\":[\"PATH=/bin\",\"WHO=container\"],\"user\":{\"uid\":0,\"gid\":0},\"terminal\":false},"
    "\"root\":{\"path\":\"/run/rootfs\"},\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\","
    "\"source\":\"proc\"},{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\"}],"
    "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"}]}}";

struct world {
    struct loop *loop;
    struct runtime *rt;
    struct arena *arena;
    bool is_done;
    bool has_exited;
    int done_code;
    char done_text[512];
    int exit_code;
    bool is_lost;
    bool is_oom;
    int exec_code;
    char exec_text[512];
    int adopted;
    enum container_state adopted_state;
};

static void on_exited(void *ctx, const struct container_fact *fact)
{
    struct world *w = ctx;
    w->has_exited = true;
    w->exit_code = fact->exit_code;
    w->is_lost = fact->is_lost;
    w->is_oom = fact->is_oom;
    CHECK_INT(CONTAINER_EXITED, fact->state);
    CHECK(fact->finished_wall > 0);
}

static void on_done(void *ctx, const struct err *err)
{
    struct world *w = ctx;
    w->is_done = true;
    w->done_code = err == NULL ? 0 : err->code;
    (void)snprintf(w->done_text, sizeof w->done_text, "%.400s", err == NULL ? "" : err->msg);
}

static void on_exec(void *ctx, int code, struct str output, const struct err *err)
{
    struct world *w = ctx;
    w->is_done = true;
    w->exec_code = code;
    w->done_code = err == NULL ? 0 : err->code;
    (void)snprintf(w->exec_text, sizeof w->exec_text, STR_FMT, STR_ARG(output));
    (void)snprintf(w->done_text, sizeof w->done_text, "%.400s", err == NULL ? "" : err->msg);
}

static void on_fact(void *ctx, const struct container_fact *fact)
{
    struct world *w = ctx;
    w->adopted++;
    w->adopted_state = fact->state;
    w->exit_code = fact->exit_code;
    w->is_lost = fact->is_lost;
}

static void world_open(struct world *w)
{
    struct err err;
    const struct runtime_conmon_config config = {.state_dir = "/run/coracle", .has_cgroups = true};
    w->rt = runtime_conmon_open(w->loop, &config, &err);
    if (w->rt == NULL) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(1);
    }
    w->rt->exited = on_exited;
    w->rt->exited_ctx = w;
}

static struct world world_new(void)
{
    struct world w = {.loop = loop_new(), .arena = arena_new(REQUEST_ARENA_MAX)};
    sandbox_rootfs("/run/rootfs");
    return w;
}

static void world_done(struct world *w)
{
    w->rt->ops->close(w->rt);
    loop_free(w->loop);
    arena_free(w->arena);
}

static void settle(struct world *w)
{
    sandbox_wait(w->loop, &w->is_done);
    w->is_done = false;
}

static struct val spec_of(struct world *w, const char *script)
{
    struct val spec;
    struct err err;
    CHECK_OK(json_read(str_of(spec_text), w->arena, NULL, &spec, &err));
    *val_slot_path(&spec, "process.args.2") = val_str(str_of(script));
    return spec;
}

static struct container_config config_of(struct world *w, const char *id, const struct val *spec)
{
    struct err err;
    CHECK_OK(dir_make_all("/run/logs", 0755, &err));
    return (struct container_config){.id = str_of(id),
                                     .bundle = arena_fmt(w->arena, "/run/coracle/bundles/%s", id),
                                     .rootfs = S("/run/rootfs"),
                                     .oci = spec,
                                     .log_path = arena_fmt(w->arena, "/run/logs/%s.log", id)};
}

static void create(struct world *w, const char *id, const struct val *spec)
{
    const struct container_config config = config_of(w, id, spec);
    w->has_exited = false;
    w->rt->ops->create(w->rt, &config, on_done, w);
    settle(w);
}

static void start(struct world *w, const char *id, const char *script)
{
    struct val spec = spec_of(w, script);
    create(w, id, &spec);
    CHECK_STR("", str_of(w->done_text));
    w->rt->ops->start(w->rt, str_of(id), on_done, w);
    settle(w);
    CHECK_STR("", str_of(w->done_text));
}

static void remove_container(struct world *w, const char *id)
{
    char path[200];
    w->rt->ops->remove(w->rt, str_of(id), on_done, w);
    settle(w);
    CHECK_STR("", str_of(w->done_text));
    static const char *const traces[] = {"bundles", "oci", "exits", "containers"};
    for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
        (void)snprintf(path, sizeof path, "/run/coracle/%s/%s", traces[i], id);
        CHECK(access(path, F_OK) < 0);
    }
}

static void exec(struct world *w, const char *id, const char *json, usec timeout)
{
    struct val argv;
    struct err err;
    CHECK_OK(json_read(str_of(json), w->arena, NULL, &argv, &err));
    w->rt->ops->exec(w->rt, str_of(id), &argv, timeout, on_exec, w);
    settle(w);
}

static void run_life(void)
{
    struct world w = world_new();
    struct err err;
    world_open(&w);
    CHECK_STR("crun", w.rt->name);
    start(&w, "life", "echo out $WHO; echo bad >&2; exit 3");
    sandbox_wait(w.loop, &w.has_exited);
    CHECK_INT(3, w.exit_code);
    CHECK(!w.is_lost && !w.is_oom);
    auto_buf struct buf log;
    buf_init(&log, 4096);
    CHECK_OK(file_read(AT_FDCWD, "/run/logs/life.log", &log, &err));
    CHECK(str_search(buf_str(&log), S("+00:00 stdout F out container\n")) > 0);
    CHECK(str_search(buf_str(&log), S("+00:00 stderr F bad\n")) > 0);
    remove_container(&w, "life");
    remove_container(&w, "life"); /* absent is fine */
    world_done(&w);
}

TEST(a_container_runs_logs_exits_and_leaves_nothing)
{
    sandbox_run(run_life);
}

/* The one process of this name in the sandbox; 0 = none. */
static pid_t process_named(const char *name)
{
    DIR *proc = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *e = readdir(proc); e != NULL; e = readdir(proc)) {
        auto_free char *path = xasprintf("/proc/%s/comm", e->d_name);
        auto_buf struct buf text;
        struct err err;
        buf_init(&text, 64);
        if (file_read(AT_FDCWD, path, &text, &err) == 0 &&
            str_eq(str_trim(buf_str(&text)), str_of(name))) {
            CHECK_INT(0, found);
            found = (pid_t)strtol(e->d_name, NULL, 10);
        }
    }
    (void)closedir(proc);
    return found;
}

static void turn(struct world *w)
{
    w->rt->ops->remove(w->rt, S("absent"), on_done, w);
    settle(w);
}

/* A process has its name a moment after it has been started. */
static pid_t wait_for_conmon(struct world *w)
{
    pid_t pid;
    while ((pid = process_named("conmon")) == 0) {
        turn(w);
    }
    return pid;
}

static void run_prepare(void)
{
    struct world w = world_new();
    world_open(&w);
    struct val spec = spec_of(&w, "exit 4");
    const struct container_config config = config_of(&w, "first", &spec);
    w.rt->ops->prepare(w.rt, &config);
    w.rt->ops->prepare(w.rt, &config); /* twice is once */
    pid_t prepared = wait_for_conmon(&w);
    start(&w, "first", "exit 4");
    CHECK(kill(prepared, 0) < 0); /* its first process has ended, its second is the monitor */
    sandbox_wait(w.loop, &w.has_exited);
    CHECK_INT(4, w.exit_code);
    remove_container(&w, "first");
    while (process_named("conmon") != 0) { /* it ends by itself, a little later */
        turn(&w);
    }

    const struct container_config second = config_of(&w, "second", &spec);
    w.rt->ops->prepare(w.rt, &second);
    CHECK_INT(0, kill(wait_for_conmon(&w), SIGKILL));
    while (process_named("conmon") != 0) {
        turn(&w);
    }
    start(&w, "second", "exit 5");
    sandbox_wait(w.loop, &w.has_exited);
    CHECK_INT(5, w.exit_code);
    remove_container(&w, "second");
    world_done(&w);
}

TEST(a_prepared_monitor_makes_the_container_and_a_dead_one_does_no_harm)
{
    sandbox_run(run_prepare);
}

static void run_kill_exec(void)
{
    struct world w = world_new();
    world_open(&w);
    start(&w, "long", "trap 'exit 9' TERM; while :; do sleep 0.05; done");
    exec(&w, "long", "[\"sh\",\"-c\",\"echo hi $WHO; exit 7\"]", 5 * USEC_PER_SEC);
    CHECK_STR("", str_of(w.done_text));
    CHECK_INT(7, w.exec_code);
    CHECK_STR("hi container\n", str_of(w.exec_text));
    exec(&w, "long", "[\"nosuch\"]", 5 * USEC_PER_SEC);
    CHECK_INT(ERR_NOT_FOUND, w.done_code);
    exec(&w, "long", "[\"/etc\"]", 5 * USEC_PER_SEC);
    CHECK_INT(ERR_DENIED, w.done_code);
    exec(&w, "long", "[\"sleep\",\"100\"]", 200 * USEC_PER_MS);
    CHECK_INT(ERR_TIMEOUT, w.done_code);
    CHECK_STR("command timed out: \"sleep 100\" timed out after 200ms", str_of(w.done_text));
    exec(&w, "long", "[\"sh\",\"-c\",\"yes | head -c 100000\"]", 5 * USEC_PER_SEC);
    CHECK_INT(0, w.exec_code);
    w.rt->ops->kill(w.rt, S("long"), SIGTERM, on_done, &w);
    settle(&w);
    sandbox_wait(w.loop, &w.has_exited);
    CHECK_INT(9, w.exit_code);
    exec(&w, "long", "[\"true\"]", USEC_PER_SEC);
    CHECK_INT(ERR_NOT_FOUND, w.done_code);
    w.rt->ops->kill(w.rt, S("long"), SIGKILL, on_done, &w); /* gone is fine */
    settle(&w);
    CHECK_INT(0, w.done_code);
    remove_container(&w, "long");
    world_done(&w);
}

TEST(a_container_takes_signals_and_commands)
{
    sandbox_run(run_kill_exec);
}

static void run_refusals(void)
{
    struct world w = world_new();
    world_open(&w);
    struct val spec = spec_of(&w, "");
    *val_slot_path(&spec, "process.args.0") = val_str(S("/no/such"));
    create(&w, "bad", &spec);
    CHECK_INT(ERR_NOT_FOUND, w.done_code);
    CHECK(access("/run/coracle/bundles/bad", F_OK) < 0);
    CHECK(access("/run/coracle/containers/bad", F_OK) < 0);
    w.rt->ops->start(w.rt, S("bad"), on_done, &w);
    settle(&w);
    CHECK_INT(ERR_NOT_FOUND, w.done_code);
    spec = spec_of(&w, "exit 0");
    create(&w, "made", &spec);
    CHECK_STR("", str_of(w.done_text));
    create(&w, "made", &spec);
    CHECK_INT(ERR_EXISTS, w.done_code);
    remove_container(&w, "made"); /* never started */
    CHECK(!w.has_exited);
    world_done(&w);
}

TEST(what_cannot_run_is_refused_and_swept)
{
    sandbox_run(run_refusals);
}

static pid_t pid_in(const char *path)
{
    auto_buf struct buf text;
    struct err err;
    uint64_t pid = 0;
    buf_init(&text, 64);
    CHECK_OK(file_read(AT_FDCWD, path, &text, &err));
    CHECK(str_to_u64(str_trim(buf_str(&text)), &pid) == 0);
    return (pid_t)pid;
}

static void run_lost(void)
{
    struct world w = world_new();
    world_open(&w);
    start(&w, "lost", "while :; do sleep 1; done");
    pid_t init = pid_in("/run/coracle/bundles/lost/init.pid");
    CHECK(kill(pid_in("/run/coracle/bundles/lost/conmon.pid"), SIGKILL) == 0);
    sandbox_wait(w.loop, &w.has_exited);
    CHECK_INT(137, w.exit_code);
    CHECK(w.is_lost);
    sandbox_pause(w.loop, 50);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)init);
    CHECK(access(path, F_OK) < 0); /* dead; a zombie of this pid namespace at most */
    remove_container(&w, "lost");
    world_done(&w);
}

TEST(a_container_whose_monitor_dies_is_killed_and_lost)
{
    sandbox_run(run_lost);
}

static void adopt(struct world *w)
{
    w->adopted = 0;
    w->rt->ops->adopt(w->rt, on_fact, on_done, w);
    settle(w);
    CHECK_STR("", str_of(w->done_text));
}

static void run_adopt(void)
{
    struct world w = world_new();
    struct err err;
    world_open(&w);
    adopt(&w);
    CHECK_INT(0, w.adopted);
    start(&w, "a", "while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 5");
    w.rt->ops->close(w.rt);
    world_open(&w);
    adopt(&w);
    CHECK_INT(1, w.adopted);
    CHECK_INT(CONTAINER_RUNNING, w.adopted_state);
    exec(&w, "a", "[\"touch\",\"/tmp/go\"]", 5 * USEC_PER_SEC);
    sandbox_wait(w.loop, &w.has_exited);
    CHECK_INT(5, w.exit_code);
    remove_container(&w, "a");
    /* An exit while nobody looks, and a create that was cut short. */
    start(&w, "b", "exit 6");
    w.rt->ops->close(w.rt);
    sandbox_pause(w.loop, 200);
    CHECK_OK(dir_make_all("/run/coracle/bundles/c", 0700, &err));
    CHECK(symlink("/run/coracle/bundles/c", "/run/coracle/containers/c") == 0);
    w.exit_code = -1;
    world_open(&w);
    adopt(&w);
    CHECK_INT(1, w.adopted);
    CHECK_INT(CONTAINER_EXITED, w.adopted_state);
    CHECK_INT(6, w.exit_code);
    remove_container(&w, "b");
    sandbox_pause(w.loop, 100);
    CHECK(access("/run/coracle/containers/c", F_OK) < 0);
    world_done(&w);
}

TEST(the_next_brain_adopts_containers)
{
    sandbox_run(run_adopt);
}

static void run_oom(void)
{
    struct world w = world_new();
    world_open(&w);
    if (access("/sys/fs/cgroup/memory/memory.limit_in_bytes", W_OK) < 0) {
        fprintf(stderr, "memory limits can't be tested here\n");
        world_done(&w);
        return;
    }
    struct val spec = spec_of(&w, "x=0123456789abcdef; while :; do x=$x$x; done");
    (void)val_set_path(w.arena, &spec, "linux.resources.memory.limit", val_int(16 << 20));
    create(&w, "oom", &spec);
    CHECK_STR("", str_of(w.done_text));
    w.rt->ops->start(w.rt, S("oom"), on_done, &w);
    settle(&w);
    sandbox_wait(w.loop, &w.has_exited);
    CHECK_INT(137, w.exit_code);
    CHECK(w.is_oom);
    remove_container(&w, "oom");
    world_done(&w);
}

TEST(a_container_over_its_memory_limit_is_oom_killed)
{
    sandbox_run(run_oom);
}

static void run_speed(void)
{
    struct world w = world_new();
    world_open(&w);
    const struct clock *clock = clock_system();
    usec total = 0;
    for (int i = 0; i < 20; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "speed%d", i);
        struct val spec = spec_of(&w, "exit 0");
        usec begin = clock->mono(clock->ctx);
        create(&w, id, &spec);
        w.rt->ops->start(w.rt, str_of(id), on_done, &w);
        settle(&w);
        total += clock->mono(clock->ctx) - begin;
        sandbox_wait(w.loop, &w.has_exited);
        remove_container(&w, id);
    }
    fprintf(stderr, "create and start: %.1f ms\n", (double)total / 20 / 1000.0);
    world_done(&w);
}

TEST(twenty_containers_one_after_the_other)
{
    sandbox_run(run_speed);
}
