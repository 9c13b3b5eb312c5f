// SPDX-License-Identifier: Apache-2.0
//
// Joins slices to their services by label, and a service's port to a slice's by name and protocol.
#include "proxy/proxy.h"

#include "net/pod_net.h"
#include "proxy/internal.h"

#include <netinet/in.h>
#include <stdlib.h>

enum { AFFINITY_SECONDS = 10800 }; /* sessionAffinityConfig's default */

/* An object under the name of the service it belongs to. */
struct keyed {
    struct str ns;
    struct str service;
    struct str name; /* of the object itself */
    const struct val *object;
};

/* A rule_service before duplicates are dropped. */
struct claim {
    struct rule_service rule;
    size_t rank; /* of the service among all, by namespace/name */
};

struct build {
    struct arena *arena;
    const struct keyed *slices; /* sorted */
    size_t slices_count;
    struct claim *claims;
    size_t claims_count;
};

/* A service port and the endpoints behind it. */
struct port {
    struct str name;
    uint8_t protocol;
    uint32_t affinity_seconds;
    const struct rule_endpoint *endpoints;
    size_t endpoints_count;
    size_t rank;
};

static int keyed_cmp(const void *a, const void *b)
{
    const struct keyed *x = a;
    const struct keyed *y = b;
    int order = str_cmp(x->ns, y->ns);
    if (order == 0) {
        order = str_cmp(x->service, y->service);
    }
    return order != 0 ? order : str_cmp(x->name, y->name);
}

static int endpoint_cmp(const void *a, const void *b)
{
    const struct rule_endpoint *x = a;
    const struct rule_endpoint *y = b;
    if (x->address != y->address) {
        return x->address < y->address ? -1 : 1;
    }
    return (int)x->port - (int)y->port;
}

static int rule_cmp(const struct rule_service *a, const struct rule_service *b)
{
    if (a->address != b->address) {
        return a->address < b->address ? -1 : 1;
    }
    if (a->protocol != b->protocol) {
        return (int)a->protocol - (int)b->protocol;
    }
    return (int)a->port - (int)b->port;
}

static int claim_cmp(const void *a, const void *b)
{
    const struct claim *x = a;
    const struct claim *y = b;
    int order = rule_cmp(&x->rule, &y->rule);
    return order != 0 ? order : x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* 0 when it is none that we translate. */
uint8_t port_protocol(const struct val *port)
{
    static const struct {
        struct str name;
        uint8_t number;
    } protocols[] = {
        {{"TCP", 3},  IPPROTO_TCP },
        {{"UDP", 3},  IPPROTO_UDP },
        {{"SCTP", 4}, IPPROTO_SCTP},
        {{NULL, 0},   IPPROTO_TCP }, /* the default */
    };
    struct str name = val_text_at(port, "protocol");
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        if (str_eq(protocols[i].name, name)) {
            return protocols[i].number;
        }
    }
    return 0;
}

