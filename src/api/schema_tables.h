// SPDX-License-Identifier: Apache-2.0
//
// The generated tables, for this room alone.
#ifndef CORACLE_API_SCHEMA_TABLES_H
#define CORACLE_API_SCHEMA_TABLES_H

#include "api/schema.h"

/* build/<flavour>/gen/schema_tables.c, sorted by name. */
extern const struct schema_type *const schema_table;
extern const size_t schema_table_count;

#endif
