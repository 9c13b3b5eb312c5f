// SPDX-License-Identifier: Apache-2.0
//
// Exec, attach, logs and port-forward on this node: the node's side of api/streams.h.
//
// Invariants: (1) output and ended come from the loop, never from inside a call of session_ops;
// (2) nothing comes after close or ended; (3) a paused session reads nothing, so its source blocks;
// (4) unsent input is at most STREAM_BACKLOG_MAX more than one call brought, if the caller heeds
// backlog.
#ifndef CORACLE_NODE_SESSIONS_H
#define CORACLE_NODE_SESSIONS_H

#include "api/streams.h"
#include "loop/loop.h"
#include "node/pod_lookup.h"
#include "node/runtime.h"

struct sessions;

/* lookup is copied. With a runtime other than conmon, exec is ERR_UNSUPPORTED. */
struct sessions *sessions_open(struct loop *loop, struct runtime *runtime,
                               const struct pod_lookup *lookup, struct err *err);
/* Ends all sessions without a word. */
void sessions_close(struct sessions *owner);
/* The `node` argument of open is a struct sessions *. */
const struct session_ops *sessions_ops(void);

#endif
