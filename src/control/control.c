// SPDX-License-Identifier: Apache-2.0
//
// The engine: one queue of keys for all controllers, decided in the order in which they came, so a
// run can be replayed. Watches of all kinds feed the controllers and the index of dependents; each
// kind is watched once.
#include "control/internal.h"

#include "base/limits.h"

#include <stdlib.h>

static void plan_drain(struct control *control);

/* --- keys --- */

static struct key *need_key(struct runner *runner, struct str ns, struct str name)
{
    char id[2 * NAME_LEN_MAX + 64];
    if (ns.n + name.n + 1 > sizeof id) {
        return NULL; /* no object has such a name */
    }
    if (ns.n > 0) {
        memcpy(id, ns.p, ns.n);
    }
    id[ns.n] = '/';
    memcpy(id + ns.n + 1, name.p, name.n);
    struct str text = {id, ns.n + 1 + name.n};
    struct key *key = map_find(&runner->keys, text);
    if (key != NULL) {
        return key;
    }
    key = xcalloc(1, sizeof *key);
    list_init(&key->node);
    key->runner = runner;
    key->id = (struct str){xstrndup(id, text.n), text.n};
    key->ns = str_sub(key->id, 0, ns.n);
    key->name = str_sub(key->id, ns.n + 1, text.n);
    map_put(&runner->keys, text, key);
    return key;
}

static void key_free(void *p)
{
    struct key *key = p;
    timer_stop(&key->timer);
    free((void *)(uintptr_t)key->id.p);
    free(key);
}

static void key_stop_timer(struct key *key)
{
    timer_stop(&key->timer);
    key->runner->control->failing -= key->is_failing_timer;
    key->is_failing_timer = false;
}

static void key_enqueue(struct key *key)
{
    struct control *control = key->runner->control;
    switch (key->state) {
    case KEY_QUEUED:
        return;
    case KEY_RUNNING:
        key->is_dirty = true;
        return;
    case KEY_WAITING:
        key_stop_timer(key);
        key->state = KEY_QUEUED;
        list_add_tail(&control->queue, &key->node);
        control->queued++;
        plan_drain(control);
        return;
    }
}

static void key_due(void *ctx)
{
    struct key *key = ctx;
    key_enqueue(key);
}

static void key_wait(struct key *key, usec delay, bool is_failing)
{
    struct control *control = key->runner->control;
    key->is_failing_timer = is_failing;
    control->failing += is_failing;
    timer_start(control->loop, &key->timer, delay, key_due, key);
}

static void key_ended(struct key *key, bool is_failed)
{
    key->runner->control->running--;
    key->state = KEY_WAITING;
    if (is_failed) {
        usec delay = BACKOFF_MAX_US;
        if (key->failures < 18) { /* 5 ms << 18 is past the ceiling */
            delay = (usec)BACKOFF_FIRST_US << key->failures;
            delay = delay < BACKOFF_MAX_US ? delay : BACKOFF_MAX_US;
        }
        key->failures++;
        key_wait(key, delay, /* is_failing= */ true);
    } else {
        key->failures = 0;
    }
    if (key->is_dirty) {
        key->is_dirty = false;
        key_enqueue(key);
    } else if (!timer_is_running(&key->timer)) {
        map_remove(&key->runner->keys, key->id);
        key_free(key);
    }
}

static void key_ended_requeue(struct key *key, usec delay, bool is_failed)
{
    if (!is_failed && delay > 0) {
        key_wait(key, delay, /* is_failing= */ false);
    }
    key_ended(key, is_failed);
}

/* --- deciding --- */

struct decision {
    struct key *key;
    usec requeue_after;
};

static void decision_ended(void *ctx, bool is_failed)
{
    struct decision *decision = ctx;
    struct key *key = decision->key;
    usec requeue_after = decision->requeue_after;
    free(decision);
    key_ended_requeue(key, requeue_after, is_failed);
}

static void key_decide(struct key *key)
{
    struct runner *runner = key->runner;
    struct control *control = runner->control;
    struct arena *arena = arena_new(DECIDE_ARENA_MAX);
    struct env env = {.now_wall = loop_wall(control->loop), .rng = control->rng, .arena = arena};
    struct actions actions;
    actions_init(&actions, arena);
    struct pins pins = {0};
    control->pins = &pins;
    runner->controller->decide(&control->view, key->ns, key->name, &env, &actions);
    control->pins = NULL;
    if (control->trace != NULL && actions.count > 0) {
        control->trace(control->trace_ctx, runner->controller, key->ns, key->name, &actions);
    }
    struct decision *decision = xmalloc(sizeof *decision);
    *decision = (struct decision){key, actions.requeue_after};
    run_start(control, runner, arena, &actions, pins, decision_ended, decision);
}

