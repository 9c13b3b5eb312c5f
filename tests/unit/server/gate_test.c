// SPDX-License-Identifier: Apache-2.0
//
// The gate over TLS on loopback, with the real API on a memory journal and sessions that answer at
// once. The client is a blocking script on a pool thread, one connection a request.
#include "server/server.h"

#include "test.h"

#include "auth/cert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/journal.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STRANGER, ADMIN, USER, IMPOSTOR, WHO_COUNT }; /* the last has a certificate of another CA */

struct step {
    int who; /* 0 = no certificate */
    const char *send;
    const char *want[5]; /* all must be in the reply */
};

struct gate {
    struct loop *loop;
    struct rng rng;
    struct store *store;
    struct api *api;
    struct auth *auth;
    struct tls_server *tls;
    struct server *server;
    uint16_t port;
    struct buf ca, ca_key, cert, key, token_key;
    struct buf certs[WHO_COUNT], keys[WHO_COUNT]; /* by who */
    const struct step *steps;
    size_t steps_count;
    struct buf *replies;
};

/* Sessions: "hi" on stdout, what comes on stdin, exit code 3. */

struct session {
    struct session_events events;
    void *ctx;
    struct timer timer;
    struct buf in;
    enum session_kind kind;
    bool is_paused, is_end;
};
static struct loop *session_loop;

static void session_tick(void *ctx)
{
    struct session *s = ctx;
    if (s->is_paused) {
        timer_start(session_loop, &s->timer, USEC_PER_MS, session_tick, s);
        return;
    }
    s->events.output(s->ctx, SESSION_STDOUT, S("hi"));
    if (s->in.n > 0) {
        s->events.output(s->ctx, SESSION_STDOUT, buf_str(&s->in));
    }
    s->events.ended(s->ctx, s->kind == SESSION_EXEC ? 3 : 0, NULL);
    buf_done(&s->in);
    free(s);
}

static struct session *session_open(void *node, const struct session_request *request,
                                    const struct session_events *events, void *ctx, struct err *err)
{
    (void)node;
    if (str_eq(request->container, S("bad"))) {
        (void)err_set(err, ERR_INVALID, "container bad is not valid for pod p");
        return NULL;
    }
    struct session *s = xcalloc(1, sizeof *s);
    s->events = *events;
    s->ctx = ctx;
    s->kind = request->kind;
    buf_init(&s->in, 1 << 20);
    if (!request->has_stdin) {
        timer_start(session_loop, &s->timer, USEC_PER_MS, session_tick, s);
    }
    return s;
}

static void session_input(struct session *s, struct str bytes, bool is_end)
{
    (void)buf_add(&s->in, bytes);
    if (is_end) {
        timer_start(session_loop, &s->timer, USEC_PER_MS, session_tick, s);
    }
}

static void session_resize(struct session *s, int width, int height)
{
    (void)s;
    (void)width;
    (void)height;
}

static void session_pause(struct session *s, bool is_paused)
{
    s->is_paused = is_paused;
}

static void session_close(struct session *s)
{
    timer_stop(&s->timer);
    buf_done(&s->in);
    free(s);
}

static size_t session_backlog(const struct session *s)
{
    return s->in.n;
}

static const struct session_ops session_ops = {session_open,  session_input, session_resize,
                                               session_pause, session_close, session_backlog};

/* The client. */

static SSL_CTX *client_ctx(const struct gate *g, int who)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (who != STRANGER) {
        BIO *cert = BIO_new_mem_buf(g->certs[who].p, (int)g->certs[who].n);
        BIO *key = BIO_new_mem_buf(g->keys[who].p, (int)g->keys[who].n);
        X509 *x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
        EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
        (void)SSL_CTX_use_certificate(ctx, x);
        (void)SSL_CTX_use_PrivateKey(ctx, k);
        X509_free(x);
        EVP_PKEY_free(k);
        BIO_free(cert);
        BIO_free(key);
    }
    return ctx;
}

