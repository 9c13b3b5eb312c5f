// SPDX-License-Identifier: Apache-2.0
//
// From the next version of an object to the store: server-set metadata, strategy, checks, managed
// fields, the put. Everything in one call, on the head, so that no write is lost between.
#include "api/verbs.h"

#include "api/managed.h"
#include "api/meta.h"
#include "base/limits.h"

static void admission_warn(void *ctx, struct str text)
{
    req_warn(ctx, text);
}

/* defaults, prepare, admit. Causes of admission go to *causes. */
static int run_strategy(struct write *write, struct causes *causes)
{
    const struct strategy *strategy = write->kind->strategy;
    if (strategy == NULL) {
        return 0;
    }
    if (strategy->defaults != NULL) {
        strategy->defaults(write->arena, &write->obj);
    }
    if (strategy->prepare != NULL) {
        strategy->prepare(write->arena, &write->obj, write->old, write->subresource);
    }
    if (strategy->admit != NULL) {
        struct status denied = {0};
        struct admission admission = {.api = write->api,
                                      .arena = write->arena,
                                      .kind = write->kind,
                                      .ns = write->ns,
                                      .subresource = write->subresource,
                                      .old = write->old,
                                      .causes = causes,
                                      .denied = &denied,
                                      .warn = admission_warn,
                                      .warn_ctx = write->req,
                                      .is_dry_run = write->req->opt.is_dry_run};
        strategy->admit(&admission, &write->obj);
        if (denied.code != 0) {
            return write_fail(write, denied);
        }
    }
    return 0;
}

static int check_causes(struct write *write, const struct causes *causes)
{
    if (causes->count == 0) {
        return 0;
    }
    return write_fail(write, status_invalid(write->arena, write->kind,
                                            val_text_at(&write->obj, "metadata.name"), causes));
}

static bool has_status(const struct kind *kind)
{
    return kind_subresource(kind, S("status")) != NULL;
}

static void track(struct write *write)
{
    struct str manager = write->req->opt.field_manager;
    struct writer writer = {.manager = manager.n == 0 ? S("unknown") : manager,
                            .operation = S("Update"),
                            .api_version = kind_api_version(write->kind),
                            .subresource = write->subresource,
                            .now_wall = loop_wall(write->api->config.loop),
                            .has_status = has_status(write->kind)};
    managed_update(write->arena, kind_type(write->kind), &writer, write->old, &write->obj);
}

/* Namespaced objects need a namespace that is there to stay. */
static int check_home(struct write *write)
{
    if (write->ns.n == 0) {
        return 0;
    }
    const struct kind *namespaces = kind_of(KIND_NAMESPACE);
    const struct val *ns = api_peek(write->api, namespaces, S(""), write->ns);
    if (ns == NULL) {
        return write_fail(write, status_not_found(write->arena, namespaces, write->ns));
    }
    if (val_path(ns, "metadata.deletionTimestamp") == NULL) {
        return 0;
    }
    struct arena *arena = write->arena;
    struct status status =
        status_forbidden(arena, write->kind, val_text_at(&write->obj, "metadata.name"),
                         arena_fmt(arena,
                                   "unable to create new content in namespace " STR_FMT
                                   " because it is being terminated",
                                   STR_ARG(write->ns)));
    struct cause *cause = arena_alloc(arena, sizeof(*cause));
    cause->reason = S("NamespaceTerminating");
    cause->message =
        arena_fmt(arena, "namespace " STR_FMT " is being terminated", STR_ARG(write->ns));
    cause->field = S("metadata.namespace");
    status.causes = cause;
    status.causes_count = 1;
    return write_fail(write, status);
}

enum {
    GENERATE_BASE_MAX = 58,
    GENERATE_TRIES = 8,
    OWNED_VALUES_MAX = 4 * DOC_VALUES_MAX /* with the owners of fields: any number may apply */
};

