// SPDX-License-Identifier: Apache-2.0
//
// Rules as lists of expressions, over libnftnl: the words that the rules of both tables are made
// of.
#include "net/nft_expr.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/ip.h>
#include <stddef.h>

enum { ADDRESS_BYTES = 4 };

struct nftnl_rule *rule_new(const char *table, const char *chain)
{
    struct nftnl_rule *rule = nftnl_rule_alloc();
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
    nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
    return rule;
}

void rule_send(struct nft_batch *batch, struct nftnl_rule *rule)
{
    struct nlmsghdr *msg = nft_message(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    nftnl_rule_nlmsg_build_payload(msg, rule);
    nftnl_rule_free(rule);
    nft_message_end(batch, msg);
}

struct nftnl_expr *expr_add(struct nftnl_rule *rule, const char *name)
{
    struct nftnl_expr *e = nftnl_expr_alloc(name);
    nftnl_rule_add_expr(rule, e);
    return e;
}

void expr_load(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg)
{
    struct nftnl_expr *e = expr_add(rule, "payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

void expr_load_saddr(struct nftnl_rule *rule, uint32_t reg)
{
    expr_load(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, saddr), ADDRESS_BYTES, reg);
}

void expr_load_daddr(struct nftnl_rule *rule, uint32_t reg)
{
    expr_load(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), ADDRESS_BYTES, reg);
}

void expr_load_meta(struct nftnl_rule *rule, uint32_t key, uint32_t reg)
{
    struct nftnl_expr *e = expr_add(rule, "meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

void expr_mask(struct nftnl_rule *rule, uint32_t reg, uint32_t bits)
{
    const uint32_t none = 0;
    struct nftnl_expr *e = expr_add(rule, "bitwise");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof(bits));
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &bits, sizeof(bits));
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &none, sizeof(none));
}

void expr_compare(struct nftnl_rule *rule, uint32_t op, uint32_t reg, const void *data,
                  uint32_t size)
{
    struct nftnl_expr *e = expr_add(rule, "cmp");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, size);
}

void expr_lookup(struct nftnl_rule *rule, const char *set, uint32_t reg, int reg_result)
{
    struct nftnl_expr *e = expr_add(rule, "lookup");
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg);
    if (reg_result != EXPR_NO_RESULT) {
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, (uint32_t)reg_result);
    }
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
}

void expr_verdict(struct nftnl_rule *rule, int code, const char *chain)
{
    struct nftnl_expr *e = expr_add(rule, "immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
    if (chain != NULL) {
        nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
    }
}
