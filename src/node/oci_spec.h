// SPDX-License-Identifier: Apache-2.0
//
// The OCI runtime configuration (config.json) of one container, from the pod, the image's
// configuration and what the node prepared (spec/node.md 3.4, 3.5, 14.4; spec/machine.md 1, 7, 8).
#ifndef CORACLE_NODE_OCI_SPEC_H
#define CORACLE_NODE_OCI_SPEC_H

#include "data/quantity.h"
#include "data/val.h"
#include "node/pod_env.h"

struct oci_mount {
    struct str target; /* in the container */
    struct str source; /* on the node */
    bool is_read_only;
    struct str propagation; /* "rprivate", "rslave", "rshared"; empty = rprivate */
};

/* What the kernel gives this node, found once. */
struct oci_machine {
    bool has_one_id;          /* our user namespace maps one id alone (node.h) */
    bool has_cgroups;         /* else cgroupsPath and resources are left out */
    struct str cgroup_parent; /* "/coracle-default": pods go beneath it */
    bool has_gid_5;           /* devpts gid=5 works */
    int oom_floor;            /* lowest oom_score_adj we may set */
    int64_t memory_bytes;
    uint64_t caps; /* the bounding set, bit n = capability n; 0 = unknown, taken for all */
};

struct oci_input {
    const struct val *pod;
    const struct val *container;
    const struct val *image_config; /* may be NULL */
    const struct val *argv;
    const struct env_list *env;
    const char *rootfs;
    const char *id;
    struct str net_path; /* namespaces to join; empty = the node's */
    struct str ipc_path;
    struct str uts_path;
    struct str pid_path; /* empty = a new one */
    const struct oci_mount *mounts;
    size_t mounts_count;
    const struct oci_machine *machine;
    struct str seccomp_dir; /* of Localhost profiles */
};

/* Looks at the machine this process runs on. */
void oci_machine_probe(bool has_one_id, bool has_cgroups, struct oci_machine *ret);

/* The cgroup that holds those of a pod's containers. */
struct str oci_pod_cgroup(const struct oci_machine *machine, const struct val *pod,
                          struct arena *arena);

MUST_CHECK int oci_spec_build(const struct oci_input *input, struct arena *arena, struct val *ret,
                              struct err *err);

/* oci_security.c: process.user from securityContext, image User and the image's own passwd and
 * group files (opened beneath rootfs). Errors carry the messages of spec/node.md 3.4. */
struct oci_user {
    uint32_t uid;
    uint32_t gid;
    uint32_t groups[64];
    size_t groups_count;
};
MUST_CHECK int oci_user_find(const struct oci_input *input, struct oci_user *ret, struct err *err);
/* A securityContext field: the container's value, else the pod's, else NULL. */
const struct val *oci_security(const struct oci_input *input, struct str field);
/* process.capabilities. */
struct val oci_capabilities(const struct oci_input *input, struct arena *arena);
/* A container's quantity, written as text or as a number; false when it has none. */
bool oci_quantity(const struct val *container, const char *path, struct quantity *ret);
/* oci_seccomp.c: linux.seccomp; null = none. caps: the names of the bounding set. */
MUST_CHECK int oci_seccomp(const struct oci_input *input, const struct val *caps,
                           struct arena *arena, struct val *ret, struct err *err);
/* The profile RuntimeDefault. */
struct val oci_seccomp_default(const struct val *caps, struct arena *arena);
/* Why the pod may not run: a sysctl that is not safe or not its own; empty = none. */
struct str pod_forbidden_sysctl(const struct val *pod, struct arena *arena);
/* BestEffort, Burstable, Guaranteed. */
struct str pod_qos(const struct val *pod);
int oci_oom_score(const struct oci_input *input);

/* Creates a directory (or, is_file, an empty file) at path beneath root, following no link out of
 * it. Existing is fine. */
MUST_CHECK int beneath_make(const char *root, struct str path, bool is_file, struct err *err);
/* Opens path in root as if root were "/" ; -1 with err. */
int beneath_open(const char *root, const char *path, int flags, struct err *err);

#endif
