// SPDX-License-Identifier: Apache-2.0
//
// See cells.h.
#include "api/cells.h"

#include "base/timefmt.h"

#include <inttypes.h>

void joined_add(struct joined *j, const char *sep, struct str part)
{
    j->text = j->count++ == 0
                  ? part
                  : arena_fmt(j->arena, STR_FMT "%s" STR_FMT, STR_ARG(j->text), sep, STR_ARG(part));
}

struct val text_or(struct str text, const char *otherwise)
{
    return val_str(text.n == 0 ? str_of(otherwise) : text);
}

struct val text_or_none(struct str text)
{
    return text_or(text, "<none>");
}

struct str age_of(const struct cell_in *in, struct str time)
{
    usec wall;
    if (time.n == 0 || time_parse(time, &wall) < 0) {
        return S("<unknown>");
    }
    char out[TIME_TEXT_MAX];
    span_format_human(in->now - wall, out);
    return arena_dup(in->arena, str_of(out));
}

struct str age_at(const struct cell_in *in, const char *path)
{
    return age_of(in, val_text_at(in->obj, path));
}

struct val labels_cell(const struct cell_in *in, const struct val *labels)
{
    struct joined j = {.arena = in->arena};
    for (size_t i = 0; val_is(labels, VAL_MAP) && i < labels->n; i++) {
        const struct member *m = &labels->members[i];
        joined_add(
            &j, ",",
            arena_fmt(in->arena, STR_FMT "=" STR_FMT, STR_ARG(m->key), STR_ARG(val_text(&m->val))));
    }
    return text_or_none(j.text);
}

struct str join_members(struct arena *arena, const struct val *list, struct str member,
                        const char *sep)
{
    struct joined j = {.arena = arena};
    for (size_t i = 0; i < val_count(list); i++) {
        joined_add(&j, sep, val_text(val_get(val_at(list, i), member)));
    }
    return j.text;
}

struct str number_text(struct arena *arena, const struct val *v)
{
    if (val_is(v, VAL_INT)) {
        return arena_fmt(arena, "%" PRId64, v->i);
    }
    return val_text(v);
}

struct str lower_case(struct arena *arena, struct str s)
{
    char *out = arena_alloc(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return (struct str){out, s.n};
}

struct val cell_name(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "metadata.name"));
}

struct val cell_age(const struct cell_in *in)
{
    return val_str(age_at(in, "metadata.creationTimestamp"));
}

struct val cell_template_containers(const struct cell_in *in)
{
    return val_str(join_members(in->arena, val_path(in->obj, "spec.template.spec.containers"),
                                S("name"), ","));
}

struct val cell_template_images(const struct cell_in *in)
{
    return val_str(join_members(in->arena, val_path(in->obj, "spec.template.spec.containers"),
                                S("image"), ","));
}
