// SPDX-License-Identifier: Apache-2.0
//
// Content negotiation (spec/api.md 2): the Accept header against what can be served, and the type
// of a request's body. Pure.
#ifndef CORACLE_SERVER_NEGOTIATE_H
#define CORACLE_SERVER_NEGOTIATE_H

#include "api/render.h"

enum media { MEDIA_JSON, MEDIA_YAML, MEDIA_OPENAPI_V2_PROTOBUF, MEDIA_NONE };
enum discovery_as { DISCOVERY_PLAIN, DISCOVERY_V2BETA1, DISCOVERY_V2 };

struct accept {
    enum media media; /* MEDIA_NONE = 406 */
    enum render_as as;
    enum discovery_as discovery;
};

enum {
    ACCEPT_OBJECTS = 1,   /* Table and PartialObjectMetadata can be made */
    ACCEPT_DISCOVERY = 2, /* aggregated discovery can be made */
    ACCEPT_OPENAPI_V2 = 4 /* protobuf of OpenAPI v2 can be made */
};
/* First clause, by q and then order, that can be satisfied; an empty header is JSON. */
struct accept negotiate(struct str header, unsigned can);

enum body_type {
    BODY_JSON,
    BODY_YAML,
    BODY_PROTOBUF,
    BODY_JSON_PATCH,
    BODY_MERGE_PATCH,
    BODY_STRATEGIC_PATCH,
    BODY_APPLY_PATCH,
    BODY_UNKNOWN
};
enum body_type body_type_of(struct str content_type); /* none = JSON */

#endif
