// SPDX-License-Identifier: Apache-2.0
//
// What the verb files of this room share. Not for other rooms: they have api/api.h.
//
// A write is one `struct write` in the request's arena: it takes the object's head, builds the next
// version in `obj`, and hands it to the store in the same call, so that nothing comes between
// (store.h, invariant 4). Steps return 0, or -1 with `status` set; write_end answers either way.
#ifndef CORACLE_API_VERBS_H
#define CORACLE_API_VERBS_H

#include "api/api.h"
#include "api/strategy.h"

struct handler {
    struct str kind_name; /* owned, with subresource */
    struct str subresource;
    api_handler_fn *fn;
    void *ctx;
};

struct api {
    struct api_config config;
    char *domain; /* owned: config.cluster_domain */
    struct handler *handlers;
    size_t handlers_count;
};

/* The answers. */
void req_done(struct api_req *req, const struct api_result *result);
void req_fail(struct api_req *req, const struct status *status);
void req_object(struct api_req *req, int code, struct object *object);
void req_val(struct api_req *req, int code, const struct val *val);
/* {"kind":"Status","status":"Success"} with details of what was done. */
struct val status_success(struct arena *arena, const struct kind *kind, struct str name,
                          struct str uid);
/* Adds a warning for the client to the request. */
void req_warn(struct api_req *req, struct str text);
/* 504 "Too large resource version". */
struct status status_future_rev(struct arena *arena, uint64_t asked, uint64_t current);

void read_get(struct api *api, struct api_req *req);
void read_list(struct api *api, struct api_req *req);
void write_create(struct api *api, struct api_req *req);
void write_update(struct api *api, struct api_req *req);
void write_patch(struct api *api, struct api_req *req);
void delete_one(struct api *api, struct api_req *req);
void delete_collection(struct api *api, struct api_req *req);

/* Subresources with a body of their own: scale, binding, eviction, finalize. false = not one of
 * them. */
bool subresource_do(struct api *api, struct api_req *req);

/* How the store holds objects of a kind. */
static inline int kind_store_flags(const struct kind *kind)
{
    return (kind->flags & KIND_VOLATILE) != 0 ? STORE_VOLATILE : 0;
}

/* Checks of resourceVersion and resourceVersionMatch; 0 and the revision (0 = now), or -1. */
int options_check_list(struct api_req *req, struct status *ret_status);
int options_rev(struct api *api, struct arena *arena, struct str text, uint64_t *ret,
                struct status *ret_status);

/* What a list or watch lets through. */
struct filter {
    struct arena *arena; /* of the selectors */
    struct selector *labels;
    struct field_selector *fields;
    bool is_everything;
    struct str name; /* metadata.name=x, or empty */
};
int filter_init(struct filter *filter, struct arena *arena, const struct kind *kind,
                struct str label_selector, struct str field_selector, struct status *ret_status);
/* scratch holds what strategies compute; may be the request's arena. */
bool filter_passes(const struct filter *filter, struct arena *scratch, const struct object *object);

struct write {
    struct api *api;
    struct api_req *req;
    struct arena *arena;
    const struct kind *kind;
    struct str subresource;
    struct str ns;
    struct str name;
    struct str key;
    struct object *head;   /* NULL = create; borrowed for the turn */
    const struct val *old; /* its tree */
    struct val obj;        /* the next version */
    bool is_apply;         /* managedFields are already made */
    bool is_untracked;     /* the body asks to forget the managed fields */
    bool is_forced_scale;  /* the writer is the scale subresource */
    int code;              /* of success */
    struct status status;  /* of failure */
    /* Makes the answer from what was stored; NULL = the object itself. */
    void (*answer)(struct write *write, const struct val *stored);
    void *answer_ctx;
};

struct write *write_new(struct api *api, struct api_req *req);
int write_fail(struct write *write, struct status status);
int write_fail_err(struct write *write, const struct err *err);
/* Finds the head of write->name; 404 when absent. */
int write_find(struct write *write);
/* uid and resourceVersion preconditions of the options. */
int write_preconditions(struct write *write);
/* Takes a client's document into write->obj: copied, checked against the schema, named. */
int write_decode(struct write *write, const struct val *body);
/* From obj to the store: metadata, strategy, checks, managed fields, put. */
int write_create_obj(struct write *write);
int write_update_obj(struct write *write);
/* Answers the failure when rc < 0; successes answer themselves. */
void write_end(struct write *write, int rc);
/* Proposes obj (or the deletion with obj as the last state) and answers when it is durable. */
int write_put(struct write *write);
int write_remove(struct write *write);
void write_answer(struct write *write, struct object *object, const struct val *val);
/* The object is on its way out and nothing holds it. */
bool write_is_finished(const struct write *write);

/* The deletion of write->head under the request's options. */
int delete_obj(struct write *write);

/* Server-side apply: makes obj from the head and the intent in req->patch_body or body. */
int write_apply(struct write *write);

#endif
