// SPDX-License-Identifier: Apache-2.0
//
// Network policies: defaults and checks of upstream's pkg/apis/networking/v1 and validation. Who
// enforces them is control/policy_loop.h.
#include "api/defaults.h"
#include "api/strategy.h"

#include "api/rules.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>

static const char *const directions[][2] = {
    {"ingress", "from"},
    {"egress",  "to"  }
};

static void network_policy_defaults(struct arena *arena, struct val *obj)
{
    struct val *spec = val_need_map(arena, obj, S("spec"));
    for (size_t d = 0; d < ARRAY_LEN(directions); d++) {
        struct val *rules = val_slot(spec, str_of(directions[d][0]));
        for (size_t i = 0; i < val_count(rules); i++) {
            struct val *ports = val_slot(&rules->items[i], S("ports"));
            for (size_t p = 0; p < val_count(ports); p++) {
                default_text(arena, &ports->items[p], S("protocol"), S("TCP"));
            }
        }
    }
    if (val_count(val_get(spec, S("policyTypes"))) == 0) {
        struct val types = val_list();
        (void)val_push(arena, &types, val_str(S("Ingress")));
        if (val_count(val_get(spec, S("egress"))) > 0) {
            (void)val_push(arena, &types, val_str(S("Egress")));
        }
        (void)val_set(arena, spec, S("policyTypes"), types);
    }
}

static struct str at_field(struct causes *causes, struct str path, const char *name)
{
    return arena_fmt(causes->arena, STR_FMT ".%s", STR_ARG(path), name);
}

static void check_end_port(const struct val *port, struct str path, struct causes *causes)
{
    const struct val *first = val_get(port, S("port"));
    const struct val *end = val_get(port, S("endPort"));
    struct str at = at_field(causes, path, "endPort");
    if (end == NULL) {
        return;
    }
    if (first == NULL) {
        cause_add(causes, CAUSE_INVALID, at, end,
                  S("may not be specified when `port` is not specified"));
    } else if (val_is(first, VAL_STR)) {
        cause_add(causes, CAUSE_INVALID, at, end,
                  S("may not be specified when `port` is non-numeric"));
    } else {
        if (val_number(end, 0) < val_number(first, 0)) {
            cause_add(causes, CAUSE_INVALID, at, end, S("must be greater than or equal to `port`"));
        }
        check_port(end, at, causes);
    }
}

static void check_policy_port(const struct val *port, struct str path, struct causes *causes)
{
    static const struct str protocols[] = {
        {"TCP",  3},
        {"UDP",  3},
        {"SCTP", 4}
    };
    const struct val *protocol = val_get(port, S("protocol"));
    const struct val *first = val_get(port, S("port"));
    struct str text = val_text(protocol);
    if (!str_eq(text, protocols[0]) && !str_eq(text, protocols[1]) && !str_eq(text, protocols[2])) {
        cause_add_unsupported(causes, at_field(causes, path, "protocol"), protocol, protocols,
                              ARRAY_LEN(protocols));
    }
    if (val_is(first, VAL_STR)) {
        check_rule(rule_port_name(val_text(first)), at_field(causes, path, "port"), first, causes);
    } else if (first != NULL) {
        check_port(first, at_field(causes, path, "port"), causes);
    }
    check_end_port(port, path, causes);
}

struct cidr {
    unsigned char bytes[sizeof(struct in6_addr)];
    size_t size; /* 4 or 16 */
    uint64_t prefix;
};

static bool read_cidr(struct str text, struct cidr *ret)
{
    char address[INET6_ADDRSTRLEN];
    struct str head = str_cut(&text, '/');
    if (text.p == NULL || head.n >= sizeof address || str_to_u64(text, &ret->prefix) < 0) {
        return false;
    }
    (void)snprintf(address, sizeof address, STR_FMT, STR_ARG(head));
    bool is_v6 = str_find(head, ':') >= 0;
    ret->size = is_v6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, address, ret->bytes) == 1 &&
           ret->prefix <= ret->size * 8;
}

/* inner has a longer prefix and begins as outer does. */
static bool is_within(const struct cidr *outer, const struct cidr *inner)
{
    bool is_same = outer->size == inner->size && inner->prefix > outer->prefix;
    for (size_t bit = 0; is_same && bit < outer->prefix; bit++) {
        is_same = ((outer->bytes[bit / 8] ^ inner->bytes[bit / 8]) & 0x80U >> bit % 8) == 0;
    }
    return is_same;
}

