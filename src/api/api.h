// SPDX-License-Identifier: Apache-2.0
//
// The API server without HTTP: a request in, a result out. The HTTP gate and the local client both
// come through api_do, so that controllers, node and users pass the same defaults, checks and
// admission.
#ifndef CORACLE_API_API_H
#define CORACLE_API_API_H

#include "api/kind.h"
#include "api/status.h"
#include "base/rng.h"
#include "store/store.h"

struct api;

struct api_config {
    struct loop *loop;
    struct store *store;
    struct rng *rng;
    uint32_t service_cidr; /* host order; cluster IPs come from here */
    int service_prefix;
    struct str cluster_domain; /* "cluster.local" */
};
struct api *api_new(const struct api_config *config);
void api_free(struct api *api);
const struct api_config *api_config(const struct api *api);

/* Who asks (authn has established it). */
struct api_user {
    struct str name;
    struct str uid;
    const struct str *groups;
    size_t groups_count;
    const struct val *extra; /* map of lists, or NULL */
};

enum api_patch { PATCH_NONE, PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

struct api_options {
    bool is_dry_run;
    struct str field_manager;
    enum { FIELDS_WARN, FIELDS_STRICT, FIELDS_IGNORE } field_validation;
    bool is_force;               /* apply */
    struct str resource_version; /* get, list, watch; empty = unset */
    struct str rv_match;         /* "Exact", "NotOlderThan", empty */
    int64_t limit;               /* 0 = all */
    struct str continue_token;
    struct str label_selector;
    struct str field_selector;
    bool has_bookmarks;
    bool has_initial_events, wants_initial_events; /* sendInitialEvents was given / its value */
    /* delete */
    int64_t grace_seconds;  /* -1 = not given */
    struct str propagation; /* "Background", "Foreground", "Orphan", empty */
    struct str precondition_uid;
    struct str precondition_rv;
};
/* All zero but grace_seconds -1. */
void api_options_init(struct api_options *options);

struct api_result {
    struct status status;  /* code 0 = success */
    int code;              /* HTTP code of the success: 200, 201, 202 */
    struct object *object; /* the object; or NULL and */
    const struct val
        *val;             /* a document that isn't stored (Scale, a review, dry run); or NULL and */
    struct object **list; /* a list */
    size_t list_count;
    bool is_list;
    uint64_t list_rev;
    struct str list_continue;
    int64_t list_remaining; /* -1 = not told */
    /* A DELETE that is complete. object is the last state (NULL in a dry run); val, when set, is
     * what to answer: the Status of kinds that don't return the object, else the last state. */
    bool is_deleted;
};

struct api_req {
    /* What is wanted; all strings live as long as the request. */
    enum api_verb verb;
    enum api_patch patch;
    const struct kind *kind;
    struct str subresource;
    struct str ns;
    struct str name;
    const struct api_user *user;
    const struct val *body; /* decoded document (create, update, delete options, apply), or NULL */
    const struct val *patch_body; /* decoded patch */
    struct api_options opt;
    struct arena *arena; /* the caller's; outlives done */
    /* The end, exactly once: from inside api_do for reads and refusals, from the loop for writes.
     * result is borrowed for the call (arena parts live as long as the arena). */
    void (*done)(struct api_req *req, const struct api_result *result);
    void *ctx;
    /* Warnings so far (unknown fields, deprecations). */
    struct str *warnings;
    size_t warnings_count;
};

void api_do(struct api *api, struct api_req *req);

/* The answer of a virtual kind or of a subresource that lies above this room (TokenRequest, access
 * reviews, eviction's policy): called by api_do for (kind, subresource, create) instead of storing.
 * It calls req->done itself, once. */
typedef void api_handler_fn(void *ctx, struct api *api, struct api_req *req);
void api_register(struct api *api, struct str kind_name, struct str subresource,
                  api_handler_fn *handler, void *ctx);

/* Watching. Events are filtered by the request's selectors: an object that enters them is ADDED,
 * one that leaves is DELETED. */
enum api_event_type { API_ADDED, API_MODIFIED, API_DELETED, API_BOOKMARK, API_ERROR };
struct api_event {
    enum api_event_type type;
    struct object *object; /* ADDED, MODIFIED, DELETED */
    uint64_t rev;          /* BOOKMARK: its resourceVersion */
    bool is_initial_end;   /* BOOKMARK that ends the initial events (WatchList) */
    struct status status;  /* ERROR: then the watch is over */
};
struct api_watch;
/* wake(ctx) as in store_watch. On refusal returns NULL and fills *ret_status (410, 400, 422). The
 * request's strings are copied. */
struct api_watch *api_watch_open(struct api *api, const struct api_req *req,
                                 void (*wake)(void *ctx), void *ctx, struct status *ret_status);
/* 1 = *ret is set (borrowed until the next call), 0 = nothing now. */
int api_watch_next(struct api_watch *watch, struct api_event *ret);
/* Makes the next api_watch_next give a bookmark; the server calls it about once a minute. */
void api_watch_bookmark(struct api_watch *watch);
void api_watch_close(struct api_watch *watch);

/* Reading the head, for admission and handlers; borrowed, NULL = absent. */
const struct val *api_peek(struct api *api, const struct kind *kind, struct str ns,
                           struct str name);
void api_peek_list(struct api *api, const struct kind *kind, struct str ns, struct arena *arena,
                   const struct val ***ret, size_t *ret_count);
/* Storage key of an object, and prefix of a list (ns empty = all). */
struct str api_key(struct arena *arena, const struct kind *kind, struct str ns, struct str name);
struct str api_prefix(struct arena *arena, const struct kind *kind, struct str ns);

#endif
