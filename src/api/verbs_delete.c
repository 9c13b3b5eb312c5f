// SPDX-License-Identifier: Apache-2.0
//
// delete and deletecollection (spec/api.md 3.8): preconditions, collection finalizers, grace,
// finalizers, namespaces. What is owned by the deleted is the garbage collector's business.
#include "api/verbs.h"

#include "api/meta.h"
#include "base/timefmt.h"

static bool list_has(const struct val *list, struct str name)
{
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_at(list, i)), name)) {
            return true;
        }
    }
    return false;
}

static void set_finalizer(struct arena *arena, struct val *meta, struct str name, bool is_wanted)
{
    const struct val *was = val_get(meta, S("finalizers"));
    if (list_has(was, name) == is_wanted) {
        return;
    }
    struct val list = val_list();
    for (size_t i = 0; i < val_count(was); i++) {
        if (!str_eq(val_text(val_at(was, i)), name)) {
            (void)val_push(arena, &list, *val_at(was, i));
        }
    }
    if (is_wanted) {
        (void)val_push(arena, &list, val_str(name));
    }
    if (list.n == 0) {
        (void)val_remove(meta, S("finalizers"));
    } else {
        (void)val_set(arena, meta, S("finalizers"), list);
    }
}

/* Orphan and Foreground are carried by finalizers; Background takes both away. */
static void propagate(struct write *write)
{
    struct str policy = write->req->opt.propagation;
    struct val *meta = meta_of(write->arena, &write->obj);
    if (policy.n == 0) {
        return;
    }
    set_finalizer(write->arena, meta, S("orphan"), str_eq(policy, S("Orphan")));
    set_finalizer(write->arena, meta, S("foregroundDeletion"), str_eq(policy, S("Foreground")));
}

static int check_policy(struct write *write)
{
    struct str policy = write->req->opt.propagation;
    static const struct str supported[] = {
        {"Background", 10},
        {"Foreground", 10},
        {"Orphan",     6 }
    };
    for (size_t i = 0; i < 3; i++) {
        if (policy.n == 0 || str_eq(policy, supported[i])) {
            return 0;
        }
    }
    struct causes causes;
    causes_init(&causes, write->arena);
    struct val shown = val_str(policy);
    cause_add_unsupported(&causes, S("propagationPolicy"), &shown, supported, 3);
    struct kind options = {.group = S("meta.k8s.io"), .name = S("DeleteOptions")};
    return write_fail(write, status_invalid(write->arena, &options, S(""), &causes));
}

static void mark(struct write *write, int64_t grace)
{
    struct arena *arena = write->arena;
    struct val *meta = meta_of(arena, &write->obj);
    usec now = loop_wall(write->api->config.loop);
    (void)val_set(arena, meta, S("deletionTimestamp"),
                  meta_time(arena, now + grace * USEC_PER_SEC));
    (void)val_set(arena, meta, S("deletionGracePeriodSeconds"), val_int(grace));
    if (val_get(meta, S("generation")) != NULL) {
        (void)val_set(arena, meta, S("generation"),
                      val_int(val_number(val_get(meta, S("generation")), 0) + 1));
    }
    if (write->kind == kind_of(KIND_NAMESPACE)) {
        (void)val_set_path(arena, &write->obj, "status.phase", val_str(S("Terminating")));
    }
}

/* A second delete may only shorten the grace; the timestamp moves back, never into the past. */
static void shorten(struct write *write, int64_t grace)
{
    struct arena *arena = write->arena;
    struct val *meta = meta_of(arena, &write->obj);
    int64_t was = val_number(val_get(meta, S("deletionGracePeriodSeconds")), 0);
    usec due;
    if (grace >= was || time_parse(val_text(val_get(meta, S("deletionTimestamp"))), &due) < 0) {
        return;
    }
    usec now = loop_wall(write->api->config.loop);
    due -= (was - grace) * USEC_PER_SEC;
    (void)val_set(arena, meta, S("deletionTimestamp"), meta_time(arena, due < now ? now : due));
    (void)val_set(arena, meta, S("deletionGracePeriodSeconds"), val_int(grace));
}

static int64_t grace_of(const struct write *write)
{
    const struct strategy *strategy = write->kind->strategy;
    if (strategy == NULL || strategy->grace_seconds == NULL) {
        return 0;
    }
    int64_t asked = write->req->opt.grace_seconds;
    int64_t grace = strategy->grace_seconds(write->old, asked < -1 ? 1 : asked);
    return grace < 0 ? 1 : grace;
}

int delete_obj(struct write *write)
{
    if (check_policy(write) < 0 || write_preconditions(write) < 0) {
        return -1;
    }
    if (write->kind == kind_of(KIND_NAMESPACE)) {
        static const char *const immortal[] = {"default", "kube-system", "kube-public"};
        for (size_t i = 0; i < 3; i++) {
            if (str_eq(write->name, str_of(immortal[i]))) {
                return write_fail(write, status_forbidden(write->arena, write->kind, write->name,
                                                          S("this namespace may not be deleted")));
            }
        }
    }
    write->obj = val_copy(write->arena, write->old);
    propagate(write);
    int64_t grace = grace_of(write);
    if (val_path(write->old, "metadata.deletionTimestamp") != NULL) {
        shorten(write, grace);
    } else {
        mark(write, grace);
    }
    if (write_is_finished(write)) {
        return write_remove(write);
    }
    if (val_eq(&write->obj, write->old) &&
        write->head == store_get(write->api->config.store, write->key)) {
        write_answer(write, write->head, NULL);
        return 0;
    }
    return write_put(write);
}

