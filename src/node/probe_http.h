// SPDX-License-Identifier: Apache-2.0
//
// What an HTTP probe asks for and what an answer means (spec/node.md 2), without doing it: URL,
// headers, redirects, ports. probe.c makes the calls.
#ifndef CORACLE_NODE_PROBE_HTTP_H
#define CORACLE_NODE_PROBE_HTTP_H

#include "base/arena.h"
#include "data/val.h"
#include "wire/http.h"

enum { PROBE_HEADERS_MAX = 64, PROBE_REDIRECTS_MAX = 10 };

struct probe_url {
    bool is_tls;
    struct str host;
    uint16_t port;
    struct str target; /* path and query */
};

/* The URL of an httpGet action. */
struct probe_url probe_url_of(const struct val *get, struct str host, uint16_t port,
                              struct arena *arena);
/* As Go prints it: "http://10.1.2.3:8080/healthz". */
struct str probe_url_text(const struct probe_url *url, struct arena *arena);
/* Fills headers with those of the action and the default ones; returns their number. */
size_t probe_headers(const struct val *get, struct http_header headers[PROBE_HEADERS_MAX]);

enum probe_redirect {
    REDIRECT_NONE,   /* the answer is the result */
    REDIRECT_FOLLOW, /* *ret is asked next */
    REDIRECT_BAD,    /* the Location can't be read */
};
/* What an answer with this code and Location to a request for url asks for. Redirects are followed
 * within the host only. */
enum probe_redirect probe_redirect(const struct probe_url *url, int code, struct str location,
                                   struct arena *arena, struct probe_url *ret);

/* A port of a probe or hook: number, name of a containerPort, or digits. err as upstream words it.
 */
MUST_CHECK int probe_port_find(const struct val *container, const struct val *port, uint16_t *ret,
                               struct err *err);

#endif
