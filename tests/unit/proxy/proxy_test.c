// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "data/json.h"
#include "proxy/proxy.h"

enum { OBJECTS_MAX = 4 };

#define SLICE(service, rest)                                                                       \
    "{'metadata':{'namespace':'n','name':'" service "-1','labels':{'kubernetes.io/service-name':"  \
    "'" service "'}}," rest "}"
#define SERVICE(name, rest) "{'metadata':{'namespace':'n','name':'" name "'}," rest "}"
#define HTTP_SLICE                                                                                 \
    SLICE("web", "'ports':[{'name':'http','port':8080,'protocol':'TCP'}],'endpoints':["            \
                 "{'addresses':['10.244.0.3'],'conditions':{'ready':true}},"                       \
                 "{'addresses':['10.244.0.2']},"                                                   \
                 "{'addresses':['10.244.0.9'],'conditions':{'ready':false,'serving':true,"         \
                 "'terminating':true}}]")

static const struct {
    const char *what;
    const char *services[OBJECTS_MAX];
    const char *slices[OBJECTS_MAX];
    const char *want;
} rows[] = {
    {"cluster IP: ready endpoints, the numbers of the slice",
     {SERVICE("web", "'spec':{'clusterIP':'10.96.0.16','clusterIPs':['10.96.0.16'],"
                     "'ports':[{'name':'http','port':80,'protocol':'TCP'}]}")},
     {HTTP_SLICE},
     "tcp 10.96.0.16:80 -> 10.244.0.2:8080 10.244.0.3:8080\n"                        },
    {"every kind of address",
     {SERVICE("web", "'spec':{'clusterIP':'10.96.0.16','externalIPs':['192.0.2.1'],"
                     "'ports':[{'name':'http','port':80,'nodePort':30080}]},"
                     "'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.2'},{'hostname':'x'},"
                     "{'ip':'192.0.2.3','ipMode':'Proxy'},{'ip':'192.0.2.4','ipMode':'VIP'}]}}")},
     {HTTP_SLICE},
     "tcp *:30080 -> 10.244.0.2:8080 10.244.0.3:8080\n"
     "tcp 10.96.0.16:80 -> 10.244.0.2:8080 10.244.0.3:8080\n"
     "tcp 192.0.2.1:80 -> 10.244.0.2:8080 10.244.0.3:8080\n"
     "tcp 192.0.2.2:80 -> 10.244.0.2:8080 10.244.0.3:8080\n"
     "tcp 192.0.2.4:80 -> 10.244.0.2:8080 10.244.0.3:8080\n"                         },
    {"no endpoints, another port name, another protocol: refused",
     {SERVICE("web", "'spec':{'clusterIP':'10.96.0.16','ports':[{'name':'x','port':80},"
                     "{'name':'http','port':81,'protocol':'UDP'}]}"),
      SERVICE("none", "'spec':{'clusterIP':'10.96.0.17','ports':[{'port':80}]}")},
     {HTTP_SLICE},
     "tcp 10.96.0.16:80 reject\nudp 10.96.0.16:81 reject\ntcp 10.96.0.17:80 reject\n"},
    {"headless, ExternalName and unassigned services give nothing",
     {SERVICE("web", "'spec':{'clusterIP':'None','ports':[{'name':'http','port':80}]}"),
      SERVICE("out", "'spec':{'type':'ExternalName','clusterIP':'10.96.0.3','ports':[{'port':1}]}"),
      SERVICE("new", "'spec':{'ports':[{'port':80}]}")},
     {HTTP_SLICE},
     ""                                                                              },
    {"only terminating endpoints: they serve on",
     {SERVICE("a", "'spec':{'clusterIP':'10.96.0.16','ports':[{'port':80}]}")},
     {SLICE("a", "'ports':[{'name':'','port':8080}],'endpoints':["
                 "{'addresses':['10.244.0.2'],'conditions':{'ready':false,'serving':false,'"
                 "terminating':true}},"
                 "{'addresses':['10.244.0.3'],'conditions':{'ready':false,'serving':true,'"
                 "terminating':true}},"
                 "{'addresses':['10.244.0.4'],'conditions':{'ready':false,'serving':true,'"
                 "terminating':false}}]")},
     "tcp 10.96.0.16:80 -> 10.244.0.3:8080\n"                                        },
    {"affinity, default and own timeout",
     {SERVICE(
          "a",
          "'spec':{'clusterIP':'10.96.0.16','sessionAffinity':'ClientIP','ports':[{'port':80}]}"),
      SERVICE("b",
              "'spec':{'clusterIP':'10.96.0.17','sessionAffinity':'ClientIP',"
              "'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':60}},'ports':[{'port':80}]}")},
     {NULL},
     "tcp 10.96.0.16:80 sticky 10800s reject\ntcp 10.96.0.17:80 sticky 60s reject\n" },
    {"two slices of one service, one endpoint in both, one slice of another namespace",
     {SERVICE("a", "'spec':{'clusterIP':'10.96.0.16','ports':[{'port':80}]}")},
     {SLICE("a", "'ports':[{'port':8080}],'endpoints':[{'addresses':['10.244.0.2']}]"),
      "{'metadata':{'namespace':'n','name':'a-0','labels':{'kubernetes.io/service-name':'a'}},"
      "'ports':[{'port':8080}],'endpoints':[{'addresses':['10.244.0.2']},{'addresses':['10.244.0.1'"
      "]}]}",
      "{'metadata':{'namespace':'m','name':'a-0','labels':{'kubernetes.io/service-name':'a'}},"
      "'ports':[{'port':8080}],'endpoints':[{'addresses':['10.244.0.7']}]}"},
     "tcp 10.96.0.16:80 -> 10.244.0.1:8080 10.244.0.2:8080\n"                        },
    {"two services claim one external address: the first name has it",
     {SERVICE(
          "b",
          "'spec':{'clusterIP':'10.96.0.17','externalIPs':['192.0.2.1'],'ports':[{'port':80}]}"),
      SERVICE(
          "a",
          "'spec':{'clusterIP':'10.96.0.16','externalIPs':['192.0.2.1'],'ports':[{'port':80}]}")},
     {SLICE("a", "'ports':[{'port':1}],'endpoints':[{'addresses':['10.244.0.2']}]")},
     "tcp 10.96.0.16:80 -> 10.244.0.2:1\ntcp 10.96.0.17:80 reject\ntcp 192.0.2.1:80 -> "
     "10.244.0.2:1\n"                                                                },
    {"nonsense is left out",
     {SERVICE("a", "'spec':{'clusterIP':'fd00::1','clusterIPs':['10.96.0.x',7],'ports':[{'port':0},"
                   "{'port':80,'protocol':'ICMP'},{'port':70000},7]}"),
      "{}", "[]"},
     {"{}", "7", SLICE("a", "'ports':7,'endpoints':[7,{'addresses':[]}]")},
     ""                                                                              },
};

