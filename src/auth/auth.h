// SPDX-License-Identifier: Apache-2.0
//
// Who are you, may you: client certificates and bearer tokens to users, RBAC to decisions, and the
// API kinds that expose both (TokenRequest, TokenReview, the access reviews).
#ifndef CORACLE_AUTH_AUTH_H
#define CORACLE_AUTH_AUTH_H

#include "api/api.h"

struct auth;

struct auth_config {
    struct api *api;
    struct loop *loop;
    struct rng *rng;
    struct str token_key_pem; /* signs service account tokens */
    struct str issuer;        /* "https://kubernetes.default.svc.cluster.local" */
};
struct auth *auth_new(const struct auth_config *config, struct err *err);
void auth_free(struct auth *auth);
/* Registers the virtual kinds with the API. */
void auth_register(struct auth *auth);

/* From a bearer token. ERR_UNKNOWN_USER when it isn't valid. All in arena. */
MUST_CHECK int auth_token_user(struct auth *auth, struct str token, struct arena *arena,
                               struct api_user *ret, struct err *err);
/* From a verified certificate's CN and O values; system:authenticated is added. */
struct api_user auth_cert_user(struct arena *arena, struct str cn, const struct str *groups,
                               size_t count);
struct api_user auth_anonymous(void);

struct auth_attributes {
    struct str verb; /* "get" …, "impersonate" */
    struct str group, resource, subresource, ns, name;
    struct str path; /* non-resource request; resource empty */
};
/* RBAC (spec/api.md 10.4). reason, in arena, is the text after "forbidden: ". */
bool auth_may(struct auth *auth, struct arena *arena, const struct api_user *user,
              const struct auth_attributes *attributes, struct str *ret_reason);

/* OpenID Connect discovery for those who check service account tokens without us: the issuer's
 * document, and its key as a set (RFC 7517). JSON, in arena. address: "127.0.0.1:6443". */
struct str auth_issuer_document(struct auth *auth, struct str address, struct arena *arena);
struct str auth_key_set(struct auth *auth, struct arena *arena);

/* Default roles and bindings; creates those that are absent. */
void auth_bootstrap_objects(struct arena *arena, const struct val **ret, size_t *ret_count);

#endif
