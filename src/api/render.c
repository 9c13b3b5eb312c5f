// SPDX-License-Identifier: Apache-2.0
//
// Objects, lists and watch events as JSON: plain (the stored bytes), Table, PartialObjectMetadata
// (spec/api.md 8.1, 3.3). Everything is written straight into the caller's buffer; the buffer
// remembers an overflow (buf->over), so that only the ends check it.
#include "api/render.h"

#include "api/cells.h"
#include "api/event_form.h"
#include "base/mem.h"
#include "data/json.h"

#include <inttypes.h>

static void put(struct buf *out, struct str text)
{
    (void)buf_add(out, text);
}

static void put_string(struct buf *out, struct str text)
{
    (void)json_write_string(out, text);
}

static void put_val(struct buf *out, const struct val *v)
{
    if (v == NULL) {
        put(out, S("null"));
    } else {
        (void)json_write(out, v);
    }
}

static int finish(const struct buf *out)
{
    return out->over ? ERR_LIMIT : 0;
}

/* The object in the form that kind shows. */
static const struct val *shown_form(struct arena *arena, const struct kind *kind,
                                    const struct val *v)
{
    if (!str_eq(kind->storage, S("events"))) {
        return v;
    }
    struct val *form = arena_alloc(arena, sizeof *form);
    *form = event_is_other_form(kind) ? event_to_events(arena, v) : event_to_core(arena, v);
    return form;
}

static void put_plain(struct buf *out, struct arena *arena, const struct kind *kind,
                      struct object *object, enum object_json_use use)
{
    const struct val *v = object_val(object);
    bool is_event = str_eq(kind->storage, S("events"));
    if (is_event && !str_eq(val_text(val_get(v, S("apiVersion"))), kind_api_version(kind))) {
        put_val(out, shown_form(arena, kind, v));
        return;
    }
    put(out, object_json(object, use));
}

static void put_partial(struct buf *out, const struct val *v)
{
    put(out, S("{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\","
               "\"metadata\":"));
    put_val(out, val_get(v, S("metadata")));
    put(out, S("}"));
}

/* {"resourceVersion":…,"continue":…,"remainingItemCount":…}: metadata of lists and Tables. */
struct list_meta {
    struct str rev;
    struct str next;
    int64_t remaining; /* -1 = not told */
};

static void put_list_meta(struct buf *out, const struct list_meta *meta)
{
    put(out, S("{\"resourceVersion\":"));
    put_string(out, meta->rev);
    if (meta->next.n != 0) {
        put(out, S(",\"continue\":"));
        put_string(out, meta->next);
    }
    if (meta->remaining >= 0) {
        (void)buf_addf(out, ",\"remainingItemCount\":%" PRId64, meta->remaining);
    }
    put(out, S("}"));
}

static struct val cell_created(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "metadata.creationTimestamp"));
}

static const struct column default_list[] = {
    COLUMN_NAME,
    COLUMN("Created At", "date", 0, cell_created),
};
static const struct table_columns columns_default = {default_list, ARRAY_LEN(default_list), NULL};

static const struct table_columns *columns_of(const struct kind *kind)
{
    return kind->columns == NULL ? &columns_default : kind->columns;
}

static void put_definitions(struct buf *out, const struct table_columns *columns)
{
    put(out, S("["));
    for (size_t i = 0; i < columns->count; i++) {
        const struct column *c = &columns->list[i];
        put(out, i == 0 ? S("{\"name\":") : S(",{\"name\":"));
        put_string(out, c->name);
        put(out, S(",\"type\":"));
        put_string(out, c->type);
        put(out, S(",\"format\":"));
        put_string(out, c->format);
        (void)buf_addf(out, ",\"description\":\"\",\"priority\":%d}", c->priority);
    }
    put(out, S("]"));
}

static void put_row_object(struct buf *out, struct arena *arena, const struct kind *kind,
                           const struct val *v, struct str include)
{
    if (str_eq(include, S("None"))) {
        put(out, S("null"));
    } else if (str_eq(include, S("Object"))) {
        put_val(out, shown_form(arena, kind, v));
    } else {
        put_partial(out, v);
    }
}

static void put_row(struct buf *out, struct arena *arena, const struct kind *kind,
                    const struct val *v, const struct render_options *options)
{
    const struct table_columns *columns = columns_of(kind);
    struct val event;
    struct cell_in in = {arena, v, options->now_wall};
    if (event_is_other_form(kind)) {
        event = event_to_core(arena, v);
        in.obj = &event;
    }
    put(out, S("{\"cells\":["));
    for (size_t i = 0; i < columns->count; i++) {
        struct val cell = columns->list[i].cell(&in);
        if (i > 0) {
            put(out, S(","));
        }
        put_val(out, &cell);
    }
    put(out, S("]"));
    struct val conditions = columns->conditions == NULL ? val_null() : columns->conditions(&in);
    if (conditions.type == VAL_LIST) {
        put(out, S(",\"conditions\":"));
        put_val(out, &conditions);
    }
    put(out, S(",\"object\":"));
    put_row_object(out, arena, kind, v, options->include_object);
    put(out, S("}"));
}

