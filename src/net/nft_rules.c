// SPDX-License-Identifier: Apache-2.0
//
// The rules of the table, as expressions over libnftnl. In nft's words:
//
//   chain services {             # from nat prerouting and nat output
//     ip daddr . meta l4proto . th dport vmap @sticky
//     dnat to ip daddr . meta l4proto . th dport . (numgen random mod COUNT offset OFFSET) map @eps
//     ...one such rule a slot class...
//     fib daddr type local ip daddr & 255.0.0.0 != 127.0.0.0 jump nodeports
//   }
//   chain nodeports { the same with 0.0.0.0 in place of ip daddr }
//   chain sticky-SECONDS-CLASS {
//     dnat to ip daddr . meta l4proto . th dport . (… . ip saddr map @affinity) map @eps,
//       update @affinity with the same slot
//     the same with a random slot
//   }
//   chain post {
//     oifname "cni0" ct status dnat ip saddr . ip daddr @hairpin masquerade
//     ip saddr PODS ip daddr != PODS masquerade
//     ct status dnat ip daddr != PODS oifname != "lo" masquerade
//   }
//   chain refuse {               # from filter forward and filter output
//     fib daddr type local accept
//     ip daddr . meta l4proto . th dport @refused reject
//     ip daddr SERVICES reject
//   }
//
// Affinity keeps a slot, not an endpoint: a client's slot whose endpoint left leads to another one
// without a sweep, and slots_deal() keeps the others where they are.
#include "net/nft.h"
#include "net/nft_expr.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>

/* Registers: the key of eps (four), what it gives (two), the key of affinity (four). */
enum {
    REG_KEY = NFT_REG32_00,
    REG_SLOT = NFT_REG32_03,
    REG_ENDPOINT = NFT_REG32_04,
    REG_ENDPOINT_PORT = NFT_REG32_05,
    REG_CLIENT_KEY = NFT_REG32_08,
    REG_CLIENT = NFT_REG32_11,
};

/* address . protocol . port into three registers from reg on. */
static void load_service(struct nftnl_rule *rule, bool is_node_port, uint32_t reg)
{
    if (is_node_port) {
        const uint32_t any = 0;
        struct nftnl_expr *e = expr_add(rule, "immediate");
        nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
        nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &any, sizeof(any));
    } else {
        expr_load_daddr(rule, reg);
    }
    expr_load_meta(rule, NFT_META_L4PROTO, reg + 1);
    expr_load(rule, NFT_PAYLOAD_TRANSPORT_HEADER, EXPR_PORT_OFFSET, EXPR_PORT_BYTES, reg + 2);
}

static void load_random_slot(struct nftnl_rule *rule, const struct slot_class *slots)
{
    struct nftnl_expr *e = expr_add(rule, "numgen");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, REG_SLOT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, slots->count);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, slots->offset);
}

/* The address in reg lies (op EQ) in base/prefix, or not (NEQ). */
static void compare_cidr(struct nftnl_rule *rule, uint32_t op, uint32_t reg, uint32_t base,
                         int prefix)
{
    uint32_t bits = htonl(prefix == 0 ? 0 : UINT32_MAX << (32 - prefix));
    uint32_t want = htonl(base) & bits;
    expr_mask(rule, reg, bits);
    expr_compare(rule, op, reg, &want, sizeof(want));
}

static void compare_out_link(struct nftnl_rule *rule, uint32_t op, const char *name)
{
    char padded[IFNAMSIZ] = {0};
    (void)snprintf(padded, sizeof(padded), "%s", name);
    expr_load_meta(rule, NFT_META_OIFNAME, NFT_REG_1);
    expr_compare(rule, op, NFT_REG_1, padded, sizeof(padded));
}

static void translate(struct nftnl_rule *rule)
{
    struct nftnl_expr *e = expr_add(rule, "nat");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, REG_ENDPOINT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, REG_ENDPOINT_PORT);
}

static void masquerade(struct nftnl_rule *rule)
{
    struct nftnl_expr *e = expr_add(rule, "masq");
    nftnl_expr_set_u32(e, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
}

static void refuse(struct nftnl_rule *rule)
{
    /* A TCP client reads port unreachable as "connection refused". */
    struct nftnl_expr *e = expr_add(rule, "reject");
    nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
    nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, ICMP_PORT_UNREACH);
}

static void match_local_daddr(struct nftnl_rule *rule)
{
    const uint32_t local = RTN_LOCAL;
    struct nftnl_expr *e = expr_add(rule, "fib");
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    expr_compare(rule, NFT_CMP_EQ, NFT_REG_1, &local, sizeof(local));
}

static void match_translated(struct nftnl_rule *rule)
{
    const uint32_t none = 0;
    struct nftnl_expr *e = expr_add(rule, "ct");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_STATUS);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, NFT_REG_1);
    expr_mask(rule, NFT_REG_1, IPS_DST_NAT);
    expr_compare(rule, NFT_CMP_NEQ, NFT_REG_1, &none, sizeof(none));
}

