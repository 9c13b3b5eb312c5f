// SPDX-License-Identifier: Apache-2.0
//
// From a Service and the pods of its namespace to endpoints with addresses, ports and conditions.
#include "controllers/endpoint.h"

#include "controllers/meta.h"

static const struct val *selector_of(const struct val *service)
{
    return val_path(service, "spec.selector");
}

bool service_is_managed(const struct val *service)
{
    return val_count(selector_of(service)) > 0 &&
           !str_eq(val_text_at(service, "spec.type"), S("ExternalName"));
}

bool service_is_headless(const struct val *service)
{
    return str_eq(val_text_at(service, "spec.clusterIP"), S("None"));
}

bool service_selects(const struct val *service, const struct val *pod)
{
    const struct val *selector = selector_of(service);
    const struct val *labels = meta_labels(pod);
    for (size_t i = 0; i < val_count(selector); i++) {
        const struct val *have = val_get(labels, selector->members[i].key);
        if (have == NULL || !val_eq(have, &selector->members[i].val)) {
            return false;
        }
    }
    return true;
}

static struct str pod_ip(const struct val *pod, bool is_v6)
{
    const struct val *ips = val_path(pod, "status.podIPs");
    for (size_t i = 0; i < val_count(ips); i++) {
        struct str ip = val_text(val_get(val_at(ips, i), S("ip")));
        if ((str_find(ip, ':') >= 0) == is_v6) {
            return ip;
        }
    }
    struct str ip = val_text_at(pod, "status.podIP");
    return (str_find(ip, ':') >= 0) == is_v6 ? ip : S("");
}

static int64_t named_port_in(const struct val *containers, struct str name, struct str protocol,
                             bool is_sidecars)
{
    for (size_t i = 0; i < val_count(containers); i++) {
        const struct val *container = val_at(containers, i);
        if (is_sidecars && !str_eq(val_text(val_get(container, S("restartPolicy"))), S("Always"))) {
            continue;
        }
        const struct val *ports = val_get(container, S("ports"));
        for (size_t k = 0; k < val_count(ports); k++) {
            const struct val *port = val_at(ports, k);
            struct str theirs = val_text(val_get(port, S("protocol")));
            theirs = theirs.n == 0 ? S("TCP") : theirs;
            if (str_eq(val_text(val_get(port, S("name"))), name) && str_eq(theirs, protocol)) {
                return val_number(val_get(port, S("containerPort")), 0);
            }
        }
    }
    return 0;
}

/* The pod's number of a service port; 0 = it has none. */
static int64_t target_port(const struct val *pod, const struct val *port, struct str protocol)
{
    const struct val *target = val_get(port, S("targetPort"));
    if (val_is(target, VAL_STR)) {
        const struct val *spec = val_get(pod, S("spec"));
        int64_t number = named_port_in(val_get(spec, S("containers")), val_text(target), protocol,
                                       /* is_sidecars= */ false);
        return number > 0 ? number
                          : named_port_in(val_get(spec, S("initContainers")), val_text(target),
                                          protocol, /* is_sidecars= */ true);
    }
    int64_t number = val_number(target, 0);
    return number > 0 ? number : val_number(val_get(port, S("port")), 0);
}

static struct val endpoint_ports(struct arena *arena, const struct val *service,
                                 const struct val *pod)
{
    struct val list = val_list();
    const struct val *ports = val_path(service, "spec.ports");
    for (size_t i = 0; i < val_count(ports); i++) {
        const struct val *port = val_at(ports, i);
        struct str protocol = val_text(val_get(port, S("protocol")));
        protocol = protocol.n == 0 ? S("TCP") : protocol;
        int64_t number = target_port(pod, port, protocol);
        if (number <= 0) {
            continue;
        }
        struct val entry = val_map();
        val_set(arena, &entry, S("name"), val_str(val_text(val_get(port, S("name")))));
        val_set(arena, &entry, S("port"), val_int(number));
        val_set(arena, &entry, S("protocol"), val_str(protocol));
        const struct val *app = val_get(port, S("appProtocol"));
        if (app != NULL) {
            val_set(arena, &entry, S("appProtocol"), *app);
        }
        val_push(arena, &list, entry);
    }
    return list;
}

