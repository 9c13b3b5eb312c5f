// SPDX-License-Identifier: Apache-2.0
//
// A cluster for tests of deciders: a map of documents, a view over it, and actions performed on it
// by the plainest rules (finalizers, preconditions, merge patches), without api/ and store/.
#ifndef CORACLE_TESTS_CLUSTER_H
#define CORACLE_TESTS_CLUSTER_H

#include "base/map.h"
#include "controllers/decide.h"

struct cluster {
    struct arena *arena;
    struct map objects; /* "<qualified>/<ns>/<name>" -> struct val */
    struct rng rng;
    struct view view;
    usec now;
    uint64_t rev;
    uint64_t uids;
    bool has_slow_pods; /* a deleted pod stays, terminating, until cluster_remove */
    const char *gone;   /* the pod that went away at gone_at, for view.gone_for */
    usec gone_at;
    usec requeue_after;       /* of the last decision */
    struct str revisions[16]; /* names in order of creation: A, B, … */
    size_t revisions_count;
};

void cluster_open(struct cluster *cluster);
void cluster_close(struct cluster *cluster);
/* Stores a document; metadata.uid, resourceVersion and creationTimestamp are given when absent. */
void cluster_put(struct cluster *cluster, enum kind_id kind, const char *json);
struct val *cluster_find(struct cluster *cluster, enum kind_id kind, const char *ns,
                         const char *name);
void cluster_remove(struct cluster *cluster, enum kind_id kind, const char *ns, const char *name);
/* Sets a path of an object and gives it a new version. */
void cluster_set(struct cluster *cluster, enum kind_id kind, const char *ns, const char *name,
                 const char *path, const char *json);
/* A condition of status.conditions, since now. */
void cluster_condition(struct cluster *cluster, enum kind_id kind, const char *ns, const char *name,
                       const char *type, const char *status);
/* One decision, performed. Returns its actions as text (in the arena), without event lines unless
 * has_events; revisions are called by letters. */
struct str cluster_decide(struct cluster *cluster, const struct controller *controller,
                          const char *ns, const char *name, bool has_events);
/* Decides until nothing is said, at most max times; returns how often something was. */
int cluster_settle(struct cluster *cluster, const struct controller *controller, const char *ns,
                   const char *name, int max);
/* "A" for the first revision that was created. */
struct str cluster_letter(struct cluster *cluster, struct str revision);

#endif
