// SPDX-License-Identifier: Apache-2.0
//
// Subresources whose bodies are kinds of their own (spec/api.md 3.9): scale, pods/binding,
// pods/eviction, namespaces/finalize. status and its like go the way of updates (write.c).
#include "api/verbs.h"

#include "api/meta.h"
#include "api/selector.h"

static struct val scale_of(struct arena *arena, const struct val *obj)
{
    static const char *const copied[] = {"name", "namespace", "uid", "resourceVersion",
                                         "creationTimestamp"};
    struct val scale = val_map();
    (void)val_set(arena, &scale, S("apiVersion"), val_str(S("autoscaling/v1")));
    (void)val_set(arena, &scale, S("kind"), val_str(S("Scale")));
    struct val *meta = val_need_map(arena, &scale, S("metadata"));
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        const struct val *v = val_get(val_get(obj, S("metadata")), str_of(copied[i]));
        if (v != NULL) {
            (void)val_set(arena, meta, str_of(copied[i]), *v);
        }
    }
    struct val *spec = val_need_map(arena, &scale, S("spec"));
    int64_t replicas = val_number_at(obj, "spec.replicas", 0);
    if (replicas != 0) {
        (void)val_set(arena, spec, S("replicas"), val_int(replicas));
    }
    (void)val_set_path(arena, &scale, "status.replicas",
                       val_int(val_number_at(obj, "status.replicas", 0)));
    struct selector *selector = NULL;
    struct err err;
    const struct val *selected = val_path(obj, "spec.selector");
    if (selected != NULL && selector_of_val(arena, selected, &selector, &err) == 0) {
        struct str text = selector_format(arena, selector);
        if (text.n != 0) {
            (void)val_set_path(arena, &scale, "status.selector", val_str(text));
        }
    }
    return scale;
}

static void answer_scale(struct write *write, const struct val *stored)
{
    struct val scale = scale_of(write->arena, stored);
    req_val(write->req, write->code, &scale);
}

static int scale_patched(struct write *write, struct val *ret)
{
    struct arena *arena = write->arena;
    const struct api_req *req = write->req;
    struct val now = scale_of(arena, write->old);
    const struct val *patch = req->patch_body != NULL ? req->patch_body : req->body;
    struct err err = {0};
    if (patch == NULL || req->patch == PATCH_APPLY) {
        return write_fail(write, status_method_not_allowed());
    }
    if (req->patch != PATCH_JSON) {
        *ret = patch_merge(arena, &now, patch);
    } else if (patch_json(arena, &now, patch, ret, &err) < 0) {
        return write_fail_err(write, &err);
    }
    return 0;
}

static int scale_write(struct write *write)
{
    struct arena *arena = write->arena;
    struct val scale;
    if (write_find(write) < 0) {
        return -1;
    }
    if (write->req->verb == VERB_PATCH) {
        if (scale_patched(write, &scale) < 0) {
            return -1;
        }
    } else {
        if (!val_is(write->req->body, VAL_MAP)) {
            return write_fail(write, status_bad_request(arena, S("the request has no object")));
        }
        scale = *write->req->body;
    }
    const struct val *asked = val_path(&scale, "spec.replicas");
    int64_t replicas = val_number(asked, 0);
    if ((asked != NULL && !val_is(asked, VAL_INT) && !val_is(asked, VAL_NULL)) || replicas < 0 ||
        replicas > INT32_MAX) {
        struct causes causes;
        causes_init(&causes, arena);
        cause_add(&causes, CAUSE_INVALID, S("spec.replicas"), asked,
                  S("must be greater than or equal to 0"));
        struct kind scale_kind = {.group = S("autoscaling"), .name = S("Scale")};
        return write_fail(write, status_invalid(arena, &scale_kind, write->name, &causes));
    }
    write->obj = val_copy(arena, write->old);
    (void)val_set_path(arena, &write->obj, "spec.replicas", val_int(replicas));
    struct val *meta = meta_of(arena, &write->obj);
    (void)val_set(arena, meta, S("resourceVersion"),
                  val_str(val_text_at(&scale, "metadata.resourceVersion")));
    const struct val *uid = val_path(&scale, "metadata.uid");
    if (val_text(uid).n != 0) {
        (void)val_set(arena, meta, S("uid"), *uid);
    }
    write->is_forced_scale = true;
    write->answer = answer_scale;
    return write_update_obj(write);
}

