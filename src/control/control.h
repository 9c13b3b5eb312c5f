// SPDX-License-Identifier: Apache-2.0
//
// The engine that runs deciders: watches their kinds, keeps a queue of keys (each once, with
// back-off from 5 ms doubling to 1,000 s after failures), gives each decision a view, performs its
// actions through the client. Also what must run beside them: the event recorder, the proxy's
// rules.
#ifndef CORACLE_CONTROL_CONTROL_H
#define CORACLE_CONTROL_CONTROL_H

#include "client/client.h"
#include "controllers/decide.h"
#include "loop/loop.h"

struct control;

struct control_config {
    struct loop *loop;
    struct rng *rng;
    struct client *client;
    /* The client speaks to a server elsewhere: refusals come late, so each write is awaited before
     * the next. A local client refuses at once, and all writes of a decision share one commit. */
    bool is_remote;
};

struct control *control_new(const struct control_config *config);
/* Only once the loop turns no more: watches of a client are for good. */
void control_free(struct control *control);
/* Adds a controller and starts watching for it. */
void control_add(struct control *control, const struct controller *controller);
/* Told of each decision with actions, for traces; may be NULL. */
void control_set_trace(struct control *control,
                       void (*trace)(void *ctx, const struct controller *controller, struct str ns,
                                     struct str name, const struct actions *actions),
                       void *ctx);
/* Nothing queued, nothing under way, no back-off running. */
bool control_is_idle(const struct control *control);

/* Events (core/v1), made or counted up: same source, object, type, reason and message within an
 * hour is one Event with count and lastTimestamp (spec/node.md 1.10, with its spam filter). */
struct recorder;
struct recorder *recorder_new(struct loop *loop, struct rng *rng, struct client *client);
void recorder_free(struct recorder *recorder);
struct event_source {
    struct str component; /* "kubelet" */
    struct str host;      /* node name or empty */
};
/* object: the involved object (kind row and tree); field_path may be empty ("spec.containers{c}").
 */
void recorder_event(struct recorder *recorder, struct event_source source, const struct kind *kind,
                    const struct val *object, struct str field_path, struct str type,
                    struct str reason, struct str message);

#endif
