// SPDX-License-Identifier: Apache-2.0
//
// The canonical form of a quantity is read back as the same quantity and is its own canonical form.
#include "fuzz.h"

#include "base/arena.h"
#include "data/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct err err;
    struct quantity q;
    struct quantity again;
    if (quantity_parse((struct str){(const char *)data, size}, &q, &err) < 0) {
        return 0;
    }
    struct str text = quantity_format(arena, q);
    must(quantity_parse(text, &again, &err) == 0);
    must(quantity_cmp(q, again) == 0);
    must(str_eq(text, quantity_format(arena, again)));
    must(quantity_units(q) == quantity_units(again));
    struct quantity sum = quantity_add(q, q);
    must(quantity_cmp(sum, q) == (q.nano > 0   ? sum.nano > q.nano
                                  : q.nano < 0 ? -(sum.nano < q.nano)
                                               : 0));
    return 0;
}
