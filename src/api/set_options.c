// SPDX-License-Identifier: Apache-2.0
#include "api/set_options.h"

#include "base/mem.h"

#include <stdlib.h>

static bool read_bool(struct str text, bool *ret)
{
    *ret = str_eq(text, S("true"));
    return *ret || str_eq(text, S("false"));
}

static bool read_strict(struct str text, struct set_options *ret)
{
    return read_bool(text, &ret->is_strict);
}

static bool read_paused(struct str text, struct set_options *ret)
{
    return read_bool(text, &ret->is_paused);
}

static bool read_in_place(struct str text, struct set_options *ret)
{
    return read_bool(text, &ret->is_in_place);
}

static bool read_deadline(struct str text, struct set_options *ret)
{
    uint64_t seconds = 0;
    if (str_to_u64(text, &seconds) < 0 || seconds == 0 || seconds > INT32_MAX) {
        return false;
    }
    ret->progress_seconds = (int64_t)seconds;
    return true;
}

static bool read_range(struct str text, struct ordinal_range *ret)
{
    struct str last = text;
    struct str first = str_cut(&last, '-');
    uint64_t from = 0;
    uint64_t to = 0;
    if (last.p == NULL) {
        last = first;
    }
    if (str_to_u64(first, &from) < 0 || str_to_u64(last, &to) < 0 || to > INT32_MAX || from > to) {
        return false;
    }
    *ret = (struct ordinal_range){(int64_t)from, (int64_t)to};
    return true;
}

static int by_first(const void *a, const void *b)
{
    const struct ordinal_range *x = a;
    const struct ordinal_range *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* "1,4-6": in any order, also overlapping; empty reserves none. */
static bool read_reserved(struct str text, struct set_options *ret)
{
    size_t count = 0;
    while (text.p != NULL && text.n > 0) {
        struct str part = str_trim(str_cut(&text, ','));
        if (count == SET_RESERVED_MAX || !read_range(part, &ret->reserved[count])) {
            return false;
        }
        count++;
    }
    qsort(ret->reserved, count, sizeof ret->reserved[0], by_first);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct ordinal_range next = ret->reserved[i];
        if (kept > 0 && next.first <= ret->reserved[kept - 1].last + 1) {
            struct ordinal_range *before = &ret->reserved[kept - 1];
            before->last = next.last > before->last ? next.last : before->last;
        } else {
            ret->reserved[kept++] = next;
        }
    }
    ret->reserved_count = kept;
    return true;
}

static const struct {
    struct str key;
    bool (*read)(struct str text, struct set_options *ret);
    const char *form; /* what the value has to be */
} rows[] = {
    {{"coracle.io/strict-rollout", 25},            read_strict,   "must be 'true' or 'false'"                                     },
    {{"coracle.io/paused", 17},                    read_paused,   "must be 'true' or 'false'"                                     },
    {{"coracle.io/in-place-update", 26},           read_in_place, "must be 'true' or 'false'"                                     },
    {{"coracle.io/progress-deadline-seconds", 36}, read_deadline, "must be a positive number"                                     },
    {{"coracle.io/reserved-ordinals", 28},
     read_reserved,                                               "must be at most 64 ordinals or ranges of them, such as '1,4-6'"},
};

void set_options_read(const struct val *annotations, struct set_options *ret)
{
    *ret = (struct set_options){.progress_seconds = SET_PROGRESS_SECONDS};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct val *value = val_get(annotations, rows[i].key);
        if (value != NULL) {
            (void)rows[i].read(val_text(value), ret);
        }
    }
}

void set_options_check(const struct val *annotations, struct causes *causes)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct val *value = val_get(annotations, rows[i].key);
        struct set_options scratch = {0};
        if (value != NULL && !rows[i].read(val_text(value), &scratch)) {
            cause_add(
                causes, CAUSE_INVALID,
                arena_fmt(causes->arena, "metadata.annotations[" STR_FMT "]", STR_ARG(rows[i].key)),
                value, str_of(rows[i].form));
        }
    }
}

int64_t set_options_skip(const struct set_options *options, int64_t ordinal)
{
    for (size_t i = 0; i < options->reserved_count; i++) {
        if (ordinal >= options->reserved[i].first && ordinal <= options->reserved[i].last) {
            return options->reserved[i].last + 1;
        }
    }
    return ordinal;
}

int64_t set_options_ordinal(const struct set_options *options, int64_t start, int64_t index)
{
    int64_t ordinal = start + index;
    for (size_t i = 0; i < options->reserved_count; i++) {
        struct ordinal_range range = options->reserved[i];
        if (range.last < start) {
            continue;
        }
        int64_t first = range.first < start ? start : range.first;
        if (first > ordinal) {
            break;
        }
        ordinal += range.last - first + 1;
    }
    return ordinal;
}