/* Settles name and key: the given one must be free, a generated one is tried eight times. */
static int settle_name(struct write *write)
{
    struct arena *arena = write->arena;
    struct store *store = write->api->config.store;
    struct val *meta = meta_of(arena, &write->obj);
    struct str name = val_text(val_get(meta, S("name")));
    struct str base = val_text(val_get(meta, S("generateName")));
    if (name.n == 0 && base.n == 0) {
        name = write->req->name;
    }
    if (name.n != 0 || base.n == 0) {
        if (name.n != 0) {
            (void)val_set(arena, meta, S("name"), val_str(name));
        }
        write->name = name;
        write->key = api_key(arena, write->kind, write->ns, name);
        return name.n != 0 && store_head(store, write->key) != NULL
                   ? write_fail(write, status_exists(arena, write->kind, name))
                   : 0;
    }
    base = str_sub(base, 0, GENERATE_BASE_MAX);
    for (int i = 0; i < GENERATE_TRIES; i++) {
        char suffix[NAME_SUFFIX_LEN + 1];
        rng_name_suffix(write->api->config.rng, suffix);
        name = arena_fmt(arena, STR_FMT "%s", STR_ARG(base), suffix);
        write->key = api_key(arena, write->kind, write->ns, name);
        if (store_head(store, write->key) == NULL) {
            (void)val_set(arena, meta, S("name"), val_str(name));
            write->name = name;
            return 0;
        }
    }
    struct status status = status_exists(arena, write->kind, name);
    status.message = arena_fmt(
        arena, STR_FMT ", the server was not able to generate a unique name for the object",
        STR_ARG(status.message));
    return write_fail(write, status);
}

static void stamp_new(struct write *write)
{
    struct arena *arena = write->arena;
    struct val *meta = meta_of(arena, &write->obj);
    char uid[UUID_LEN + 1];
    rng_uuid(write->api->config.rng, uid);
    (void)val_set(arena, meta, S("uid"), val_str(arena_dup(arena, str_of(uid))));
    (void)val_set(arena, meta, S("creationTimestamp"),
                  meta_time(arena, loop_wall(write->api->config.loop)));
    static const char *const wiped[] = {"resourceVersion", "selfLink", "deletionTimestamp",
                                        "deletionGracePeriodSeconds", "generation"};
    for (size_t i = 0; i < sizeof(wiped) / sizeof(wiped[0]); i++) {
        (void)val_remove(meta, str_of(wiped[i]));
    }
    if ((write->kind->flags & KIND_GENERATION) != 0) {
        (void)val_set(arena, meta, S("generation"), val_int(1));
    }
    /* Nodes register with their status; all others start without. */
    if (has_status(write->kind) && write->kind != kind_of(KIND_NODE)) {
        (void)val_remove(&write->obj, S("status"));
    }
}

/* What patches can make of an object is capped as what can be sent; owners of fields come on top.
 */
static bool is_too_large(const struct write *write)
{
    const struct val *managed = val_path(&write->obj, "metadata.managedFields");
    return val_size(&write->obj) - val_size(managed) > DOC_VALUES_MAX ||
           val_count(managed) > MANAGERS_MAX;
}

int write_create_obj(struct write *write)
{
    if (is_too_large(write)) {
        return write_fail(write, status_too_large(write->arena));
    }
    struct str rev = val_text_at(&write->obj, "metadata.resourceVersion");
    if (rev.n != 0 && !str_eq(rev, S("0"))) {
        return write_fail(
            write,
            (struct status){.code = 500,
                            .message = S("resourceVersion should not be set on objects to be "
                                         "created")});
    }
    write->old = NULL;
    write->head = NULL;
    struct causes causes;
    causes_init(&causes, write->arena);
    if (check_home(write) < 0) {
        return -1;
    }
    if (settle_name(write) < 0) {
        return -1;
    }
    stamp_new(write);
    if (run_strategy(write, &causes) < 0) {
        return -1;
    }
    meta_validate(&causes, write->kind, &write->obj);
    const struct strategy *strategy = write->kind->strategy;
    if (strategy != NULL && strategy->validate != NULL) {
        strategy->validate(&write->obj, &causes);
    }
    if (check_causes(write, &causes) < 0) {
        return -1;
    }
    if (!write->is_apply) {
        track(write);
    }
    return write_put(write);
}

