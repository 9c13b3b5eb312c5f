// SPDX-License-Identifier: Apache-2.0
//
// Session affinity over the replacement of the table: which slot each client of a sticky service
// has, and which endpoint each slot led to, are known to the kernel alone. They are read before the
// table is replaced and written into the new one in the same transaction; a client whose first
// visit falls between the two is dealt with as a new one later.
#include "net/nft.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>

enum { ATTEMPTS = 3 };

/* What one element of eps said. */
struct affinity_slot {
    struct nft_key key;
    struct nft_target target;
};

static int slot_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct nft_key));
}

static int on_visits(const struct nlmsghdr *msg, void *ctx)
{
    struct affinity *affinity = ctx;
    return nftnl_set_elems_nlmsg_parse(msg, affinity->visits) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int on_slot(struct nftnl_set_elem *element, void *ctx)
{
    struct affinity *affinity = ctx;
    struct affinity_slot slot;
    uint32_t key_size = 0;
    uint32_t target_size = 0;
    const void *key = nftnl_set_elem_get(element, NFTNL_SET_ELEM_KEY, &key_size);
    const void *target = nftnl_set_elem_get(element, NFTNL_SET_ELEM_DATA, &target_size);
    if (key == NULL || target == NULL || key_size != sizeof slot.key ||
        target_size != sizeof slot.target) {
        return 0;
    }
    memcpy(&slot.key, key, sizeof slot.key);
    memcpy(&slot.target, target, sizeof slot.target);
    if (slot.key.slot < slot_classes[slot_class_of(1, /*is_sticky=*/true)].offset) {
        return 0; /* of a service without affinity */
    }
    if (affinity->slots_count == affinity->slots_cap) {
        affinity->slots_cap = affinity->slots_cap == 0 ? 64 : affinity->slots_cap * 2;
        affinity->slots =
            xrealloc(affinity->slots, affinity->slots_cap * sizeof affinity->slots[0]);
    }
    affinity->slots[affinity->slots_count++] = slot;
    return 0;
}

static int on_slots(const struct nlmsghdr *msg, void *ctx)
{
    struct nftnl_set *set = nftnl_set_alloc();
    int code = nftnl_set_elems_nlmsg_parse(msg, set);
    if (code >= 0) {
        (void)nftnl_set_elem_foreach(set, on_slot, ctx);
    }
    nftnl_set_free(set);
    return code < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

/* All elements of a set of the table. 0, or -1 with errno. */
static int dump(struct nl *nl, const char *set_name, mnl_cb_t cb, struct affinity *affinity)
{
    char bytes[NL_MSG_MAX];
    struct nftnl_set *set = nft_elements(NFT_TABLE, set_name);
    struct nlmsghdr *msg =
        nftnl_nlmsg_build_hdr(bytes, NFT_MSG_GETSETELEM, NFPROTO_IPV4, NLM_F_DUMP, 0);
    nftnl_set_elems_nlmsg_build_payload(msg, set);
    nftnl_set_free(set);
    return nl_talk(nl, msg, cb, affinity);
}

static bool has_visits(const struct affinity *affinity)
{
    struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(affinity->visits);
    bool has = nftnl_set_elems_iter_cur(iter) != NULL;
    nftnl_set_elems_iter_destroy(iter);
    return has;
}

void affinity_read(struct nl *nl, struct affinity *ret)
{
    int code = -1;
    for (int i = 0; i < ATTEMPTS && code < 0; i++) {
        affinity_done(ret); /* EINTR: the rules changed amid the answer */
        ret->visits = nft_elements(NFT_TABLE, "affinity");
        code = dump(nl, "affinity", on_visits, ret);
        if (code == 0 && has_visits(ret)) {
            code = dump(nl, "eps", on_slots, ret);
        }
        if (code < 0 && errno != EINTR) {
            break;
        }
    }
    if (code < 0) {
        affinity_done(ret);
    } else if (ret->slots_count > 0) {
        qsort(ret->slots, ret->slots_count, sizeof ret->slots[0], slot_cmp);
    }
}

void affinity_done(struct affinity *affinity)
{
    if (affinity->visits != NULL) {
        nftnl_set_free(affinity->visits);
    }
    free(affinity->slots);
    *affinity = (struct affinity){0};
}

void affinity_put(struct nft_batch *batch, const struct affinity *affinity, size_t bytes_max)
{
    if (affinity->visits == NULL || !has_visits(affinity)) {
        return;
    }
    struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(affinity->visits);
    for (int more = 1; more > 0 && batch->used < bytes_max;) {
        struct nlmsghdr *msg = nft_message(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
        more = nftnl_set_elems_nlmsg_build_payload_iter(msg, iter);
        nft_message_end(batch, msg);
    }
    nftnl_set_elems_iter_destroy(iter);
}

bool affinity_slots(const struct affinity *affinity, const struct rule_service *service,
                    size_t slot_class, struct rule_endpoint *ret)
{
    bool has_any = false;
    for (uint32_t i = 0; i < slot_classes[slot_class].count && affinity->slots_count > 0; i++) {
        struct nft_key key = nft_key_of(service, slot_classes[slot_class].offset + i);
        const struct affinity_slot *slot =
            bsearch(&key, affinity->slots, affinity->slots_count, sizeof *slot, slot_cmp);
        ret[i] = (struct rule_endpoint){0};
        if (slot != NULL) {
            ret[i] = (struct rule_endpoint){ntohl(slot->target.address), ntohs(slot->target.port)};
            has_any = true;
        }
    }
    return has_any;
}
