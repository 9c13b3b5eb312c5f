// SPDX-License-Identifier: Apache-2.0
//
// The hull: the processes that own a cluster's namespaces. hull_start forks the keeper, which stays
// on the host and opens ports there on request; the keeper clones init, pid 1 of the cluster's own
// mount, network, pid, ipc, uts and cgroup namespaces (and user namespace when not root); init runs
// the brain and runs it again when it dies. Containers are children of init, so they outlive the
// brain, and so does the ports process, which carries the connections of published ports.
//
//   up ──fork──▶ keeper ──clone──▶ init ─┬─exec──▶ brain
//                  ▲ SIGTERM         ▲   │           ▲ SIGTERM: stop the pods, exit 0
//                                 SIGTERM└─fork──▶ ports
//
// Invariants: (1) when init ends, nothing of the cluster runs; (2) the keeper holds the data
// folder's lock as long as anything runs; (3) the keeper leaves no cgroup, socket or file of its
// own behind; (4) a brain that exits 0 was asked to; any other end starts it again.
#ifndef CORACLE_HULL_HULL_H
#define CORACLE_HULL_HULL_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hull_config {
    const char *name;              /* cluster name; the cgroup is "coracle-<name>" */
    const char *data_dir;          /* absolute */
    const char *log_path;          /* where the processes write what they have to say */
    int lock_fd;                   /* locked by the caller; the keeper keeps it */
    int api_fd;                    /* listening TCP socket of the host */
    int control_fd;                /* listening Unix socket of the host */
    int progress_fd;               /* write end: lines of what is done, for `coracle up` */
    const char *const *brain_argv; /* program and arguments, NULL-terminated; fds are appended as
                                      --api-fd N --control-fd N --keeper-fd N --ports-fd N
                                      --progress-fd N */
};

/* Forks the keeper (a session of its own). The caller's copies of the descriptors stay open. */
MUST_CHECK int hull_start(const struct hull_config *config, pid_t *ret_keeper, struct err *err);

/* Brain side: a listening (tcp) or bound (udp) socket in the cluster's own network; address as
 * text. The keeper keeps it too, so that clients wait in the kernel's queue while a brain is
 * started again, and the next brain is given the same one. Blocking, 0.1 ms. -1 with err. */
int hull_listen(int keeper_fd, const char *protocol, const char *address, uint16_t port,
                struct err *err);

/* A port of the host that leads into the cluster. Addresses in host order. */
struct hull_port {
    bool is_udp;
    uint16_t port;
    uint32_t address;
    uint32_t target;
    uint16_t target_port;
};
/* Brain side: the ports process serves it from now on, over this brain's death; where it does so
 * already, open connections go on and later ones are led to target. Blocking, 0.2 ms. ERR_EXISTS:
 * another program of the host has the port. */
MUST_CHECK int hull_publish(int keeper_fd, int ports_fd, const struct hull_port *port,
                            struct err *err);
/* Brain side: the port is closed, and its connections end. */
void hull_unpublish(int ports_fd, const struct hull_port *port);
/* Brain side: ports that earlier brains published and this one has not are closed. */
void hull_sweep(int ports_fd);

/* Brain side: has the keeper run "coracle image-worker" on the host's network, so that registries
 * are reached as from the host, with fd (not owned) as its standard input and output; for ordinary
 * users in the cluster's user namespace. The worker dies with the keeper. Blocking, 0.3 ms. */
MUST_CHECK int hull_run_image_worker(int keeper_fd, int fd, struct err *err);

/* The interface by which pods' traffic leaves, in the cluster's network namespace; absent where no
 * helper is installed or /dev/net/tun can't be opened. Its own DNS server leads to the host's. */
#define HULL_EGRESS_LINK "tap0"
#define HULL_EGRESS_DNS  0x0a000203u /* 10.0.2.3 */

/* Runs work in a child that is root over all files of this user's clusters: root itself, or root of
 * a user namespace with the user's sub-ids. *ret_status as waitpid tells it. Blocks until it ends.
 */
MUST_CHECK int hull_unshare(int (*work)(void *ctx), void *ctx, int *ret_status, struct err *err);

/* rm -rf of a data folder, whoever its files belong to: for ordinary users inside a user namespace.
 */
MUST_CHECK int hull_remove(const char *path, struct err *err);

/* Takes away what a keeper that was killed could not: the cluster's cgroups. Nothing of the cluster
 * may run. */
void hull_clean(const char *name);

/* Does the user namespace of this process map one id alone, since the user has no sub-ids? */
bool hull_has_one_id(void);

/* Where limits can be set: what init found and prepared (spec/machine.md 7). */
enum hull_cgroups { HULL_CGROUPS_NONE, HULL_CGROUPS_V1, HULL_CGROUPS_V2 };
enum hull_cgroups hull_cgroups_probe(void);

/* Parent and children of the processes, seen from the host. */
struct hull_processes {
    pid_t keeper;
    pid_t init;
    pid_t brain;
    pid_t ports;
};
/* From the keeper's pid, by name: init is its child, brain and ports are init's. 0 = absent. */
void hull_processes_find(pid_t keeper, struct hull_processes *ret);

#endif
