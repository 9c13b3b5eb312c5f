// SPDX-License-Identifier: Apache-2.0
//
// The kind table, made of kinds.def. Nothing here is particular to a kind (spec/api.md 11).
#include "api/kind.h"

#include "api/schema_tables.h"
#include "api/strategy.h"
#include "api/table.h"
#include "base/mem.h"

#include <stdio.h>

#define LIT(s)                                                                                     \
    {                                                                                              \
        "" s, sizeof(s) - 1                                                                        \
    }

enum {
    GET = 1 << VERB_GET,
    UPDATE = 1 << VERB_UPDATE,
    CREATE = 1 << VERB_CREATE,
    DELETE_COLLECTION = 1 << VERB_DELETE_COLLECTION,
    CREATE_GET = CREATE | GET,
    GET_PATCH_UPDATE = GET | UPDATE | 1 << VERB_PATCH,
    PROXY = CREATE | GET_PATCH_UPDATE | 1 << VERB_DELETE,
    STD = (1 << VERB_COUNT) - 1,

    NAMESPACED = KIND_NAMESPACED,
    GENERATION = KIND_GENERATION,
    VOLATILE = KIND_VOLATILE,
    UPSERT = KIND_CREATE_ON_UPDATE,
    NEEDS_RV = KIND_NEEDS_RV,
    VIRTUAL = KIND_VIRTUAL,
    DELETE_RETURNS = KIND_DELETE_RETURNS
};

/* Lists of kinds.def end in an empty element, so that an empty list is a valid initialiser. */
#define N(text)          LIT(text),
#define SUB(name, verbs) SUB_AS(name, verbs, "", "", "")
#define SUB_AS(name, verbs, kgroup, kversion, kname)                                               \
    {LIT(name), verbs, LIT(kgroup), LIT(kversion), LIT(kname)},
#define STRATEGY(name) &strategy_##name
#define COLUMNS(name)  &columns_##name
#define END(member)                                                                                \
    {                                                                                              \
        .member = 0                                                                                \
    }
#define SHORTS(...)                                                                                \
    (const struct str[])                                                                           \
    {                                                                                              \
        __VA_ARGS__ END(n)                                                                         \
    }
#define SUBS(...)                                                                                  \
    (const struct subresource[])                                                                   \
    {                                                                                              \
        __VA_ARGS__ END(verbs)                                                                     \
    }
#define COUNT(list) (sizeof(list) / sizeof((list)[0]) - 1)

#define KIND(group_, version_, name_, plural_, singular_, shorts_, category_, flags_, verbs_,      \
             type_, storage_, strategy_, columns_, subresources_)                                  \
    {                                                                                              \
        .group = LIT(group_),                                                                      \
        .version = LIT(version_),                                                                  \
        .name = LIT(name_),                                                                        \
        .plural = LIT(plural_),                                                                    \
        .singular = LIT(singular_),                                                                \
        .short_names = SHORTS(shorts_),                                                            \
        .short_names_count = COUNT(SHORTS(shorts_)),                                               \
        .category = LIT(category_),                                                                \
        .flags = (flags_),                                                                         \
        .verbs = (verbs_),                                                                         \
        .subresources = SUBS(subresources_),                                                       \
        .subresources_count = COUNT(SUBS(subresources_)),                                          \
        .type_name = LIT(type_),                                                                   \
        .strategy = (strategy_),                                                                   \
        .columns = (columns_),                                                                     \
        .storage = LIT(storage_),                                                                  \
    },

static const struct kind table[] = {
#include "api/kinds.def"
};

static const struct str verb_names[VERB_COUNT] = {
    [VERB_GET] = LIT("get"),       [VERB_LIST] = LIT("list"),
    [VERB_WATCH] = LIT("watch"),   [VERB_CREATE] = LIT("create"),
    [VERB_UPDATE] = LIT("update"), [VERB_PATCH] = LIT("patch"),
    [VERB_DELETE] = LIT("delete"), [VERB_DELETE_COLLECTION] = LIT("deletecollection"),
};

struct str verb_name(enum api_verb verb)
{
    return verb_names[verb];
}

