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
/* Takes one request of the brain from the line and answers it. sockets: what is kept for it, {0} at
 * first, for good. False when the line is cut. */
bool keeper_serve(int line, pid_t init, struct map *sockets);
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
};
/* Starts one for the namespaces of init, and waits until it is there. */
void egress_start(struct egress *egress, pid_t init);
/* The helper has ended and was reaped: starts one again, unless this one had only just begun. */
void egress_restart(struct egress *egress, pid_t init);
void egress_stop(struct egress *egress);

#endif
