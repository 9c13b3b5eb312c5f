// SPDX-License-Identifier: Apache-2.0
//
// The review kinds (spec/api.md 10.2): questions about users and rights, answered and not stored.
#include "auth/internal.h"

#include "base/mem.h"

void answer_val(struct api_req *req, struct val *v)
{
    struct val *kept = arena_alloc(req->arena, sizeof *kept);
    *kept = *v;
    struct api_result result = {.code = 201, .val = kept};
    req->done(req, &result);
}

void answer_failure(struct api_req *req, struct status status)
{
    struct api_result result = {.status = status};
    req->done(req, &result);
}

/* The request's body with kind, apiVersion and metadata in place; status is the caller's to set. */
static struct val review_of(struct api_req *req)
{
    struct val v = req->body == NULL ? val_map() : val_copy(req->arena, req->body);
    (void)val_set(req->arena, &v, S("kind"), val_str(req->kind->name));
    (void)val_set(req->arena, &v, S("apiVersion"), val_str(kind_api_version(req->kind)));
    (void)val_need_map(req->arena, &v, S("metadata"));
    return v;
}

static struct val text_list(struct arena *arena, const struct str *texts, size_t count)
{
    struct val list = val_list();
    for (size_t i = 0; i < count; i++) {
        (void)val_push(arena, &list, val_str(texts[i]));
    }
    return list;
}

static struct val user_info(struct arena *arena, const struct api_user *user)
{
    struct val v = val_map();
    (void)val_set(arena, &v, S("username"), val_str(user->name));
    (void)val_set(arena, &v, S("groups"), text_list(arena, user->groups, user->groups_count));
    if (user->uid.n > 0) {
        (void)val_set(arena, &v, S("uid"), val_str(user->uid));
    }
    if (user->extra != NULL) {
        (void)val_set(arena, &v, S("extra"), val_copy(arena, user->extra));
    }
    return v;
}

void self_subject_review_handle(void *ctx, struct api *api, struct api_req *req)
{
    (void)ctx;
    (void)api;
    struct val v = review_of(req);
    (void)val_set_path(req->arena, &v, "status.userInfo", user_info(req->arena, req->user));
    answer_val(req, &v);
}

void token_review_handle(void *ctx, struct api *api, struct api_req *req)
{
    (void)api;
    struct val v = review_of(req);
    struct api_user user;
    struct err err;
    struct val status = val_map();
    const struct val *audiences = val_path(req->body, "spec.audiences");
    if (token_user(ctx, val_text_at(req->body, "spec.token"), val_text(val_at(audiences, 0)),
                   req->arena, &user, &err) == 0) {
        (void)val_set(req->arena, &status, S("authenticated"), val_bool(true));
        (void)val_set(req->arena, &status, S("user"), user_info(req->arena, &user));
        if (val_count(audiences) > 0) {
            (void)val_set(req->arena, &status, S("audiences"), val_copy(req->arena, audiences));
        }
    } else {
        (void)val_set(req->arena, &status, S("error"),
                      val_str(arena_dup(req->arena, str_of(err.msg))));
    }
    (void)val_set(req->arena, &v, S("status"), status);
    answer_val(req, &v);
}

static struct auth_attributes attributes_of(const struct val *spec)
{
    const struct val *r = val_get(spec, S("resourceAttributes"));
    const struct val *n = val_get(spec, S("nonResourceAttributes"));
    if (r == NULL) {
        return (struct auth_attributes){.verb = val_text_at(n, "verb"),
                                        .path = val_text_at(n, "path")};
    }
    return (struct auth_attributes){.verb = val_text_at(r, "verb"),
                                    .group = val_text_at(r, "group"),
                                    .resource = val_text_at(r, "resource"),
                                    .subresource = val_text_at(r, "subresource"),
                                    .ns = val_text_at(r, "namespace"),
                                    .name = val_text_at(r, "name")};
}

