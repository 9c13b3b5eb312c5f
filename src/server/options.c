// SPDX-License-Identifier: Apache-2.0
//
// Query parameters and bodies of resource requests (spec/api.md 2, 3.2, 3.4, 3.8).
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "data/yaml.h"
#include "server/internal.h"

enum { MANAGER_LEN_MAX = 128, DRY_RUNS_MAX = 8 };

struct str query_text(struct job *job, struct str name)
{
    struct str value = S("");
    (void)http_query(job->http, name, 0, &value);
    return value;
}

bool query_flag(struct job *job, struct str name)
{
    struct str value = S("");
    if (!http_query(job->http, name, 0, &value)) {
        return false;
    }
    return !str_eq(value, S("false")) && !str_eq(value, S("0")) && !str_eq(value, S("False")) &&
           !str_eq(value, S("FALSE"));
}

bool query_number(struct job *job, struct str name, int64_t *ret, struct status *status)
{
    struct str value = query_text(job, name);
    if (value.n == 0 || str_to_i64(value, ret) == 0) {
        return true;
    }
    *status = status_bad_request(job->arena, arena_fmt(job->arena,
                                                       "strconv.ParseInt: parsing \"" STR_FMT
                                                       "\": invalid syntax",
                                                       STR_ARG(value)));
    return false;
}

/* 422 on one option, as upstream's validation of *Options words it. */
static struct status invalid_option(struct job *job, const char *options_kind, enum cause_type type,
                                    const char *field, const struct val *value, struct str detail)
{
    struct causes causes;
    causes_init(&causes, job->arena);
    cause_add(&causes, type, str_of(field), value, detail);
    const struct cause *cause = &causes.list[0];
    struct status status =
        plain_status(422, "Invalid",
                     arena_fmt(job->arena, "%s.meta.k8s.io \"\" is invalid: %s: " STR_FMT,
                               options_kind, field, STR_ARG(cause->message)));
    status.group = S("meta.k8s.io");
    status.kind = str_of(options_kind);
    status.causes = causes.list;
    status.causes_count = causes.count;
    return status;
}

static const char *options_kind_of(const struct job *job)
{
    switch (job->verb) {
    case VERB_CREATE:
        return "CreateOptions";
    case VERB_UPDATE:
        return "UpdateOptions";
    case VERB_PATCH:
        return "PatchOptions";
    case VERB_DELETE:
    case VERB_DELETE_COLLECTION:
        return "DeleteOptions";
    case VERB_GET:
    case VERB_LIST:
    case VERB_WATCH:
    case VERB_COUNT:
        break;
    }
    return "ListOptions";
}

static bool read_dry_run(struct job *job, struct str value, struct status *ret)
{
    if (str_eq(value, S("All"))) {
        job->opt.is_dry_run = true;
        return true;
    }
    struct val v = val_str(value);
    *ret = invalid_option(job, options_kind_of(job), CAUSE_NOT_SUPPORTED, "dryRun", &v,
                          S("supported values: \"All\""));
    return false;
}

static bool read_manager(struct job *job, struct status *ret)
{
    struct str manager = query_text(job, S("fieldManager"));
    if (manager.n > MANAGER_LEN_MAX) {
        *ret = invalid_option(job, options_kind_of(job), CAUSE_TOO_LONG, "fieldManager", NULL,
                              S("may not be more than 128 bytes"));
        return false;
    }
    for (size_t i = 0; i < manager.n; i++) {
        if ((unsigned char)manager.p[i] < ' ' || manager.p[i] == 127) {
            struct val v = val_str(manager);
            *ret = invalid_option(job, options_kind_of(job), CAUSE_INVALID, "fieldManager", &v,
                                  S("should only contain printable characters"));
            return false;
        }
    }
    job->opt.field_manager = manager;
    if (manager.n == 0 && job->req.patch != PATCH_APPLY) {
        struct str agent = http_header(job->http, S("User-Agent"));
        job->opt.field_manager = str_sub(str_cut(&agent, '/'), 0, MANAGER_LEN_MAX);
    }
    return true;
}

