// SPDX-License-Identifier: Apache-2.0
//
// Services: cluster IPs and node ports are allocated at admission from what the store's head holds
// (spec/node.md 7.1), so two services never get the same one and nothing has to be kept beside.
// Dynamic allocation starts above the band that is left for static requests.
#include "api/defaults.h"
#include "api/strategy.h"

#include "api/api.h"
#include "api/names.h"
#include "api/rules.h"
#include "base/mem.h"

#include <stdlib.h>

enum {
    NODE_PORT_FIRST = 30000,
    NODE_PORT_LAST = 32767,
    NODE_PORT_STATIC_BAND = 86, /* min(max(16, size / 32), 128) */
    AFFINITY_SECONDS_DEFAULT = 10800,
    AFFINITY_SECONDS_MAX = 86400,
    STATIC_BAND_MIN = 16,
    STATIC_BAND_MAX = 256
};

static struct str type_of(const struct val *obj)
{
    return val_text_at(obj, "spec.type");
}

static bool is_type(const struct val *obj, const char *type)
{
    return str_eq(type_of(obj), str_of(type));
}

static bool has_node_ports(const struct val *obj)
{
    return is_type(obj, "NodePort") ||
           (is_type(obj, "LoadBalancer") &&
            (val_path(obj, "spec.allocateLoadBalancerNodePorts") == NULL ||
             val_true_at(obj, "spec.allocateLoadBalancerNodePorts")));
}

static void service_defaults(struct arena *arena, struct val *obj)
{
    struct val *spec = val_need_map(arena, obj, S("spec"));
    default_text(arena, spec, S("type"), S("ClusterIP"));
    default_text(arena, spec, S("sessionAffinity"), S("None"));
    if (str_eq(val_text_at(spec, "sessionAffinity"), S("ClientIP")) &&
        val_path(spec, "sessionAffinityConfig.clientIP.timeoutSeconds") == NULL) {
        (void)val_set_path(arena, spec, "sessionAffinityConfig.clientIP.timeoutSeconds",
                           val_int(AFFINITY_SECONDS_DEFAULT));
    }
    struct val *ports = val_slot(spec, S("ports"));
    for (size_t i = 0; i < val_count(ports); i++) {
        struct val *port = &ports->items[i];
        default_text(arena, port, S("protocol"), S("TCP"));
        const struct val *target = val_get(port, S("targetPort"));
        if (target == NULL || (val_is(target, VAL_INT) && target->i == 0) ||
            (val_is(target, VAL_STR) && target->n == 0)) {
            (void)val_set(arena, port, S("targetPort"), val_int(val_number_at(port, "port", 0)));
        }
    }
    if (is_type(obj, "ExternalName")) {
        return;
    }
    default_text(arena, spec, S("internalTrafficPolicy"), S("Cluster"));
    if (is_type(obj, "NodePort") || is_type(obj, "LoadBalancer")) {
        default_text(arena, spec, S("externalTrafficPolicy"), S("Cluster"));
    }
    if (is_type(obj, "LoadBalancer") && val_get(spec, S("allocateLoadBalancerNodePorts")) == NULL) {
        (void)val_set(arena, spec, S("allocateLoadBalancerNodePorts"), val_bool(true));
    }
}

static void drop_node_ports(struct val *spec)
{
    struct val *ports = val_slot(spec, S("ports"));
    for (size_t i = 0; i < val_count(ports); i++) {
        (void)val_remove(&ports->items[i], S("nodePort"));
    }
}

/* A port by what must be the same for its number to stay. */
struct kept_port {
    int64_t port;
    struct str protocol;
    int64_t number;
};

static int by_port(const void *a, const void *b)
{
    const struct kept_port *x = a;
    const struct kept_port *y = b;
    return x->port != y->port ? (x->port < y->port ? -1 : 1) : str_cmp(x->protocol, y->protocol);
}

static struct kept_port kept_port_of(const struct val *port)
{
    return (struct kept_port){.port = val_number_at(port, "port", 0),
                              .protocol = val_text_at(port, "protocol"),
                              .number = val_number_at(port, "nodePort", 0)};
}