struct endpoint *service_endpoints(const struct view *view, struct arena *arena,
                                   const struct val *service, bool is_v6, size_t *ret_count)
{
    struct objs pods = view_objs(view, arena, KIND_POD, meta_ns(service));
    bool is_published = val_true_at(service, "spec.publishNotReadyAddresses");
    struct endpoint *list = arena_alloc(arena, (pods.count + 1) * sizeof *list);
    size_t count = 0;
    for (size_t i = 0; i < pods.count; i++) {
        const struct val *pod = pods.list[i];
        if (!service_selects(service, pod) || pod_is_terminal(pod)) {
            continue;
        }
        struct str ip = pod_ip(pod, is_v6);
        if (ip.n == 0) {
            continue;
        }
        struct endpoint *endpoint = &list[count++];
        endpoint->pod = pod;
        endpoint->name = meta_name(pod);
        endpoint->ip = ip;
        endpoint->ports = endpoint_ports(arena, service, pod);
        endpoint->is_serving = pod_is_ready(pod);
        endpoint->is_terminating = meta_is_deleting(pod);
        endpoint->is_ready = is_published || (endpoint->is_serving && !endpoint->is_terminating);
    }
    *ret_count = count;
    return list;
}

void endpoint_describe(struct arena *arena, const struct endpoint *endpoint,
                       const struct val *service, struct val *map)
{
    const struct val *spec = val_get(endpoint->pod, S("spec"));
    struct str hostname = val_text(val_get(spec, S("hostname")));
    if (hostname.n > 0 && str_eq(val_text(val_get(spec, S("subdomain"))), meta_name(service))) {
        val_set(arena, map, S("hostname"), val_str(hostname));
    }
    struct str node = val_text(val_get(spec, S("nodeName")));
    if (node.n > 0) {
        val_set(arena, map, S("nodeName"), val_str(node));
    }
    struct val target = val_map();
    val_set(arena, &target, S("kind"), val_str(S("Pod")));
    val_set(arena, &target, S("name"), val_str(endpoint->name));
    val_set(arena, &target, S("namespace"), val_str(meta_ns(endpoint->pod)));
    val_set(arena, &target, S("uid"), val_str(meta_uid(endpoint->pod)));
    val_set(arena, map, S("targetRef"), target);
}

struct search {
    const struct val *pod;
    const struct val *before;
    void (*add)(void *ctx, struct str ns, struct str name);
    void *ctx;
};

static bool search_service(void *ctx, const struct val *service)
{
    const struct search *search = ctx;
    if (service_is_managed(service) &&
        (service_selects(service, search->pod) ||
         (search->before != NULL && service_selects(service, search->before)))) {
        search->add(search->ctx, meta_ns(service), meta_name(service));
    }
    return true;
}

static bool is_same_pod(const struct val *a, const struct val *b)
{
    const struct val *labels = meta_labels(a);
    const struct val *old_labels = meta_labels(b);
    return labels != NULL && old_labels != NULL && val_eq(labels, old_labels) &&
           pod_is_ready(a) == pod_is_ready(b) && meta_is_deleting(a) == meta_is_deleting(b) &&
           pod_is_terminal(a) == pod_is_terminal(b) &&
           str_eq(val_text_at(a, "status.podIP"), val_text_at(b, "status.podIP")) &&
           str_eq(val_text_at(a, "spec.nodeName"), val_text_at(b, "spec.nodeName"));
}

void endpoint_enqueue_pod(const struct view *view, const struct val *pod, const struct val *before,
                          void (*add)(void *ctx, struct str ns, struct str name), void *ctx)
{
    const struct val *now = view->get(view->ctx, KIND_POD, meta_ns(pod), meta_name(pod));
    if (before != NULL && now != NULL && is_same_pod(pod, before)) {
        return;
    }
    struct search search = {pod, before, add, ctx};
    view->list(view->ctx, KIND_SERVICE, meta_ns(pod), search_service, &search);
}
