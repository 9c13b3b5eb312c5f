// SPDX-License-Identifier: Apache-2.0
//
// Reads of metadata and small patches that all controllers share. No decisions live here.
#include "controllers/meta.h"

#include "base/timefmt.h"

struct str meta_ns(const struct val *obj)
{
    return val_text(val_get(val_get(obj, S("metadata")), S("namespace")));
}

struct str meta_name(const struct val *obj)
{
    return val_text(val_get(val_get(obj, S("metadata")), S("name")));
}

struct str meta_uid(const struct val *obj)
{
    return val_text(val_get(val_get(obj, S("metadata")), S("uid")));
}

uint64_t meta_rev(const struct val *obj)
{
    uint64_t rev = 0;
    if (str_to_u64(val_text_at(obj, "metadata.resourceVersion"), &rev) < 0) {
        return 0;
    }
    return rev;
}

usec meta_created(const struct val *obj)
{
    usec wall = 0;
    if (time_parse(val_text_at(obj, "metadata.creationTimestamp"), &wall) < 0) {
        return 0;
    }
    return wall;
}

bool meta_is_deleting(const struct val *obj)
{
    return val_text_at(obj, "metadata.deletionTimestamp").n > 0;
}

const struct val *meta_labels(const struct val *obj)
{
    return val_get(val_get(obj, S("metadata")), S("labels"));
}

struct str meta_label(const struct val *obj, struct str key)
{
    return val_text(val_get(meta_labels(obj), key));
}

struct str meta_annotation(const struct val *obj, struct str key)
{
    return val_text(val_get(val_path(obj, "metadata.annotations"), key));
}

bool meta_has_annotation(const struct val *obj, struct str key)
{
    return val_get(val_path(obj, "metadata.annotations"), key) != NULL;
}

bool has_finalizer(const struct val *obj, struct str name)
{
    const struct val *list = val_get(val_get(obj, S("metadata")), S("finalizers"));
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_at(list, i)), name)) {
            return true;
        }
    }
    return false;
}

const struct val *meta_controller(const struct val *obj)
{
    const struct val *refs = val_get(val_get(obj, S("metadata")), S("ownerReferences"));
    for (size_t i = 0; i < val_count(refs); i++) {
        const struct val *ref = val_at(refs, i);
        if (val_is_true(val_get(ref, S("controller")))) {
            return ref;
        }
    }
    return NULL;
}

bool meta_is_controlled_by(const struct val *obj, struct str uid)
{
    const struct val *ref = meta_controller(obj);
    return ref != NULL && str_eq(val_text(val_get(ref, S("uid"))), uid);
}

struct val owner_ref(struct arena *arena, const struct kind *kind, const struct val *owner)
{
    struct val ref = val_map();
    val_set(arena, &ref, S("apiVersion"), val_str(kind_api_version(kind)));
    val_set(arena, &ref, S("kind"), val_str(kind->name));
    val_set(arena, &ref, S("name"), val_str(meta_name(owner)));
    val_set(arena, &ref, S("uid"), val_str(meta_uid(owner)));
    val_set(arena, &ref, S("controller"), val_bool(true));
    val_set(arena, &ref, S("blockOwnerDeletion"), val_bool(true));
    return ref;
}

struct val owner_refs_edit(struct arena *arena, const struct val *obj, struct str drop_uid,
                           const struct val *add)
{
    struct val list = val_list();
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    for (size_t i = 0; i < val_count(refs); i++) {
        const struct val *ref = val_at(refs, i);
        if (drop_uid.n == 0 || !str_eq(val_text(val_get(ref, S("uid"))), drop_uid)) {
            val_push(arena, &list, *ref);
        }
    }
    if (add != NULL) {
        val_push(arena, &list, *add);
    }
    return list;
}

static struct action *patch_metadata(struct actions *out, const struct kind *kind,
                                     const struct val *obj, struct str key, struct val list)
{
    struct arena *arena = out->arena;
    struct val metadata = val_map();
    val_set(arena, &metadata, key, val_count(&list) == 0 ? val_null() : list);
    struct val body = val_map();
    val_set(arena, &body, S("metadata"), metadata);
    struct action *action = actions_add(out, ACTION_PATCH, kind, meta_ns(obj), meta_name(obj));
    action->body = arena_val(arena, body);
    action->uid = meta_uid(obj);
    action->rev = meta_rev(obj);
    return action;
}

