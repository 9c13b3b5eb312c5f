// SPDX-License-Identifier: Apache-2.0
//
// Metadata of an object: its validation (spec/api.md 6) and the few edits that every writer needs.
// The rules of single names and maps are in rules.h.
#ifndef CORACLE_API_META_H
#define CORACLE_API_META_H

#include "api/status.h"
#include "base/clock.h"

/* metadata of a new object, and of a new version against the one before. */
void meta_validate(struct causes *causes, const struct kind *kind, const struct val *obj);
void meta_validate_update(struct causes *causes, const struct val *obj, const struct val *old);

/* "2026-01-02T03:04:05Z" as a value. */
struct val meta_time(struct arena *arena, usec wall);
/* obj's metadata for editing, made when absent. */
struct val *meta_of(struct arena *arena, struct val *obj);
bool meta_has_finalizer(const struct val *obj, struct str finalizer);

#endif
