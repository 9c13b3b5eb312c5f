// SPDX-License-Identifier: Apache-2.0
//
// How containers end: preStop hook, stop signal, SIGKILL when the grace is over; what an exit
// leaves behind (termination message, back-off), and the removal of dead instances
// (spec/node.md 1.4, 1.7, 1.8).
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/pod.h"
#include "node/probe.h"
#include "node/volume.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MESSAGE_BYTES_MAX = 4096,
    FALLBACK_BYTES_MAX = 2048,
    FALLBACK_LINES_MAX = 80,
    BACKOFF_RESET_SECONDS = 600,
};

struct stop_op {
    struct pod *pod;
    size_t index;
    int attempt;
    bool is_discard;
    bool is_take_back;
    char *dir; /* of the root file system that is taken away */
    struct err err;
};

static struct stop_op *op_new(struct pod *pod, size_t index, int attempt)
{
    struct stop_op *op = xcalloc(1, sizeof *op);
    op->pod = pod_ref(pod);
    op->index = index;
    op->attempt = attempt;
    return op;
}

static void op_free(struct stop_op *op)
{
    pod_unref(op->pod);
    free(op->dir);
    free(op);
}

/* --- stopping --- */

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"SIGTERM",  SIGTERM },
    {"SIGINT",   SIGINT  },
    {"SIGQUIT",  SIGQUIT },
    {"SIGHUP",   SIGHUP  },
    {"SIGKILL",  SIGKILL },
    {"SIGUSR1",  SIGUSR1 },
    {"SIGUSR2",  SIGUSR2 },
    {"SIGWINCH", SIGWINCH},
    {"SIGABRT",  SIGABRT },
    {"SIGALRM",  SIGALRM },
    {"SIGPWR",   SIGPWR  },
    {"SIGSTOP",  SIGSTOP },
};

static int signal_number(struct str name)
{
    uint64_t number = 0;
    if (str_to_u64(name, &number) == 0 && number > 0 && number < 65) {
        return (int)number;
    }
    int64_t real_time = 0;
    if (str_starts(name, S("SIGRTMIN+")) && str_to_i64(str_sub(name, 9, name.n), &real_time) == 0 &&
        real_time <= 30) {
        return SIGRTMIN + (int)real_time;
    }
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct str full = str_of(signals[i].name);
        if (str_eq(name, full) || str_eq(name, str_sub(full, 3, full.n))) {
            return signals[i].number;
        }
    }
    return 0;
}

static int stop_signal(const struct pod *pod, const struct slot *slot)
{
    int number = signal_number(val_text_at(slot->spec, "lifecycle.stopSignal"));
    if (number == 0 && pod->node->config.images) {
        struct str ref = val_text(val_get(slot->spec, S("image")));
        const struct image *image = image_find(pod->node->config.images, ref);
        number = image ? signal_number(val_text(val_get(image->config, S("StopSignal")))) : 0;
    }
    return number ? number : SIGTERM;
}

static void signalled(void *ctx, const struct err *err)
{
    struct stop_op *op = ctx;
    if (err) {
        auto_free char *text = xasprintf("error killing pod: %s", err->msg);
        pod_event(op->pod, S(""), "Warning", "FailedKillPod", str_of(text));
    }
    op_free(op);
}

static void send_signal(struct pod *pod, size_t index, int number)
{
    struct slot *slot = &pod->facts.slots[index];
    struct runtime *runtime = pod->node->config.runtime;
    struct arena *arena = arena_new(1 << 16);
    struct str id = run_id(pod, slot, slot->cur.attempt, arena);
    runtime->ops->kill(runtime, id, number, signalled, op_new(pod, index, slot->cur.attempt));
    arena_free(arena);
}

/* The grace is over. A container that survives SIGKILL is killed again every two seconds. */
static void kill_now(void *ctx)
{
    struct slot_work *work = ctx;
    struct pod *pod = work->pod;
    struct slot *slot = &pod->facts.slots[work->index];
    if (slot->cur.state == RUN_RUNNING) {
        send_signal(pod, work->index, SIGKILL);
        timer_start(pod->node->config.loop, &work->kill_timer, 2 * USEC_PER_SEC, kill_now, work);
    }
}

static void pre_stopped(void *ctx, const struct err *err)
{
    struct stop_op *op = ctx;
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    if (slot->cur.state == RUN_RUNNING && slot->cur.attempt == op->attempt) {
        if (err) {
            slot_event(pod, op->index, "Warning", "FailedPreStopHook", S("PreStopHook failed"));
        }
        usec now = loop_now(pod->node->config.loop);
        usec least = POD_GRACE_MIN_SECONDS * USEC_PER_SEC;
        if (slot->stop_at < now + least) {
            slot->stop_at = now + least;
        }
        timer_start(pod->node->config.loop, &pod->work[op->index]->kill_timer, slot->stop_at - now,
                    kill_now, pod->work[op->index]);
        send_signal(pod, op->index, stop_signal(pod, slot));
    }
    op_free(op);
}

