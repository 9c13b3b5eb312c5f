// SPDX-License-Identifier: Apache-2.0
//
// The event window and the cursors over it. Events are numbered; a watch holds the number of the
// next event that it looks at. A watch with nothing to take moves along with events that aren't its
// own, so only one that leaves its events lying falls out of the window.
#include "store/internal.h"

#include "base/limits.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>

enum { WINDOW_CAP_MIN = 64 };

static struct store_event *event_slot(const struct window *window, uint64_t seq)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): grown before the first event */
    return &window->events[seq % window->cap];
}

const struct store_event *window_at(const struct window *window, uint64_t seq)
{
    return event_slot(window, seq);
}

uint64_t window_seek(const struct window *window, uint64_t rev)
{
    uint64_t low = window->seq_first;
    uint64_t high = window->seq_next;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (event_slot(window, mid)->rev <= rev) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

int window_check(const struct store *store, uint64_t rev, int flags, struct err *err)
{
    uint64_t oldest = store->window.rev_before;
    if ((flags & STORE_VOLATILE) != 0 && oldest < store->rev_start) {
        oldest = store->rev_start;
    }
    return rev >= oldest
               ? 0
               : err_set(err, ERR_GONE, "too old resource version: %" PRIu64 " (%" PRIu64 ")", rev,
                         oldest);
}

/* What an event alone keeps alive: the replaced state, and the last one of a deleted object. */
static size_t event_bytes(const struct store_event *event)
{
    return (event->before == NULL ? 0 : event->before->doc->bytes) +
           (event->is_delete ? event->object->doc->bytes : 0);
}

static void window_drop_first(struct store *store)
{
    struct window *window = &store->window;
    struct store_event *event = event_slot(window, window->seq_first);
    window->bytes -= event_bytes(event);
    window->rev_before = event->rev;
    window->seq_first++;
    store_bury(store, event->object);
    store_bury(store, event->before);
}

static void on_age(void *ctx);

static void age_start(struct store *store)
{
    struct window *window = &store->window;
    if (window->bytes > WINDOW_BYTES_OLD) {
        window->seq_old = window->seq_next;
        timer_start(store->loop, &window->age, WINDOW_AGE, on_age, store);
    }
}

static void on_age(void *ctx)
{
    struct store *store = ctx;
    struct window *window = &store->window;
    while (window->seq_first < window->seq_old && window->bytes > WINDOW_BYTES_OLD) {
        window_drop_first(store);
    }
    age_start(store);
}

static void window_grow(struct window *window)
{
    size_t cap = window->cap == 0 ? WINDOW_CAP_MIN : window->cap * 2;
    cap = cap > WATCH_WINDOW_EVENTS ? WATCH_WINDOW_EVENTS : cap;
    struct store_event *events = xmalloc(cap * sizeof *events);
    for (uint64_t seq = window->seq_first; seq < window->seq_next; seq++) {
        events[seq % cap] = *event_slot(window, seq);
    }
    free(window->events);
    window->events = events;
    window->cap = cap;
}

static void on_wake(void *ctx)
{
    struct door *door = ctx;
    struct store *store = door->store;
    if (store != NULL) {
        store->is_wake_deferred = false;
    }
    /* wake may close any watch, and the store. */
    while (door->store != NULL && store->waking != NULL) {
        struct watch *watch = store->waking;
        store->waking = watch->wake_next;
        watch->is_queued = false;
        watch->wake(watch->ctx);
    }
    door_unref(door);
}

static void watch_queue(struct store *store, struct watch *watch)
{
    watch->is_awake = true;
    if (watch->is_queued) { /* drained before its wake came: the one under way will do */
        return;
    }
    watch->is_queued = true;
    watch->wake_next = store->waking;
    store->waking = watch;
    if (!store->is_wake_deferred) {
        store->is_wake_deferred = true;
        loop_defer(store->loop, on_wake, door_ref(store->door));
    }
}

/* Tells the watches of event number seq, lets the others that are drained step over it. */
static void watches_tell(struct store *store, const struct store_event *event, uint64_t seq)
{
    for (struct watch *watch = store->watches; watch != NULL; watch = watch->next) {
        if (str_starts(event->object->key, watch->prefix)) {
            if (!watch->is_awake) {
                watch_queue(store, watch);
            }
        } else if (watch->seq == seq) {
            watch->seq++;
            watch->rev = event->rev;
        }
    }
}

void window_push(struct store *store, struct object *object, struct object *before, bool is_delete)
{
    struct window *window = &store->window;
    struct store_event event = {
        .rev = object->rev, .object = object, .before = before, .is_delete = is_delete};
    window->bytes += event_bytes(&event);
    while (window->seq_next - window->seq_first == WATCH_WINDOW_EVENTS ||
           (window->bytes > WINDOW_BYTES_MAX && window->seq_next > window->seq_first)) {
        window_drop_first(store);
    }
    if (window->seq_next - window->seq_first == window->cap) {
        window_grow(window);
    }
    *event_slot(window, window->seq_next) = event;
    window->seq_next++;
    if (!timer_is_running(&window->age)) {
        age_start(store);
    }
    watches_tell(store, &event, window->seq_next - 1);
}

void window_done(struct store *store)
{
    struct window *window = &store->window;
    timer_stop(&window->age);
    while (window->seq_first < window->seq_next) {
        window_drop_first(store);
    }
    free(window->events);
    *window = (struct window){0};
}

/* Watches. */

struct watch *store_watch(struct store *store, struct str prefix, uint64_t after, int flags,
                          void (*wake)(void *ctx), void *ctx, struct err *err)
{
    if (window_check(store, after, flags, err) < 0) {
        return NULL;
    }
    if (after > store->rev) {
        (void)err_set(err, ERR_AGAIN, "Too large resource version: %" PRIu64 ", current: %" PRIu64,
                      after, store->rev);
        return NULL;
    }
    struct watch *watch = xcalloc(1, sizeof *watch);
    *watch = (struct watch){
        .store = store,
        .next = store->watches,
        .prefix = {xstrndup(prefix.n == 0 ? "" : prefix.p, prefix.n), prefix.n},
        .seq = window_seek(&store->window, after),
        .rev = after,
        .wake = wake,
        .ctx = ctx,
    };
    if (store->watches != NULL) {
        store->watches->prev = watch;
    }
    store->watches = watch;
    store->watches_count++;
    for (uint64_t seq = watch->seq; seq < store->window.seq_next && !watch->is_awake; seq++) {
        if (str_starts(event_slot(&store->window, seq)->object->key, watch->prefix)) {
            watch_queue(store, watch);
        }
    }
    if (!watch->is_awake) {
        watch->seq = store->window.seq_next;
        watch->rev = store->rev;
    }
    return watch;
}

static void taken_release(struct watch *watch)
{
    object_unref(watch->taken.object);
    object_unref(watch->taken.before);
    watch->taken = (struct store_event){0};
}

int watch_next(struct watch *watch, struct store_event *ret)
{
    const struct window *window = &watch->store->window;
    taken_release(watch);
    if (watch->seq < window->seq_first) {
        return ERR_GONE;
    }
    while (watch->seq < window->seq_next) {
        const struct store_event *event = event_slot(window, watch->seq++);
        watch->rev = event->rev;
        if (str_starts(event->object->key, watch->prefix)) {
            watch->taken = *event;
            (void)object_ref(event->object);
            if (event->before != NULL) {
                (void)object_ref(event->before);
            }
            *ret = watch->taken;
            return 1;
        }
    }
    watch->rev = watch->store->rev;
    watch->is_awake = false;
    return 0;
}

uint64_t watch_rev(const struct watch *watch)
{
    return watch->seq == watch->store->window.seq_next ? watch->store->rev : watch->rev;
}

void watch_close(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct store *store = watch->store;
    for (struct watch **at = &store->waking; watch->is_queued && *at != NULL;
         at = &(*at)->wake_next) {
        if (*at == watch) {
            *at = watch->wake_next;
            break;
        }
    }
    if (watch->prev != NULL) {
        watch->prev->next = watch->next;
    } else {
        store->watches = watch->next;
    }
    if (watch->next != NULL) {
        watch->next->prev = watch->prev;
    }
    store->watches_count--;
    taken_release(watch);
    free((char *)(uintptr_t)watch->prefix.p);
    free(watch);
}
