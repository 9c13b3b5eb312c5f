// SPDX-License-Identifier: Apache-2.0
//
// Every ceiling, with its reason. A buffer or an arena names one of these at its birth.
#ifndef CORACLE_BASE_LIMITS_H
#define CORACLE_BASE_LIMITS_H

enum {
    BODY_BYTES_MAX = 3 << 20, /* request body: the API server's own cap (spec/api.md 2) */
    HEADER_BYTES_MAX =
        64 << 10,           /* request line and headers: bearer tokens and long selectors fit */
    DOC_DEPTH_MAX = 64,     /* nesting of a document; Kubernetes objects stay under 30 */
    DOC_VALUES_MAX = 50000, /* values of one object or patch: what is made of each on its way
                               (errors, owners of fields) must fit the request's arena. A slice of
                               1,000 endpoints has 13,000 */
    CAUSES_MAX = 1000,      /* errors told of one object; a person reads the first */
    CAUSES_BYTES_MAX = 256 << 10, /* their text, after which no more are told */
    VALUE_SHOWN_MAX = 16 << 10,   /* of the value that one is about */
    MANAGERS_MAX = 64, /* entries of managedFields: upstream makes ten, and one for each applier */
    PATCH_LIST_MAX =
        2000,           /* items of a list merged by key in a patch: each is sought in the other */
    WARNINGS_MAX = 100, /* told of one request, each in a header of its own */
    REQUEST_ARENA_MAX = 64 << 20, /* a 3 MiB body as a tree, its merged twin and their encodings */
    DECIDE_ARENA_MAX = 256 << 20, /* one decision over a namespace of 10,000 pods */
    JSON_BYTES_MAX = 512 << 20,   /* an encoded list */
    FILE_BYTES_MAX = 64 << 20,    /* a configuration file, an image manifest */
    NAME_LEN_MAX = 253,           /* DNS subdomain (RFC 1123) */
    LABEL_LEN_MAX = 63,           /* DNS label, label value */
    ANNOTATIONS_BYTES_MAX = 256 << 10, /* total of an object's annotations, as upstream */
    WATCH_WINDOW_EVENTS = 10000,       /* history kept for watchers that resume, then 410 */
    STREAM_BACKLOG_MAX = 1 << 20,      /* unsent bytes of one client before its source pauses */
    CONNECTIONS_MAX = 4096,     /* open client connections; a watcher each for 1,000 and room */
    WATCHES_MAX = 10000,        /* 3 KB each where they share connections */
    DESCRIPTORS_MAX = 65536,    /* open descriptors where the hard limit lets us: connections of
                                   clients and of published ports are more than the usual 1,024 */
    JSON_PATCH_OPS_MAX = 10000, /* as upstream; more is 413 */
};

#endif
