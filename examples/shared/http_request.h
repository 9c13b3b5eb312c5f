// SPDX-License-Identifier: Apache-2.0
//
// The head of an HTTP/1.x request (RFC 9112) as a pure function of bytes: no socket, no memory of
// its own. Knows what a server of small pages needs, GET and HEAD without bodies.
#ifndef CORACLE_EXAMPLES_HTTP_REQUEST_H
#define CORACLE_EXAMPLES_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

enum { HTTP_HEAD_MAX = 8192, HTTP_PATH_MAX = 256 };

struct http_request {
    char path[HTTP_PATH_MAX]; /* absolute, without host and query */
    bool is_head;             /* HEAD: the reply goes without its body */
    bool keep_alive;
    int status; /* 0 = a request to answer; else the status of the error to answer with */
};

/* Reads one head from the n bytes at p. Returns the bytes it took, or 0 when more are needed. A
 * request that can't be served comes back with status set and keep_alive false. */
size_t http_request_read(const char *p, size_t n, struct http_request *ret);

#endif
