// SPDX-License-Identifier: Apache-2.0
//
// What EndpointSlices and Endpoints have in common: which pods stand behind a Service, and with
// which ports (spec/node.md 7.2).
#ifndef CORACLE_CONTROLLERS_ENDPOINT_H
#define CORACLE_CONTROLLERS_ENDPOINT_H

#include "controllers/decide.h"

struct endpoint {
    const struct val *pod;
    struct str name;
    struct str ip;
    struct val ports; /* list of {name, port, protocol, appProtocol}, in the Service's order */
    bool is_serving;
    bool is_terminating;
    bool is_ready;
    bool is_placed; /* for the caller */
};

/* The Service has a selector and is no ExternalName: its endpoints are ours to manage. */
bool service_is_managed(const struct val *service);
bool service_is_headless(const struct val *service);
bool service_selects(const struct val *service, const struct val *pod);
/* Endpoints of one family in pod name order. */
struct endpoint *service_endpoints(const struct view *view, struct arena *arena,
                                   const struct val *service, bool is_v6, size_t *ret_count);
/* hostname, nodeName and targetRef of an endpoint, set into map; zone is for the caller. */
void endpoint_describe(struct arena *arena, const struct endpoint *endpoint,
                       const struct val *service, struct val *map);
/* Calls add for the Services that select the pod now or did before, unless nothing that endpoints
 * show has changed. */
void endpoint_enqueue_pod(const struct view *view, const struct val *pod, const struct val *before,
                          void (*add)(void *ctx, struct str ns, struct str name), void *ctx);

#endif
