// SPDX-License-Identifier: Apache-2.0
//
// One netlink request and its answer, over libmnl. Knows nothing of what the messages mean.
#include "net/internal.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

int nl_open(struct nl *nl, int bus, struct err *err)
{
    nl->seq = 0;
    nl->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (nl->socket == NULL) {
        return err_errno(err, "open a netlink socket");
    }
    /* The kernel answers in the same call; the timeout turns a defect into an error. */
    const struct timeval patience = {.tv_sec = 5};
    int fd = mnl_socket_get_fd(nl->socket);
    if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
        int code = err_errno(err, "bind a netlink socket");
        nl_close(nl);
        return code;
    }
    return 0;
}

void nl_close(struct nl *nl)
{
    if (nl->socket != NULL) {
        (void)mnl_socket_close(nl->socket);
        nl->socket = NULL;
    }
}

int nl_talk(struct nl *nl, struct nlmsghdr *msg, mnl_cb_t cb, void *ctx)
{
    enum { ANSWER_MAX = 32768 }; /* the kernel's dumps come in messages of at most 32 KiB */
    bool is_dump = (msg->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    msg->nlmsg_flags = (uint16_t)(msg->nlmsg_flags | NLM_F_REQUEST | (is_dump ? 0 : NLM_F_ACK));
    msg->nlmsg_seq = ++nl->seq;
    if (mnl_socket_sendto(nl->socket, msg, msg->nlmsg_len) < 0) {
        return -1;
    }
    auto_free char *answer = xmalloc(ANSWER_MAX);
    unsigned port = mnl_socket_get_portid(nl->socket);
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl->socket, answer, ANSWER_MAX);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        struct nlmsghdr first;
        memcpy(&first, answer, (size_t)n < sizeof(first) ? (size_t)n : sizeof(first));
        if ((size_t)n >= sizeof(first) && first.nlmsg_seq != nl->seq) {
            continue; /* the tail of an exchange that timed out */
        }
        int more = mnl_cb_run(answer, (size_t)n, nl->seq, port, cb, ctx);
        if (more <= MNL_CB_STOP) {
            return more < 0 ? -1 : 0;
        }
    }
}
