// SPDX-License-Identifier: Apache-2.0
//
// Reading what all objects have in common (metadata, owners, conditions) and what all controllers
// ask of pods, and building the patches that change owners and finalizers. All take NULL for an
// absent object and answer "nothing".
#ifndef CORACLE_CONTROLLERS_META_H
#define CORACLE_CONTROLLERS_META_H

#include "controllers/decide.h"

struct str meta_ns(const struct val *obj);
struct str meta_name(const struct val *obj);
struct str meta_uid(const struct val *obj);
uint64_t meta_rev(const struct val *obj);
usec meta_created(const struct val *obj); /* 0 = unknown */
bool meta_is_deleting(const struct val *obj);
const struct val *meta_labels(const struct val *obj);
struct str meta_label(const struct val *obj, struct str key);
struct str meta_annotation(const struct val *obj, struct str key);
bool meta_has_annotation(const struct val *obj, struct str key);
bool has_finalizer(const struct val *obj, struct str name);

/* The ownerReference with controller true, or NULL. */
const struct val *meta_controller(const struct val *obj);
bool meta_is_controlled_by(const struct val *obj, struct str uid);
/* The ownerReference that makes owner the controller, with blockOwnerDeletion. */
struct val owner_ref(struct arena *arena, const struct kind *kind, const struct val *owner);
/* The owner references of obj without those to uid (empty = keep all), with add (may be NULL). */
struct val owner_refs_edit(struct arena *arena, const struct val *obj, struct str drop_uid,
                           const struct val *add);
/* A PATCH that replaces obj's ownerReferences, preconditioned on the version that was read. */
struct action *actions_set_owners(struct actions *out, const struct kind *kind,
                                  const struct val *obj, struct val refs);
/* PATCHes that take a finalizer away, or put one on, preconditioned likewise. */
struct action *actions_drop_finalizer(struct actions *out, const struct kind *kind,
                                      const struct val *obj, struct str finalizer);
struct action *actions_add_finalizer(struct actions *out, const struct kind *kind,
                                     const struct val *obj, struct str finalizer);
/* A DELETE with obj's uid as precondition and its own grace. */
struct action *actions_delete(struct actions *out, const struct kind *kind, const struct val *obj);

/* The condition of status.conditions with this type, or NULL; and whether its status is "True". */
const struct val *meta_condition(const struct val *obj, struct str type);
bool meta_is_condition_true(const struct val *obj, struct str type);

bool pod_is_terminal(const struct val *pod); /* Succeeded or Failed */
bool pod_is_ready(const struct val *pod);    /* condition Ready is True */
/* The claim that the volume at this index uses (ephemeral: "<pod>-<volume>"); false = none. */
bool pod_claim(struct arena *arena, const struct val *pod, size_t volume, struct str *ret_claim);
size_t pod_volumes_count(const struct val *pod);

/* A heap copy in the arena, for actions' bodies. */
struct val *arena_val(struct arena *arena, struct val v);
/* "2026-01-02T03:04:05Z" in the arena. */
struct val time_val(struct arena *arena, usec wall);

/* A growing list of borrowed objects, filled by view->list through objs_each. */
struct objs {
    struct arena *arena;
    const struct val **list;
    size_t count;
    size_t cap;
};
bool objs_each(void *objs, const struct val *obj);
/* All objects of a kind in a namespace (empty = all), in key order. */
struct objs view_objs(const struct view *view, struct arena *arena, enum kind_id kind,
                      struct str ns);

#endif
