// SPDX-License-Identifier: Apache-2.0
//
// Watches (spec/api.md 3.3): synthetic ADDED for what exists, selector transitions, bookmarks,
// WatchList's end bookmark, 410 as an event.
//
//   open ──initial list──▶ INITIAL ──all given──▶ LIVE ──ERR_GONE──▶ OVER
//     └────from a revision──────────────────────────▲
#include "api/verbs.h"

#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>

struct api_watch {
    struct api *api;
    const struct kind *kind;
    struct arena *arena;   /* selectors; lives as long as the watch */
    struct arena *scratch; /* one event */
    struct filter filter;
    struct watch *cursor;
    void (*wake)(void *ctx);
    void *ctx;
    struct timer first; /* wakes for the initial events */
    struct object **initial;
    size_t initial_count;
    size_t initial_at;
    uint64_t initial_rev;
    bool has_bookmarks;
    bool wants_end;      /* the end bookmark is still due */
    bool wants_bookmark; /* asked for by api_watch_bookmark */
    bool is_over;
    struct object *current; /* what the last event borrowed */
};

static void wake_first(void *ctx)
{
    struct api_watch *watch = ctx;
    watch->wake(watch->ctx);
}

static void load_initial(struct api_watch *watch, struct str prefix)
{
    struct store *store = watch->api->config.store;
    struct object **objects = NULL;
    size_t count = 0;
    struct err err = {0};
    watch->initial_rev = store_rev(store);
    auto_arena struct arena *arena = arena_new(DECIDE_ARENA_MAX);
    if (store_list(store, prefix, 0, 0, arena, &objects, &count, &err) < 0) {
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (filter_passes(&watch->filter, arena, objects[i])) {
            objects[n++] = objects[i]; /* n <= i */
        }
    }
    watch->initial = xcalloc(n + 1, sizeof(watch->initial[0]));
    for (size_t i = 0; i < n; i++) {
        watch->initial[watch->initial_count++] = object_ref(objects[i]);
    }
}

/* A thousand watches lie idle at once: nothing is kept between their events. */
static void rest(struct api_watch *watch)
{
    free(watch->initial);
    watch->initial = NULL;
    watch->initial_count = watch->initial_at = 0;
    object_unref(watch->current);
    watch->current = NULL;
    arena_free(watch->scratch);
    watch->scratch = arena_new(REQUEST_ARENA_MAX);
}

static struct status watch_failed(struct api *api, struct arena *arena, const struct err *err,
                                  uint64_t after)
{
    uint64_t now = store_rev(api->config.store);
    if (err->code == ERR_GONE) {
        return status_expired(arena, arena_fmt(arena, "too old resource version: %llu (%llu)",
                                               (unsigned long long)after, (unsigned long long)now));
    }
    return err->code == ERR_AGAIN ? status_future_rev(arena, after, now)
                                  : status_of_err(arena, err);
}

/* Copies what the filter keeps; the request's strings may go. */
static int open_filter(struct api_watch *watch, const struct api_req *req,
                       struct status *ret_status)
{
    struct status status;
    struct str labels = arena_dup(watch->arena, req->opt.label_selector);
    struct str fields = arena_dup(watch->arena, req->opt.field_selector);
    if (filter_init(&watch->filter, watch->arena, req->kind, labels, fields, &status) < 0) {
        status.message = arena_dup(req->arena, status.message);
        *ret_status = status;
        return -1;
    }
    return 0;
}

struct api_watch *api_watch_open(struct api *api, const struct api_req *req,
                                 void (*wake)(void *ctx), void *ctx, struct status *ret_status)
{
    uint64_t after = 0;
    struct api_req checked = *req;
    checked.verb = VERB_WATCH;
    if (options_check_list(&checked, ret_status) < 0 ||
        options_rev(api, req->arena, req->opt.resource_version, &after, ret_status) < 0) {
        return NULL;
    }
    struct api_watch *watch = xcalloc(1, sizeof(*watch));
    watch->api = api;
    watch->kind = req->kind;
    watch->arena = arena_new((size_t)4 * HEADER_BYTES_MAX);
    watch->scratch = arena_new(REQUEST_ARENA_MAX);
    watch->wake = wake;
    watch->ctx = ctx;
    watch->has_bookmarks = req->opt.has_bookmarks;
    watch->wants_end = req->opt.has_initial_events && req->opt.wants_initial_events;
    if (open_filter(watch, req, ret_status) < 0) {
        api_watch_close(watch);
        return NULL;
    }
    struct str prefix = api_prefix(watch->arena, req->kind, req->ns);
    bool has_initial =
        after == 0 ? !req->opt.has_initial_events || watch->wants_end : watch->wants_end;
    if (has_initial) {
        load_initial(watch, prefix);
        after = watch->initial_rev;
        timer_start(api->config.loop, &watch->first, 0, wake_first, watch);
    } else if (after == 0) {
        after = store_rev(api->config.store);
    }
    struct err err = {0};
    watch->cursor =
        store_watch(api->config.store, prefix, after, kind_store_flags(req->kind), wake, ctx, &err);
    if (watch->cursor == NULL) {
        *ret_status = watch_failed(api, req->arena, &err, after);
        api_watch_close(watch);
        return NULL;
    }
    return watch;
}

