// SPDX-License-Identifier: Apache-2.0
//
// Traces of one StatefulSet, default/web: a list of steps; in each something happens, one decision
// is made and performed, and its actions are compared.
#ifndef CORACLE_TESTS_SET_STEPS_H
#define CORACLE_TESTS_SET_STEPS_H

#include "cluster.h"

extern const struct controller controller_statefulset;

struct step {
    const char *op;   /* see run_op */
    const char *want; /* actions without events; or what the op prints */
};

/* Stores the set; spec is JSON that goes behind the usual selector, template and strategy. */
void put_set(struct cluster *c, const char *spec);
#define CLAIM                                                                                      \
    "\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"data\"},\"spec\":{\"accessModes\":"       \
    "[\"ReadWriteOnce\"]}}]"

/* "ready web-0", "phase web-0 Failed", "unready web-0", "gone web-0", "delete web-0",
 * "crash web-0", "mark web-0", "gone-claim data-web-0", "image b", "set <path> <json>",
 * "annotate <key> <value>", "wait <seconds>", "status", "revision web-0", "condition Available";
 * the last three print instead of deciding. */
struct str run_op(struct cluster *c, const char *op);
void run_steps(struct cluster *c, const struct step *steps, size_t count);
#define RUN(c, steps) run_steps(c, steps, sizeof(steps) / sizeof((steps)[0]))
#define STATUS        "PATCH_STATUS statefulsets default/web\n"

/* Brings a set to rest with pods 0 .. n-1 ready. */
void settle(struct cluster *c, int n);

#endif
