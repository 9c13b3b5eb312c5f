// SPDX-License-Identifier: Apache-2.0
//
// Users from certificates and tokens, and the registration of the kinds that this room answers.
#include "auth/auth.h"

#include "auth/internal.h"
#include "base/mem.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

struct auth *auth_new(const struct auth_config *config, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(config->token_key_pem.p, (int)config->token_key_pem.n);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (key == NULL) {
        (void)err_set(err, ERR_CORRUPT, "the key for service account tokens is not a PEM key");
        return NULL;
    }
    struct auth *auth = xcalloc(1, sizeof *auth);
    auth->config = *config;
    auth->key = key;
    (void)snprintf(auth->issuer, sizeof auth->issuer, STR_FMT, STR_ARG(config->issuer));
    return auth;
}

void auth_free(struct auth *auth)
{
    if (auth != NULL) {
        EVP_PKEY_free(auth->key);
        free(auth);
    }
}

void auth_register(struct auth *auth)
{
    /* kind, subresource, handler */
    static const struct {
        const char *kind;
        const char *subresource;
        api_handler_fn *handler;
    } rows[] = {
        {"ServiceAccount",           "token", token_request_handle      },
        {"TokenReview",              "",      token_review_handle       },
        {"SelfSubjectReview",        "",      self_subject_review_handle},
        {"SelfSubjectAccessReview",  "",      self_access_review_handle },
        {"SubjectAccessReview",      "",      access_review_handle      },
        {"LocalSubjectAccessReview", "",      access_review_handle      },
        {"SelfSubjectRulesReview",   "",      rules_review_handle       },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        api_register(auth->config.api, str_of(rows[i].kind), str_of(rows[i].subresource),
                     rows[i].handler, auth);
    }
}

int auth_token_user(struct auth *auth, struct str token, struct arena *arena, struct api_user *ret,
                    struct err *err)
{
    return token_user(auth, token, S(""), arena, ret, err);
}

struct api_user auth_cert_user(struct arena *arena, struct str cn, const struct str *groups,
                               size_t count)
{
    struct str *all = arena_alloc(arena, (count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = groups[i];
    }
    all[count] = S("system:authenticated");
    return (struct api_user){.name = cn, .groups = all, .groups_count = count + 1};
}

struct api_user auth_anonymous(void)
{
    static const struct str groups[] = {
        {"system:unauthenticated", 22}
    };
    return (struct api_user){.name = S("system:anonymous"), .groups = groups, .groups_count = 1};
}