static void set_current(struct api_watch *watch, struct object *object)
{
    object_unref(watch->current);
    watch->current = object;
}

/* The version of an object that left the selector: its state before, at the revision of leaving. */
static struct object *left_version(struct api_watch *watch, struct object *before, uint64_t rev)
{
    struct val root = val_copy(watch->scratch, object_val(before));
    struct val *meta = val_need_map(watch->scratch, &root, S("metadata"));
    (void)val_set(watch->scratch, meta, S("resourceVersion"),
                  val_str(arena_fmt(watch->scratch, "%llu", (unsigned long long)rev)));
    return object_new(before->key, rev, &root);
}

/* One store event through the filter; false = nothing of it shows. */
static bool translate(struct api_watch *watch, const struct store_event *in, struct api_event *ret)
{
    arena_reset(watch->scratch);
    bool was_in = in->before != NULL && filter_passes(&watch->filter, watch->scratch, in->before);
    ret->rev = in->rev;
    if (in->is_delete) {
        ret->type = API_DELETED;
        if (in->before == NULL) {
            was_in = filter_passes(&watch->filter, watch->scratch, in->object);
        }
        set_current(watch, object_ref(in->object));
        ret->object = watch->current;
        return was_in;
    }
    bool is_in = filter_passes(&watch->filter, watch->scratch, in->object);
    if (!is_in && !was_in) {
        return false;
    }
    ret->type = !is_in ? API_DELETED : was_in ? API_MODIFIED : API_ADDED;
    set_current(watch, is_in ? object_ref(in->object) : left_version(watch, in->before, in->rev));
    ret->object = watch->current;
    return true;
}

static int next_initial(struct api_watch *watch, struct api_event *ret)
{
    if (watch->initial_at < watch->initial_count) {
        struct object *object = watch->initial[watch->initial_at];
        watch->initial[watch->initial_at++] = NULL;
        set_current(watch, object);
        ret->type = API_ADDED;
        ret->object = object;
        ret->rev = object->rev;
        return 1;
    }
    if (watch->wants_end) {
        watch->wants_end = false;
        ret->type = API_BOOKMARK;
        ret->is_initial_end = true;
        ret->rev = watch->initial_rev;
        return 1;
    }
    return 0;
}

int api_watch_next(struct api_watch *watch, struct api_event *ret)
{
    *ret = (struct api_event){.type = API_BOOKMARK};
    if (watch->is_over) {
        return 0;
    }
    if (next_initial(watch, ret) != 0) {
        return 1;
    }
    for (;;) {
        struct store_event event;
        int rc = watch_next(watch->cursor, &event);
        if (rc == 1) {
            if (translate(watch, &event, ret)) {
                return 1;
            }
            continue;
        }
        if (rc < 0) {
            struct err err = {.code = rc};
            arena_reset(watch->scratch);
            ret->type = API_ERROR;
            ret->status = watch_failed(watch->api, watch->scratch, &err, watch_rev(watch->cursor));
            watch->is_over = true;
            return 1;
        }
        if (!watch->wants_bookmark) {
            rest(watch);
            return 0;
        }
        watch->wants_bookmark = false;
        ret->type = API_BOOKMARK;
        ret->object = NULL;
        ret->rev = watch_rev(watch->cursor);
        return 1;
    }
}

void api_watch_bookmark(struct api_watch *watch)
{
    watch->wants_bookmark = watch->has_bookmarks;
}

void api_watch_close(struct api_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    timer_stop(&watch->first);
    if (watch->cursor != NULL) {
        watch_close(watch->cursor);
    }
    for (size_t i = watch->initial_at; i < watch->initial_count; i++) {
        object_unref(watch->initial[i]);
    }
    free(watch->initial);
    object_unref(watch->current);
    arena_free(watch->arena);
    arena_free(watch->scratch);
    free(watch);
}
