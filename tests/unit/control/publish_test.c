// SPDX-License-Identifier: Apache-2.0
//
// Who asks for which port of the host, and who gets it.
#include "test.h"

#include "base/mem.h"
#include "control/publish_claims.h"
#include "data/json.h"
#include "net/pod_net.h"

#include <netinet/in.h>
#include <stdio.h>

struct row {
    const char *key; /* "services/..." or "pods/..." */
    const char *json;
};

static struct object *read_object(struct arena *arena, const struct row *row)
{
    struct val root;
    struct err err = {0};
    EXPECT_OK(json_read(arena_dup(arena, str_of(row->json)), arena, NULL, &root, &err));
    return object_new(str_of(row->key), 1, &root);
}

/* One line a claim: "tcp 127.0.0.1:80 -> 10.96.0.5:80 services/default/a wins". */
static void write_claims(struct arena *arena, const struct row *rows, size_t count, struct buf *out)
{
    struct object *services[8];
    struct object *pods[8];
    size_t services_count = 0;
    size_t pods_count = 0;
    struct publish_claim *claims;
    size_t claims_count;
    for (size_t i = 0; i < count; i++) {
        if (str_starts(str_of(rows[i].key), S("services/"))) {
            services[services_count++] = read_object(arena, &rows[i]);
        } else {
            pods[pods_count++] = read_object(arena, &rows[i]);
        }
    }
    publish_claims(arena, services, services_count, pods, pods_count, &claims, &claims_count);
    for (size_t i = 0; i < claims_count; i++) {
        char address[IP4_TEXT_MAX];
        char target[IP4_TEXT_MAX];
        ip4_format(claims[i].address, address);
        ip4_format(claims[i].target, target);
        (void)buf_addf(out, "%s %s:%u -> %s:%u " STR_FMT "%s\n",
                       claims[i].protocol == IPPROTO_UDP ? "udp" : "tcp", address, claims[i].port,
                       target, claims[i].target_port, STR_ARG(claims[i].owner->key),
                       claims[i].is_winner ? " wins" : "");
    }
    for (size_t i = 0; i < services_count; i++) {
        object_unref(services[i]);
    }
    for (size_t i = 0; i < pods_count; i++) {
        object_unref(pods[i]);
    }
}

#define SERVICE_A                                                                                  \
    {                                                                                              \
        "services/default/a", "{\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.1.1\","  \
                              "\"ports\":[{\"port\":80,\"nodePort\":30080}]}}"                     \
    }
#define SERVICE_B                                                                                  \
    {                                                                                              \
        "services/default/b", "{\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.1.2\","  \
                              "\"ports\":[{\"port\":80,\"nodePort\":30081}]}}"                     \
    }
#define POD(phase)                                                                                 \
    {                                                                                              \
        "pods/default/p",                                                                          \
            "{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":8080,\"hostPort\":80}]}]}," \
            "\"status\":{\"podIP\":\"10.244.0.9\",\"phase\":\"" phase "\"}}"                       \
    }

TEST(publish_claims)
{
    const struct {
        struct row rows[4];
        const char *want;
    } cases[] = {
        {{SERVICE_B, SERVICE_A, POD("Running")},
         "tcp 127.0.0.1:80 -> 10.96.1.1:80 services/default/a wins\n"
         "tcp 127.0.0.1:80 -> 10.96.1.2:80 services/default/b\n"
         "tcp 127.0.0.1:80 -> 10.244.0.9:8080 pods/default/p\n"
         "tcp 127.0.0.1:30080 -> 10.96.1.1:80 services/default/a wins\n"
         "tcp 127.0.0.1:30081 -> 10.96.1.2:80 services/default/b wins\n"                                                                             },
        {{POD("Running")},                                                                "tcp 127.0.0.1:80 -> 10.244.0.9:8080 pods/default/p wins\n"},
        {{POD("Succeeded")},                                                              ""                                                         },
        {{{"services/default/c", "{\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"10.96.1.3\","
                                 "\"ports\":[{\"port\":80}]}}"}},
         ""                                                                                                                                          },
        {{{"services/default/d",
           "{\"spec\":{\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"x.io/y\",\"clusterIP\":"
           "\"10.96.1.4\",\"ports\":[{\"port\":53,\"nodePort\":30053,\"protocol\":\"UDP\"},"
           "{\"port\":9,\"nodePort\":30009,\"protocol\":\"SCTP\"}]}}"}},
         "udp 127.0.0.1:30053 -> 10.96.1.4:53 services/default/d wins\n"                                                                             },
        {{{"pods/default/q",
           "{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":1,\"hostPort\":2,\"hostIP\":"
           "\"127.0.0.7\"},{\"containerPort\":3,\"hostPort\":4,\"hostIP\":\"0.0.0.0\"},"
           "{\"containerPort\":5}]}]},\"status\":{\"podIP\":\"10.244.0.9\"}}"}},
         "tcp 127.0.0.1:4 -> 10.244.0.9:3 pods/default/q wins\n"
         "tcp 127.0.0.7:2 -> 10.244.0.9:1 pods/default/q wins\n"                                                                                     },
        {{{"pods/default/early", "{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":1,"
                                 "\"hostPort\":2}]}]},\"status\":{}}"}},
         ""                                                                                                                                          },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        auto_buf struct buf out;
        size_t count = 0;
        buf_init(&out, 1 << 16);
        while (count < ARRAY_LEN(cases[i].rows) && cases[i].rows[count].key != NULL) {
            count++;
        }
        write_claims(arena, cases[i].rows, count, &out);
        EXPECT_STR(cases[i].want, buf_str(&out));
    }
}

TEST(publish_concerns)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    const struct {
        const char *json;
        bool is_service;
        bool want;
    } cases[] = {
        {"{\"spec\":{\"type\":\"NodePort\"}}",                                true,  true },
        {"{\"spec\":{\"type\":\"ClusterIP\"}}",                               true,  false},
        {"{\"spec\":{\"type\":\"ClusterIP\"},\"status\":{\"loadBalancer\":{\"ingress\":"
         "[{\"ip\":\"127.0.0.1\"}]}}}",                              true,  true },
        {"{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":1}]}]}}", false, false},
        {"{\"spec\":{\"initContainers\":[{\"ports\":[{\"hostPort\":1}]}]}}",  false, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct val root;
        struct err err = {0};
        EXPECT_OK(json_read(arena_dup(arena, str_of(cases[i].json)), arena, NULL, &root, &err));
        EXPECT_INT(cases[i].want, cases[i].is_service ? publish_concerns_service(&root)
                                                      : publish_concerns_pod(&root));
    }
}
