// SPDX-License-Identifier: Apache-2.0
#include "node/container_record.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STATE_ARENA_MAX = 64 << 10, STAT_BYTES_MAX = 4096 };

struct container *container_new(void *owner, struct str id, struct str bundle, struct str log_path)
{
    struct container *c = xcalloc(1, sizeof *c);
    c->owner = owner;
    c->id = xasprintf(STR_FMT, STR_ARG(id));
    c->bundle = xasprintf(STR_FMT, STR_ARG(bundle));
    c->log_path = xasprintf(STR_FMT, STR_ARG(log_path));
    c->oom_file = xstrdup("");
    c->pid_fd = -1;
    c->conmon_fd = -1;
    return c;
}

void container_free(struct container *c)
{
    if (c == NULL) {
        return;
    }
    if (c->pid_fd >= 0) {
        (void)close(c->pid_fd);
    }
    if (c->conmon_fd >= 0) {
        (void)close(c->conmon_fd);
    }
    free(c->id);
    free(c->bundle);
    free(c->log_path);
    free(c->oom_file);
    free(c);
}

struct container_fact container_fact(const struct container *c)
{
    return (struct container_fact){.id = str_of(c->id),
                                   .state = c->state,
                                   .exit_code = c->exit_code,
                                   .is_oom = c->is_oom,
                                   .is_lost = c->is_lost,
                                   .started_wall = c->started_wall,
                                   .finished_wall = c->finished_wall};
}

uint64_t process_started(pid_t pid)
{
    auto_free char *path = xasprintf("/proc/%d/stat", (int)pid);
    auto_buf struct buf text;
    struct err err;
    uint64_t started = 0;
    buf_init(&text, STAT_BYTES_MAX);
    if (file_read(AT_FDCWD, path, &text, &err) < 0) {
        return 0;
    }
    /* The command name may hold anything; what follows its last ')' is fields 3 on. */
    ptrdiff_t end = str_rfind(buf_str(&text), ')');
    struct str rest = str_sub(buf_str(&text), (size_t)(end + 2), text.n);
    for (int field = 3; field < 22 && rest.p != NULL; field++) {
        (void)str_cut(&rest, ' ');
    }
    return end < 0 || rest.p == NULL || str_to_u64(str_cut(&rest, ' '), &started) < 0 ? 0 : started;
}

int process_open(pid_t pid, uint64_t started)
{
    int fd = pid <= 0 || started == 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0 && process_started(pid) != started) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int process_signal(int pid_fd, int signal, struct err *err)
{
    if (pid_fd >= 0 && syscall(SYS_pidfd_send_signal, pid_fd, signal, NULL, 0) < 0 &&
        errno != ESRCH) {
        return err_errno(err, "send signal %d", signal);
    }
    return 0;
}

pid_t pid_file_read(const char *bundle, const char *name)
{
    auto_free char *path = xasprintf("%s/%s", bundle, name);
    auto_buf struct buf text;
    struct err err;
    uint64_t pid = 0;
    buf_init(&text, 64);
    if (file_read(AT_FDCWD, path, &text, &err) < 0 ||
        str_to_u64(str_trim(buf_str(&text)), &pid) < 0 || pid > INT32_MAX) {
        return 0;
    }
    return (pid_t)pid;
}

struct str cgroup_from_root(struct str dir)
{
    while (str_eq(str_sub(dir, 0, 4), S("/../"))) {
        dir = str_sub(dir, 3, dir.n);
    }
    return dir;
}

/* The v1 memory controller's line, else the v2 line, of /proc/PID/cgroup; "" when neither counts
 * kills here. */
static char *find_oom_file(pid_t pid)
{
    auto_free char *path = xasprintf("/proc/%d/cgroup", (int)pid);
    auto_buf struct buf text;
    struct err err;
    buf_init(&text, 64 << 10);
    struct str rest = file_read(AT_FDCWD, path, &text, &err) < 0 ? (struct str){0} : buf_str(&text);
    while (rest.p != NULL) {
        struct str dir = str_cut(&rest, '\n');
        struct str number = str_cut(&dir, ':');
        struct str controllers = dir.p == NULL ? dir : str_cut(&dir, ':');
        bool is_v2 = str_eq(number, S("0")) && controllers.n == 0;
        if (dir.p == NULL || dir.n < 2 || (!is_v2 && !str_eq(controllers, S("memory")))) {
            continue; /* the root cgroup is not the container's own */
        }
        dir = cgroup_from_root(dir);
        auto_free char *file =
            is_v2 ? xasprintf("/sys/fs/cgroup" STR_FMT "/memory.events", STR_ARG(dir))
                  : xasprintf("/sys/fs/cgroup/memory" STR_FMT "/memory.oom_control", STR_ARG(dir));
        if (access(file, R_OK) == 0) {
            return take_ptr(&file);
        }
    }
    return xstrdup("");
}

