// SPDX-License-Identifier: Apache-2.0
//
// Keeps the network's service rules in step with Services and EndpointSlices: any change of a turn
// gives one rebuild in that turn (proxy/), and one batch of differences (net/).
#ifndef CORACLE_CONTROL_PROXY_LOOP_H
#define CORACLE_CONTROL_PROXY_LOOP_H

#include "client/client.h"
#include "loop/loop.h"
#include "net/ruleset.h"
#include "proxy/proxy.h"

struct proxy_loop;
/* loader is borrowed. For the process' life. */
struct proxy_loop *proxy_loop_new(struct loop *loop, struct client *client,
                                  struct rule_loader *loader, const struct proxy_config *config);
void proxy_loop_free(struct proxy_loop *proxy);

#endif
