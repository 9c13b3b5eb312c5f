// SPDX-License-Identifier: Apache-2.0
//
// rtnetlink messages for links, addresses and routes (rtnetlink(7)), over libmnl.
#include "net/link.h"

#include "net/pod_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

enum { HARDWARE_LEN = 6 };

/* Locally administered, made of the address: a reused address keeps its neighbour entries true. */
static void put_hardware_address(struct nlmsghdr *msg, uint32_t address)
{
    const uint8_t bytes[HARDWARE_LEN] = {
        0x0a,
        0x58,
        (uint8_t)(address >> 24),
        (uint8_t)(address >> 16),
        (uint8_t)(address >> 8),
        (uint8_t)address,
    };
    mnl_attr_put(msg, IFLA_ADDRESS, sizeof(bytes), bytes);
}

static struct nlmsghdr *link_message(char *room, int type, int flags, const char *name)
{
    struct nlmsghdr *msg = mnl_nlmsg_put_header(room);
    msg->nlmsg_type = (uint16_t)type;
    msg->nlmsg_flags = (uint16_t)flags;
    struct ifinfomsg *head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
    *head = (struct ifinfomsg){.ifi_family = AF_UNSPEC};
    if (name != NULL) {
        mnl_attr_put_strz(msg, IFLA_IFNAME, name);
    }
    return msg;
}

static void set_flag_up(struct nlmsghdr *msg)
{
    struct ifinfomsg *head = mnl_nlmsg_get_payload(msg);
    head->ifi_flags = IFF_UP;
    head->ifi_change = IFF_UP;
}

static int link_attr_read(const struct nlattr *attr, void *ctx)
{
    struct link_info *ret = ctx;
    if (mnl_attr_get_type(attr) == IFLA_IFALIAS) {
        (void)snprintf(ret->alias, sizeof(ret->alias), "%s", mnl_attr_get_str(attr));
    }
    return MNL_CB_OK;
}

static int link_seen(const struct nlmsghdr *msg, void *ctx)
{
    struct link_info *ret = ctx;
    const struct ifinfomsg *head = mnl_nlmsg_get_payload(msg);
    ret->index = (uint32_t)head->ifi_index;
    return mnl_attr_parse(msg, sizeof(*head), link_attr_read, ret);
}

int link_find(struct nl *nl, const char *name, struct link_info *ret, struct err *err)
{
    char room[NL_MSG_MAX];
    struct link_info found = {0};
    if (nl_talk(nl, link_message(room, RTM_GETLINK, 0, name), link_seen, &found) < 0) {
        return errno == ENODEV ? err_set(err, ERR_NOT_FOUND, "no link \"%s\"", name)
                               : err_errno(err, "find link \"%s\"", name);
    }
    *ret = found;
    return 0;
}

int link_add_bridge(struct nl *nl, const char *name, uint32_t address, struct err *err)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = link_message(room, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, name);
    set_flag_up(msg);
    put_hardware_address(msg, address);
    struct nlattr *info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
    mnl_attr_put_strz(msg, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(msg, info);
    if (nl_talk(nl, msg, NULL, NULL) < 0 && errno != EEXIST) {
        return err_errno(err, "make bridge \"%s\"", name);
    }
    return 0;
}

int link_add_veth(struct nl *nl, const char *name, uint32_t bridge, int ns_fd, uint32_t address,
                  struct err *err)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = link_message(room, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, name);
    set_flag_up(msg);
    mnl_attr_put_u32(msg, IFLA_MASTER, bridge);
    struct nlattr *info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
    mnl_attr_put_strz(msg, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(msg, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(msg, VETH_INFO_PEER);
    struct ifinfomsg *head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
    *head = (struct ifinfomsg){.ifi_family = AF_UNSPEC};
    mnl_attr_put_strz(msg, IFLA_IFNAME, "eth0");
    put_hardware_address(msg, address);
    mnl_attr_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)ns_fd);
    mnl_attr_nest_end(msg, peer);
    mnl_attr_nest_end(msg, data);
    mnl_attr_nest_end(msg, info);
    return nl_talk(nl, msg, NULL, NULL) < 0 ? err_errno(err, "make link \"%s\"", name) : 0;
}

