// SPDX-License-Identifier: Apache-2.0
//
// Messages for tables, chains, sets and elements, over libnftnl. The wire forms (each field of a
// concatenation padded to 4 bytes, ports and addresses big-endian, slot numbers host-endian) are
// those of the kernel's registers; spec/machine.md 4.
#include "net/nft.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <stddef.h>
#include <stdio.h>

/* nft's own type numbers; the kernel only carries them, `nft list` reads them. */
enum {
    TYPE_ADDRESS = NFT_TYPE_ADDRESS,
    TYPE_PROTOCOL = 12,
    TYPE_PORT = 13,
    TYPE_MARK = 19,
    TYPE_BITS = 6
};
#define CONCAT2(a, b)       ((uint32_t)(a) << TYPE_BITS | (uint32_t)(b))
#define CONCAT3(a, b, c)    (CONCAT2(a, b) << TYPE_BITS | (uint32_t)(c))
#define CONCAT4(a, b, c, d) (CONCAT3(a, b, c) << TYPE_BITS | (uint32_t)(d))

enum { AFFINITY_CLIENTS_MAX = 65536, CHAIN_NAME_MAX = 32, ANSWER_BYTES = 64 << 10 };

struct nlmsghdr *nft_message(struct nft_batch *batch, int type, int flags)
{
    assert(batch->size - batch->used >= NFT_MESSAGE_MAX);
    return nftnl_nlmsg_build_hdr(batch->bytes + batch->used, (uint16_t)type, NFPROTO_IPV4,
                                 (uint16_t)flags, batch->seq++);
}

void nft_message_end(struct nft_batch *batch, const struct nlmsghdr *msg)
{
    batch->last = batch->used;
    batch->used += MNL_ALIGN(msg->nlmsg_len);
}

void nft_batch_begin(struct nft_batch *batch)
{
    batch->used = 0;
    batch->first_seq = batch->seq;
    nft_message_end(batch, nftnl_batch_begin(batch->bytes, batch->seq++));
}

static void batch_end(struct nft_batch *batch)
{
    struct nlmsghdr last;
    memcpy(&last, batch->bytes + batch->last, sizeof(last));
    last.nlmsg_flags |= NLM_F_ACK;
    batch->answer_seq = last.nlmsg_seq;
    memcpy(batch->bytes + batch->last, &last, sizeof(last));
    nft_message_end(batch, nftnl_batch_end(batch->bytes + batch->used, batch->seq++));
}

/* Reads answers until the batch's last one; the first error is the result. */
static int batch_answer(const struct nft_batch *batch, struct nl *nl)
{
    auto_free char *answer = xmalloc(ANSWER_BYTES);
    int first_error = 0;
    for (;;) {
        ssize_t got = mnl_socket_recvfrom(nl->socket, answer, ANSWER_BYTES);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno;
        }
        int left = (int)got;
        for (struct nlmsghdr *msg = (void *)answer; mnl_nlmsg_ok(msg, left);
             msg = mnl_nlmsg_next(msg, &left)) {
            if (msg->nlmsg_type != NLMSG_ERROR ||
                (int32_t)(msg->nlmsg_seq - batch->first_seq) < 0) {
                continue;
            }
            const struct nlmsgerr *reply = mnl_nlmsg_get_payload(msg);
            if (first_error == 0) {
                first_error = -reply->error;
            }
            if (msg->nlmsg_seq == batch->answer_seq || msg->nlmsg_seq == batch->first_seq) {
                return first_error;
            }
        }
    }
}

int nft_batch_send(struct nft_batch *batch, struct nl *nl, struct err *err)
{
    bool is_empty = batch->last == 0; /* nothing after the message that begins it */
    if (!is_empty) {
        batch_end(batch);
        if (mnl_socket_sendto(nl->socket, batch->bytes, batch->used) < 0) {
            return err_errno(err, "send %zu bytes of rules", batch->used);
        }
        errno = batch_answer(batch, nl);
        if (errno != 0) {
            return err_errno(err, "load rules");
        }
    }
    nft_batch_begin(batch);
    return 0;
}

void nft_put_table(struct nft_batch *batch, const char *name, int type, int flags)
{
    struct nlmsghdr *msg = nft_message(batch, type, flags);
    struct nftnl_table *table = nftnl_table_alloc();
    nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
    nftnl_table_nlmsg_build_payload(msg, table);
    nftnl_table_free(table);
    nft_message_end(batch, msg);
}

