// SPDX-License-Identifier: Apache-2.0
//
// What differs between two trees, for the user whose update was refused: one line with '-' for what
// was and one with '+' for what was asked for, a field each. Upstream prints Go's structs here; the
// words around it are upstream's, these lines are ours.
#ifndef CORACLE_API_DIFFERENCE_H
#define CORACLE_API_DIFFERENCE_H

#include "data/val.h"

/* Begins with a line feed; empty when the trees are equal. At most DIFFERENCE_FIELDS_MAX fields. In
 * arena. */
struct str difference_text(struct arena *arena, const struct val *was, const struct val *now);

enum { DIFFERENCE_FIELDS_MAX = 8, DIFFERENCE_VALUE_MAX = 200 };

#endif