static void keep_node_ports(struct arena *arena, struct val *ports, const struct val *before)
{
    size_t count = val_count(before);
    struct kept_port *kept = arena_alloc(arena, (count + 1) * sizeof *kept);
    for (size_t i = 0; i < count; i++) {
        kept[i] = kept_port_of(val_at(before, i));
    }
    qsort(kept, count, sizeof *kept, by_port);
    for (size_t i = 0; i < val_count(ports); i++) {
        struct kept_port now = kept_port_of(&ports->items[i]);
        const struct kept_port *was = bsearch(&now, kept, count, sizeof *kept, by_port);
        if (was != NULL && was->number != 0 && now.number == 0) {
            (void)val_set(arena, &ports->items[i], S("nodePort"), val_int(was->number));
        }
    }
}

/* What was allocated stays with an update that doesn't mention it. */
static void keep_allocated(struct arena *arena, struct val *obj, const struct val *old)
{
    struct val *spec = val_need_map(arena, obj, S("spec"));
    static const struct str fields[] = {
        {"clusterIP",      9 },
        {"clusterIPs",     10},
        {"ipFamilies",     10},
        {"ipFamilyPolicy", 14}
    };
    bool was_external = is_type(old, "ExternalName");
    bool is_external = is_type(obj, "ExternalName");
    for (size_t i = 0; i < ARRAY_LEN(fields) && !was_external && !is_external; i++) {
        const struct val *before = val_get(val_get(old, S("spec")), fields[i]);
        const struct val *now = val_get(spec, fields[i]);
        if (before != NULL && (val_count(now) == 0 && val_text(now).n == 0)) {
            (void)val_set(arena, spec, fields[i], val_copy(arena, before));
        }
    }
    if (!has_node_ports(obj)) {
        drop_node_ports(spec);
        return;
    }
    keep_node_ports(arena, val_slot(spec, S("ports")), val_path(old, "spec.ports"));
}

static void service_prepare(struct arena *arena, struct val *obj, const struct val *old,
                            struct str subresource)
{
    if (old == NULL) {
        struct val status = val_map();
        (void)val_set(arena, &status, S("loadBalancer"), val_map());
        (void)val_set(arena, obj, S("status"), status);
        return;
    }
    bool is_status = str_eq(subresource, S("status"));
    struct str kept = is_status ? S("spec") : S("status");
    const struct val *before = val_get(old, kept);
    if (before != NULL) {
        (void)val_set(arena, obj, kept, val_copy(arena, before));
    }
    if (!is_status) {
        keep_allocated(arena, obj, old);
    }
}

static uint32_t parse_ip(struct str text)
{
    uint32_t address = 0;
    struct str rest = text;
    for (int i = 0; i < 4; i++) {
        uint64_t part;
        if (rest.p == NULL || str_to_u64(str_cut(&rest, '.'), &part) < 0 || part > 255) {
            return 0;
        }
        address = address << 8 | (uint32_t)part;
    }
    return rest.p == NULL ? address : 0;
}

static struct str format_ip(struct arena *arena, uint32_t a)
{
    return arena_fmt(arena, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

struct services {
    const struct val **list;
    size_t count;
    const struct val *self; /* of this name: its own allocations don't clash */
};

static bool is_ip_taken(const struct services *all, struct str ip)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->list[i] != all->self && str_eq(val_text_at(all->list[i], "spec.clusterIP"), ip)) {
            return true;
        }
    }
    return false;
}

/* Addresses of the service range. */
static uint64_t range_size(const struct api_config *config)
{
    return UINT64_C(1) << (32 - config->service_prefix);
}

static uint32_t static_band(uint64_t size)
{
    return size / 16 < STATIC_BAND_MIN   ? STATIC_BAND_MIN
           : size / 16 > STATIC_BAND_MAX ? STATIC_BAND_MAX
                                         : (uint32_t)(size / 16);
}

/* A random start above the static band, then the next free one. */
static struct str pick_ip(struct admission *a, const struct services *all)
{
    const struct api_config *config = api_config(a->api);
    uint64_t size = range_size(config);
    uint32_t band = static_band(size);
    uint64_t span = size - band - 1;
    uint64_t start = rng_below(config->rng, span);
    for (uint64_t i = 0; i < span; i++) {
        uint32_t offset = band + (uint32_t)((start + i) % span);
        struct str ip = format_ip(a->arena, config->service_cidr + offset);
        if (!is_ip_taken(all, ip)) {
            return ip;
        }
    }
    return S("");
}

static void refuse_ip(struct admission *a, const struct val *ips, struct str why)
{
    cause_add(a->causes, CAUSE_INVALID, S("spec.clusterIPs"), ips, why);
}

