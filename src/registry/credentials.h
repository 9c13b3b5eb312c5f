// SPDX-License-Identifier: Apache-2.0
//
// Credentials as docker's config.json and the secrets of type kubernetes.io/dockerconfigjson and
// kubernetes.io/dockercfg hold them, and which of them a registry gets (spec/node.md 5.3). Pure.
#ifndef CORACLE_REGISTRY_CREDENTIALS_H
#define CORACLE_REGISTRY_CREDENTIALS_H

#include "data/val.h"
#include "registry/digest.h"

enum { CREDENTIALS_MAX = 64 /* that fit one repository */ };

struct credential {
    struct str username;
    struct str password;
    struct str identity_token; /* in place of a password: exchanged for an access token */
    int document;              /* where it stands; -1: the node's own */
};

/* Those of documents (a list of parsed configurations) that fit host ("docker.io",
 * "reg.example:5000") and repository, most specific first. Strings live in arena. Returns how
 * many; entries that can't be read are skipped. */
size_t credentials_find(const struct val *documents, struct str host, struct str repository,
                        struct arena *arena, struct credential ret[static CREDENTIALS_MAX]);
/* Of all that it says: the same for two documents with the same password. */
void credential_hash(const struct credential *c, char out[static DIGEST_TEXT_MAX]);

#endif
