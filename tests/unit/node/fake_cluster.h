// SPDX-License-Identifier: Apache-2.0
//
// A cluster for tests of the pod worker: a client over a map of objects, and a runtime whose
// containers do what the test says. Both complete from the (virtual) loop.
#ifndef CORACLE_TESTS_UNIT_NODE_FAKE_CLUSTER_H
#define CORACLE_TESTS_UNIT_NODE_FAKE_CLUSTER_H

#include "base/map.h"
#include "node/node.h"

struct fake_container {
    struct container_fact fact;
    usec ends_at; /* after its start; 0 = never */
    int exit_code;
    bool heeds_term;
    struct timer timer;
    struct fake_cluster *cluster;
};

struct fake_watch {
    enum kind_id kind;
    client_event_fn *fn;
    void *ctx;
};

struct fake_cluster {
    struct client client;
    struct runtime runtime;
    struct loop *loop;
    struct rng rng;
    struct map objects;    /* "<kind>/<ns>/<name>" -> struct object */
    struct map containers; /* id -> struct fake_container */
    struct fake_watch watches[16];
    size_t watches_count;
    uint64_t rev;
    unsigned updates_count; /* asked for, done or not */
    struct node *node;
    struct buf log;    /* one line an act: "+0s create web_app_0" */
    struct buf phases; /* phases a pod's status went through */
    usec begun;
    /* How containers behave from here on. */
    usec run_for;
    int exit_code;
    bool heeds_term;
    int exec_code;            /* of probes and hooks */
    unsigned creates_refused; /* so many to come */
    unsigned kills_refused;
    usec removal; /* takes so long */
};

void fake_init(struct fake_cluster *c);
/* The same on a loop of the caller's (owned from here on). */
void fake_init_on(struct fake_cluster *c, struct loop *loop);
void fake_done(struct fake_cluster *c);
/* Starts a node named "n1" without disk and network. */
void fake_start_node(struct fake_cluster *c);
/* Puts an object from JSON text, tells watchers. */
void fake_put(struct fake_cluster *c, enum kind_id kind, const char *json);
struct object *fake_get(struct fake_cluster *c, enum kind_id kind, const char *ns,
                        const char *name);
/* Sets metadata.deletionTimestamp and deletionGracePeriodSeconds, as the API does. */
void fake_delete_pod(struct fake_cluster *c, const char *name, int grace);
/* Removes at once, as a forced deletion does. */
void fake_remove(struct fake_cluster *c, enum kind_id kind, const char *ns, const char *name);
/* Runs the virtual loop for a while. */
void fake_run(struct fake_cluster *c, usec span);

#endif
