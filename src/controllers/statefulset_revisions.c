// SPDX-License-Identifier: Apache-2.0
//
// Revisions of a StatefulSet (spec/statefulset.md 2.3, 2.12). A revision's data is compared as a
// defaulted document, never by its hash label or its bytes, so neither a new serialisation nor a
// new default makes a rollout (#134773, #61998).
#include "api/strategy_pod.h"
#include "base/limits.h"
#include "controllers/meta.h"
#include "controllers/statefulset.h"
#include "data/json.h"

#include <stdlib.h>

#define LABEL_HASH S("controller.kubernetes.io/hash")

enum { REVISION_NAME_CUT = 223 };

const struct val *sts_revision_template(const struct sts_revision *revision)
{
    return val_path(revision->data, "spec.template");
}

/* FNV-1 with 32 bits over the data's JSON and the decimal count; the decimal hash is written with
 * an alphabet without vowels. */
struct str sts_revision_hash(struct arena *arena, const struct val *data, int64_t collision_count)
{
    static const char alphabet[] = "456789bcdf";
    auto_buf struct buf text;
    buf_init(&text, JSON_BYTES_MAX);
    json_write(&text, data);
    buf_addf(&text, "%lld", (long long)collision_count);
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < text.n; i++) {
        hash *= 16777619u;
        hash ^= (unsigned char)text.p[i];
    }
    struct str digits = arena_fmt(arena, "%u", hash);
    char *out = arena_alloc(arena, digits.n + 1);
    for (size_t i = 0; i < digits.n; i++) {
        out[i] = alphabet[digits.p[i] - '0'];
    }
    return (struct str){out, digits.n};
}

static int by_number(const void *a, const void *b)
{
    const struct sts_revision *x = a;
    const struct sts_revision *y = b;
    if (x->number != y->number) {
        return x->number < y->number ? -1 : 1;
    }
    int order = str_cmp(x->created, y->created);
    return order != 0 ? order : str_cmp(x->name, y->name);
}

static void list_revisions(struct sts *sts)
{
    const struct kind *kind = kind_of(KIND_CONTROLLER_REVISION);
    struct objs objs = view_objs(sts->view, sts->arena, KIND_CONTROLLER_REVISION, sts->ns);
    sts->revisions = arena_alloc(sts->arena, (objs.count + 1) * sizeof *sts->revisions);
    for (size_t i = 0; i < objs.count; i++) {
        const struct val *obj = objs.list[i];
        const struct val *ref = meta_controller(obj);
        if ((ref != NULL && !meta_is_controlled_by(obj, sts->uid)) ||
            !selector_matches(sts->selector, meta_labels(obj))) {
            continue;
        }
        if (ref == NULL && !sts->is_deleting && !meta_is_deleting(obj)) {
            struct val ours = owner_ref(sts->arena, sts->kind, sts->obj);
            actions_set_owners(sts->out, kind, obj, owner_refs_edit(sts->arena, obj, S(""), &ours));
        }
        sts->revisions[sts->revisions_count++] = (struct sts_revision){
            .name = meta_name(obj),
            .number = val_number(val_get(obj, S("revision")), 0),
            .created = val_text_at(obj, "metadata.creationTimestamp"),
            .obj = obj,
            .data = val_get(obj, S("data")),
        };
    }
    qsort(sts->revisions, sts->revisions_count, sizeof *sts->revisions, by_number);
}

/* {"spec":{"template":{"$patch":"replace", …the template}}} */
static const struct val *propose_data(struct sts *sts)
{
    struct arena *arena = sts->arena;
    struct val template = val_copy(arena, val_get(sts->spec, S("template")));
    val_set(arena, &template, S("$patch"), val_str(S("replace")));
    struct val data = val_map();
    val_set_path(arena, &data, "spec.template", template);
    return arena_val(arena, data);
}

/* The same template once today's defaults are filled in? */
static bool is_same_data(struct sts *sts, const struct val *stored, const struct val *proposed)
{
    if (val_eq(stored, proposed)) {
        return true;
    }
    struct val copy = val_copy(sts->arena, stored);
    val_prune_nulls(&copy);
    struct val *template = val_slot_path(&copy, "spec.template");
    if (template == NULL) {
        return false;
    }
    pod_template_defaults(sts->arena, template);
    struct val twin = val_copy(sts->arena, proposed);
    pod_template_defaults(sts->arena, val_slot_path(&twin, "spec.template"));
    return val_eq(&copy, &twin);
}

