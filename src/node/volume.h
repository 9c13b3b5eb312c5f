// SPDX-License-Identifier: Apache-2.0
//
// Volumes of a pod (spec/node.md 4): made ready before its containers, taken away after them.
// emptyDir, hostPath, configMap, secret, downwardAPI, projected (with service account tokens),
// persistentVolumeClaim and ephemeral claims on directories of this node.
//
// Invariants: (1) mounting is idempotent: a new brain mounts again what is there and changes
// nothing; (2) projected files change all at once (volume_files.c); (3) nothing beneath a volume's
// root is reached through a link (openat2); (4) a volume's failure is told once per message.
#ifndef CORACLE_NODE_VOLUME_H
#define CORACLE_NODE_VOLUME_H

#include "node/pod.h"

struct volume;

/* The volume at facts.volumes[index]. */
struct volume *volume_new(struct pod *pod, size_t index);
void volume_free(struct volume *volume);
/* Starts making it ready; ends as facts.volumes[index].state and a pod_wake. */
void volume_mount(struct volume *volume);
/* An object changed: retries what waits for it, projects again what shows it. */
void volumes_object_changed(struct pod *pod, enum kind_id kind, struct str name);
/* Unmounts everything of the pod that is mounted and removes it. */
void volumes_unmount(struct pod *pod);
/* Directory (or file) on the node that the volume stands for; NULL = no such volume. */
const char *volume_path(const struct pod *pod, struct str name);
bool volume_is_read_only(const struct pod *pod, struct str name);

/* volume_subpath.c: resolves subPath of a mount beneath the volume's root, makes it when absent,
 * and binds it at <pod>/volume-subpaths/<vol>/<container>/<index>. */
MUST_CHECK int volume_subpath(const struct pod *pod, struct str volume, struct str sub_path,
                              const char *container, size_t index, struct arena *arena,
                              struct str *ret, struct err *err);
void volume_subpaths_unmount(const struct pod *pod, const char *container);
/* Lazily unmounts every mount point at or below dir (from /proc/self/mountinfo), deepest first. */
MUST_CHECK int unmount_below(const char *dir, struct err *err);

#endif