struct action *actions_set_owners(struct actions *out, const struct kind *kind,
                                  const struct val *obj, struct val refs)
{
    return patch_metadata(out, kind, obj, S("ownerReferences"), refs);
}

static struct action *edit_finalizer(struct actions *out, const struct kind *kind,
                                     const struct val *obj, struct str finalizer, bool is_wanted)
{
    struct val list = val_list();
    const struct val *old = val_path(obj, "metadata.finalizers");
    for (size_t i = 0; i < val_count(old); i++) {
        if (!str_eq(val_text(val_at(old, i)), finalizer)) {
            val_push(out->arena, &list, *val_at(old, i));
        }
    }
    if (is_wanted) {
        val_push(out->arena, &list, val_str(finalizer));
    }
    return patch_metadata(out, kind, obj, S("finalizers"), list);
}

struct action *actions_drop_finalizer(struct actions *out, const struct kind *kind,
                                      const struct val *obj, struct str finalizer)
{
    return edit_finalizer(out, kind, obj, finalizer, /* is_wanted= */ false);
}

struct action *actions_add_finalizer(struct actions *out, const struct kind *kind,
                                     const struct val *obj, struct str finalizer)
{
    return edit_finalizer(out, kind, obj, finalizer, /* is_wanted= */ true);
}

struct action *actions_delete(struct actions *out, const struct kind *kind, const struct val *obj)
{
    struct action *action = actions_add(out, ACTION_DELETE, kind, meta_ns(obj), meta_name(obj));
    action->uid = meta_uid(obj);
    return action;
}

const struct val *meta_condition(const struct val *obj, struct str type)
{
    const struct val *list = val_get(val_get(obj, S("status")), S("conditions"));
    for (size_t i = 0; i < val_count(list); i++) {
        const struct val *condition = val_at(list, i);
        if (str_eq(val_text(val_get(condition, S("type"))), type)) {
            return condition;
        }
    }
    return NULL;
}

bool meta_is_condition_true(const struct val *obj, struct str type)
{
    return str_eq(val_text(val_get(meta_condition(obj, type), S("status"))), S("True"));
}

bool pod_is_terminal(const struct val *pod)
{
    struct str phase = val_text(val_get(val_get(pod, S("status")), S("phase")));
    return str_eq(phase, S("Succeeded")) || str_eq(phase, S("Failed"));
}

bool pod_is_ready(const struct val *pod)
{
    return meta_is_condition_true(pod, S("Ready"));
}

size_t pod_volumes_count(const struct val *pod)
{
    return val_count(val_get(val_get(pod, S("spec")), S("volumes")));
}

bool pod_claim(struct arena *arena, const struct val *pod, size_t volume, struct str *ret_claim)
{
    const struct val *v = val_at(val_get(val_get(pod, S("spec")), S("volumes")), volume);
    const struct val *source = val_get(v, S("persistentVolumeClaim"));
    if (source != NULL) {
        *ret_claim = val_text(val_get(source, S("claimName")));
        return true;
    }
    if (val_get(v, S("ephemeral")) != NULL) {
        *ret_claim = arena_fmt(arena, STR_FMT "-" STR_FMT, STR_ARG(meta_name(pod)),
                               STR_ARG(val_text(val_get(v, S("name")))));
        return true;
    }
    return false;
}

struct val *arena_val(struct arena *arena, struct val v)
{
    struct val *copy = arena_alloc(arena, sizeof *copy);
    *copy = v;
    return copy;
}

struct val time_val(struct arena *arena, usec wall)
{
    char text[TIME_TEXT_MAX];
    time_format(wall, text);
    return val_str(arena_dup(arena, str_of(text)));
}

bool objs_each(void *ctx, const struct val *obj)
{
    struct objs *objs = ctx;
    objs->list = arena_more(objs->arena, objs->list, objs->count, &objs->cap, sizeof objs->list[0]);
    objs->list[objs->count++] = obj;
    return true;
}

struct objs view_objs(const struct view *view, struct arena *arena, enum kind_id kind,
                      struct str ns)
{
    struct objs objs = {.arena = arena};
    view->list(view->ctx, kind, ns, objs_each, &objs);
    return objs;
}
