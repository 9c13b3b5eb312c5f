// SPDX-License-Identifier: Apache-2.0
//
// Pod namespaces and their links, as spec/machine.md 3 measured them: a pod has one /32 address, a
// link route to the bridge's address and a default route by way of it; the node has a host route a
// pod. So every packet between pods is routed and translated, and nothing goes past the rules at
// layer 2 (bridge ports are isolated, bridge-nf-call-iptables is off).
//
// Each step may find its work done: a brain that was killed anywhere in between leaves something
// that the next call completes.
#include "net/pod_net.h"

#include "base/fd.h"
#include "base/mem.h"
#include "net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BRIDGE "cni0"

enum { VETH_NAME_MAX = 10, VETH_TRIES = 8, CONNECT_PATIENCE_MS = 1000 };

struct pod_net {
    struct nl route;
    struct nl filter; /* conntrack */
    bool was_up;
    uint32_t gateway; /* the bridge's address */
    uint32_t bridge;  /* its index */
    char *netns_dir;
};

/* Bridge settings are per namespace, but absent where br_netfilter is not loaded. */
static const struct {
    const char *path;
    const char *value;
    bool may_be_absent;
} sysctls[] = {
    {"/proc/sys/net/ipv4/ip_forward",                       "1", false},
    {"/proc/sys/net/ipv4/conf/all/send_redirects",          "0", false},
    {"/proc/sys/net/ipv4/conf/" BRIDGE "/send_redirects",   "0", false},
    {"/proc/sys/net/bridge/bridge-nf-call-iptables",        "0", true },
    {"/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", "1", true },
};

static int sysctls_put(struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
        int code = file_put(AT_FDCWD, sysctls[i].path, str_of(sysctls[i].value), err);
        if (code < 0 && !(sysctls[i].may_be_absent && code == ERR_NOT_FOUND)) {
            return code;
        }
    }
    return 0;
}

static int node_up(struct pod_net *net, const struct pod_net_config *config, struct err *err)
{
    struct link_info link;
    struct route services = {.base = config->service_cidr, .prefix = config->service_prefix};
    int code;
    net->was_up = link_find(&net->route, BRIDGE, &link, err) == 0;
    if ((code = link_find(&net->route, "lo", &link, err)) < 0 ||
        (code = link_set_up(&net->route, link.index, err)) < 0 ||
        (code = link_add_bridge(&net->route, BRIDGE, net->gateway, err)) < 0 ||
        (code = link_find(&net->route, BRIDGE, &link, err)) < 0 ||
        (code = link_set_up(&net->route, link.index, err)) < 0 ||
        (code = address_add(&net->route, link.index, net->gateway, err)) < 0 ||
        (code = sysctls_put(err)) < 0) {
        return code;
    }
    net->bridge = services.index = link.index;
    if (services.prefix > 0 && (code = route_add(&net->route, &services, err)) < 0) {
        return code;
    }
    return dir_make_all(config->netns_dir, 0711, err);
}

struct pod_net *pod_net_open(const struct pod_net_config *config, struct err *err)
{
    struct pod_net *net = xcalloc(1, sizeof(*net));
    net->gateway = config->pod_cidr + 1;
    net->netns_dir = xstrdup(config->netns_dir);
    if (nl_open(&net->route, NETLINK_ROUTE, err) < 0 ||
        nl_open(&net->filter, NETLINK_NETFILTER, err) < 0 || node_up(net, config, err) < 0) {
        (void)err_wrap(err, "node network");
        pod_net_close(net);
        return NULL;
    }
    return net;
}

void pod_net_close(struct pod_net *net)
{
    if (net == NULL) {
        return;
    }
    nl_close(&net->route);
    nl_close(&net->filter);
    free(net->netns_dir);
    free(net);
}

int pod_net_add_local(struct pod_net *net, uint32_t address, struct err *err)
{
    struct link_info link;
    int code = link_find(&net->route, "lo", &link, err);
    return code < 0 ? code : address_add(&net->route, link.index, address, err);
}

bool pod_net_was_up(const struct pod_net *net)
{
    return net->was_up;
}

uint32_t pod_net_node_address(const struct pod_net *net)
{
    return net->gateway;
}

/* A thread that can't come home is of no use to anybody: what it does next would land in a pod. */
static void come_home(int home)
{
    if (setns(home, CLONE_NEWNET) < 0) {
        abort();
    }
}

static int own_namespace(struct err *err)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_errno(err, "open own network namespace") : fd;
}