static void scale(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    if (req->verb != VERB_GET) {
        write_end(write, scale_write(write));
        return;
    }
    struct object *object =
        store_get(api->config.store, api_key(req->arena, req->kind, req->ns, req->name));
    if (object == NULL) {
        struct status status = status_not_found(req->arena, req->kind, req->name);
        req_fail(req, &status);
        return;
    }
    struct val v = scale_of(req->arena, object_val(object));
    req_val(req, 200, &v);
}

static void answer_created(struct write *write, const struct val *stored)
{
    (void)stored;
    struct val success = status_success(write->arena, NULL, S(""), S(""));
    req_val(write->req, 201, &success);
}

static int bind_conflict(struct write *write, struct str why)
{
    struct status status = status_conflict(write->arena, write->kind, write->name, why);
    status.message = arena_fmt(
        write->arena, "Operation cannot be fulfilled on pods/binding \"" STR_FMT "\": " STR_FMT,
        STR_ARG(write->name), STR_ARG(why));
    status.kind = S("pods/binding");
    return write_fail(write, status);
}

static void set_scheduled(struct write *write)
{
    struct arena *arena = write->arena;
    struct val *status = val_need_map(arena, &write->obj, S("status"));
    struct val *conditions = val_need_list(arena, status, S("conditions"));
    struct val condition = val_map();
    (void)val_set(arena, &condition, S("type"), val_str(S("PodScheduled")));
    (void)val_set(arena, &condition, S("status"), val_str(S("True")));
    (void)val_set(arena, &condition, S("lastTransitionTime"),
                  meta_time(arena, loop_wall(write->api->config.loop)));
    for (size_t i = 0; i < conditions->n; i++) {
        if (str_eq(val_text(val_get(&conditions->items[i], S("type"))), S("PodScheduled"))) {
            conditions->items[i] = condition;
            return;
        }
    }
    (void)val_push(arena, conditions, condition);
}

static int bind(struct write *write)
{
    struct arena *arena = write->arena;
    struct str node = val_text_at(write->req->body, "target.name");
    struct str target_kind = val_text_at(write->req->body, "target.kind");
    if (node.n == 0 || (target_kind.n != 0 && !str_eq(target_kind, S("Node")))) {
        struct causes causes;
        causes_init(&causes, arena);
        if (node.n == 0) {
            cause_add(&causes, CAUSE_REQUIRED, S("target.name"), NULL, S(""));
        } else {
            struct val shown = val_str(target_kind);
            static const struct str supported[] = {
                {"Node", 4}
            };
            cause_add_unsupported(&causes, S("target.kind"), &shown, supported, 1);
        }
        struct kind binding = {.name = S("Binding")};
        return write_fail(write, status_invalid(arena, &binding, write->name, &causes));
    }
    if (write_find(write) < 0 || write_preconditions(write) < 0) {
        return -1;
    }
    struct str uid = val_text_at(write->req->body, "metadata.uid");
    if (uid.n != 0 && !str_eq(uid, val_text_at(write->old, "metadata.uid"))) {
        return bind_conflict(write, S("Precondition failed: UID in precondition does not match"));
    }
    if (val_path(write->old, "metadata.deletionTimestamp") != NULL) {
        return bind_conflict(write, arena_fmt(arena,
                                              "pod " STR_FMT
                                              " is being deleted, cannot be assigned to a host",
                                              STR_ARG(write->name)));
    }
    struct str bound = val_text_at(write->old, "spec.nodeName");
    if (bound.n != 0) {
        return bind_conflict(
            write, arena_fmt(arena, "pod " STR_FMT " is already assigned to node \"" STR_FMT "\"",
                             STR_ARG(write->name), STR_ARG(bound)));
    }
    write->obj = val_copy(arena, write->old);
    (void)val_set_path(arena, &write->obj, "spec.nodeName", val_str(arena_dup(arena, node)));
    set_scheduled(write);
    write->answer = answer_created;
    return write_put(write);
}

