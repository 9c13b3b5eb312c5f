// SPDX-License-Identifier: Apache-2.0
//
// Network policies as a table "coracle-policy", family ip. In nft's words:
//
//   chain ingress {              # hook forward
//     ct state established,related accept
//     ip saddr . ip daddr @self accept             # a pod through its own service
//     ip daddr @s1 ip saddr @s2 meta l4proto tcp th dport 80-90 accept
//     ...one such rule a policy rule and port...
//     ip daddr @isolated-in drop
//   }
//   chain egress { the same with the sides exchanged }
//
// An accept ends its own chain only, so a packet has to pass both.
#include "net/policy.h"

#include "base/mem.h"
#include "net/nft.h"
#include "net/nft_expr.h"
#include "net/pod_net.h"

#include <arpa/inet.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <stdio.h>
#include <stdlib.h>

#define TABLE "coracle-policy"
#define SELF  "self"

enum { SET_NAME_MAX = 24, TEXT_MAX = 16 << 20 };

struct policy_loader {
    struct nl nl;
    struct nft_batch batch;
    struct buf loaded; /* the text of what the kernel holds */
    bool is_loaded;
};

/* A transaction in the making. */
struct table {
    struct nft_batch *batch;
    uint32_t sets;
};

static const struct nft_chain_row chains[POLICY_WAYS] = {
    [POLICY_INGRESS] = {"ingress", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER},
    [POLICY_EGRESS] = {"egress",  "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER},
};

struct policy_loader *policy_loader_open(struct err *err)
{
    struct policy_loader *loader = xcalloc(1, sizeof *loader);
    buf_init(&loader->loaded, TEXT_MAX);
    if (nl_open(&loader->nl, NETLINK_NETFILTER, err) < 0) {
        policy_loader_close(loader);
        return NULL;
    }
    return loader;
}

void policy_loader_close(struct policy_loader *loader)
{
    if (loader != NULL) {
        nl_close(&loader->nl);
        buf_done(&loader->loaded);
        free(loader->batch.bytes);
        free(loader);
    }
}

/* The batch grows: a transaction can't be split. */
static void make_room(struct nft_batch *batch)
{
    if (batch->size - batch->used < 2L * NFT_MESSAGE_MAX) {
        batch->size = 2 * batch->size + 4L * NFT_MESSAGE_MAX;
        batch->bytes = xrealloc(batch->bytes, batch->size);
    }
}

static bool is_everybody(struct policy_addresses addresses)
{
    return addresses.count == 1 && addresses.list[0].first == 0 &&
           addresses.list[0].last == UINT32_MAX;
}

static void element_add(struct nftnl_set *set, uint32_t address, uint32_t flags)
{
    struct nftnl_set_elem *element = nftnl_set_elem_alloc();
    uint32_t key = htonl(address);
    nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, &key, sizeof key);
    if (flags != 0) {
        nftnl_set_elem_set_u32(element, NFTNL_SET_ELEM_FLAGS, flags);
    }
    nftnl_set_elem_add(set, element);
}

static void put_ranges(struct table *table, const char *name, struct policy_addresses addresses)
{
    const struct nft_set_row row = {.name = name,
                                    .flags = NFT_SET_INTERVAL,
                                    .key_type = NFT_TYPE_ADDRESS,
                                    .key_len = sizeof(uint32_t)};
    make_room(table->batch);
    nft_put_set(table->batch, TABLE, &row, ++table->sets);
    for (size_t i = 0; i < addresses.count;) {
        struct nftnl_set *set = nft_elements(TABLE, name);
        for (size_t end = i + NFT_ELEMENTS_A_MESSAGE; i < addresses.count && i < end; i++) {
            element_add(set, addresses.list[i].first, 0);
            if (addresses.list[i].last != UINT32_MAX) { /* an interval without end goes on */
                element_add(set, addresses.list[i].last + 1, NFT_SET_ELEM_INTERVAL_END);
            }
        }
        make_room(table->batch);
        nft_elements_send(table->batch, /*is_add=*/true, set);
    }
}

