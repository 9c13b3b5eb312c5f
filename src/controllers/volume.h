// SPDX-License-Identifier: Apache-2.0
//
// What the volume controllers share: fitting volumes to claims (spec/node.md 9.2).
#ifndef CORACLE_CONTROLLERS_VOLUME_H
#define CORACLE_CONTROLLERS_VOLUME_H

#include "controllers/decide.h"

#define ANN_BIND_COMPLETED   S("pv.kubernetes.io/bind-completed")
#define ANN_BOUND_BY         S("pv.kubernetes.io/bound-by-controller")
#define ANN_PROVISIONED_BY   S("pv.kubernetes.io/provisioned-by")
#define ANN_PROVISIONER      S("volume.kubernetes.io/storage-provisioner")
#define ANN_PROVISIONER_BETA S("volume.beta.kubernetes.io/storage-provisioner")
#define ANN_SELECTED_NODE    S("volume.kubernetes.io/selected-node")
#define ANN_CLASS_BETA       S("volume.beta.kubernetes.io/storage-class")

#define DIRECTORY_PROVISIONER S("coracle.io/directory")
#define DIRECTORY_FINALIZER   S("coracle.io/directory")

struct str claim_class(const struct val *claim);
struct str volume_class(const struct val *volume);
/* The claim's StorageClass object, or NULL. */
const struct val *claim_class_obj(const struct view *view, const struct val *claim);
bool class_is_waiting(const struct val *class); /* WaitForFirstConsumer */
bool claim_is_bound(const struct val *claim);   /* binding is complete */

/* The volume's claimRef names this claim; is_exact: with its uid, else an empty uid will do. */
bool volume_is_for(const struct val *volume, const struct val *claim, bool is_exact);
/* Why a volume that the claim asks for by name does not fit, or empty. */
struct str volume_misfit(const struct val *volume, const struct val *claim);
/* The volume to bind to the claim, or NULL. is_reserved_only: just those that name the claim. */
const struct val *volume_find(const struct view *view, struct arena *arena, const struct val *claim,
                              bool is_reserved_only);

#endif