static void ask(const struct gate *g, const struct step *step, struct buf *ret)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(g->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = 20};
    char bytes[4096];
    SSL_CTX *ctx = client_ctx(g, step->who);
    SSL *ssl = SSL_new(ctx);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0 && SSL_set_fd(ssl, fd) == 1 &&
        SSL_connect(ssl) == 1) {
        /* '\x01' ends a piece: the rest waits for one TLS record of the reply. '\x02' is a NUL. */
        for (struct str rest = str_of(step->send); rest.p != NULL;) {
            struct str piece = str_cut(&rest, '\x01');
            auto_buf struct buf out;
            buf_init(&out, 1 << 20);
            for (size_t i = 0; i < piece.n; i++) {
                (void)buf_addc(&out, piece.p[i] == '\x02' ? '\0' : piece.p[i]);
            }
            (void)SSL_write(ssl, out.p, (int)out.n);
            int n = rest.p == NULL ? 0 : SSL_read(ssl, bytes, sizeof bytes);
            (void)buf_add(ret, (struct str){bytes, n > 0 ? (size_t)n : 0});
        }
        int n;
        while ((n = SSL_read(ssl, bytes, sizeof bytes)) > 0) {
            (void)buf_add(ret, (struct str){bytes, (size_t)n});
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
}

static void client(void *ctx)
{
    struct gate *g = ctx;
    for (size_t i = 0; i < g->steps_count; i++) {
        buf_init(&g->replies[i], 16 << 20);
        ask(g, &g->steps[i], &g->replies[i]);
    }
}

static void client_done(void *ctx)
{
    loop_stop(((struct gate *)ctx)->loop);
}

/* The gate. */

static void make_certs(struct gate *g)
{
    static const char *const names[WHO_COUNT] = {"", "root", "jane", "root"};
    static const struct str masters = {"system:masters", 14};
    static const struct str local = {"127.0.0.1", 9};
    struct err err = {0};
    struct buf *all[] = {&g->ca, &g->ca_key, &g->cert, &g->key, &g->token_key};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        buf_init(all[i], 1 << 16);
    }
    usec from = loop_clock(g->loop)->wall(loop_clock(g->loop)->ctx) - 60 * USEC_PER_SEC;
    struct cert_request request = {.common_name = S("server"),
                                   .addresses = &local,
                                   .addresses_count = 1,
                                   .is_server = true,
                                   .valid_from_wall = from,
                                   .valid_for = 3600 * USEC_PER_SEC};
    EXPECT_OK(cert_make_ca(S("ca"), from, 7200 * USEC_PER_SEC, &g->ca, &g->ca_key, &err));
    EXPECT_OK(cert_make_key(&g->token_key, &err));
    EXPECT_OK(cert_make(buf_str(&g->ca), buf_str(&g->ca_key), &request, &g->cert, &g->key, &err));
    auto_buf struct buf other_ca;
    auto_buf struct buf other_key;
    buf_init(&other_ca, 1 << 16);
    buf_init(&other_key, 1 << 16);
    EXPECT_OK(cert_make_ca(S("ca"), from, 7200 * USEC_PER_SEC, &other_ca, &other_key, &err));
    for (int who = ADMIN; who < WHO_COUNT; who++) {
        const struct buf *ca = who == IMPOSTOR ? &other_ca : &g->ca;
        const struct buf *ca_key = who == IMPOSTOR ? &other_key : &g->ca_key;
        buf_init(&g->certs[who], 1 << 16);
        buf_init(&g->keys[who], 1 << 16);
        request.common_name = str_of(names[who]);
        request.is_server = false;
        request.organizations = &masters;
        request.organizations_count = who == USER ? 0 : 1;
        EXPECT_OK(
            cert_make(buf_str(ca), buf_str(ca_key), &request, &g->certs[who], &g->keys[who], &err));
    }
}