static bool read_validation(struct job *job, struct status *ret)
{
    struct str value = query_text(job, S("fieldValidation"));
    if (str_eq(value, S("Strict"))) {
        job->opt.field_validation = FIELDS_STRICT;
    } else if (str_eq(value, S("Ignore"))) {
        job->opt.field_validation = FIELDS_IGNORE;
    } else if (value.n == 0 || str_eq(value, S("Warn"))) {
        job->opt.field_validation = FIELDS_WARN;
    } else {
        struct val v = val_str(value);
        *ret = invalid_option(job, options_kind_of(job), CAUSE_NOT_SUPPORTED, "fieldValidation", &v,
                              S("supported values: \"Ignore\", \"Strict\", \"Warn\""));
        return false;
    }
    return true;
}

static bool read_write_options(struct job *job, struct status *ret)
{
    for (size_t i = 0; i < DRY_RUNS_MAX; i++) {
        struct str value;
        if (!http_query(job->http, S("dryRun"), i, &value)) {
            break;
        }
        if (!read_dry_run(job, value, ret)) {
            return false;
        }
    }
    if (job->verb == VERB_DELETE || job->verb == VERB_DELETE_COLLECTION) {
        return true;
    }
    if (!read_manager(job, ret) || !read_validation(job, ret)) {
        return false;
    }
    struct str force;
    bool is_force_given = http_query(job->http, S("force"), 0, &force);
    if (job->verb == VERB_PATCH && job->req.patch != PATCH_APPLY && is_force_given) {
        *ret = invalid_option(job, "PatchOptions", CAUSE_FORBIDDEN, "force", NULL,
                              S("may not be specified for non-apply patch"));
        return false;
    }
    job->opt.is_force = is_force_given && query_flag(job, S("force"));
    if (job->req.patch == PATCH_APPLY && job->opt.field_manager.n == 0) {
        *ret = invalid_option(job, "PatchOptions", CAUSE_REQUIRED, "fieldManager", NULL,
                              S("is required for apply patch"));
        return false;
    }
    return true;
}

static bool read_list_options(struct job *job, struct status *ret)
{
    struct api_options *opt = &job->opt;
    struct str initial;
    opt->resource_version = query_text(job, S("resourceVersion"));
    opt->rv_match = query_text(job, S("resourceVersionMatch"));
    opt->continue_token = query_text(job, S("continue"));
    opt->label_selector = query_text(job, S("labelSelector"));
    opt->field_selector = query_text(job, S("fieldSelector"));
    opt->has_bookmarks = query_flag(job, S("allowWatchBookmarks"));
    opt->has_initial_events = http_query(job->http, S("sendInitialEvents"), 0, &initial);
    opt->wants_initial_events = query_flag(job, S("sendInitialEvents"));
    return query_number(job, S("limit"), &opt->limit, ret);
}

static bool set_propagation(struct job *job, struct str policy, bool has_orphan, bool is_orphan,
                            struct status *ret)
{
    if (has_orphan && policy.n > 0) {
        *ret = invalid_option(job, "DeleteOptions", CAUSE_INVALID, "propagationPolicy", NULL,
                              S("orphanDependents and deletionPropagation cannot be both set"));
        return false;
    }
    if (policy.n > 0 && !str_eq(policy, S("Background")) && !str_eq(policy, S("Foreground")) &&
        !str_eq(policy, S("Orphan"))) {
        struct val v = val_str(policy);
        *ret = invalid_option(job, "DeleteOptions", CAUSE_NOT_SUPPORTED, "propagationPolicy", &v,
                              S("supported values: \"Foreground\", \"Background\", \"Orphan\", "
                                "\"nil\""));
        return false;
    }
    job->opt.propagation = policy;
    if (has_orphan) {
        job->opt.propagation = is_orphan ? S("Orphan") : S("Background");
    }
    return true;
}

