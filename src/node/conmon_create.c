// SPDX-License-Identifier: Apache-2.0
//
// Making a container: bundle, conmon, the OCI runtime's create (spec/node.md 12.1 and 14.3).
//
//   conmon_prepare ──▶ conmon loads ── no create within 10 s, or it ends: forget
//                          │
//   conmon_create ──(else starts one)──▶ start byte ──sync line + first process gone──▶ CREATED
//        │                                   │
//        └── error ◀─────────────────────────┴─ -1, an early end, too late: delete, forget, error
//
// conmon answers on a pipe; its first process ends as soon as the real one is a daemon and its pid
// file is written, so both are waited for.
#include "node/conmon.h"

#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const usec create_timeout = 60 * USEC_PER_SEC; /* disks stall; crun itself takes 10 ms */

static const usec prepare_timeout = 10 * USEC_PER_SEC;
static const usec lead_interval = 3 * USEC_PER_MS;
static const usec lead_span = 40 * USEC_PER_MS;

enum { SYNC_LINE_MAX = 64 << 10, CONMON_ARGS_MAX = 48 };

static void on_cleaned(void *ctx, const struct command_result *result)
{
    struct op *op = ctx;
    (void)result; /* the error that counts is the first one */
    op->command = NULL;
    conmon_forget(op->rt, op->id, op->container->bundle);
    container_free(op->container);
    op->container = NULL;
    op_finish(op);
}

/* op->err is set: takes back what the OCI runtime may have made. */
static void fail(struct op *op)
{
    struct err keep = op->err;
    timer_stop(&op->timer);
    io_stop(op->sync_io);
    op->sync_io = NULL;
    if (op->conmon != NULL && op->start_fd >= 0) {
        child_kill(op->conmon, SIGKILL); /* the end of the pipe would be its byte */
    }
    if (!op_call_oci(op, (const char *const[]){"delete", "-f", op->id, NULL}, on_cleaned)) {
        op->err = keep;
        conmon_forget(op->rt, op->id, op->container->bundle);
        op_finish_soon(op);
        return;
    }
    op->err = keep;
}

static void complete(struct op *op)
{
    struct container *c = op->container;
    if (op->pid == 0 || !op->is_conmon_daemon) {
        return;
    }
    timer_stop(&op->timer);
    io_stop(op->sync_io);
    op->sync_io = NULL;
    if (container_attach_processes(c, op->pid, pid_file_read(c->bundle, "conmon.pid"), &op->err) <
            0 ||
        container_save(c, &op->err) < 0 || conmon_watch(op->rt, c, &op->err) < 0) {
        fail(op);
        return;
    }
    (void)map_put(&op->rt->containers, str_of(c->id), c);
    op->container = NULL;
    op_finish(op);
}

static void read_sync_line(struct op *op)
{
    auto_arena struct arena *arena = arena_new((size_t)SYNC_LINE_MAX * 8);
    struct str rest = buf_str(&op->sync);
    struct val v;
    struct err syntax;
    if (json_read(str_trim(str_cut(&rest, '\n')), arena, NULL, &v, &syntax) < 0) {
        (void)err_set(&op->err, ERR_IO, "container monitor answered with %s", syntax.msg);
        fail(op);
        return;
    }
    int64_t pid = val_number_at(&v, "data", -1);
    if (pid <= 0 || pid > INT32_MAX) {
        (void)runtime_conmon_exec_error(&op->err, str_trim(val_text_at(&v, "message")));
        fail(op);
        return;
    }
    op->pid = (pid_t)pid;
    complete(op);
}

/* A prepared monitor that nobody asks for, or that ended: a create starts its own. */
static void drop_prepared(void *ctx)
{
    struct op *op = ctx;
    if (op->conmon != NULL) {
        child_kill(op->conmon, SIGKILL);
    }
    conmon_forget(op->rt, op->id, op->container->bundle);
    op_free(op);
}

static void on_sync(void *ctx, int events)
{
    struct op *op = ctx;
    char chunk[4096];
    (void)events;
    if (op->is_prepared) {
        drop_prepared(op);
        return;
    }
    ssize_t n = read(op->sync_fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0) {
        (void)buf_add(&op->sync, (struct str){chunk, (size_t)n});
    }
    if (str_find(buf_str(&op->sync), '\n') >= 0) {
        io_stop(op->sync_io);
        op->sync_io = NULL;
        read_sync_line(op);
    } else if (n <= 0) {
        (void)err_set(&op->err, ERR_IO, "container monitor ended without an answer (see '%s/%s')",
                      op->container->bundle, "conmon.log");
        fail(op);
    }
}

