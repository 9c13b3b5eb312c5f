// SPDX-License-Identifier: Apache-2.0
//
// Events have two forms over one storage: core/v1 and events.k8s.io/v1 (spec/api.md 11). Stored is
// the core form; requests under events.k8s.io are turned into it and answers back.
#ifndef CORACLE_API_EVENT_FORM_H
#define CORACLE_API_EVENT_FORM_H

#include "api/kind.h"
#include "base/arena.h"

/* Whether objects of kind are stored in another form than they are shown in. */
bool event_is_other_form(const struct kind *kind);
/* Shallow copies with the fields' names and apiVersion of the other form; an event that has the
 * wanted form already comes back as it is. */
struct val event_to_core(struct arena *arena, const struct val *event);
struct val event_to_events(struct arena *arena, const struct val *event);

#endif
