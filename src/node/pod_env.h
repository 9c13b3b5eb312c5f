// SPDX-License-Identifier: Apache-2.0
//
// A container's environment and command line: $(VAR) expansion, envFrom, valueFrom, service
// variables, the downward API (spec/node.md 3.1, 3.2). Reads objects through the client, writes
// nothing.
#ifndef CORACLE_NODE_POD_ENV_H
#define CORACLE_NODE_POD_ENV_H

#include "client/client.h"

struct env_var {
    struct str name;
    struct str value;
};
struct env_list {
    struct arena *arena;
    struct env_var *vars;
    size_t count;
    size_t cap;
};
/* Sets a variable; one that is there keeps its place. */
void env_set(struct env_list *env, struct str name, struct str value);
/* NULL = not set. */
const struct env_var *env_find(const struct env_list *env, struct str name);

/* What values are taken from; strings outlive the call. */
struct pod_source {
    struct client *client;
    const struct val *pod;
    struct str pod_ip;
    struct str host_ip;
    struct str node_name;
    const struct val *allocatable; /* of the node: what unset limits give */
};

/* $(NAME) of text, by the rules of spec/node.md 3.1. */
struct str env_expand(const struct env_list *env, struct str text, struct arena *arena);
/* As env_expand for subPathExpr: an unknown or empty variable is ERR_INVALID. */
MUST_CHECK int env_expand_strict(const struct env_list *env, struct str text, struct arena *arena,
                                 struct str *ret, struct err *err);

/* Fills env: image Env, PATH, HOSTNAME, service variables, envFrom, env. image_config may be NULL.
 * Errors carry the message of CreateContainerConfigError. */
MUST_CHECK int env_build(const struct pod_source *source, const struct val *container,
                         const struct val *image_config, struct str hostname, struct env_list *env,
                         struct err *err);
/* Only literals of container.env, for the commands of exec probes. */
void env_static(const struct val *container, struct env_list *env);
/* argv of the container in the arena, as a list of strings. ERR_INVALID `no command specified`. */
MUST_CHECK int env_command(const struct val *container, const struct val *image_config,
                           const struct env_list *env, struct arena *arena, struct val *ret,
                           struct err *err);

/* fieldRef and resourceFieldRef; is_volume also knows whole labels and annotations. container NULL
 * = resourceFieldRef must name one. */
MUST_CHECK int field_ref(const struct pod_source *source, struct str path, bool is_volume,
                         struct arena *arena, struct str *ret, struct err *err);
MUST_CHECK int resource_ref(const struct pod_source *source, const struct val *ref,
                            const struct val *container, struct arena *arena, struct str *ret,
                            struct err *err);
/* The container of this name in spec.containers, initContainers, ephemeralContainers. */
const struct val *pod_container_spec(const struct val *pod, struct str name);

#endif