static bool is_pinned(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

/* Makes a namespace and binds it to path; the thread is home again afterwards. */
static int namespace_make(const char *path, struct err *err)
{
    auto_close int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
    if (file < 0) {
        return err_errno(err, "make \"%s\"", path);
    }
    auto_close int home = own_namespace(err);
    if (home < 0) {
        return home;
    }
    if (unshare(CLONE_NEWNET) < 0) {
        return err_errno(err, "make a network namespace");
    }
    int code = mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0
                   ? err_errno(err, "bind \"%s\"", path)
                   : 0;
    come_home(home);
    return code;
}

/* Opens a route socket inside the namespace ns. */
static int socket_inside(int ns, struct nl *ret, struct err *err)
{
    auto_close int home = own_namespace(err);
    if (home < 0) {
        return home;
    }
    if (setns(ns, CLONE_NEWNET) < 0) {
        return err_errno(err, "enter the pod's network namespace");
    }
    int code = nl_open(ret, NETLINK_ROUTE, err);
    come_home(home);
    return code;
}

/* FNV-1a, 32 bits; salt 0 unless the name is taken by another pod. */
static void veth_name(const char *id, uint32_t salt, char out[static VETH_NAME_MAX])
{
    uint32_t hash = 2166136261U ^ salt;
    for (const char *c = id; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 16777619U;
    }
    (void)snprintf(out, VETH_NAME_MAX, "v%08x", hash);
}

/* A pod's link says in its alias whose it is: "10.244.0.5 <id>". False when it is another pod's. */
static bool alias_read(const char *alias, const char *id, uint32_t *ret_address)
{
    struct str rest = str_of(alias);
    struct str address = str_cut(&rest, ' ');
    return rest.p != NULL && str_eq(rest, str_of(id)) && ip4_parse(address, ret_address) == 0;
}

/* The node's end of a pod's link. */
struct veth {
    char name[VETH_NAME_MAX];
    bool is_there;
    uint32_t address; /* 0 = killed before the alias was set: only its maker's next call sees it */
};

/* Finds the pod's link, or the name that it should get. */
static int veth_find(struct pod_net *net, const char *id, struct veth *ret, struct err *err)
{
    for (uint32_t salt = 0; salt < VETH_TRIES; salt++) {
        struct link_info link;
        *ret = (struct veth){.is_there = true};
        veth_name(id, salt, ret->name);
        int code = link_find(&net->route, ret->name, &link, err);
        if (code == ERR_NOT_FOUND) {
            ret->is_there = false;
            return 0;
        }
        if (code < 0 || link.alias[0] == '\0' || alias_read(link.alias, id, &ret->address)) {
            return code;
        }
    }
    return err_set(err, ERR_EXISTS, "no free link name for pod \"%s\"", id);
}

/* Makes the pod's link. The kernel takes a dead namespace's links away some 20 ms later, so a link
 * of ours may be a leftover of the same pod's last namespace: is_new says that it has to be. */
static int veth_ensure(struct pod_net *net, const char *id, uint32_t address, int ns, bool is_new,
                       struct err *err)
{
    struct veth veth;
    int code = veth_find(net, id, &veth, err);
    if (code == 0 && veth.is_there && is_new) {
        code = link_remove(&net->route, veth.name, err);
        code = code < 0 ? code : veth_find(net, id, &veth, err);
    }
    if (code < 0) {
        return code;
    }
    char text[IP4_TEXT_MAX];
    if (veth.is_there && veth.address != 0 && veth.address != address) {
        ip4_format(veth.address, text);
        return err_set(err, ERR_EXISTS, "has address %s already", text);
    }
    if (!veth.is_there &&
        (code = link_add_veth(&net->route, veth.name, net->bridge, ns, address, err)) < 0) {
        return code;
    }
    ip4_format(address, text);
    auto_free char *alias = xasprintf("%s %s", text, id);
    return link_set_port(&net->route, veth.name, alias, err);
}

static int pod_side(struct pod_net *net, struct nl *inside, uint32_t address, struct err *err)
{
    struct link_info lo;
    struct link_info eth0;
    int code;
    if ((code = link_find(inside, "lo", &lo, err)) < 0 ||
        (code = link_set_up(inside, lo.index, err)) < 0 ||
        (code = link_find(inside, "eth0", &eth0, err)) < 0 ||
        (code = link_set_up(inside, eth0.index, err)) < 0 ||
        (code = address_add(inside, eth0.index, address, err)) < 0) {
        return code;
    }
    struct route link = {.base = net->gateway, .prefix = 32, .index = eth0.index};
    struct route rest = {.gateway = net->gateway, .index = eth0.index};
    code = route_add(inside, &link, err);
    return code < 0 ? code : route_add(inside, &rest, err);
}

static int id_check(const char *id, struct err *err)
{
    size_t n = strlen(id);
    if (n == 0 || n > LINK_ALIAS_MAX - IP4_TEXT_MAX || id[0] == '.' || strchr(id, '/') != NULL) {
        return err_set(err, ERR_INVALID, "\"%s\" is not a pod network's id", id);
    }
    return 0;
}

int pod_net_add(struct pod_net *net, const char *id, uint32_t address, struct err *err)
{
    int code = id_check(id, err);
    if (code < 0) {
        return code;
    }
    auto_free char *path = xasprintf("%s/%s", net->netns_dir, id);
    bool is_new = !is_pinned(path);
    if (is_new && namespace_make(path, err) < 0) {
        return err_wrap(err, "network of pod \"%s\"", id);
    }
    auto_close int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0) {
        return err_errno(err, "open \"%s\"", path);
    }
    struct nl inside = {0};
    struct route to_pod = {.base = address, .prefix = 32, .index = net->bridge};
    if (socket_inside(ns, &inside, err) < 0 || veth_ensure(net, id, address, ns, is_new, err) < 0 ||
        pod_side(net, &inside, address, err) < 0 || route_add(&net->route, &to_pod, err) < 0) {
        nl_close(&inside);
        return err_wrap(err, "network of pod \"%s\"", id);
    }
    nl_close(&inside);
    return 0;
}

