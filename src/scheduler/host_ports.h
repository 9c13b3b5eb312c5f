// SPDX-License-Identifier: Apache-2.0
//
// Whether two pods want the same port of their node: asked before a pod is bound, and again by the
// node of a pod that came there without the scheduler (spec/node.md 10.1).
#ifndef CORACLE_SCHEDULER_HOST_PORTS_H
#define CORACLE_SCHEDULER_HOST_PORTS_H

#include "data/val.h"

#include <stdbool.h>

/* Of two pods' specs. */
bool host_ports_clash(const struct val *spec, const struct val *other);

#endif
