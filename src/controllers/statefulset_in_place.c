// SPDX-License-Identifier: Apache-2.0
//
// Updates in place (#133637), asked for by coracle.io/in-place-update: where two revisions differ
// in images of containers, labels and annotations only, the pod is patched; its uid, address and
// volumes stay, and its node restarts the containers whose image changed. Any other difference
// needs a new pod.
#include "api/strategy_pod.h"
#include "controllers/meta.h"
#include "controllers/statefulset.h"

/* The template with its defaults, without what may change in place. */
static struct val fixed_part(struct sts *sts, const struct val *template)
{
    struct arena *arena = sts->arena;
    struct val copy = val_copy(arena, template);
    pod_template_defaults(arena, &copy);
    struct val *metadata = val_need_map(arena, &copy, S("metadata"));
    val_remove(metadata, S("labels"));
    val_remove(metadata, S("annotations"));
    val_prune_nulls(&copy);
    struct val *containers = val_slot_path(&copy, "spec.containers");
    for (size_t i = 0; i < val_count(containers); i++) {
        val_remove(&containers->items[i], S("image"));
    }
    return copy;
}

static const struct val *template_of(const struct sts *sts, struct str revision)
{
    for (size_t i = 0; i < sts->revisions_count; i++) {
        if (str_eq(sts->revisions[i].name, revision)) {
            return sts_revision_template(&sts->revisions[i]);
        }
    }
    return NULL;
}

/* Merge patch of a map of texts: what the old template had and the new one lacks goes. */
static struct val patch_map(struct arena *arena, const struct val *old, const struct val *now)
{
    struct val patch = val_map();
    for (size_t i = 0; i < val_count(old); i++) {
        val_set(arena, &patch, old->members[i].key, val_null());
    }
    for (size_t i = 0; i < val_count(now); i++) {
        val_set(arena, &patch, now->members[i].key, now->members[i].val);
    }
    return patch;
}

/* The pod's containers with the template's images; false = they have them already. */
static bool patch_containers(struct sts *sts, const struct val *pod, const struct val *template,
                             struct val *ret)
{
    bool is_changed = false;
    *ret = val_copy(sts->arena, val_path(pod, "spec.containers"));
    const struct val *wanted = val_path(template, "spec.containers");
    for (size_t i = 0; i < val_count(ret); i++) {
        struct val *container = &ret->items[i];
        for (size_t k = 0; k < val_count(wanted); k++) {
            const struct val *image = val_get(val_at(wanted, k), S("image"));
            if (val_eq(val_get(container, S("name")), val_get(val_at(wanted, k), S("name"))) &&
                image != NULL && !val_eq(val_get(container, S("image")), image)) {
                val_set(sts->arena, container, S("image"), *image);
                is_changed = true;
            }
        }
    }
    return is_changed;
}

bool sts_update_in_place(struct sts *sts, struct actions *out, const struct sts_pod *pod)
{
    struct arena *arena = sts->arena;
    const struct val *old = template_of(sts, pod->revision);
    const struct val *now = sts_revision_template(&sts->update);
    if (!sts->options.is_in_place || old == NULL || pod->is_new_member) {
        return false;
    }
    struct val was = fixed_part(sts, old);
    struct val is = fixed_part(sts, now);
    if (!val_eq(&was, &is)) {
        return false;
    }
    struct val labels =
        patch_map(arena, val_path(old, "metadata.labels"), val_path(now, "metadata.labels"));
    val_set(arena, &labels, S("controller-revision-hash"), val_str(sts->update.name));
    struct val body = val_map();
    val_set_path(arena, &body, "metadata.labels", labels);
    val_set_path(arena, &body, "metadata.annotations",
                 patch_map(arena, val_path(old, "metadata.annotations"),
                           val_path(now, "metadata.annotations")));
    struct val containers;
    if (patch_containers(sts, pod->obj, now, &containers)) {
        val_set_path(arena, &body, "spec.containers", containers);
    }
    struct action *action = actions_add(out, ACTION_PATCH, sts->pod_kind, sts->ns, pod->name);
    action->body = arena_val(arena, body);
    action->uid = meta_uid(pod->obj);
    action->rev = meta_rev(pod->obj);
    action->failure_events[0] = sts_failure(
        sts, "FailedUpdate", sts_pod_text(sts, "update", pod->name, "in place failed error: %s"));
    sts_event(sts, out, "Normal", "SuccessfulUpdate",
              sts_pod_text(sts, "update", pod->name, "in place successful"));
    return true;
}