static void check_ip_block(const struct val *block, struct str path, struct causes *causes)
{
    static const char wrong[] = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    const struct val *text = val_get(block, S("cidr"));
    struct cidr outer;
    if (val_text(text).n == 0) {
        cause_add(causes, CAUSE_REQUIRED, at_field(causes, path, "cidr"), NULL, S(""));
        return;
    }
    if (!read_cidr(val_text(text), &outer)) {
        cause_add(causes, CAUSE_INVALID, at_field(causes, path, "cidr"), text, str_of(wrong));
        return;
    }
    const struct val *except = val_get(block, S("except"));
    for (size_t i = 0; i < val_count(except); i++) {
        struct str at = arena_fmt(causes->arena, STR_FMT ".except[%zu]", STR_ARG(path), i);
        struct cidr inner;
        if (!read_cidr(val_text(val_at(except, i)), &inner)) {
            cause_add(causes, CAUSE_INVALID, at, val_at(except, i), str_of(wrong));
        } else if (!is_within(&outer, &inner)) {
            cause_add(causes, CAUSE_INVALID, at, val_at(except, i),
                      S("must be a strict subset of `cidr`"));
        }
    }
}

static void check_peer(const struct val *peer, struct str path, struct causes *causes)
{
    static const char *const selectors[] = {"podSelector", "namespaceSelector"};
    const struct val *block = val_get(peer, S("ipBlock"));
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(selectors); i++) {
        const struct val *selector = val_get(peer, str_of(selectors[i]));
        if (selector != NULL) {
            count++;
            check_label_selector(selector, at_field(causes, path, selectors[i]), causes);
        }
    }
    if (block != NULL) {
        check_ip_block(block, at_field(causes, path, "ipBlock"), causes);
    }
    if (count == 0 && block == NULL) {
        cause_add(causes, CAUSE_REQUIRED, path, NULL, S("must specify a peer"));
    } else if (count > 0 && block != NULL) {
        cause_add(causes, CAUSE_FORBIDDEN, path, NULL,
                  S("may not specify both ipBlock and another peer"));
    }
}

static void check_policy_rule(const struct val *rule, const char *const direction[static 2],
                              size_t at, struct causes *causes)
{
    const struct val *ports = val_get(rule, S("ports"));
    for (size_t i = 0; i < val_count(ports); i++) {
        check_policy_port(val_at(ports, i),
                          arena_fmt(causes->arena, "spec.%s[%zu].ports[%zu]", direction[0], at, i),
                          causes);
    }
    const struct val *peers = val_get(rule, str_of(direction[1]));
    for (size_t i = 0; i < val_count(peers); i++) {
        check_peer(
            val_at(peers, i),
            arena_fmt(causes->arena, "spec.%s[%zu].%s[%zu]", direction[0], at, direction[1], i),
            causes);
    }
}

static void check_policy_types(const struct val *types, struct causes *causes)
{
    static const struct str known[] = {
        {"Ingress", 7},
        {"Egress",  6}
    };
    if (val_count(types) > ARRAY_LEN(known)) {
        cause_add(causes, CAUSE_INVALID, S("spec.policyTypes"), types,
                  S("may not specify more than two policyTypes"));
        return;
    }
    for (size_t i = 0; i < val_count(types); i++) {
        struct str type = val_text(val_at(types, i));
        if (!str_eq(type, known[0]) && !str_eq(type, known[1])) {
            cause_add_unsupported(causes, arena_fmt(causes->arena, "spec.policyTypes[%zu]", i),
                                  val_at(types, i), known, ARRAY_LEN(known));
        }
    }
}

static void network_policy_validate(const struct val *obj, struct causes *causes)
{
    const struct val *spec = val_get(obj, S("spec"));
    check_label_selector(val_get(spec, S("podSelector")), S("spec.podSelector"), causes);
    for (size_t d = 0; d < ARRAY_LEN(directions); d++) {
        const struct val *rules = val_get(spec, str_of(directions[d][0]));
        for (size_t i = 0; i < val_count(rules); i++) {
            check_policy_rule(val_at(rules, i), directions[d], i, causes);
        }
    }
    check_policy_types(val_get(spec, S("policyTypes")), causes);
}

const struct strategy strategy_network_policy = {.defaults = network_policy_defaults,
                                                 .validate = network_policy_validate};