int pod_net_remove(struct pod_net *net, const char *id, struct err *err)
{
    int code = id_check(id, err);
    if (code < 0) {
        return code;
    }
    struct veth veth;
    if ((code = veth_find(net, id, &veth, err)) < 0) {
        return code;
    }
    if (veth.address != 0) {
        struct route to_pod = {.base = veth.address, .prefix = 32, .index = net->bridge};
        if ((code = route_remove(&net->route, &to_pod, err)) < 0) {
            return code;
        }
    }
    auto_free char *path = xasprintf("%s/%s", net->netns_dir, id);
    if (is_pinned(path) && umount2(path, MNT_DETACH) < 0) {
        return err_errno(err, "unmount \"%s\"", path);
    }
    return unlink(path) < 0 && errno != ENOENT ? err_errno(err, "remove \"%s\"", path) : 0;
}

static int socket_in(const char *netns_path, int family, struct err *err)
{
    auto_close int ns = open(netns_path, O_RDONLY | O_CLOEXEC);
    if (ns < 0) {
        return err_errno(err, "open \"%s\"", netns_path);
    }
    auto_close int home = own_namespace(err);
    if (home < 0) {
        return home;
    }
    if (setns(ns, CLONE_NEWNET) < 0) {
        return err_errno(err, "enter \"%s\"", netns_path);
    }
    /* A socket belongs to the namespace it was made in: the rest can be done at home. */
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fd = err_errno(err, "make a socket in \"%s\"", netns_path);
    }
    come_home(home);
    return fd;
}

/* Waits a little, since on a loopback link the answer is there at once: a refusal here is what lets
 * the caller try the other family. */
static int connect_loopback(int fd, const struct sockaddr *to, socklen_t size)
{
    if (connect(fd, to, size) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return -1;
    }
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, CONNECT_PATIENCE_MS) <= 0) {
        return 0; /* still connecting (a full backlog): the caller waits on */
    }
    int error = 0;
    socklen_t error_size = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) < 0) {
        return -1;
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

int pod_net_connect(const char *netns_path, uint16_t port, struct err *err)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(port),
        .sin6_addr = IN6ADDR_LOOPBACK_INIT,
    };
    auto_close int fd = socket_in(netns_path, AF_INET, err);
    if (fd < 0) {
        return -1;
    }
    if (connect_loopback(fd, (struct sockaddr *)&v4, sizeof(v4)) == 0) {
        return take_fd(&fd);
    }
    (void)err_errno(err, "connect to 127.0.0.1:%u in the pod", port);
    struct err ignored;
    auto_close int fd6 = socket_in(netns_path, AF_INET6, &ignored);
    if (fd6 < 0 || connect_loopback(fd6, (struct sockaddr *)&v6, sizeof(v6)) < 0) {
        return -1;
    }
    err->code = 0;
    return take_fd(&fd6);
}

int pod_net_flush_udp(struct pod_net *net, uint32_t address, struct err *err)
{
    return conntrack_drop_address(&net->filter, address, err);
}