static struct val build_revision(struct sts *sts, const struct sts_revision *revision,
                                 struct str hash)
{
    struct arena *arena = sts->arena;
    struct val metadata = val_map();
    val_set(arena, &metadata, S("name"), val_str(revision->name));
    val_set(arena, &metadata, S("namespace"), val_str(sts->ns));
    const struct val *annotations = val_path(sts->obj, "metadata.annotations");
    if (val_count(annotations) > 0) {
        val_set(arena, &metadata, S("annotations"), *annotations);
    }
    const struct val *own = val_path(sts->spec, "template.metadata.labels");
    struct val labels = own == NULL ? val_map() : val_copy(arena, own);
    val_set(arena, &labels, LABEL_HASH, val_str(hash));
    val_set(arena, &metadata, S("labels"), labels);
    struct val refs = val_list();
    val_push(arena, &refs, owner_ref(arena, sts->kind, sts->obj));
    val_set(arena, &metadata, S("ownerReferences"), refs);
    struct val body = val_map();
    val_set(arena, &body, S("apiVersion"), val_str(S("apps/v1")));
    val_set(arena, &body, S("kind"), val_str(S("ControllerRevision")));
    val_set(arena, &body, S("metadata"), metadata);
    val_set(arena, &body, S("data"), *revision->data);
    val_set(arena, &body, S("revision"), val_int(revision->number));
    return body;
}

/* 2.3 step 4: a name that is taken by the same data is ours, by other data a collision. */
static void create_revision(struct sts *sts, const struct val *data, int64_t number)
{
    struct str base = str_sub(sts->name, 0, REVISION_NAME_CUT);
    for (;;) {
        struct str hash = sts_revision_hash(sts->arena, data, sts->collision_count);
        struct sts_revision new_revision = {
            .name = arena_fmt(sts->arena, STR_FMT "-" STR_FMT, STR_ARG(base), STR_ARG(hash)),
            .number = number,
            .data = data,
        };
        const struct val *taken =
            sts->view->get(sts->view->ctx, KIND_CONTROLLER_REVISION, sts->ns, new_revision.name);
        sts->update = new_revision;
        if (taken == NULL) {
            struct action *action =
                actions_add(sts->out, ACTION_CREATE, kind_of(KIND_CONTROLLER_REVISION), sts->ns,
                            new_revision.name);
            action->body = arena_val(sts->arena, build_revision(sts, &new_revision, hash));
            return;
        }
        if (is_same_data(sts, val_get(taken, S("data")), data)) {
            return;
        }
        sts->collision_count++;
    }
}

static void bump_revision(struct sts *sts, struct sts_revision *revision, int64_t number)
{
    struct val body = val_map();
    val_set(sts->arena, &body, S("revision"), val_int(number));
    struct action *action = actions_add(sts->out, ACTION_PATCH, kind_of(KIND_CONTROLLER_REVISION),
                                        sts->ns, revision->name);
    action->body = arena_val(sts->arena, body);
    action->uid = meta_uid(revision->obj);
    revision->number = number;
}

static void choose_update(struct sts *sts)
{
    const struct val *data = propose_data(sts);
    int64_t highest =
        sts->revisions_count == 0 ? 0 : sts->revisions[sts->revisions_count - 1].number;
    for (size_t i = sts->revisions_count; i-- > 0;) {
        struct sts_revision *revision = &sts->revisions[i];
        if (is_same_data(sts, revision->data, data)) {
            if (i + 1 < sts->revisions_count) {
                bump_revision(sts, revision, highest + 1);
            }
            sts->update = *revision;
            return;
        }
    }
    create_revision(sts, data, highest + 1);
}

static const struct sts_revision *find_revision(const struct sts *sts, struct str name)
{
    for (size_t i = 0; i < sts->revisions_count; i++) {
        if (str_eq(sts->revisions[i].name, name)) {
            return &sts->revisions[i];
        }
    }
    return NULL;
}

void sts_choose_revisions(struct sts *sts)
{
    list_revisions(sts);
    const struct val *status = val_get(sts->obj, S("status"));
    if (sts->is_deleting) {
        /* Nothing is recorded any more; the status goes on with the names that it has. */
        sts->update.name = val_text(val_get(status, S("updateRevision")));
        sts->current.name = val_text(val_get(status, S("currentRevision")));
        return;
    }
    choose_update(sts);
    const struct sts_revision *current =
        find_revision(sts, val_text(val_get(status, S("currentRevision"))));
    sts->current = current != NULL ? *current : sts->update;
}

static bool is_live(const struct sts *sts, struct str name)
{
    if (str_eq(name, sts->current.name) || str_eq(name, sts->update.name)) {
        return true;
    }
    for (size_t i = 0; i < sts->pods_count; i++) {
        if (str_eq(name, sts->pods[i].revision)) {
            return true;
        }
    }
    return false;
}

void sts_truncate_history(struct sts *sts)
{
    int64_t limit = val_number(val_get(sts->spec, S("revisionHistoryLimit")), 10);
    if (limit < 0) {
        return;
    }
    int64_t dead = 0;
    for (size_t i = 0; i < sts->revisions_count; i++) {
        dead += !is_live(sts, sts->revisions[i].name);
    }
    for (size_t i = 0; i < sts->revisions_count && dead > limit; i++) {
        const struct sts_revision *revision = &sts->revisions[i];
        if (!is_live(sts, revision->name)) {
            actions_delete(sts->out, kind_of(KIND_CONTROLLER_REVISION), revision->obj);
            dead--;
        }
    }
}
