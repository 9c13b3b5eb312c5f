// SPDX-License-Identifier: Apache-2.0
//
// Sets of names by sorting; no hash, so nobody can choose names that collide.
#include "api/names.h"

#include "data/val.h"

#include <stdlib.h>

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Equal names in their order in the list, which is that of the array they point into. */
static int by_text_then_place(const void *a, const void *b)
{
    const struct str *x = *(const struct str *const *)a;
    const struct str *y = *(const struct str *const *)b;
    int order = str_cmp(*x, *y);
    return order != 0 ? order : (x > y) - (x < y);
}

const bool *names_repeated(struct arena *arena, const struct str *names, size_t count)
{
    bool *repeated = arena_alloc(arena, count * sizeof *repeated);
    const struct str **sorted = arena_alloc(arena, count * sizeof *sorted);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &names[i];
    }
    if (count > 0) {
        qsort(sorted, count, sizeof *sorted, by_text_then_place);
    }
    for (size_t i = 1; i < count; i++) {
        repeated[sorted[i] - names] = str_eq(*sorted[i], *sorted[i - 1]);
    }
    return repeated;
}

const struct str *names_of(struct arena *arena, const struct val *list, const char *field)
{
    struct str *names = arena_alloc(arena, val_count(list) * sizeof *names);
    for (size_t i = 0; i < val_count(list); i++) {
        names[i] = val_text_at(val_at(list, i), field);
    }
    return names;
}

void names_sort(struct str *names, size_t count)
{
    if (count > 0) {
        qsort(names, count, sizeof *names, by_text);
    }
}

bool names_has(const struct str *sorted, size_t count, struct str name)
{
    return count > 0 && bsearch(&name, sorted, count, sizeof *sorted, by_text) != NULL;
}
