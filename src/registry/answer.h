// SPDX-License-Identifier: Apache-2.0
//
// What a registry's HTTP answers say, as far as it is ours to read: header lines, where a body
// begins, tokens. Pure.
#ifndef CORACLE_REGISTRY_ANSWER_H
#define CORACLE_REGISTRY_ANSWER_H

#include "base/arena.h"

enum { ANSWER_HEADER_MAX = 16 << 10 /* of all challenges */ };

/* The last answer's head, after redirects. Unless noted, texts are empty when absent. */
struct transfer_head {
    int status;
    bool has_length;
    uint64_t length;
    bool has_range_start;
    uint64_t range_start;
    char content_type[128];
    char digest[128];      /* Docker-Content-Digest */
    struct buf challenges; /* WWW-Authenticate, joined by ", " */
};

/* One line of a head, with or without its end; a status line begins another answer. challenges is
 * initialised. */
void answer_head_line(struct transfer_head *head, struct str line);

/* An answer of 200 or 206 to a request for a blob of size bytes from byte asked (at most size) on:
 * where its body begins, asked or 0. ERR_INVALID when what it announces is something else. */
MUST_CHECK int answer_body_start(const struct transfer_head *head, uint64_t asked, uint64_t size,
                                 uint64_t *ret, struct err *err);

/* May a registry at url send us to this token server? Over TLS it gets nobody's password sent in
 * the clear. */
bool answer_is_token_server(struct str url, struct str realm);
/* The token of a token server's answer, for a header: printable. */
MUST_CHECK int answer_token(struct str body, struct arena *arena, struct str *ret, struct err *err);

#endif
