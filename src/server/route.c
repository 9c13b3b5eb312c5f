// SPDX-License-Identifier: Apache-2.0
#include "server/route.h"

#include "base/mem.h"

static const struct {
    struct str method;
    enum api_verb named;
    enum api_verb unnamed;
    bool has_named, has_unnamed;
    struct str plain; /* RBAC verb of a path that is no resource */
} methods[] = {
    {{"GET", 3},    VERB_GET,    VERB_LIST,              true, true,  {"get", 3}   },
    {{"HEAD", 4},   VERB_GET,    VERB_LIST,              true, true,  {"get", 3}   },
    {{"POST", 4},   VERB_CREATE, VERB_CREATE,            true, true,  {"post", 4}  },
    {{"PUT", 3},    VERB_UPDATE, VERB_UPDATE,            true, false, {"put", 3}   },
    {{"PATCH", 5},  VERB_PATCH,  VERB_PATCH,             true, false, {"patch", 5} },
    {{"DELETE", 6}, VERB_DELETE, VERB_DELETE_COLLECTION, true, true,  {"delete", 6}},
};

/* Next part of a path; empty parts are skipped, as Go's splitPath trims slashes. */
static struct str next_part(struct str *rest)
{
    while (rest->n > 0 && rest->p[0] == '/') {
        *rest = str_sub(*rest, 1, rest->n);
    }
    ptrdiff_t slash = str_find(*rest, '/');
    size_t n = slash < 0 ? rest->n : (size_t)slash;
    struct str part = str_sub(*rest, 0, n);
    *rest = str_sub(*rest, n, rest->n);
    return part;
}

/* namespaces/<ns> is the namespace itself, unless a resource follows. */
static struct str take_namespace(struct route *route, struct str resource, struct str *rest)
{
    if (!str_eq(resource, S("namespaces"))) {
        return resource;
    }
    struct str look = *rest;
    struct str ns = next_part(&look);
    struct str after = next_part(&look);
    if (ns.n == 0) {
        return resource;
    }
    route->ns = ns;
    if (after.n == 0 || str_eq(after, S("status")) || str_eq(after, S("finalize"))) {
        return resource;
    }
    *rest = look;
    return after;
}

struct route route_parse(struct str path)
{
    struct route route = {0};
    struct str rest = path;
    struct str root = next_part(&rest);
    if (str_eq(root, S("apis"))) {
        route.group = next_part(&rest);
    } else if (!str_eq(root, S("api"))) {
        return route;
    }
    route.version = next_part(&rest);
    struct str resource = next_part(&rest);
    if (str_eq(resource, S("watch"))) {
        route.is_watch_path = true;
        resource = next_part(&rest);
    }
    if (resource.n == 0) {
        return (struct route){0};
    }
    route.is_resource = true;
    route.resource = take_namespace(&route, resource, &rest);
    route.name = next_part(&rest);
    route.subresource = next_part(&rest);
    route.tail = str_sub(rest, rest.n > 0 ? 1 : 0, rest.n);
    return route;
}

bool route_verb(const struct route *route, struct str method, bool is_watch, enum api_verb *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (!str_eq(methods[i].method, method)) {
            continue;
        }
        bool is_named = route->name.n > 0;
        if (!(is_named ? methods[i].has_named : methods[i].has_unnamed)) {
            return false;
        }
        *ret = is_named ? methods[i].named : methods[i].unnamed;
        if (*ret == VERB_CREATE && is_named && route->subresource.n == 0) {
            return false;
        }
        if ((*ret == VERB_LIST && is_watch) || (*ret <= VERB_LIST && route->is_watch_path)) {
            *ret = VERB_WATCH;
        }
        return true;
    }
    return false;
}

bool route_is_session(const struct route *route)
{
    return route->group.n == 0 && str_eq(route->resource, S("pods")) &&
           (str_eq(route->subresource, S("exec")) || str_eq(route->subresource, S("attach")) ||
            str_eq(route->subresource, S("portforward")));
}

struct str route_rbac_verb(const struct route *route, struct str method, bool is_watch)
{
    enum api_verb verb = VERB_GET;
    if (route->is_resource && route_is_session(route)) {
        return S("create");
    }
    if (route->is_resource) {
        return route_verb(route, method, is_watch, &verb) ? verb_name(verb) : S("create");
    }
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (str_eq(methods[i].method, method)) {
            return methods[i].plain;
        }
    }
    return S("get");
}
