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
    REG_NONE = -1,
};

enum { PORT_OFFSET = 2, PORT_BYTES = 2, ADDRESS_BYTES = 4 };

static struct nftnl_rule *rule_new(const char *chain)
{
    struct nftnl_rule *rule = nftnl_rule_alloc();
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, NFT_TABLE);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
    nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
    return rule;
}

static void rule_send(struct nft_batch *batch, struct nftnl_rule *rule)
{
    struct nlmsghdr *msg = nft_message(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    nftnl_rule_nlmsg_build_payload(msg, rule);
    nftnl_rule_free(rule);
    nft_message_end(batch, msg);
}

static struct nftnl_expr *expr(struct nftnl_rule *rule, const char *name)
{
    struct nftnl_expr *e = nftnl_expr_alloc(name);
    nftnl_rule_add_expr(rule, e);
    return e;
}

static void load_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
                         uint32_t reg)
{
    struct nftnl_expr *e = expr(rule, "payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void load_saddr(struct nftnl_rule *rule, uint32_t reg)
{
    load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, saddr), ADDRESS_BYTES,
                 reg);
}

static void load_daddr(struct nftnl_rule *rule, uint32_t reg)
{
    load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), ADDRESS_BYTES,
                 reg);
}

static void load_meta(struct nftnl_rule *rule, uint32_t key, uint32_t reg)
{
    struct nftnl_expr *e = expr(rule, "meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

/* address . protocol . port into three registers from reg on. */
static void load_service(struct nftnl_rule *rule, bool is_node_port, uint32_t reg)
{
    if (is_node_port) {
        const uint32_t any = 0;
        struct nftnl_expr *e = expr(rule, "immediate");
        nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
        nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &any, sizeof(any));
    } else {
        load_daddr(rule, reg);
    }
    load_meta(rule, NFT_META_L4PROTO, reg + 1);
    load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_OFFSET, PORT_BYTES, reg + 2);
}

static void load_random_slot(struct nftnl_rule *rule, const struct slot_class *slots)
{
    struct nftnl_expr *e = expr(rule, "numgen");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, REG_SLOT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, slots->count);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, slots->offset);
}

static void mask(struct nftnl_rule *rule, uint32_t reg, uint32_t bits)
{
    const uint32_t none = 0;
    struct nftnl_expr *e = expr(rule, "bitwise");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof(bits));
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &bits, sizeof(bits));
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &none, sizeof(none));
}

static void compare(struct nftnl_rule *rule, uint32_t op, uint32_t reg, const void *data,
                    uint32_t size)
{
    struct nftnl_expr *e = expr(rule, "cmp");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, size);
}

/* The address in reg lies (op EQ) in base/prefix, or not (NEQ). */
static void compare_cidr(struct nftnl_rule *rule, uint32_t op, uint32_t reg, uint32_t base,
                         int prefix)
{
    uint32_t bits = htonl(prefix == 0 ? 0 : UINT32_MAX << (32 - prefix));
    uint32_t want = htonl(base) & bits;
    mask(rule, reg, bits);
    compare(rule, op, reg, &want, sizeof(want));
}

static void compare_out_link(struct nftnl_rule *rule, uint32_t op, const char *name)
{
    char padded[IFNAMSIZ] = {0};
    (void)snprintf(padded, sizeof(padded), "%s", name);
    load_meta(rule, NFT_META_OIFNAME, NFT_REG_1);
    compare(rule, op, NFT_REG_1, padded, sizeof(padded));
}

static void lookup(struct nftnl_rule *rule, const char *set, uint32_t reg, int reg_result)
{
    struct nftnl_expr *e = expr(rule, "lookup");
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg);
    if (reg_result != REG_NONE) {
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, (uint32_t)reg_result);
    }
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
}

static void translate(struct nftnl_rule *rule)
{
    struct nftnl_expr *e = expr(rule, "nat");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, REG_ENDPOINT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, REG_ENDPOINT_PORT);
}

static void masquerade(struct nftnl_rule *rule)
{
    struct nftnl_expr *e = expr(rule, "masq");
    nftnl_expr_set_u32(e, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
}

static void refuse(struct nftnl_rule *rule)
{
    /* A TCP client reads port unreachable as "connection refused". */
    struct nftnl_expr *e = expr(rule, "reject");
    nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
    nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, ICMP_PORT_UNREACH);
}

