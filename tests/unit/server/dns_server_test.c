// SPDX-License-Identifier: Apache-2.0
//
// Two DNS gates on loopback, one the other's upstream; the client is a blocking script on a pool
// thread.
#include "server/server.h"

#include "test.h"

#include "base/mem.h"
#include "data/json.h"
#include "dns/wire.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A client that offers its objects when it is watched. */
struct fake {
    struct client base;
    const char *domain_ip; /* cluster IP of service "web" in namespace "d" */
};

static void tell(enum kind_id kind, client_event_fn *fn, void *ctx, const char *json)
{
    struct arena *arena = arena_new(1 << 20);
    struct val v;
    struct err err = {0};
    EXPECT_OK(json_read(str_of(json), arena, NULL, &v, &err));
    struct object *object = object_new(S("x/d/web"), 1, &v);
    fn(ctx, kind_of(kind), object, NULL, /*is_delete=*/false);
    object_unref(object);
    arena_free(arena);
}

static void fake_watch(struct client *client, enum kind_id kind, client_event_fn *fn, void *ctx)
{
    const struct fake *fake = container_of(client, struct fake, base);
    if (kind == KIND_NAMESPACE) {
        tell(kind, fn, ctx, "{\"metadata\":{\"name\":\"d\"}}");
    } else if (kind == KIND_SERVICE) {
        auto_free char *json =
            xasprintf("{\"metadata\":{\"name\":\"web\",\"namespace\":\"d\"},\"spec\":{\"type\":"
                      "\"ClusterIP\",\"clusterIP\":\"%s\",\"clusterIPs\":[\"%s\"],\"ports\":[]}}",
                      fake->domain_ip, fake->domain_ip);
        tell(kind, fn, ctx, json);
    }
}

static const struct client_ops fake_ops = {.watch = fake_watch};

struct question {
    const char *name;
    bool is_tcp;
    int rcode;
    const char *address; /* in the answer's last four bytes, or NULL */
};

struct asking {
    struct loop *loop;
    uint16_t port;
    const struct question *questions;
    size_t count;
    struct buf *replies;
};

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&at, sizeof at));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&at, &size));
    (void)close(fd);
    return ntohs(at.sin_port);
}

