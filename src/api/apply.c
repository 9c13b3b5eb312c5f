// SPDX-License-Identifier: Apache-2.0
//
// The apply patch as a verb: checks the intent, merges it into the head (apply_merge.c), and goes
// on as a create or an update (spec/api.md 3.7).
#include "api/verbs.h"

#include "api/event_form.h"
#include "api/managed.h"
#include "api/meta.h"
#include "base/limits.h"

/* Fields that no type declares: one stands alone, several in lines under "errors:". */
struct undeclared {
    struct buf lines;
    size_t count;
};

static void keep_undeclared(void *ctx, struct str path)
{
    struct undeclared *all = ctx;
    all->count++;
    (void)buf_addf(&all->lines, "%s." STR_FMT ": field not declared in schema",
                   all->count == 1 ? "" : "\n  ", STR_ARG(path));
}

static int untyped(struct write *write, struct str why)
{
    struct str message =
        arena_fmt(write->arena,
                  "failed to create typed patch object (" STR_FMT "/" STR_FMT "; " STR_FMT
                  ", Kind=" STR_FMT "): " STR_FMT,
                  STR_ARG(write->ns), STR_ARG(write->name), STR_ARG(kind_api_version(write->kind)),
                  STR_ARG(write->kind->name), STR_ARG(why));
    return write_fail(write, (struct status){.code = 500, .message = message});
}

static int bad(struct write *write, struct str message)
{
    return write_fail(write, status_bad_request(write->arena, message));
}

static int check_intent(struct write *write, const struct val *intent)
{
    struct arena *arena = write->arena;
    if (!val_is(intent, VAL_MAP)) {
        return bad(write, S("the patch is not an object"));
    }
    struct str api_version = val_text(val_get(intent, S("apiVersion")));
    struct str kind_name = val_text(val_get(intent, S("kind")));
    if (val_path(intent, "metadata.managedFields") != NULL) {
        return bad(write, S("metadata.managedFields must be nil"));
    }
    if (!str_eq(api_version, kind_api_version(write->kind)) ||
        !str_eq(kind_name, write->kind->name)) {
        return bad(write,
                   arena_fmt(arena,
                             "invalid object type: the patch is of " STR_FMT ", Kind=" STR_FMT
                             ", expected " STR_FMT ", Kind=" STR_FMT,
                             STR_ARG(api_version), STR_ARG(kind_name),
                             STR_ARG(kind_api_version(write->kind)), STR_ARG(write->kind->name)));
    }
    struct str name = val_text_at(intent, "metadata.name");
    struct str ns = val_text_at(intent, "metadata.namespace");
    if (name.n != 0 && !str_eq(name, write->name)) {
        return bad(write, arena_fmt(arena,
                                    "the name of the object (" STR_FMT
                                    ") does not match the name on the URL (" STR_FMT ")",
                                    STR_ARG(name), STR_ARG(write->name)));
    }
    if (ns.n != 0 && !str_eq(ns, write->ns)) {
        return bad(write, S("the namespace of the provided object does not match the namespace "
                            "sent on the request"));
    }
    return 0;
}

/* The intent in typed form, with what its endpoint may not own taken out. */
static int read_intent(struct write *write, const struct val *body, struct val *ret)
{
    struct arena *arena = write->arena;
    if (check_intent(write, body) < 0) {
        return -1;
    }
    *ret = val_copy(arena, body);
    struct err err = {0};
    struct undeclared all = {0};
    buf_init(&all.lines, BODY_BYTES_MAX);
    int rc = schema_decode(kind_type(write->kind), arena, ret, keep_undeclared, &all, &err);
    struct str lines = arena_dup(arena, buf_str(&all.lines));
    buf_done(&all.lines);
    if (rc < 0) {
        return untyped(write, str_of(err.msg));
    }
    if (all.count > 0) {
        return untyped(write, all.count == 1
                                  ? lines
                                  : arena_fmt(arena, "errors:\n  " STR_FMT, STR_ARG(lines)));
    }
    bool has_status = kind_subresource(write->kind, S("status")) != NULL;
    if (write->subresource.n == 0 && has_status) {
        (void)val_remove(ret, S("status"));
    } else if (write->subresource.n != 0) {
        for (size_t i = ret->n; i-- > 0;) {
            struct str key = ret->members[i].key;
            if (!str_eq(key, S("apiVersion")) && !str_eq(key, S("kind")) &&
                !str_eq(key, S("metadata")) && !str_eq(key, write->subresource)) {
                (void)val_remove(ret, key);
            }
        }
    }
    struct val *meta = meta_of(arena, ret);
    (void)val_set(arena, meta, S("name"), val_str(write->name));
    if (write->ns.n != 0) {
        (void)val_set(arena, meta, S("namespace"), val_str(write->ns));
    } else {
        (void)val_remove(meta, S("namespace"));
    }
    return 0;
}

/* What an intent for an absent object is merged into. */
static struct val blank(struct write *write)
{
    struct val v = val_map();
    (void)val_set(write->arena, &v, S("apiVersion"), val_str(kind_api_version(write->kind)));
    (void)val_set(write->arena, &v, S("kind"), val_str(write->kind->name));
    (void)val_set_path(write->arena, &v, "metadata.name", val_str(write->name));
    return v;
}

int write_apply(struct write *write)
{
    struct api_req *req = write->req;
    const struct val *body = req->patch_body != NULL ? req->patch_body : req->body;
    struct val intent;
    if (read_intent(write, body, &intent) < 0) {
        return -1;
    }
    bool is_new = write_find(write) < 0;
    struct str uid = val_text_at(&intent, "metadata.uid");
    if (is_new && write->subresource.n != 0) {
        return -1;
    }
    if (is_new && uid.n != 0) {
        return write_fail(
            write,
            status_conflict(write->arena, write->kind, write->name,
                            arena_fmt(write->arena,
                                      "uid mismatch: the provided object specified uid " STR_FMT
                                      ", and no existing object was found",
                                      STR_ARG(uid))));
    }
    struct val live = is_new ? blank(write) : *write->old;
    struct writer writer = {.manager = req->opt.field_manager,
                            .operation = S("Apply"),
                            .api_version = kind_api_version(write->kind),
                            .subresource = write->subresource,
                            .now_wall = loop_wall(write->api->config.loop),
                            .has_status = kind_subresource(write->kind, S("status")) != NULL};
    bool is_other_form = event_is_other_form(write->kind);
    if (is_other_form) {
        live = event_to_events(write->arena, &live);
    }
    struct val merged;
    struct status status;
    if (managed_apply(write->arena, kind_type(write->kind), &writer, &live, &intent,
                      req->opt.is_force, &merged, &status) < 0) {
        return write_fail(write, status);
    }
    write->obj = val_copy(write->arena, &merged);
    if (is_other_form) {
        write->obj = event_to_core(write->arena, &write->obj);
        write->kind = kind_of(KIND_EVENT);
    }
    write->is_apply = true;
    write->code = is_new ? 201 : 200;
    return is_new ? write_create_obj(write) : write_update_obj(write);
}
