// SPDX-License-Identifier: Apache-2.0
//
// Actions into writes, in order. The first refusal ends the list and counts as a failure of the
// key, unless the action is optional. A client of this process refuses at once and completes in
// order, so writes are handed over one after the other without waiting, and all of a decision land
// in one commit; a remote client is awaited write by write.
#include "base/limits.h"
#include "control/internal.h"

#include <stdlib.h>

#define LOG_ROOM "control"
#include "base/log.h"

struct run {
    struct control *control;
    struct runner *runner;
    struct arena *arena;
    struct actions actions;
    struct pins pins;
    size_t next;
    size_t pending;
    bool is_walking; /* inside walk(): its caller looks at the end */
    bool is_over;    /* no further action is started */
    bool is_failed;
    bool is_refused; /* the last write was: the events that tell of its success are left out */
    void (*ended)(void *ctx, bool is_failed);
    void *ctx;
};

struct pending {
    struct run *run;
    const struct action *action;
};

static struct event_source source_of(const struct run *run)
{
    return (struct event_source){.component = run->runner->controller->event_source};
}

/* The event of a write that failed: its message's "%s" becomes the error's text. */
static void send_failure(const struct run *run, const struct val *event, const struct err *err)
{
    struct val body = val_copy(run->arena, event);
    struct str text = val_text(val_get(&body, S("message")));
    ptrdiff_t at = str_search(text, S("%s"));
    if (at >= 0) {
        struct str end = str_sub(text, (size_t)at + 2, text.n);
        text = arena_fmt(run->arena, STR_FMT "%s" STR_FMT, STR_ARG(str_sub(text, 0, (size_t)at)),
                         err->msg, STR_ARG(end));
        val_set(run->arena, &body, S("message"), val_str(text));
    }
    recorder_send(run->control->recorder, source_of(run), &body);
}

static bool kind_id_of(const struct kind *kind, enum kind_id *ret)
{
    for (int i = 0; i < KIND_ID_COUNT; i++) {
        if (kind_of((enum kind_id)i) == kind) {
            *ret = (enum kind_id)i;
            return true;
        }
    }
    return false;
}

/* What is refused as absent but stands in committed state: its deletion is on its way to the disk,
 * and may fail there. */
static bool is_still_there(const struct run *run, const struct action *action)
{
    struct client *client = run->control->client;
    enum kind_id id;
    return kind_id_of(action->kind, &id) &&
           client->ops->get(client, id, action->ns, action->name) != NULL;
}

/* What a refusal means: a delete of what is gone has reached its aim; an object that is there
 * already comes back as an event, but the key still has to look again. */
static void on_refused(struct run *run, const struct action *action, const struct err *err)
{
    if (action->type == ACTION_DELETE && err->code == ERR_NOT_FOUND) {
        run->is_failed = run->is_failed || is_still_there(run, action);
        return;
    }
    log_debug("%s: " STR_FMT " " STR_FMT "/" STR_FMT ": %s", run->runner->controller->name.p,
              STR_ARG(action->kind->plural), STR_ARG(action->ns), STR_ARG(action->name), err->msg);
    bool is_silent = action->type == ACTION_CREATE && err->code == ERR_EXISTS;
    for (size_t i = 0; i < ARRAY_LEN(action->failure_events) && !is_silent; i++) {
        if (action->failure_events[i] != NULL) {
            send_failure(run, action->failure_events[i], err);
        }
    }
    if (action->is_optional) {
        bool is_moot =
            err->code == ERR_EXISTS || (err->code == ERR_NOT_FOUND && !is_still_there(run, action));
        run->is_failed = run->is_failed || !is_moot;
        return;
    }
    run->is_failed = true;
    run->is_over = true;
}

static void refuse(struct run *run, const struct action *action, const struct err *err)
{
    run->is_refused = true;
    on_refused(run, action, err);
}

static void finish(struct run *run)
{
    run->ended(run->ctx, run->is_failed);
    pins_done(&run->pins);
    arena_free(run->arena);
    free(run);
}

static void walk(struct run *run);

static void write_done(void *ctx, struct object *object, const struct val *val,
                       const struct err *err)
{
    (void)object;
    (void)val;
    struct pending *pending = ctx;
    struct run *run = pending->run;
    const struct action *action = pending->action;
    free(pending);
    run->pending--;
    if (err != NULL) {
        refuse(run, action, err);
    }
    walk(run);
}

static const struct {
    enum api_verb verb;
    enum api_patch patch;
    const char *subresource;
} writes[] = {
    [ACTION_CREATE] = {VERB_CREATE, PATCH_NONE,  ""        },
    [ACTION_UPDATE] = {VERB_UPDATE, PATCH_NONE,  ""        },
    [ACTION_STATUS] = {VERB_UPDATE, PATCH_NONE,  "status"  },
    [ACTION_PATCH] = {VERB_PATCH,  PATCH_MERGE, ""        },
    [ACTION_PATCH_STATUS] = {VERB_PATCH,  PATCH_MERGE, "status"  },
    [ACTION_DELETE] = {VERB_DELETE, PATCH_NONE,  ""        },
    [ACTION_BIND] = {VERB_CREATE, PATCH_NONE,  "binding" },
    [ACTION_FINALIZE] = {VERB_UPDATE, PATCH_NONE,  "finalize"},
};

static void perform(struct run *run, const struct action *action)
{
    if (action->type == ACTION_EVENT) {
        if (run->is_refused) {
            return;
        }
        recorder_send(run->control->recorder, source_of(run), action->body);
        return;
    }
    run->is_refused = false;
    struct err err = {0};
    struct client_write write = {
        .verb = writes[action->type].verb,
        .patch = writes[action->type].patch,
        .subresource = str_of(writes[action->type].subresource),
        .ns = action->ns,
        .name = action->name,
        .body = action->body,
        .expect_rev = action->rev,
        .expect_uid = action->uid,
        .grace_seconds = action->grace_seconds,
        .propagation = action->propagation,
    };
    if (!kind_id_of(action->kind, &write.kind)) {
        err_set(&err, ERR_UNSUPPORTED, "kind \"" STR_FMT "\" has no client",
                STR_ARG(action->kind->name));
        refuse(run, action, &err);
        return;
    }
    struct pending *pending = xmalloc(sizeof *pending);
    *pending = (struct pending){run, action};
    if (run->control->client->ops->write(run->control->client, &write, write_done, pending, &err) <
        0) {
        free(pending);
        refuse(run, action, &err);
        return;
    }
    run->pending++;
}

static void walk(struct run *run)
{
    if (run->is_walking) {
        return;
    }
    run->is_walking = true;
    while (!run->is_over && run->next < run->actions.count &&
           (run->pending == 0 || !run->control->is_remote)) {
        perform(run, &run->actions.list[run->next++]);
    }
    run->is_walking = false;
    if (run->pending == 0 && (run->is_over || run->next == run->actions.count)) {
        finish(run);
    }
}

void pins_done(struct pins *pins)
{
    for (size_t i = 0; i < pins->count; i++) {
        object_unref(pins->objects[i]);
    }
    free(pins->objects);
    *pins = (struct pins){0};
}

void run_start(struct control *control, struct runner *runner, struct arena *arena,
               const struct actions *actions, struct pins pins,
               void (*ended)(void *ctx, bool is_failed), void *ctx)
{
    struct run *run = xcalloc(1, sizeof *run);
    *run = (struct run){.control = control,
                        .runner = runner,
                        .arena = arena,
                        .actions = *actions,
                        .pins = pins,
                        .ended = ended,
                        .ctx = ctx};
    walk(run);
}
