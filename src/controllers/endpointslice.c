// SPDX-License-Identifier: Apache-2.0
//
// EndpointSlices of Services with a selector (spec/node.md 7.2): at most 100 endpoints a slice, one
// slice or more for each distinct list of ports. Endpoints stay in the slice that they are in, so a
// pod's change rewrites one slice. Keys are Services.
#include "controllers/endpoint.h"
#include "controllers/meta.h"

#define LABEL_SERVICE  S("kubernetes.io/service-name")
#define LABEL_MANAGER  S("endpointslice.kubernetes.io/managed-by")
#define LABEL_HEADLESS S("service.kubernetes.io/headless")
#define MANAGER        S("endpointslice-controller.k8s.io")
#define TRIGGER_TIME   S("endpoints.kubernetes.io/last-change-trigger-time")

enum { SLICE_ENDPOINTS_MAX = 100 };

struct slices {
    const struct view *view;
    const struct env *env;
    struct arena *arena;
    struct actions *out;
    const struct val *service;
    struct str address_type;
    struct endpoint *endpoints; /* in pod name order */
    size_t count;
    size_t kept; /* slices that exist when this is done */
};

static struct val build_endpoint(struct slices *s, const struct endpoint *endpoint)
{
    struct arena *arena = s->arena;
    struct val map = val_map();
    struct val addresses = val_list();
    val_push(arena, &addresses, val_str(endpoint->ip));
    val_set(arena, &map, S("addresses"), addresses);
    struct val conditions = val_map();
    val_set(arena, &conditions, S("ready"), val_bool(endpoint->is_ready));
    val_set(arena, &conditions, S("serving"), val_bool(endpoint->is_serving));
    val_set(arena, &conditions, S("terminating"), val_bool(endpoint->is_terminating));
    val_set(arena, &map, S("conditions"), conditions);
    endpoint_describe(arena, endpoint, s->service, &map);
    const struct val *node =
        s->view->get(s->view->ctx, KIND_NODE, S(""), val_text_at(endpoint->pod, "spec.nodeName"));
    struct str zone = meta_label(node, S("topology.kubernetes.io/zone"));
    if (zone.n > 0) {
        val_set(arena, &map, S("zone"), val_str(zone));
    }
    return map;
}

static struct val build_labels(struct slices *s)
{
    const struct val *own = meta_labels(s->service);
    struct val labels = own == NULL ? val_map() : val_copy(s->arena, own);
    val_set(s->arena, &labels, LABEL_SERVICE, val_str(meta_name(s->service)));
    val_set(s->arena, &labels, LABEL_MANAGER, val_str(MANAGER));
    if (service_is_headless(s->service)) {
        val_set(s->arena, &labels, LABEL_HEADLESS, val_str(S("")));
    } else {
        val_remove(&labels, LABEL_HEADLESS);
    }
    return labels;
}

static void fill_slice(struct slices *s, struct val *slice, struct val endpoints, struct val ports)
{
    val_set(s->arena, slice, S("endpoints"), endpoints);
    val_set(s->arena, slice, S("ports"), ports);
    struct val *metadata = val_need_map(s->arena, slice, S("metadata"));
    val_set(s->arena, metadata, S("labels"), build_labels(s));
    val_set(s->arena, val_need_map(s->arena, metadata, S("annotations")), TRIGGER_TIME,
            time_val(s->arena, s->env->now_wall));
}

static void create_slice(struct slices *s, struct val endpoints, struct val ports)
{
    char suffix[NAME_SUFFIX_LEN + 1];
    rng_name_suffix(s->env->rng, suffix);
    struct str service = meta_name(s->service);
    struct str name = arena_fmt(s->arena, STR_FMT "-%s", STR_ARG(service), suffix);
    struct val slice = val_map();
    val_set(s->arena, &slice, S("apiVersion"), val_str(S("discovery.k8s.io/v1")));
    val_set(s->arena, &slice, S("kind"), val_str(S("EndpointSlice")));
    val_set(s->arena, &slice, S("addressType"), val_str(s->address_type));
    val_set_path(s->arena, &slice, "metadata.name", val_str(name));
    val_set_path(s->arena, &slice, "metadata.generateName",
                 val_str(arena_fmt(s->arena, STR_FMT "-", STR_ARG(service))));
    val_set_path(s->arena, &slice, "metadata.namespace", val_str(meta_ns(s->service)));
    struct val refs = val_list();
    val_push(s->arena, &refs, owner_ref(s->arena, kind_of(KIND_SERVICE), s->service));
    val_set_path(s->arena, &slice, "metadata.ownerReferences", refs);
    fill_slice(s, &slice, endpoints, ports);
    actions_add(s->out, ACTION_CREATE, kind_of(KIND_ENDPOINT_SLICE), meta_ns(s->service), name)
        ->body = arena_val(s->arena, slice);
    s->kept++;
}

