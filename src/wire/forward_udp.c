// SPDX-License-Identifier: Apache-2.0
//
// UDP ports: each client address has a socket of its own toward the target, so that answers find
// their way back and the cluster's connection tracking keeps a client with its endpoint.
#include "wire/forward_internal.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAMS_PER_TURN = 32 };

struct flow {
    struct list node;
    struct forward *forward;
    struct sockaddr_in client;
    int fd;
    struct io *io;
    usec used;
};

static struct str key_of(const struct sockaddr_in *client, char out[static 6])
{
    memcpy(out, &client->sin_addr.s_addr, 4);
    memcpy(out + 4, &client->sin_port, 2);
    return (struct str){out, 6};
}

static void flow_close(struct flow *flow)
{
    char key[6];
    struct forward *f = flow->forward;
    (void)map_remove(&f->flows, key_of(&flow->client, key));
    list_remove(&flow->node);
    f->count--;
    io_stop(flow->io);
    (void)close(flow->fd);
    free(flow);
}

void forward_drop_flows(struct forward *f)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &f->members) {
        flow_close(container_of(it, struct flow, node));
    }
}

static void flow_touch(struct flow *flow)
{
    flow->used = loop_now(flow->forward->loop);
    list_remove(&flow->node);
    list_add_tail(&flow->forward->members, &flow->node);
}

static void sweep(void *ctx)
{
    struct forward *f = ctx;
    usec limit = loop_now(f->loop) - FORWARD_FLOW_IDLE;
    struct list *it;
    struct list *next;
    list_foreach (it, next, &f->members) {
        struct flow *flow = container_of(it, struct flow, node); /* longest unused first */
        if (flow->used > limit) {
            timer_start(f->loop, &f->timer, flow->used - limit, sweep, f);
            break;
        }
        flow_close(flow);
    }
}

static void on_answer(void *ctx, int events)
{
    struct flow *flow = ctx;
    auto_free char *chunk = xmalloc(FORWARD_CHUNK);
    for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
        ssize_t n = recv(flow->fd, chunk, FORWARD_CHUNK, 0);
        if (n < 0) {
            if (errno != EAGAIN || (events & IO_HANGUP)) {
                flow_close(flow); /* nobody serves there: the client's next datagram tries anew */
            }
            return;
        }
        flow_touch(flow);
        (void)!sendto(flow->forward->fd, chunk, (size_t)n, 0,
                      (const struct sockaddr *)&flow->client, sizeof flow->client);
    }
}

static struct flow *flow_new(struct forward *f, const struct sockaddr_in *client)
{
    char key[6];
    struct err err;
    auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&f->target, sizeof f->target) < 0) {
        return NULL;
    }
    if (f->count == FORWARD_CONNECTIONS_MAX) {
        flow_close(container_of(f->members.next, struct flow, node)); /* keeps (2) */
    }
    struct flow *flow = xcalloc(1, sizeof *flow);
    *flow = (struct flow){.forward = f, .client = *client, .fd = fd};
    flow->io = io_start(f->loop, fd, IO_READ, on_answer, flow, &err);
    if (flow->io == NULL) {
        free(flow);
        return NULL;
    }
    (void)take_fd(&fd);
    list_init(&flow->node);
    (void)map_put(&f->flows, key_of(client, key), flow);
    f->count++;
    if (!timer_is_running(&f->timer)) {
        timer_start(f->loop, &f->timer, FORWARD_FLOW_IDLE, sweep, f);
    }
    return flow;
}

void forward_on_datagram(void *ctx, int events)
{
    struct forward *f = ctx;
    auto_free char *chunk = xmalloc(FORWARD_CHUNK);
    (void)events;
    for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
        char key[6];
        struct sockaddr_in client = {0};
        socklen_t len = sizeof client;
        ssize_t n = recvfrom(f->fd, chunk, FORWARD_CHUNK, 0, (struct sockaddr *)&client, &len);
        if (n < 0) {
            return;
        }
        struct flow *flow = map_find(&f->flows, key_of(&client, key));
        flow = flow == NULL ? flow_new(f, &client) : flow;
        if (flow == NULL) {
            continue;
        }
        flow_touch(flow);
        (void)!send(flow->fd, chunk, (size_t)n, MSG_NOSIGNAL);
    }
}