static int listen_any(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&at, sizeof at));
    assert_int_equal(0, listen(fd, 8));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&at, &size));
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void gate_open(struct gate *g)
{
    struct err err = {0};
    session_loop = g->loop = loop_new();
    rng_seed(&g->rng, 1);
    make_certs(g);
    g->store = store_open(g->loop, journal_open_memory(), &err);
    struct api_config api = {.loop = g->loop,
                             .store = g->store,
                             .rng = &g->rng,
                             .service_cidr = 0x0a600000,
                             .service_prefix = 12,
                             .cluster_domain = S("cluster.local")};
    g->api = api_new(&api);
    struct auth_config auth = {.api = g->api,
                               .loop = g->loop,
                               .rng = &g->rng,
                               .token_key_pem = buf_str(&g->token_key),
                               .issuer = S("https://kubernetes.default.svc.cluster.local")};
    g->auth = auth_new(&auth, &err);
    EXPECT(g->auth != NULL);
    auth_register(g->auth);
    g->tls = tls_server_new(buf_str(&g->cert), buf_str(&g->key), buf_str(&g->ca), &err);
    EXPECT(g->tls != NULL);
    struct server_config config = {.loop = g->loop,
                                   .api = g->api,
                                   .auth = g->auth,
                                   .tls = g->tls,
                                   .sessions = &session_ops,
                                   .address = S("127.0.0.1:6443")};
    g->server = server_new(&config, &err);
    EXPECT_OK(server_listen(g->server, listen_any(&g->port), &err));
}

static void gate_close(struct gate *g)
{
    server_free(g->server);
    tls_server_free(g->tls);
    auth_free(g->auth);
    api_free(g->api);
    store_close(g->store);
    loop_free(g->loop);
    struct buf *all[] = {
        &g->ca, &g->ca_key, &g->cert, &g->key, &g->token_key,
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        buf_done(all[i]);
    }
    for (int who = ADMIN; who < WHO_COUNT; who++) {
        buf_done(&g->certs[who]);
        buf_done(&g->keys[who]);
    }
}

static void run(const struct step *steps, size_t count)
{
    struct gate g = {.steps = steps, .steps_count = count};
    g.replies = xcalloc(count, sizeof *g.replies);
    gate_open(&g);
    loop_work(g.loop, client, client_done, &g);
    loop_run(g.loop);
    gate_close(&g);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < ARRAY_LEN(steps[i].want) && steps[i].want[k] != NULL; k++) {
            if (str_search(buf_str(&g.replies[i]), str_of(steps[i].want[k])) < 0) {
                test_fail_text(steps[i].send, str_of(steps[i].want[k]), buf_str(&g.replies[i]),
                               __FILE__, __LINE__);
            }
        }
        buf_done(&g.replies[i]);
    }
    free(g.replies);
}

#define END     " HTTP/1.1\r\nConnection: close\r\n\r\n"
#define JSON(n) " HTTP/1.1\r\nConnection: close\r\nContent-Length: " #n "\r\n\r\n"
#define POD     "/api/v1/namespaces/d/pods/p"
#define MAKE_NS                                                                                    \
    {                                                                                              \
        ADMIN,                                                                                     \
            "POST /api/v1/namespaces" JSON(65) "{\"apiVersion\":\"v1\",\"kind\":"                  \
                                               "\"Namespace\",\"metadata\":{\"name\":\"d\"}}   ",  \
        {                                                                                          \
            "HTTP/1.1 201 Created"                                                                 \
        }                                                                                          \
    }

