// SPDX-License-Identifier: Apache-2.0
//
// Rules as lists of expressions: each function appends one to the rule. Registers are the kernel's
// 32-bit ones (NFT_REG32_00 and on); data in them is as on the wire. Part of net/ alone.
#ifndef CORACLE_NET_NFT_EXPR_H
#define CORACLE_NET_NFT_EXPR_H

#include "net/nft.h"

struct nftnl_expr;

enum {
    EXPR_NO_RESULT = -1,
    EXPR_PORT_OFFSET = 2, /* the destination port of TCP, UDP and SCTP alike */
    EXPR_PORT_BYTES = 2
};

/* A rule at the end of the chain: begun, filled by what follows, sent (and freed). */
struct nftnl_rule *rule_new(const char *table, const char *chain);
void rule_send(struct nft_batch *batch, struct nftnl_rule *rule);

/* Any expression, to be filled by the caller. */
struct nftnl_expr *expr_add(struct nftnl_rule *rule, const char *name);
void expr_load(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg);
void expr_load_saddr(struct nftnl_rule *rule, uint32_t reg);
void expr_load_daddr(struct nftnl_rule *rule, uint32_t reg);
void expr_load_meta(struct nftnl_rule *rule, uint32_t key, uint32_t reg);
/* Keeps the bits of 32 that are set. */
void expr_mask(struct nftnl_rule *rule, uint32_t reg, uint32_t bits);
/* Goes on if the register is (op NFT_CMP_EQ, NFT_CMP_LTE, ...) the data. */
void expr_compare(struct nftnl_rule *rule, uint32_t op, uint32_t reg, const void *data,
                  uint32_t size);
/* Goes on if the set has what begins at reg; a map's value goes to reg_result. */
void expr_lookup(struct nftnl_rule *rule, const char *set, uint32_t reg, int reg_result);
/* NF_ACCEPT, NF_DROP, NFT_JUMP...; chain NULL where the verdict has none. */
void expr_verdict(struct nftnl_rule *rule, int code, const char *chain);

#endif
