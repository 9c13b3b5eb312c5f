// SPDX-License-Identifier: Apache-2.0
//
// Keeps what the network lets through in step with NetworkPolicies, pods and namespaces: any change
// of a turn that matters gives one rebuild in that turn (proxy/policy.h) and at most one load.
#ifndef CORACLE_CONTROL_POLICY_LOOP_H
#define CORACLE_CONTROL_POLICY_LOOP_H

#include "client/client.h"
#include "loop/loop.h"
#include "net/policy.h"

struct policy_loop;
/* loader is borrowed. For the process' life. */
struct policy_loop *policy_loop_new(struct loop *loop, struct client *client,
                                    struct policy_loader *loader);
void policy_loop_free(struct policy_loop *policies);

#endif
