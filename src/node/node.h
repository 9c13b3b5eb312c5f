// SPDX-License-Identifier: Apache-2.0
//
// The node agent: pods bound to this node become containers, and what happens to them becomes
// status.
#ifndef CORACLE_NODE_NODE_H
#define CORACLE_NODE_NODE_H

#include "api/streams.h"
#include "client/client.h"
#include "control/control.h"
#include "net/pod_net.h"
#include "node/image.h"
#include "node/runtime.h"

struct node;

struct node_config {
    struct loop *loop;
    struct rng *rng;
    struct client *client;
    struct recorder *recorder;
    struct runtime *runtime;
    struct image_store *images;
    struct pod_net *net;    /* NULL: pods get no network (simulation) */
    struct str name;        /* node name */
    struct str root_dir;    /* <data>/node: pods/, volumes live in data/volumes */
    struct str log_dir;     /* <data>/logs: pods' log files */
    struct str cluster_dns; /* "10.96.0.10" */
    struct str cluster_domain;
    bool has_one_id;          /* this user namespace maps a single id: chown and setgroups fail */
    bool has_cgroups;         /* limits can be enforced */
    struct str cgroup_parent; /* the cluster's cgroup, "/coracle-default" */
    /* Where namespaces and bundles live: a tmpfs that dies with the cluster's namespaces. Pod
     * networks are pinned by pod_net in run_dir/netns. Empty root_dir: no disk at all
     * (simulation). */
    struct str run_dir;
    struct str volumes_dir; /* <data>/volumes: claims' directories that may be removed */
    uint32_t pod_cidr;      /* host order; as given to pod_net */
    int pod_prefix;
    struct str version; /* of the node agent, "v1.35.0+coracle"; empty = that */
};
/* Registers the Node object, adopts containers, starts working. */
struct node *node_new(const struct node_config *config, struct err *err);
/* After the loop has stopped; containers go on. */
void node_free(struct node *node);
/* Sessions for the server: the operations, and the `node` argument of their open. */
const struct session_ops *node_session_ops(void);
void *node_sessions(struct node *node);
/* Stops every container with its grace, at most for `limit`; done when none runs (coracle down). */
void node_shutdown(struct node *node, usec limit, void (*done)(void *ctx), void *ctx);

#endif