static bool read_delete_query(struct job *job, struct status *ret)
{
    struct str orphan = S("");
    bool has_orphan = http_query(job->http, S("orphanDependents"), 0, &orphan);
    job->opt.precondition_uid = query_text(job, S("preconditions.uid"));
    return query_number(job, S("gracePeriodSeconds"), &job->opt.grace_seconds, ret) &&
           set_propagation(job, query_text(job, S("propagationPolicy")), has_orphan,
                           query_flag(job, S("orphanDependents")), ret);
}

static bool read_delete_body(struct job *job, const struct val *body, struct status *ret)
{
    const struct val *dry_runs = val_get(body, S("dryRun"));
    for (size_t i = 0; i < val_count(dry_runs); i++) {
        if (!read_dry_run(job, val_text(val_at(dry_runs, i)), ret)) {
            return false;
        }
    }
    const struct val *orphan = val_get(body, S("orphanDependents"));
    job->opt.grace_seconds = val_number(val_get(body, S("gracePeriodSeconds")), -1);
    job->opt.precondition_uid = val_text_at(body, "preconditions.uid");
    job->opt.precondition_rv = val_text_at(body, "preconditions.resourceVersion");
    return set_propagation(job, val_text(val_get(body, S("propagationPolicy"))),
                           val_is(orphan, VAL_BOOL), val_is_true(orphan), ret);
}

bool read_options(struct job *job, struct status *ret)
{
    switch (job->verb) {
    case VERB_GET:
    case VERB_LIST:
    case VERB_WATCH:
        return read_list_options(job, ret);
    case VERB_DELETE_COLLECTION:
        return read_list_options(job, ret) && read_write_options(job, ret);
    case VERB_CREATE:
    case VERB_UPDATE:
    case VERB_PATCH:
    case VERB_DELETE:
    case VERB_COUNT:
        break;
    }
    return read_write_options(job, ret);
}

/* Bodies. */

static void add_warning(struct job *job, struct str text)
{
    struct api_req *req = &job->req;
    struct str *list = arena_alloc(job->arena, (req->warnings_count + 1) * sizeof *list);
    for (size_t i = 0; i < req->warnings_count; i++) {
        list[i] = req->warnings[i];
    }
    list[req->warnings_count++] = text;
    req->warnings = list;
}

static void on_duplicate(void *ctx, struct str path)
{
    struct job *job = ctx;
    if (job->req.warnings_count == WARNINGS_MAX) {
        return;
    }
    add_warning(job, arena_fmt(job->arena, "duplicate field \"" STR_FMT "\"", STR_ARG(path)));
}

static bool unknown_type(struct job *job, const char *accepted, struct status *ret)
{
    *ret = plain_status(415, "UnsupportedMediaType",
                        arena_fmt(job->arena,
                                  "the body of the request was in an unknown format - accepted "
                                  "media types include: %s",
                                  accepted));
    return false;
}

static enum api_patch patch_of(enum body_type type)
{
    static const enum api_patch patches[] = {
        [BODY_JSON_PATCH] = PATCH_JSON,
        [BODY_MERGE_PATCH] = PATCH_MERGE,
        [BODY_STRATEGIC_PATCH] = PATCH_STRATEGIC,
        [BODY_APPLY_PATCH] = PATCH_APPLY,
    };
    return type >= BODY_JSON_PATCH && type <= BODY_APPLY_PATCH ? patches[type] : PATCH_NONE;
}

static int decode(struct job *job, enum body_type type, struct val *ret, struct err *err)
{
    struct json_options options = {.duplicate = on_duplicate, .ctx = job};
    struct str text = job->http->body;
    struct str trimmed = str_trim(text);
    if (type == BODY_PROTOBUF) {
        return protobuf_read(text, job->arena, ret, err);
    }
    if ((type == BODY_YAML || type == BODY_APPLY_PATCH) && !str_starts(trimmed, S("{"))) {
        return yaml_read(text, job->arena, &options, ret, err);
    }
    return json_read(text, job->arena, &options, ret, err);
}

