// SPDX-License-Identifier: Apache-2.0
//
// The garbage collector's index: which objects name a uid among their owners. Fed by the watches of
// all kinds; iterates in key order.
#include "control/internal.h"

#include <stdlib.h>

struct dependent {
    const struct kind *kind;
    struct object *object;
};

struct owner {
    struct map dependents; /* storage key -> struct dependent, owned by dependents.objects */
};

static void dependent_free(void *p)
{
    struct dependent *dependent = p;
    object_unref(dependent->object);
    free(dependent);
}

static void owner_free(void *p)
{
    struct owner *owner = p;
    map_done(&owner->dependents, NULL);
    free(owner);
}

void dependents_done(struct dependents *dependents)
{
    map_done(&dependents->owners, owner_free);
    map_done(&dependents->objects, dependent_free);
}

static const struct val *refs_of(const struct object *object)
{
    return val_get(val_get(object_val(object), S("metadata")), S("ownerReferences"));
}

static void unlink_owners(struct dependents *dependents, const struct object *object)
{
    const struct val *refs = refs_of(object);
    for (size_t i = 0; i < val_count(refs); i++) {
        struct str uid = val_text(val_get(val_at(refs, i), S("uid")));
        struct owner *owner = map_find(&dependents->owners, uid);
        if (owner == NULL) {
            continue;
        }
        map_remove(&owner->dependents, object->key);
        if (owner->dependents.count == 0) {
            map_remove(&dependents->owners, uid);
            owner_free(owner);
        }
    }
}

static void link_owners(struct dependents *dependents, struct dependent *dependent)
{
    const struct val *refs = refs_of(dependent->object);
    for (size_t i = 0; i < val_count(refs); i++) {
        struct str uid = val_text(val_get(val_at(refs, i), S("uid")));
        struct owner *owner = map_find(&dependents->owners, uid);
        if (owner == NULL) {
            owner = xcalloc(1, sizeof *owner);
            map_put(&dependents->owners, uid, owner);
        }
        map_put(&owner->dependents, dependent->object->key, dependent);
    }
}

void dependents_update(struct dependents *dependents, const struct kind *kind,
                       struct object *object, bool is_delete)
{
    struct dependent *dependent = map_find(&dependents->objects, object->key);
    if (dependent != NULL) {
        if (!is_delete && dependent->object->rev > object->rev) {
            return; /* what the first list gave is newer than this event */
        }
        unlink_owners(dependents, dependent->object);
        map_remove(&dependents->objects, object->key);
        dependent_free(dependent);
    }
    if (is_delete || val_count(refs_of(object)) == 0) {
        return;
    }
    dependent = xcalloc(1, sizeof *dependent);
    dependent->kind = kind;
    dependent->object = object_ref(object);
    map_put(&dependents->objects, object->key, dependent);
    link_owners(dependents, dependent);
}

void dependents_each(const struct dependents *dependents, struct str uid,
                     bool (*each)(void *ctx, const struct kind *kind, struct object *object),
                     void *ctx)
{
    const struct owner *owner = map_find(&dependents->owners, uid);
    for (size_t i = 0; owner != NULL && i < owner->dependents.count; i++) {
        const struct dependent *dependent = owner->dependents.entries[i].value;
        if (!each(ctx, dependent->kind, dependent->object)) {
            return;
        }
    }
}

bool dependents_has(const struct dependents *dependents, struct str key)
{
    return map_find(&dependents->objects, key) != NULL;
}
