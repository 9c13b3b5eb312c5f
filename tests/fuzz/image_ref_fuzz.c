// SPDX-License-Identifier: Apache-2.0
//
// Image references: the normal form is its own normal form, names a host, a path and a tag or
// digest.
#include "fuzz.h"

#include "registry/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct str text = {(const char *)data, size};
    struct str form;
    struct str again;
    struct err err;
    if (reference_normalise(arena, text, &form, &err) < 0) {
        must(err.code == ERR_INVALID);
        return 0;
    }
    must(reference_normalise(arena, form, &again, &err) == 0);
    must(str_eq(form, again));
    ptrdiff_t slash = str_find(form, '/');
    must(slash > 0);
    must(str_rfind(form, ':') > slash);
    return 0;
}
