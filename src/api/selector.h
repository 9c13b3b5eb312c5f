// SPDX-License-Identifier: Apache-2.0
//
// Label and field selectors (spec/api.md 5).
#ifndef CORACLE_API_SELECTOR_H
#define CORACLE_API_SELECTOR_H

#include "api/kind.h"
#include "base/arena.h"
#include "data/val.h"

struct selector; /* immutable, in the arena it was made in */

/* Text form of a URL ("a=b,c in (x,y),!d"); empty text selects all. ERR_SYNTAX "unable to parse
 * requirement: …". */
MUST_CHECK int selector_parse(struct arena *arena, struct str text, struct selector **ret,
                              struct err *err);
/* metav1.LabelSelector; NULL selects nothing, an empty one everything. ERR_INVALID on bad
 * operators. */
MUST_CHECK int selector_of_val(struct arena *arena, const struct val *label_selector,
                               struct selector **ret, struct err *err);
/* A plain map of labels (Service.spec.selector). */
struct selector *selector_of_map(struct arena *arena, const struct val *labels);
/* labels is a map of strings, NULL = no labels. */
bool selector_matches(const struct selector *selector, const struct val *labels);
bool selector_is_everything(const struct selector *selector);
/* "a=b,c in (x,y),!d", sorted by key. */
struct str selector_format(struct arena *arena, const struct selector *selector);

struct field_selector;
/* ERR_SYNTAX: "field label not supported: foo" is found when matching against the kind's fields,
 * here at parse time. */
MUST_CHECK int field_selector_parse(struct arena *arena, const struct kind *kind, struct str text,
                                    struct field_selector **ret, struct err *err);
bool field_selector_matches(struct arena *arena, const struct field_selector *selector,
                            const struct val *obj);
/* The name that "metadata.name=x" pins, or empty. */
struct str field_selector_name(const struct field_selector *selector);

#endif
