// SPDX-License-Identifier: Apache-2.0
//
// The gate's request on its way through authn, route, decode, api and reply.
//
// Invariants: (1) a job ends once, by job_end after its exchange was ended; (2) it outlives its
// server when the API still works on it (server NULL then), and its client (http_is_gone).
#ifndef CORACLE_SERVER_INTERNAL_H
#define CORACLE_SERVER_INTERNAL_H

#include "api/render.h"
#include "base/list.h"
#include "base/map.h"
#include "server/negotiate.h"
#include "server/route.h"
#include "server/server.h"
#include "wire/http.h"

struct server {
    struct server_config c;
    struct http_server *http;
    struct list jobs;  /* struct job, in order of arrival */
    struct map totals; /* "GET 200" -> uint64_t count */
    size_t watches_count;
    size_t sessions_count;
};

struct job {
    struct list node;
    struct server *server;
    struct http_request *http;
    struct http_exchange *x;
    struct arena *arena;
    struct api_user user;
    struct route route;
    const struct kind *kind;
    const struct subresource *sub;
    enum api_verb verb;
    struct accept accept;
    bool is_pretty;
    struct api_req req;
    struct api_options opt;
    /* Ends what runs for the job (a watch, a session) when the client or the server goes; it must
     * end the exchange and the job. NULL = nothing runs that can be ended. */
    void (*abandon)(struct job *job);
};

/* reply.c */
void job_end(struct job *job, int code); /* counts; the exchange is over already */
void reply_status(struct job *job, const struct status *status);
void reply_error(struct job *job, const struct err *err);
void reply_text(struct job *job, int code, struct str type, struct str body);
void reply_result(struct job *job, const struct api_result *result);
/* A document that clients cache: ETag, 304. */
void reply_document(struct job *job, struct str type, struct str body);
struct str http_date(struct arena *arena, usec wall);
struct http_header *reply_headers(struct job *job, struct str type, size_t *ret_count);
/* Status for a refusal without a kind. */
struct status plain_status(int code, const char *reason, struct str message);

/* authn.c: fills job->user. false = replied. */
bool authenticate(struct job *job);
bool authorize(struct job *job, bool is_watch);

/* options.c */
bool read_options(struct job *job, struct status *ret);
bool read_body(struct job *job, struct status *ret);
bool query_flag(struct job *job, struct str name); /* "1", "true"; present and empty counts */
struct str query_text(struct job *job, struct str name);
bool query_number(struct job *job, struct str name, int64_t *ret, struct status *status);

/* documents.c: everything that is no resource. */
void serve_path(struct job *job);
/* The empty list of custom resource definitions; false = another request. kubectl asks for it
 * before it says that a kind is unknown: with a 404 the user would read of that instead of their
 * misspelt kind. */
bool serve_custom_kinds(struct job *job);

/* watch.c */
void serve_watch(struct job *job);

/* Sessions: stream_remote.c (exec, attach), stream_forward.c, stream_log.c. */
void serve_remote(struct job *job);
void serve_forward(struct job *job);
void serve_log(struct job *job);
/* stream_proxy.c */
void serve_proxy(struct job *job);

#endif
