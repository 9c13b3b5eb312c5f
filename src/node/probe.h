// SPDX-License-Identifier: Apache-2.0
//
// Probes (spec/node.md 2): one per container and type, HTTP, TCP, gRPC and exec, from the node's
// own network. A probe keeps slot->verdicts current and wakes the pod when one changes; a failed
// liveness or startup probe condemns the container (must_restart).
#ifndef CORACLE_NODE_PROBE_H
#define CORACLE_NODE_PROBE_H

#include "node/pod.h"

/* Starts and stops the probes of a pod's slots to fit the facts. */
void probes_update(struct pod *pod);
/* Stops those of one slot. */
void probes_stop(struct pod *pod, size_t index);
/* First verdicts of a new instance. */
void probes_reset(struct slot *slot);

#endif
