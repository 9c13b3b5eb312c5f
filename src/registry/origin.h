// SPDX-License-Identifier: Apache-2.0
//
// One endpoint asked for one repository: addresses, authorization, refusals in words. Blocks; for
// the worker process alone (OCI distribution 1.1, docker's token authentication).
#ifndef CORACLE_REGISTRY_ORIGIN_H
#define CORACLE_REGISTRY_ORIGIN_H

#include "registry/endpoints.h"
#include "registry/transfer.h"

struct origin;

struct origin_config {
    struct transfers *transfers;
    const struct endpoint *endpoint;
    struct str domain;           /* as the reference names it */
    struct str repository;       /* "library/busybox" */
    const struct val *documents; /* credentials, see credentials.h */
    struct arena *arena;         /* borrowed for the origin's life */
};
/* Strings are borrowed. Lives in the arena. */
struct origin *origin_new(const struct origin_config *config);

/* GET /v2/<repository>/<kind>/<name>, with whatever authorization the registry wants; anything but
 * a 200 is an error in words. The body lives in the arena, the head until the next request. */
MUST_CHECK int origin_get(struct origin *o, const char *kind, struct str name, size_t bytes_max,
                          const struct transfer_head **ret_head, struct str *ret_body,
                          struct err *err);

/* The same without a body, for a manifest: the head alone. */
MUST_CHECK int origin_head(struct origin *o, struct str name, const struct transfer_head **ret_head,
                           struct err *err);

/* Whose authorization was taken; NULL = nobody's was needed. */
const struct credential *origin_credential(const struct origin *o);

/* For transfers side by side: the request of a blob, valid until the next call. */
void origin_blob_request(struct origin *o, struct str digest, uint64_t offset,
                         struct transfer_request *ret);
/* After an answer of 401: authorization anew. ERR_DENIED when there is nothing left to try. */
MUST_CHECK int origin_authorise(struct origin *o, const struct transfer_head *head,
                                struct err *err);
/* The error of an answer that refuses: its status, and what the body says. */
int origin_refusal(const struct transfer_head *head, struct str body, struct err *err);

#endif