/* Metadata that only the server moves: taken from the head where the body leaves it out. */
static int settle_meta(struct write *write)
{
    static const char *const kept[] = {"uid", "creationTimestamp", "deletionTimestamp",
                                       "deletionGracePeriodSeconds"};
    struct arena *arena = write->arena;
    struct val *meta = meta_of(arena, &write->obj);
    const struct val *old_meta = val_get(write->old, S("metadata"));
    struct str uid = val_text(val_get(meta, S("uid")));
    struct str old_uid = val_text(val_get(old_meta, S("uid")));
    if (uid.n != 0 && !str_eq(uid, old_uid)) {
        return write_fail(write, status_conflict(arena, write->kind, write->name,
                                                 arena_fmt(arena,
                                                           "Precondition failed: UID in "
                                                           "precondition: " STR_FMT
                                                           ", UID in object meta: " STR_FMT,
                                                           STR_ARG(uid), STR_ARG(old_uid))));
    }
    struct str rev = val_text(val_get(meta, S("resourceVersion")));
    const struct val *old_rev = val_get(old_meta, S("resourceVersion"));
    if (rev.n == 0 && (write->kind->flags & KIND_NEEDS_RV) != 0 &&
        write->req->verb == VERB_UPDATE) {
        struct causes causes;
        causes_init(&causes, arena);
        cause_add(&causes, CAUSE_INVALID, S("metadata.resourceVersion"), NULL, S(""));
        causes.list[0].message = S("Invalid value: 0x0: must be specified for an update");
        return check_causes(write, &causes);
    }
    if (rev.n != 0 && !str_eq(rev, S("0")) && !str_eq(rev, val_text(old_rev))) {
        return write_fail(write,
                          status_conflict(arena, write->kind, write->name,
                                          S("the object has been modified; please apply your "
                                            "changes to the latest version and try again")));
    }
    (void)val_set(arena, meta, S("resourceVersion"), *old_rev);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        const struct val *was = val_get(old_meta, str_of(kept[i]));
        if (was != NULL && val_get(meta, str_of(kept[i])) == NULL) {
            (void)val_set(arena, meta, str_of(kept[i]), *was);
        }
    }
    const struct val *generation = val_get(old_meta, S("generation"));
    if (generation != NULL) {
        (void)val_set(arena, meta, S("generation"), *generation);
    } else {
        (void)val_remove(meta, S("generation"));
    }
    if (write->is_untracked) {
        (void)val_set(arena, meta, S("managedFields"), val_list());
    } else if (val_get(meta, S("managedFields")) == NULL &&
               val_get(old_meta, S("managedFields")) != NULL) {
        (void)val_set(arena, meta, S("managedFields"), *val_get(old_meta, S("managedFields")));
    }
    return 0;
}

static void take(struct arena *arena, struct val *to, const struct val *from, struct str key)
{
    const struct val *v = val_get(from, key);
    if (v != NULL) {
        (void)val_set(arena, to, key, val_copy(arena, v));
    } else {
        (void)val_remove(to, key);
    }
}

/* A subresource writes its own part: the rest of the next version is the head. */
static void narrow(struct write *write)
{
    struct arena *arena = write->arena;
    if (str_eq(write->subresource, S("")) || write->is_forced_scale) {
        if (has_status(write->kind)) {
            take(arena, &write->obj, write->old, S("status"));
        }
        return;
    }
    struct val body = write->obj;
    struct val *body_meta = meta_of(arena, &body);
    write->obj = val_copy(arena, write->old);
    struct val *meta = meta_of(arena, &write->obj);
    take(arena, meta, body_meta, S("managedFields"));
    if (str_eq(write->subresource, S("status")) || str_eq(write->subresource, S("approval"))) {
        take(arena, &write->obj, &body, S("status"));
        if (write->kind->group.n == 0) { /* core kinds let /status move these */
            take(arena, meta, body_meta, S("labels"));
            take(arena, meta, body_meta, S("annotations"));
            take(arena, meta, body_meta, S("finalizers"));
        }
    } else if (str_eq(write->subresource, S("ephemeralcontainers"))) {
        struct val *spec = val_need_map(arena, &write->obj, S("spec"));
        take(arena, spec, val_get(&body, S("spec")), S("ephemeralContainers"));
    } else if (str_eq(write->subresource, S("resize"))) {
        static const char *const lists[] = {"containers", "initContainers"};
        for (size_t i = 0; i < 2; i++) {
            struct val *own = val_slot(val_slot(&write->obj, S("spec")), str_of(lists[i]));
            const struct val *asked = val_get(val_get(&body, S("spec")), str_of(lists[i]));
            for (size_t j = 0; own != NULL && j < own->n && j < val_count(asked); j++) {
                take(arena, &own->items[j], val_at(asked, j), S("resources"));
                take(arena, &own->items[j], val_at(asked, j), S("resizePolicy"));
            }
        }
    }
}

/* Whether anything but metadata and status differs: what generation counts. */
static bool spec_changed(const struct val *a, const struct val *b)
{
    size_t seen = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct str key = a->members[i].key;
        if (str_eq(key, S("metadata")) || str_eq(key, S("status"))) {
            continue;
        }
        const struct val *other = val_get(b, key);
        if (other == NULL || !val_eq(&a->members[i].val, other)) {
            return true;
        }
        seen++;
    }
    size_t others = b->n - (val_get(b, S("metadata")) != NULL) - (val_get(b, S("status")) != NULL);
    return seen != others;
}