static void on_conmon_forked(void *ctx, int code, int signal)
{
    struct op *op = ctx;
    op->conmon = NULL;
    op->is_conmon_daemon = code == 0 && signal == 0;
    if (op->err.code == 0 && !op->is_prepared) {
        complete(op); /* a failure shows on the sync pipe, with its words */
    }
}

static void on_create_timeout(void *ctx)
{
    struct op *op = ctx;
    (void)err_set(&op->err, ERR_TIMEOUT, "container was not created within %d s",
                  (int)(create_timeout / USEC_PER_SEC));
    fail(op);
}

static size_t conmon_args(const struct op *op, const struct container_config *config,
                          const char *log, const char **argv)
{
    const struct runtime_conmon *rt = op->rt;
    const struct container *c = op->container;
    const char *const fixed[] = {rt->conmon,
                                 "--api-version",
                                 "1",
                                 "-c",
                                 c->id,
                                 "-u",
                                 c->id,
                                 "-n",
                                 c->id,
                                 "-r",
                                 rt->sealed,
                                 "--runtime-arg",
                                 "--root",
                                 "--runtime-arg",
                                 rt->oci,
                                 "--runtime-arg",
                                 "--cgroup-manager",
                                 "--runtime-arg",
                                 rt->command.cgroup_manager,
                                 "-b",
                                 c->bundle,
                                 "-p",
                                 "init.pid",
                                 "-P",
                                 "conmon.pid",
                                 "--exit-dir",
                                 rt->exits,
                                 "--full-attach",
                                 "-l",
                                 log,
                                 "--log-level",
                                 "error",
                                 "--no-new-keyring"};
    size_t n = 0;
    for (; n < ARRAY_LEN(fixed); n++) {
        argv[n] = fixed[n];
    }
    if (config->has_stdin) {
        argv[n++] = "-i";
        if (!config->is_stdin_once) {
            argv[n++] = "--leave-stdin-open";
        }
    }
    if (config->has_tty) {
        argv[n++] = "-t";
    }
    argv[n] = NULL;
    return n;
}

static int spawn_conmon(struct op *op, const struct container_config *config, const int *sync,
                        const int *start, struct err *err)
{
    const char *argv[CONMON_ARGS_MAX];
    auto_free char *log = xasprintf("k8s-file:%s", op->container->log_path);
    auto_free char *log_file = xasprintf("%s/conmon.log", op->container->bundle);
    (void)conmon_args(op, config, log, argv);
    const char *const envp[] = {"TZ=UTC",        "_OCI_SYNCPIPE=3", "_OCI_STARTPIPE=4",
                                op->rt->envp[0], op->rt->envp[1],   NULL};
    auto_close int out = open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int fds[] = {-1, out, out, sync[1], start[0]};
    const struct child_options child = {.file = op->rt->conmon,
                                        .argv = argv,
                                        .envp = envp,
                                        .cwd = op->container->bundle,
                                        .fds = fds,
                                        .fds_count = ARRAY_LEN(fds)};
    op->conmon = child_start(op->rt->loop, &child, on_conmon_forked, op, err);
    return op->conmon == NULL ? err->code : 0;
}

