// SPDX-License-Identifier: Apache-2.0
//
// Which node a pod runs on (spec/node.md 10), as a decider: pods without a node in, a binding or
// the reasons against it out. One decision looks at all waiting pods, in key order, and counts each
// where it puts it; between decisions nothing is remembered.
#ifndef CORACLE_SCHEDULER_SCHEDULER_H
#define CORACLE_SCHEDULER_SCHEDULER_H

#include "controllers/decide.h"

/* Row "scheduler", events from "default-scheduler". */
extern const struct controller scheduler_controller;

#endif
