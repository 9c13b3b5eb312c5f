// SPDX-License-Identifier: Apache-2.0
//
// Role-based access control (spec/api.md 10.4): allow-only, the union of the rules of all bindings
// that name the user. Reads the bindings from the store's head at each question; system:masters
// asks none.
#include "auth/internal.h"

#include "base/mem.h"

bool user_has_group(const struct api_user *user, struct str group)
{
    for (size_t i = 0; i < user->groups_count; i++) {
        if (str_eq(user->groups[i], group)) {
            return true;
        }
    }
    return false;
}

static bool is_subject(struct arena *arena, const struct val *subject, const struct api_user *user,
                       struct str binding_ns)
{
    struct str kind = val_text_at(subject, "kind");
    struct str name = val_text_at(subject, "name");
    if (str_eq(kind, S("User"))) {
        return str_eq(user->name, name);
    }
    if (str_eq(kind, S("Group"))) {
        return user_has_group(user, name);
    }
    if (!str_eq(kind, S("ServiceAccount"))) {
        return false;
    }
    struct str ns = val_text_at(subject, "namespace");
    ns = ns.n > 0 ? ns : binding_ns;
    return str_eq(user->name, arena_fmt(arena, "system:serviceaccount:" STR_FMT ":" STR_FMT,
                                        STR_ARG(ns), STR_ARG(name)));
}

static bool is_bound(struct arena *arena, const struct val *binding, const struct api_user *user)
{
    const struct val *subjects = val_get(binding, S("subjects"));
    for (size_t i = 0; i < val_count(subjects); i++) {
        if (is_subject(arena, val_at(subjects, i), user,
                       val_text_at(binding, "metadata.namespace"))) {
            return true;
        }
    }
    return false;
}

static const struct val *rules_of(struct api *api, const struct val *binding)
{
    bool is_cluster = str_eq(val_text_at(binding, "roleRef.kind"), S("ClusterRole"));
    const struct val *role =
        api_peek(api, kind_of(is_cluster ? KIND_CLUSTER_ROLE : KIND_ROLE),
                 is_cluster ? S("") : val_text_at(binding, "metadata.namespace"),
                 val_text_at(binding, "roleRef.name"));
    return val_get(role, S("rules"));
}

/* False when each stopped the walk. */
static bool walk(struct api *api, struct arena *arena, const struct api_user *user,
                 enum kind_id kind, struct str ns,
                 bool (*each)(void *ctx, const struct val *rule, struct str binding), void *ctx)
{
    const struct val **bindings;
    size_t count;
    api_peek_list(api, kind_of(kind), ns, arena, &bindings, &count);
    for (size_t i = 0; i < count; i++) {
        if (!is_bound(arena, bindings[i], user)) {
            continue;
        }
        const struct val *rules = rules_of(api, bindings[i]);
        struct str name = arena_fmt(
            arena, "RBAC: allowed by %s \"" STR_FMT "\" of " STR_FMT " \"" STR_FMT "\" to subject",
            kind == KIND_ROLE_BINDING ? "RoleBinding" : "ClusterRoleBinding",
            STR_ARG(val_text_at(bindings[i], "metadata.name")),
            STR_ARG(val_text_at(bindings[i], "roleRef.kind")),
            STR_ARG(val_text_at(bindings[i], "roleRef.name")));
        for (size_t k = 0; k < val_count(rules); k++) {
            if (!each(ctx, val_at(rules, k), name)) {
                return false;
            }
        }
    }
    return true;
}

void rbac_each_rule(struct api *api, struct arena *arena, const struct api_user *user,
                    struct str ns,
                    bool (*each)(void *ctx, const struct val *rule, struct str binding), void *ctx)
{
    if (walk(api, arena, user, KIND_CLUSTER_ROLE_BINDING, S(""), each, ctx) && ns.n > 0) {
        (void)walk(api, arena, user, KIND_ROLE_BINDING, ns, each, ctx);
    }
}