static void answer_access(struct auth *auth, struct api_req *req, const struct api_user *user)
{
    const struct val *spec = val_get(req->body, S("spec"));
    struct val v = review_of(req);
    struct val status = val_map();
    if ((val_get(spec, S("resourceAttributes")) == NULL) ==
        (val_get(spec, S("nonResourceAttributes")) == NULL)) {
        struct causes causes;
        causes_init(&causes, req->arena);
        cause_add(
            &causes, CAUSE_INVALID, S("spec.resourceAttributes"), NULL,
            S("exactly one of nonResourceAttributes or resourceAttributes must be specified"));
        answer_failure(req, status_invalid(req->arena, req->kind, S(""), &causes));
        return;
    }
    struct auth_attributes attributes = attributes_of(spec);
    struct str reason;
    bool is_allowed = auth_may(auth, req->arena, user, &attributes, &reason);
    (void)val_set(req->arena, &status, S("allowed"), val_bool(is_allowed));
    if (is_allowed && reason.n > 0) {
        (void)val_set(req->arena, &status, S("reason"), val_str(reason));
    }
    (void)val_set(req->arena, &v, S("status"), status);
    answer_val(req, &v);
}

void self_access_review_handle(void *ctx, struct api *api, struct api_req *req)
{
    (void)api;
    answer_access(ctx, req, req->user);
}

/* SubjectAccessReview and LocalSubjectAccessReview: about the user that the spec names. */
void access_review_handle(void *ctx, struct api *api, struct api_req *req)
{
    (void)api;
    const struct val *spec = val_get(req->body, S("spec"));
    const struct val *groups = val_get(spec, S("groups"));
    struct str *names = arena_alloc(req->arena, (val_count(groups) + 1) * sizeof *names);
    for (size_t i = 0; i < val_count(groups); i++) {
        names[i] = val_text(val_at(groups, i));
    }
    struct api_user user = {.name = val_text_at(spec, "user"),
                            .uid = val_text_at(spec, "uid"),
                            .groups = names,
                            .groups_count = val_count(groups),
                            .extra = val_get(spec, S("extra"))};
    answer_access(ctx, req, &user);
}

struct rules {
    struct arena *arena;
    struct val resource;
    struct val non_resource;
};

static void copy_fields(struct arena *arena, struct val *list, const struct val *rule,
                        const char *const *fields, size_t count)
{
    struct val v = val_map();
    for (size_t i = 0; i < count; i++) {
        const struct val *f = val_get(rule, str_of(fields[i]));
        if (f != NULL) {
            (void)val_set(arena, &v, str_of(fields[i]), val_copy(arena, f));
        }
    }
    (void)val_push(arena, list, v);
}

static bool collect_rule(void *ctx, const struct val *rule, struct str binding)
{
    static const char *const resource_fields[] = {"verbs", "apiGroups", "resources",
                                                  "resourceNames"};
    static const char *const path_fields[] = {"verbs", "nonResourceURLs"};
    struct rules *rules = ctx;
    (void)binding;
    if (val_count(val_get(rule, S("resources"))) > 0) {
        copy_fields(rules->arena, &rules->resource, rule, resource_fields,
                    ARRAY_LEN(resource_fields));
    }
    if (val_count(val_get(rule, S("nonResourceURLs"))) > 0) {
        copy_fields(rules->arena, &rules->non_resource, rule, path_fields, ARRAY_LEN(path_fields));
    }
    return true;
}

void rules_review_handle(void *ctx, struct api *api, struct api_req *req)
{
    (void)ctx;
    struct rules rules = {.arena = req->arena, .resource = val_list(), .non_resource = val_list()};
    rbac_each_rule(api, req->arena, req->user, val_text_at(req->body, "spec.namespace"),
                   collect_rule, &rules);
    struct val v = review_of(req);
    struct val status = val_map();
    (void)val_set(req->arena, &status, S("resourceRules"), rules.resource);
    (void)val_set(req->arena, &status, S("nonResourceRules"), rules.non_resource);
    (void)val_set(req->arena, &status, S("incomplete"), val_bool(false));
    (void)val_set(req->arena, &v, S("status"), status);
    answer_val(req, &v);
}
