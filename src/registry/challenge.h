// SPDX-License-Identifier: Apache-2.0
//
// What a registry asks for with a 401: the WWW-Authenticate header (RFC 9110 §11.6.1), Bearer as
// the distribution's token specification has it, or Basic. Pure.
#ifndef CORACLE_REGISTRY_CHALLENGE_H
#define CORACLE_REGISTRY_CHALLENGE_H

#include "base/arena.h"

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_scheme scheme;
    struct str realm;
    struct str service;
    struct str scope;
};

/* The best challenge of a header, Bearer before Basic; several headers are joined by ", ".
 * CHALLENGE_NONE when there is none that can be answered. Strings live in arena. */
void challenge_parse(struct arena *arena, struct str header, struct challenge *ret);

#endif
