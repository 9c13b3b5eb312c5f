// SPDX-License-Identifier: Apache-2.0
//
// The end of a namespace (spec/node.md 11.7): everything in it is deleted, pods first and their
// grace waited for before what they use goes, then the finalizer is taken away. Conditions tell
// what is still there. Keys are namespaces.
#include "controllers/meta.h"

struct content {
    struct actions *out;
    const struct kind *kind;
    int64_t count;         /* of this kind */
    struct str finalizers; /* the last one seen stands for all */
    int64_t finalizers_count;
};

static bool delete_each(void *ctx, const struct val *obj)
{
    struct content *content = ctx;
    content->count++;
    if (!meta_is_deleting(obj)) {
        struct action *action = actions_delete(content->out, content->kind, obj);
        action->propagation = S("Background");
        action->is_optional = true;
    }
    const struct val *finalizers = val_path(obj, "metadata.finalizers");
    if (val_count(finalizers) > 0) {
        content->finalizers = val_text(val_at(finalizers, 0));
        content->finalizers_count++;
    }
    return true;
}

struct remains {
    struct str resources;  /* "pods. has 2 resource instances" */
    struct str finalizers; /* "x in 2 resource instances" */
};

static struct str join(struct arena *arena, struct str list, struct str more)
{
    return list.n == 0 ? more
                       : arena_fmt(arena, STR_FMT ", " STR_FMT, STR_ARG(list), STR_ARG(more));
}

/* Deletes what is there of one kind and adds to the tale of what remains. Events don't count: they
 * are made while others go. */
static int64_t delete_kind(const struct view *view, struct str ns, enum kind_id id,
                           struct actions *out, struct remains *remains)
{
    const struct kind *kind = kind_of(id);
    if ((kind->flags & KIND_NAMESPACED) == 0 || (kind->flags & KIND_VIRTUAL) != 0) {
        return 0;
    }
    struct content content = {.out = out, .kind = kind};
    view->list(view->ctx, id, ns, delete_each, &content);
    if (id == KIND_EVENT) {
        return 0;
    }
    if (content.count > 0) {
        remains->resources =
            join(out->arena, remains->resources,
                 arena_fmt(out->arena, STR_FMT "." STR_FMT " has %lld resource instances",
                           STR_ARG(kind->plural), STR_ARG(kind->group), (long long)content.count));
    }
    if (content.finalizers_count > 0) {
        remains->finalizers =
            join(out->arena, remains->finalizers,
                 arena_fmt(out->arena, STR_FMT " in %lld resource instances",
                           STR_ARG(content.finalizers), (long long)content.finalizers_count));
    }
    return content.count;
}

static void add_condition(struct actions *out, const struct val *space, struct val *list,
                          usec now_wall, const char *type, bool is_true, const char *reason,
                          struct str message)
{
    const struct val *old = meta_condition(space, str_of(type));
    struct str status = is_true ? S("True") : S("False");
    bool is_same = str_eq(val_text(val_get(old, S("status"))), status);
    struct val condition = val_map();
    val_set(out->arena, &condition, S("type"), val_str(str_of(type)));
    val_set(out->arena, &condition, S("status"), val_str(status));
    val_set(out->arena, &condition, S("reason"), val_str(str_of(reason)));
    val_set(out->arena, &condition, S("message"), val_str(message));
    const struct val *since = val_get(old, S("lastTransitionTime"));
    val_set(out->arena, &condition, S("lastTransitionTime"),
            is_same && since != NULL ? *since : time_val(out->arena, now_wall));
    val_push(out->arena, list, condition);
}

static void write_conditions(const struct val *space, const struct remains *remains, usec now_wall,
                             struct actions *out)
{
    bool has_content = remains->resources.n > 0;
    bool has_finalizers = remains->finalizers.n > 0;
    struct val list = val_list();
    add_condition(out, space, &list, now_wall, "NamespaceDeletionDiscoveryFailure", false,
                  "ResourcesDiscovered", S("All resources successfully discovered"));
    add_condition(out, space, &list, now_wall, "NamespaceDeletionGroupVersionParsingFailure", false,
                  "ParsedGroupVersions", S("All legacy kube types successfully parsed"));
    add_condition(out, space, &list, now_wall, "NamespaceDeletionContentFailure", false,
                  "ContentDeleted",
                  S("All content successfully deleted, may be waiting on finalization"));
    add_condition(out, space, &list, now_wall, "NamespaceContentRemaining", has_content,
                  has_content ? "SomeResourcesRemain" : "ContentRemoved",
                  has_content ? arena_fmt(out->arena, "Some resources are remaining: " STR_FMT,
                                          STR_ARG(remains->resources))
                              : S("All content successfully removed"));
    add_condition(
        out, space, &list, now_wall, "NamespaceFinalizersRemaining", has_finalizers,
        has_finalizers ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
        has_finalizers
            ? arena_fmt(out->arena,
                        "Some content in the namespace has finalizers remaining: " STR_FMT,
                        STR_ARG(remains->finalizers))
            : S("All content-preserving finalizers finished"));
    const struct val *old = val_path(space, "status.conditions");
    if (old != NULL && val_eq(old, &list)) {
        return;
    }
    struct val body = val_map();
    val_set_path(out->arena, &body, "status.conditions", list);
    struct action *action =
        actions_add(out, ACTION_PATCH_STATUS, kind_of(KIND_NAMESPACE), S(""), meta_name(space));
    action->body = arena_val(out->arena, body);
    action->uid = meta_uid(space);
    action->is_optional = true;
}

static void finalize(const struct val *space, struct actions *out)
{
    struct val kept = val_list();
    const struct val *finalizers = val_path(space, "spec.finalizers");
    for (size_t i = 0; i < val_count(finalizers); i++) {
        if (!str_eq(val_text(val_at(finalizers, i)), S("kubernetes"))) {
            val_push(out->arena, &kept, *val_at(finalizers, i));
        }
    }
    if (val_count(&kept) == val_count(finalizers)) {
        return;
    }
    struct val body = val_copy(out->arena, space);
    val_set_path(out->arena, &body, "spec.finalizers", kept);
    actions_add(out, ACTION_FINALIZE, kind_of(KIND_NAMESPACE), S(""), meta_name(space))->body =
        arena_val(out->arena, body);
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    (void)ns;
    const struct val *space = view->get(view->ctx, KIND_NAMESPACE, S(""), name);
    if (space == NULL || !meta_is_deleting(space)) {
        return;
    }
    struct remains remains = {0};
    /* Those who make pods go first, so that nothing comes back; then pods; then the rest. */
    int64_t left = delete_kind(view, name, KIND_STATEFUL_SET, out, &remains);
    left += delete_kind(view, name, KIND_POD, out, &remains);
    for (int i = 0; i < KIND_ID_COUNT && left == 0; i++) {
        delete_kind(view, name, (enum kind_id)i, out, &remains);
    }
    write_conditions(space, &remains, env->now_wall, out);
    if (remains.resources.n == 0) {
        finalize(space, out);
    }
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    (void)before;
    if (kind == kind_of(KIND_NAMESPACE)) {
        if (meta_is_deleting(obj)) {
            add(ctx, S(""), meta_name(obj));
        }
        return;
    }
    struct str ns = meta_ns(obj);
    if (ns.n > 0 && meta_is_deleting(view->get(view->ctx, KIND_NAMESPACE, S(""), ns))) {
        add(ctx, S(""), ns);
    }
}

const struct controller controller_namespace = {
    .name = {"namespace",            9 },
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_all,
    .kinds_count = KIND_ID_COUNT,
    .event_source = {"namespace-controller", 20},
};
