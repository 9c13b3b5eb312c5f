// SPDX-License-Identifier: Apache-2.0
//
// Claim specs are shared: claims have one, StatefulSets' claim templates hold one.
#ifndef CORACLE_API_STRATEGY_CLAIM_H
#define CORACLE_API_STRATEGY_CLAIM_H

#include "api/status.h"

/* A PersistentVolumeClaimSpec: accessModes, storage request, names. */
void claim_spec_validate(const struct val *spec, struct str path, struct causes *causes);

#endif
