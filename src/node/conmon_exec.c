// SPDX-License-Identifier: Apache-2.0
//
// Commands inside a container for probes and hooks: "crun exec" directly, no conmon (spec/node.md
// 12.3). The runtime writes the pid file only when the command was really started, which tells its
// own failures from the command's exit code.
#include "node/conmon.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "data/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int runtime_conmon_exec_error(struct err *err, struct str text)
{
    static const struct {
        const char *words;
        int code;
    } causes[] = {
  /* words of the OCI runtime, code */
        {"not found in $PATH",        ERR_NOT_FOUND},
        {"No such file or directory", ERR_NOT_FOUND},
        {"Permission denied",         ERR_DENIED   },
        {"Operation not permitted",   ERR_DENIED   },
        {"Exec format error",         ERR_DENIED   },
    };
    bool is_command = str_search(text, S("executable")) >= 0 || str_search(text, S("exec")) == 0;
    int code = ERR_INTERNAL;
    for (size_t i = 0; is_command && code == ERR_INTERNAL && i < ARRAY_LEN(causes); i++) {
        code = str_search(text, str_of(causes[i].words)) >= 0 ? causes[i].code : code;
    }
    return text.n == 0 ? err_set(err, ERR_INTERNAL, "the container runtime failed without a word")
                       : err_set(err, code, STR_FMT, STR_ARG(text));
}

int runtime_conmon_write_process(const char *bundle, const char *path, const struct val *argv,
                                 bool has_tty, struct err *err)
{
    auto_arena struct arena *arena = arena_new((size_t)SPEC_BYTES_MAX * 4);
    auto_buf struct buf text;
    auto_buf struct buf out;
    buf_init(&text, SPEC_BYTES_MAX);
    buf_init(&out, SPEC_BYTES_MAX);
    auto_free char *spec_path = xasprintf("%s/config.json", bundle);
    struct val spec;
    if (file_read(AT_FDCWD, spec_path, &text, err) < 0 ||
        json_read(buf_str(&text), arena, NULL, &spec, err) < 0) {
        return err_wrap(err, "read the container's specification");
    }
    struct val *process = val_need_map(arena, &spec, S("process"));
    (void)val_set(arena, process, S("args"), val_copy(arena, argv));
    (void)val_set(arena, process, S("terminal"), val_bool(has_tty));
    if (json_write(&out, process) < 0) {
        return err_set(err, ERR_LIMIT, "the command is over %d bytes", SPEC_BYTES_MAX);
    }
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? err_errno(err, "create '%s'", path) : fd_write_all(fd, buf_str(&out), err);
}

static void finish_exec(struct op *op, int code, struct str output)
{
    if (op->process_file != NULL) {
        (void)unlink(op->process_file);
        (void)unlink(op->pid_file);
    }
    op->exec_done(op->ctx, code, output, op->err.code < 0 ? &op->err : NULL);
    op_free(op);
}

static void on_exec_failed(void *ctx)
{
    finish_exec(ctx, -1, (struct str){0});
}

static void on_exec_ended(void *ctx, const struct command_result *result)
{
    struct op *op = ctx;
    op->command = NULL;
    if (result->is_timeout) {
        (void)err_set(&op->err, ERR_TIMEOUT, "command timed out: \"%s\" timed out after %s",
                      op->exec_text, op->exec_span);
    } else if (access(op->pid_file, F_OK) != 0) {
        (void)runtime_conmon_exec_error(&op->err, str_trim(result->output));
    }
    finish_exec(op, result->code, result->output);
}

static bool start_exec(struct op *op, const struct container *c, const struct val *argv,
                       usec timeout)
{
    struct runtime_conmon *rt = op->rt;
    uint64_t serial = ++rt->exec_serial;
    op->process_file = xasprintf("%s/exec-%llu.json", c->bundle, (unsigned long long)serial);
    op->pid_file = xasprintf("%s/exec-%llu.pid", c->bundle, (unsigned long long)serial);
    /* Of an earlier brain, which counted from one too. */
    (void)unlink(op->pid_file);
    if (runtime_conmon_write_process(c->bundle, op->process_file, argv, false, &op->err) < 0) {
        return false;
    }
    const struct oci_command *oci = &rt->command;
    const char *const args[] = {oci->path,           "--root",     oci->root,   "--cgroup-manager",
                                oci->cgroup_manager, "exec",       "--process", op->process_file,
                                "--pid-file",        op->pid_file, op->id,      NULL};
    const struct command_options options = {.argv = args,
                                            .envp = oci->envp,
                                            .output_max = EXEC_OUTPUT_MAX,
                                            .timeout = timeout,
                                            .pid_file = op->pid_file};
    op->command = command_start(rt->loop, &options, on_exec_ended, op, &op->err);
    return op->command != NULL;
}

void conmon_exec(struct runtime *base, struct str id, const struct val *argv, usec timeout,
                 runtime_exec_fn *done, void *ctx)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    struct op *op = op_new(rt, id, NULL, ctx);
    const struct container *c = map_find(&rt->containers, id);
    auto_buf struct buf text;
    buf_init(&text, ERR_MSG_MAX / 2);
    for (size_t i = 0; i < val_count(argv); i++) {
        (void)buf_addf(&text, i == 0 ? STR_FMT : " " STR_FMT, STR_ARG(val_text(val_at(argv, i))));
    }
    op->exec_done = done;
    span_format_go(timeout, op->exec_span);
    op->exec_text = xasprintf(STR_FMT, STR_ARG(buf_str(&text)));
    if (c == NULL || c->state != CONTAINER_RUNNING || c->is_removing) {
        (void)err_set(&op->err, ERR_NOT_FOUND, "container %s is not running", op->id);
        timer_start(rt->loop, &op->timer, 0, on_exec_failed, op);
    } else if (!start_exec(op, c, argv, timeout)) {
        timer_start(rt->loop, &op->timer, 0, on_exec_failed, op);
    }
}
