// SPDX-License-Identifier: Apache-2.0
//
// The conmon runtime: its life, start, kill, remove and exits. Making a container is
// conmon_create.c, running commands in one conmon_exec.c.
//
// How an exit is noticed:
//   conmon writes exits/ID, renamed into place ──inotify──▶ settle (code from the file)
//   conmon is gone (its pidfd is readable) ── file there ─▶ settle
//                                          └─ no file ────▶ kill the container, 137, lost
#include "node/conmon.h"

#include "base/fd.h"
#include "base/mem.h"
#include "node/log_rotate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static const usec rotation_interval = 10 * USEC_PER_SEC; /* spec/node.md 6 */
static const usec monitor_grace = 2 * USEC_PER_SEC;      /* for conmon to end after a delete */
static const usec removal_poll = 2 * USEC_PER_MS;

enum { EXIT_CODE_LOST = 137 };

struct op *op_new(struct runtime_conmon *rt, struct str id, runtime_done_fn *done, void *ctx)
{
    struct op *op = xcalloc(1, sizeof *op);
    op->rt = rt;
    op->id = xasprintf(STR_FMT, STR_ARG(id));
    op->done = done;
    op->ctx = ctx;
    op->sync_fd = -1;
    op->start_fd = -1;
    list_add_tail(&rt->ops, &op->node);
    return op;
}

void op_free(struct op *op)
{
    list_remove(&op->node);
    timer_stop(&op->timer);
    command_cancel(op->command);
    if (op->conmon != NULL) {
        child_detach(op->conmon);
    }
    io_stop(op->sync_io);
    if (op->sync_fd >= 0) {
        (void)close(op->sync_fd);
    }
    if (op->start_fd >= 0) {
        (void)close(op->start_fd);
    }
    buf_done(&op->sync);
    container_free(op->container);
    free(op->process_file);
    free(op->pid_file);
    free(op->exec_text);
    free(op->id);
    free(op);
}

void op_finish(struct op *op)
{
    if (op->done != NULL) {
        op->done(op->ctx, op->err.code < 0 ? &op->err : NULL);
    }
    op_free(op);
}

static void on_finish_soon(void *ctx)
{
    op_finish(ctx);
}

void op_finish_soon(struct op *op)
{
    timer_start(op->rt->loop, &op->timer, 0, on_finish_soon, op);
}

bool op_call_oci(struct op *op, const char *const *args, command_done_fn *done)
{
    const struct oci_command *oci = &op->rt->command;
    const char *argv[12] = {oci->path, "--root", oci->root, "--cgroup-manager",
                            oci->cgroup_manager};
    for (size_t n = 5; n + 1 < ARRAY_LEN(argv) && *args != NULL; n++) {
        argv[n] = *args++;
    }
    const struct command_options options = {
        .argv = argv, .envp = oci->envp, .output_max = COMMAND_OUTPUT_MAX};
    op->command = command_start(op->rt->loop, &options, done, op, &op->err);
    return op->command != NULL;
}

void op_fail_oci(struct op *op, const char *verb, const struct command_result *result)
{
    struct str text = str_trim(result->output);
    if (text.n > 0) {
        (void)err_set(&op->err, ERR_IO, "%s container: " STR_FMT, verb, STR_ARG(text));
    } else {
        (void)err_set(&op->err, ERR_IO, "%s container: %s ended with %d", verb, op->rt->name,
                      result->code);
    }
}

static void tell(struct runtime_conmon *rt, const struct container *c)
{
    struct container_fact fact = container_fact(c);
    if (!c->is_removing && rt->base.exited != NULL) {
        rt->base.exited(rt->base.exited_ctx, &fact);
    }
}

