// SPDX-License-Identifier: Apache-2.0
//
// Which node a pod runs on (spec/node.md 10), as a decider: pods without a node in, a binding or
// the reasons against it out. It reserves nothing outside the store: a binding is stored before the
// next pod is looked at, or it is refused and tried again.
#ifndef CORACLE_SCHEDULER_SCHEDULER_H
#define CORACLE_SCHEDULER_SCHEDULER_H

#include "controllers/decide.h"

/* Row "scheduler", events from "default-scheduler". */
extern const struct controller scheduler_controller;

#endif
