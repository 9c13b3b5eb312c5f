// SPDX-License-Identifier: Apache-2.0
//
// Building nftables batches: the parts that every table is made of, the frame of the table of
// services, and the elements of one service. Every function appends messages to a batch;
// rule_loader.c decides which and sends them. Part of net/ alone.
//
// Table "coracle", family ip:
//   map eps      address . protocol . port . slot -> endpoint address . port
//   map sticky   address . protocol . port -> goto the chain of the service's affinity timeout
//   map affinity address . protocol . port . client -> slot (elements come and time out by rules)
//   set refused  address . protocol . port without endpoints
//   set hairpin  endpoint . the same endpoint: a pod that reaches itself needs masquerade
// Address 0 stands for any local address (node ports).
#ifndef CORACLE_NET_NFT_H
#define CORACLE_NET_NFT_H

#include "net/internal.h"

struct nftnl_rule;
struct nftnl_set;

/* Messages in one buffer, sent as one transaction. */
struct nft_batch {
    char *bytes;
    size_t used;
    size_t size;
    size_t last; /* where the newest message starts */
    uint32_t seq;
    uint32_t first_seq;  /* of the message that begins the batch */
    uint32_t answer_seq; /* of the one that is answered last */
};

enum {
    NFT_MESSAGE_MAX = 64 << 10,  /* a message is built only where so much is left */
    NFT_ELEMENTS_A_MESSAGE = 256 /* 100 bytes each: far below the 64 KiB of an attribute */
};

void nft_batch_begin(struct nft_batch *batch);
/* Ends the batch, sends it as one transaction, waits for the kernel's answer, begins the next one.
 * An empty batch is not sent. */
MUST_CHECK int nft_batch_send(struct nft_batch *batch, struct nl *nl, struct err *err);

/* Frames of tables of family ip: nft_clear_table leaves an empty one, whatever was there. */
struct nft_chain_row {
    const char *name;
    const char *type; /* NULL = no hook */
    uint32_t hook;
    int32_t priority;
};
struct nft_set_row {
    const char *name;
    uint32_t flags;
    uint32_t key_type;
    uint32_t key_len;
    uint32_t data_type;
    uint32_t data_len;
};
enum { NFT_TYPE_ADDRESS = 7 }; /* nft's number of ipv4_addr */
void nft_put_table(struct nft_batch *batch, const char *name, int type, int flags);
void nft_clear_table(struct nft_batch *batch, const char *name);
void nft_put_chain(struct nft_batch *batch, const char *table, const struct nft_chain_row *row);
void nft_put_set(struct nft_batch *batch, const char *table, const struct nft_set_row *row,
                 uint32_t id);
/* "These elements of the set of that name": filled by the caller, sent (and freed). */
struct nftnl_set *nft_elements(const char *table, const char *name);
void nft_elements_send(struct nft_batch *batch, bool is_add, struct nftnl_set *set);

/* Replaces the table by an empty one with all chains, sets and rules. */
void nft_put_frame(struct nft_batch *batch, const struct ruleset *set);
/* The two chains (one for node ports) of an affinity timeout and slot class. */
void nft_put_sticky_chains(struct nft_batch *batch, uint32_t seconds, size_t slot_class);

/* address . protocol . port [. slot], and an endpoint, as they stand in registers. */
struct nft_key {
    uint32_t address;
    uint8_t protocol[4];
    uint16_t port;
    uint16_t pad;
    uint32_t slot;
};
struct nft_target {
    uint32_t address;
    uint16_t port;
    uint16_t pad;
};
struct nft_key nft_key_of(const struct rule_service *service, uint32_t slot);

/* Elements. is_add false deletes. */
struct nft_slot {
    uint32_t number;
    struct rule_endpoint endpoint;
};
void nft_put_slots(struct nft_batch *batch, bool is_add, const struct rule_service *service,
                   const struct nft_slot *slots, size_t count);
void nft_put_sticky(struct nft_batch *batch, bool is_add, const struct rule_service *service,
                    size_t slot_class);
void nft_put_refused(struct nft_batch *batch, bool is_add, const struct rule_service *service);
void nft_put_hairpins(struct nft_batch *batch, bool is_add, const uint32_t *addresses,
                      size_t count);

/* Rules, for nft.c; they are in nft_rules.c. */
void nft_put_rules(struct nft_batch *batch, const struct ruleset *set);
void nft_put_sticky_rules(struct nft_batch *batch, const char *chain, bool is_node_port,
                          uint32_t seconds, size_t slot_class);
/* A message of the batch: build its payload, then nft_message_end. */
struct nlmsghdr *nft_message(struct nft_batch *batch, int type, int flags);
void nft_message_end(struct nft_batch *batch, const struct nlmsghdr *msg);

/* What the table in the kernel knows of session affinity (affinity.c). {0} at first. */
struct affinity {
    struct nftnl_set *visits;    /* the elements of the set "affinity"; NULL = not read */
    struct affinity_slot *slots; /* of sticky services, sorted */
    size_t slots_count;
    size_t slots_cap;
};
/* Nothing is read where there is no table. */
void affinity_read(struct nl *nl, struct affinity *ret);
void affinity_done(struct affinity *affinity);
/* Visits again, into a new set, with the time they have left; as many as fit until the batch has
 * bytes_max. */
void affinity_put(struct nft_batch *batch, const struct affinity *affinity, size_t bytes_max);
/* Where the slots of a sticky service led; an unknown one to address 0. False: none is known. */
bool affinity_slots(const struct affinity *affinity, const struct rule_service *service,
                    size_t slot_class, struct rule_endpoint *ret);

#define NFT_TABLE "coracle"

#endif