static void drain(void *ctx)
{
    struct control *control = ctx;
    control->is_drain_planned = false;
    for (int i = 0; i < KEYS_PER_ROUND && !list_empty(&control->queue); i++) {
        struct key *key = container_of(control->queue.next, struct key, node);
        list_remove(&key->node);
        control->queued--;
        control->running++;
        key->state = KEY_RUNNING;
        key_decide(key);
    }
    if (!list_empty(&control->queue)) {
        plan_drain(control);
    }
}

static void plan_drain(struct control *control)
{
    if (!control->is_drain_planned) {
        control->is_drain_planned = true;
        loop_defer(control->loop, drain, control);
    }
}

/* --- the view --- */

static void pin(struct control *control, struct object *object)
{
    struct pins *pins = control->pins;
    if (pins == NULL) {
        return;
    }
    if (pins->count == pins->cap) {
        pins->cap = pins->cap == 0 ? 16 : pins->cap * 2;
        pins->objects = xrealloc(pins->objects, pins->cap * sizeof(struct object *));
    }
    pins->objects[pins->count++] = object_ref(object);
}

static const struct val *view_get(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    struct control *control = ctx;
    struct object *object = control->client->ops->get(control->client, kind, ns, name);
    if (object == NULL) {
        return NULL;
    }
    pin(control, object);
    return object_val(object);
}

struct list_ctx {
    struct control *control;
    bool (*each)(void *ctx, const struct val *obj);
    void *ctx;
};

static bool list_each(void *ctx, struct object *object)
{
    const struct list_ctx *list = ctx;
    pin(list->control, object);
    return list->each(list->ctx, object_val(object));
}

static void view_list(void *ctx, enum kind_id kind, struct str ns,
                      bool (*each)(void *each_ctx, const struct val *obj), void *each_ctx)
{
    struct control *control = ctx;
    struct list_ctx list = {control, each, each_ctx};
    control->client->ops->list(control->client, kind, ns, list_each, &list);
}

struct dependents_ctx {
    struct control *control;
    bool (*each)(void *ctx, const struct kind *kind, const struct val *obj);
    void *ctx;
};

static bool dependents_each_val(void *ctx, const struct kind *kind, struct object *object)
{
    const struct dependents_ctx *dependents = ctx;
    pin(dependents->control, object);
    return dependents->each(dependents->ctx, kind, object_val(object));
}

static void view_dependents(void *ctx, struct str uid,
                            bool (*each)(void *each_ctx, const struct kind *kind,
                                         const struct val *obj),
                            void *each_ctx)
{
    struct control *control = ctx;
    struct dependents_ctx dependents = {control, each, each_ctx};
    dependents_each(&control->dependents, uid, dependents_each_val, &dependents);
}

/* An end that the index has not heard of yet is of this very moment. */
static usec view_gone_for(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    const struct control *control = ctx;
    auto_arena struct arena *arena = arena_new(2 * NAME_LEN_MAX + 256);
    struct str key = api_key(arena, kind_of(kind), ns, name);
    usec now = loop_now(control->loop);
    usec gone_for = now - gone_since(&control->gone, key);
    if (dependents_has(&control->dependents, key)) {
        return 0;
    }
    return gone_for < VIEW_GONE_KEPT ? gone_for : VIEW_GONE_KEPT;
}

/* --- changes --- */

static void enqueue_add(void *ctx, struct str ns, struct str name)
{
    struct runner *runner = ctx;
    struct key *key = need_key(runner, ns, name);
    if (key != NULL) {
        key_enqueue(key);
    }
}

static void on_event(void *ctx, const struct kind *kind, struct object *object,
                     struct object *before, bool is_delete)
{
    struct kind_slot *slot = ctx;
    struct control *control = slot->control;
    if (is_delete && dependents_has(&control->dependents, object->key)) {
        gone_add(&control->gone, object->key, loop_now(control->loop));
    }
    dependents_update(&control->dependents, kind, object, is_delete);
    for (size_t i = 0; i < slot->runners_count; i++) {
        struct runner *runner = slot->runners[i];
        runner->controller->enqueue(&control->view, kind, object_val(object),
                                    before == NULL ? NULL : object_val(before), enqueue_add,
                                    runner);
    }
}