/* Sends what is addressed to a service on to the endpoint of a slot. */
static void put_service_rules(struct nft_batch *batch, const char *chain, bool is_node_port)
{
    struct nftnl_rule *rule = rule_new(NFT_TABLE, chain);
    load_service(rule, is_node_port, REG_KEY);
    expr_lookup(rule, "sticky", REG_KEY, NFT_REG_VERDICT);
    rule_send(batch, rule);
    for (size_t i = 0; i < SLOT_CLASSES; i++) {
        rule = rule_new(NFT_TABLE, chain);
        load_service(rule, is_node_port, REG_KEY);
        load_random_slot(rule, &slot_classes[i]);
        expr_lookup(rule, "eps", REG_KEY, REG_ENDPOINT);
        translate(rule);
        rule_send(batch, rule);
    }
}

void nft_put_sticky_rules(struct nft_batch *batch, const char *chain, bool is_node_port,
                          uint32_t seconds, size_t slot_class)
{
    for (int is_first_visit = 0; is_first_visit < 2; is_first_visit++) {
        struct nftnl_rule *rule = rule_new(NFT_TABLE, chain);
        load_service(rule, is_node_port, REG_CLIENT_KEY);
        expr_load_saddr(rule, REG_CLIENT);
        load_service(rule, is_node_port, REG_KEY);
        if (is_first_visit != 0) {
            load_random_slot(rule, &slot_classes[slot_class]);
        } else {
            expr_lookup(rule, "affinity", REG_CLIENT_KEY, REG_SLOT);
        }
        expr_lookup(rule, "eps", REG_KEY, REG_ENDPOINT);
        struct nftnl_expr *e = expr_add(rule, "dynset");
        nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, "affinity");
        nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
        nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, REG_CLIENT_KEY);
        nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_DATA, REG_SLOT);
        nftnl_expr_set_u64(e, NFTNL_EXPR_DYNSET_TIMEOUT, (uint64_t)seconds * 1000);
        translate(rule);
        rule_send(batch, rule);
    }
}

static void put_masquerade_rules(struct nft_batch *batch, const struct ruleset *set)
{
    struct nftnl_rule *rule = rule_new(NFT_TABLE, "post");
    compare_out_link(rule, NFT_CMP_EQ, "cni0");
    match_translated(rule);
    expr_load_saddr(rule, REG_KEY);
    expr_load_daddr(rule, REG_KEY + 1);
    expr_lookup(rule, "hairpin", REG_KEY, EXPR_NO_RESULT);
    masquerade(rule);
    rule_send(batch, rule);

    rule = rule_new(NFT_TABLE, "post");
    expr_load_saddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_EQ, NFT_REG_1, set->pod_cidr, set->pod_prefix);
    expr_load_daddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_NEQ, NFT_REG_1, set->pod_cidr, set->pod_prefix);
    masquerade(rule);
    rule_send(batch, rule);

    /* An endpoint that is no pod has no route back to who came in from outside. */
    rule = rule_new(NFT_TABLE, "post");
    compare_out_link(rule, NFT_CMP_NEQ, "lo");
    match_translated(rule);
    expr_load_daddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_NEQ, NFT_REG_1, set->pod_cidr, set->pod_prefix);
    masquerade(rule);
    rule_send(batch, rule);
}

static void put_refuse_rules(struct nft_batch *batch, const struct ruleset *set)
{
    /* The node refuses for itself, and answers at 10.96.0.10 without any endpoint. */
    struct nftnl_rule *rule = rule_new(NFT_TABLE, "refuse");
    match_local_daddr(rule);
    expr_verdict(rule, NF_ACCEPT, NULL);
    rule_send(batch, rule);

    rule = rule_new(NFT_TABLE, "refuse");
    load_service(rule, /*is_node_port=*/false, REG_KEY);
    expr_lookup(rule, "refused", REG_KEY, EXPR_NO_RESULT);
    refuse(rule);
    rule_send(batch, rule);

    if (set->service_prefix > 0) {
        rule = rule_new(NFT_TABLE, "refuse");
        expr_load_daddr(rule, NFT_REG_1);
        compare_cidr(rule, NFT_CMP_EQ, NFT_REG_1, set->service_cidr, set->service_prefix);
        refuse(rule);
        rule_send(batch, rule);
    }
}

static const struct {
    const char *from;
    const char *to;
} jumps[] = {
    {"pre",     "services"},
    {"out",     "services"},
    {"forward", "refuse"  },
    {"output",  "refuse"  },
};

void nft_put_rules(struct nft_batch *batch, const struct ruleset *set)
{
    put_service_rules(batch, "services", /*is_node_port=*/false);
    struct nftnl_rule *rule = rule_new(NFT_TABLE, "services");
    match_local_daddr(rule);
    expr_load_daddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_NEQ, NFT_REG_1, INADDR_LOOPBACK & 0xff000000U, 8);
    expr_verdict(rule, NFT_JUMP, "nodeports");
    rule_send(batch, rule);
    put_service_rules(batch, "nodeports", /*is_node_port=*/true);
    put_masquerade_rules(batch, set);
    put_refuse_rules(batch, set);
    for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
        rule = rule_new(NFT_TABLE, jumps[i].from);
        expr_verdict(rule, NFT_JUMP, jumps[i].to);
        rule_send(batch, rule);
    }
}
