// SPDX-License-Identifier: Apache-2.0
#include "control/internal.h"

static bool add(void *ctx, struct object *object)
{
    struct object_list *objects = ctx;
    objects->list = arena_more(objects->arena, objects->list, objects->count, &objects->cap,
                               sizeof objects->list[0]);
    objects->list[objects->count++] = object_val(object);
    return true;
}

struct object_list objects_of(struct client *client, enum kind_id kind, struct arena *arena)
{
    struct object_list objects = {.arena = arena};
    client->ops->list(client, kind, S(""), add, &objects);
    return objects;
}