void nft_clear_table(struct nft_batch *batch, const char *name)
{
    /* Deleting what is not there would fail the transaction: so add, delete, add. */
    nft_put_table(batch, name, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    nft_put_table(batch, name, NFT_MSG_DELTABLE, 0);
    nft_put_table(batch, name, NFT_MSG_NEWTABLE, NLM_F_CREATE);
}

static const struct nft_chain_row chain_rows[] = {
  /* name, type, hook, priority */
    {"services",  NULL,     0,                    0                },
    {"nodeports", NULL,     0,                    0                },
    {"refuse",    NULL,     0,                    0                },
    {"pre",       "nat",    NF_INET_PRE_ROUTING,  NF_IP_PRI_NAT_DST},
    {"out",       "nat",    NF_INET_LOCAL_OUT,    NF_IP_PRI_NAT_DST},
    {"post",      "nat",    NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC},
    {"forward",   "filter", NF_INET_FORWARD,      NF_IP_PRI_FILTER },
    {"output",    "filter", NF_INET_LOCAL_OUT,    NF_IP_PRI_FILTER },
};

void nft_put_chain(struct nft_batch *batch, const char *table, const struct nft_chain_row *row)
{
    struct nlmsghdr *msg = nft_message(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    struct nftnl_chain *chain = nftnl_chain_alloc();
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, row->name);
    if (row->type != NULL) {
        nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, row->type);
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, row->hook);
        nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, row->priority);
    }
    nftnl_chain_nlmsg_build_payload(msg, chain);
    nftnl_chain_free(chain);
    nft_message_end(batch, msg);
}

static const struct nft_set_row set_rows[] = {
  /* name, flags, key type, key bytes, data type, data bytes */
    {"eps",                 NFT_SET_MAP,   CONCAT4(TYPE_ADDRESS,  TYPE_PROTOCOL,                    TYPE_PORT,                              TYPE_MARK),16,
     CONCAT2(TYPE_ADDRESS, TYPE_PORT), 8},
    {"sticky",           NFT_SET_MAP,                       CONCAT3(TYPE_ADDRESS,                                            TYPE_PROTOCOL,                                                                     TYPE_PORT),                                                                                      12,NFT_DATA_VERDICT,
     0},
    {"affinity",                   NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL,
     CONCAT4(TYPE_ADDRESS,                                                           TYPE_PROTOCOL,                                                                                           TYPE_PORT,                                                                                                                        TYPE_ADDRESS),16,TYPE_MARK, 4},
    {"refused",            0,            CONCAT3(TYPE_ADDRESS,                               TYPE_PROTOCOL,TYPE_PORT),12,0,0},
    {"hairpin", 0,CONCAT2(TYPE_ADDRESS,TYPE_ADDRESS),                                      8,                                                                                                                                                                                                  0,                                                                                                                                                                                 0                                                                                                                                                                                                                                                                                               },
};

void nft_put_set(struct nft_batch *batch, const char *table, const struct nft_set_row *row,
                 uint32_t id)
{
    struct nlmsghdr *msg = nft_message(batch, NFT_MSG_NEWSET, NLM_F_CREATE);
    struct nftnl_set *set = nftnl_set_alloc();
    nftnl_set_set_str(set, NFTNL_SET_TABLE, table);
    nftnl_set_set_str(set, NFTNL_SET_NAME, row->name);
    nftnl_set_set_u32(set, NFTNL_SET_FAMILY, NFPROTO_IPV4);
    nftnl_set_set_u32(set, NFTNL_SET_ID, id);
    nftnl_set_set_u32(set, NFTNL_SET_FLAGS, row->flags);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, row->key_type);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, row->key_len);
    if ((row->flags & NFT_SET_MAP) != 0) {
        nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, row->data_type);
        nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, row->data_len);
    }
    if ((row->flags & NFT_SET_EVAL) != 0) {
        nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, AFFINITY_CLIENTS_MAX);
    }
    nftnl_set_nlmsg_build_payload(msg, set);
    nftnl_set_free(set);
    nft_message_end(batch, msg);
}

