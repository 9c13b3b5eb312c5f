// SPDX-License-Identifier: Apache-2.0
//
// What the hull's files share.
#ifndef CORACLE_HULL_INTERNAL_H
#define CORACLE_HULL_INTERNAL_H

#include "base/clock.h"
#include "base/map.h"
#include "hull/hull.h"

/* The keeper's life; never returns. */
_Noreturn void keeper_run(const struct hull_config *config);
/* A line: requests one way, each answered (line.c). */
enum { LINE_BYTES_MAX = 160 };
struct request {
    const char *argument;
    int asker;           /* pid of who asks */
    int given_fd;        /* came with it; a verb that keeps it puts -1 here */
    int answer_fd;       /* goes with the answer; -1 = none */
    bool is_answer_lent; /* else it is closed behind the answer */
};
struct line_verb {
    const char *name;
    int (*fn)(void *ctx, struct request *request); /* 0 or -1 with errno */
};
/* Takes one request and answers it. False when the line is cut. */
bool line_serve(int line, const struct line_verb *verbs, size_t count, void *ctx);
/* Asks and waits: 0 or an errno. given_fd (-1 = none) is lent. *ret_fd (may be NULL when none can
 * come) is the descriptor that came with the answer, or -1. */
int line_ask(int line, const char *verb, const char *argument, int given_fd, int *ret_fd);

/* The keeper's side of the brain's line. */
struct keeper {
    pid_t init;
    struct map sockets; /* of the cluster's own network, kept for the next brain: name -> int */
};
/* Serves one request of the brain. False when the line is cut. */
bool keeper_serve(int line, struct keeper *keeper);

/* The process of published ports (ports.c). */
struct ports {
    int line;
    struct loop *loop;
    struct map open; /* "tcp 127.0.0.1 30080" -> struct port */
};
/* Serves the line and the ports until the line is cut. */
MUST_CHECK int ports_serve(struct ports *ports, struct err *err);
/* Its life, in a child of init; never returns. */
_Noreturn void ports_run(int line);
/* Its root: there is nothing in it. */
#define HULL_EMPTY_DIR "/run/coracle/empty"

/* Runs as pid 1 after the id maps are written; never returns. keeper_fd: the brain's end of the
 * socket. */
_Noreturn void init_run(const struct hull_config *config, int keeper_fd);
/* Starts the image worker as a child of the keeper, which reaps it. Returns 0 or -1 with errno. */
int image_worker_start(pid_t init, int fd);
/* Writes the id maps of pid's new user namespace: sub-ids by newuidmap and newgidmap where the user
 * has them, else this user alone as root (hull_has_one_id). */
MUST_CHECK int idmap_write(pid_t pid, struct err *err);
/* Removes cgroups "coracle-<name>" of every hierarchy, deepest first. False
 * when one is busy and stays. */
bool cgroups_remove(const char *name);

/* The helper that is the pods' way out; it dies with the keeper. */
struct egress {
    pid_t pid; /* 0: there is none */
    usec started;
    int quick_ends; /* in a row */
};
/* Starts one for the namespaces of init, and waits until it is there. */
void egress_start(struct egress *egress, pid_t init);
/* The helper has ended and was reaped: starts one again, unless the last few had only just
 * begun. */
void egress_restart(struct egress *egress, pid_t init);
void egress_stop(struct egress *egress);

#endif