/* Is the exit file there? Then the container is EXITED with its code and time. */
bool conmon_read_exit(const struct runtime_conmon *rt, struct container *c)
{
    auto_free char *path = xasprintf("%s/%s", rt->exits, c->id);
    auto_buf struct buf text;
    struct err err;
    struct stat st;
    int64_t code = 0;
    buf_init(&text, 64);
    if (file_read(AT_FDCWD, path, &text, &err) < 0 || stat(path, &st) < 0 ||
        str_to_i64(str_trim(buf_str(&text)), &code) < 0) {
        return false;
    }
    c->state = CONTAINER_EXITED;
    c->exit_code = code < 0 || code > 255 ? 255 : (int)code;
    c->finished_wall = (usec)st.st_mtim.tv_sec * USEC_PER_SEC + st.st_mtim.tv_nsec / 1000;
    c->is_oom = c->is_oom || container_was_oom(c);
    return true;
}

/* The monitor is gone and left no code: the container would run on unwatched. */
void conmon_lose(struct runtime_conmon *rt, struct container *c)
{
    struct err err;
    (void)process_signal(c->pid_fd, SIGKILL, &err);
    c->is_oom = container_was_oom(c);
    c->state = CONTAINER_EXITED;
    c->exit_code = EXIT_CODE_LOST;
    c->is_lost = true;
    c->finished_wall = loop_wall(rt->loop);
    (void)container_save(c, &err); /* unsaved, the next brain comes to the same end */
}

/* Makes the exit news, unless a start of it is under way: its done comes first. */
static void settle(struct runtime_conmon *rt, struct container *c, bool may_be_lost)
{
    bool was_exited = c->state == CONTAINER_EXITED;
    if (was_exited) {
        return;
    }
    if (!conmon_read_exit(rt, c)) {
        if (!may_be_lost) {
            return;
        }
        conmon_lose(rt, c);
    }
    if (!c->is_starting) {
        tell(rt, c);
    }
}

static void on_conmon_gone(void *ctx, int events)
{
    struct container *c = ctx;
    (void)events;
    io_stop(c->conmon_io);
    c->conmon_io = NULL;
    settle(c->owner, c, true);
}

int conmon_watch(struct runtime_conmon *rt, struct container *c, struct err *err)
{
    c->conmon_io = io_start(rt->loop, c->conmon_fd, IO_READ, on_conmon_gone, c, err);
    return c->conmon_io == NULL ? err->code : 0;
}

static void on_exit_files(void *ctx, int events)
{
    struct runtime_conmon *rt = ctx;
    _Alignas(struct inotify_event) char chunk[8192];
    (void)events;
    ssize_t n;
    while ((n = read(rt->inotify_fd, chunk, sizeof chunk)) > 0) {
        for (char *p = chunk; p < chunk + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(void *)p;
            struct container *c = e->len == 0 ? NULL : map_find(&rt->containers, str_of(e->name));
            if (c != NULL) {
                settle(rt, c, false);
            }
            p += sizeof *e + e->len;
        }
    }
}

/* conmon's and our own files at the top of the bundle go; directories belong to whoever made them,
 * and while there are some the bundle stays. */
static void remove_bundle(const char *bundle)
{
    DIR *dir = opendir(bundle);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        (void)unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir != NULL) {
        (void)closedir(dir);
        (void)rmdir(bundle);
    }
}

void conmon_forget(struct runtime_conmon *rt, const char *id, const char *bundle)
{
    auto_free char *exit_file = xasprintf("%s/%s", rt->exits, id);
    auto_free char *link = xasprintf("%s/%s", rt->links, id);
    (void)unlink(exit_file);
    remove_bundle(bundle);
    (void)unlink(link);
}

static void finish_start(struct op *op)
{
    struct runtime_conmon *rt = op->rt;
    struct container *c = map_find(&rt->containers, str_of(op->id));
    if (c != NULL) {
        c->is_starting = false;
    }
    if (op->err.code == 0 && c != NULL && c->state == CONTAINER_CREATED) {
        c->state = CONTAINER_RUNNING;
    }
    bool has_exited = c != NULL && c->state == CONTAINER_EXITED;
    op_finish(op);
    if (has_exited) {
        tell(rt, c);
    }
}