static uint16_t port_number(const struct val *object, const char *path)
{
    int64_t number = val_number_at(object, path, 0);
    return number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

/* The number that a slice gives to a service's port, or 0. */
static uint16_t slice_port(const struct val *slice, const struct port *port)
{
    const struct val *ports = val_path(slice, "ports");
    for (size_t i = 0; i < val_count(ports); i++) {
        const struct val *candidate = val_at(ports, i);
        if (str_eq(val_text_at(candidate, "name"), port->name) &&
            port_protocol(candidate) == port->protocol) {
            return port_number(candidate, "port");
        }
    }
    return 0;
}

/* Absent conditions have defaults of their own. */
static bool condition(const struct val *endpoint, const char *path, bool otherwise)
{
    const struct val *v = val_path(endpoint, path);
    return val_is(v, VAL_BOOL) ? val_is_true(v) : otherwise;
}

static bool is_usable(const struct val *endpoint, bool is_fallback)
{
    bool is_ready = condition(endpoint, "conditions.ready", true);
    if (!is_fallback) {
        return is_ready;
    }
    return condition(endpoint, "conditions.serving", is_ready) &&
           condition(endpoint, "conditions.terminating", false);
}

static size_t endpoints_collect(const struct val *slice, uint16_t number, bool is_fallback,
                                struct rule_endpoint *out)
{
    const struct val *endpoints = val_path(slice, "endpoints");
    size_t count = 0;
    for (size_t i = 0; i < val_count(endpoints); i++) {
        const struct val *endpoint = val_at(endpoints, i);
        struct rule_endpoint made = {.port = number};
        /* The addresses of one endpoint stand for the same pod; the first one is used. */
        struct str text = val_text(val_at(val_path(endpoint, "addresses"), 0));
        if (is_usable(endpoint, is_fallback) && ip4_parse(text, &made.address) == 0) {
            out[count++] = made;
        }
    }
    return count;
}

/* First slice of a service, or slices_count. */
static size_t slices_seek(const struct build *build, const struct keyed *service)
{
    size_t low = 0;
    size_t high = build->slices_count;
    const struct keyed before = {.ns = service->ns, .service = service->name};
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keyed_cmp(&build->slices[middle], &before) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_slice_of(const struct keyed *slice, const struct keyed *service)
{
    return str_eq(slice->ns, service->ns) && str_eq(slice->service, service->name);
}

/* Ready endpoints; where there is none, those that still serve while they terminate. */
static void port_resolve(const struct build *build, const struct keyed *service, struct port *port)
{
    size_t first = slices_seek(build, service);
    size_t most = 0;
    size_t end = first;
    for (; end < build->slices_count && is_slice_of(&build->slices[end], service); end++) {
        most += val_count(val_path(build->slices[end].object, "endpoints"));
    }
    struct rule_endpoint *all = arena_alloc(build->arena, (most + 1) * sizeof(*all));
    size_t count = 0;
    for (int is_fallback = 0; is_fallback < 2 && count == 0; is_fallback++) {
        for (size_t i = first; i < end; i++) {
            uint16_t number = slice_port(build->slices[i].object, port);
            if (number != 0) {
                count += endpoints_collect(build->slices[i].object, number, is_fallback != 0,
                                           all + count);
            }
        }
    }
    qsort(all, count, sizeof(*all), endpoint_cmp);
    port->endpoints = all;
    port->endpoints_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || endpoint_cmp(&all[i], &all[i - 1]) != 0) {
            all[port->endpoints_count++] = all[i];
        }
    }
}

static void claim(struct build *build, const struct port *port, uint32_t address, uint16_t number)
{
    if (number != 0) {
        build->claims[build->claims_count++] = (struct claim){
            .rule =
                {
                       .address = address,
                       .port = number,
                       .protocol = port->protocol,
                       .affinity_seconds = port->affinity_seconds,
                       .endpoints = port->endpoints,
                       .endpoints_count = port->endpoints_count,
                       },
            .rank = port->rank,
        };
    }
}

static void claim_text(struct build *build, const struct port *port, struct str text,
                       uint16_t number)
{
    uint32_t address;
    if (ip4_parse(text, &address) == 0 && address != 0) {
        claim(build, port, address, number);
    }
}

static void claim_list(struct build *build, const struct port *port, const struct val *list,
                       uint16_t number)
{
    for (size_t i = 0; i < val_count(list); i++) {
        claim_text(build, port, val_text(val_at(list, i)), number);
    }
}

