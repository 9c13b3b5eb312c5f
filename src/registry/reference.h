// SPDX-License-Identifier: Apache-2.0
//
// Image references: grammar and normal form (spec/node.md 5.1), [domain/]path[:tag][@digest].
#ifndef CORACLE_REGISTRY_REFERENCE_H
#define CORACLE_REGISTRY_REFERENCE_H

#include "base/arena.h"

/* Parts of a reference, borrowed from its text. */
struct reference {
    struct str domain; /* "docker.io" when the text has none */
    struct str path;   /* as written */
    struct str tag;    /* empty = none */
    struct str digest; /* "sha256:…", empty = none */
};

/* ERR_INVALID with "couldn't parse image name …". */
MUST_CHECK int reference_parse(struct str text, struct reference *ret, struct err *err);
/* What the registry calls it: docker.io's short names are in "library/". */
struct str reference_repository(struct arena *arena, const struct reference *ref);
/* "busybox" to "docker.io/library/busybox:latest". */
MUST_CHECK int reference_normalise(struct arena *arena, struct str text, struct str *ret,
                                   struct err *err);

#endif