static void on_started(void *ctx, const struct command_result *result)
{
    struct op *op = ctx;
    op->command = NULL;
    if (result->code != 0) {
        op_fail_oci(op, "start", result);
    }
    finish_start(op);
}

static void on_gate_open(void *ctx)
{
    finish_start(ctx);
}

/* A container that crun has made waits for a byte on a pipe beside its state; "crun start" is a
 * process of 8 ms that writes it. False: nothing was done, ask the runtime. */
static bool open_gate(const struct runtime_conmon *rt, const char *id)
{
    auto_free char *path = xasprintf("%s/%s/exec.fifo", rt->oci, id);
    auto_close int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (!str_eq(rt->base.name, S("crun")) || fd < 0 || fstat(fd, &st) < 0 ||
        !S_ISFIFO(st.st_mode) || write(fd, "", 1) != 1) {
        return false;
    }
    (void)unlink(path); /* its absence is what crun calls running */
    return true;
}

static void conmon_start(struct runtime *base, struct str id, runtime_done_fn *done, void *ctx)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    struct op *op = op_new(rt, id, done, ctx);
    struct container *c = map_find(&rt->containers, id);
    if (c == NULL || c->state != CONTAINER_CREATED) {
        (void)err_set(&op->err, c == NULL ? ERR_NOT_FOUND : ERR_CONFLICT,
                      "container %s is not waiting to be started", op->id);
        op_finish_soon(op);
        return;
    }
    c->started_wall = loop_wall(rt->loop);
    if (container_save(c, &op->err) < 0) {
        op_finish_soon(op);
        return;
    }
    c->is_starting = true;
    if (open_gate(rt, op->id)) {
        timer_start(rt->loop, &op->timer, 0, on_gate_open, op);
    } else if (!op_call_oci(op, (const char *const[]){"start", op->id, NULL}, on_started)) {
        c->is_starting = false;
        op_finish_soon(op);
    }
}

static void conmon_kill(struct runtime *base, struct str id, int signal, runtime_done_fn *done,
                        void *ctx)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    struct op *op = op_new(rt, id, done, ctx);
    struct container *c = map_find(&rt->containers, id);
    if (c != NULL && c->state != CONTAINER_EXITED) {
        (void)process_signal(c->pid_fd, signal, &op->err);
    }
    op_finish_soon(op);
}

/* The monitor's last act is the exit file; it must not come after the files are swept. */
static void finish_removal(void *ctx)
{
    struct op *op = ctx;
    struct runtime_conmon *rt = op->rt;
    struct container *c = map_find(&rt->containers, str_of(op->id));
    if (c != NULL && c->conmon_io != NULL && op->rounds < monitor_grace / removal_poll) {
        op->rounds++;
        timer_start(rt->loop, &op->timer, removal_poll, finish_removal, op);
        return;
    }
    if (c != NULL) {
        struct err err;
        io_stop(c->conmon_io);
        (void)process_signal(c->conmon_fd, SIGKILL, &err);
        conmon_forget(rt, c->id, c->bundle);
        (void)map_remove(&rt->containers, str_of(op->id));
        container_free(c);
    }
    op_finish(op);
}

static void on_deleted(void *ctx, const struct command_result *result)
{
    struct op *op = ctx;
    struct container *c = map_find(&op->rt->containers, str_of(op->id));
    auto_free char *state = xasprintf("%s/%s", op->rt->oci, op->id);
    op->command = NULL;
    if (result->code != 0 && access(state, F_OK) == 0) {
        op_fail_oci(op, "delete", result);
        if (c != NULL) {
            c->is_removing = false;
        }
        op_finish(op);
        return;
    }
    finish_removal(op);
}

