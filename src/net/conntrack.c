// SPDX-License-Identifier: Apache-2.0
//
// Forgetting UDP flows (spec/node.md 7.5): conntrack keeps a flow's address translation as long as
// packets come, so a client that goes on sending would never notice that its endpoint left. TCP
// flows are left alone. ctnetlink over libmnl: one dump, then one deletion a stale flow.
#include "net/internal.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>

/* The two directions of a flow, in host order. */
struct tuple {
    uint32_t src;
    uint32_t dst;
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t protocol;
};

struct flow {
    struct tuple orig;
    struct tuple reply;
};

struct sweep {
    const struct udp_change *changes;
    size_t count;
    uint32_t address; /* when changes is NULL */
    struct tuple *stale;
    size_t stale_count;
    size_t stale_cap;
};

static bool change_hits(const struct udp_change *change, const struct flow *flow)
{
    if (flow->orig.dst_port != change->port ||
        (change->address != 0 && flow->orig.dst != change->address)) {
        return false;
    }
    if (change->address == 0 && flow->reply.src == flow->orig.dst) {
        /* Untranslated: a node port without endpoints, or somebody else's port at this number that
         * the node itself answers. Both survive being forgotten. */
        return true;
    }
    struct rule_endpoint goes_to = {.address = flow->reply.src, .port = flow->reply.src_port};
    return !endpoint_is_in(change->endpoints, change->endpoints_count, &goes_to);
}

static bool is_stale(const struct sweep *sweep, const struct flow *flow)
{
    if (flow->orig.protocol != IPPROTO_UDP) {
        return false;
    }
    if (sweep->changes == NULL) {
        return flow->orig.src == sweep->address || flow->orig.dst == sweep->address ||
               flow->reply.src == sweep->address;
    }
    for (size_t i = 0; i < sweep->count; i++) {
        if (change_hits(&sweep->changes[i], flow)) {
            return true;
        }
    }
    return false;
}

static uint32_t attr_ip(const struct nlattr *attr)
{
    return mnl_attr_get_payload_len(attr) == 4 ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

static uint16_t attr_port(const struct nlattr *attr)
{
    return mnl_attr_get_payload_len(attr) == 2 ? ntohs(mnl_attr_get_u16(attr)) : 0;
}

static int ip_read(const struct nlattr *field, void *ctx)
{
    struct tuple *ret = ctx;
    if (mnl_attr_get_type(field) == CTA_IP_V4_SRC) {
        ret->src = attr_ip(field);
    } else if (mnl_attr_get_type(field) == CTA_IP_V4_DST) {
        ret->dst = attr_ip(field);
    }
    return MNL_CB_OK;
}

static int protocol_read(const struct nlattr *field, void *ctx)
{
    struct tuple *ret = ctx;
    if (mnl_attr_get_type(field) == CTA_PROTO_NUM) {
        ret->protocol = mnl_attr_get_u8(field);
    } else if (mnl_attr_get_type(field) == CTA_PROTO_SRC_PORT) {
        ret->src_port = attr_port(field);
    } else if (mnl_attr_get_type(field) == CTA_PROTO_DST_PORT) {
        ret->dst_port = attr_port(field);
    }
    return MNL_CB_OK;
}

static int tuple_read(const struct nlattr *part, void *ctx)
{
    switch (mnl_attr_get_type(part)) {
    case CTA_TUPLE_IP:
        return mnl_attr_parse_nested(part, ip_read, ctx);
    case CTA_TUPLE_PROTO:
        return mnl_attr_parse_nested(part, protocol_read, ctx);
    default:
        return MNL_CB_OK;
    }
}

static int flow_read(const struct nlattr *attr, void *ctx)
{
    struct flow *ret = ctx;
    switch (mnl_attr_get_type(attr)) {
    case CTA_TUPLE_ORIG:
        return mnl_attr_parse_nested(attr, tuple_read, &ret->orig);
    case CTA_TUPLE_REPLY:
        return mnl_attr_parse_nested(attr, tuple_read, &ret->reply);
    default:
        return MNL_CB_OK;
    }
}

static int flow_seen(const struct nlmsghdr *msg, void *ctx)
{
    struct sweep *sweep = ctx;
    struct flow flow = {0};
    (void)mnl_attr_parse(msg, sizeof(struct nfgenmsg), flow_read, &flow);
    if (!is_stale(sweep, &flow)) {
        return MNL_CB_OK;
    }
    if (sweep->stale_count == sweep->stale_cap) {
        sweep->stale_cap = sweep->stale_cap == 0 ? 16 : 2 * sweep->stale_cap;
        sweep->stale = xrealloc(sweep->stale, sweep->stale_cap * sizeof(*sweep->stale));
    }
    sweep->stale[sweep->stale_count++] = flow.orig;
    return MNL_CB_OK;
}

static struct nlmsghdr *message(char *room, int type, int flags)
{
    struct nlmsghdr *msg = mnl_nlmsg_put_header(room);
    msg->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
    msg->nlmsg_flags = (uint16_t)flags;
    struct nfgenmsg *head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
    *head = (struct nfgenmsg){.nfgen_family = AF_INET, .version = NFNETLINK_V0};
    return msg;
}

static int flow_forget(struct nl *nl, const struct tuple *orig)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = message(room, IPCTNL_MSG_CT_DELETE, 0);
    struct nlattr *nest = mnl_attr_nest_start(msg, CTA_TUPLE_ORIG);
    struct nlattr *ip = mnl_attr_nest_start(msg, CTA_TUPLE_IP);
    mnl_attr_put_u32(msg, CTA_IP_V4_SRC, htonl(orig->src));
    mnl_attr_put_u32(msg, CTA_IP_V4_DST, htonl(orig->dst));
    mnl_attr_nest_end(msg, ip);
    struct nlattr *proto = mnl_attr_nest_start(msg, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(msg, CTA_PROTO_NUM, orig->protocol);
    mnl_attr_put_u16(msg, CTA_PROTO_SRC_PORT, htons(orig->src_port));
    mnl_attr_put_u16(msg, CTA_PROTO_DST_PORT, htons(orig->dst_port));
    mnl_attr_nest_end(msg, proto);
    mnl_attr_nest_end(msg, nest);
    return nl_talk(nl, msg, NULL, NULL) < 0 && errno != ENOENT ? -1 : 0;
}

static int sweep_run(struct nl *nl, struct sweep *sweep, struct err *err)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = message(room, IPCTNL_MSG_CT_GET, NLM_F_DUMP);
    int code = nl_talk(nl, msg, flow_seen, sweep) < 0 ? err_errno(err, "list flows") : 0;
    for (size_t i = 0; i < sweep->stale_count && code == 0; i++) {
        if (flow_forget(nl, &sweep->stale[i]) < 0) {
            code = err_errno(err, "forget a flow");
        }
    }
    free(sweep->stale);
    return code;
}

int conntrack_drop_stale(struct nl *nl, const struct udp_change *changes, size_t count,
                         struct err *err)
{
    struct sweep sweep = {.changes = changes, .count = count};
    return count == 0 ? 0 : sweep_run(nl, &sweep, err);
}

int conntrack_drop_address(struct nl *nl, uint32_t address, struct err *err)
{
    struct sweep sweep = {.address = address};
    return sweep_run(nl, &sweep, err);
}