void slot_stop(struct pod *pod, size_t index, usec grace, struct str message)
{
    struct slot *slot = &pod->facts.slots[index];
    struct loop *loop = pod->node->config.loop;
    struct slot_work *work = pod->work[index];
    usec least = POD_GRACE_MIN_SECONDS * USEC_PER_SEC;
    bool was_stopping = slot->is_stopping;
    slot->stop_at = loop_now(loop) + (grace < least ? least : grace);
    slot->is_stopping = true;
    timer_start(loop, &work->kill_timer, slot->stop_at - loop_now(loop), kill_now, work);
    if (was_stopping) {
        return; /* only the deadline moved */
    }
    slot_event(pod, index, "Normal", "Killing", message);
    const struct val *hook = val_path(slot->spec, "lifecycle.preStop");
    struct stop_op *op = op_new(pod, index, slot->cur.attempt);
    if (hook && grace > 0) {
        hook_run(pod, index, hook, grace, pre_stopped, op);
    } else {
        pre_stopped(op, NULL);
    }
    pod_wake(pod);
}

/* --- removal --- */

/* Waits for each other dead pod's twin. */
static void wake_twins(struct pod *pod)
{
    if (pod_is_deleting(&pod->facts) && pod_is_dead(pod)) {
        node_wake_all(pod->node);
    }
}

static void remove_rootfs(void *ctx)
{
    struct stop_op *op = ctx;
    op->err.code = rootfs_unmount(op->pod->node->config.images, op->dir, &op->err);
}

static void rootfs_removed(void *ctx)
{
    struct stop_op *op = ctx;
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    if (op->err.code < 0) {
        log_warn("%s: %s, ignoring", op->dir, op->err.msg);
    }
    if (node_has_disk(pod->node)) {
        struct arena *arena = arena_new(1 << 16);
        (void)unlink(arena_fmt(arena, "%s-termination", op->dir).p);
        if (op->attempt >= 2) { /* the present log and the one before are kept */
            (void)unlink(run_log(pod, slot, op->attempt - 2, arena).p);
        }
        if (!slot_is_alive(slot)) {
            volume_subpaths_unmount(pod, slot->name);
        }
        arena_free(arena);
    }
    if (op->is_discard) {
        slot->is_pending = false;
        slot->cur.state = RUN_NONE;
    }
    slot->is_clearing = slot->is_clearing && !op->is_take_back;
    pod->facts.removing_count--;
    wake_twins(pod);
    pod_wake(pod);
    op_free(op);
}

static void removed(void *ctx, const struct err *err)
{
    struct stop_op *op = ctx;
    struct pod *pod = op->pod;
    struct slot *slot = &pod->facts.slots[op->index];
    struct arena *arena = arena_new(1 << 16);
    if (err) {
        log_warn("removing container %d of %s/%s %s: %s, ignoring", op->attempt, pod->ns, pod->name,
                 slot->name, err->msg);
    }
    op->dir = xstrdup(run_dir(pod, slot, op->attempt, arena).p);
    if (node_has_disk(pod->node) && pod->node->config.images) {
        loop_work(pod->node->config.loop, remove_rootfs, rootfs_removed, op);
    } else {
        rootfs_removed(op);
    }
    arena_free(arena);
}

static void begin_removal(struct stop_op *op)
{
    struct pod *pod = op->pod;
    struct runtime *runtime = pod->node->config.runtime;
    struct arena *arena = arena_new(1 << 16);
    struct str id = run_id(pod, &pod->facts.slots[op->index], op->attempt, arena);
    pod->facts.removing_count++;
    runtime->ops->remove(runtime, id, removed, op);
    arena_free(arena);
}

void slot_remove_run(struct pod *pod, size_t index, int attempt)
{
    begin_removal(op_new(pod, index, attempt));
}

void slot_take_back(struct pod *pod, size_t index, int attempt)
{
    struct stop_op *op = op_new(pod, index, attempt);
    pod->facts.slots[index].is_clearing = true;
    op->is_take_back = true;
    begin_removal(op);
}

void slot_discard(struct pod *pod, size_t index)
{
    struct slot *slot = &pod->facts.slots[index];
    struct stop_op *op = op_new(pod, index, slot->cur.attempt);
    slot->is_pending = true;
    op->is_discard = true;
    begin_removal(op);
}

