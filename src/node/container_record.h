// SPDX-License-Identifier: Apache-2.0
//
// One container of the conmon runtime: what is known of it, kept in its bundle's state.json so that
// the next brain finds it, and the process handles that tell when it ends.
//
// Invariants: (1) a pid is used only through a pidfd that was opened while the process's start time
// was the recorded one, so a reused pid is never signalled; (2) state.json is on disk before the
// container may start.
#ifndef CORACLE_NODE_CONTAINER_RECORD_H
#define CORACLE_NODE_CONTAINER_RECORD_H

#include "node/runtime.h"

#include <sys/types.h>

struct io;

struct container {
    void *owner; /* struct runtime_conmon */
    char *id;
    char *bundle;
    char *log_path;
    char *oom_file; /* the cgroup file with the oom_kill counter, "" = none */
    pid_t pid;      /* first process of the container */
    uint64_t pid_started;
    pid_t conmon_pid;
    uint64_t conmon_started;
    int pid_fd;
    int conmon_fd; /* readable once conmon is gone */
    struct io *conmon_io;
    enum container_state state;
    int exit_code;
    bool is_oom;
    bool is_lost;
    bool is_starting; /* its exit is told after the start's done */
    bool is_removing; /* its exit is nobody's news */
    usec started_wall;
    usec finished_wall;
};

/* Takes copies. Free with container_free. */
struct container *container_new(void *owner, struct str id, struct str bundle, struct str log_path);
void container_free(struct container *c); /* NULL is fine; conmon_io must be stopped */
struct container_fact container_fact(const struct container *c); /* borrows the id */

/* Start time of a process in clock ticks after boot (field 22 of /proc/PID/stat); 0 = none. */
uint64_t process_started(pid_t pid);
/* A pidfd of the process that started at `started`; -1 when it is gone. */
int process_open(pid_t pid, uint64_t started);
/* Signals through a pidfd; a process that is gone (or fd -1) is fine. */
int process_signal(int pid_fd, int signal, struct err *err);

/* Fills pid, start times, handles and the oom file right after create. */
MUST_CHECK int container_attach_processes(struct container *c, pid_t pid, pid_t conmon_pid,
                                          struct err *err);
int container_save(const struct container *c, struct err *err);
/* Reads bundle/state.json. NULL with err. */
struct container *container_load(void *owner, struct str id, const char *bundle, struct err *err);
/* Asks the cgroup whether a process of it was killed for memory. */
bool container_was_oom(const struct container *c);
/* Reads the file with a pid that conmon or the OCI runtime wrote; 0 when absent. */
pid_t pid_file_read(const char *bundle, const char *name);

/* A line of /proc/PID/cgroup as seen from a cgroup namespace whose mounts show the whole tree:
 * without the leading "/.." that name the way up. */
struct str cgroup_from_root(struct str dir);

#endif