static void verdict(struct nftnl_rule *rule, int code, const char *chain)
{
    struct nftnl_expr *e = expr(rule, "immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
    if (chain != NULL) {
        nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
    }
}

static void match_local_daddr(struct nftnl_rule *rule)
{
    const uint32_t local = RTN_LOCAL;
    struct nftnl_expr *e = expr(rule, "fib");
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    compare(rule, NFT_CMP_EQ, NFT_REG_1, &local, sizeof(local));
}

static void match_translated(struct nftnl_rule *rule)
{
    const uint32_t none = 0;
    struct nftnl_expr *e = expr(rule, "ct");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_STATUS);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, NFT_REG_1);
    mask(rule, NFT_REG_1, IPS_DST_NAT);
    compare(rule, NFT_CMP_NEQ, NFT_REG_1, &none, sizeof(none));
}

/* Sends what is addressed to a service on to the endpoint of a slot. */
static void put_service_rules(struct nft_batch *batch, const char *chain, bool is_node_port)
{
    struct nftnl_rule *rule = rule_new(chain);
    load_service(rule, is_node_port, REG_KEY);
    lookup(rule, "sticky", REG_KEY, NFT_REG_VERDICT);
    rule_send(batch, rule);
    for (size_t i = 0; i < SLOT_CLASSES; i++) {
        rule = rule_new(chain);
        load_service(rule, is_node_port, REG_KEY);
        load_random_slot(rule, &slot_classes[i]);
        lookup(rule, "eps", REG_KEY, REG_ENDPOINT);
        translate(rule);
        rule_send(batch, rule);
    }
}

void nft_put_sticky_rules(struct nft_batch *batch, const char *chain, bool is_node_port,
                          uint32_t seconds, size_t slot_class)
{
    for (int is_first_visit = 0; is_first_visit < 2; is_first_visit++) {
        struct nftnl_rule *rule = rule_new(chain);
        load_service(rule, is_node_port, REG_CLIENT_KEY);
        load_saddr(rule, REG_CLIENT);
        load_service(rule, is_node_port, REG_KEY);
        if (is_first_visit != 0) {
            load_random_slot(rule, &slot_classes[slot_class]);
        } else {
            lookup(rule, "affinity", REG_CLIENT_KEY, REG_SLOT);
        }
        lookup(rule, "eps", REG_KEY, REG_ENDPOINT);
        struct nftnl_expr *e = expr(rule, "dynset");
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
    struct nftnl_rule *rule = rule_new("post");
    compare_out_link(rule, NFT_CMP_EQ, "cni0");
    match_translated(rule);
    load_saddr(rule, REG_KEY);
    load_daddr(rule, REG_KEY + 1);
    lookup(rule, "hairpin", REG_KEY, REG_NONE);
    masquerade(rule);
    rule_send(batch, rule);

    rule = rule_new("post");
    load_saddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_EQ, NFT_REG_1, set->pod_cidr, set->pod_prefix);
    load_daddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_NEQ, NFT_REG_1, set->pod_cidr, set->pod_prefix);
    masquerade(rule);
    rule_send(batch, rule);

    /* An endpoint that is no pod has no route back to who came in from outside. */
    rule = rule_new("post");
    compare_out_link(rule, NFT_CMP_NEQ, "lo");
    match_translated(rule);
    load_daddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_NEQ, NFT_REG_1, set->pod_cidr, set->pod_prefix);
    masquerade(rule);
    rule_send(batch, rule);
}

static void put_refuse_rules(struct nft_batch *batch, const struct ruleset *set)
{
    /* The node refuses for itself, and answers at 10.96.0.10 without any endpoint. */
    struct nftnl_rule *rule = rule_new("refuse");
    match_local_daddr(rule);
    verdict(rule, NF_ACCEPT, NULL);
    rule_send(batch, rule);

    rule = rule_new("refuse");
    load_service(rule, /*is_node_port=*/false, REG_KEY);
    lookup(rule, "refused", REG_KEY, REG_NONE);
    refuse(rule);
    rule_send(batch, rule);

    if (set->service_prefix > 0) {
        rule = rule_new("refuse");
        load_daddr(rule, NFT_REG_1);
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
    struct nftnl_rule *rule = rule_new("services");
    match_local_daddr(rule);
    load_daddr(rule, NFT_REG_1);
    compare_cidr(rule, NFT_CMP_NEQ, NFT_REG_1, INADDR_LOOPBACK & 0xff000000U, 8);
    verdict(rule, NFT_JUMP, "nodeports");
    rule_send(batch, rule);
    put_service_rules(batch, "nodeports", /*is_node_port=*/true);
    put_masquerade_rules(batch, set);
    put_refuse_rules(batch, set);
    for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
        rule = rule_new(jumps[i].from);
        verdict(rule, NFT_JUMP, jumps[i].to);
        rule_send(batch, rule);
    }
}