TEST(gate_knows_who_asks)
{
    static const struct step steps[] = {
        {STRANGER, "GET /livez" END,                                                    {"200 OK", "\r\n\r\nok"}                                      },
        {STRANGER, "GET /version" END,                                                  {"200 OK", "\"gitVersion\":\"v1.35.0\""}                      },
        {STRANGER,
         "GET /api" END,
         {"403 Forbidden", "User \\\"system:anonymous\\\" cannot get path \\\"/api\\\""}                                                              },
        {STRANGER,
         "GET /api/v1/pods" END,
         {"403 Forbidden",
          "cannot list resource \\\"pods\\\" in API group \\\"\\\" at the cluster scope"}                                                             },
        {STRANGER,
         "GET /livez HTTP/1.1\r\nImpersonate-User: jane\r\nConnection: close\r\n\r\n",  {"403 Forbidden", "cannot impersonate"}                       },
        {STRANGER,
         "GET /livez HTTP/1.1\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n", {"401 Unauthorized"}                                          },
        {IMPOSTOR, "GET /livez" END,                                                    {"401 Unauthorized", "\"reason\":\"Unauthorized\""}           },
        {USER,
         "GET /api/v1/namespaces/d/pods" END,
         {"403 Forbidden", "pods is forbidden: User \\\"jane\\\" cannot list resource \\\"pods\\\" "
                           "in API group \\\"\\\" in the namespace \\\"d\\\""}                                                                        },
        {USER,     "GET /metrics" END,                                                  {"403 Forbidden", "cannot get path \\\"/metrics\\\""}         },
        {USER,
         "GET /api HTTP/1.1\r\nImpersonate-User: root\r\nConnection: close\r\n\r\n",    {"403 Forbidden", "cannot impersonate resource \\\"users\\\""}},
        {ADMIN,
         "GET /api/v1/namespaces/d/pods HTTP/1.1\r\nImpersonate-User: joe\r\nConnection: "
         "close\r\n\r\n",                                                               {"403 Forbidden", "User \\\"joe\\\" cannot list"}             },
        {ADMIN,    "GET /metrics" END,                                                  {"200 OK", "process_resident_memory_bytes "}                  },
    };
    run(steps, ARRAY_LEN(steps));
}

TEST(gate_gives_an_impersonated_account_its_groups)
{
    static const struct step steps[] = {
        {ADMIN,
         "POST /apis/rbac.authorization.k8s.io/v1/clusterroles" JSON(
             92) "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"verbs\":[\"list\"],\"apiGroups\":["
                 "\"\"],\"resources\":[\"pods\"]}]}", {"201 Created"}      },
        {ADMIN,
         "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings" JSON(
             211) "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization."
                  "k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"apiGroup\":"
                  "\"rbac.authorization.k8s.io\",\"kind\":\"Group\",\"name\":\"system:"
                  "serviceaccounts:d\"}]}",           {"201 Created"}      },
        {ADMIN,
         "GET /api/v1/pods HTTP/1.1\r\nImpersonate-User: system:serviceaccount:d:a\r\nConnection: "
         "close\r\n\r\n",                             {"200 OK", "PodList"}},
        {ADMIN,
         "GET /api/v1/pods HTTP/1.1\r\nImpersonate-User: system:serviceaccount:e:a\r\nConnection: "
         "close\r\n\r\n",                             {"403 Forbidden"}    },
    };
    run(steps, ARRAY_LEN(steps));
}

