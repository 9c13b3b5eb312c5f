// SPDX-License-Identifier: Apache-2.0
//
// The verbs as controllers and nodes use them: reads from a cache that is current, watch callbacks,
// and writes that complete later. Two implementations: calls into api/ (client_local.c), HTTPS to a
// server elsewhere. A holder can't tell which one it has.
#ifndef CORACLE_CLIENT_CLIENT_H
#define CORACLE_CLIENT_CLIENT_H

#include "api/api.h"

struct client;

/* object NULL in a deletion never happens: the last state is given with is_delete. Borrowed. before
 * may be NULL. */
typedef void client_event_fn(void *ctx, const struct kind *kind, struct object *object,
                             struct object *before, bool is_delete);

struct client_write {
    enum api_verb verb;   /* CREATE, UPDATE, PATCH, DELETE */
    enum api_patch patch; /* PATCH: JSON, MERGE, STRATEGIC */
    enum kind_id kind;
    struct str subresource; /* "status", "binding", "token", "" … */
    struct str ns;
    struct str name;
    const struct val *body; /* copied before the call returns */
    uint64_t expect_rev;    /* 0 = unconditional (UPDATE: what the body says) */
    struct str expect_uid;  /* precondition, empty = none */
    int64_t grace_seconds;  /* DELETE; -1 = the object's own */
    struct str propagation; /* DELETE; empty = default */
};
/* object: the result (NULL for what isn't stored: val then). err NULL = success. Borrowed. */
typedef void client_done_fn(void *ctx, struct object *object, const struct val *val,
                            const struct err *err);

struct client_ops {
    struct object *(*get)(struct client *client, enum kind_id kind, struct str ns, struct str name);
    /* In key order; ns empty = all. Borrowed objects; each returns false to stop. */
    void (*list)(struct client *client, enum kind_id kind, struct str ns,
                 bool (*each)(void *ctx, struct object *object), void *ctx);
    /* Events of a kind from now on, called from the loop, after an event for each that exists. For
     * good. */
    void (*watch)(struct client *client, enum kind_id kind, client_event_fn *fn, void *ctx);
    /* 0: accepted, done comes from the loop (may be NULL). Negative: refused, done does not come.
     */
    int (*write)(struct client *client, const struct client_write *write, client_done_fn *done,
                 void *ctx, struct err *err);
};
struct client {
    const struct client_ops *ops;
};

/* A client on the API of this process that acts as user (copied). */
struct client *client_local_new(struct api *api, const struct api_user *user);
void client_local_free(struct client *client);

#endif
