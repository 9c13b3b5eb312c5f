// SPDX-License-Identifier: Apache-2.0
//
// What is particular to a kind: defaults, checks, admission. The verbs (api/verbs_*.c) call these
// in this order on every write, whoever writes:
//   create: decode, defaults, prepare, admit, generic metadata, validate
//   update: decode, defaults, prepare (with old), admit (with old), generic metadata, validate,
//   validate_update
// Slots may be NULL. obj is the typed tree in the request's arena.
#ifndef CORACLE_API_STRATEGY_H
#define CORACLE_API_STRATEGY_H

#include "api/kind.h"
#include "api/status.h"

struct api;

/* What admission may look at: the cluster as the next write will find it (the store's head). */
struct admission {
    struct api *api;
    struct arena *arena;
    const struct kind *kind;
    struct str ns;
    struct str subresource; /* "" = the object itself */
    const struct val *old;  /* NULL = create */
    struct causes *causes;  /* field errors: 422 */
    struct status *denied;  /* set (code != 0): the request fails with this */
    /* Warnings for the client: "Warning: 299" headers. */
    void (*warn)(void *ctx, struct str text);
    void *warn_ctx;
    bool is_dry_run;
};

struct strategy {
    /* Server-side defaults; idempotent; runs on what is read back and patched, too. */
    void (*defaults)(struct arena *arena, struct val *obj);
    /* Clears what clients may not set (status on create), copies what they may not change. */
    void (*prepare)(struct arena *arena, struct val *obj, const struct val *old,
                    struct str subresource);
    /* Fills in from the cluster: cluster IPs, service account, default class, token volume. */
    void (*admit)(struct admission *a, struct val *obj);
    void (*validate)(const struct val *obj, struct causes *causes);
    void (*validate_update)(const struct val *obj, const struct val *old, struct causes *causes);
    /* The name's rule: NULL = DNS subdomain. Returns the text of what is wrong or empty. */
    struct str (*check_name)(struct str name, bool is_prefix);
    /* Value of a field selector's path besides metadata.name and metadata.namespace; false = no
     * such label ("field label not supported"). */
    bool (*field)(struct arena *arena, const struct val *obj, struct str path, struct str *ret);
    /* Seconds until the object is really gone, 0 = at once (pods only); asked = -1 = not given. */
    int64_t (*grace_seconds)(const struct val *obj, int64_t asked);
};

/* Rows by kind name ("apps/StatefulSet"), bound to kinds.def at compile time. */
#define STRATEGIES(X)                                                                              \
    X(pod)                                                                                         \
    X(service)                                                                                     \
    X(namespace)                                                                                   \
    X(node)                                                                                        \
    X(config_map)                                                                                  \
    X(secret)                                                                                      \
    X(service_account)                                                                             \
    X(persistent_volume)                                                                           \
    X(persistent_volume_claim)                                                                     \
    X(storage_class)                                                                               \
    X(event)                                                                                       \
    X(endpoints)                                                                                   \
    X(endpoint_slice)                                                                              \
    X(stateful_set)                                                                                \
    X(controller_revision)                                                                         \
    X(network_policy)                                                                              \
    X(lease)                                                                                       \
    X(pod_disruption_budget)                                                                       \
    X(role)                                                                                        \
    X(role_binding)                                                                                \
    X(cluster_role)                                                                                \
    X(cluster_role_binding)
#define STRATEGY_DECLARE(name) extern const struct strategy strategy_##name;
STRATEGIES(STRATEGY_DECLARE)
#undef STRATEGY_DECLARE

#endif
