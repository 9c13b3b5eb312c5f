// SPDX-License-Identifier: Apache-2.0
//
// What the session carriers share: the change of protocol, the choice of a subprotocol, and how a
// session that didn't start is told (spec/api.md 7.1, 7.2, 7.5).
#ifndef CORACLE_SERVER_STREAM_UPGRADE_H
#define CORACLE_SERVER_STREAM_UPGRADE_H

#include "server/internal.h"

enum upgrade { UPGRADE_NONE, UPGRADE_WEBSOCKET, UPGRADE_SPDY };
enum upgrade upgrade_of(const struct job *job);

/* First subprotocol the client offers that is in names; "" when it offers none and names has "".
 * -1 = no common one. */
int upgrade_choose_ws(const struct job *job, const struct str *names, size_t count);
/* Whether X-Stream-Protocol-Version offers name. */
bool upgrade_offers_spdy(const struct job *job, struct str name);

void upgrade_ws(struct job *job, struct str protocol, void (*bytes)(void *ctx, struct str bytes),
                void *ctx);
void upgrade_spdy(struct job *job, struct str protocol, void (*bytes)(void *ctx, struct str bytes),
                  void *ctx);
/* Replies: not an upgrade, or no common protocol. */
void upgrade_refuse(struct job *job);
void upgrade_refuse_spdy(struct job *job, struct str accepted);
/* Replies with what session_ops.open said: INVALID is 400 here. */
void session_refuse(struct job *job, const struct err *err);
/* The Status that ends an exec (spec/api.md 7.4). */
void session_status(struct buf *out, struct arena *arena, int exit_code, const struct err *err);

#endif
