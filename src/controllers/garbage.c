// SPDX-License-Identifier: Apache-2.0
//
// The garbage collector (spec/node.md 11.8, statefulset.md 7): objects whose owners are all gone
// are deleted; an owner that is deleted in the foreground waits for its blocking dependents; an
// orphaning owner lets go of its dependents first. Keys are "<plural>[.<group>]/<name>" in a
// namespace.
//
// An owner whose kind is not served here counts as present: nothing is deleted on a guess.
#include "controllers/meta.h"

#define FINALIZER_FOREGROUND S("foregroundDeletion")
#define FINALIZER_ORPHAN     S("orphan")

static bool kind_to_id(const struct kind *kind, enum kind_id *ret)
{
    for (int i = 0; i < KIND_ID_COUNT && kind != NULL; i++) {
        if (kind_of((enum kind_id)i) == kind) {
            *ret = (enum kind_id)i;
            return true;
        }
    }
    return false;
}

static bool qualified_to_id(struct str qualified, enum kind_id *ret)
{
    for (int i = 0; i < KIND_ID_COUNT; i++) {
        if (str_eq(kind_qualified(kind_of((enum kind_id)i)), qualified)) {
            *ret = (enum kind_id)i;
            return true;
        }
    }
    return false;
}

enum owner_state { OWNER_GONE, OWNER_LIVE, OWNER_WAITING /* for its dependents to go */ };

static enum owner_state owner_state(const struct view *view, struct str ns, const struct val *ref)
{
    struct str group;
    struct str version;
    api_version_split(val_text(val_get(ref, S("apiVersion"))), &group, &version);
    const struct kind *kind = kind_by_name(group, version, val_text(val_get(ref, S("kind"))));
    enum kind_id id;
    if (!kind_to_id(kind, &id)) {
        return OWNER_LIVE;
    }
    bool is_namespaced = (kind->flags & KIND_NAMESPACED) != 0;
    if (is_namespaced && ns.n == 0) {
        return OWNER_LIVE; /* a cluster's object can't have such an owner: left alone */
    }
    const struct val *owner =
        view->get(view->ctx, id, is_namespaced ? ns : S(""), val_text(val_get(ref, S("name"))));
    if (owner == NULL || !str_eq(meta_uid(owner), val_text(val_get(ref, S("uid"))))) {
        return OWNER_GONE;
    }
    bool is_blocked = val_is_true(val_get(ref, S("blockOwnerDeletion")));
    return meta_is_deleting(owner) && has_finalizer(owner, FINALIZER_FOREGROUND) && is_blocked
               ? OWNER_WAITING
               : OWNER_LIVE;
}

struct dependents_ctx {
    const struct view *view;
    struct actions *out;
    struct str uid;
    size_t blocking;
    size_t all;
};

static bool is_blocking(const struct val *obj, struct str uid)
{
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    for (size_t i = 0; i < val_count(refs); i++) {
        const struct val *ref = val_at(refs, i);
        if (str_eq(val_text(val_get(ref, S("uid"))), uid)) {
            return val_is_true(val_get(ref, S("blockOwnerDeletion")));
        }
    }
    return false;
}

static bool count_dependent(void *ctx, const struct kind *kind, const struct val *obj)
{
    (void)kind;
    struct dependents_ctx *dependents = ctx;
    dependents->all++;
    dependents->blocking += is_blocking(obj, dependents->uid);
    return true;
}

static size_t count_blocking(const struct view *view, struct str uid)
{
    struct dependents_ctx ctx = {.view = view, .uid = uid};
    view->dependents(view->ctx, uid, count_dependent, &ctx);
    return ctx.blocking;
}

static bool orphan_dependent(void *ctx, const struct kind *kind, const struct val *obj)
{
    struct dependents_ctx *dependents = ctx;
    actions_set_owners(dependents->out, kind, obj,
                       owner_refs_edit(dependents->out->arena, obj, dependents->uid, NULL));
    return true;
}

/* What to do with an object because of its owners; also how a foreground owner takes its
 * dependents along. */
static void judge(const struct view *view, const struct kind *kind, const struct val *obj,
                  struct actions *out)
{
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    if (val_count(refs) == 0 || meta_is_deleting(obj)) {
        return;
    }
    size_t live = 0;
    size_t waiting = 0;
    struct val kept = val_list();
    for (size_t i = 0; i < val_count(refs); i++) {
        enum owner_state state = owner_state(view, meta_ns(obj), val_at(refs, i));
        live += state == OWNER_LIVE;
        waiting += state == OWNER_WAITING;
        if (state == OWNER_LIVE) {
            val_push(out->arena, &kept, *val_at(refs, i));
        }
    }
    if (live == val_count(refs)) {
        return;
    }
    if (live > 0) {
        actions_set_owners(out, kind, obj, kept);
        return;
    }
    struct action *action = actions_delete(out, kind, obj);
    bool is_waited_for = waiting > 0 && count_blocking(view, meta_uid(obj)) > 0;
    if (!is_waited_for && has_finalizer(obj, FINALIZER_ORPHAN)) {
        action->propagation = S("Orphan");
    } else if (is_waited_for || has_finalizer(obj, FINALIZER_FOREGROUND)) {
        action->propagation = S("Foreground");
    } else {
        action->propagation = S("Background");
    }
}