const struct kind *kinds(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(table);
    return table;
}

const struct kind *kind_by_plural(struct str group, struct str version, struct str plural)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct kind *k = &table[i];
        if (str_eq(k->plural, plural) && str_eq(k->group, group) && str_eq(k->version, version)) {
            return k;
        }
    }
    return NULL;
}

const struct kind *kind_by_name(struct str group, struct str version, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct kind *k = &table[i];
        if (str_eq(k->name, name) && str_eq(k->group, group) && str_eq(k->version, version)) {
            return k;
        }
    }
    return NULL;
}

const struct subresource *kind_subresource(const struct kind *kind, struct str name)
{
    for (size_t i = 0; i < kind->subresources_count; i++) {
        if (str_eq(kind->subresources[i].name, name)) {
            return &kind->subresources[i];
        }
    }
    return NULL;
}

const struct schema_type *kind_type(const struct kind *kind)
{
    return schema_find(kind->type_name);
}

const struct body_type *body_types(size_t *ret_count)
{
    static const struct body_type bodies[] = {
        {LIT(""),                      LIT("v1"), LIT("Binding"),       LIT("core.v1.Binding")      },
        {LIT(""),                      LIT("v1"), LIT("DeleteOptions"), LIT("meta.v1.DeleteOptions")},
        {LIT(""),                      LIT("v1"), LIT("Status"),        LIT("meta.v1.Status")       },
        {LIT("authentication.k8s.io"), LIT("v1"), LIT("TokenRequest"),
         LIT("authentication.v1.TokenRequest")                                                      },
        {LIT("autoscaling"),           LIT("v1"), LIT("Scale"),         LIT("autoscaling.v1.Scale") },
        {LIT("policy"),                LIT("v1"), LIT("Eviction"),      LIT("policy.v1.Eviction")   },
    };
    *ret_count = ARRAY_LEN(bodies);
    return bodies;
}

/* The two composed names of each kind, made at the first question: 24 bytes of text a kind. */
enum { NAME_TEXT_MAX = 96 };
struct names {
    char api_version[NAME_TEXT_MAX];
    char qualified[NAME_TEXT_MAX];
};
static struct names names[ARRAY_LEN(table)];

static struct names *names_of(const struct kind *kind)
{
    struct names *n = &names[kind - table];
    if (n->api_version[0] == '\0') {
        const char *slash = kind->group.n == 0 ? "" : "/";
        const char *dot = kind->group.n == 0 ? "" : ".";
        (void)snprintf(n->api_version, sizeof n->api_version, STR_FMT "%s" STR_FMT,
                       STR_ARG(kind->group), slash, STR_ARG(kind->version));
        (void)snprintf(n->qualified, sizeof n->qualified, STR_FMT "%s" STR_FMT,
                       STR_ARG(kind->plural), dot, STR_ARG(kind->group));
    }
    return n;
}

struct str kind_api_version(const struct kind *kind)
{
    return str_of(names_of(kind)->api_version);
}

struct str kind_qualified(const struct kind *kind)
{
    return str_of(names_of(kind)->qualified);
}

void api_version_split(struct str api_version, struct str *ret_group, struct str *ret_version)
{
    ptrdiff_t slash = str_find(api_version, '/');
    if (slash < 0) {
        *ret_group = S("");
        *ret_version = api_version;
        return;
    }
    *ret_group = str_sub(api_version, 0, (size_t)slash);
    *ret_version = str_sub(api_version, (size_t)slash + 1, api_version.n);
}

const struct kind *kind_of(enum kind_id id)
{
    static const struct {
        struct str group;
        struct str version;
        struct str name;
    } ids[KIND_ID_COUNT] = {
#define KIND_ROW(id, group, version, name) [KIND_##id] = {LIT(group), LIT(version), LIT(name)},
        KIND_NAMES(KIND_ROW)
#undef KIND_ROW
    };
    static const struct kind *found[KIND_ID_COUNT];
    if (found[id] == NULL) {
        found[id] = kind_by_name(ids[id].group, ids[id].version, ids[id].name);
    }
    return found[id];
}
