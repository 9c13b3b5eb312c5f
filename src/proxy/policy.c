// SPDX-License-Identifier: Apache-2.0
#include "proxy/policy.h"

#include "api/selector.h"
#include "base/mem.h"
#include "net/pod_net.h"
#include "proxy/internal.h"

#include <stdlib.h>

/* Addresses in the making: any order, overlaps. */
struct ranges {
    struct policy_range *list;
    size_t count;
    size_t cap;
};

struct pod {
    struct str ns;
    const struct val *ns_labels;
    const struct val *object;
    uint32_t address;
};

struct build {
    struct arena *arena;
    struct pod *pods;
    size_t pods_count;
    struct {
        struct ranges isolated;
        struct policy_rule *rules;
        size_t rules_count;
        size_t rules_cap;
    } ways[POLICY_WAYS];
};

/* What one rule of a policy is made of. */
struct peers {
    bool is_everybody;
    struct policy_addresses addresses;
    const struct pod **pods; /* those of the addresses that are pods */
    size_t pods_count;
    size_t pods_cap;
};

static const struct {
    struct str type;
    struct str rules;
    struct str peers;
} words[POLICY_WAYS] = {
    [POLICY_INGRESS] = {{"Ingress", 7}, {"ingress", 7}, {"from", 4}},
    [POLICY_EGRESS] = {{"Egress", 6},  {"egress", 6},  {"to", 2}  },
};

static void add_range(struct arena *arena, struct ranges *ranges, uint32_t first, uint32_t last)
{
    ranges->list =
        arena_more(arena, ranges->list, ranges->count, &ranges->cap, sizeof ranges->list[0]);
    ranges->list[ranges->count++] = (struct policy_range){first, last};
}

static int range_cmp(const void *a, const void *b)
{
    const struct policy_range *x = a;
    const struct policy_range *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorts, joins what overlaps or touches. */
static struct policy_addresses joined(struct ranges *ranges)
{
    size_t kept = 0;
    if (ranges->count > 0) {
        qsort(ranges->list, ranges->count, sizeof ranges->list[0], range_cmp);
    }
    for (size_t i = 0; i < ranges->count; i++) {
        struct policy_range next = ranges->list[i];
        struct policy_range *last = kept > 0 ? &ranges->list[kept - 1] : NULL;
        if (last != NULL && next.first <= (uint64_t)last->last + 1) {
            last->last = next.last > last->last ? next.last : last->last;
        } else {
            ranges->list[kept++] = next;
        }
    }
    ranges->count = kept;
    return (struct policy_addresses){ranges->list, kept};
}

static struct policy_addresses one(struct arena *arena, uint32_t address)
{
    struct ranges ranges = {0};
    add_range(arena, &ranges, address, address);
    return joined(&ranges);
}

static bool cidr_range(struct str text, struct policy_range *ret)
{
    uint32_t base;
    int prefix;
    if (cidr4_parse(text, &base, &prefix) < 0) {
        return false;
    }
    *ret = (struct policy_range){base, base | (uint32_t)(UINT64_C(0xffffffff) >> prefix)};
    return true;
}

/* The block without its exceptions. */
static void add_block(struct build *build, const struct val *block, struct ranges *ret)
{
    struct policy_range whole;
    struct ranges except = {0};
    if (!cidr_range(val_text_at(block, "cidr"), &whole)) {
        return;
    }
    const struct val *list = val_get(block, S("except"));
    for (size_t i = 0; i < val_count(list); i++) {
        struct policy_range gap;
        if (cidr_range(val_text(val_at(list, i)), &gap)) {
            add_range(build->arena, &except, gap.first, gap.last);
        }
    }
    struct policy_addresses gaps = joined(&except);
    uint64_t next = whole.first;
    for (size_t i = 0; i < gaps.count && next <= whole.last; i++) {
        if (gaps.list[i].first > next) {
            add_range(build->arena, ret, (uint32_t)next, gaps.list[i].first - 1);
        }
        next = (uint64_t)gaps.list[i].last + 1;
    }
    if (next <= whole.last) {
        add_range(build->arena, ret, (uint32_t)next, whole.last);
    }
}

/* The pods that a NetworkPolicyPeer stands for. */
struct peer {
    struct selector *pods; /* NULL = all */
    struct selector *namespaces;
    struct str ns;  /* without namespaces */
    bool is_nobody; /* a block of addresses */
};

/* An absent selector stays NULL. */
static bool selector_read(struct arena *arena, const struct val *selector, struct selector **ret)
{
    struct err err;
    return selector == NULL || selector_of_val(arena, selector, ret, &err) == 0;
}

static const struct val *labels_of(const struct val *object)
{
    return val_path(object, "metadata.labels");
}

static struct peer peer_read(struct arena *arena, const struct val *peer, struct str ns)
{
    struct peer read = {.ns = ns, .is_nobody = val_get(peer, S("ipBlock")) != NULL};
    if (!selector_read(arena, val_get(peer, S("podSelector")), &read.pods) ||
        !selector_read(arena, val_get(peer, S("namespaceSelector")), &read.namespaces)) {
        read.is_nobody = true; /* validation refuses what can't be read */
    }
    return read;
}

static bool is_peer(const struct peer *peer, const struct pod *pod)
{
    bool is_in = peer->namespaces == NULL ? str_eq(pod->ns, peer->ns)
                                          : selector_matches(peer->namespaces, pod->ns_labels);
    return !peer->is_nobody && is_in &&
           (peer->pods == NULL || selector_matches(peer->pods, labels_of(pod->object)));
}

static void add_peer_pod(struct build *build, struct peers *peers, const struct pod *pod)
{
    peers->pods = arena_more(build->arena, peers->pods, peers->pods_count, &peers->pods_cap,
                             sizeof peers->pods[0]);
    peers->pods[peers->pods_count++] = pod;
}

static struct peers peers_of(struct build *build, const struct val *list, struct str ns)
{
    struct peers peers = {.is_everybody = val_count(list) == 0};
    struct ranges ranges = {0};
    if (peers.is_everybody) {
        add_range(build->arena, &ranges, 0, UINT32_MAX);
    }
    struct peer *parsed = arena_alloc(build->arena, (val_count(list) + 1) * sizeof *parsed);
    for (size_t i = 0; i < val_count(list); i++) {
        add_block(build, val_get(val_at(list, i), S("ipBlock")), &ranges);
        parsed[i] = peer_read(build->arena, val_at(list, i), ns);
    }
    for (size_t p = 0; p < build->pods_count; p++) {
        bool is_one = peers.is_everybody;
        for (size_t i = 0; i < val_count(list) && !is_one; i++) {
            is_one = is_peer(&parsed[i], &build->pods[p]);
        }
        if (is_one) {
            add_peer_pod(build, &peers, &build->pods[p]);
            add_range(build->arena, &ranges, build->pods[p].address, build->pods[p].address);
        }
    }
    peers.addresses = joined(&ranges);
    return peers;
}

static void add_rule(struct build *build, enum policy_way way, const struct policy_rule *rule)
{
    build->ways[way].rules =
        arena_more(build->arena, build->ways[way].rules, build->ways[way].rules_count,
                   &build->ways[way].rules_cap, sizeof build->ways[way].rules[0]);
    build->ways[way].rules[build->ways[way].rules_count++] = *rule;
}

/* The number of a container's port of that name and protocol, or 0; sidecars have ports too. */
static uint16_t named_port(const struct pod *pod, struct str name, uint8_t protocol)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        const struct val *containers = val_path(pod->object, lists[k]);
        for (size_t c = 0; c < val_count(containers); c++) {
            const struct val *ports = val_get(val_at(containers, c), S("ports"));
            for (size_t i = 0; i < val_count(ports); i++) {
                const struct val *port = val_at(ports, i);
                if (str_eq(val_text_at(port, "name"), name) && port_protocol(port) == protocol) {
                    return (uint16_t)val_number_at(port, "containerPort", 0);
                }
            }
        }
    }
    return 0;
}

