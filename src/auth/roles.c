// SPDX-License-Identifier: Apache-2.0
//
// The roles that users expect to find: cluster-admin, admin, edit, view and the discovery roles,
// with their bindings (upstream plugin/pkg/auth/authorizer/rbac/bootstrappolicy, what this server
// serves of it).
#include "auth/auth.h"

#include "base/mem.h"

/* Words are separated by single spaces. */
struct rule_row {
    const char *verbs;
    const char *groups; /* "-" = core */
    const char *resources;
    const char *paths;
};

#define READ  "get list watch"
#define WRITE "create delete deletecollection patch update"
#define VIEW_CORE                                                                                  \
    "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "              \
    "serviceaccounts services services/status bindings events namespaces namespaces/status "       \
    "pods/log pods/status"
#define VIEW_APPS "controllerrevisions statefulsets statefulsets/scale statefulsets/status"

static const struct rule_row view_rules[] = {
    {READ, "-",                 VIEW_CORE,                                          NULL},
    {READ, "apps",              VIEW_APPS,                                          NULL},
    {READ, "policy",            "poddisruptionbudgets poddisruptionbudgets/status", NULL},
    {READ, "networking.k8s.io", "networkpolicies",                                  NULL},
    {READ, "discovery.k8s.io",  "endpointslices",                                   NULL},
    {READ, "events.k8s.io",     "events",                                           NULL},
};
static const struct rule_row edit_rules[] = {
    {READ,           "-",
     VIEW_CORE " pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", NULL},
    {"impersonate",  "-",                   "serviceaccounts",                              NULL},
    {WRITE,          "-",
     "pods pods/attach pods/exec pods/portforward pods/proxy configmaps events "
     "persistentvolumeclaims "
     "secrets serviceaccounts services services/proxy endpoints",                           NULL},
    {"create",       "-",                   "pods/eviction serviceaccounts/token",          NULL},
    {READ,           "apps",                VIEW_APPS,                                      NULL},
    {WRITE,          "apps",                "statefulsets statefulsets/scale",              NULL},
    {READ " " WRITE, "policy",              "poddisruptionbudgets",                         NULL},
    {READ " " WRITE, "networking.k8s.io",   "networkpolicies",                              NULL},
    {READ,           "discovery.k8s.io",    "endpointslices",                               NULL},
    {READ,           "events.k8s.io",       "events",                                       NULL},
    {READ " " WRITE, "coordination.k8s.io", "leases",                                       NULL},
};
static const struct rule_row admin_rules[] = {
    {"create",       "authorization.k8s.io",      "localsubjectaccessreviews", NULL},
    {READ " " WRITE, "rbac.authorization.k8s.io", "roles rolebindings",        NULL},
};
static const struct rule_row all_rules[] = {
    {"*", "*",  "*",  NULL},
    {"*", NULL, NULL, "*" }
};
static const struct rule_row discovery_rules[] = {
    {"get", NULL, NULL,
     "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"}
};
static const struct rule_row public_rules[] = {
    {"get", NULL, NULL, "/healthz /livez /readyz /version /version/"}
};
static const struct rule_row issuer_rules[] = {
    {"get", NULL, NULL, "/.well-known/openid-configuration /openid/v1/jwks"}
};
static const struct rule_row user_rules[] = {
    {"create", "authorization.k8s.io",  "selfsubjectaccessreviews selfsubjectrulesreviews", NULL},
    {"create", "authentication.k8s.io", "selfsubjectreviews",                               NULL}
};

#define RULES(rows) rows, ARRAY_LEN(rows)

/* name, rules, more rules */
static const struct {
    const char *name;
    const struct rule_row *rules;
    size_t count;
    const struct rule_row *more;
    size_t more_count;
} roles[] = {
    {"cluster-admin",         RULES(all_rules),  NULL,               0},
    {"admin",                 RULES(edit_rules), RULES(admin_rules)},
    {"edit",      RULES(edit_rules),              NULL,                  0 },
    {"view",      RULES(view_rules),              NULL,                  0},
    {"system:discovery", RULES(discovery_rules),              NULL,                  0 },
    {"system:basic-user",      RULES(user_rules),              NULL,                  0},
    {"system:public-info-viewer",    RULES(public_rules),              NULL,                  0 },
    {"system:service-account-issuer-discovery",    RULES(issuer_rules),              NULL,                  0},
};

