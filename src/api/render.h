// SPDX-License-Identifier: Apache-2.0
//
// Results as documents: Tables with upstream's columns, PartialObjectMetadata, lists, watch events.
#ifndef CORACLE_API_RENDER_H
#define CORACLE_API_RENDER_H

#include "api/api.h"

enum render_as { RENDER_PLAIN, RENDER_TABLE, RENDER_PARTIAL /* PartialObjectMetadata(List) */ };

struct render_options {
    enum render_as as;
    struct str include_object; /* Table: "None", "Metadata" (default), "Object" */
    usec now_wall;             /* ages */
    bool is_first;             /* Table watch: columnDefinitions only in the first event */
};

/* Appends the JSON of one object (a Table of one row when asked). kind names the rows' columns. */
int render_object(struct buf *out, struct arena *arena, const struct kind *kind,
                  struct object *object, const struct render_options *options);
/* Appends the JSON of a document that is no stored object: as it is, but for a Scale, of which
 * there is a Table. */
int render_val(struct buf *out, struct arena *arena, const struct val *v,
               const struct render_options *options);
/* Appends the JSON of a list result (kind <Kind>List, Table, or PartialObjectMetadataList). Plain
 * lists splice each object's encoded bytes. */
int render_list(struct buf *out, struct arena *arena, const struct kind *kind,
                const struct api_result *result, const struct render_options *options);
/* Appends {"type":…,"object":…} of a watch event, with a line feed. */
int render_event(struct buf *out, struct arena *arena, const struct kind *kind,
                 const struct api_event *event, const struct render_options *options);

/* Documents of discovery and OpenAPI; static text made once at start, owned by api/. */
struct str discovery_aggregated(struct str root /* "api" or "apis" */, bool is_v2beta1);
struct str discovery_api_versions(struct arena *arena, struct str server_address);
struct str discovery_groups(void);
/* "v1", "apps/v1" -> APIResourceList; "apps" -> APIGroup; empty when unknown. */
struct str discovery_resources(struct str group_version);
struct str discovery_group(struct str group);
struct str openapi_v2_protobuf(void);
struct str openapi_v2_json(void);
struct str openapi_v3_index(void);
struct str openapi_v3(struct str group_version_path /* "api/v1", "apis/apps/v1" */,
                      struct str *ret_hash);

/* Request bodies in protobuf (spec/api.md 2.1 and appendix B): checks the magic, finds the type by
 * the envelope's apiVersion and kind, gives the JSON-like tree with apiVersion and kind set.
 * ERR_SYNTAX names the byte. */
MUST_CHECK int protobuf_read(struct str bytes, struct arena *arena, struct val *ret,
                             struct err *err);

#endif