void nft_put_frame(struct nft_batch *batch, const struct ruleset *set)
{
    nft_clear_table(batch, NFT_TABLE);
    for (size_t i = 0; i < ARRAY_LEN(set_rows); i++) {
        nft_put_set(batch, NFT_TABLE, &set_rows[i], (uint32_t)i + 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(chain_rows); i++) {
        nft_put_chain(batch, NFT_TABLE, &chain_rows[i]);
    }
    nft_put_rules(batch, set);
}

static void sticky_chain_name(char out[static CHAIN_NAME_MAX], bool is_node_port, uint32_t seconds,
                              size_t slot_class)
{
    (void)snprintf(out, CHAIN_NAME_MAX, "%s-%u-%zu", is_node_port ? "stickyport" : "sticky",
                   seconds, slot_class);
}

void nft_put_sticky_chains(struct nft_batch *batch, uint32_t seconds, size_t slot_class)
{
    for (int is_node_port = 0; is_node_port < 2; is_node_port++) {
        char name[CHAIN_NAME_MAX];
        sticky_chain_name(name, is_node_port != 0, seconds, slot_class);
        nft_put_chain(batch, NFT_TABLE, &(struct nft_chain_row){.name = name});
        nft_put_sticky_rules(batch, name, is_node_port != 0, seconds, slot_class);
    }
}

struct nftnl_set *nft_elements(const char *table, const char *name)
{
    struct nftnl_set *set = nftnl_set_alloc();
    nftnl_set_set_str(set, NFTNL_SET_TABLE, table);
    nftnl_set_set_str(set, NFTNL_SET_NAME, name);
    return set;
}

void nft_elements_send(struct nft_batch *batch, bool is_add, struct nftnl_set *set)
{
    struct nlmsghdr *msg = nft_message(batch, is_add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
                                       is_add ? NLM_F_CREATE : 0);
    nftnl_set_elems_nlmsg_build_payload(msg, set);
    nftnl_set_free(set);
    nft_message_end(batch, msg);
}

enum {
    SERVICE_KEY_BYTES = offsetof(struct nft_key, slot),
    SLOT_KEY_BYTES = sizeof(struct nft_key)
};

struct nft_key nft_key_of(const struct rule_service *service, uint32_t slot)
{
    return (struct nft_key){
        .address = htonl(service->address),
        .protocol = {service->protocol},
        .port = htons(service->port),
        .slot = slot,
    };
}

void nft_put_slots(struct nft_batch *batch, bool is_add, const struct rule_service *service,
                   const struct nft_slot *slots, size_t count)
{
    for (size_t i = 0; i < count;) {
        struct nftnl_set *set = nft_elements(NFT_TABLE, "eps");
        for (size_t end = i + NFT_ELEMENTS_A_MESSAGE; i < count && i < end; i++) {
            struct nftnl_set_elem *element = nftnl_set_elem_alloc();
            struct nft_key key = nft_key_of(service, slots[i].number);
            nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, &key, SLOT_KEY_BYTES);
            if (is_add) {
                struct nft_target target = {htonl(slots[i].endpoint.address),
                                            htons(slots[i].endpoint.port), 0};
                nftnl_set_elem_set(element, NFTNL_SET_ELEM_DATA, &target, sizeof(target));
            }
            nftnl_set_elem_add(set, element);
        }
        nft_elements_send(batch, is_add, set);
    }
}

void nft_put_sticky(struct nft_batch *batch, bool is_add, const struct rule_service *service,
                    size_t slot_class)
{
    struct nftnl_set *set = nft_elements(NFT_TABLE, "sticky");
    struct nftnl_set_elem *element = nftnl_set_elem_alloc();
    struct nft_key key = nft_key_of(service, 0);
    nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, &key, SERVICE_KEY_BYTES);
    if (is_add) {
        char name[CHAIN_NAME_MAX];
        sticky_chain_name(name, service->address == 0, service->affinity_seconds, slot_class);
        nftnl_set_elem_set_u32(element, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
        nftnl_set_elem_set_str(element, NFTNL_SET_ELEM_CHAIN, name);
    }
    nftnl_set_elem_add(set, element);
    nft_elements_send(batch, is_add, set);
}

void nft_put_refused(struct nft_batch *batch, bool is_add, const struct rule_service *service)
{
    struct nftnl_set *set = nft_elements(NFT_TABLE, "refused");
    struct nftnl_set_elem *element = nftnl_set_elem_alloc();
    struct nft_key key = nft_key_of(service, 0);
    nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, &key, SERVICE_KEY_BYTES);
    nftnl_set_elem_add(set, element);
    nft_elements_send(batch, is_add, set);
}

void nft_put_hairpins(struct nft_batch *batch, bool is_add, const uint32_t *addresses, size_t count)
{
    for (size_t i = 0; i < count;) {
        struct nftnl_set *set = nft_elements(NFT_TABLE, "hairpin");
        for (size_t end = i + NFT_ELEMENTS_A_MESSAGE; i < count && i < end; i++) {
            struct nftnl_set_elem *element = nftnl_set_elem_alloc();
            const uint32_t pair[2] = {htonl(addresses[i]), htonl(addresses[i])};
            nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, pair, sizeof(pair));
            nftnl_set_elem_add(set, element);
        }
        nft_elements_send(batch, is_add, set);
    }
}