int link_set_port(struct nl *nl, const char *name, const char *alias, struct err *err)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = link_message(room, RTM_NEWLINK, 0, name);
    mnl_attr_put_str(msg, IFLA_IFALIAS, alias);
    struct nlattr *info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
    mnl_attr_put_strz(msg, IFLA_INFO_SLAVE_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(msg, IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(msg, IFLA_BRPORT_ISOLATED, 1);
    mnl_attr_nest_end(msg, data);
    mnl_attr_nest_end(msg, info);
    return nl_talk(nl, msg, NULL, NULL) < 0 ? err_errno(err, "isolate port \"%s\"", name) : 0;
}

int link_set_up(struct nl *nl, uint32_t index, struct err *err)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = link_message(room, RTM_NEWLINK, 0, NULL);
    set_flag_up(msg);
    struct ifinfomsg *head = mnl_nlmsg_get_payload(msg);
    head->ifi_index = (int)index;
    return nl_talk(nl, msg, NULL, NULL) < 0 ? err_errno(err, "set link %u up", index) : 0;
}

int link_remove(struct nl *nl, const char *name, struct err *err)
{
    char room[NL_MSG_MAX];
    if (nl_talk(nl, link_message(room, RTM_DELLINK, 0, name), NULL, NULL) < 0 && errno != ENODEV) {
        return err_errno(err, "remove link \"%s\"", name);
    }
    return 0;
}

int address_add(struct nl *nl, uint32_t index, uint32_t address, struct err *err)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = mnl_nlmsg_put_header(room);
    msg->nlmsg_type = RTM_NEWADDR;
    msg->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
    struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
    *head = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = index};
    mnl_attr_put_u32(msg, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(msg, IFA_ADDRESS, htonl(address));
    if (nl_talk(nl, msg, NULL, NULL) < 0 && errno != EEXIST) {
        char text[IP4_TEXT_MAX];
        ip4_format(address, text);
        return err_errno(err, "add address %s", text);
    }
    return 0;
}

static int route_change(struct nl *nl, int type, const struct route *route)
{
    char room[NL_MSG_MAX];
    struct nlmsghdr *msg = mnl_nlmsg_put_header(room);
    msg->nlmsg_type = (uint16_t)type;
    msg->nlmsg_flags = type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct rtmsg *head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
    *head = (struct rtmsg){
        .rtm_family = AF_INET,
        .rtm_dst_len = (uint8_t)route->prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = route->gateway == 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
        .rtm_type = RTN_UNICAST,
    };
    if (route->prefix > 0) {
        mnl_attr_put_u32(msg, RTA_DST, htonl(route->base));
    }
    if (route->gateway != 0) {
        mnl_attr_put_u32(msg, RTA_GATEWAY, htonl(route->gateway));
    }
    mnl_attr_put_u32(msg, RTA_OIF, route->index);
    return nl_talk(nl, msg, NULL, NULL);
}

int route_add(struct nl *nl, const struct route *route, struct err *err)
{
    char text[IP4_TEXT_MAX];
    ip4_format(route->base, text);
    return route_change(nl, RTM_NEWROUTE, route) < 0
               ? err_errno(err, "add route to %s/%d", text, route->prefix)
               : 0;
}

int route_remove(struct nl *nl, const struct route *route, struct err *err)
{
    char text[IP4_TEXT_MAX];
    ip4_format(route->base, text);
    return route_change(nl, RTM_DELROUTE, route) < 0 && errno != ESRCH
               ? err_errno(err, "remove route to %s/%d", text, route->prefix)
               : 0;
}
