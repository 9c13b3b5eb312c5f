// SPDX-License-Identifier: Apache-2.0
//
// Words for types and fields, for the OpenAPI documents and so for kubectl explain. Empty where
// there are none.
#ifndef CORACLE_API_DESCRIPTIONS_H
#define CORACLE_API_DESCRIPTIONS_H

#include "base/arena.h"

struct str description_of_type(struct str type); /* "core.v1.Pod" */
struct str description_of_field(struct arena *arena, struct str type, struct str field);
struct str description_key(size_t i); /* all of them in order, for tests; empty = no more */

#endif