/* Pod by pod on the side that is connected to: each may give the name another number. */
static void add_named_port(struct build *build, enum policy_way way, struct policy_rule rule,
                           struct str name, const struct pod *const *targets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rule.port_first = rule.port_last = named_port(targets[i], name, rule.protocol);
        if (rule.port_first != 0) {
            *(way == POLICY_INGRESS ? &rule.pods : &rule.peers) =
                one(build->arena, targets[i]->address);
            add_rule(build, way, &rule);
        }
    }
}

static void add_port(struct build *build, enum policy_way way, struct policy_rule rule,
                     const struct val *port, const struct peers *selected,
                     const struct peers *peers)
{
    const struct val *first = val_get(port, S("port"));
    rule.protocol = port_protocol(port);
    if (rule.protocol == 0) {
        return; /* validation refuses it; 0 would mean any */
    }
    if (val_is(first, VAL_STR)) {
        const struct peers *targets = way == POLICY_INGRESS ? selected : peers;
        add_named_port(build, way, rule, val_text(first), targets->pods, targets->pods_count);
        return;
    }
    rule.port_first = (uint16_t)val_number(first, 0);
    rule.port_last = (uint16_t)val_number(val_get(port, S("endPort")), rule.port_first);
    if (first == NULL) {
        rule.port_last = UINT16_MAX;
    }
    add_rule(build, way, &rule);
}

