// SPDX-License-Identifier: Apache-2.0
//
// What the files of auth/ share.
#ifndef CORACLE_AUTH_INTERNAL_H
#define CORACLE_AUTH_INTERNAL_H

#include "auth/auth.h"

#include <openssl/evp.h>

struct auth {
    struct auth_config config;
    EVP_PKEY *key;
    char issuer[256];
};

/* Signs claims as a JWT (RFC 7519, ES256); in arena. */
MUST_CHECK int jwt_sign(EVP_PKEY *key, const struct val *claims, struct arena *arena,
                        struct str *ret, struct err *err);
/* Checks the signature and gives the claims; times are the caller's to check. ERR_UNKNOWN_USER. */
MUST_CHECK int jwt_verify(EVP_PKEY *key, struct str token, struct arena *arena, struct val *ret,
                          struct err *err);

/* Service account tokens (token.c). */
void token_request_handle(void *ctx, struct api *api, struct api_req *req);
/* As auth_token_user; audience empty = the API server's own. */
MUST_CHECK int token_user(struct auth *auth, struct str token, struct str audience,
                          struct arena *arena, struct api_user *ret, struct err *err);

/* The reviews (reviews.c). */
void token_review_handle(void *ctx, struct api *api, struct api_req *req);
void self_subject_review_handle(void *ctx, struct api *api, struct api_req *req);
void self_access_review_handle(void *ctx, struct api *api, struct api_req *req);
void access_review_handle(void *ctx, struct api *api, struct api_req *req);
void rules_review_handle(void *ctx, struct api *api, struct api_req *req);

/* Ends a request with a document (201) or with a failure. */
void answer_val(struct api_req *req, struct val *v);
void answer_failure(struct api_req *req, struct status status);

/* Calls each for every rule that applies to user in ns (empty = cluster-wide ones only); each
 * returns false to stop. binding is the text that names where the rule came from (rbac.c). */
void rbac_each_rule(struct api *api, struct arena *arena, const struct api_user *user,
                    struct str ns,
                    bool (*each)(void *ctx, const struct val *rule, struct str binding), void *ctx);
bool user_has_group(const struct api_user *user, struct str group);

#endif
