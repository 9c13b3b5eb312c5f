// SPDX-License-Identifier: Apache-2.0
//
// The refusal of a patch whose result is no object of its kind: 422 without a kind, the patch (or
// what it makes) as the value, as upstream's patch handler answers.
#ifndef CORACLE_API_PATCH_REFUSAL_H
#define CORACLE_API_PATCH_REFUSAL_H

#include "api/api.h"

/* shown is the patch itself for PATCH_STRATEGIC, the patched object for the others. */
struct status patch_refusal(struct arena *arena, enum api_patch type, const struct val *shown,
                            struct str why);

#endif