static void put_table_head(struct buf *out, const struct kind *kind, const struct list_meta *meta,
                           bool has_definitions)
{
    put(out, S("{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":"));
    put_list_meta(out, meta);
    put(out, S(",\"columnDefinitions\":"));
    if (has_definitions) {
        put_definitions(out, columns_of(kind));
    } else {
        put(out, S("null"));
    }
    put(out, S(",\"rows\":["));
}

/* A Table of one row, for a single object or a watch event. */
static void put_table_of(struct buf *out, struct arena *arena, const struct kind *kind,
                         const struct val *v, const struct render_options *options,
                         bool has_definitions)
{
    struct list_meta meta = {val_text_at(v, "metadata.resourceVersion"), S(""), -1};
    put_table_head(out, kind, &meta, has_definitions);
    put_row(out, arena, kind, v, options);
    put(out, S("]}"));
}

int render_object(struct buf *out, struct arena *arena, const struct kind *kind,
                  struct object *object, const struct render_options *options)
{
    switch (options->as) {
    case RENDER_TABLE:
        put_table_of(out, arena, kind, object_val(object), options, /*has_definitions=*/true);
        break;
    case RENDER_PARTIAL:
        put_partial(out, object_val(object));
        break;
    case RENDER_PLAIN:
        put_plain(out, arena, kind, object, OBJECT_JSON_SOON);
        break;
    }
    return finish(out);
}

int render_val(struct buf *out, struct arena *arena, const struct val *v,
               const struct render_options *options)
{
    static const struct kind scale = {
        .group = {"autoscaling", 11},
        .version = {"v1",          2 },
        .name = {"Scale",       5 },
        .columns = &columns_scale,
    };
    if (options->as == RENDER_TABLE && str_eq(val_text(val_get(v, S("kind"))), scale.name)) {
        put_table_of(out, arena, &scale, v, options, /*has_definitions=*/true);
    } else {
        put_val(out, v);
    }
    return finish(out);
}

static void put_list_head(struct buf *out, const struct kind *kind, const struct list_meta *meta,
                          bool is_partial)
{
    if (is_partial) {
        put(out, S("{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\""));
    } else {
        (void)buf_addf(out, "{\"kind\":\"" STR_FMT "List\",\"apiVersion\":\"" STR_FMT "\"",
                       STR_ARG(kind->name), STR_ARG(kind_api_version(kind)));
    }
    put(out, S(",\"metadata\":"));
    put_list_meta(out, meta);
    put(out, S(",\"items\":["));
}

int render_list(struct buf *out, struct arena *arena, const struct kind *kind,
                const struct api_result *result, const struct render_options *options)
{
    struct list_meta meta = {arena_fmt(arena, "%" PRIu64, result->list_rev), result->list_continue,
                             result->list_remaining};
    if (options->as == RENDER_TABLE) {
        put_table_head(out, kind, &meta, /*has_definitions=*/true);
    } else {
        put_list_head(out, kind, &meta, options->as == RENDER_PARTIAL);
    }
    for (size_t i = 0; i < result->list_count && !out->over; i++) {
        struct object *object = result->list[i];
        if (i > 0) {
            put(out, S(","));
        }
        switch (options->as) {
        case RENDER_TABLE:
            put_row(out, arena, kind, object_val(object), options);
            break;
        case RENDER_PARTIAL:
            put_partial(out, object_val(object));
            break;
        case RENDER_PLAIN:
            put_plain(out, arena, kind, object, OBJECT_JSON_LIST);
            break;
        }
    }
    put(out, S("]}"));
    return finish(out);
}

/* What a bookmark shows: an object of the kind with nothing but a resourceVersion. */
static struct val bookmark_val(struct arena *arena, const struct kind *kind,
                               const struct api_event *event)
{
    struct val v = val_map();
    (void)val_set(arena, &v, S("kind"), val_str(kind->name));
    (void)val_set(arena, &v, S("apiVersion"), val_str(kind_api_version(kind)));
    struct val *metadata = val_need_map(arena, &v, S("metadata"));
    (void)val_set(arena, metadata, S("resourceVersion"),
                  val_str(arena_fmt(arena, "%" PRIu64, event->rev)));
    if (event->is_initial_end) {
        struct val *annotations = val_need_map(arena, metadata, S("annotations"));
        (void)val_set(arena, annotations, S("k8s.io/initial-events-end"), val_str(S("true")));
    }
    return v;
}

static void put_event_object(struct buf *out, struct arena *arena, const struct kind *kind,
                             const struct api_event *event, const struct render_options *options)
{
    struct val made;
    if (event->type == API_ERROR) {
        made = status_val(arena, &event->status);
        put_val(out, &made);
        return;
    }
    const struct val *v = &made;
    if (event->type == API_BOOKMARK) {
        made = bookmark_val(arena, kind, event);
    } else {
        v = object_val(event->object);
    }
    switch (options->as) {
    case RENDER_TABLE:
        put_table_of(out, arena, kind, v, options, options->is_first);
        break;
    case RENDER_PARTIAL:
        put_partial(out, v);
        break;
    case RENDER_PLAIN:
        if (v == &made) {
            put_val(out, v);
        } else {
            put_plain(out, arena, kind, event->object, OBJECT_JSON_SOON);
        }
        break;
    }
}

int render_event(struct buf *out, struct arena *arena, const struct kind *kind,
                 const struct api_event *event, const struct render_options *options)
{
    static const char *const types[] = {
        [API_ADDED] = "ADDED",       [API_MODIFIED] = "MODIFIED", [API_DELETED] = "DELETED",
        [API_BOOKMARK] = "BOOKMARK", [API_ERROR] = "ERROR",
    };
    (void)buf_addf(out, "{\"type\":\"%s\",\"object\":", types[event->type]);
    put_event_object(out, arena, kind, event, options);
    put(out, S("}\n"));
    return finish(out);
}