TEST(gate_negotiates_and_refuses)
{
    static const struct step steps[] = {
        MAKE_NS,
        {ADMIN, "GET /api/v1/namespaces/d" END,                                               {"200 OK", "\"name\":\"d\""}                                                    },
        {ADMIN,
          "GET /api/v1/namespaces HTTP/1.1\r\nConnection: close\r\nAccept: "
         "application/json;as=Table;v=v1;g=meta.k8s.io\r\n\r\n",                               {"\"kind\":\"Table\"", "columnDefinitions"}                                     },
        {ADMIN,
          "GET /api/v1/namespaces/d HTTP/1.1\r\nConnection: close\r\nAccept: "
         "application/yaml\r\n\r\n",                                                           {"Content-Type: application/yaml", "kind: Namespace"}                           },
        {ADMIN,
          "GET /api/v1/namespaces HTTP/1.1\r\nConnection: close\r\nAccept: text/html\r\n\r\n", {"406 Not Acceptable", "\"reason\":\"NotAcceptable\""}                          },
        {ADMIN,
          "GET /apis HTTP/1.1\r\nConnection: close\r\nAccept: "
         "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n\r\n",       {"as=APIGroupDiscoveryList", "ETag: \"", "\"apps\""}                            },
        {ADMIN,
          "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions" END,
          {"200 OK", "\"items\":[]"}                                                                                                                                           },
        {ADMIN,
          "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions" END,
          {"404 Not Found"}                                                                                                                                                    },
        {ADMIN, "GET /nope" END,                                                              {"404 Not Found", "could not find the requested resource"}                      },
        {ADMIN, "GET /api/v1/frogs" END,                                                      {"404 Not Found"}                                                               },
        {ADMIN, "PUT /api/v1/namespaces" END,                                                 {"405 Method Not Allowed"}                                                      },
        {ADMIN,
          "POST /api/v1/namespaces HTTP/1.1\r\nConnection: close\r\nContent-Type: "
         "application/cbor\r\nContent-Length: 1\r\n\r\nx",                                     {"415 Unsupported Media Type", "accepted media types include: application/json"}},
        {ADMIN, "POST /api/v1/namespaces" JSON(1) "{",                                        {"400 Bad Request", "\"BadRequest\""}                                           },
        {ADMIN,
          "POST /api/v1/namespaces?dryRun=Some" JSON(2) "{}",
          {"422 Unprocessable", "supported values: \\\"All\\\""}                                                                                                               },
        {ADMIN,
          "PATCH /api/v1/namespaces/d HTTP/1.1\r\nConnection: close\r\nContent-Type: "
         "application/apply-patch+yaml\r\nContent-Length: 2\r\n\r\n{}",                        {"422 Unprocessable", "is required for apply patch"}                            },
        {ADMIN, "GET /api/v1/namespaces?limit=x" END,                                         {"400 Bad Request", "strconv.ParseInt"}                                         },
    };
    run(steps, ARRAY_LEN(steps));
}

TEST(gate_streams_watches)
{
    static const struct step steps[] = {
        MAKE_NS,
        {ADMIN,
          "GET /api/v1/namespaces?watch=1&timeoutSeconds=1&allowWatchBookmarks=true" END,
          {"Transfer-Encoding: chunked", "{\"type\":\"ADDED\",\"object\":", "\"BOOKMARK\"",
          "\r\n0\r\n\r\n"}                                                                                                                                                          },
        {ADMIN,
          "GET /api/v1/namespaces?watch=true&timeoutSeconds=1&sendInitialEvents=true&"
         "resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true" END,
          {"\"ADDED\"", "k8s.io/initial-events-end"}                                                                                                                                },
        {ADMIN,
          "GET /api/v1/namespaces?watch=1&timeoutSeconds=1&includeObject=Object HTTP/1.1\r\n"
         "Connection: close\r\nAccept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n\r\n", {"\"ADDED\"", "\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Namespace\"", "\"phase\""}},
    };
    run(steps, ARRAY_LEN(steps));
}

#define WS_HEAD                                                                                    \
    " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"      \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "

TEST(gate_streams_watches_over_websocket)
{
    /* The client says goodbye after the first event; another is ended by its time. */
    static const struct step steps[] = {
        MAKE_NS,
        {ADMIN,
          "GET /api/v1/namespaces?watch=1&fieldSelector=metadata.name=d" WS_HEAD
         "any\r\n\r\n\x01\x88\x82\x02\x02\x02\x02\x03\xe8",     {"101 Switching", "Sec-WebSocket-Protocol: any", "\x81\x7e",
          "{\"type\":\"ADDED\",\"object\":", "}}\x88\x02\x03\xe8"}},
        {ADMIN,
          "GET "
         "/api/v1/"
         "namespaces?watch=1&timeoutSeconds=1&resourceVersion=1&fieldSelector=metadata.name=x "
         "HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", {"101 Switching", "\r\n\r\n\x88\x02\x03\xe8"}                },
    };
    run(steps, ARRAY_LEN(steps));
}

