// SPDX-License-Identifier: Apache-2.0
//
// HTTP and gRPC probes without a network: URLs, headers, redirects, ports, health messages.
#include "node/probe_http.h"

#include "test.h"

#include "base/mem.h"
#include "data/json.h"
#include "node/container_record.h"
#include "node/probe_grpc.h"

static const struct val *read_json(struct arena *arena, const char *json)
{
    struct err err = {0};
    struct val *v = arena_alloc(arena, sizeof *v);
    EXPECT_OK(json_read(str_of(json), arena, NULL, v, &err));
    return v;
}

static const struct {
    int code;
    const char *location;
    enum probe_redirect want;
    const char *url;
} redirects[] = {
    {302, "/ready",                      REDIRECT_FOLLOW, "http://10.1.2.3:8080/ready"     },
    {301, "next?x=1#top",                REDIRECT_FOLLOW, "http://10.1.2.3:8080/a/next?x=1"},
    {303, "?q",                          REDIRECT_FOLLOW, "http://10.1.2.3:8080/a/b?q"     },
    {307, "http://10.1.2.3/x",           REDIRECT_FOLLOW, "http://10.1.2.3:80/x"           },
    {308, "https://10.1.2.3:8443",       REDIRECT_FOLLOW, "https://10.1.2.3:8443/"         },
    {302, "//10.1.2.3:81/y",             REDIRECT_FOLLOW, "http://10.1.2.3:81/y"           },
    {302, "http://user@10.1.2.3:9/?u=/", REDIRECT_FOLLOW, "http://10.1.2.3:9/?u=/"         },
    {302, "http://elsewhere/",           REDIRECT_NONE,   NULL                             },
    {302, "",                            REDIRECT_NONE,   NULL                             },
    {304, "/ready",                      REDIRECT_NONE,   NULL                             },
    {200, "/ready",                      REDIRECT_NONE,   NULL                             },
    {302, "http://10.1.2.3:99999/",      REDIRECT_BAD,    NULL                             },
    {302, "ftp://10.1.2.3/",             REDIRECT_BAD,    NULL                             },
    {302, "http://[::1/",                REDIRECT_BAD,    NULL                             },
    {302, "/a b",                        REDIRECT_BAD,    NULL                             },
};

TEST(probe_redirects_stay_on_the_host)
{
    struct arena *arena = arena_new(1 << 16);
    const struct val *get = read_json(arena, "{\"path\":\"/a/b?c=d\"}");
    struct probe_url url = probe_url_of(get, S("10.1.2.3"), 8080, arena);
    EXPECT_STR("http://10.1.2.3:8080/a/b?c=d", probe_url_text(&url, arena));
    for (size_t i = 0; i < ARRAY_LEN(redirects); i++) {
        struct probe_url next = {0};
        struct str location = str_of(redirects[i].location);
        EXPECT_INT(redirects[i].want,
                   probe_redirect(&url, redirects[i].code, location, arena, &next));
        if (redirects[i].url) {
            EXPECT_STR(redirects[i].url, probe_url_text(&next, arena));
        }
    }
    arena_free(arena);
}

TEST(probe_headers_replace_and_remove_the_defaults)
{
    static const struct {
        const char *json, *want;
    } rows[] = {
        {"{}",                                                       "User-Agent: kube-probe/1.35|Accept: */*|"},
        {"{\"httpHeaders\":[{\"name\":\"accept\",\"value\":\"\"}]}",
         "User-Agent: kube-probe/1.35|"                                                                        },
        {"{\"httpHeaders\":[{\"name\":\"user-agent\",\"value\":\"me\"},{\"name\":\"X\",\"value\":"
         "\"\"}]}",                                         "user-agent: me|X: |Accept: */*|"         },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1 << 16);
        struct http_header headers[PROBE_HEADERS_MAX];
        size_t count = probe_headers(read_json(arena, rows[i].json), headers);
        auto_buf struct buf out;
        buf_init(&out, 1 << 16);
        for (size_t k = 0; k < count; k++) {
            (void)buf_addf(&out, STR_FMT ": " STR_FMT "|", STR_ARG(headers[k].name),
                           STR_ARG(headers[k].value));
        }
        EXPECT_STR(rows[i].want, buf_str(&out));
        arena_free(arena);
    }
}

