// SPDX-License-Identifier: Apache-2.0
//
// What the cells of several kinds have in common (spec/api.md 8.1): ages, label maps, containers
// and images, joined lists. All text lives in the cell's arena or in the object.
#ifndef CORACLE_API_CELLS_H
#define CORACLE_API_CELLS_H

#include "api/table.h"

/* A growing text of parts with a separator between them. */
struct joined {
    struct arena *arena;
    struct str text;
    size_t count;
};
void joined_add(struct joined *j, const char *sep, struct str part);

/* The text, or "<none>" when it is empty. */
struct val text_or_none(struct str text);
struct val text_or(struct str text, const char *otherwise);
/* Age of the time at path ("metadata.creationTimestamp"): "5m"; "<unknown>" when absent. */
struct str age_at(const struct cell_in *in, const char *path);
struct str age_of(const struct cell_in *in, struct str time);
/* "a=b,c=d", sorted; "<none>" when empty. */
struct val labels_cell(const struct cell_in *in, const struct val *labels);
/* One text member of each item, joined by sep. */
struct str join_members(struct arena *arena, const struct val *list, struct str member,
                        const char *sep);
/* A number or a text as text. */
struct str number_text(struct arena *arena, const struct val *v);
struct str lower_case(struct arena *arena, struct str s);

/* Cells that many kinds have. */
cell_fn cell_name, cell_age;
/* Containers and images of spec.template.spec. */
cell_fn cell_template_containers, cell_template_images;

/* Rows of column lists. */
#define COLUMN_TEXT(s)                                                                             \
    {                                                                                              \
        "" s, sizeof(s) - 1                                                                        \
    }
#define COLUMN(name, type, priority, cell)                                                         \
    {                                                                                              \
        COLUMN_TEXT(name), COLUMN_TEXT(type), {NULL, 0}, priority, cell                            \
    }
#define COLUMN_NAME                                                                                \
    {                                                                                              \
        COLUMN_TEXT("Name"), COLUMN_TEXT("string"), COLUMN_TEXT("name"), 0, cell_name              \
    }
#define COLUMN_AGE COLUMN("Age", "string", 0, cell_age)

#endif
