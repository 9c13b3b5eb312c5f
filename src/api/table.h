// SPDX-License-Identifier: Apache-2.0
//
// Columns of Tables as rows: what `kubectl get` prints (spec/api.md 8.2). A cell function looks at
// one object and gives the cell; table.c puts envelope and rows around them. Kinds without columns
// get Name and Created At.
#ifndef CORACLE_API_TABLE_H
#define CORACLE_API_TABLE_H

#include "base/arena.h"
#include "base/clock.h"
#include "data/val.h"

/* What a cell is made from. */
struct cell_in {
    struct arena *arena;
    const struct val *obj;
    usec now; /* wall clock: ages */
};
typedef struct val cell_fn(const struct cell_in *in);

struct column {
    struct str name;
    struct str type;   /* "string", "integer", "boolean", "date" */
    struct str format; /* "name" or empty */
    int priority;      /* 1 = only with -o wide */
    cell_fn *cell;
};

struct table_columns {
    const struct column *list;
    size_t count;
    /* Row conditions ([]TableRowCondition), or NULL; null value = none. */
    cell_fn *conditions;
};

/* One set of columns a kind of kinds.def: columns_pod, … */
#define TABLE_COLUMNS(X)                                                                           \
    X(config_map)                                                                                  \
    X(controller_revision)                                                                         \
    X(endpoint_slice)                                                                              \
    X(endpoints)                                                                                   \
    X(event)                                                                                       \
    X(network_policy)                                                                              \
    X(ingress_class)                                                                               \
    X(lease)                                                                                       \
    X(namespace)                                                                                   \
    X(node)                                                                                        \
    X(persistent_volume)                                                                           \
    X(persistent_volume_claim)                                                                     \
    X(pod)                                                                                         \
    X(pod_disruption_budget)                                                                       \
    X(pod_template)                                                                                \
    X(priority_class)                                                                              \
    X(role_binding)                                                                                \
    X(scale)                                                                                       \
    X(secret)                                                                                      \
    X(service)                                                                                     \
    X(service_account)                                                                             \
    X(stateful_set)                                                                                \
    X(storage_class)
#define TABLE_DECLARE(name) extern const struct table_columns columns_##name;
TABLE_COLUMNS(TABLE_DECLARE)
#undef TABLE_DECLARE

#endif