/* What the DeleteOptions in the body say goes before the query. */
static int read_options(struct api_req *req, struct status *ret_status)
{
    const struct val *body = req->body;
    struct api_options *opt = &req->opt;
    if (!val_is(body, VAL_MAP)) {
        return 0;
    }
    const struct val *orphan = val_get(body, S("orphanDependents"));
    const struct val *dry_run = val_get(body, S("dryRun"));
    struct str policy = val_text(val_get(body, S("propagationPolicy")));
    struct str uid = val_text_at(body, "preconditions.uid");
    struct str rev = val_text_at(body, "preconditions.resourceVersion");
    struct causes causes;
    causes_init(&causes, req->arena);
    if (val_is(orphan, VAL_BOOL) && policy.n != 0) {
        cause_add(&causes, CAUSE_INVALID, S("propagationPolicy"),
                  val_get(body, S("propagationPolicy")),
                  S("orphanDependents and deletionPropagation cannot be both set"));
    }
    for (size_t i = 0; i < val_count(dry_run); i++) {
        static const struct str all[] = {
            {"All", 3}
        };
        if (!str_eq(val_text(val_at(dry_run, i)), all[0])) {
            cause_add_unsupported(&causes, S("dryRun"), dry_run, all, 1);
        }
        opt->is_dry_run = true;
    }
    if (causes.count != 0) {
        struct kind options = {.group = S("meta.k8s.io"), .name = S("DeleteOptions")};
        *ret_status = status_invalid(req->arena, &options, S(""), &causes);
        return -1;
    }
    if (val_is(orphan, VAL_BOOL)) {
        policy = val_is_true(orphan) ? S("Orphan") : S("Background");
    }
    opt->propagation = policy.n != 0 ? policy : opt->propagation;
    opt->precondition_uid = uid.n != 0 ? uid : opt->precondition_uid;
    opt->precondition_rv = rev.n != 0 ? rev : opt->precondition_rv;
    opt->grace_seconds = val_number(val_get(body, S("gracePeriodSeconds")), opt->grace_seconds);
    return 0;
}

void delete_one(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    int rc = read_options(req, &write->status);
    if (rc == 0) {
        rc = write_find(write);
    }
    write_end(write, rc == 0 ? delete_obj(write) : rc);
}

/* One deletecollection: a request of its own for each object, and the answer when all are done. */
struct collection {
    struct api_req *req;
    struct object **objects;
    size_t count;
    size_t pending;
    struct status failure;
};

struct part {
    struct api_req req;
    struct collection *collection;
};

static void part_done(struct api_req *req, const struct api_result *result)
{
    struct collection *collection = ((struct part *)req->ctx)->collection;
    if (result->status.code != 0 && result->status.code != 404) {
        collection->failure = result->status;
    }
    if (--collection->pending != 0) {
        return;
    }
    if (collection->failure.code != 0) {
        req_fail(collection->req, &collection->failure);
    } else {
        struct api_result all = {.code = 200,
                                 .list = collection->objects,
                                 .list_count = collection->count,
                                 .is_list = true,
                                 .list_remaining = -1};
        req_done(collection->req, &all);
    }
    for (size_t i = 0; i < collection->count; i++) {
        object_unref(collection->objects[i]);
    }
}

void delete_collection(struct api *api, struct api_req *req)
{
    struct status status;
    struct filter filter;
    if (read_options(req, &status) < 0) {
        req_fail(req, &status);
        return;
    }
    if (filter_init(&filter, req->arena, req->kind, req->opt.label_selector,
                    req->opt.field_selector, &status) < 0) {
        req_fail(req, &status);
        return;
    }
    struct collection *collection = arena_alloc(req->arena, sizeof(*collection));
    struct object **objects = NULL;
    size_t count = 0;
    store_list_head(api->config.store, api_prefix(req->arena, req->kind, req->ns), req->arena,
                    &objects, &count);
    collection->req = req;
    collection->objects = arena_alloc(req->arena, (count + 1) * sizeof(objects[0]));
    for (size_t i = 0; i < count; i++) {
        if (filter_passes(&filter, req->arena, objects[i])) {
            collection->objects[collection->count++] = object_ref(objects[i]);
        }
    }
    collection->pending = collection->count + 1; /* one for us, so that refusals don't end it */
    struct part *last = arena_alloc(req->arena, sizeof(*last));
    for (size_t i = 0; i < collection->count; i++) {
        struct part *part = arena_alloc(req->arena, sizeof(*part));
        const struct val *obj = object_val(collection->objects[i]);
        part->collection = collection;
        part->req = *req;
        part->req.verb = VERB_DELETE;
        part->req.body = NULL;
        part->req.ns = val_text_at(obj, "metadata.namespace");
        part->req.name = val_text_at(obj, "metadata.name");
        part->req.done = part_done;
        part->req.ctx = part;
        delete_one(api, &part->req);
    }
    last->collection = collection;
    last->req.ctx = last;
    struct api_result none = {.code = 200};
    part_done(&last->req, &none);
}
