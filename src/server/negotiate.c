// SPDX-License-Identifier: Apache-2.0
#include "server/negotiate.h"

#include "base/mem.h"
#include "wire/http1.h"

struct clause {
    struct str type;
    struct str as, group, version;
    unsigned q; /* thousandths */
};

static unsigned parse_q(struct str text)
{
    unsigned q = 0;
    unsigned unit = 1000;
    for (size_t i = 0; i < text.n && unit > 0; i++) {
        if (text.p[i] == '.') {
            continue;
        }
        if (text.p[i] < '0' || text.p[i] > '9') {
            return 0;
        }
        q += (unsigned)(text.p[i] - '0') * unit;
        unit /= 10;
    }
    return q > 1000 ? 1000 : q;
}

static struct clause parse_clause(struct str text)
{
    struct clause clause = {.q = 1000};
    struct str rest = text;
    clause.type = str_trim(str_cut(&rest, ';'));
    while (rest.p != NULL) {
        struct str value = str_cut(&rest, ';');
        struct str key = str_trim(str_cut(&value, '='));
        value = str_trim(value);
        if (str_eq(key, S("q"))) {
            clause.q = parse_q(value);
        } else if (str_eq(key, S("as"))) {
            clause.as = value;
        } else if (str_eq(key, S("g"))) {
            clause.group = value;
        } else if (str_eq(key, S("v"))) {
            clause.version = value;
        }
    }
    return clause;
}

static bool wants_discovery(const struct clause *c, unsigned can, struct accept *ret)
{
    if (!str_eq(c->as, S("APIGroupDiscoveryList")) || (can & ACCEPT_DISCOVERY) == 0 ||
        !str_eq(c->group, S("apidiscovery.k8s.io"))) {
        return false;
    }
    ret->discovery = str_eq(c->version, S("v2"))        ? DISCOVERY_V2
                     : str_eq(c->version, S("v2beta1")) ? DISCOVERY_V2BETA1
                                                        : DISCOVERY_PLAIN;
    return ret->discovery != DISCOVERY_PLAIN;
}

static bool wants_object(const struct clause *c, unsigned can, struct accept *ret)
{
    static const struct {
        struct str as;
        enum render_as render;
    } forms[] = {
        {{"Table", 5},                      RENDER_TABLE  },
        {{"PartialObjectMetadata", 21},     RENDER_PARTIAL},
        {{"PartialObjectMetadataList", 25}, RENDER_PARTIAL},
    };
    bool is_version_known = str_eq(c->version, S("v1")) || str_eq(c->version, S("v1beta1"));
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if ((can & ACCEPT_OBJECTS) != 0 && str_eq(c->as, forms[i].as) && is_version_known &&
            str_eq(c->group, S("meta.k8s.io"))) {
            ret->as = forms[i].render;
            return true;
        }
    }
    return false;
}

static bool satisfy(const struct clause *c, unsigned can, struct accept *ret)
{
    static const struct {
        struct str type;
        enum media media;
        unsigned needs;
    } types[] = {
        {{"application/json", 16},                                           MEDIA_JSON, 0                },
        {{"application/yaml", 16},                                           MEDIA_YAML, 0                },
        {{"application/com.github.proto-openapi.spec.v2@v1.0+protobuf", 58},
         MEDIA_OPENAPI_V2_PROTOBUF,                                                      ACCEPT_OPENAPI_V2},
        {{"application/com.github.proto-openapi.spec.v2.v1.0+protobuf", 58},
         MEDIA_OPENAPI_V2_PROTOBUF,                                                      ACCEPT_OPENAPI_V2},
        {{"application/*", 13},                                              MEDIA_JSON, 0                },
        {{"*/*", 3},                                                         MEDIA_JSON, 0                },
    };
    if (c->q == 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!str_eq_nocase(c->type, types[i].type) || (types[i].needs & ~can) != 0) {
            continue;
        }
        *ret = (struct accept){.media = types[i].media};
        return c->as.n == 0 || wants_discovery(c, can, ret) || wants_object(c, can, ret);
    }
    return false;
}

struct accept negotiate(struct str header, unsigned can)
{
    struct accept best = {.media = MEDIA_NONE};
    unsigned best_q = 0;
    if (str_trim(header).n == 0) {
        return (struct accept){.media = MEDIA_JSON};
    }
    for (struct str rest = header; rest.p != NULL;) {
        struct clause clause = parse_clause(str_cut(&rest, ','));
        struct accept accept;
        if (clause.q > best_q && satisfy(&clause, can, &accept)) {
            best = accept;
            best_q = clause.q;
        }
    }
    return best;
}

enum body_type body_type_of(struct str content_type)
{
    static const struct {
        struct str name;
        enum body_type type;
    } types[] = {
        {{"", 0},                                        BODY_JSON           },
        {{"application/json", 16},                       BODY_JSON           },
        {{"application/yaml", 16},                       BODY_YAML           },
        {{"application/vnd.kubernetes.protobuf", 35},    BODY_PROTOBUF       },
        {{"application/json-patch+json", 27},            BODY_JSON_PATCH     },
        {{"application/merge-patch+json", 28},           BODY_MERGE_PATCH    },
        {{"application/strategic-merge-patch+json", 38}, BODY_STRATEGIC_PATCH},
        {{"application/apply-patch+yaml", 28},           BODY_APPLY_PATCH    },
    };
    struct str rest = content_type;
    struct str name = str_trim(str_cut(&rest, ';'));
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (str_eq_nocase(name, types[i].name)) {
            return types[i].type;
        }
    }
    return BODY_UNKNOWN;
}
