// SPDX-License-Identifier: Apache-2.0
//
// create, update and patch up to the point where the next version of an object stands
// (spec/api.md 3.4 to 3.6); write.c checks and stores it.
#include "api/verbs.h"

#include "api/event_form.h"
#include "api/managed.h"
#include "api/meta.h"
#include "api/patch_refusal.h"
#include "base/limits.h"

struct write *write_new(struct api *api, struct api_req *req)
{
    struct write *write = arena_alloc(req->arena, sizeof(*write));
    write->api = api;
    write->req = req;
    write->arena = req->arena;
    write->kind = req->kind;
    write->subresource = req->subresource;
    write->ns = (req->kind->flags & KIND_NAMESPACED) != 0 ? req->ns : S("");
    write->name = req->name;
    write->code = 200;
    return write;
}

int write_fail(struct write *write, struct status status)
{
    write->status = status;
    return -1;
}

int write_fail_err(struct write *write, const struct err *err)
{
    return write_fail(write, status_of_err(write->arena, err));
}

void write_end(struct write *write, int rc)
{
    if (rc < 0) {
        req_fail(write->req, &write->status);
    }
}

int write_find(struct write *write)
{
    write->key = api_key(write->arena, write->kind, write->ns, write->name);
    write->head = store_head(write->api->config.store, write->key);
    if (write->head == NULL) {
        return write_fail(write, status_not_found(write->arena, write->kind, write->name));
    }
    write->old = object_val(write->head);
    return 0;
}

int write_preconditions(struct write *write)
{
    const struct api_options *opt = &write->req->opt;
    struct str uid = val_text_at(write->old, "metadata.uid");
    struct str rev = val_text_at(write->old, "metadata.resourceVersion");
    struct str why = S("");
    if (opt->precondition_uid.n != 0 && !str_eq(opt->precondition_uid, uid)) {
        why = arena_fmt(write->arena,
                        "Precondition failed: UID in precondition: " STR_FMT
                        ", UID in object meta: " STR_FMT,
                        STR_ARG(opt->precondition_uid), STR_ARG(uid));
    } else if (opt->precondition_rv.n != 0 && !str_eq(opt->precondition_rv, rev)) {
        why = arena_fmt(write->arena,
                        "Precondition failed: ResourceVersion in precondition: " STR_FMT
                        ", ResourceVersion in object meta: " STR_FMT,
                        STR_ARG(opt->precondition_rv), STR_ARG(rev));
    }
    return why.n == 0
               ? 0
               : write_fail(write, status_conflict(write->arena, write->kind, write->name, why));
}

/* Unknown fields: collected for strict, told as warnings otherwise. */
struct unknowns {
    struct api_req *req;
    struct buf text;
};

static void tell_unknown(void *ctx, struct str path)
{
    struct unknowns *unknowns = ctx;
    struct str text =
        arena_fmt(unknowns->req->arena, "unknown field \"" STR_FMT "\"", STR_ARG(path));
    if (unknowns->req->opt.field_validation == FIELDS_STRICT) {
        (void)buf_addf(&unknowns->text, "%s" STR_FMT, unknowns->text.n == 0 ? "" : ", ",
                       STR_ARG(text));
    } else {
        req_warn(unknowns->req, text);
    }
}

static int decode_failed(struct write *write, struct str got_kind, struct str why)
{
    return write_fail(
        write,
        status_bad_request(write->arena,
                           arena_fmt(write->arena,
                                     STR_FMT " in version \"" STR_FMT
                                             "\" cannot be handled as a " STR_FMT ": " STR_FMT,
                                     STR_ARG(got_kind), STR_ARG(write->kind->version),
                                     STR_ARG(write->kind->name), STR_ARG(why))));
}

static int patched(struct write *write);