/* role, groups */
static const struct {
    const char *role;
    const char *groups;
} role_bindings[] = {
    {"cluster-admin",                           "system:masters"                             },
    {"system:discovery",                        "system:authenticated"                       },
    {"system:basic-user",                       "system:authenticated"                       },
    {"system:public-info-viewer",               "system:authenticated system:unauthenticated"},
    {"system:service-account-issuer-discovery", "system:serviceaccounts"                     },
};

static struct val words(struct arena *arena, const char *text)
{
    struct val list = val_list();
    struct str rest = str_of(text);
    while (rest.p != NULL) {
        struct str word = str_cut(&rest, ' ');
        (void)val_push(arena, &list, val_str(str_eq(word, S("-")) ? S("") : word));
    }
    return list;
}

static void add_rules(struct arena *arena, struct val *list, const struct rule_row *rows,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct val rule = val_map();
        (void)val_set(arena, &rule, S("verbs"), words(arena, rows[i].verbs));
        if (rows[i].resources != NULL) {
            (void)val_set(arena, &rule, S("apiGroups"), words(arena, rows[i].groups));
            (void)val_set(arena, &rule, S("resources"), words(arena, rows[i].resources));
        }
        if (rows[i].paths != NULL) {
            (void)val_set(arena, &rule, S("nonResourceURLs"), words(arena, rows[i].paths));
        }
        (void)val_push(arena, list, rule);
    }
}

static struct val object(struct arena *arena, const char *kind, const char *name)
{
    struct val v = val_map();
    (void)val_set(arena, &v, S("apiVersion"), val_str(S("rbac.authorization.k8s.io/v1")));
    (void)val_set(arena, &v, S("kind"), val_str(str_of(kind)));
    (void)val_set_path(arena, &v, "metadata.name", val_str(str_of(name)));
    struct val *labels = val_need_map(arena, val_slot(&v, S("metadata")), S("labels"));
    (void)val_set(arena, labels, S("kubernetes.io/bootstrapping"), val_str(S("rbac-defaults")));
    return v;
}

static struct val binding(struct arena *arena, const char *role, const char *groups)
{
    struct val v = object(arena, "ClusterRoleBinding", role);
    (void)val_set_path(arena, &v, "roleRef.apiGroup", val_str(S("rbac.authorization.k8s.io")));
    (void)val_set_path(arena, &v, "roleRef.kind", val_str(S("ClusterRole")));
    (void)val_set_path(arena, &v, "roleRef.name", val_str(str_of(role)));
    struct val *subjects = val_need_list(arena, &v, S("subjects"));
    struct val names = words(arena, groups);
    for (size_t i = 0; i < val_count(&names); i++) {
        struct val subject = val_map();
        (void)val_set(arena, &subject, S("apiGroup"), val_str(S("rbac.authorization.k8s.io")));
        (void)val_set(arena, &subject, S("kind"), val_str(S("Group")));
        (void)val_set(arena, &subject, S("name"), names.items[i]);
        (void)val_push(arena, subjects, subject);
    }
    return v;
}

void auth_bootstrap_objects(struct arena *arena, const struct val **ret, size_t *ret_count)
{
    struct val *list =
        arena_alloc(arena, (ARRAY_LEN(roles) + ARRAY_LEN(role_bindings)) * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        list[n] = object(arena, "ClusterRole", roles[i].name);
        struct val *rules = val_need_list(arena, &list[n], S("rules"));
        add_rules(arena, rules, roles[i].rules, roles[i].count);
        add_rules(arena, rules, roles[i].more, roles[i].more_count);
        n++;
    }
    for (size_t i = 0; i < ARRAY_LEN(role_bindings); i++) {
        list[n++] = binding(arena, role_bindings[i].role, role_bindings[i].groups);
    }
    *ret = list;
    *ret_count = n;
}