TEST(gate_carries_sessions)
{
    static const struct step steps[] = {
        {ADMIN, "GET " POD "/log" END,                                                            {"200 OK", "Content-Type: text/plain", "2\r\nhi\r\n"}                      },
        {ADMIN,
         "GET " POD "/log?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z" END,
         {"422 Unprocessable", "at most one of"}                                                                                                                             },
        {ADMIN, "GET " POD "/log?container=bad" END,                                              {"400 Bad Request", "is not valid for pod p"}                              },
        {ADMIN, "POST " POD "/exec?command=ls&stdout=1" END,                                      {"400 Bad Request"}                                                        },
        {USER,
         "GET " POD "/exec?command=ls&stdout=1" END,
         {"403 Forbidden", "cannot create resource \\\"pods/exec\\\""}                                                                                                       },
 /* WebSocket v5: stdin "ab", then its end; out come 1:hi, 1:ab, 3:Status, close. */
        {ADMIN,
         "GET " POD "/exec?command=cat&stdin=1&stdout=1" WS_HEAD
         "v5.channel.k8s.io\r\n\r\n\x82\x83\x02\x02\x02\x02\x02"
         "ab\x82\x82\x02\x02\x02\x02\xff\x02\x01\x01\x01\x01\x88\x82\x02\x02\x02\x02\x03\xe8",    {"101 Switching", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
          "\x82\x03\x01hi\x82\x03\x01"
          "ab",
          "NonZeroExitCode", "\"message\":\"3\",\"reason\":\"ExitCode\""}      },
        {ADMIN,
         "GET " POD "/exec?command=cat&stdout=1" WS_HEAD
         "v4.base64.channel.k8s.io\r\n\r\n\x01\x01\x01\x88\x82\x02\x02\x02\x02\x03\xe8",          {"Sec-WebSocket-Protocol: v4.base64.channel.k8s.io", "\x81\x05"
                                                              "1aGk="}               },
        {ADMIN,
         "GET " POD "/exec?command=cat&stdout=1" WS_HEAD "nonsense\r\nConnection: close\r\n\r\n",
         {"400 Bad Request"}                                                                                                                                                 },
        {ADMIN,
         "POST " POD "/exec?command=ls&stdout=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: "
         "SPDY/3.1\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n\r\n\x01",                     {"403 Forbidden", "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io"}},
        {ADMIN, "POST " POD "/portforward" END,                                                   {"404 Not Found", "pods \\\"p\\\" not found"}                              },
    };
    run(steps, ARRAY_LEN(steps));
}

#define SERVICES "/api/v1/namespaces/d/services"
#define SERVICE                                                                                    \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\"},\"spec\":{"         \
    "\"ports\":[{"                                                                                 \
    "\"port\":80}]}}      "

TEST(gate_proxies_only_to_what_is_there)
{
    static const struct step steps[] = {
        MAKE_NS,
        {ADMIN, "POST " SERVICES JSON(96) SERVICE,      {"201 Created"}                              },
        {ADMIN, "GET " POD "/proxy/" END,               {"404 Not Found", "pods \\\"p\\\" not found"}},
        {ADMIN, "GET " POD ":1:2:3/proxy/" END,         {"400 Bad Request", "invalid pod request"}   },
        {ADMIN,
          "GET " SERVICES "/ftp:s:1/proxy/" END,
          {"400 Bad Request", "invalid service request"}                                              },
        {ADMIN,
          "GET " SERVICES "/s:81/proxy/" END,
          {"503 Service", "no service port 81 found for service"}                                     },
        {ADMIN,
          "GET " SERVICES "/s:80/proxy/" END,
          {"503 Service", "no endpoints available for service \\\"s:80"}                              },
        {ADMIN, "OPTIONS " SERVICES "/s:80/proxy/" END, {"405 Method"}                               },
        {ADMIN, "GET /api/v1/nodes/n/proxy/" END,       {"404 Not Found"}                            },
        {USER,
          "POST " SERVICES "/s:80/proxy/" JSON(0),
          {"403 Forbidden", "cannot create resource \\\"services/proxy\\\""}                          },
    };
    run(steps, ARRAY_LEN(steps));
}