struct seed_ctx {
    struct control *control;
    const struct kind *kind;
};

static bool seed_each(void *ctx, struct object *object)
{
    const struct seed_ctx *seed = ctx;
    dependents_update(&seed->control->dependents, seed->kind, object, /* is_delete= */ false);
    return true;
}

/* The index is whole before the first decision: a foreground deletion must not end because a
 * dependent has not been heard of yet. */
static void watch_kinds(struct control *control)
{
    for (int i = 0; i < KIND_ID_COUNT; i++) {
        enum kind_id id = (enum kind_id)i;
        struct seed_ctx seed = {control, kind_of(id)};
        if (id == KIND_EVENT) {
            continue; /* the most numerous kind; nobody owns one */
        }
        control->client->ops->list(control->client, id, S(""), seed_each, &seed);
        control->client->ops->watch(control->client, id, on_event, &control->slots[i]);
    }
}

static void sweep(void *ctx)
{
    struct control *control = ctx;
    events_sweep(control->client, loop_wall(control->loop));
    recorder_sweep(control->recorder);
    gone_sweep(&control->gone, loop_now(control->loop));
    timer_start(control->loop, &control->sweep, EVENT_SWEEP_US, sweep, control);
}

struct control *control_new(const struct control_config *config)
{
    struct control *control = xcalloc(1, sizeof *control);
    control->loop = config->loop;
    control->rng = config->rng;
    control->client = config->client;
    control->is_remote = config->is_remote;
    list_init(&control->queue);
    gone_init(&control->gone);
    control->view = (struct view){view_get, view_list, view_dependents, view_gone_for, control};
    control->recorder = recorder_new(config->loop, config->rng, config->client);
    for (int i = 0; i < KIND_ID_COUNT; i++) {
        control->slots[i] = (struct kind_slot){.control = control, .id = (enum kind_id)i};
    }
    watch_kinds(control);
    timer_start(control->loop, &control->sweep, EVENT_SWEEP_US, sweep, control);
    return control;
}

void control_free(struct control *control)
{
    if (control == NULL) {
        return;
    }
    timer_stop(&control->sweep);
    for (size_t i = 0; i < control->runners_count; i++) {
        map_done(&control->runners[i]->keys, key_free);
        free(control->runners[i]);
    }
    for (int i = 0; i < KIND_ID_COUNT; i++) {
        free(control->slots[i].runners);
    }
    free(control->runners);
    dependents_done(&control->dependents);
    gone_done(&control->gone);
    recorder_free(control->recorder);
    free(control);
}

/* A controller that comes later sees what exists already: its kinds are listed once. */
struct catch_up {
    struct runner *runner;
    const struct kind *kind;
};

static bool catch_up_each(void *ctx, struct object *object)
{
    const struct catch_up *catch_up = ctx;
    struct runner *runner = catch_up->runner;
    runner->controller->enqueue(&runner->control->view, catch_up->kind, object_val(object), NULL,
                                enqueue_add, runner);
    return true;
}

void control_add(struct control *control, const struct controller *controller)
{
    struct runner *runner = xcalloc(1, sizeof *runner);
    runner->control = control;
    runner->controller = controller;
    control->runners =
        xrealloc(control->runners, (control->runners_count + 1) * sizeof(control->runners[0]));
    control->runners[control->runners_count++] = runner;
    for (size_t i = 0; i < controller->kinds_count; i++) {
        struct kind_slot *slot = &control->slots[controller->kinds[i]];
        slot->runners =
            xrealloc(slot->runners, (slot->runners_count + 1) * sizeof(slot->runners[0]));
        slot->runners[slot->runners_count++] = runner;
        struct catch_up catch_up = {runner, kind_of(controller->kinds[i])};
        control->client->ops->list(control->client, controller->kinds[i], S(""), catch_up_each,
                                   &catch_up);
    }
}

void control_set_trace(struct control *control,
                       void (*trace)(void *ctx, const struct controller *controller, struct str ns,
                                     struct str name, const struct actions *actions),
                       void *ctx)
{
    control->trace = trace;
    control->trace_ctx = ctx;
}

bool control_is_idle(const struct control *control)
{
    return control->queued == 0 && control->running == 0 && control->failing == 0;
}