/* Every isolated pod beside itself. */
static void put_self(struct table *table, const struct policy_set *policies)
{
    const struct nft_set_row row = {
        .name = SELF,
        .key_type = NFT_TYPE_ADDRESS << 6 | NFT_TYPE_ADDRESS,
        .key_len = 2 * sizeof(uint32_t),
    };
    make_room(table->batch);
    nft_put_set(table->batch, TABLE, &row, ++table->sets);
    for (size_t w = 0; w < POLICY_WAYS; w++) {
        const struct policy_addresses *pods = &policies->ways[w].isolated;
        for (size_t i = 0; i < pods->count; i++) {
            for (uint64_t a = pods->list[i].first; a <= pods->list[i].last; a++) {
                struct nftnl_set *set = nft_elements(TABLE, SELF);
                struct nftnl_set_elem *element = nftnl_set_elem_alloc();
                const uint32_t key[2] = {htonl((uint32_t)a), htonl((uint32_t)a)};
                nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, key, sizeof key);
                nftnl_set_elem_add(set, element);
                make_room(table->batch);
                nft_elements_send(table->batch, /*is_add=*/true, set);
            }
        }
    }
}

/* Goes on if the pod's side of a packet on this way, or the other one, is in the set. */
static void match_side(struct nftnl_rule *rule, enum policy_way way, bool is_pod, const char *set)
{
    if ((way == POLICY_INGRESS) == is_pod) {
        expr_load_daddr(rule, NFT_REG32_00);
    } else {
        expr_load_saddr(rule, NFT_REG32_00);
    }
    expr_lookup(rule, set, NFT_REG32_00, EXPR_NO_RESULT);
}

static void match_port(struct nftnl_rule *rule, const struct policy_rule *policy)
{
    uint16_t first = htons(policy->port_first);
    uint16_t last = htons(policy->port_last);
    expr_load_meta(rule, NFT_META_L4PROTO, NFT_REG32_00);
    expr_compare(rule, NFT_CMP_EQ, NFT_REG32_00, &policy->protocol, sizeof policy->protocol);
    expr_load(rule, NFT_PAYLOAD_TRANSPORT_HEADER, EXPR_PORT_OFFSET, EXPR_PORT_BYTES, NFT_REG32_00);
    expr_compare(rule, NFT_CMP_GTE, NFT_REG32_00, &first, sizeof first);
    expr_compare(rule, NFT_CMP_LTE, NFT_REG32_00, &last, sizeof last);
}

static void put_fixed_rules(struct table *table, const char *chain)
{
    const uint32_t none = 0;
    struct nftnl_rule *rule = rule_new(TABLE, chain);
    struct nftnl_expr *e = expr_add(rule, "ct");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_STATE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, NFT_REG32_00);
    expr_mask(rule, NFT_REG32_00,
              NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED));
    expr_compare(rule, NFT_CMP_NEQ, NFT_REG32_00, &none, sizeof none);
    expr_verdict(rule, NF_ACCEPT, NULL);
    make_room(table->batch);
    rule_send(table->batch, rule);

    rule = rule_new(TABLE, chain);
    expr_load_saddr(rule, NFT_REG32_00);
    expr_load_daddr(rule, NFT_REG32_01);
    expr_lookup(rule, SELF, NFT_REG32_00, EXPR_NO_RESULT);
    expr_verdict(rule, NF_ACCEPT, NULL);
    rule_send(table->batch, rule);
}

/* Names the set of these addresses in name; makes it unless the rule before had the same. */
static void ensure_set(struct table *table, struct policy_addresses addresses,
                       const struct policy_range **was, char name[static SET_NAME_MAX])
{
    if (addresses.list != *was) {
        (void)snprintf(name, SET_NAME_MAX, "s%u", table->sets + 1);
        put_ranges(table, name, addresses);
        *was = addresses.list;
    }
}