bool write_is_finished(const struct write *write)
{
    const struct val *meta = val_get(&write->obj, S("metadata"));
    if (val_get(meta, S("deletionTimestamp")) == NULL ||
        val_count(val_get(meta, S("finalizers"))) != 0 ||
        val_number(val_get(meta, S("deletionGracePeriodSeconds")), 0) != 0) {
        return false;
    }
    return write->kind != kind_of(KIND_NAMESPACE) ||
           val_count(val_path(&write->obj, "spec.finalizers")) == 0;
}

int write_update_obj(struct write *write)
{
    struct causes causes;
    if (is_too_large(write)) {
        return write_fail(write, status_too_large(write->arena));
    }
    causes_init(&causes, write->arena);
    if (write_preconditions(write) < 0 || settle_meta(write) < 0) {
        return -1;
    }
    narrow(write);
    if (run_strategy(write, &causes) < 0) {
        return -1;
    }
    meta_validate_update(&causes, &write->obj, write->old);
    const struct strategy *strategy = write->kind->strategy;
    if (strategy != NULL && strategy->validate != NULL) {
        strategy->validate(&write->obj, &causes);
    }
    if (strategy != NULL && strategy->validate_update != NULL) {
        strategy->validate_update(&write->obj, write->old, &causes);
    }
    if (check_causes(write, &causes) < 0) {
        return -1;
    }
    if ((write->kind->flags & KIND_GENERATION) != 0 && spec_changed(&write->obj, write->old)) {
        struct val *meta = meta_of(write->arena, &write->obj);
        int64_t generation = val_number_at(write->old, "metadata.generation", 0);
        (void)val_set(write->arena, meta, S("generation"), val_int(generation + 1));
    }
    if (!write->is_apply) {
        track(write);
    }
    if (write_is_finished(write)) {
        return write_remove(write);
    }
    /* Nothing new and nothing under way: no new revision. A head that is still on its way to disk
     * is written again, so that the answer doesn't come before it is safe. */
    if (managed_only_times_differ(&write->obj, write->old) &&
        write->head == store_get(write->api->config.store, write->key)) {
        write_answer(write, write->head, NULL);
        return 0;
    }
    return write_put(write);
}

void write_answer(struct write *write, struct object *object, const struct val *val)
{
    if (write->answer != NULL) {
        write->answer(write, object != NULL ? object_val(object) : val);
    } else if (object != NULL) {
        req_object(write->req, write->code, object);
    } else {
        req_val(write->req, write->code, val);
    }
}

static void stored(void *ctx, struct object *object, const struct err *err)
{
    struct write *write = ctx;
    if (err != NULL) {
        struct status status = status_of_err(write->arena, err);
        req_fail(write->req, &status);
        return;
    }
    write_answer(write, object, NULL);
}

int write_put(struct write *write)
{
    if (val_size(&write->obj) > OWNED_VALUES_MAX) {
        return write_fail(write, status_too_large(write->arena));
    }
    if (write->req->opt.is_dry_run) {
        write_answer(write, NULL, &write->obj);
        return 0;
    }
    struct err err = {0};
    uint64_t expect = write->head == NULL ? 0 : write->head->rev;
    if (store_put(write->api->config.store, write->key, &write->obj, expect,
                  kind_store_flags(write->kind), stored, write, &err) < 0) {
        return write_fail_err(write, &err);
    }
    return 0;
}

static void removed_by_delete(struct write *write, struct object *object, const struct val *last)
{
    const struct kind *kind = write->kind;
    struct val success;
    struct api_result result = {
        .code = write->code, .object = object, .val = last, .is_deleted = true};
    result.list_remaining = -1;
    if ((kind->flags & KIND_DELETE_RETURNS) == 0) {
        success =
            status_success(write->arena, kind, write->name, val_text_at(last, "metadata.uid"));
        result.val = &success;
    } else if (object != NULL) {
        result.val = NULL;
    }
    req_done(write->req, &result);
}

static void removed(void *ctx, struct object *object, const struct err *err)
{
    struct write *write = ctx;
    if (err != NULL || write->req->verb != VERB_DELETE || write->answer != NULL) {
        stored(ctx, object, err);
        return;
    }
    removed_by_delete(write, object, object_val(object));
}

int write_remove(struct write *write)
{
    if (write->req->opt.is_dry_run) {
        if (write->req->verb == VERB_DELETE && write->answer == NULL) {
            removed_by_delete(write, NULL, &write->obj);
        } else {
            write_answer(write, NULL, &write->obj);
        }
        return 0;
    }
    struct err err = {0};
    if (store_delete(write->api->config.store, write->key, &write->obj, write->head->rev, removed,
                     write, &err) < 0) {
        return write_fail_err(write, &err);
    }
    return 0;
}
