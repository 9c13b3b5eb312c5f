// SPDX-License-Identifier: Apache-2.0
//
// get, and what get, list and watch share: resourceVersion rules and filters (spec/api.md 3.2).
#include "api/verbs.h"

#include "api/selector.h"

struct status status_future_rev(struct arena *arena, uint64_t asked, uint64_t current)
{
    struct cause *cause = arena_alloc(arena, sizeof(*cause));
    cause->reason = S("ResourceVersionTooLarge");
    cause->message = S("Too large resource version");
    return (struct status){
        .code = 504,
        .reason = S("Timeout"),
        .message = arena_fmt(arena, "Timeout: Too large resource version: %llu, current: %llu",
                             (unsigned long long)asked, (unsigned long long)current),
        .causes = cause,
        .causes_count = 1,
        .retry_after_seconds = 1};
}

int options_rev(struct api *api, struct arena *arena, struct str text, uint64_t *ret,
                struct status *ret_status)
{
    uint64_t rev = 0;
    if (text.n != 0 && str_to_u64(text, &rev) < 0) {
        *ret_status = status_bad_request(
            arena, arena_fmt(arena,
                             "resourceVersion: Invalid value: \"" STR_FMT
                             "\": strconv.ParseUint: parsing \"" STR_FMT "\": invalid syntax",
                             STR_ARG(text), STR_ARG(text)));
        return -1;
    }
    if (rev > store_rev(api->config.store)) {
        *ret_status = status_future_rev(arena, rev, store_rev(api->config.store));
        return -1;
    }
    *ret = rev;
    return 0;
}

static const struct kind list_options = {
    .group = {"meta.k8s.io", 11},
      .name = {"ListOptions", 11}
};

int options_check_list(struct api_req *req, struct status *ret_status)
{
    struct causes causes;
    causes_init(&causes, req->arena);
    const struct api_options *opt = &req->opt;
    struct str field = S("resourceVersionMatch");
    bool is_watch = req->verb == VERB_WATCH;
    bool is_exact = str_eq(opt->rv_match, S("Exact"));
    bool is_not_older = str_eq(opt->rv_match, S("NotOlderThan"));
    if (is_watch && opt->has_initial_events && !is_not_older) {
        cause_add(&causes, CAUSE_FORBIDDEN, field, NULL,
                  S("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
    } else if (is_watch && opt->rv_match.n != 0 && !opt->has_initial_events) {
        cause_add(
            &causes, CAUSE_FORBIDDEN, field, NULL,
            S("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
    } else if (!is_watch && opt->has_initial_events) {
        cause_add(&causes, CAUSE_FORBIDDEN, S("sendInitialEvents"), NULL,
                  S("sendInitialEvents is forbidden for list"));
    }
    if (!is_watch && opt->rv_match.n != 0) {
        struct val shown = val_str(opt->rv_match);
        static const struct str supported[] = {
            {"Exact",        5 },
            {"NotOlderThan", 12},
            {"",             0 }
        };
        if (opt->continue_token.n != 0) {
            cause_add(&causes, CAUSE_FORBIDDEN, field, NULL,
                      S("resourceVersionMatch is forbidden when continue is provided"));
        } else if (opt->resource_version.n == 0) {
            cause_add(&causes, CAUSE_FORBIDDEN, field, NULL,
                      S("resourceVersionMatch is forbidden unless resourceVersion is provided"));
        } else if (!is_exact && !is_not_older) {
            cause_add_unsupported(&causes, field, &shown, supported, 3);
        } else if (is_exact && str_eq(opt->resource_version, S("0"))) {
            cause_add(&causes, CAUSE_FORBIDDEN, field, NULL,
                      S("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""));
        }
    }
    if (causes.count != 0) {
        *ret_status = status_invalid(req->arena, &list_options, S(""), &causes);
        return -1;
    }
    if (opt->continue_token.n != 0 && opt->resource_version.n != 0 &&
        !str_eq(opt->resource_version, S("0"))) {
        *ret_status = status_bad_request(
            req->arena, S("specifying resource version is not allowed when using continue"));
        return -1;
    }
    return 0;
}

int filter_init(struct filter *filter, struct arena *arena, const struct kind *kind,
                struct str label_selector, struct str field_selector, struct status *ret_status)
{
    struct err err = {0};
    *filter = (struct filter){.arena = arena};
    if (selector_parse(arena, label_selector, &filter->labels, &err) < 0) {
        *ret_status = status_of_err(arena, &err);
        return -1;
    }
    if (field_selector_parse(arena, kind, field_selector, &filter->fields, &err) < 0) {
        *ret_status = status_of_err(arena, &err);
        return -1;
    }
    filter->name = field_selector_name(filter->fields);
    filter->is_everything = selector_is_everything(filter->labels) && field_selector.n == 0;
    return 0;
}

bool filter_passes(const struct filter *filter, struct arena *scratch, const struct object *object)
{
    if (filter->is_everything) {
        return true;
    }
    if (filter->name.n != 0) { /* the key ends in the name: most objects fail here, cheaply */
        ptrdiff_t slash = str_rfind(object->key, '/');
        if (!str_eq(str_sub(object->key, (size_t)(slash + 1), object->key.n), filter->name)) {
            return false;
        }
    }
    const struct val *obj = object_val(object);
    return selector_matches(filter->labels, val_path(obj, "metadata.labels")) &&
           field_selector_matches(scratch, filter->fields, obj);
}

void read_get(struct api *api, struct api_req *req)
{
    struct status status;
    uint64_t rev = 0;
    if (options_rev(api, req->arena, req->opt.resource_version, &rev, &status) < 0) {
        req_fail(req, &status);
        return;
    }
    struct object *object =
        store_get(api->config.store, api_key(req->arena, req->kind, req->ns, req->name));
    if (object == NULL) {
        status = status_not_found(req->arena, req->kind, req->name);
        req_fail(req, &status);
        return;
    }
    req_object(req, 200, object);
}
