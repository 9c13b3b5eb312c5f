// SPDX-License-Identifier: Apache-2.0
//
// What every namespace has from its first moment: ServiceAccount "default" and ConfigMap
// "kube-root-ca.crt" (spec/node.md 11.10). The certificate is copied from the ConfigMap of that
// name in kube-system, which the bootstrap writes. Keys are namespaces.
#include "controllers/meta.h"

#define ROOT_CA S("kube-root-ca.crt")
#define ACCOUNT S("default")
#define SYSTEM  S("kube-system")

static struct val named(struct arena *arena, const char *kind, struct str ns, struct str name)
{
    struct val body = val_map();
    val_set(arena, &body, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &body, S("kind"), val_str(str_of(kind)));
    val_set_path(arena, &body, "metadata.name", val_str(name));
    val_set_path(arena, &body, "metadata.namespace", val_str(ns));
    return body;
}

static void copy_root_ca(const struct view *view, struct str ns, struct actions *out)
{
    const struct val *source =
        val_get(view->get(view->ctx, KIND_CONFIG_MAP, SYSTEM, ROOT_CA), S("data"));
    const struct val *have = view->get(view->ctx, KIND_CONFIG_MAP, ns, ROOT_CA);
    if (source == NULL || str_eq(ns, SYSTEM) || meta_is_deleting(have)) {
        return;
    }
    const struct val *data = val_get(have, S("data"));
    if (data != NULL && val_eq(data, source)) {
        return;
    }
    struct val body =
        have == NULL ? named(out->arena, "ConfigMap", ns, ROOT_CA) : val_copy(out->arena, have);
    val_set(out->arena, &body, S("data"), *source);
    struct val annotations = val_map();
    val_set(out->arena, &annotations, S("kubernetes.io/description"),
            val_str(S("Contains a CA bundle that can be used to verify the kube-apiserver when "
                      "using internal endpoints such as the internal service IP or "
                      "kubernetes.default.svc. No other usage is guaranteed across distributions "
                      "of Kubernetes clusters.")));
    if (have == NULL) {
        val_set_path(out->arena, &body, "metadata.annotations", annotations);
    }
    actions_add(out, have == NULL ? ACTION_CREATE : ACTION_UPDATE, kind_of(KIND_CONFIG_MAP), ns,
                ROOT_CA)
        ->body = arena_val(out->arena, body);
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    (void)ns;
    (void)env;
    const struct val *space = view->get(view->ctx, KIND_NAMESPACE, S(""), name);
    if (space == NULL || meta_is_deleting(space)) {
        return;
    }
    if (view->get(view->ctx, KIND_SERVICE_ACCOUNT, name, ACCOUNT) == NULL) {
        actions_add(out, ACTION_CREATE, kind_of(KIND_SERVICE_ACCOUNT), name, ACCOUNT)->body =
            arena_val(out->arena, named(out->arena, "ServiceAccount", name, ACCOUNT));
    }
    copy_root_ca(view, name, out);
}

struct add_ctx {
    void (*add)(void *ctx, struct str ns, struct str name);
    void *ctx;
};

static bool add_space(void *ctx, const struct val *space)
{
    const struct add_ctx *to = ctx;
    to->add(to->ctx, S(""), meta_name(space));
    return true;
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    (void)before;
    if (kind == kind_of(KIND_NAMESPACE)) {
        add(ctx, S(""), meta_name(obj));
    } else if (kind == kind_of(KIND_SERVICE_ACCOUNT) && str_eq(meta_name(obj), ACCOUNT)) {
        add(ctx, S(""), meta_ns(obj));
    } else if (kind == kind_of(KIND_CONFIG_MAP) && str_eq(meta_name(obj), ROOT_CA)) {
        if (str_eq(meta_ns(obj), SYSTEM)) {
            struct add_ctx to = {add, ctx};
            view->list(view->ctx, KIND_NAMESPACE, S(""), add_space, &to);
        } else {
            add(ctx, S(""), meta_ns(obj));
        }
    }
}

static const enum kind_id kinds_watched[] = {KIND_NAMESPACE, KIND_SERVICE_ACCOUNT, KIND_CONFIG_MAP};

const struct controller controller_serviceaccount = {
    .name = {"serviceaccount",            14},
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"serviceaccount-controller", 25},
};