bool container_was_oom(const struct container *c)
{
    auto_buf struct buf text;
    struct err err;
    buf_init(&text, STAT_BYTES_MAX);
    if (c->oom_file[0] == '\0' || file_read(AT_FDCWD, c->oom_file, &text, &err) < 0) {
        return false;
    }
    struct str rest = buf_str(&text);
    while (rest.p != NULL) {
        struct str value = str_cut(&rest, '\n');
        struct str key = str_cut(&value, ' ');
        uint64_t count = 0;
        if (str_eq(key, S("oom_kill")) && value.p != NULL && str_to_u64(value, &count) == 0) {
            return count > 0;
        }
    }
    return false;
}

int container_attach_processes(struct container *c, pid_t pid, pid_t conmon_pid, struct err *err)
{
    c->pid = pid;
    c->pid_started = process_started(pid);
    c->pid_fd = process_open(pid, c->pid_started);
    c->conmon_pid = conmon_pid;
    c->conmon_started = process_started(conmon_pid);
    c->conmon_fd = process_open(conmon_pid, c->conmon_started);
    free(c->oom_file);
    c->oom_file = find_oom_file(pid);
    if (c->conmon_fd < 0) {
        return err_set(err, ERR_IO, "container monitor %d is gone", (int)conmon_pid);
    }
    return 0;
}

int container_save(const struct container *c, struct err *err)
{
    auto_arena struct arena *arena = arena_new(STATE_ARENA_MAX);
    struct val v = val_map();
    val_set(arena, &v, S("id"), val_str(str_of(c->id)));
    val_set(arena, &v, S("logPath"), val_str(str_of(c->log_path)));
    val_set(arena, &v, S("oomFile"), val_str(str_of(c->oom_file)));
    val_set(arena, &v, S("pid"), val_int(c->pid));
    val_set(arena, &v, S("pidStarted"), val_int((int64_t)c->pid_started));
    val_set(arena, &v, S("conmonPid"), val_int(c->conmon_pid));
    val_set(arena, &v, S("conmonStarted"), val_int((int64_t)c->conmon_started));
    val_set(arena, &v, S("startedWall"), val_int(c->started_wall));
    /* An end that only we saw (a lost monitor) leaves no exit file. */
    val_set(arena, &v, S("isLost"), val_bool(c->is_lost));
    val_set(arena, &v, S("isOom"), val_bool(c->is_oom));
    val_set(arena, &v, S("finishedWall"), val_int(c->finished_wall));
    auto_buf struct buf text;
    buf_init(&text, STATE_ARENA_MAX);
    auto_free char *path = xasprintf("%s/state.json", c->bundle);
    if (json_write(&text, &v) < 0) {
        return err_set(err, ERR_LIMIT, "state of container %s is too long", c->id);
    }
    return file_write_atomic(AT_FDCWD, path, buf_str(&text), 0600, err);
}

struct container *container_load(void *owner, struct str id, const char *bundle, struct err *err)
{
    auto_arena struct arena *arena = arena_new(STATE_ARENA_MAX);
    auto_buf struct buf text;
    buf_init(&text, STATE_ARENA_MAX);
    auto_free char *path = xasprintf("%s/state.json", bundle);
    struct val v;
    if (file_read(AT_FDCWD, path, &text, err) < 0) {
        return NULL;
    }
    if (json_read(buf_str(&text), arena, NULL, &v, err) < 0 || !str_eq(val_text_at(&v, "id"), id)) {
        (void)err_set(err, ERR_CORRUPT, "'%s' is not the state of container " STR_FMT, path,
                      STR_ARG(id));
        return NULL;
    }
    struct container *c = container_new(owner, id, str_of(bundle), val_text_at(&v, "logPath"));
    struct str oom_file = val_text_at(&v, "oomFile");
    free(c->oom_file);
    c->oom_file = xasprintf(STR_FMT, STR_ARG(oom_file));
    c->pid = (pid_t)val_number_at(&v, "pid", 0);
    c->pid_started = (uint64_t)val_number_at(&v, "pidStarted", 0);
    c->conmon_pid = (pid_t)val_number_at(&v, "conmonPid", 0);
    c->conmon_started = (uint64_t)val_number_at(&v, "conmonStarted", 0);
    c->started_wall = val_number_at(&v, "startedWall", 0);
    c->is_lost = val_true_at(&v, "isLost");
    c->is_oom = val_true_at(&v, "isOom");
    c->finished_wall = val_number_at(&v, "finishedWall", 0);
    c->pid_fd = process_open(c->pid, c->pid_started);
    c->conmon_fd = process_open(c->conmon_pid, c->conmon_started);
    return c;
}
