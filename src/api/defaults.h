// SPDX-License-Identifier: Apache-2.0
//
// The three ways in which upstream's defaulting fills a field of a map: when it is absent, when its
// text is empty, when its number is 0 (a plain Go field can't tell 0 from absent).
#ifndef CORACLE_API_DEFAULTS_H
#define CORACLE_API_DEFAULTS_H

#include "data/val.h"

static inline void default_val(struct arena *arena, struct val *map, struct str key, struct val v)
{
    if (val_get(map, key) == NULL) {
        (void)val_set(arena, map, key, v);
    }
}

static inline void default_text(struct arena *arena, struct val *map, struct str key,
                                struct str text)
{
    if (val_text(val_get(map, key)).n == 0) {
        (void)val_set(arena, map, key, val_str(text));
    }
}

static inline void default_number(struct arena *arena, struct val *map, struct str key,
                                  int64_t number)
{
    if (val_number(val_get(map, key), 0) == 0) {
        (void)val_set(arena, map, key, val_int(number));
    }
}

#endif
