// SPDX-License-Identifier: Apache-2.0
//
// The generated tables and what names their types, for this room alone.
#ifndef CORACLE_API_SCHEMA_TABLES_H
#define CORACLE_API_SCHEMA_TABLES_H

#include "api/schema.h"

/* build/<flavour>/gen/schema_tables.c, sorted by name. */
extern const struct schema_type *const schema_table;
extern const size_t schema_table_count;

/* Bodies that are no kinds of kinds.def but have an apiVersion and a kind: Scale, DeleteOptions, …
 */
struct body_type {
    struct str group;
    struct str version;
    struct str name;
    struct str type_name;
};
const struct body_type *body_types(size_t *ret_count);

#endif