static size_t read_all(struct arena *arena, const char *const *texts, bool is_backwards,
                       const struct val **ret)
{
    size_t count = 0;
    struct err err = {0};
    while (count < OBJECTS_MAX && texts[count] != NULL) {
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        struct str text = arena_dup(arena, str_of(texts[is_backwards ? count - 1 - i : i]));
        char *quoted = arena_alloc(arena, text.n + 1);
        for (size_t c = 0; c < text.n; c++) {
            quoted[c] = text.p[c] == '\'' ? '"' : text.p[c];
        }
        struct val *val = arena_alloc(arena, sizeof(*val));
        EXPECT_OK(json_read((struct str){quoted, text.n}, arena, NULL, val, &err));
        ret[i] = val;
    }
    return count;
}

TEST(services_become_rules_in_any_order)
{
    static const struct proxy_config config = {.pod_prefix = 16, .service_prefix = 12};
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        auto_buf struct buf out;
        const struct val *services[OBJECTS_MAX];
        const struct val *slices[OBJECTS_MAX];
        struct ruleset set;
        bool is_backwards = i % 2 == 1;
        size_t services_count = read_all(arena, rows[i / 2].services, is_backwards, services);
        size_t slices_count = read_all(arena, rows[i / 2].slices, is_backwards, slices);
        proxy_build(arena, services, services_count, slices, slices_count, &config, &set);
        buf_init(&out, 1 << 16);
        EXPECT_INT(0, ruleset_write(&out, &set));
        EXPECT_STR(rows[i / 2].want, buf_str(&out));
        EXPECT_INT(16, set.pod_prefix);
    }
}
