// SPDX-License-Identifier: Apache-2.0
//
// The older Endpoints object of a Service with a selector (spec/node.md 7.2): one object, addresses
// grouped by identical ports, at most 1,000 of them. Keys are Services.
#include "controllers/endpoint.h"
#include "controllers/meta.h"

#include <stdlib.h>

#define LABEL_MANAGER  S("endpoints.kubernetes.io/managed-by")
#define LABEL_HEADLESS S("service.kubernetes.io/headless")
#define OVER_CAPACITY  S("endpoints.kubernetes.io/over-capacity")

enum { ADDRESSES_MAX = 1000 };

static struct val build_address(struct arena *arena, const struct endpoint *endpoint,
                                const struct val *service)
{
    struct val address = val_map();
    val_set(arena, &address, S("ip"), val_str(endpoint->ip));
    endpoint_describe(arena, endpoint, service, &address);
    return address;
}

static struct val build_ports(struct arena *arena, const struct val *ports)
{
    struct val list = val_copy(arena, ports);
    for (size_t i = 0; i < val_count(&list); i++) {
        if (val_text(val_get(val_at(&list, i), S("name"))).n == 0) {
            val_remove(&list.items[i], S("name"));
        }
    }
    return list;
}

/* One subset: all endpoints with the ports of the first that has no place yet. */
static struct val build_subset(struct arena *arena, struct endpoint *list, size_t first,
                               size_t count, const struct val *service)
{
    struct val ready = val_list();
    struct val unready = val_list();
    for (size_t i = first; i < count; i++) {
        if (!list[i].is_placed && val_eq(&list[i].ports, &list[first].ports)) {
            list[i].is_placed = true;
            val_push(arena, list[i].is_ready ? &ready : &unready,
                     build_address(arena, &list[i], service));
        }
    }
    struct val subset = val_map();
    if (val_count(&ready) > 0) {
        val_set(arena, &subset, S("addresses"), ready);
    }
    if (val_count(&unready) > 0) {
        val_set(arena, &subset, S("notReadyAddresses"), unready);
    }
    if (val_count(&list[first].ports) > 0) {
        val_set(arena, &subset, S("ports"), build_ports(arena, &list[first].ports));
    }
    return subset;
}

/* Upstream's order within a subset: the addresses as text. */
static int by_ip(const void *a, const void *b)
{
    const struct endpoint *x = a;
    const struct endpoint *y = b;
    int order = str_cmp(x->ip, y->ip);
    return order != 0 ? order : str_cmp(x->name, y->name);
}

/* Terminating pods are left out unless all are published; *ret_is_over: some did not fit. */
static struct val build_subsets(const struct view *view, struct arena *arena,
                                const struct val *service, bool *ret_is_over)
{
    bool is_v6 = str_eq(val_text(val_at(val_path(service, "spec.ipFamilies"), 0)), S("IPv6"));
    bool is_published = val_true_at(service, "spec.publishNotReadyAddresses");
    size_t count;
    struct endpoint *list = service_endpoints(view, arena, service, is_v6, &count);
    size_t kept = 0;
    qsort(list, count, sizeof *list, by_ip);
    *ret_is_over = false;
    for (size_t i = 0; i < count; i++) {
        if (list[i].is_terminating && !is_published) {
            continue;
        }
        if (kept == ADDRESSES_MAX) {
            *ret_is_over = true;
            break;
        }
        list[kept++] = list[i];
    }
    struct val subsets = val_list();
    for (size_t i = 0; i < kept; i++) {
        if (!list[i].is_placed) {
            val_push(arena, &subsets, build_subset(arena, list, i, kept, service));
        }
    }
    return subsets;
}

static struct val build_labels(struct arena *arena, const struct val *service)
{
    const struct val *own = meta_labels(service);
    struct val labels = own == NULL ? val_map() : val_copy(arena, own);
    val_set(arena, &labels, LABEL_MANAGER, val_str(S("endpoint-controller")));
    if (service_is_headless(service)) {
        val_set(arena, &labels, LABEL_HEADLESS, val_str(S("")));
    }
    return labels;
}

static bool is_same(const struct val *a, const struct val *b)
{
    return val_count(a) == val_count(b) && (val_count(a) == 0 || val_eq(a, b));
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    struct arena *arena = env->arena;
    const struct val *service = view->get(view->ctx, KIND_SERVICE, ns, name);
    const struct val *old = view->get(view->ctx, KIND_ENDPOINTS, ns, name);
    if (service == NULL) {
        /* Endpoints have no owner: theirs goes with the Service. */
        if (old != NULL && meta_label(old, LABEL_MANAGER).n > 0 && !meta_is_deleting(old)) {
            actions_delete(out, kind_of(KIND_ENDPOINTS), old);
        }
        return;
    }
    if (meta_is_deleting(service) || !service_is_managed(service) || meta_is_deleting(old)) {
        return;
    }
    bool is_over = false;
    struct val subsets = build_subsets(view, arena, service, &is_over);
    struct val labels = build_labels(arena, service);
    if (old != NULL && is_same(val_get(old, S("subsets")), &subsets) &&
        is_same(meta_labels(old), &labels) && meta_has_annotation(old, OVER_CAPACITY) == is_over) {
        return;
    }
    struct val body = old == NULL ? val_map() : val_copy(arena, old);
    val_set(arena, &body, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &body, S("kind"), val_str(S("Endpoints")));
    val_set_path(arena, &body, "metadata.name", val_str(name));
    val_set_path(arena, &body, "metadata.namespace", val_str(ns));
    val_set_path(arena, &body, "metadata.labels", labels);
    struct val *annotations = val_slot_path(&body, "metadata.annotations");
    if (is_over) {
        val_set(arena, val_need_map(arena, val_slot(&body, S("metadata")), S("annotations")),
                OVER_CAPACITY, val_str(S("truncated")));
    } else if (annotations != NULL) {
        val_remove(annotations, OVER_CAPACITY);
    }
    if (val_count(&subsets) > 0) {
        val_set(arena, &body, S("subsets"), subsets);
    } else {
        val_remove(&body, S("subsets"));
    }
    actions_add(out, old == NULL ? ACTION_CREATE : ACTION_UPDATE, kind_of(KIND_ENDPOINTS), ns, name)
        ->body = arena_val(arena, body);
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    if (kind == kind_of(KIND_POD)) {
        endpoint_enqueue_pod(view, obj, before, add, ctx);
    } else {
        add(ctx, meta_ns(obj), meta_name(obj));
    }
}

static const enum kind_id kinds_watched[] = {KIND_SERVICE, KIND_POD, KIND_ENDPOINTS};

const struct controller controller_endpoints = {
    .name = {"endpoints",           9 },
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"endpoint-controller", 19},
};
