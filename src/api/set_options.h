// SPDX-License-Identifier: Apache-2.0
//
// What coracle adds to StatefulSets, written as annotations, so that
// any client can read and write it and any other cluster ignores it. docs/statefulsets.md is the
// users' page; the table in set_options.c has a row for each.
#ifndef CORACLE_API_SET_OPTIONS_H
#define CORACLE_API_SET_OPTIONS_H

#include "api/status.h"

enum { SET_RESERVED_MAX = 64, SET_PROGRESS_SECONDS = 600 };
#define SET_ORDINALS_MAX ((int64_t)INT32_MAX + 1)

/* On a pod of a set: "true" has it removed and made anew, within maxUnavailable. */
#define POD_REPLACE_ANNOTATION S("coracle.io/replace")
/* On a set, written by the API: its claim templates were edited, so existing claims follow. */
#define SET_TEMPLATES_EDITED S("coracle.io/claim-templates-edited")

struct ordinal_range {
    int64_t first, last;
};

struct set_options {
    bool is_strict;           /* coracle.io/strict-rollout: wait as upstream does */
    bool is_paused;           /* coracle.io/paused: no pod changes its revision */
    bool is_in_place;         /* coracle.io/in-place-update */
    int64_t progress_seconds; /* coracle.io/progress-deadline-seconds */
    /* coracle.io/reserved-ordinals: ascending, disjoint */
    struct ordinal_range reserved[SET_RESERVED_MAX];
    size_t reserved_count;
};

/* Reads a set's annotations (NULL = none). What is malformed counts as absent. */
void set_options_read(const struct val *annotations, struct set_options *ret);
/* Adds a cause for each that is malformed. */
void set_options_check(const struct val *annotations, struct causes *causes);

/* The first ordinal from this one on that isn't reserved. */
int64_t set_options_skip(const struct set_options *options, int64_t ordinal);
/* The ordinal of the slot with this index, counted from start over those that aren't reserved. */
int64_t set_options_ordinal(const struct set_options *options, int64_t start, int64_t index);

#endif
