// SPDX-License-Identifier: Apache-2.0
//
// HTTP requests through libcurl, which is loaded when the first set is made: only the image worker
// ever maps it. One request at once (transfer_get) or several side by side (transfer_start,
// transfers_run). Blocks; for the worker process alone.
//
// Invariants: (1) an authorization goes to the host of the URL and to no other: redirects to
// another host lose it; (2) a request made over TLS is never redirected to plain HTTP; (3) what
// moves slower than TRANSFER_SLOW_BYTES a second for TRANSFER_SLOW_SECONDS fails.
#ifndef CORACLE_REGISTRY_TRANSFER_H
#define CORACLE_REGISTRY_TRANSFER_H

#include "registry/answer.h"

enum {
    TRANSFER_REDIRECTS_MAX = 5,
    TRANSFER_CONNECT_SECONDS = 30,
    TRANSFER_SLOW_BYTES = 1024,
    TRANSFER_SLOW_SECONDS = 30,
    TRANSFER_GET_SECONDS = 120, /* for the whole of what transfer_get fetches */
};

struct transfers; /* what goes on side by side, and the connections that stay open */

/* ERR_UNSUPPORTED names the package when libcurl is missing. */
struct transfers *transfers_new(struct err *err);
void transfers_free(struct transfers *all);

struct transfer_request {
    struct str url;
    struct str authorization; /* header value; empty = none */
    struct str accept;        /* empty = none */
    struct str form;          /* URL-encoded: sent as a POST; empty = GET */
    bool is_head;             /* HEAD: no body */
    bool is_direct;           /* through no proxy */
    uint64_t offset;          /* from this byte on (Range) */
    struct str ca_file;       /* empty = the system's */
    bool is_unverified;       /* any certificate will do */
};

/* ERR_AGAIN when the other side does not speak TLS, ERR_TIMEOUT, ERR_DENIED (its certificate),
 * ERR_IO: in libcurl's words. The body (at most bytes_max, else ERR_LIMIT) lives in arena, the head
 * until the next request. */
MUST_CHECK int transfer_get(struct transfers *all, const struct transfer_request *request,
                            size_t bytes_max, struct arena *arena,
                            const struct transfer_head **ret_head, struct str *ret_body,
                            struct err *err);

/* bytes gets the body in pieces and may refuse them (negative: the transfer ends with err). done
 * comes once, with NULL or what went wrong; from inside it another transfer may be started. */
struct transfer_sink {
    int (*bytes)(void *ctx, const struct transfer_head *head, struct str bytes, struct err *err);
    void (*done)(void *ctx, const struct transfer_head *head, const struct err *err);
    void *ctx;
};
void transfer_start(struct transfers *all, const struct transfer_request *request,
                    const struct transfer_sink *sink);
/* Goes on for at most a fifth of a second; true while a transfer is under way. */
bool transfers_run(struct transfers *all);
/* Ends what is under way; no sink is called any more. */
void transfers_stop(struct transfers *all);

#endif