/* A second remove of the same container waits for the first. */
static void wait_for_removal(void *ctx)
{
    struct op *op = ctx;
    const struct container *c = map_find(&op->rt->containers, str_of(op->id));
    if (c != NULL && c->is_removing) {
        timer_start(op->rt->loop, &op->timer, removal_poll, wait_for_removal, op);
        return;
    }
    op_finish(op);
}

static void conmon_remove(struct runtime *base, struct str id, runtime_done_fn *done, void *ctx)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    struct op *op = op_new(rt, id, done, ctx);
    struct container *c = map_find(&rt->containers, id);
    if (c == NULL || c->is_removing) {
        timer_start(rt->loop, &op->timer, 0, wait_for_removal, op);
        return;
    }
    c->is_removing = true;
    if (!op_call_oci(op, (const char *const[]){"delete", "-f", op->id, NULL}, on_deleted)) {
        c->is_removing = false;
        op_finish_soon(op);
    }
}

static void rotate_logs(void *ctx)
{
    struct runtime_conmon *rt = ctx;
    for (size_t i = 0; i < rt->containers.count; i++) {
        const struct container *c = rt->containers.entries[i].value;
        if (c->state == CONTAINER_RUNNING) {
            log_rotate(rt->loop, c->log_path, c->bundle, LOG_ROTATE_BYTES);
        }
    }
    timer_start(rt->loop, &rt->rotation, rotation_interval, rotate_logs, rt);
}

static void conmon_close(struct runtime *base)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    struct list *it;
    struct list *next;
    list_foreach (it, next, &rt->ops) {
        op_free(container_of(it, struct op, node));
    }
    timer_stop(&rt->rotation);
    conmon_stop_leading(rt);
    io_stop(rt->inotify_io);
    if (rt->inotify_fd >= 0) {
        (void)close(rt->inotify_fd);
    }
    for (size_t i = 0; i < rt->containers.count; i++) {
        struct container *c = rt->containers.entries[i].value;
        io_stop(c->conmon_io);
        container_free(c);
    }
    map_done(&rt->containers, NULL);
    free(rt->state_dir);
    free(rt->oci);
    free(rt->exits);
    free(rt->links);
    free(rt->crun);
    free(rt->sealed);
    free(rt->path_var);
    free(rt->own_group);
    free(rt->conmon);
    free(rt->name);
    free(rt->version);
    free(rt);
}

static const struct runtime_ops conmon_ops = {
    .prepare = conmon_prepare,
    .create = conmon_create,
    .start = conmon_start,
    .kill = conmon_kill,
    .remove = conmon_remove,
    .exec = conmon_exec,
    .adopt = conmon_adopt,
    .close = conmon_close,
};

const struct oci_command *runtime_conmon_command(const struct runtime *rt)
{
    if (rt == NULL || rt->ops != &conmon_ops) {
        return NULL;
    }
    /* base is the first member. */
    return &((const struct runtime_conmon *)(const void *)rt)->command;
}