TEST(probe_ports_are_numbers_names_or_digits)
{
    static const struct {
        const char *port;
        int want;
        const char *err;
    } rows[] = {
        {"8080",     8080, NULL                                            },
        {"\"http\"", 80,   NULL                                            },
        {"\"9000\"", 9000, NULL                                            },
        {"\"nope\"", 0,    "strconv.Atoi: parsing \"nope\": invalid syntax"},
        {"0",        0,    "invalid port number: 0"                        },
        {"70000",    0,    "invalid port number: 70000"                    },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1 << 16);
        struct err err = {0};
        uint16_t port = 0;
        const struct val *container =
            read_json(arena, "{\"ports\":[{\"name\":\"http\",\"containerPort\":80}]}");
        auto_free char *json = xasprintf("{\"port\":%s}", rows[i].port);
        const struct val *v = read_json(arena, json);
        int rc = probe_port_find(container, val_get(v, S("port")), &port, &err);
        EXPECT_INT(rows[i].err != NULL, rc < 0);
        EXPECT_INT(rows[i].want, port);
        if (rows[i].err) {
            EXPECT_STR(rows[i].err, str_of(err.msg));
        }
        arena_free(arena);
    }
}

TEST(grpc_health_is_worded_as_upstream_does)
{
    static const struct {
        bool is_connected;
        int status;
        const char *message, *reply;
        int err;
        const char *want;
    } rows[] = {
        {true,  0,  "",                "\x08\x01", 0,           ""                                                  },
        {true,  0,  "",                "\x08\x02", 0,           "service unhealthy (responded with \"NOT_SERVING\")"},
        {true,  0,  "",                "",         0,           "service unhealthy (responded with \"UNKNOWN\")"    },
        {true,  12, "unknown service", "",         0,
         "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
         "unknown service"                                                                                          },
        {true,  5,  "no",              "",         0,
         "error: health rpc probe failed: rpc error: code = NotFound desc = no"                                     },
        {true,  -1, "",                "",         ERR_TIMEOUT, "timeout: health rpc did not complete within 1s"    },
        {false, -1, "",                "",         ERR_IO,
         "timeout: failed to connect service \"10.1.2.3:90\" within 1s: broke"                                      },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1 << 16);
        struct err err = {0};
        struct str output = S("");
        struct grpc_answer answer = {.is_connected = rows[i].is_connected,
                                     .status = rows[i].status,
                                     .message = str_of(rows[i].message),
                                     .reply = str_of(rows[i].reply)};
        if (rows[i].err != 0) {
            (void)err_set(&err, rows[i].err, "broke");
        }
        bool is_good = grpc_health_words(&answer, err.code ? &err : NULL, S("10.1.2.3:90"), "1s",
                                         arena, &output);
        EXPECT_INT(i == 0, is_good);
        EXPECT_STR(rows[i].want, output);
        arena_free(arena);
    }
    struct arena *arena = arena_new(1 << 16);
    EXPECT_STR("", grpc_health_request(S(""), arena));
    EXPECT_STR("\x0a\x02me", grpc_health_request(S("me"), arena));
    arena_free(arena);
}

TEST(container_record_finds_the_cgroup_from_a_namespace)
{
    EXPECT_STR("/coracle-x/pod", cgroup_from_root(S("/../../coracle-x/pod")));
    EXPECT_STR("/kubepods/a", cgroup_from_root(S("/kubepods/a")));
    EXPECT_STR("/..data", cgroup_from_root(S("/..data")));
}