/* The typed form of write->obj can't be had: why, in the words of the verb. */
static int untyped(struct write *write, struct str why)
{
    const struct api_req *req = write->req;
    if (req->verb != VERB_PATCH) {
        return decode_failed(write, write->kind->name, why);
    }
    /* Decoding has changed obj in place: the patch is made once more to be shown. */
    const struct val *patch = req->patch_body != NULL ? req->patch_body : req->body;
    if (req->patch != PATCH_STRATEGIC) {
        if (patched(write) < 0) {
            return -1;
        }
        patch = &write->obj;
    }
    return write_fail(write, patch_refusal(write->arena, req->patch, patch, why));
}

static int check_type(struct write *write, const struct val *body)
{
    struct arena *arena = write->arena;
    struct str api_version = val_text(val_get(body, S("apiVersion")));
    struct str want = kind_api_version(write->kind);
    struct str kind_name = val_text(val_get(body, S("kind")));
    if (!val_is(body, VAL_MAP)) {
        return write_fail(write, status_bad_request(arena, S("the request has no object")));
    }
    if (api_version.n != 0 && !str_eq(api_version, want)) {
        return write_fail(
            write, status_bad_request(arena, arena_fmt(arena,
                                                       "the API version in the data (" STR_FMT
                                                       ") does not match the expected API version "
                                                       "(" STR_FMT ")",
                                                       STR_ARG(api_version), STR_ARG(want))));
    }
    if (kind_name.n != 0 && !str_eq(kind_name, write->kind->name)) {
        return decode_failed(
            write, kind_name,
            arena_fmt(arena, "the kind in the data is not " STR_FMT, STR_ARG(write->kind->name)));
    }
    return 0;
}

/* An Event of events.k8s.io goes on as the core Event that is stored. */
static void settle_form(struct write *write)
{
    if (event_is_other_form(write->kind)) {
        write->obj = event_to_core(write->arena, &write->obj);
        write->kind = kind_of(KIND_EVENT);
    }
}

/* Runs write->obj through the schema. */
static int decode_obj(struct write *write)
{
    struct err err = {0};
    struct unknowns unknowns = {.req = write->req};
    buf_init(&unknowns.text, BODY_BYTES_MAX);
    /* Seen here because the typed form has no empty lists. */
    write->is_untracked = managed_is_reset(val_path(&write->obj, "metadata.managedFields"));
    bool is_told = write->req->opt.field_validation != FIELDS_IGNORE;
    int rc = schema_decode(kind_type(write->kind), write->arena, &write->obj,
                           is_told ? tell_unknown : NULL, &unknowns, &err);
    if (rc < 0) {
        rc = err.code == ERR_SYNTAX ? untyped(write, arena_dup(write->arena, str_of(err.msg)))
                                    : write_fail_err(write, &err);
    } else if (unknowns.text.n != 0) {
        rc = untyped(write, arena_fmt(write->arena, "strict decoding error: " STR_FMT,
                                      STR_ARG(buf_str(&unknowns.text))));
    }
    buf_done(&unknowns.text);
    if (rc == 0) {
        (void)val_set(write->arena, &write->obj, S("apiVersion"),
                      val_str(kind_api_version(write->kind)));
        (void)val_set(write->arena, &write->obj, S("kind"), val_str(write->kind->name));
        settle_form(write);
    }
    return rc;
}

/* The body's namespace must be the URL's; absent on cluster-scoped objects. */
static int check_namespace(struct write *write)
{
    struct val *meta = meta_of(write->arena, &write->obj);
    struct str ns = val_text(val_get(meta, S("namespace")));
    if (ns.n != 0 && !str_eq(ns, write->ns)) {
        return write_fail(
            write,
            status_bad_request(write->arena, S("the namespace of the provided object does not "
                                               "match the namespace sent on the request")));
    }
    if (write->ns.n != 0) {
        (void)val_set(write->arena, meta, S("namespace"), val_str(write->ns));
    } else {
        (void)val_remove(meta, S("namespace"));
    }
    (void)val_remove(meta, S("selfLink"));
    return 0;
}

