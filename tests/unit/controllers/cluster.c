// SPDX-License-Identifier: Apache-2.0
#include "cluster.h"

#include "base/limits.h"
#include "controllers/meta.h"
#include "data/json.h"
#include "data/patch.h"
#include "test.h"

static struct str key_of(struct cluster *c, const struct kind *kind, struct str ns, struct str name)
{
    return arena_fmt(c->arena, STR_FMT "/" STR_FMT "/" STR_FMT, STR_ARG(kind_qualified(kind)),
                     STR_ARG(ns), STR_ARG(name));
}

static const struct val *view_get(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    struct cluster *c = ctx;
    return map_find(&c->objects, key_of(c, kind_of(kind), ns, name));
}

static void view_list(void *ctx, enum kind_id kind, struct str ns,
                      bool (*each)(void *each_ctx, const struct val *obj), void *each_ctx)
{
    struct cluster *c = ctx;
    struct str prefix = arena_fmt(c->arena, STR_FMT "/", STR_ARG(kind_qualified(kind_of(kind))));
    if (ns.n > 0) {
        prefix = key_of(c, kind_of(kind), ns, S(""));
    }
    for (size_t i = map_seek(&c->objects, prefix);
         i < c->objects.count && str_starts(c->objects.entries[i].key, prefix); i++) {
        if (!each(each_ctx, c->objects.entries[i].value)) {
            return;
        }
    }
}

static void view_dependents(void *ctx, struct str uid,
                            bool (*each)(void *each_ctx, const struct kind *kind,
                                         const struct val *obj),
                            void *each_ctx)
{
    struct cluster *c = ctx;
    for (size_t i = 0; i < c->objects.count; i++) {
        const struct val *obj = c->objects.entries[i].value;
        const struct val *refs = val_path(obj, "metadata.ownerReferences");
        for (size_t k = 0; k < val_count(refs); k++) {
            if (str_eq(val_text(val_get(val_at(refs, k), S("uid"))), uid)) {
                struct str group;
                struct str version;
                api_version_split(val_text_at(obj, "apiVersion"), &group, &version);
                each(each_ctx, kind_by_name(group, version, val_text_at(obj, "kind")), obj);
                break;
            }
        }
    }
}

static usec view_gone_for(void *ctx, enum kind_id kind, struct str ns, struct str name)
{
    struct cluster *c = ctx;
    (void)ns;
    bool is_it = kind == KIND_POD && str_eq(name, str_of(c->gone));
    return is_it && c->now - c->gone_at < VIEW_GONE_KEPT ? c->now - c->gone_at : VIEW_GONE_KEPT;
}

void cluster_open(struct cluster *c)
{
    *c = (struct cluster){
        .arena = arena_new(DECIDE_ARENA_MAX), .now = 1800000000 * USEC_PER_SEC, .gone = ""};
    c->view = (struct view){view_get, view_list, view_dependents, view_gone_for, c};
    rng_seed(&c->rng, 1);
}

void cluster_close(struct cluster *c)
{
    map_done(&c->objects, NULL);
    arena_free(c->arena);
}

static void store(struct cluster *c, const struct kind *kind, struct val obj)
{
    struct val *metadata = val_need_map(c->arena, &obj, S("metadata"));
    if (val_get(metadata, S("uid")) == NULL) {
        val_set(c->arena, metadata, S("uid"),
                val_str(arena_fmt(c->arena, "uid-%d", (int)++c->uids)));
        val_set(c->arena, metadata, S("creationTimestamp"), time_val(c->arena, c->now));
    }
    val_set(c->arena, metadata, S("resourceVersion"),
            val_str(arena_fmt(c->arena, "%d", (int)++c->rev)));
    val_set(c->arena, &obj, S("apiVersion"), val_str(kind_api_version(kind)));
    val_set(c->arena, &obj, S("kind"), val_str(kind->name));
    struct str key = key_of(c, kind, meta_ns(&obj), meta_name(&obj));
    const struct val *finalizers = val_get(val_get(&obj, S("metadata")), S("finalizers"));
    if (meta_is_deleting(&obj) && val_count(finalizers) == 0 &&
        !(kind == kind_of(KIND_POD) && c->has_slow_pods) && kind != kind_of(KIND_NAMESPACE)) {
        map_remove(&c->objects, key);
        return;
    }
    if (kind == kind_of(KIND_NAMESPACE) && meta_is_deleting(&obj) &&
        val_count(val_path(&obj, "spec.finalizers")) == 0) {
        map_remove(&c->objects, key);
        return;
    }
    map_put(&c->objects, key, arena_val(c->arena, obj));
}

static struct val parse(struct cluster *c, const char *json)
{
    struct val v;
    struct err err = {0};
    EXPECT_OK(json_read(arena_dup(c->arena, str_of(json)), c->arena, NULL, &v, &err));
    return v;
}

void cluster_put(struct cluster *c, enum kind_id kind, const char *json)
{
    store(c, kind_of(kind), parse(c, json));
}

struct val *cluster_find(struct cluster *c, enum kind_id kind, const char *ns, const char *name)
{
    return map_find(&c->objects, key_of(c, kind_of(kind), str_of(ns), str_of(name)));
}

void cluster_remove(struct cluster *c, enum kind_id kind, const char *ns, const char *name)
{
    EXPECT(map_remove(&c->objects, key_of(c, kind_of(kind), str_of(ns), str_of(name))) != NULL);
}

