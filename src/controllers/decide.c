// SPDX-License-Identifier: Apache-2.0
//
// Lists of actions: growing them, and writing them down for tests and traces. It knows nothing of
// what the actions mean to the cluster.
#include "controllers/decide.h"

#include "controllers/meta.h"

static const char *const action_names[] = {
    [ACTION_CREATE] = "CREATE",
    [ACTION_UPDATE] = "UPDATE",
    [ACTION_STATUS] = "STATUS",
    [ACTION_PATCH] = "PATCH",
    [ACTION_PATCH_STATUS] = "PATCH_STATUS",
    [ACTION_DELETE] = "DELETE",
    [ACTION_BIND] = "BIND",
    [ACTION_FINALIZE] = "FINALIZE",
    [ACTION_EVENT] = "EVENT",
};

void actions_init(struct actions *actions, struct arena *arena)
{
    *actions = (struct actions){.arena = arena};
}

const enum kind_id kinds_all[KIND_ID_COUNT] = {
#define KIND_ROW(id, group, version, name) KIND_##id,
    KIND_NAMES(KIND_ROW)
#undef KIND_ROW
};

struct action *actions_add(struct actions *actions, enum action_type type, const struct kind *kind,
                           struct str ns, struct str name)
{
    actions->list = arena_more(actions->arena, actions->list, actions->count, &actions->cap,
                               sizeof actions->list[0]);
    struct action *action = &actions->list[actions->count++];
    *action =
        (struct action){.type = type, .kind = kind, .ns = ns, .name = name, .grace_seconds = -1};
    return action;
}

const struct val *event_body(struct arena *arena, const struct kind *kind, const struct val *obj,
                             struct str type, struct str reason, struct str message)
{
    struct val involved = val_map();
    val_set(arena, &involved, S("apiVersion"), val_str(kind_api_version(kind)));
    val_set(arena, &involved, S("kind"), val_str(kind->name));
    val_set(arena, &involved, S("name"), val_str(meta_name(obj)));
    if (meta_ns(obj).n > 0) {
        val_set(arena, &involved, S("namespace"), val_str(meta_ns(obj)));
    }
    val_set(arena, &involved, S("uid"), val_str(meta_uid(obj)));
    struct str rev = val_text_at(obj, "metadata.resourceVersion");
    if (rev.n > 0) {
        val_set(arena, &involved, S("resourceVersion"), val_str(rev));
    }
    struct val *body = arena_alloc(arena, sizeof *body);
    *body = val_map();
    val_set(arena, body, S("involvedObject"), involved);
    val_set(arena, body, S("type"), val_str(type));
    val_set(arena, body, S("reason"), val_str(reason));
    val_set(arena, body, S("message"), val_str(message));
    return body;
}

void actions_event(struct actions *actions, const struct kind *kind, const struct val *obj,
                   struct str type, struct str reason, struct str message)
{
    struct action *action = actions_add(actions, ACTION_EVENT, kind, meta_ns(obj), meta_name(obj));
    action->body = event_body(actions->arena, kind, obj, type, reason, message);
    action->is_optional = true;
}

void actions_requeue(struct actions *actions, usec delay)
{
    if (delay < 1) {
        delay = 1;
    }
    if (actions->requeue_after == 0 || delay < actions->requeue_after) {
        actions->requeue_after = delay;
    }
}

int actions_write(struct buf *out, const struct actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct action *action = &actions->list[i];
        buf_addf(out, "%s " STR_FMT " ", action_names[action->type], STR_ARG(action->kind->plural));
        if (action->ns.n > 0) {
            buf_addf(out, STR_FMT "/", STR_ARG(action->ns));
        }
        buf_add(out, action->name);
        if (action->type == ACTION_EVENT) {
            buf_addf(out, " " STR_FMT " " STR_FMT ": " STR_FMT,
                     STR_ARG(val_text_at(action->body, "type")),
                     STR_ARG(val_text_at(action->body, "reason")),
                     STR_ARG(val_text_at(action->body, "message")));
        }
        buf_addc(out, '\n');
    }
    return out->over ? ERR_LIMIT : 0;
}