static void binding(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    write_end(write, bind(write));
}

static int too_many(struct write *write, struct str message)
{
    struct cause *cause = arena_alloc(write->arena, sizeof(*cause));
    cause->reason = S("DisruptionBudget");
    cause->message = message;
    return write_fail(
        write,
        (struct status){.code = 429,
                        .reason = S("TooManyRequests"),
                        .message = S("Cannot evict pod as it would violate the pod's disruption "
                                     "budget."),
                        .causes = cause,
                        .causes_count = 1});
}

static bool is_ready(const struct val *pod)
{
    const struct val *conditions = val_path(pod, "status.conditions");
    for (size_t i = 0; i < val_count(conditions); i++) {
        const struct val *condition = val_at(conditions, i);
        if (str_eq(val_text(val_get(condition, S("type"))), S("Ready"))) {
            return str_eq(val_text(val_get(condition, S("status"))), S("True"));
        }
    }
    return false;
}

/* The one budget that covers the pod; -1 when two do. */
static int find_budget(struct write *write, const struct val **ret)
{
    const struct val **budgets = NULL;
    size_t count = 0;
    *ret = NULL;
    api_peek_list(write->api, kind_of(KIND_PDB), write->ns, write->arena, &budgets, &count);
    for (size_t i = 0; i < count; i++) {
        struct selector *selector = NULL;
        struct err err;
        const struct val *selected = val_path(budgets[i], "spec.selector");
        if (selector_of_val(write->arena, selected, &selector, &err) < 0 ||
            !selector_matches(selector, val_path(write->old, "metadata.labels"))) {
            continue;
        }
        if (*ret != NULL) {
            struct status status = {
                .code = 500,
                .reason = S("InternalError"),
                .message = S("This pod has more than one PodDisruptionBudget, which the eviction "
                             "subresource does not support.")};
            return write_fail(write, status);
        }
        *ret = budgets[i];
    }
    return 0;
}

/* Takes one disruption off the budget, or refuses. */
static int spend_budget(struct write *write, const struct val *budget)
{
    struct arena *arena = write->arena;
    struct str name = val_text_at(budget, "metadata.name");
    int64_t healthy = val_number_at(budget, "status.currentHealthy", 0);
    int64_t desired = val_number_at(budget, "status.desiredHealthy", 0);
    int64_t allowed = val_number_at(budget, "status.disruptionsAllowed", 0);
    if (!is_ready(write->old)) {
        struct str policy = val_text_at(budget, "spec.unhealthyPodEvictionPolicy");
        if (str_eq(policy, S("AlwaysAllow")) || (healthy >= desired && desired > 0)) {
            return 0;
        }
    }
    if (val_number_at(budget, "status.observedGeneration", 0) <
        val_number_at(budget, "metadata.generation", 0)) {
        int rc = too_many(write, arena_fmt(arena,
                                           "The disruption budget " STR_FMT
                                           " is still being processed by the server.",
                                           STR_ARG(name)));
        write->status.retry_after_seconds = 10;
        return rc;
    }
    if (allowed <= 0) {
        return too_many(write, arena_fmt(arena,
                                         "The disruption budget " STR_FMT
                                         " needs %lld healthy pods and has %lld currently",
                                         STR_ARG(name), (long long)desired, (long long)healthy));
    }
    if (write->req->opt.is_dry_run) {
        return 0;
    }
    struct val next = val_copy(arena, budget);
    struct val *status = val_need_map(arena, &next, S("status"));
    (void)val_set(arena, status, S("disruptionsAllowed"), val_int(allowed - 1));
    struct val *pods = val_need_map(arena, status, S("disruptedPods"));
    (void)val_set(arena, pods, write->name, meta_time(arena, loop_wall(write->api->config.loop)));
    struct err err = {0};
    struct str key = api_key(arena, kind_of(KIND_PDB), write->ns, name);
    if (store_put(write->api->config.store, key, &next, STORE_ANY, 0, NULL, NULL, &err) < 0) {
        return write_fail_err(write, &err);
    }
    return 0;
}

