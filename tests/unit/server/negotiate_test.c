// SPDX-License-Identifier: Apache-2.0
#include "server/negotiate.h"

#include "test.h"

#include "base/mem.h"

TEST(negotiate_takes_the_first_clause_it_can)
{
    static const struct {
        const char *accept;
        unsigned can;
        enum media media;
        enum render_as as;
        enum discovery_as discovery;
    } cases[] = {
        {"",                                                                                      0,                 MEDIA_JSON, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"*/*",                                                                                   0,                 MEDIA_JSON, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"application/json, */*",                                                                 ACCEPT_DISCOVERY,  MEDIA_JSON, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"application/yaml",                                                                      0,                 MEDIA_YAML, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"text/html",                                                                             0,                 MEDIA_NONE, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"application/vnd.kubernetes.protobuf,application/json",                                  0,                 MEDIA_JSON, RENDER_PLAIN,
         DISCOVERY_PLAIN                                                                                                                                          },
        {"application/vnd.kubernetes.protobuf, */*",                                              0,                 MEDIA_JSON, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"application/yaml;q=0.5,application/json;q=0.9",                                         0,                 MEDIA_JSON, RENDER_PLAIN,
         DISCOVERY_PLAIN                                                                                                                                          },
        {"application/json;q=0",                                                                  0,                 MEDIA_NONE, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta."
         "k8s.io,application/json",                                                      ACCEPT_OBJECTS,    MEDIA_JSON, RENDER_TABLE,   DISCOVERY_PLAIN  },
        {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json",                         0,                 MEDIA_JSON,
         RENDER_PLAIN,                                                                                                                           DISCOVERY_PLAIN  },
        {"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",                      ACCEPT_OBJECTS,
         MEDIA_JSON,                                                                                                             RENDER_PARTIAL, DISCOVERY_PLAIN  },
        {"application/json;stream=watch",                                                         ACCEPT_OBJECTS,    MEDIA_JSON, RENDER_PLAIN,
         DISCOVERY_PLAIN                                                                                                                                          },
        {"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g="
         "apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",      ACCEPT_DISCOVERY,  MEDIA_JSON, RENDER_PLAIN,   DISCOVERY_V2     },
        {"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",             //
         ACCEPT_DISCOVERY,      MEDIA_JSON, RENDER_PLAIN,   DISCOVERY_V2BETA1},
        {"application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json",
         ACCEPT_DISCOVERY,                                                                                           MEDIA_JSON, RENDER_PLAIN,   DISCOVERY_PLAIN  },
        {"application/com.github.proto-openapi.spec.v2@v1.0+protobuf",                            ACCEPT_OPENAPI_V2,
         MEDIA_OPENAPI_V2_PROTOBUF,                                                                                              RENDER_PLAIN,   DISCOVERY_PLAIN  },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct accept got = negotiate(str_of(cases[i].accept), cases[i].can);
        EXPECT_INT(cases[i].media, got.media);
        EXPECT_INT(cases[i].as, got.as);
        EXPECT_INT(cases[i].discovery, got.discovery);
    }
}

TEST(negotiate_names_body_types)
{
    EXPECT_INT(BODY_JSON, body_type_of(S("")));
    EXPECT_INT(BODY_JSON, body_type_of(S("Application/JSON; charset=utf-8")));
    EXPECT_INT(BODY_APPLY_PATCH, body_type_of(S("application/apply-patch+yaml")));
    EXPECT_INT(BODY_PROTOBUF, body_type_of(S("application/vnd.kubernetes.protobuf")));
    EXPECT_INT(BODY_UNKNOWN, body_type_of(S("application/cbor")));
}
