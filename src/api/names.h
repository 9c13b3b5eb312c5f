// SPDX-License-Identifier: Apache-2.0
//
// Sets of names for validation: which of a list came before, and whether a name is of a set. Both
// sort, so that a body of 3 MiB whose lists hold 50,000 names costs a moment, whatever the names.
#ifndef CORACLE_API_NAMES_H
#define CORACLE_API_NAMES_H

#include "base/arena.h"
#include "base/str.h"

/* One flag for each name: an earlier one equals it. */
const bool *names_repeated(struct arena *arena, const struct str *names, size_t count);
/* The texts of a field in each item of a list, "" where there is none: what names_repeated takes.
 */
struct val;
const struct str *names_of(struct arena *arena, const struct val *list, const char *field);

/* Sorts names in place for names_has. */
void names_sort(struct str *names, size_t count);
bool names_has(const struct str *sorted, size_t count, struct str name);

#endif