static void put_way(struct table *table, const struct policy_set *policies, enum policy_way way)
{
    const char *chain = chains[way].name;
    const struct policy_range *last_pods = NULL;
    const struct policy_range *last_peers = NULL;
    char pods[SET_NAME_MAX];
    char peers[SET_NAME_MAX];
    make_room(table->batch);
    nft_put_chain(table->batch, TABLE, &chains[way]);
    put_fixed_rules(table, chain);
    for (size_t i = 0; i < policies->ways[way].rules_count; i++) {
        const struct policy_rule *policy = &policies->ways[way].rules[i];
        struct nftnl_rule *rule = rule_new(TABLE, chain);
        ensure_set(table, policy->pods, &last_pods, pods);
        match_side(rule, way, /*is_pod=*/true, pods);
        if (!is_everybody(policy->peers)) {
            ensure_set(table, policy->peers, &last_peers, peers);
            match_side(rule, way, /*is_pod=*/false, peers);
        }
        if (policy->protocol != 0) {
            match_port(rule, policy);
        }
        expr_verdict(rule, NF_ACCEPT, NULL);
        make_room(table->batch);
        rule_send(table->batch, rule);
    }
    (void)snprintf(pods, sizeof pods, "isolated-%s", chain);
    put_ranges(table, pods, policies->ways[way].isolated);
    struct nftnl_rule *rule = rule_new(TABLE, chain);
    match_side(rule, way, /*is_pod=*/true, pods);
    expr_verdict(rule, NF_DROP, NULL);
    rule_send(table->batch, rule);
}

static int load(struct policy_loader *loader, const struct policy_set *policies, struct err *err)
{
    struct table table = {.batch = &loader->batch};
    make_room(&loader->batch);
    nft_batch_begin(&loader->batch);
    nft_clear_table(&loader->batch, TABLE);
    bool is_anybody_isolated = false;
    for (size_t w = 0; w < POLICY_WAYS; w++) {
        is_anybody_isolated = is_anybody_isolated || policies->ways[w].isolated.count > 0;
    }
    if (is_anybody_isolated) {
        put_self(&table, policies);
        put_way(&table, policies, POLICY_INGRESS);
        put_way(&table, policies, POLICY_EGRESS);
    } else {
        nft_put_table(&loader->batch, TABLE, NFT_MSG_DELTABLE, 0);
    }
    return nft_batch_send(&loader->batch, &loader->nl, err);
}

int policy_loader_apply(struct policy_loader *loader, const struct policy_set *set, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, TEXT_MAX);
    int code = policy_set_write(&text, set);
    if (code < 0) {
        return err_set(err, code, "more than %d MiB of rules of network policies", TEXT_MAX >> 20);
    }
    if (loader->is_loaded && str_eq(buf_str(&text), buf_str(&loader->loaded))) {
        return 0;
    }
    code = load(loader, set, err);
    loader->is_loaded = code == 0;
    buf_clear(&loader->loaded);
    (void)buf_add(&loader->loaded, buf_str(&text));
    return code;
}

static int write_addresses(struct buf *out, struct policy_addresses addresses)
{
    int code = is_everybody(addresses) ? buf_add(out, S(" any")) : 0;
    for (size_t i = 0; i < addresses.count && !is_everybody(addresses) && code == 0; i++) {
        char first[IP4_TEXT_MAX];
        char last[IP4_TEXT_MAX];
        ip4_format(addresses.list[i].first, first);
        ip4_format(addresses.list[i].last, last);
        bool is_one = addresses.list[i].first == addresses.list[i].last;
        code = buf_addf(out, " %s%s%s", first, is_one ? "" : "-", is_one ? "" : last);
    }
    return code;
}

int policy_set_write(struct buf *out, const struct policy_set *set)
{
    int code = 0;
    for (size_t w = 0; w < POLICY_WAYS; w++) {
        for (size_t i = 0; i < set->ways[w].rules_count && code == 0; i++) {
            const struct policy_rule *rule = &set->ways[w].rules[i];
            code = buf_addf(out, "%s:", chains[w].name);
            code = code < 0 ? code : write_addresses(out, rule->pods);
            code = code < 0 ? code : buf_add(out, w == POLICY_INGRESS ? S(" from") : S(" to"));
            code = code < 0 ? code : write_addresses(out, rule->peers);
            if (rule->protocol != 0 && code == 0) {
                code = buf_addf(out, " protocol %u ports %u-%u", rule->protocol, rule->port_first,
                                rule->port_last);
            }
            code = code < 0 ? code : buf_add(out, S("\n"));
        }
        if (set->ways[w].isolated.count > 0 && code == 0) {
            code = buf_addf(out, "%s: none else:", chains[w].name);
            code = code < 0 ? code : write_addresses(out, set->ways[w].isolated);
            code = code < 0 ? code : buf_add(out, S("\n"));
        }
    }
    return code;
}