static struct endpoint *find_endpoint(struct slices *s, struct str pod)
{
    size_t low = 0;
    size_t high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(s->endpoints[middle].name, pod);
        if (order == 0) {
            return &s->endpoints[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* Moves endpoints with these ports that have no place yet into the list, while there is room. */
static void take_unplaced(struct slices *s, const struct val *ports, struct val *list)
{
    for (size_t i = 0; i < s->count && val_count(list) < SLICE_ENDPOINTS_MAX; i++) {
        struct endpoint *endpoint = &s->endpoints[i];
        if (!endpoint->is_placed && val_eq(&endpoint->ports, ports)) {
            endpoint->is_placed = true;
            val_push(s->arena, list, build_endpoint(s, endpoint));
        }
    }
}

/* What stays of a slice: its endpoints that still exist with its ports. */
static struct val keep_endpoints(struct slices *s, const struct val *slice)
{
    struct val list = val_list();
    const struct val *old = val_get(slice, S("endpoints"));
    const struct val *ports = val_get(slice, S("ports"));
    for (size_t i = 0; i < val_count(old); i++) {
        const struct val *target = val_get(val_at(old, i), S("targetRef"));
        struct endpoint *endpoint = find_endpoint(s, val_text(val_get(target, S("name"))));
        bool is_same_ports = endpoint != NULL && (ports == NULL ? val_count(&endpoint->ports) == 0
                                                                : val_eq(&endpoint->ports, ports));
        if (is_same_ports && !endpoint->is_placed && val_count(&list) < SLICE_ENDPOINTS_MAX &&
            str_eq(meta_uid(endpoint->pod), val_text(val_get(target, S("uid"))))) {
            endpoint->is_placed = true;
            val_push(s->arena, &list, build_endpoint(s, endpoint));
        }
    }
    return list;
}

static bool is_same(const struct val *a, const struct val *b)
{
    if (val_count(a) == 0 || val_count(b) == 0) {
        return val_count(a) == val_count(b);
    }
    return val_eq(a, b);
}

static void update_slice(struct slices *s, const struct val *slice, struct val endpoints)
{
    const struct val *ports = val_get(slice, S("ports"));
    struct val labels = build_labels(s);
    s->kept++;
    if (is_same(val_get(slice, S("endpoints")), &endpoints) &&
        is_same(meta_labels(slice), &labels)) {
        return;
    }
    struct val body = val_copy(s->arena, slice);
    fill_slice(s, &body, endpoints, ports == NULL ? val_list() : *ports);
    actions_add(s->out, ACTION_UPDATE, kind_of(KIND_ENDPOINT_SLICE), meta_ns(slice),
                meta_name(slice))
        ->body = arena_val(s->arena, body);
}

static bool is_ours(struct slices *s, const struct val *slice)
{
    return str_eq(meta_label(slice, LABEL_SERVICE), meta_name(s->service)) &&
           str_eq(meta_label(slice, LABEL_MANAGER), MANAGER) && !meta_is_deleting(slice) &&
           str_eq(val_text(val_get(slice, S("addressType"))), s->address_type);
}

static void place_all(struct slices *s)
{
    struct objs all = view_objs(s->view, s->arena, KIND_ENDPOINT_SLICE, meta_ns(s->service));
    struct val *kept = arena_alloc(s->arena, (all.count + 1) * sizeof *kept);
    for (size_t i = 0; i < all.count; i++) {
        if (is_ours(s, all.list[i])) {
            kept[i] = keep_endpoints(s, all.list[i]);
        }
    }
    const struct val empty = val_list();
    for (size_t i = 0; i < all.count; i++) {
        if (!is_ours(s, all.list[i])) {
            continue;
        }
        const struct val *ports = val_get(all.list[i], S("ports"));
        take_unplaced(s, ports == NULL ? &empty : ports, &kept[i]);
        if (val_count(&kept[i]) > 0) {
            update_slice(s, all.list[i], kept[i]);
        }
    }
    for (size_t i = 0; i < s->count; i++) {
        if (!s->endpoints[i].is_placed) {
            struct val list = val_list();
            take_unplaced(s, &s->endpoints[i].ports, &list);
            create_slice(s, list, s->endpoints[i].ports);
        }
    }
    /* Emptied slices go, but a Service always has one. */
    for (size_t i = 0; i < all.count; i++) {
        if (!is_ours(s, all.list[i]) || val_count(&kept[i]) > 0) {
            continue;
        }
        if (s->kept == 0) {
            update_slice(s, all.list[i], val_list());
        } else {
            actions_delete(s->out, kind_of(KIND_ENDPOINT_SLICE), all.list[i]);
        }
    }
    if (s->kept == 0) {
        create_slice(s, val_list(), val_list());
    }
}

static void decide(const struct view *view, struct str ns, struct str name, const struct env *env,
                   struct actions *out)
{
    const struct val *service = view->get(view->ctx, KIND_SERVICE, ns, name);
    if (service == NULL || meta_is_deleting(service) || !service_is_managed(service)) {
        return;
    }
    const struct val *families = val_path(service, "spec.ipFamilies");
    size_t families_count = val_count(families) > 0 ? val_count(families) : 1;
    for (size_t i = 0; i < families_count; i++) {
        bool is_v6 = str_eq(val_text(val_at(families, i)), S("IPv6"));
        struct slices s = {.view = view,
                           .env = env,
                           .arena = env->arena,
                           .out = out,
                           .service = service,
                           .address_type = is_v6 ? S("IPv6") : S("IPv4")};
        s.endpoints = service_endpoints(view, env->arena, service, is_v6, &s.count);
        place_all(&s);
    }
}

static void enqueue(const struct view *view, const struct kind *kind, const struct val *obj,
                    const struct val *before,
                    void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    if (kind == kind_of(KIND_SERVICE)) {
        add(ctx, meta_ns(obj), meta_name(obj));
    } else if (kind == kind_of(KIND_POD)) {
        endpoint_enqueue_pod(view, obj, before, add, ctx);
    } else if (str_eq(meta_label(obj, LABEL_MANAGER), MANAGER)) {
        add(ctx, meta_ns(obj), meta_label(obj, LABEL_SERVICE));
    }
}

static const enum kind_id kinds_watched[] = {KIND_SERVICE, KIND_POD, KIND_ENDPOINT_SLICE};

const struct controller controller_endpointslice = {
    .name = {"endpointslice",             13},
    .decide = decide,
    .enqueue = enqueue,
    .kinds = kinds_watched,
    .kinds_count = sizeof kinds_watched / sizeof kinds_watched[0],
    .event_source = {"endpoint-slice-controller", 25},
};
