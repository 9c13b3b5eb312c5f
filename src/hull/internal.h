// SPDX-License-Identifier: Apache-2.0
//
// What the hull's files share.
#ifndef CORACLE_HULL_INTERNAL_H
#define CORACLE_HULL_INTERNAL_H

#include "hull/hull.h"

/* The keeper's life; never returns. */
_Noreturn void keeper_run(const struct hull_config *config);
/* Runs as pid 1 after the id maps are written; never returns. keeper_fd: the brain's end of the
 * socket. */
_Noreturn void init_run(const struct hull_config *config, int keeper_fd);
/* Starts the image worker as a child of the keeper, which reaps it. Returns 0 or -1 with errno. */
int image_worker_start(pid_t init, int fd);
/* Writes the id maps of pid's new user namespace: sub-ids by newuidmap and newgidmap where the user
 * has them, else this user alone as root. *ret_is_single tells the second case. */
MUST_CHECK int idmap_write(pid_t pid, bool *ret_is_single, struct err *err);
/* Removes cgroups "coracle-<name>" of every hierarchy, deepest first. False
 * when one is busy and stays. */
bool cgroups_remove(const char *name);

/* Starts the pods' way out for the namespaces of init, and waits until it is there. Returns the
 * helper's pid, or 0 when there is none. It dies with the keeper. */
pid_t egress_start(pid_t init);
void egress_stop(pid_t helper); /* 0 is fine */

#endif
