// SPDX-License-Identifier: Apache-2.0
//
// Kinds as rows. kinds.def holds one row a kind; routing, discovery, OpenAPI, storage keys, tables
// and RBAC names are read from it. Adding a kind is a row, a strategy and its tests
// (docs/add-a-kind.md).
#ifndef CORACLE_API_KIND_H
#define CORACLE_API_KIND_H

#include "api/schema.h"
#include "base/str.h"

#include <stdbool.h>

enum api_verb {
    VERB_GET,
    VERB_LIST,
    VERB_WATCH,
    VERB_CREATE,
    VERB_UPDATE,
    VERB_PATCH,
    VERB_DELETE,
    VERB_DELETE_COLLECTION,
    VERB_COUNT
};
/* "get", …, "deletecollection": RBAC and discovery names. */
struct str verb_name(enum api_verb verb);

enum {
    KIND_NAMESPACED = 1,
    KIND_GENERATION = 2,       /* metadata.generation counts spec changes */
    KIND_VOLATILE = 4,         /* memory only: Event, Lease */
    KIND_CREATE_ON_UPDATE = 8, /* PUT to an absent name creates */
    KIND_NEEDS_RV = 16,        /* no unconditional update */
    KIND_VIRTUAL = 32,         /* create only, nothing is stored: reviews, TokenRequest */
    KIND_DELETE_RETURNS = 64   /* DELETE answers with the object, not a Status */
};

struct subresource {
    struct str name;       /* "status", "scale", "exec" */
    unsigned verbs;        /* bits 1 << enum api_verb */
    struct str kind_group; /* the body's kind where it differs: autoscaling / v1 / Scale */
    struct str kind_version;
    struct str kind_name;
};

struct strategy;
struct table_columns;

struct kind {
    struct str group; /* "" = core */
    struct str version;
    struct str name;     /* "StatefulSet" */
    struct str plural;   /* "statefulsets" */
    struct str singular; /* "statefulset" */
    const struct str *short_names;
    size_t short_names_count;
    struct str category; /* "all" or empty */
    unsigned flags;
    unsigned verbs;
    const struct subresource *subresources;
    size_t subresources_count;
    struct str type_name;                /* row of the schema tables */
    const struct strategy *strategy;     /* NULL = generic rules only */
    const struct table_columns *columns; /* NULL = Name, Created At */
    struct str storage; /* "<plural>[.<group>]" of the key; events.k8s.io shares core's */
};

/* Static rows, in discovery order. */
const struct kind *kinds(size_t *ret_count);
/* By URL (plural) or by object (kind name); NULL = not served. group "" = core. */
const struct kind *kind_by_plural(struct str group, struct str version, struct str plural);
const struct kind *kind_by_name(struct str group, struct str version, struct str name);
const struct subresource *kind_subresource(const struct kind *kind, struct str name);
const struct schema_type *kind_type(const struct kind *kind);
/* "apps/v1" or "v1". */
struct str kind_api_version(const struct kind *kind);
/* "statefulsets.apps" or "pods": as messages and keys name it. */
struct str kind_qualified(const struct kind *kind);
/* Splits "apps/v1" into group and version. */
void api_version_split(struct str api_version, struct str *ret_group, struct str *ret_version);

/* The kinds that controllers and node name in code, so that they don't search at run time. */
#define KIND_NAMES(X)                                                                              \
    X(NAMESPACE, "", "v1", "Namespace")                                                            \
    X(NODE, "", "v1", "Node")                                                                      \
    X(POD, "", "v1", "Pod")                                                                        \
    X(SERVICE, "", "v1", "Service")                                                                \
    X(ENDPOINTS, "", "v1", "Endpoints")                                                            \
    X(ENDPOINT_SLICE, "discovery.k8s.io", "v1", "EndpointSlice")                                   \
    X(CONFIG_MAP, "", "v1", "ConfigMap")                                                           \
    X(SECRET, "", "v1", "Secret")                                                                  \
    X(SERVICE_ACCOUNT, "", "v1", "ServiceAccount")                                                 \
    X(PV, "", "v1", "PersistentVolume")                                                            \
    X(PVC, "", "v1", "PersistentVolumeClaim")                                                      \
    X(STORAGE_CLASS, "storage.k8s.io", "v1", "StorageClass")                                       \
    X(EVENT, "", "v1", "Event")                                                                    \
    X(STATEFUL_SET, "apps", "v1", "StatefulSet")                                                   \
    X(CONTROLLER_REVISION, "apps", "v1", "ControllerRevision")                                     \
    X(LEASE, "coordination.k8s.io", "v1", "Lease")                                                 \
    X(NETWORK_POLICY, "networking.k8s.io", "v1", "NetworkPolicy")                                  \
    X(PDB, "policy", "v1", "PodDisruptionBudget")                                                  \
    X(ROLE, "rbac.authorization.k8s.io", "v1", "Role")                                             \
    X(ROLE_BINDING, "rbac.authorization.k8s.io", "v1", "RoleBinding")                              \
    X(CLUSTER_ROLE, "rbac.authorization.k8s.io", "v1", "ClusterRole")                              \
    X(CLUSTER_ROLE_BINDING, "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding")
enum kind_id {
#define KIND_ID(id, group, version, name) KIND_##id,
    KIND_NAMES(KIND_ID)
#undef KIND_ID
        KIND_ID_COUNT
};
const struct kind *kind_of(enum kind_id id);

#endif