void cluster_set(struct cluster *c, enum kind_id kind, const char *ns, const char *name,
                 const char *path, const char *json)
{
    struct val *old = cluster_find(c, kind, ns, name);
    EXPECT(old != NULL);
    struct val obj = val_copy(c->arena, old);
    val_set_path(c->arena, &obj, path, parse(c, json));
    val_prune_nulls(&obj);
    store(c, kind_of(kind), obj);
}

void cluster_condition(struct cluster *c, enum kind_id kind, const char *ns, const char *name,
                       const char *type, const char *status)
{
    struct val *old = cluster_find(c, kind, ns, name);
    EXPECT(old != NULL);
    struct val obj = val_copy(c->arena, old);
    struct val *conditions =
        val_need_list(c->arena, val_need_map(c->arena, &obj, S("status")), S("conditions"));
    for (size_t i = val_count(conditions); i-- > 0;) {
        if (str_eq(val_text(val_get(val_at(conditions, i), S("type"))), str_of(type))) {
            val_drop(conditions, i);
        }
    }
    struct val condition = val_map();
    val_set(c->arena, &condition, S("type"), val_str(str_of(type)));
    val_set(c->arena, &condition, S("status"), val_str(str_of(status)));
    val_set(c->arena, &condition, S("lastTransitionTime"), time_val(c->arena, c->now));
    val_push(c->arena, conditions, condition);
    store(c, kind_of(kind), obj);
}

/* --- performing --- */

static void create(struct cluster *c, const struct action *a)
{
    struct val obj = val_copy(c->arena, a->body);
    if (a->kind == kind_of(KIND_POD)) {
        val_set_path(c->arena, &obj, "status.phase", val_str(S("Pending")));
    }
    if (a->kind == kind_of(KIND_CONTROLLER_REVISION)) {
        c->revisions[c->revisions_count++] = arena_dup(c->arena, a->name);
    }
    store(c, a->kind, obj);
}

static void delete_object(struct cluster *c, const struct action *a, const struct val *old)
{
    struct val obj = val_copy(c->arena, old);
    val_set_path(c->arena, &obj, "metadata.deletionTimestamp", time_val(c->arena, c->now));
    struct val *metadata = val_slot(&obj, S("metadata"));
    if (str_eq(a->propagation, S("Foreground"))) {
        val_push(c->arena, val_need_list(c->arena, metadata, S("finalizers")),
                 val_str(S("foregroundDeletion")));
    }
    store(c, a->kind, obj);
}

/* false = refused. */
static bool perform(struct cluster *c, const struct action *a)
{
    const struct val *old = map_find(&c->objects, key_of(c, a->kind, a->ns, a->name));
    if (a->type == ACTION_EVENT) {
        return true;
    }
    if ((a->type == ACTION_CREATE) != (old == NULL) ||
        (a->uid.n > 0 && !str_eq(a->uid, meta_uid(old))) ||
        (a->rev > 0 && a->rev != meta_rev(old))) {
        return false;
    }
    if (a->type == ACTION_CREATE) {
        create(c, a);
    } else if (a->type == ACTION_DELETE) {
        delete_object(c, a, old);
    } else if (a->type == ACTION_BIND) {
        struct val obj = val_copy(c->arena, old);
        val_set_path(c->arena, &obj, "spec.nodeName",
                     val_str(arena_dup(c->arena, val_text_at(a->body, "target.name"))));
        store(c, a->kind, obj);
    } else if (a->type == ACTION_PATCH || a->type == ACTION_PATCH_STATUS) {
        struct val merged = patch_merge(c->arena, old, a->body);
        struct val obj = val_copy(c->arena, &merged);
        val_prune_nulls(&obj);
        store(c, a->kind, obj);
    } else {
        store(c, a->kind, val_copy(c->arena, a->body));
    }
    return true;
}

struct str cluster_letter(struct cluster *c, struct str revision)
{
    for (size_t i = 0; i < c->revisions_count; i++) {
        if (str_eq(c->revisions[i], revision)) {
            return arena_fmt(c->arena, "%c", (char)('A' + i));
        }
    }
    return S("?");
}

static void write_lines(struct cluster *c, struct buf *out, const struct actions *actions,
                        bool has_events)
{
    for (size_t i = 0; i < actions->count; i++) {
        struct actions one = *actions;
        struct action copy = actions->list[i];
        one.list = &copy;
        one.count = 1;
        if (copy.kind == kind_of(KIND_CONTROLLER_REVISION)) {
            copy.name = cluster_letter(c, copy.name);
        }
        if (has_events || copy.type != ACTION_EVENT) {
            actions_write(out, &one);
        }
    }
}

struct str cluster_decide(struct cluster *c, const struct controller *controller, const char *ns,
                          const char *name, bool has_events)
{
    struct env env = {.now_wall = c->now, .rng = &c->rng, .arena = c->arena};
    struct actions actions;
    actions_init(&actions, c->arena);
    controller->decide(&c->view, str_of(ns), str_of(name), &env, &actions);
    c->requeue_after = actions.requeue_after;
    for (size_t i = 0; i < actions.count; i++) {
        if (!perform(c, &actions.list[i]) && !actions.list[i].is_optional) {
            actions.count = i;
        }
    }
    auto_buf struct buf text;
    buf_init(&text, JSON_BYTES_MAX);
    write_lines(c, &text, &actions, has_events);
    return arena_dup(c->arena, buf_str(&text));
}

int cluster_settle(struct cluster *c, const struct controller *controller, const char *ns,
                   const char *name, int max)
{
    for (int n = 0; n < max; n++) {
        if (cluster_decide(c, controller, ns, name, /* has_events= */ true).n == 0) {
            return n;
        }
    }
    return max;
}
