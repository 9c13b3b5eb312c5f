// SPDX-License-Identifier: Apache-2.0
//
// Edits of claim templates (#68737, #121178), carried to the claims of the pods that stay: the
// storage request grows, labels and annotations of the template are set. Nothing is ever taken
// away from a claim. Only for sets whose templates were edited: claims that a set merely found are
// used as they are (4.1).
#include "controllers/meta.h"
#include "controllers/statefulset.h"
#include "data/quantity.h"

#define REQUEST  "spec.resources.requests.storage"
#define CAPACITY "status.capacity.storage"

/* How a claim stands to its template. */
struct standing {
    const struct val *claim;
    const struct val *template;
    struct str wanted;  /* the template's request */
    bool is_asking;     /* its request is to grow */
    struct str waiting; /* why its capacity is below the template's request; empty = it isn't */
};

static bool is_less(const struct val *obj, const char *path, struct str wanted)
{
    struct quantity has;
    struct quantity want;
    struct err err;
    return quantity_parse(val_text_at(obj, path), &has, &err) == 0 &&
           quantity_parse(wanted, &want, &err) == 0 && quantity_cmp(has, want) < 0;
}

static struct standing judge(struct sts *sts, const struct val *claim, const struct val *template)
{
    struct standing s = {
        .claim = claim, .template = template, .wanted = val_text_at(template, REQUEST)};
    struct str class = val_text_at(claim, "spec.storageClassName");
    bool is_small = is_less(claim, REQUEST, s.wanted);
    if (is_small && !str_eq(val_text_at(claim, "status.phase"), S("Bound"))) {
        s.waiting = S("is not bound");
    } else if (is_small &&
               !val_true_at(sts->view->get(sts->view->ctx, KIND_STORAGE_CLASS, S(""), class),
                            "allowVolumeExpansion")) {
        s.waiting = arena_fmt(sts->arena, "can't grow: class \"" STR_FMT "\" doesn't allow it",
                              STR_ARG(class));
    } else if (is_small || is_less(claim, CAPACITY, s.wanted)) {
        s.is_asking = is_small;
        s.waiting = S("is growing");
    }
    return s;
}

/* Sets what the template has and the claim hasn't; keys of skip (may be NULL) belong to others. */
static void add_missing(struct sts *sts, struct val *body, const struct standing *s,
                        const char *path, const struct val *skip)
{
    const struct val *want = val_path(s->template, path);
    const struct val *has = val_path(s->claim, path);
    struct val patch = val_map();
    for (size_t i = 0; i < val_count(want); i++) {
        struct str key = want->members[i].key;
        if (val_get(skip, key) == NULL && !val_eq(val_get(has, key), &want->members[i].val)) {
            val_set(sts->arena, &patch, key, want->members[i].val);
        }
    }
    if (val_count(&patch) > 0) {
        val_set_path(sts->arena, body, path, patch);
    }
}

static void carry(struct sts *sts, struct actions *out, const struct standing *s)
{
    struct val body = val_map();
    add_missing(sts, &body, s, "metadata.labels", val_path(sts->spec, "selector.matchLabels"));
    add_missing(sts, &body, s, "metadata.annotations", NULL);
    if (s->is_asking) {
        val_set_path(sts->arena, &body, REQUEST, val_str(s->wanted));
    }
    if (val_count(&body) == 0) {
        return;
    }
    struct str name = meta_name(s->claim);
    struct str text = arena_fmt(sts->arena, "update Claim " STR_FMT " in StatefulSet " STR_FMT,
                                STR_ARG(name), STR_ARG(sts->name));
    struct action *action = actions_add(out, ACTION_PATCH, sts->claim_kind, sts->ns, name);
    action->body = arena_val(sts->arena, body);
    action->uid = meta_uid(s->claim);
    action->is_optional = true;
    action->failure_events[0] = sts_failure(
        sts, "FailedUpdate", arena_fmt(sts->arena, STR_FMT " failed error: %%s", STR_ARG(text)));
    sts_event(sts, out, "Normal", "SuccessfulUpdate",
              arena_fmt(sts->arena, STR_FMT " successful", STR_ARG(text)));
}

static bool is_edited(const struct sts *sts)
{
    return val_count(sts->templates) > 0 && meta_has_annotation(sts->obj, SET_TEMPLATES_EDITED);
}

/* Calls each for the claims of kept pods. */
static void each_claim(struct sts *sts, void (*each)(void *ctx, const struct standing *s),
                       void *ctx)
{
    for (size_t i = 0; i < sts->pods_count; i++) {
        for (size_t k = 0; k < val_count(sts->templates) && !sts->pods[i].is_condemned; k++) {
            const struct val *claim = sts->view->get(sts->view->ctx, KIND_PVC, sts->ns,
                                                     sts_claim_name(sts, k, sts->pods[i].ordinal));
            if (claim != NULL && !meta_is_deleting(claim)) {
                struct standing s = judge(sts, claim, val_at(sts->templates, k));
                each(ctx, &s);
            }
        }
    }
}

struct carrier {
    struct sts *sts;
    struct actions *out;
};

static void carry_each(void *ctx, const struct standing *s)
{
    const struct carrier *carrier = ctx;
    carry(carrier->sts, carrier->out, s);
}

void sts_carry_templates(struct sts *sts, struct actions *out)
{
    struct carrier carrier = {sts, out};
    if (is_edited(sts)) {
        each_claim(sts, carry_each, &carrier);
    }
}

enum { LAGGING_SHOWN = 5 }; /* claims that the condition names */

struct progress {
    struct sts *sts;
    size_t all, done;
    struct str lagging;
};

static void count_each(void *ctx, const struct standing *s)
{
    struct progress *p = ctx;
    p->all++;
    p->done += s->waiting.n == 0;
    if (s->waiting.n > 0 && p->all - p->done <= LAGGING_SHOWN) {
        p->lagging = arena_fmt(
            p->sts->arena, STR_FMT "; " STR_FMT " (" STR_FMT " of " STR_FMT ") " STR_FMT,
            STR_ARG(p->lagging), STR_ARG(meta_name(s->claim)),
            STR_ARG(val_text_at(s->claim, CAPACITY)), STR_ARG(s->wanted), STR_ARG(s->waiting));
    }
}

bool sts_templates_progress(struct sts *sts, bool *ret_is_done, struct str *ret_text)
{
    struct progress p = {.sts = sts};
    if (!is_edited(sts)) {
        return false;
    }
    each_claim(sts, count_each, &p);
    *ret_is_done = p.done == p.all;
    *ret_text = arena_fmt(sts->arena, "%zu of %zu claims have what their templates ask for" STR_FMT,
                          p.done, p.all, STR_ARG(p.lagging));
    return true;
}
