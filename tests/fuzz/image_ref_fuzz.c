// SPDX-License-Identifier: Apache-2.0
//
// Image references: the normal form is its own normal form, names a host, a path and a tag or
// digest, and asks for the same pull policy as what was written.
#include "fuzz.h"

#include "node/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct str text = {(const char *)data, size};
    struct str form;
    struct str again;
    struct err err;
    if (image_ref_normalise(arena, text, &form, &err) < 0) {
        must(err.code == ERR_INVALID);
        return 0;
    }
    must(image_ref_normalise(arena, form, &again, &err) == 0);
    must(str_eq(form, again));
    ptrdiff_t slash = str_find(form, '/');
    must(slash > 0);
    must(str_rfind(form, ':') > slash);
    must(str_eq(image_default_pull_policy(text), image_default_pull_policy(form)));
    return 0;
}