static void add_way(struct build *build, const struct val *policy, enum policy_way way,
                    const struct peers *selected)
{
    const struct val *rules = val_get(val_get(policy, S("spec")), words[way].rules);
    struct str ns = val_text_at(policy, "metadata.namespace");
    for (size_t i = 0; i < selected->addresses.count; i++) {
        add_range(build->arena, &build->ways[way].isolated, selected->addresses.list[i].first,
                  selected->addresses.list[i].last);
    }
    for (size_t i = 0; i < val_count(rules); i++) {
        const struct val *ports = val_get(val_at(rules, i), S("ports"));
        struct peers peers = peers_of(build, val_get(val_at(rules, i), words[way].peers), ns);
        struct policy_rule rule = {.pods = selected->addresses, .peers = peers.addresses};
        if (peers.addresses.count == 0) {
            continue;
        }
        if (val_count(ports) == 0) {
            add_rule(build, way, &rule);
        }
        for (size_t p = 0; p < val_count(ports); p++) {
            add_port(build, way, rule, val_at(ports, p), selected, &peers);
        }
    }
}

static bool is_of_type(const struct val *policy, struct str type)
{
    const struct val *types = val_path(policy, "spec.policyTypes");
    for (size_t i = 0; i < val_count(types); i++) {
        if (str_eq(val_text(val_at(types, i)), type)) {
            return true;
        }
    }
    return false;
}

static void add_policy(struct build *build, const struct val *policy)
{
    /* What a policy selects is the peers of "the pods of this namespace that match". */
    struct val self = val_map();
    struct val list = val_list();
    const struct val *selector = val_path(policy, "spec.podSelector");
    (void)val_set(build->arena, &self, S("podSelector"), selector ? *selector : val_map());
    (void)val_push(build->arena, &list, self);
    struct peers selected = peers_of(build, &list, val_text_at(policy, "metadata.namespace"));
    for (enum policy_way way = 0; way < POLICY_WAYS && selected.pods_count > 0; way++) {
        if (is_of_type(policy, words[way].type)) {
            add_way(build, policy, way, &selected);
        }
    }
}

static const struct val *namespace_labels(struct policy_objects namespaces, struct str name)
{
    for (size_t i = 0; i < namespaces.count; i++) {
        if (str_eq(val_text_at(namespaces.list[i], "metadata.name"), name)) {
            return labels_of(namespaces.list[i]);
        }
    }
    return NULL;
}

static bool is_on_pod_network(const struct val *pod)
{
    struct str phase = val_text_at(pod, "status.phase");
    return !val_true_at(pod, "spec.hostNetwork") && !str_eq(phase, S("Succeeded")) &&
           !str_eq(phase, S("Failed"));
}

static int pod_cmp(const void *a, const void *b)
{
    const struct pod *x = a;
    const struct pod *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

static void collect_pods(struct build *build, struct policy_objects pods,
                         struct policy_objects namespaces)
{
    build->pods = arena_alloc(build->arena, (pods.count + 1) * sizeof build->pods[0]);
    for (size_t i = 0; i < pods.count; i++) {
        struct pod pod = {.ns = val_text_at(pods.list[i], "metadata.namespace"),
                          .object = pods.list[i]};
        if (is_on_pod_network(pods.list[i]) &&
            ip4_parse(val_text_at(pods.list[i], "status.podIP"), &pod.address) == 0) {
            pod.ns_labels = namespace_labels(namespaces, pod.ns);
            build->pods[build->pods_count++] = pod;
        }
    }
    qsort(build->pods, build->pods_count, sizeof build->pods[0], pod_cmp);
}

static int policy_cmp(const void *a, const void *b)
{
    const struct val *const *x = a;
    const struct val *const *y = b;
    int order =
        str_cmp(val_text_at(*x, "metadata.namespace"), val_text_at(*y, "metadata.namespace"));
    return order != 0 ? order
                      : str_cmp(val_text_at(*x, "metadata.name"), val_text_at(*y, "metadata.name"));
}

bool policy_minds(const struct val *pod, const struct val *before)
{
    return !str_eq(val_text_at(pod, "status.podIP"), val_text_at(before, "status.podIP")) ||
           is_on_pod_network(pod) != is_on_pod_network(before) ||
           !val_eq(labels_of(pod), labels_of(before));
}

void policy_build(struct arena *arena, struct policy_objects policies, struct policy_objects pods,
                  struct policy_objects namespaces, struct policy_set *ret)
{
    struct build build = {.arena = arena};
    const struct val **sorted = arena_alloc(arena, (policies.count + 1) * sizeof sorted[0]);
    collect_pods(&build, pods, namespaces);
    for (size_t i = 0; i < policies.count; i++) {
        sorted[i] = policies.list[i];
    }
    qsort(sorted, policies.count, sizeof sorted[0], policy_cmp);
    for (size_t i = 0; i < policies.count; i++) {
        add_policy(&build, sorted[i]);
    }
    *ret = (struct policy_set){0};
    for (size_t w = 0; w < POLICY_WAYS; w++) {
        ret->ways[w].isolated = joined(&build.ways[w].isolated);
        ret->ways[w].rules = build.ways[w].rules;
        ret->ways[w].rules_count = build.ways[w].rules_count;
    }
}
