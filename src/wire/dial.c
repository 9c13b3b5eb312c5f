// SPDX-License-Identifier: Apache-2.0
//
// Sockets for calls.
#include "wire/dial.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void dial_lower(struct err *err)
{
    for (char *p = err->msg; *p != '\0'; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    }
}

int dial_tcp(struct str host, uint16_t port, char address[DIAL_ADDRESS_MAX], struct err *err)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    auto_free char *text = xstrndup(host.n == 0 ? "" : host.p, host.n);
    bool is_v4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;
    bool is_v6 = !is_v4 && inet_pton(AF_INET6, text, &in6.sin6_addr) == 1;
    struct buf shown;
    buf_init(&shown, DIAL_ADDRESS_MAX - 1);
    (void)buf_addf(&shown, is_v6 ? "[%s]:%d" : "%s:%d", text, port);
    memcpy(address, shown.n == 0 ? "" : shown.p, shown.n + 1);
    buf_done(&shown);
    if (!is_v4 && !is_v6) {
        return err_set(err, ERR_INVALID, "dial tcp: lookup %s: no such host", text);
    }
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_errno(err, "dial tcp %s: socket", address);
    }
    int r = is_v4 ? connect(fd, (struct sockaddr *)&in, sizeof in)
                  : connect(fd, (struct sockaddr *)&in6, sizeof in6);
    if (r < 0 && errno != EINPROGRESS) {
        struct err e = {0};
        (void)err_errno(&e, "connect");
        dial_lower(&e);
        (void)close(fd);
        return err_set(err, ERR_IO, "dial tcp %s: %s", address, e.msg);
    }
    return fd;
}
