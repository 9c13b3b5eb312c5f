// SPDX-License-Identifier: Apache-2.0
#include "control/publish_claims.h"

#include "net/pod_net.h"

#include <netinet/in.h>
#include <stdlib.h>

enum { LOOPBACK = 0x7f000001, LOOPBACK_NET = 127 };

struct claims {
    struct arena *arena;
    struct publish_claim *list;
    size_t count;
    size_t cap;
};

static void add(struct claims *claims, struct publish_claim claim)
{
    if (claim.protocol == 0 || claim.port == 0 || claim.target == 0 || claim.target_port == 0) {
        return;
    }
    claims->list = arena_more(claims->arena, claims->list, claims->count, &claims->cap,
                              sizeof claims->list[0]);
    claims->list[claims->count++] = claim;
}

static uint8_t protocol_of(const struct val *port)
{
    struct str name = val_text_at(port, "protocol");
    return name.n == 0 || str_eq(name, S("TCP")) ? IPPROTO_TCP
           : str_eq(name, S("UDP"))              ? IPPROTO_UDP
                                                 : 0;
}

static uint16_t number_at(const struct val *port, const char *field)
{
    int64_t number = val_number_at(port, field, 0);
    return number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

static uint32_t address_at(const struct val *v, const char *path)
{
    uint32_t address;
    return ip4_parse(val_text_at(v, path), &address) == 0 ? address : 0;
}

bool publish_is_load_balancer(const struct val *service)
{
    return str_eq(val_text_at(service, "spec.type"), S("LoadBalancer")) &&
           val_text_at(service, "spec.loadBalancerClass").n == 0;
}

bool publish_concerns_service(const struct val *service)
{
    struct str type = val_text_at(service, "spec.type");
    return str_eq(type, S("NodePort")) || str_eq(type, S("LoadBalancer")) ||
           val_count(val_path(service, "status.loadBalancer.ingress")) > 0;
}

static void claim_service(struct claims *claims, struct object *object)
{
    const struct val *service = object_val(object);
    const struct val *ports = val_path(service, "spec.ports");
    struct str type = val_text_at(service, "spec.type");
    bool is_node_port = str_eq(type, S("NodePort")) || str_eq(type, S("LoadBalancer"));
    for (size_t i = 0; i < val_count(ports) && is_node_port; i++) {
        struct publish_claim claim = {.address = LOOPBACK,
                                      .target = address_at(service, "spec.clusterIP"),
                                      .port = number_at(val_at(ports, i), "nodePort"),
                                      .target_port = number_at(val_at(ports, i), "port"),
                                      .protocol = protocol_of(val_at(ports, i)),
                                      .purpose = PUBLISH_NODE_PORT,
                                      .owner = object};
        add(claims, claim);
        if (publish_is_load_balancer(service)) {
            claim.port = claim.target_port;
            claim.purpose = PUBLISH_LOAD_BALANCER;
            add(claims, claim);
        }
    }
}

/* Containers that serve: those of the pod, and init containers that go on beside them. */
static const char *const container_lists[] = {"spec.containers", "spec.initContainers"};

static void claim_pod(struct claims *claims, struct object *object)
{
    const struct val *pod = object_val(object);
    struct str phase = val_text_at(pod, "status.phase");
    if (str_eq(phase, S("Succeeded")) || str_eq(phase, S("Failed"))) {
        return;
    }
    for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
        const struct val *containers = val_path(pod, container_lists[l]);
        for (size_t c = 0; c < val_count(containers); c++) {
            const struct val *ports = val_get(val_at(containers, c), S("ports"));
            for (size_t i = 0; i < val_count(ports); i++) {
                const struct val *port = val_at(ports, i);
                uint32_t address = address_at(port, "hostIP");
                add(claims, (struct publish_claim){
                                .address = address >> 24 == LOOPBACK_NET ? address : LOOPBACK,
                                .target = address_at(pod, "status.podIP"),
                                .port = number_at(port, "hostPort"),
                                .target_port = number_at(port, "containerPort"),
                                .protocol = protocol_of(port),
                                .purpose = PUBLISH_HOST_PORT,
                                .owner = object});
            }
        }
    }
}

bool publish_concerns_pod(const struct val *pod)
{
    for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
        const struct val *containers = val_path(pod, container_lists[l]);
        for (size_t c = 0; c < val_count(containers); c++) {
            const struct val *ports = val_get(val_at(containers, c), S("ports"));
            for (size_t i = 0; i < val_count(ports); i++) {
                if (number_at(val_at(ports, i), "hostPort") != 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

static int compare_port(const struct publish_claim *a, const struct publish_claim *b)
{
    return a->protocol != b->protocol ? (a->protocol < b->protocol ? -1 : 1)
           : a->address != b->address ? (a->address < b->address ? -1 : 1)
           : a->port != b->port       ? (a->port < b->port ? -1 : 1)
                                      : 0;
}

static int compare(const void *left, const void *right)
{
    const struct publish_claim *a = left;
    const struct publish_claim *b = right;
    int r = compare_port(a, b);
    bool is_pod_a = a->purpose == PUBLISH_HOST_PORT;
    bool is_pod_b = b->purpose == PUBLISH_HOST_PORT;
    if (r == 0 && is_pod_a != is_pod_b) {
        return is_pod_a ? 1 : -1;
    }
    r = r != 0 ? r : str_cmp(a->owner->key, b->owner->key);
    r = r != 0 ? r : (int)a->purpose - (int)b->purpose;
    return r != 0 ? r : (int)a->target_port - (int)b->target_port;
}

void publish_claims(struct arena *arena, struct object *const *services, size_t services_count,
                    struct object *const *pods, size_t pods_count,
                    struct publish_claim **ret_claims, size_t *ret_count)
{
    struct claims claims = {.arena = arena};
    for (size_t i = 0; i < services_count; i++) {
        claim_service(&claims, services[i]);
    }
    for (size_t i = 0; i < pods_count; i++) {
        claim_pod(&claims, pods[i]);
    }
    if (claims.count > 0) {
        qsort(claims.list, claims.count, sizeof *claims.list, compare);
    }
    for (size_t i = 0; i < claims.count; i++) {
        claims.list[i].is_winner =
            i == 0 || compare_port(&claims.list[i - 1], &claims.list[i]) != 0;
    }
    *ret_claims = claims.list;
    *ret_count = claims.count;
}