/* --- exits --- */

static struct str tail_of(const char *path, size_t max, char *into)
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return S("");
    }
    off_t from = st.st_size > (off_t)max ? st.st_size - (off_t)max : 0;
    ssize_t n = pread(fd, into, max, from);
    return n > 0 ? (struct str){into, (size_t)n} : S("");
}

/* The text of the last log lines without the CRI columns. */
static void add_log_tail(struct buf *out, struct str log)
{
    size_t lines = 0;
    size_t at = log.n;
    while (at > 0 && lines <= FALLBACK_LINES_MAX) {
        at--;
        lines += log.p[at] == '\n' ? 1 : 0;
    }
    log = str_sub(log, lines > FALLBACK_LINES_MAX ? at + 1 : at, log.n);
    while (log.p) {
        struct str line = str_cut(&log, '\n');
        for (int column = 0; column < 3 && line.p; column++) {
            (void)str_cut(&line, ' ');
        }
        if (line.p) {
            buf_addf(out, STR_FMT "\n", STR_ARG(line));
        }
    }
}

static void read_message(struct pod *pod, struct slot *slot)
{
    if (!node_has_disk(pod->node) || slot->cur.is_start_error) {
        return;
    }
    char bytes[MESSAGE_BYTES_MAX * 2];
    struct arena *arena = arena_new(1 << 16);
    auto_buf struct buf out;
    buf_init(&out, sizeof bytes);
    struct str dir = run_dir(pod, slot, slot->cur.attempt, arena);
    struct str path = arena_fmt(arena, STR_FMT "-termination", STR_ARG(dir));
    struct str message = tail_of(path.p, MESSAGE_BYTES_MAX, bytes);
    struct str policy = val_text(val_get(slot->spec, S("terminationMessagePolicy")));
    if (message.n == 0 && slot->cur.exit_code != 0 && str_eq(policy, S("FallbackToLogsOnError"))) {
        struct str log =
            tail_of(run_log(pod, slot, slot->cur.attempt, arena).p, sizeof bytes, bytes);
        add_log_tail(&out, log);
        message = buf_str(&out);
        message =
            str_sub(message, message.n > FALLBACK_BYTES_MAX ? message.n - FALLBACK_BYTES_MAX : 0,
                    message.n);
    }
    if (message.n) {
        message = text_clean(arena, message);
        auto_free char *text = xstrndup(message.p, message.n);
        text_set(&slot->cur.message, text);
    }
    arena_free(arena);
}

/* When the next instance may start (spec 1.4). */
static void raise_backoff(struct pod *pod, struct slot *slot)
{
    usec now = loop_now(pod->node->config.loop);
    if (slot->backoff && now - slot->backoff_at > BACKOFF_RESET_SECONDS * USEC_PER_SEC) {
        slot->backoff = 0;
    }
    usec gone = loop_wall(pod->node->config.loop) - slot->cur.finished_wall;
    gone = gone < 0 ? 0 : gone > slot->backoff ? slot->backoff : gone;
    slot->restart_at = now + slot->backoff - gone;
    slot->is_backoff_told = false;
}

void slot_exited(struct pod *pod, size_t index, const struct container_fact *fact)
{
    struct slot *slot = &pod->facts.slots[index];
    slot->cur.state = RUN_EXITED;
    slot->cur.exit_code = fact->exit_code;
    slot->cur.is_oom = fact->is_oom;
    slot->cur.is_lost = fact->is_lost;
    if (fact->started_wall > 0) {
        slot->cur.started_wall = fact->started_wall;
    }
    slot->cur.finished_wall =
        fact->finished_wall > 0 ? fact->finished_wall : loop_wall(pod->node->config.loop);
    if (fact->is_lost) {
        text_set(&slot->cur.message,
                 "The container could not be located when the pod was terminated");
    } else {
        read_message(pod, slot);
    }
    bool is_hook_error =
        slot->wait_reason && str_eq(str_of(slot->wait_reason), S("PostStartHookError"));
    if (!is_hook_error) {
        text_set(&slot->wait_reason, NULL);
        text_set(&slot->wait_message, NULL);
    }
    slot->is_stopping = false;
    slot->must_restart = false;
    slot->stop_grace = -1;
    slot->retry_at = 0;
    if (slot_is_outdated(slot)) {
        slot->restart_at = 0; /* stopped for another image, not for a fault of its own */
    } else {
        raise_backoff(pod, slot);
    }
    timer_stop(&pod->work[index]->kill_timer);
    probes_stop(pod, index);
    probes_reset(slot);
    pod_record_save(pod);
    slot_remove_run(pod, index, slot->cur.attempt);
    pod_wake(pod);
}