static int start_conmon(struct op *op, const struct container_config *config, struct err *err)
{
    int sync[2];
    int start[2];
    if (pipe2(sync, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    if (pipe2(start, O_CLOEXEC) < 0) {
        int r = err_errno(err, "pipe");
        (void)close(sync[0]);
        (void)close(sync[1]);
        return r;
    }
    op->sync_fd = sync[0];
    op->start_fd = start[1];
    (void)fd_set_nonblock(op->sync_fd);
    int r = spawn_conmon(op, config, sync, start, err);
    (void)close(sync[1]);
    (void)close(start[0]);
    if (r == 0) {
        op->sync_io = io_start(op->rt->loop, op->sync_fd, IO_READ, on_sync, op, err);
        r = op->sync_io == NULL ? err->code : 0;
    }
    return r;
}

/* All that needs no specification: conmon, up to where it waits for the start byte. */
static int launch(struct op *op, const struct container_config *config, struct err *err)
{
    op->container = container_new(op->rt, config->id, config->bundle, config->log_path);
    buf_init(&op->sync, SYNC_LINE_MAX);
    auto_free char *link = xasprintf("%s/%s", op->rt->links, op->id);
    int r = dir_make_all(op->container->bundle, 0700, err);
    if (r == 0 && symlink(op->container->bundle, link) < 0 && errno != EEXIST) {
        r = err_errno(err, "link '%s'", link);
    }
    return r < 0 ? r : start_conmon(op, config, err);
}

static int write_bundle(const struct op *op, const struct val *oci, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, SPEC_BYTES_MAX);
    auto_free char *spec = xasprintf("%s/config.json", op->container->bundle);
    if (json_write(&text, oci) < 0) {
        return err_set(err, ERR_LIMIT, "the container's specification is over %d bytes",
                       SPEC_BYTES_MAX);
    }
    return file_write_atomic(AT_FDCWD, spec, buf_str(&text), 0600, err);
}

/* A process changes its cgroup only after a grace period of the kernel's RCU (7 ms on an idle
 * machine, 17 on a busy one); for as long again after it, others change theirs at once. crun's move
 * of a container would wait for that; a move of ours that leads nowhere, begun while network and
 * monitor are being made and repeated while a create is to be expected, has waited already. The
 * first one of all does move us. */
struct leader {
    struct runtime_conmon *rt; /* NULL: closed meanwhile */
    char *group;
};

static void move_ourselves(void *ctx)
{
    const struct leader *leader = ctx;
    auto_free char *procs = xasprintf("%s/cgroup.procs", leader->group);
    struct err err;
    if (dir_make_all(leader->group, 0755, &err) < 0 ||
        file_put(AT_FDCWD, procs, S("0"), &err) < 0) {
        return; /* crun waits, as it would have */
    }
}

static void lead(void *ctx);

static void on_moved(void *ctx)
{
    struct leader *leader = ctx;
    struct runtime_conmon *rt = leader->rt;
    free(leader->group);
    free(leader);
    if (rt != NULL) {
        rt->leader = NULL;
        timer_start(rt->loop, &rt->lead_timer, lead_interval, lead, rt);
    }
}

static void lead(void *ctx)
{
    struct runtime_conmon *rt = ctx;
    if (rt->own_group != NULL && rt->leader == NULL && loop_now(rt->loop) < rt->lead_until) {
        rt->leader = xcalloc(1, sizeof *rt->leader);
        *rt->leader = (struct leader){.rt = rt, .group = xstrdup(rt->own_group)};
        loop_work(rt->loop, move_ourselves, on_moved, rt->leader);
    }
}

static void expect_create(struct runtime_conmon *rt)
{
    rt->lead_until = loop_now(rt->loop) + lead_span;
    lead(rt);
}

void conmon_stop_leading(struct runtime_conmon *rt)
{
    timer_stop(&rt->lead_timer);
    if (rt->leader != NULL) {
        rt->leader->rt = NULL;
    }
}

static struct op *find_prepared(const struct runtime_conmon *rt, struct str id)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &rt->ops) {
        struct op *op = container_of(it, struct op, node);
        if (op->is_prepared && str_eq(str_of(op->id), id)) {
            return op;
        }
    }
    return NULL;
}

void conmon_prepare(struct runtime *base, const struct container_config *config)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    if (map_find(&rt->containers, config->id) != NULL || find_prepared(rt, config->id) != NULL) {
        return;
    }
    expect_create(rt);
    struct op *op = op_new(rt, config->id, NULL, NULL);
    op->is_prepared = true;
    if (launch(op, config, &op->err) < 0) {
        drop_prepared(op);
        return;
    }
    timer_start(rt->loop, &op->timer, prepare_timeout, drop_prepared, op);
}

void conmon_create(struct runtime *base, const struct container_config *config,
                   runtime_done_fn *done, void *ctx)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    struct op *op = find_prepared(rt, config->id);
    bool is_launched = op != NULL;
    if (op == NULL) {
        op = op_new(rt, config->id, NULL, NULL);
    }
    expect_create(rt);
    op->is_prepared = false;
    op->done = done;
    op->ctx = ctx;
    if (map_find(&rt->containers, config->id) != NULL) {
        (void)err_set(&op->err, ERR_EXISTS, "container " STR_FMT " exists", STR_ARG(config->id));
        op_finish_soon(op);
        return;
    }
    if ((!is_launched && launch(op, config, &op->err) < 0) ||
        write_bundle(op, config->oci, &op->err) < 0 ||
        fd_write_all(op->start_fd, S("x"), &op->err) < 0) {
        fail(op);
        return;
    }
    (void)close(take_fd(&op->start_fd));
    timer_start(rt->loop, &op->timer, create_timeout, on_create_timeout, op);
}
