// SPDX-License-Identifier: Apache-2.0
//
// The columns of services, endpoints, ingress classes and network policies (spec/api.md 8.2, 8.4).
#include "api/cells.h"

#include "api/selector.h"
#include "base/mem.h"

#include <inttypes.h>

enum { SHOWN_MAX = 3 }; /* items of a cell before "+ N more..." */

/* The first three texts with commas, and how many more there are. */
struct shown {
    struct joined list;
    size_t count;
};

static void shown_add(struct shown *s, struct str text)
{
    if (s->count++ < SHOWN_MAX) {
        joined_add(&s->list, ",", text);
    }
}

static struct val shown_cell(const struct shown *s, const char *otherwise)
{
    if (s->count > SHOWN_MAX) {
        return val_str(arena_fmt(s->list.arena, STR_FMT " + %zu more...", STR_ARG(s->list.text),
                                 s->count - SHOWN_MAX));
    }
    return text_or(s->list.text, otherwise);
}

static struct val service_type(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "spec.type"));
}

static struct val service_cluster_ip(const struct cell_in *in)
{
    return text_or_none(val_text_at(in->obj, "spec.clusterIPs.0"));
}

static struct str join_texts(struct arena *arena, const struct val *list)
{
    struct joined j = {.arena = arena};
    for (size_t i = 0; i < val_count(list); i++) {
        joined_add(&j, ",", val_text(val_at(list, i)));
    }
    return j.text;
}

/* Addresses of the load balancer, sorted and each once: a map sorts. */
static struct str balancer_addresses(const struct cell_in *in)
{
    const struct val *ingress = val_path(in->obj, "status.loadBalancer.ingress");
    struct val seen = val_map();
    for (size_t i = 0; i < val_count(ingress); i++) {
        struct str ip = val_text(val_get(val_at(ingress, i), S("ip")));
        struct str host = val_text(val_get(val_at(ingress, i), S("hostname")));
        struct str address = ip.n != 0 ? ip : host;
        if (address.n != 0) {
            (void)val_set(in->arena, &seen, address, val_null());
        }
    }
    struct joined j = {.arena = in->arena};
    for (size_t i = 0; i < val_count(&seen); i++) {
        joined_add(&j, ",", seen.members[i].key);
    }
    return j.text;
}

static struct val service_external_ip(const struct cell_in *in)
{
    struct str type = val_text_at(in->obj, "spec.type");
    struct str ips = join_texts(in->arena, val_path(in->obj, "spec.externalIPs"));
    if (str_eq(type, S("ExternalName"))) {
        return val_str(val_text_at(in->obj, "spec.externalName"));
    }
    if (!str_eq(type, S("LoadBalancer"))) {
        return text_or_none(ips);
    }
    struct joined j = {.arena = in->arena};
    struct str balancer = balancer_addresses(in);
    if (balancer.n != 0) {
        joined_add(&j, ",", balancer);
    }
    if (ips.n != 0) {
        joined_add(&j, ",", ips);
    }
    return text_or(j.text, "<pending>");
}

static struct val service_ports(const struct cell_in *in)
{
    const struct val *ports = val_path(in->obj, "spec.ports");
    struct joined j = {.arena = in->arena};
    for (size_t i = 0; i < val_count(ports); i++) {
        const struct val *port = val_at(ports, i);
        int64_t number = val_number(val_get(port, S("port")), 0);
        int64_t node_port = val_number(val_get(port, S("nodePort")), 0);
        struct str protocol = val_text(val_get(port, S("protocol")));
        if (node_port > 0) {
            joined_add(&j, ",",
                       arena_fmt(in->arena, "%" PRId64 ":%" PRId64 "/" STR_FMT, number, node_port,
                                 STR_ARG(protocol)));
        } else {
            joined_add(&j, ",",
                       arena_fmt(in->arena, "%" PRId64 "/" STR_FMT, number, STR_ARG(protocol)));
        }
    }
    return text_or_none(j.text);
}

static struct val service_selector(const struct cell_in *in)
{
    return labels_cell(in, val_path(in->obj, "spec.selector"));
}

static const struct column service_list[] = {
    COLUMN_NAME,
    COLUMN("Type", "string", 0, service_type),
    COLUMN("Cluster-IP", "string", 0, service_cluster_ip),
    COLUMN("External-IP", "string", 0, service_external_ip),
    COLUMN("Port(s)", "string", 0, service_ports),
    COLUMN_AGE,
    COLUMN("Selector", "string", 1, service_selector),
};
const struct table_columns columns_service = {service_list, ARRAY_LEN(service_list), NULL};