/* Strict validation refuses what was a warning; with Ignore nothing is said. */
static bool check_duplicates(struct job *job, struct status *ret)
{
    struct str value = query_text(job, S("fieldValidation"));
    if (job->req.warnings_count == 0) {
        return true;
    }
    if (str_eq(value, S("Ignore"))) {
        job->req.warnings_count = 0;
    } else if (str_eq(value, S("Strict"))) {
        struct str list = job->req.warnings[0];
        for (size_t i = 1; i < job->req.warnings_count; i++) {
            list = arena_fmt(job->arena, STR_FMT ", " STR_FMT, STR_ARG(list),
                             STR_ARG(job->req.warnings[i]));
        }
        *ret = status_bad_request(job->arena,
                                  arena_fmt(job->arena,
                                            STR_FMT " in version \"" STR_FMT
                                                    "\" cannot be handled as a " STR_FMT
                                                    ": strict decoding error: " STR_FMT,
                                            STR_ARG(job->kind->name), STR_ARG(job->kind->version),
                                            STR_ARG(job->kind->name), STR_ARG(list)));
        return false;
    }
    return true;
}

static bool check_body_type(struct job *job, enum body_type type, struct status *ret)
{
    if (job->verb == VERB_PATCH) {
        job->req.patch = patch_of(type);
        return job->req.patch != PATCH_NONE ||
               unknown_type(job,
                            "application/json-patch+json, application/merge-patch+json, "
                            "application/apply-patch+yaml, application/strategic-merge-patch+json",
                            ret);
    }
    return type <= BODY_PROTOBUF ||
           unknown_type(
               job, "application/json, application/yaml, application/vnd.kubernetes.protobuf", ret);
}

/* The text of a body that is no document: what was wanted, why not, and how the body begins. */
static struct status undecodable(struct job *job, struct str why)
{
    enum { SHOWN_BYTES = 30 };
    struct str body = job->http->body;
    auto_buf struct buf shown;
    buf_init(&shown, HEADER_BYTES_MAX);
    if (body.n == 0) {
        (void)buf_add(&shown, S("<empty>"));
    } else if (body.p[0] == '{') {
        (void)buf_add(&shown, str_sub(body, 0, SHOWN_BYTES));
    } else {
        for (size_t i = 0; i < body.n && i < SHOWN_BYTES; i++) {
            (void)buf_addf(&shown, "%02x", (unsigned char)body.p[i]);
        }
    }
    return status_bad_request(
        job->arena, arena_fmt(job->arena,
                              "the object provided is unrecognized (must be of type " STR_FMT
                              "): " STR_FMT " (" STR_FMT "%s)",
                              STR_ARG(job->kind->name), STR_ARG(why), STR_ARG(buf_str(&shown)),
                              body.n > SHOWN_BYTES ? " ..." : ""));
}

bool read_body(struct job *job, struct status *ret)
{
    struct err err = {0};
    bool is_delete = job->verb == VERB_DELETE || job->verb == VERB_DELETE_COLLECTION;
    if (job->verb == VERB_GET || job->verb == VERB_LIST || job->verb == VERB_WATCH) {
        return true;
    }
    if (is_delete && job->http->body.n == 0) {
        return read_delete_query(job, ret);
    }
    enum body_type type = body_type_of(http_header(job->http, S("Content-Type")));
    if (!check_body_type(job, type, ret)) {
        return false;
    }
    struct val *body = arena_alloc(job->arena, sizeof *body);
    if (decode(job, type, body, &err) < 0) {
        struct str why = arena_dup(job->arena, str_of(err.msg));
        *ret = is_delete || job->verb == VERB_PATCH ? status_bad_request(job->arena, why)
                                                    : undecodable(job, why);
        return false;
    }
    if (val_size(body) > DOC_VALUES_MAX) {
        *ret = status_too_large(job->arena);
        return false;
    }
    if (is_delete) {
        return read_delete_body(job, body, ret);
    }
    if (job->verb == VERB_PATCH) {
        job->req.patch_body = body;
        return job->req.patch != PATCH_APPLY || check_duplicates(job, ret);
    }
    job->req.body = body;
    return check_duplicates(job, ret);
}
