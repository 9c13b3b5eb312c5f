// SPDX-License-Identifier: Apache-2.0
//
// PodStatus from facts (spec/node.md 1.1 to 1.3); pure. What the node doesn't own (readiness gates,
// DisruptionTarget, nominatedNodeName, qosClass …) is carried over from the status that is there.
#ifndef CORACLE_NODE_POD_STATUS_H
#define CORACLE_NODE_POD_STATUS_H

#include "base/arena.h"
#include "node/pod_facts.h"

/* The whole status in the arena; equal to facts->pod's status when nothing changed. */
struct val pod_status(const struct pod_facts *facts, struct arena *arena);
/* The phase alone; static. */
struct str pod_phase(const struct pod_facts *facts);

/* Fields of a ContainerStatus. */
struct val container_status(const struct pod_facts *facts, const struct slot *slot,
                            const struct val *before, struct arena *arena);

#endif