static struct str host_port(struct arena *arena, struct str ip, int64_t port)
{
    const char *fmt = str_find(ip, ':') < 0 ? "" : "[";
    return arena_fmt(arena, "%s" STR_FMT "%s:%" PRId64, fmt, STR_ARG(ip), *fmt == '[' ? "]" : "",
                     port);
}

static struct val endpoints_cell(const struct cell_in *in)
{
    const struct val *subsets = val_get(in->obj, S("subsets"));
    struct shown s = {.list = {.arena = in->arena}};
    for (size_t i = 0; i < val_count(subsets); i++) {
        const struct val *addresses = val_get(val_at(subsets, i), S("addresses"));
        const struct val *ports = val_get(val_at(subsets, i), S("ports"));
        for (size_t p = 0; p == 0 || p < val_count(ports); p++) {
            const struct val *port = val_at(ports, p);
            for (size_t a = 0; a < val_count(addresses); a++) {
                struct str ip = val_text(val_get(val_at(addresses, a), S("ip")));
                shown_add(&s, port == NULL ? ip
                                           : host_port(in->arena, ip,
                                                       val_number(val_get(port, S("port")), 0)));
            }
        }
    }
    return shown_cell(&s, "<none>");
}

static const struct column endpoints_list[] = {
    COLUMN_NAME,
    COLUMN("Endpoints", "string", 0, endpoints_cell),
    COLUMN_AGE,
};
const struct table_columns columns_endpoints = {endpoints_list, ARRAY_LEN(endpoints_list), NULL};

static struct val slice_type(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "addressType"));
}

static struct val slice_ports(const struct cell_in *in)
{
    const struct val *ports = val_get(in->obj, S("ports"));
    struct shown s = {.list = {.arena = in->arena}};
    for (size_t i = 0; i < val_count(ports); i++) {
        const struct val *number = val_get(val_at(ports, i), S("port"));
        const struct val *name = val_get(val_at(ports, i), S("name"));
        struct str text = S("*");
        if (number != NULL) {
            text = number_text(in->arena, number);
        } else if (name != NULL) {
            text = val_text(name);
        }
        shown_add(&s, text);
    }
    return shown_cell(&s, "<unset>");
}

static struct val slice_endpoints(const struct cell_in *in)
{
    const struct val *endpoints = val_get(in->obj, S("endpoints"));
    struct shown s = {.list = {.arena = in->arena}};
    for (size_t i = 0; i < val_count(endpoints); i++) {
        const struct val *addresses = val_get(val_at(endpoints, i), S("addresses"));
        for (size_t a = 0; a < val_count(addresses); a++) {
            shown_add(&s, val_text(val_at(addresses, a)));
        }
    }
    return shown_cell(&s, "<unset>");
}

static const struct column slice_list[] = {
    COLUMN_NAME,
    COLUMN("AddressType", "string", 0, slice_type),
    COLUMN("Ports", "string", 0, slice_ports),
    COLUMN("Endpoints", "string", 0, slice_endpoints),
    COLUMN_AGE,
};
const struct table_columns columns_endpoint_slice = {slice_list, ARRAY_LEN(slice_list), NULL};

static struct val class_controller(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "spec.controller"));
}

static struct val class_parameters(const struct cell_in *in)
{
    const struct val *p = val_path(in->obj, "spec.parameters");
    struct str group = val_text(val_get(p, S("apiGroup")));
    if (p == NULL) {
        return val_str(S("<none>"));
    }
    return val_str(arena_fmt(in->arena, STR_FMT "%s" STR_FMT "/" STR_FMT,
                             STR_ARG(val_text(val_get(p, S("kind")))), group.n == 0 ? "" : ".",
                             STR_ARG(group), STR_ARG(val_text(val_get(p, S("name"))))));
}

static struct val policy_selector(const struct cell_in *in)
{
    struct selector *selector;
    struct err err;
    if (selector_of_val(in->arena, val_path(in->obj, "spec.podSelector"), &selector, &err) < 0) {
        return val_str(S("<error>"));
    }
    return text_or_none(selector_format(in->arena, selector));
}

static const struct column network_policy_list[] = {
    COLUMN_NAME,
    COLUMN("Pod-Selector", "string", 0, policy_selector),
    COLUMN_AGE,
};
const struct table_columns columns_network_policy = {network_policy_list,
                                                     ARRAY_LEN(network_policy_list), NULL};

static const struct column ingress_class_list[] = {
    COLUMN_NAME,
    COLUMN("Controller", "string", 0, class_controller),
    COLUMN("Parameters", "string", 0, class_parameters),
    COLUMN_AGE,
};
const struct table_columns columns_ingress_class = {ingress_class_list,
                                                    ARRAY_LEN(ingress_class_list), NULL};