static void check_static_ip(struct admission *a, const struct services *all, struct str ip,
                            const struct val *ips)
{
    const struct api_config *config = api_config(a->api);
    uint32_t address = parse_ip(ip);
    if (address == 0) {
        cause_add(a->causes, CAUSE_INVALID, S("spec.clusterIPs[0]"), val_at(ips, 0),
                  S("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    } else if (address <= config->service_cidr ||
               address - config->service_cidr >= range_size(config) - 1) {
        refuse_ip(a, ips,
                  arena_fmt(a->arena,
                            "failed to allocate IP " STR_FMT ": the provided IP (" STR_FMT
                            ") is not in the valid range. The range of valid IPs is " STR_FMT "/%d",
                            STR_ARG(ip), STR_ARG(ip),
                            STR_ARG(format_ip(a->arena, config->service_cidr)),
                            config->service_prefix));
    } else if (is_ip_taken(all, ip)) {
        refuse_ip(a, ips,
                  arena_fmt(a->arena,
                            "failed to allocate IP " STR_FMT ": provided IP is already allocated",
                            STR_ARG(ip)));
    }
}

static void admit_ip(struct admission *a, struct val *spec, const struct services *all)
{
    struct str ip = val_text_at(spec, "clusterIP");
    ip = ip.n > 0 ? ip : val_text_at(spec, "clusterIPs.0");
    bool is_wanted = ip.n > 0;
    if (!is_wanted) {
        ip = pick_ip(a, all);
        if (ip.n == 0) {
            refuse_ip(a, NULL, S("failed to allocate a serviceIP: range is full"));
            return;
        }
    }
    (void)val_set(a->arena, spec, S("clusterIP"), val_str(ip));
    if (val_count(val_get(spec, S("clusterIPs"))) == 0) {
        (void)val_push(a->arena, val_need_list(a->arena, spec, S("clusterIPs")), val_str(ip));
    }
    if (val_count(val_get(spec, S("ipFamilies"))) == 0) {
        (void)val_push(a->arena, val_need_list(a->arena, spec, S("ipFamilies")),
                       val_str(S("IPv4")));
    }
    default_text(a->arena, spec, S("ipFamilyPolicy"), S("SingleStack"));
    if (is_wanted && !str_eq(ip, S("None"))) {
        check_static_ip(a, all, ip, val_get(spec, S("clusterIPs")));
    }
}

/* Who holds which node port: the same number may serve several protocols inside one service. */
enum { HELD_BY_ANOTHER = 1, HELD_FOR_TCP = 2, HELD_FOR_UDP = 4, HELD_FOR_SCTP = 8 };

struct node_ports {
    uint8_t held[NODE_PORT_LAST - NODE_PORT_FIRST + 1];
};

/* NULL beyond the range. */
static uint8_t *node_port_at(struct node_ports *held, int64_t number)
{
    return number < NODE_PORT_FIRST || number > NODE_PORT_LAST
               ? NULL
               : &held->held[number - NODE_PORT_FIRST];
}

static void hold_others(struct node_ports *held, const struct services *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct val *ports =
            all->list[i] == all->self ? NULL : val_path(all->list[i], "spec.ports");
        for (size_t k = 0; k < val_count(ports); k++) {
            uint8_t *at = node_port_at(held, val_number_at(val_at(ports, k), "nodePort", 0));
            if (at != NULL) {
                *at = HELD_BY_ANOTHER;
            }
        }
    }
}

static uint8_t holder_of(const struct val *port)
{
    struct str protocol = val_text_at(port, "protocol");
    return str_eq(protocol, S("UDP"))    ? HELD_FOR_UDP
           : str_eq(protocol, S("SCTP")) ? HELD_FOR_SCTP
                                         : HELD_FOR_TCP;
}

/* A port with a number that was asked for. */
static void take_port(struct admission *a, const struct val *port, size_t i,
                      struct node_ports *held)
{
    const struct val *asked = val_get(port, S("nodePort"));
    uint8_t *at = node_port_at(held, val_number(asked, 0));
    struct str path = arena_fmt(a->arena, "spec.ports[%zu].nodePort", i);
    if (at == NULL) {
        cause_add(
            a->causes, CAUSE_INVALID, path, asked,
            S("provided port is not in the valid range. The range of valid ports is 30000-32767"));
    } else if ((*at & (HELD_BY_ANOTHER | holder_of(port))) != 0) {
        cause_add(a->causes, CAUSE_INVALID, path, asked, S("provided port is already allocated"));
    } else {
        *at |= holder_of(port);
    }
}

static void pick_port(struct admission *a, struct val *port, size_t i, struct node_ports *held)
{
    int64_t first = NODE_PORT_FIRST + NODE_PORT_STATIC_BAND;
    int64_t span = NODE_PORT_LAST - first + 1;
    int64_t start = (int64_t)rng_below(api_config(a->api)->rng, (uint64_t)span);
    for (int64_t k = 0; k < span; k++) {
        int64_t number = first + (start + k) % span;
        uint8_t *at = node_port_at(held, number);
        if ((*at & (HELD_BY_ANOTHER | holder_of(port))) == 0) {
            *at |= holder_of(port);
            (void)val_set(a->arena, port, S("nodePort"), val_int(number));
            return;
        }
    }
    cause_add(a->causes, CAUSE_INVALID, arena_fmt(a->arena, "spec.ports[%zu].nodePort", i), NULL,
              S("failed to allocate a nodePort: range is full"));
}

static void admit_node_ports(struct admission *a, struct val *ports, const struct services *all)
{
    struct node_ports *held = arena_alloc(a->arena, sizeof *held);
    *held = (struct node_ports){0};
    hold_others(held, all);
    for (int is_picked = 0; is_picked < 2; is_picked++) { /* what is asked for goes first */
        for (size_t i = 0; i < val_count(ports); i++) {
            bool is_asked = val_number_at(&ports->items[i], "nodePort", 0) != 0;
            if (is_picked == 0 && is_asked) {
                take_port(a, &ports->items[i], i, held);
            } else if (is_picked != 0 && !is_asked) {
                pick_port(a, &ports->items[i], i, held);
            }
        }
    }
}

static void service_admit(struct admission *a, struct val *obj)
{
    if (str_eq(a->subresource, S("status")) || is_type(obj, "ExternalName")) {
        return;
    }
    struct val *spec = val_need_map(a->arena, obj, S("spec"));
    struct services all = {0};
    api_peek_list(a->api, kind_of(KIND_SERVICE), S(""), a->arena, &all.list, &all.count);
    all.self = a->old == NULL ? NULL
                              : api_peek(a->api, kind_of(KIND_SERVICE), a->ns,
                                         val_text_at(a->old, "metadata.name"));
    admit_ip(a, spec, &all);
    if (has_node_ports(obj)) {
        admit_node_ports(a, val_slot(spec, S("ports")), &all);
    }
}

static const struct str *protocols_and_ports(struct arena *arena, const struct val *ports)
{
    struct str *texts = arena_alloc(arena, val_count(ports) * sizeof *texts);
    for (size_t i = 0; i < val_count(ports); i++) {
        const struct val *port = val_at(ports, i);
        texts[i] = arena_fmt(arena, STR_FMT "/%lld", STR_ARG(val_text_at(port, "protocol")),
                             (long long)val_number_at(port, "port", 0));
    }
    return texts;
}

static void validate_ports(const struct val *obj, struct causes *causes)
{
    const struct val *ports = val_path(obj, "spec.ports");
    bool is_headless = str_eq(val_text_at(obj, "spec.clusterIP"), S("None"));
    struct arena *a = causes->arena;
    const bool *is_name_repeated = names_repeated(a, names_of(a, ports, "name"), val_count(ports));
    const bool *is_port_repeated =
        names_repeated(a, protocols_and_ports(a, ports), val_count(ports));
    if (val_count(ports) == 0 && !is_headless && !is_type(obj, "ExternalName")) {
        cause_add(causes, CAUSE_REQUIRED, S("spec.ports"), NULL, S(""));
    }
    for (size_t i = 0; i < val_count(ports); i++) {
        const struct val *port = val_at(ports, i);
        struct str at = arena_fmt(a, "spec.ports[%zu]", i);
        const struct val *name = val_get(port, S("name"));
        if (val_text(name).n == 0 && val_count(ports) > 1) {
            cause_add(causes, CAUSE_REQUIRED, arena_fmt(a, STR_FMT ".name", STR_ARG(at)), NULL,
                      S(""));
        } else if (val_text(name).n > 0) {
            check_rule(rule_dns_label(val_text(name), /*is_prefix=*/false),
                       arena_fmt(a, STR_FMT ".name", STR_ARG(at)), name, causes);
        }
        check_port(val_get(port, S("port")), arena_fmt(a, STR_FMT ".port", STR_ARG(at)), causes);
        const struct val *target = val_get(port, S("targetPort"));
        if (val_is(target, VAL_INT)) {
            check_port(target, arena_fmt(a, STR_FMT ".targetPort", STR_ARG(at)), causes);
        } else if (target != NULL) {
            check_rule(rule_port_name(val_text(target)),
                       arena_fmt(a, STR_FMT ".targetPort", STR_ARG(at)), target, causes);
        }
        if (is_name_repeated[i] && val_text(name).n > 0) {
            cause_add(causes, CAUSE_DUPLICATE, arena_fmt(a, STR_FMT ".name", STR_ARG(at)), name,
                      S(""));
        }
        if (is_port_repeated[i]) {
            cause_add(causes, CAUSE_DUPLICATE, at, port, S(""));
        }
    }
}

static void service_validate(const struct val *obj, struct causes *causes)
{
    const struct val *spec = val_get(obj, S("spec"));
    check_enums(schema_find(S("core.v1.ServiceSpec")), spec, S("spec"), causes);
    validate_ports(obj, causes);
    check_labels(val_get(spec, S("selector")), S("spec.selector"), causes);
    if (is_type(obj, "ExternalName")) {
        const struct val *name = val_get(spec, S("externalName"));
        if (val_text_at(spec, "clusterIP").n > 0 &&
            !str_eq(val_text_at(spec, "clusterIP"), S("None"))) {
            cause_add(causes, CAUSE_FORBIDDEN, S("spec.clusterIPs"), NULL,
                      S("may not be set when `type` is 'ExternalName'"));
        }
        if (val_text(name).n == 0) {
            cause_add(causes, CAUSE_REQUIRED, S("spec.externalName"), NULL, S(""));
        } else {
            check_rule(rule_dns_subdomain(val_text(name), /*is_prefix=*/false),
                       S("spec.externalName"), name, causes);
        }
    }
    if (has_node_ports(obj) && str_eq(val_text_at(spec, "clusterIP"), S("None"))) {
        cause_add(causes, CAUSE_INVALID, S("spec.clusterIPs[0]"), val_get(spec, S("clusterIP")),
                  arena_fmt(causes->arena, "may not be set to 'None' for " STR_FMT " services",
                            STR_ARG(type_of(obj))));
    }
    int64_t seconds = val_number_at(spec, "sessionAffinityConfig.clientIP.timeoutSeconds", 1);
    if (seconds < 1 || seconds > AFFINITY_SECONDS_MAX) {
        cause_add(causes, CAUSE_INVALID, S("spec.sessionAffinityConfig.clientIP.timeoutSeconds"),
                  val_path(spec, "sessionAffinityConfig.clientIP.timeoutSeconds"),
                  S("must be greater than 0 and less than 86400"));
    }
}

static void service_validate_update(const struct val *obj, const struct val *old,
                                    struct causes *causes)
{
    bool changes_external = is_type(obj, "ExternalName") != is_type(old, "ExternalName");
    const struct val *ip = val_path(obj, "spec.clusterIP");
    struct str before = val_text_at(old, "spec.clusterIP");
    if (!changes_external && before.n > 0 && !str_eq(val_text(ip), before)) {
        /* A client that names only clusterIP means the list too. */
        struct val shown = val_list();
        (void)val_push(causes->arena, &shown, ip == NULL ? val_str(S("")) : *ip);
        cause_add(causes, CAUSE_INVALID, S("spec.clusterIPs[0]"), &shown,
                  S("may not change once set"));
    }
}

static bool service_field(struct arena *arena, const struct val *obj, struct str path,
                          struct str *ret)
{
    (void)arena;
    bool is_ip = str_eq(path, S("spec.clusterIP"));
    if (!is_ip && !str_eq(path, S("spec.type"))) {
        return false;
    }
    *ret = is_ip ? val_text_at(obj, "spec.clusterIP") : type_of(obj);
    return true;
}

const struct strategy strategy_service = {
    .defaults = service_defaults,
    .prepare = service_prepare,
    .admit = service_admit,
    .validate = service_validate,
    .validate_update = service_validate_update,
    .check_name = rule_dns_label_1035,
    .field = service_field,
};
