// SPDX-License-Identifier: Apache-2.0
//
// Quantities (apimachinery resource.Quantity): "250m", "1.5Gi", "1e3", "100M". Held as an exact
// count of nano units in 128 bits, which covers every quantity that Kubernetes itself accepts
// without rounding between 1n and 2^63.
#ifndef CORACLE_DATA_QUANTITY_H
#define CORACLE_DATA_QUANTITY_H

#include "base/arena.h"
#include "base/str.h"

enum quantity_format { QUANTITY_DECIMAL_SI, QUANTITY_BINARY_SI, QUANTITY_DECIMAL_EXPONENT };

struct quantity {
    __extension__ __int128 nano;
    enum quantity_format format;
};

/* ERR_INVALID with upstream's text "quantities must match the regular expression ...". */
MUST_CHECK int quantity_parse(struct str text, struct quantity *ret, struct err *err);
/* Canonical form: no fraction, largest suffix that keeps it exact ("1500m", "1Gi", "0"). */
struct str quantity_format(struct arena *arena, struct quantity q);
int quantity_cmp(struct quantity a, struct quantity b);
struct quantity quantity_add(struct quantity a, struct quantity b);
/* Whole units, rounded up; thousandths, rounded up. Saturate at INT64_MAX. */
int64_t quantity_units(struct quantity q);
int64_t quantity_millis(struct quantity q);

#endif
