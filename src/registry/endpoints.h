// SPDX-License-Identifier: Apache-2.0
//
// Where an image's registry is asked: its mirrors, then itself. Mirrors, plain HTTP, authorities
// and accounts come from registries.yaml, in the format that k3s made known:
//   mirrors: {docker.io: {endpoint: ["https://mirror.example"]}, "*": {endpoint: […]}}
//   configs: {"mirror.example": {auth: {username, password}, tls: {ca_file, insecure_skip_verify}}}
// Pure.
#ifndef CORACLE_REGISTRY_ENDPOINTS_H
#define CORACLE_REGISTRY_ENDPOINTS_H

#include "registry/credentials.h"

enum { ENDPOINTS_MAX = 16 };

struct endpoint {
    struct str url;    /* "https://reg.example:5000", without /v2/ */
    struct str host;   /* "reg.example:5000"; "docker.io" for Docker Hub itself */
    bool is_mirror;    /* another host than the reference names */
    bool is_local;     /* on this machine's loopback: asked through no proxy */
    bool may_be_plain; /* local, and no scheme was given: HTTP where HTTPS is not spoken */
    struct str ca_file;
    bool is_unverified;
    bool has_account;
    struct credential account;
};

/* Reads and checks registries.yaml; unknown words are errors that name them. */
MUST_CHECK int endpoints_read(struct str text, struct arena *arena, struct val *ret,
                              struct err *err);
/* The endpoints of a reference's domain, in the order to try. config may be a null value. */
size_t endpoints_find(const struct val *config, struct str domain, struct arena *arena,
                      struct endpoint ret[static ENDPOINTS_MAX]);

#endif