static bool has(const struct val *list, struct str wanted)
{
    for (size_t i = 0; i < val_count(list); i++) {
        struct str s = val_text(val_at(list, i));
        if (str_eq(s, S("*")) || str_eq(s, wanted)) {
            return true;
        }
    }
    return false;
}

/* "pods", "pods/log", "*\/log" for a subresource of any resource. */
static bool has_resource(const struct val *list, const struct auth_attributes *at)
{
    for (size_t i = 0; i < val_count(list); i++) {
        struct str rest = val_text(val_at(list, i));
        if (str_eq(rest, S("*"))) {
            return true;
        }
        struct str resource = str_cut(&rest, '/');
        struct str subresource = rest.p == NULL ? S("") : rest;
        bool is_any = at->subresource.n > 0 && str_eq(resource, S("*"));
        if ((is_any || str_eq(resource, at->resource)) && str_eq(subresource, at->subresource)) {
            return true;
        }
    }
    return false;
}

static bool has_path(const struct val *list, struct str path)
{
    for (size_t i = 0; i < val_count(list); i++) {
        struct str s = val_text(val_at(list, i));
        bool is_prefix = s.n > 0 && s.p[s.n - 1] == '*';
        if (is_prefix ? str_starts(path, str_sub(s, 0, s.n - 1)) : str_eq(s, path)) {
            return true;
        }
    }
    return false;
}

static bool rule_allows(const struct val *rule, const struct auth_attributes *at)
{
    if (!has(val_get(rule, S("verbs")), at->verb)) {
        return false;
    }
    if (at->resource.n == 0) {
        return has_path(val_get(rule, S("nonResourceURLs")), at->path);
    }
    const struct val *names = val_get(rule, S("resourceNames"));
    return has(val_get(rule, S("apiGroups")), at->group) &&
           has_resource(val_get(rule, S("resources")), at) &&
           (val_count(names) == 0 || (at->name.n > 0 && has(names, at->name)));
}

struct question {
    const struct auth_attributes *attributes;
    bool is_allowed;
    struct str why;
};

static bool ask(void *ctx, const struct val *rule, struct str binding)
{
    struct question *q = ctx;
    if (rule_allows(rule, q->attributes)) {
        q->is_allowed = true;
        q->why = binding;
    }
    return !q->is_allowed;
}

static struct str denial(struct arena *arena, const struct api_user *user,
                         const struct auth_attributes *at)
{
    if (at->resource.n == 0) {
        return arena_fmt(arena, "User \"" STR_FMT "\" cannot " STR_FMT " path \"" STR_FMT "\"",
                         STR_ARG(user->name), STR_ARG(at->verb), STR_ARG(at->path));
    }
    struct str what =
        at->subresource.n > 0
            ? arena_fmt(arena, STR_FMT "/" STR_FMT, STR_ARG(at->resource), STR_ARG(at->subresource))
            : at->resource;
    struct str where = at->ns.n > 0
                           ? arena_fmt(arena, "in the namespace \"" STR_FMT "\"", STR_ARG(at->ns))
                           : S("at the cluster scope");
    return arena_fmt(arena,
                     "User \"" STR_FMT "\" cannot " STR_FMT " resource \"" STR_FMT
                     "\" in API group \"" STR_FMT "\" " STR_FMT,
                     STR_ARG(user->name), STR_ARG(at->verb), STR_ARG(what), STR_ARG(at->group),
                     STR_ARG(where));
}

bool auth_may(struct auth *auth, struct arena *arena, const struct api_user *user,
              const struct auth_attributes *attributes, struct str *ret_reason)
{
    *ret_reason = S("");
    if (user_has_group(user, S("system:masters"))) {
        return true;
    }
    struct question q = {.attributes = attributes};
    rbac_each_rule(auth->config.api, arena, user, attributes->ns, ask, &q);
    *ret_reason = q.is_allowed ? q.why : denial(arena, user, attributes);
    return q.is_allowed;
}