/* First line of "crun --version": "crun version 1.8.1". */
static int ask_version(struct runtime_conmon *rt, struct err *err)
{
    int ends[2];
    pid_t pid = -1;
    char text[256] = "";
    char *const argv[] = {rt->crun, (char[]){"--version"}, NULL};
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    int r = posix_spawn(&pid, rt->crun, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    ssize_t n = r == 0 ? read(ends[0], text, sizeof text - 1) : 0;
    (void)close(ends[0]);
    if (r != 0) {
        errno = r;
        return err_errno(err, "start '%s'", rt->crun);
    }
    (void)waitpid(pid, NULL, 0);
    struct str rest = {text, n < 0 ? 0 : (size_t)n};
    struct str words = str_cut(&rest, '\n');
    struct str name = str_cut(&words, ' ');
    (void)str_cut(&words, ' ');
    rt->name = xasprintf(STR_FMT, STR_ARG(name));
    rt->version = xasprintf(STR_FMT, STR_ARG(words));
    rt->base.name = str_of(rt->name);
    rt->base.version = str_of(rt->version);
    return 0;
}

static int find_programs(struct runtime_conmon *rt, struct err *err)
{
    rt->crun = program_find("crun");
    rt->conmon = program_find("conmon");
    if (rt->crun == NULL || rt->conmon == NULL) {
        return err_set(err, ERR_NOT_FOUND, "'%s' is not in PATH: install the package %s",
                       rt->crun == NULL ? "crun" : "conmon", rt->crun == NULL ? "crun" : "conmon");
    }
    return ask_version(rt, err);
}

static int open_state(struct runtime_conmon *rt, struct err *err)
{
    rt->oci = xasprintf("%s/oci", rt->state_dir);
    rt->exits = xasprintf("%s/exits", rt->state_dir);
    rt->links = xasprintf("%s/containers", rt->state_dir);
    if (dir_make_all(rt->oci, 0700, err) < 0 || dir_make_all(rt->exits, 0700, err) < 0 ||
        dir_make_all(rt->links, 0700, err) < 0) {
        return err->code;
    }
    rt->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (rt->inotify_fd < 0 || inotify_add_watch(rt->inotify_fd, rt->exits, IN_MOVED_TO) < 0) {
        return err_errno(err, "watch '%s'", rt->exits);
    }
    rt->inotify_io = io_start(rt->loop, rt->inotify_fd, IO_READ, on_exit_files, rt, err);
    return rt->inotify_io == NULL ? err->code : 0;
}

/* Against a container that writes over the program that made it (CVE-2019-5736) crun and runc start
 * themselves again from a copy or a read-only mount, each time: 2 ms. This is that mount, once. */
static bool seal_program(const char *program, const char *path)
{
    struct statvfs fs;
    (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW); /* an earlier brain's */
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || mount(program, path, NULL, MS_BIND, NULL) < 0) {
        return false;
    }
    /* In a user namespace what is locked must be repeated. */
    unsigned long kept =
        statvfs(path, &fs) < 0 ? 0 : fs.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC);
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, NULL) < 0) {
        (void)umount2(path, MNT_DETACH);
        return false;
    }
    return true;
}

static void set_command(struct runtime_conmon *rt, bool has_cgroups)
{
    const char *path = getenv("PATH");
    rt->path_var = xasprintf("PATH=%s", path == NULL ? "/usr/bin:/bin:/usr/sbin" : path);
    rt->envp[0] = rt->path_var;
    rt->sealed = xasprintf("%s/runtime", rt->state_dir);
    if (seal_program(rt->crun, rt->sealed)) {
        rt->envp[1] = "_LIBCONTAINER_CLONED_BINARY=1";
    } else {
        free(rt->sealed);
        free(rt->path_var);
        free(rt->own_group);
        rt->sealed = xstrdup(rt->crun);
    }
    rt->command = (struct oci_command){
        .path = rt->sealed,
        .envp = rt->envp,
        .root = rt->oci,
        .cgroup_manager = has_cgroups ? "cgroupfs" : "disabled",
    };
}

struct runtime *runtime_conmon_open(struct loop *loop, const struct runtime_conmon_config *config,
                                    struct err *err)
{
    struct runtime_conmon *rt = xcalloc(1, sizeof *rt);
    rt->base.ops = &conmon_ops;
    rt->loop = loop;
    rt->inotify_fd = -1;
    rt->state_dir = xstrdup(config->state_dir);
    list_init(&rt->ops);
    if (find_programs(rt, err) < 0 || open_state(rt, err) < 0) {
        conmon_close(&rt->base);
        return NULL;
    }
    set_command(rt, config->has_cgroups);
    if (config->cgroup != NULL && access("/sys/fs/cgroup/pids/cgroup.procs", W_OK) == 0) {
        rt->own_group = xasprintf("/sys/fs/cgroup/pids%s/node", config->cgroup);
    }
    timer_start(loop, &rt->rotation, rotation_interval, rotate_logs, rt);
    return &rt->base;
}