int write_decode(struct write *write, const struct val *body)
{
    if (check_type(write, body) < 0) {
        return -1;
    }
    write->obj = val_copy(write->arena, body);
    if (decode_obj(write) < 0) {
        return -1;
    }
    return check_namespace(write);
}

void write_create(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    write->code = 201;
    int rc = write_decode(write, req->body);
    if (rc == 0 && req->name.n != 0) {
        struct str name = val_text_at(&write->obj, "metadata.name");
        if (name.n != 0 && !str_eq(name, req->name)) {
            rc = write_fail(
                write, status_bad_request(req->arena, S("the name of the object does not match the "
                                                        "name on the URL")));
        }
    }
    write_end(write, rc == 0 ? write_create_obj(write) : rc);
}

static int check_names(struct write *write)
{
    struct val *meta = meta_of(write->arena, &write->obj);
    struct str name = val_text(val_get(meta, S("name")));
    if (name.n != 0 && !str_eq(name, write->name)) {
        return write_fail(
            write, status_bad_request(
                       write->arena, arena_fmt(write->arena,
                                               "the name of the object (" STR_FMT
                                               ") does not match the name on the URL (" STR_FMT ")",
                                               STR_ARG(name), STR_ARG(write->name))));
    }
    (void)val_set(write->arena, meta, S("name"), val_str(write->name));
    return 0;
}

void write_update(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    if (write_decode(write, req->body) < 0 || check_names(write) < 0) {
        write_end(write, -1);
        return;
    }
    if (write_find(write) == 0) {
        write_end(write, write_update_obj(write));
        return;
    }
    if ((write->kind->flags & KIND_CREATE_ON_UPDATE) != 0 && write->subresource.n == 0) {
        write->code = 201;
        (void)val_remove(meta_of(write->arena, &write->obj), S("resourceVersion"));
        write_end(write, write_create_obj(write));
        return;
    }
    write_end(write, -1);
}

static int patched(struct write *write)
{
    struct api_req *req = write->req;
    struct arena *arena = write->arena;
    struct err err = {0};
    const struct val *patch = req->patch_body != NULL ? req->patch_body : req->body;
    struct val shown =
        event_is_other_form(write->kind) ? event_to_events(arena, write->old) : *write->old;
    int rc = 0;
    if (patch == NULL) {
        return write_fail(write, status_bad_request(arena, S("the request has no patch")));
    }
    switch (req->patch) {
    case PATCH_JSON:
        rc = patch_json(arena, &shown, patch, &write->obj, &err);
        break;
    case PATCH_MERGE:
    case PATCH_STRATEGIC:
        if (!val_is(patch, VAL_MAP)) {
            return write_fail(write,
                              status_bad_request(arena, S("the patch is not a JSON object")));
        }
        if (req->patch == PATCH_MERGE) {
            write->obj = patch_merge(arena, &shown, patch);
        } else {
            rc = patch_strategic(arena, &shown, patch, &schema_patch, kind_type(write->kind),
                                 &write->obj, &err);
        }
        break;
    case PATCH_NONE:
    case PATCH_APPLY:
        return write_fail(write, status_method_not_allowed());
    }
    if (rc < 0) {
        return write_fail_err(write, &err);
    }
    if (!val_is(&write->obj, VAL_MAP)) {
        return write_fail(write,
                          status_bad_request(arena, S("the patched object is not an object")));
    }
    /* The result may still share parts with the stored document, which nobody writes. */
    write->obj = val_copy(arena, &write->obj);
    return 0;
}

void write_patch(struct api *api, struct api_req *req)
{
    struct write *write = write_new(api, req);
    if (req->patch == PATCH_APPLY) {
        write_end(write, write_apply(write));
        return;
    }
    int rc = write_find(write);
    if (rc == 0) {
        rc = patched(write);
    }
    if (rc == 0) {
        rc = check_type(write, &write->obj);
    }
    if (rc == 0) {
        rc = decode_obj(write);
    }
    write_end(write, rc == 0 ? write_update_obj(write) : rc);
}