static bool judge_dependent(void *ctx, const struct kind *kind, const struct val *obj)
{
    struct dependents_ctx *dependents = ctx;
    judge(dependents->view, kind, obj, dependents->out);
    return true;
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    (void)env;
    struct str rest = name;
    struct str qualified = str_cut(&rest, '/');
    enum kind_id id;
    if (!qualified_to_id(qualified, &id)) {
        return;
    }
    const struct val *obj = view->get(view->ctx, id, ns, rest);
    if (obj == NULL) {
        return;
    }
    struct dependents_ctx ctx = {.view = view, .out = out, .uid = meta_uid(obj)};
    if (!meta_is_deleting(obj)) {
        judge(view, kind_of(id), obj, out);
    } else if (has_finalizer(obj, FINALIZER_ORPHAN)) {
        view->dependents(view->ctx, ctx.uid, orphan_dependent, &ctx);
        actions_drop_finalizer(out, kind_of(id), obj, FINALIZER_ORPHAN);
    } else if (has_finalizer(obj, FINALIZER_FOREGROUND)) {
        view->dependents(view->ctx, ctx.uid, judge_dependent, &ctx);
        if (count_blocking(view, ctx.uid) == 0) {
            actions_drop_finalizer(out, kind_of(id), obj, FINALIZER_FOREGROUND);
        }
    }
}

struct add_ctx {
    void (*add)(void *ctx, struct str ns, struct str name);
    void *ctx;
};

static void add_object(const struct add_ctx *to, const struct kind *kind, struct str ns,
                       struct str name)
{
    char text[512]; /* a plural with its group, and a name of at most 253 bytes */
    struct str qualified = kind_qualified(kind);
    size_t n = qualified.n + 1 + name.n;
    if (n > sizeof text) {
        return;
    }
    memcpy(text, qualified.p, qualified.n);
    text[qualified.n] = '/';
    memcpy(text + qualified.n + 1, name.p, name.n);
    to->add(to->ctx, ns, (struct str){text, n});
}

static bool add_dependent(void *ctx, const struct kind *kind, const struct val *obj)
{
    add_object(ctx, kind, meta_ns(obj), meta_name(obj));
    return true;
}

/* A dependent's end or new owners concern the owners that wait for it. */
static void add_owners(const struct add_ctx *to, const struct view *view, const struct val *obj)
{
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    for (size_t i = 0; i < val_count(refs); i++) {
        const struct val *ref = val_at(refs, i);
        if (owner_state(view, meta_ns(obj), ref) != OWNER_WAITING) {
            continue;
        }
        struct str group;
        struct str version;
        api_version_split(val_text(val_get(ref, S("apiVersion"))), &group, &version);
        const struct kind *kind = kind_by_name(group, version, val_text(val_get(ref, S("kind"))));
        bool is_namespaced = (kind->flags & KIND_NAMESPACED) != 0;
        add_object(to, kind, is_namespaced ? meta_ns(obj) : S(""),
                   val_text(val_get(ref, S("name"))));
    }
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    struct add_ctx to = {add, ctx};
    enum kind_id id;
    if (!kind_to_id(kind, &id)) {
        return;
    }
    const struct val *now = view->get(view->ctx, id, meta_ns(obj), meta_name(obj));
    if (now == NULL || !str_eq(meta_uid(now), meta_uid(obj))) {
        view->dependents(view->ctx, meta_uid(obj), add_dependent, &to);
        add_owners(&to, view, obj);
        return;
    }
    const struct val *refs = val_path(obj, "metadata.ownerReferences");
    const struct val *old_refs = val_path(before, "metadata.ownerReferences");
    bool is_changed = before == NULL || !(refs == NULL ? old_refs == NULL : val_eq(refs, old_refs));
    if ((val_count(refs) > 0 && is_changed) || meta_is_deleting(obj)) {
        add_object(&to, kind, meta_ns(obj), meta_name(obj));
    }
    if (before != NULL && is_changed) {
        add_owners(&to, view, before);
    }
}

const struct controller controller_garbage = {
    .name = {"garbage",                      7 },
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_all,
    .kinds_count = KIND_ID_COUNT,
    .event_source = {"garbage-collector-controller", 28},
};
