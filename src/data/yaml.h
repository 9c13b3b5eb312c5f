// SPDX-License-Identifier: Apache-2.0
//
// YAML 1.1 as sigs.k8s.io/yaml reads it (through libyaml): the JSON-compatible subset, scalars
// typed by the core schema (true/false/yes/no/on/off are booleans only unquoted in the forms Go
// accepts), anchors and aliases resolved with a cap, merge keys (<<) honoured, no custom tags.
#ifndef CORACLE_DATA_YAML_H
#define CORACLE_DATA_YAML_H

#include "data/json.h"

/* Reads the first document (empty text is null). ERR_SYNTAX names line and column. */
MUST_CHECK int yaml_read(struct str text, struct arena *arena, const struct json_options *options,
                         struct val *ret, struct err *err);
/* Appends v as block-style YAML that yaml_read and kubectl read back to the same value. */
int yaml_write(struct buf *out, const struct val *v, struct err *err);

#endif