/* Both sockets of a server, on one port. */
static void listen_on(struct dns_server_config *config)
{
    config->port = free_port();
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(config->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    config->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    config->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(0, bind(config->udp_fd, (struct sockaddr *)&at, sizeof at));
    assert_int_equal(0, bind(config->tcp_fd, (struct sockaddr *)&at, sizeof at));
    assert_int_equal(0, listen(config->tcp_fd, 8));
}

static void ask(const struct asking *a, const struct question *q, struct buf *ret)
{
    static const char head[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00";
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(a->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = 20};
    auto_buf struct buf out;
    struct dns_name name;
    char bytes[4096];
    buf_init(&out, 1000);
    assert_int_equal(0, dns_name_parse(&name, str_of(q->name)));
    (void)buf_add(&out, (struct str){head, sizeof head});
    (void)buf_add(&out, (struct str){(const char *)name.bytes, name.len});
    (void)buf_add(&out, (struct str){"\x00\x01\x00\x01", 4});
    int fd = socket(AF_INET, (q->is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        char prefix[2] = {0, (char)out.n};
        if (q->is_tcp) {
            (void)send(fd, prefix, 1, MSG_NOSIGNAL); /* in pieces */
            (void)send(fd, prefix + 1, 1, MSG_NOSIGNAL);
        }
        (void)send(fd, out.p, out.n, MSG_NOSIGNAL);
        ssize_t n = q->is_tcp ? recv(fd, bytes, 2, MSG_WAITALL) : 0;
        if (n == 2) {
            n = recv(fd, bytes, (size_t)bytes[1] & 0xff, MSG_WAITALL);
        } else if (!q->is_tcp) {
            n = recv(fd, bytes, sizeof bytes, 0);
        }
        (void)buf_add(ret, (struct str){bytes, n > 0 ? (size_t)n : 0});
    }
    (void)close(fd);
}

static void work(void *ctx)
{
    const struct asking *a = ctx;
    for (size_t i = 0; i < a->count; i++) {
        buf_init(&a->replies[i], 65536);
        ask(a, &a->questions[i], &a->replies[i]);
    }
}

static void work_done(void *ctx)
{
    loop_stop(((struct asking *)ctx)->loop);
}

static void check(const struct question *q, struct str reply)
{
    EXPECT(reply.n >= DNS_HEADER_BYTES);
    EXPECT_STR("\x12\x34", str_sub(reply, 0, 2));
    EXPECT_INT(q->rcode, reply.p[3] & 0x0f);
    if (q->address != NULL) {
        char text[INET_ADDRSTRLEN];
        EXPECT_STR(q->address,
                   str_of(inet_ntop(AF_INET, reply.p + reply.n - 4, text, sizeof text)));
    }
}

TEST(dns_server_answers_and_forwards)
{
    static const struct question questions[] = {
        {"web.d.svc.cluster.local",  false, DNS_NOERROR,  "10.96.1.1"},
        {"web.d.svc.cluster.local",  true,  DNS_NOERROR,  "10.96.1.1"},
        {"nope.d.svc.cluster.local", false, DNS_NXDOMAIN, NULL       },
        {"web.d.svc.other.test",     false, DNS_NOERROR,  "10.96.2.2"}, /* from upstream */
        {"web.d.svc.other.test",     true,  DNS_NOERROR,  "10.96.2.2"},
        {"nope.d.svc.other.test",    false, DNS_NXDOMAIN, NULL       },
        {"example.com",              false, DNS_SERVFAIL, NULL       }, /* upstream has no upstream */
    };
    struct err err = {0};
    struct rng rng;
    rng_seed(&rng, 7);
    struct loop *loop = loop_new();
    struct fake near = {{&fake_ops}, "10.96.1.1"};
    struct fake far = {{&fake_ops}, "10.96.2.2"};
    uint32_t upstream = INADDR_LOOPBACK;
    struct dns_server_config config = {.loop = loop,
                                       .rng = &rng,
                                       .client = &far.base,
                                       .address = INADDR_LOOPBACK,
                                       .cluster_domain = S("other.test")};
    listen_on(&config);
    struct dns_server *b = dns_server_new(&config, &err);
    EXPECT(b != NULL);
    config.upstream_port = config.port;
    listen_on(&config);
    config.client = &near.base;
    config.cluster_domain = S("cluster.local");
    config.upstreams = &upstream;
    config.upstreams_count = 1;
    struct dns_server *a = dns_server_new(&config, &err);
    EXPECT(a != NULL);
    struct buf replies[ARRAY_LEN(questions)];
    struct asking asking = {loop, config.port, questions, ARRAY_LEN(questions), replies};
    loop_work(loop, work, work_done, &asking);
    loop_run(loop);
    dns_server_free(a);
    dns_server_free(b);
    loop_free(loop);
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        check(&questions[i], buf_str(&replies[i]));
        buf_done(&replies[i]);
    }
}

TEST(dns_server_gives_up_on_a_silent_upstream)
{
    static const struct question questions[] = {
        {"example.com", false, DNS_SERVFAIL, NULL}
    };
    struct err err = {0};
    struct rng rng;
    rng_seed(&rng, 7);
    struct loop *loop = loop_new();
    struct fake near = {{&fake_ops}, "10.96.1.1"};
    uint32_t upstreams[] = {INADDR_LOOPBACK, INADDR_LOOPBACK};
    struct dns_server_config config = {.loop = loop,
                                       .rng = &rng,
                                       .client = &near.base,
                                       .address = INADDR_LOOPBACK,
                                       .cluster_domain = S("cluster.local"),
                                       .upstreams = upstreams,
                                       .upstreams_count = 2,
                                       .upstream_port = free_port()}; /* refused at once */
    listen_on(&config);
    struct dns_server *server = dns_server_new(&config, &err);
    EXPECT(server != NULL);
    struct buf replies[1];
    struct asking asking = {loop, config.port, questions, 1, replies};
    loop_work(loop, work, work_done, &asking);
    loop_run(loop);
    dns_server_free(server);
    loop_free(loop);
    check(&questions[0], buf_str(&replies[0]));
    buf_done(&replies[0]);
}