static int evict(struct write *write)
{
    if (write_find(write) < 0) {
        return -1;
    }
    const struct val *body = write->req->body;
    struct api_options *opt = &write->req->opt;
    opt->grace_seconds =
        val_number_at(body, "deleteOptions.gracePeriodSeconds", opt->grace_seconds);
    if (val_text_at(body, "deleteOptions.preconditions.uid").n != 0) {
        opt->precondition_uid = val_text_at(body, "deleteOptions.preconditions.uid");
    }
    struct str phase = val_text_at(write->old, "status.phase");
    bool is_free = val_path(write->old, "metadata.deletionTimestamp") != NULL ||
                   str_eq(phase, S("Pending")) || str_eq(phase, S("Succeeded")) ||
                   str_eq(phase, S("Failed"));
    const struct val *budget = NULL;
    if (write_preconditions(write) < 0 || (!is_free && find_budget(write, &budget) < 0)) {
        return -1;
    }
    if (budget != NULL && spend_budget(write, budget) < 0) {
        return -1;
    }
    write->subresource = S("");
    write->answer = answer_created;
    return delete_obj(write);
}

static void eviction(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    write_end(write, evict(write));
}

/* PUT namespaces/x/finalize: the body's spec.finalizers; the namespace goes when none is left. */
static int finalize_write(struct write *write)
{
    if (write_decode(write, write->req->body) < 0 || write_find(write) < 0) {
        return -1;
    }
    struct arena *arena = write->arena;
    const struct val *asked = val_path(&write->obj, "spec.finalizers");
    struct val finalizers = asked == NULL ? val_list() : val_copy(arena, asked);
    struct str rev = val_text_at(&write->obj, "metadata.resourceVersion");
    if (rev.n != 0 && !str_eq(rev, val_text_at(write->old, "metadata.resourceVersion"))) {
        return write_fail(write,
                          status_conflict(arena, write->kind, write->name,
                                          S("the object has been modified; please apply your "
                                            "changes to the latest version and try again")));
    }
    write->obj = val_copy(arena, write->old);
    if (finalizers.n == 0) {
        struct val *spec = val_need_map(arena, &write->obj, S("spec"));
        (void)val_remove(spec, S("finalizers"));
    } else {
        (void)val_set_path(arena, &write->obj, "spec.finalizers", finalizers);
    }
    return write_is_finished(write) ? write_remove(write) : write_put(write);
}

static void finalize(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    write_end(write, finalize_write(write));
}

bool subresource_do(struct api *api, struct api_req *req)
{
    static const struct {
        const char *name;
        void (*fn)(struct api *api, struct api_req *req);
    } rows[] = {
        {"scale",    scale   },
        {"binding",  binding },
        {"eviction", eviction},
        {"finalize", finalize}
    };
    if (req->subresource.n == 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (str_eq(req->subresource, str_of(rows[i].name))) {
            rows[i].fn(api, req);
            return true;
        }
    }
    /* What else is created through a subresource needs a handler that nobody registered. */
    if (req->verb == VERB_CREATE) {
        struct status status = status_no_route();
        req_fail(req, &status);
        return true;
    }
    return false;
}