static uint32_t affinity_of(const struct val *service)
{
    if (!str_eq(val_text_at(service, "spec.sessionAffinity"), S("ClientIP"))) {
        return 0;
    }
    int64_t seconds = val_number_at(service, "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                                    AFFINITY_SECONDS);
    return seconds > 0 && seconds <= 86400 ? (uint32_t)seconds : AFFINITY_SECONDS;
}

static bool is_proxied(const struct val *service)
{
    struct str cluster_ip = val_text_at(service, "spec.clusterIP");
    return cluster_ip.n > 0 && !str_eq(cluster_ip, S("None")) &&
           !str_eq(val_text_at(service, "spec.type"), S("ExternalName"));
}

/* Most claims that a service can make. */
static size_t claims_most(const struct val *service)
{
    size_t addresses = 2 /* clusterIP and the node port */ +
                       val_count(val_path(service, "spec.clusterIPs")) +
                       val_count(val_path(service, "spec.externalIPs")) +
                       val_count(val_path(service, "status.loadBalancer.ingress"));
    return val_count(val_path(service, "spec.ports")) * addresses;
}

static void service_port_claim(struct build *build, const struct keyed *service,
                               const struct val *spec_port, size_t rank)
{
    struct port port = {
        .name = val_text_at(spec_port, "name"),
        .protocol = port_protocol(spec_port),
        .affinity_seconds = affinity_of(service->object),
        .rank = rank,
    };
    uint16_t number = port_number(spec_port, "port");
    if (port.protocol == 0 || number == 0) {
        return;
    }
    port_resolve(build, service, &port);
    claim_text(build, &port, val_text_at(service->object, "spec.clusterIP"), number);
    claim_list(build, &port, val_path(service->object, "spec.clusterIPs"), number);
    claim_list(build, &port, val_path(service->object, "spec.externalIPs"), number);
    const struct val *ingress = val_path(service->object, "status.loadBalancer.ingress");
    for (size_t i = 0; i < val_count(ingress); i++) {
        const struct val *point = val_at(ingress, i);
        if (!str_eq(val_text_at(point, "ipMode"), S("Proxy"))) {
            claim_text(build, &port, val_text_at(point, "ip"), number);
        }
    }
    claim(build, &port, /*address=*/0, port_number(spec_port, "nodePort"));
}

/* Sorted by namespace and service. label NULL: the object's own name is the service's. */
static struct keyed *keyed_make(struct arena *arena, const struct val *const *objects, size_t count,
                                bool is_slice)
{
    struct keyed *list = arena_alloc(arena, (count + 1) * sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        const struct val *labels = val_path(objects[i], "metadata.labels");
        struct str name = val_text_at(objects[i], "metadata.name");
        list[i] = (struct keyed){
            .ns = val_text_at(objects[i], "metadata.namespace"),
            .service = is_slice ? val_text(val_get(labels, S("kubernetes.io/service-name"))) : name,
            .name = name,
            .object = objects[i],
        };
    }
    qsort(list, count, sizeof(*list), keyed_cmp);
    return list;
}

void proxy_build(struct arena *arena, const struct val *const *services, size_t services_count,
                 const struct val *const *slices, size_t slices_count,
                 const struct proxy_config *config, struct ruleset *ret)
{
    const struct keyed *sorted = keyed_make(arena, services, services_count, /*is_slice=*/false);
    struct build build = {
        .arena = arena,
        .slices = keyed_make(arena, slices, slices_count, /*is_slice=*/true),
        .slices_count = slices_count,
    };
    size_t most = 0;
    for (size_t i = 0; i < services_count; i++) {
        most += claims_most(services[i]);
    }
    build.claims = arena_alloc(arena, (most + 1) * sizeof(*build.claims));
    for (size_t i = 0; i < services_count; i++) {
        const struct val *ports = val_path(sorted[i].object, "spec.ports");
        for (size_t p = 0; p < val_count(ports) && is_proxied(sorted[i].object); p++) {
            service_port_claim(&build, &sorted[i], val_at(ports, p), i);
        }
    }
    qsort(build.claims, build.claims_count, sizeof(*build.claims), claim_cmp);
    struct rule_service *rules = arena_alloc(arena, (build.claims_count + 1) * sizeof(*rules));
    size_t kept = 0;
    for (size_t i = 0; i < build.claims_count; i++) {
        if (kept == 0 || rule_cmp(&rules[kept - 1], &build.claims[i].rule) != 0) {
            rules[kept++] = build.claims[i].rule;
        }
    }
    *ret = (struct ruleset){
        .services = rules,
        .services_count = kept,
        .pod_cidr = config->pod_cidr,
        .pod_prefix = config->pod_prefix,
        .service_cidr = config->service_cidr,
        .service_prefix = config->service_prefix,
    };
}
