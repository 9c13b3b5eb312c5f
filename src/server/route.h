// SPDX-License-Identifier: Apache-2.0
//
// A URL's path and method as a Kubernetes request (spec/api.md 3.1). Pure: strings in, strings out.
#ifndef CORACLE_SERVER_ROUTE_H
#define CORACLE_SERVER_ROUTE_H

#include "api/kind.h"

struct route {
    bool is_resource; /* /api/v1/… or /apis/<g>/<v>/…; otherwise a plain path */
    struct str group;
    struct str version;
    struct str ns; /* for namespaces/<ns>: the namespace itself, as authorization wants it */
    struct str resource;
    struct str name;
    struct str subresource;
    struct str tail;    /* behind <subresource>/ */
    bool is_watch_path; /* the old /watch/ prefix, with or without a name */
};
/* Views into path. */
struct route route_parse(struct str path);

/* What the method asks of the route; is_watch: the query said so. False: no such verb (405). */
bool route_verb(const struct route *route, struct str method, bool is_watch, enum api_verb *ret);
/* The verb as RBAC names it: upgrades are "create", other paths the lower-case method. */
struct str route_rbac_verb(const struct route *route, struct str method, bool is_watch);
bool route_is_session(const struct route *route); /* pods/exec, attach, portforward */

#endif
