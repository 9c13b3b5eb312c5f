// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "data/json.h"
#include "dns/answer.h"
#include "dns_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NEGATIVE                                                                                   \
    " / | cluster.local 5 SOA ns.dns.cluster.local hostmaster.cluster.local 7 7200 1800 86400 5 /"
#define NEGATIVE_REVERSE                                                                           \
    " / | in-addr.arpa 5 SOA ns.dns.cluster.local hostmaster.cluster.local 7 7200 1800 86400 5 /"

/* kind, key, object */
static const char *const objects[][3] = {
    {"service", "default/web",
     "{'spec':{'clusterIP':'10.96.0.20','clusterIPs':['10.96.0.20'],'ports':["
     "{'name':'http','port':80,'protocol':'TCP'},{'name':'dns','port':53,'protocol':'UDP'}]}}"          },
    {"slice",   "default/web-x",
     "{'metadata':{'labels':{'kubernetes.io/service-name':'web'}},'addressType':'IPv4',"
     "'endpoints':[{'addresses':['10.244.0.2'],'hostname':'web-0','conditions':{'ready':true}},"
     "{'addresses':['10.244.0.3'],'conditions':{}}],"
     "'ports':[{'name':'http','port':8080,'protocol':'TCP'}]}"                                          },
    {"service", "default/db",
     "{'spec':{'clusterIP':'None','ports':[{'name':'pg','port':5432,'protocol':'TCP'}]}}"               },
    {"slice",   "default/db-x",
     "{'metadata':{'labels':{'kubernetes.io/service-name':'db'}},"
     "'endpoints':[{'addresses':['10.244.0.4'],'hostname':'db-0','conditions':{'ready':true}},"
     "{'addresses':['10.244.0.5'],'hostname':'db-1','conditions':{'ready':false}}],"
     "'ports':[{'name':'pg','port':5433,'protocol':'TCP'}]}"                                            },
    {"service", "default/empty",        "{'spec':{'clusterIP':'None'}}"                                 },
    {"slice",   "default/empty-x",
     "{'metadata':{'labels':{'kubernetes.io/service-name':'empty'}},'endpoints':[],'ports':null}"       },
    {"service", "default/out",          "{'spec':{'type':'ExternalName','externalName':'Example.com.'}}"},
    {"service", "default/in",
     "{'spec':{'type':'ExternalName','externalName':'web.default.svc.cluster.local'}}"                  },
    {"service", "default/ring",
     "{'spec':{'type':'ExternalName','externalName':'ring.default.svc.cluster.local'}}"                 },
    {"service", "default/gone",
     "{'spec':{'type':'ExternalName','externalName':'none.default.svc.cluster.local'}}"                 },
    {"service", "kube-system/kube-dns",
     "{'spec':{'clusterIP':'10.96.0.10','ports':[{'name':'dns','port':53,'protocol':'UDP'}]}}"          },
};

static struct zone *zone;
static struct rng rng;
static struct buf query;
static struct buf out;
static struct buf text;

static void tell(const char *kind, const char *key, const char *json)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    auto_free char *quoted = xstrdup(json);
    struct val val;
    struct err err = {0};
    for (char *c = quoted; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    EXPECT_OK(json_read(str_of(quoted), arena, NULL, &val, &err));
    if (strcmp(kind, "service") == 0) {
        zone_set_service(zone, str_of(key), &val);
    } else {
        zone_set_slice(zone, str_of(key), &val);
    }
}

static void open_zone(void)
{
    static const struct zone_config config = {
        .domain = {"cluster.local", 13},
        .ttl = 5,
        .address = 0x0a60000a,
        .service_cidr = 0x0a600000,
        .service_prefix = 12,
        .pod_cidr = 0x0af40000,
        .pod_prefix = 16,
    };
    struct err err = {0};
    zone = zone_new(&config, &err);
    EXPECT(zone != NULL);
    rng_seed(&rng, 1);
    buf_init(&query, 4096);
    buf_init(&out, DNS_TCP_BYTES);
    buf_init(&text, 1 << 20);
    zone_set_serial(zone, 7);
    zone_set_namespace(zone, S("default"));
    zone_set_namespace(zone, S("kube-system"));
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        tell(objects[i][0], objects[i][1], objects[i][2]);
    }
}

static void close_zone(void)
{
    zone_free(zone);
    buf_done(&query);
    buf_done(&out);
    buf_done(&text);
}

static struct str ask(const char *name, uint16_t type, size_t udp_limit)
{
    struct str q = query_make(&query, name, type, 0);
    switch (dns_answer(zone, q, udp_limit, &rng, &out)) {
    case DNS_ANSWERED:
    case DNS_CHASE:
        answer_print(&text, buf_str(&out));
        return buf_str(&text);
    case DNS_FORWARD:
        return S("forward");
    case DNS_DROP:
        return S("drop");
    }
    return S("?");
}

static const struct {
    const char *name;
    uint16_t type;
    const char *want;
} rows[] = {
    {"web.default.svc.cluster.local",            DNS_A,
     "NOERROR aa | web.default.svc.cluster.local 5 A 10.96.0.20 / /"                                             },
    {"WEB.Default.svc.cluster.LOCAL",            DNS_A,
     "NOERROR aa | web.default.svc.cluster.local 5 A 10.96.0.20 / /"                                             },
    {"web.default.svc.cluster.local",            DNS_AAAA, "NOERROR aa" NEGATIVE                                 },
    {"web.default.svc.cluster.local",            DNS_MX,   "NOERROR aa" NEGATIVE                                 },
    {"none.default.svc.cluster.local",           DNS_AAAA, "NXDOMAIN aa" NEGATIVE                                },
    {"web.none.svc.cluster.local",               DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"default.svc.cluster.local",                DNS_A,    "NOERROR aa" NEGATIVE                                 },
    {"none.svc.cluster.local",                   DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"svc.cluster.local",                        DNS_A,    "NOERROR aa" NEGATIVE                                 },
    {"pod.cluster.local",                        DNS_A,    "NOERROR aa" NEGATIVE                                 },
    {"foo.cluster.local",                        DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"a.b.c.web.default.svc.cluster.local",      DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"web-0.web.default.svc.cluster.local",      DNS_A,
     "NOERROR aa | web-0.web.default.svc.cluster.local 5 A 10.244.0.2 / /"                                       },
    {"10-244-0-3.web.default.svc.cluster.local", DNS_A,
     "NOERROR aa | 10-244-0-3.web.default.svc.cluster.local 5 A 10.244.0.3 / /"                                  },
    {"10-244-0-2.web.default.svc.cluster.local", DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"db.default.svc.cluster.local",             DNS_A,
     "NOERROR aa | db.default.svc.cluster.local 5 A 10.244.0.4 / /"                                              },
    {"db-0.db.default.svc.cluster.local",        DNS_A,
     "NOERROR aa | db-0.db.default.svc.cluster.local 5 A 10.244.0.4 / /"                                         },
    {"db-0.db.default.svc.cluster.local",        DNS_AAAA, "NOERROR aa" NEGATIVE                                 },
    {"db-1.db.default.svc.cluster.local",        DNS_A,    "NXDOMAIN aa" NEGATIVE                                }, /* not ready */
    {"empty.default.svc.cluster.local",          DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"_http._tcp.web.default.svc.cluster.local", DNS_SRV,
     "NOERROR aa | _http._tcp.web.default.svc.cluster.local 5 SRV 0 100 80 "
     "web.default.svc.cluster.local /"
     " / | web.default.svc.cluster.local 5 A 10.96.0.20"                                                         },
    {"http.tcp.web.default.svc.cluster.local",   DNS_SRV,
     "NOERROR aa | http.tcp.web.default.svc.cluster.local 5 SRV 0 100 80 "
     "web.default.svc.cluster.local /"
     " / | web.default.svc.cluster.local 5 A 10.96.0.20"                                                         },
    {"web.default.svc.cluster.local",            DNS_SRV,
     "NOERROR aa | web.default.svc.cluster.local 5 SRV 0 50 80 web.default.svc.cluster.local"
     " | web.default.svc.cluster.local 5 SRV 0 50 53 web.default.svc.cluster.local /"
     " / | web.default.svc.cluster.local 5 A 10.96.0.20"                                                         },
    {"_http._udp.web.default.svc.cluster.local", DNS_SRV,  "NXDOMAIN aa" NEGATIVE                                },
    {"_http._tcp.web.default.svc.cluster.local", DNS_A,    "NOERROR aa" NEGATIVE                                 },
    {"_pg._tcp.db.default.svc.cluster.local",    DNS_SRV,
     "NOERROR aa | _pg._tcp.db.default.svc.cluster.local 5 SRV 0 100 5433 "
     "db-0.db.default.svc.cluster.local /"
     " / | db-0.db.default.svc.cluster.local 5 A 10.244.0.4"                                                     },
    {"web-0.web.default.svc.cluster.local",      DNS_SRV,
     "NOERROR aa | web-0.web.default.svc.cluster.local 5 SRV 0 100 8080 "
     "web-0.web.default.svc.cluster.local /"
     " / | web-0.web.default.svc.cluster.local 5 A 10.244.0.2"                                                   },
    {"out.default.svc.cluster.local",            DNS_A,
     "NOERROR aa | out.default.svc.cluster.local 5 CNAME example.com / /"                                        },
    {"in.default.svc.cluster.local",             DNS_A,
     "NOERROR aa | in.default.svc.cluster.local 5 CNAME web.default.svc.cluster.local"
     " | web.default.svc.cluster.local 5 A 10.96.0.20 / /"                                                       },
    {"10-1-2-3.default.pod.cluster.local",       DNS_A,
     "NOERROR aa | 10-1-2-3.default.pod.cluster.local 5 A 10.1.2.3 / /"                                          },
    {"10-1-2.default.pod.cluster.local",         DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"10-1-2-3.none.pod.cluster.local",          DNS_A,    "NXDOMAIN aa" NEGATIVE                                },
    {"20.0.96.10.in-addr.arpa",                  DNS_PTR,
     "NOERROR aa | 20.0.96.10.in-addr.arpa 5 PTR web.default.svc.cluster.local / /"                              },
    {"2.0.244.10.in-addr.arpa",                  DNS_PTR,
     "NOERROR aa | 2.0.244.10.in-addr.arpa 5 PTR web-0.web.default.svc.cluster.local / /"                        },
    {"10.0.96.10.in-addr.arpa",                  DNS_PTR,
     "NOERROR aa | 10.0.96.10.in-addr.arpa 5 PTR kube-dns.kube-system.svc.cluster.local / /"                     },
    {"99.0.244.10.in-addr.arpa",                 DNS_PTR,  "NXDOMAIN aa" NEGATIVE_REVERSE                        },
    {"8.8.8.8.in-addr.arpa",                     DNS_PTR,  "forward"                                             },
    {"244.10.in-addr.arpa",                      DNS_PTR,  "forward"                                             },
    {"example.com",                              DNS_A,    "forward"                                             },
    {"xcluster.local",                           DNS_A,    "forward"                                             },
    {"local",                                    DNS_A,    "forward"                                             },
    {"",                                         DNS_NS,   "forward"                                             },
    {"dns-version.cluster.local",                DNS_TXT,
     "NOERROR aa | dns-version.cluster.local 28800 TXT \"1.1.0\" / /"                                            },
    {"cluster.local",                            DNS_A,    "NOERROR aa" NEGATIVE                                 },
    {"cluster.local",                            DNS_SOA,
     "NOERROR aa | cluster.local 5 SOA ns.dns.cluster.local hostmaster.cluster.local 7 7200 1800 "
     "86400 5 / /"                                                                                               },
    {"cluster.local",                            DNS_NS,
     "NOERROR aa | cluster.local 5 NS kube-dns.kube-system.svc.cluster.local /"
     " / | kube-dns.kube-system.svc.cluster.local 5 A 10.96.0.10"                                                },
    {"ns.dns.cluster.local",                     DNS_A,    "NOERROR aa | ns.dns.cluster.local 5 A 10.96.0.10 / /"},
    {"cluster.local",                            DNS_AXFR, "REFUSED / /"                                         },
};

TEST(names_have_their_answers)
{
    open_zone();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EXPECT_STR(rows[i].want, ask(rows[i].name, rows[i].type, 512));
        EXPECT_STR(rows[i].want, ask(rows[i].name, rows[i].type, 0));
    }
    close_zone();
}

TEST(answers_repeat_the_clients_spelling)
{
    open_zone();
    (void)ask("WeB.default.svc.Cluster.local", DNS_A, 512);
    EXPECT(str_search(buf_str(&out), S("\x03WeB\x07"
                                       "default\x03svc\x07"
                                       "Cluster\x05local")) == DNS_HEADER_BYTES);
    EXPECT_INT(QUERY_ID >> 8, out.p[0]);
    EXPECT_INT(QUERY_ID & 255, out.p[1]);
    close_zone();
}

TEST(cname_rings_and_dead_ends_are_nxdomain)
{
    open_zone();
    EXPECT_INT(0, str_find(ask("ring.default.svc.cluster.local", DNS_A, 512), 'N'));
    EXPECT(str_starts(buf_str(&text), S("NXDOMAIN aa | ring.default.svc.cluster.local 5 CNAME")));
    EXPECT(str_starts(ask("gone.default.svc.cluster.local", DNS_A, 512),
                      S("NXDOMAIN aa | gone.default.svc.cluster.local 5 CNAME none")));
    close_zone();
}

TEST(index_follows_changes)
{
    open_zone();
    zone_remove_slice(zone, S("default/web-x"));
    EXPECT_STR("NXDOMAIN aa" NEGATIVE, ask("web-0.web.default.svc.cluster.local", DNS_A, 512));
    EXPECT_STR("NXDOMAIN aa" NEGATIVE_REVERSE, ask("2.0.244.10.in-addr.arpa", DNS_PTR, 512));
    zone_remove_service(zone, S("default/web"));
    EXPECT_STR("NXDOMAIN aa" NEGATIVE, ask("web.default.svc.cluster.local", DNS_A, 512));
    EXPECT_STR("NXDOMAIN aa" NEGATIVE_REVERSE, ask("20.0.96.10.in-addr.arpa", DNS_PTR, 512));
    tell("slice", "default/web-x", objects[1][2]); /* the slice comes before its service */
    EXPECT_STR("NXDOMAIN aa" NEGATIVE, ask("web-0.web.default.svc.cluster.local", DNS_A, 512));
    EXPECT_STR("NXDOMAIN aa" NEGATIVE_REVERSE, ask("2.0.244.10.in-addr.arpa", DNS_PTR, 512));
    tell("service", "default/web", "{'spec':{'clusterIP':'10.96.0.21'}}");
    EXPECT_STR("NOERROR aa | web-0.web.default.svc.cluster.local 5 A 10.244.0.2 / /",
               ask("web-0.web.default.svc.cluster.local", DNS_A, 512));
    EXPECT_STR("NOERROR aa | 2.0.244.10.in-addr.arpa 5 PTR web-0.web.default.svc.cluster.local / /",
               ask("2.0.244.10.in-addr.arpa", DNS_PTR, 512));
    zone_remove_namespace(zone, S("default"));
    EXPECT_STR("NXDOMAIN aa" NEGATIVE, ask("default.svc.cluster.local", DNS_A, 512));
    close_zone();
}

/* A headless service of 300 pods: more than a datagram takes. */
static void tell_large(void)
{
    struct buf json;
    buf_init(&json, 1 << 20);
    (void)buf_add(&json, S("{'metadata':{'labels':{'kubernetes.io/service-name':'large'}},"
                           "'ports':[{'name':'p','port':1,'protocol':'TCP'}],'endpoints':["));
    for (int i = 0; i < 300; i++) {
        (void)buf_addf(&json, "%s{'hostname':'large-%d','addresses':['10.244.%d.%d']}",
                       i == 0 ? "" : ",", i, 1 + i / 250, i % 250);
    }
    (void)buf_add(&json, S("]}"));
    tell("service", "default/large", "{'spec':{'clusterIP':'None'}}");
    tell("slice", "default/large-x", json.p);
    buf_done(&json);
}

TEST(large_answers_are_cut_at_the_limit)
{
    static const struct {
        uint16_t type;
        uint16_t edns;
        size_t udp_limit;
        size_t limit;
        bool is_cut;
    } sizes[] = {
        {DNS_A,   0,     4096, 512,   true },
        {DNS_A,   100,   4096, 512,   true },
        {DNS_A,   1232,  4096, 1232,  true },
        {DNS_A,   65000, 4096, 4096,  true },
        {DNS_A,   0,     0,    65535, false},
        {DNS_SRV, 1232,  4096, 1232,  true },
        {DNS_SRV, 1232,  0,    65535, false},
    };
    open_zone();
    tell_large();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct str q =
            query_make(&query, "large.default.svc.cluster.local", sizes[i].type, sizes[i].edns);
        EXPECT_INT(DNS_ANSWERED, dns_answer(zone, q, sizes[i].udp_limit, &rng, &out));
        EXPECT(out.n <= sizes[i].limit && out.n > sizes[i].limit / 2 - 30000 * !sizes[i].is_cut);
        answer_print(&text, buf_str(&out));
        EXPECT(
            str_starts(buf_str(&text), sizes[i].is_cut ? S("NOERROR aa tc |") : S("NOERROR aa |")));
        EXPECT_INT(sizes[i].edns > 0, str_search(buf_str(&text), S("OPT 1232")) > 0);
    }
    close_zone();
}

TEST(odd_queries_get_their_codes)
{
    static const struct {
        struct str packet;
        const char *want;
    } odd[] = {
        {{"", 0},                                                  "drop"       },
        {{"\x12\x34\x01\x00\0\0\0\0\0\0\0", 11},                   "drop"       },
        {{"\x12\x34\x81\x00\0\1\0\0\0\0\0\0\0\0\1\0\1", 17},       "drop"       }, /* an answer */
        {{"\x12\x34\x01\x00\0\0\0\0\0\0\0\0", 12},                 "FORMERR / /"},
        {{"\x12\x34\x01\x00\0\2\0\0\0\0\0\0\0\0\1\0\1", 17},       "FORMERR / /"},
        {{"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x3f"
          "abc",
          16},
         "FORMERR / /"                                                          },
        {{"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 18}, "FORMERR / /"},
        {{"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\0\0\1", 15},           "FORMERR / /"},
        {{"\x12\x34\x01\x00\0\1\0\0\0\0\0\1\0\0\1\0\1", 17},       "FORMERR / /"}, /* OPT missing */
        {{"\x12\x34\x29\x00\0\1\0\0\0\0\0\0\0\0\1\0\1", 17},       "NOTIMP / /" },
        {{"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\0\0\1\0\3", 17},       "REFUSED / /"}, /* class CH */
    };
    open_zone();
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        if (dns_answer(zone, odd[i].packet, 512, &rng, &out) == DNS_DROP) {
            EXPECT_STR(odd[i].want, S("drop"));
            continue;
        }
        answer_print(&text, buf_str(&out));
        EXPECT_STR(odd[i].want, buf_str(&text));
    }
    /* EDNS version 1: BADVERS, its upper bits in the OPT record. */
    struct str q = query_make(&query, "web.default.svc.cluster.local", DNS_A, 1232);
    query.p[q.n - 5] = 1;
    EXPECT_INT(DNS_ANSWERED, dns_answer(zone, q, 512, &rng, &out));
    EXPECT_INT(0, out.p[3] & 15);
    EXPECT_INT(1, out.p[out.n - 6]);
    close_zone();
}

TEST(targets_outside_are_chased_by_the_caller)
{
    static const char reply[] = "\x00\x07\x81\x80\0\1\0\2\0\0\0\0\7example\3com\0\0\1\0\1"
                                "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\6\3www\xc0\x0c"
                                "\xc0\x29\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4";
    struct buf chase;
    struct buf joined;
    open_zone();
    buf_init(&chase, 512);
    buf_init(&joined, 4096);
    struct str q = query_make(&query, "out.default.svc.cluster.local", DNS_A, 0);
    EXPECT_INT(DNS_CHASE, dns_answer(zone, q, 512, &rng, &out));
    EXPECT_INT(0, dns_chase_query(buf_str(&out), 7, &chase));
    EXPECT_INT(0, memcmp(chase.p, "\x00\x07\x01\x00\0\1\0\0\0\0\0\1\7example\3com\0\0\1\0\1", 29));
    struct str upstream = {reply, sizeof(reply) - 1};
    EXPECT_INT(0, dns_chase_join(zone, q, buf_str(&out), upstream, 512, &joined));
    answer_print(&text, buf_str(&joined));
    EXPECT_STR("NOERROR aa | out.default.svc.cluster.local 5 CNAME example.com"
               " | example.com 60 CNAME www.example.com | www.example.com 60 A 1.2.3.4 / /",
               buf_str(&text));
    EXPECT_INT(ERR_SYNTAX, dns_chase_join(zone, q, buf_str(&out), q, 512, &joined));
    EXPECT_INT(DNS_ANSWERED, dns_answer_error(zone, q, DNS_SERVFAIL, &out));
    answer_print(&text, buf_str(&out));
    EXPECT_STR("SERVFAIL / /", buf_str(&text));
    buf_done(&chase);
    buf_done(&joined);
    close_zone();
}

/* DNS_BENCH=1: queries a second on this core, over 1,000 services. */
TEST(speed)
{
    if (getenv("DNS_BENCH") == NULL) {
        skip();
    }
    enum { ROUNDS = 300000 };
    open_zone();
    tell_large();
    for (int i = 0; i < 1000; i++) {
        char key[64];
        char json[128];
        (void)snprintf(key, sizeof(key), "default/s-%d", i);
        (void)snprintf(json, sizeof(json), "{'spec':{'clusterIP':'10.97.%d.%d'}}", i / 250,
                       i % 250);
        tell("service", key, json);
    }
    static const char *const names[] = {
        "web.default.svc.cluster.local",  "web-0.web.default.svc.cluster.local",
        "none.default.svc.cluster.local", "large-77.large.default.svc.cluster.local",
        "20.0.96.10.in-addr.arpa",
    };
    struct timespec t[2];
    (void)clock_gettime(CLOCK_MONOTONIC, &t[0]);
    for (int i = 0; i < ROUNDS; i++) {
        uint16_t type = i % 5 == 4 ? DNS_PTR : DNS_A;
        struct str q = query_make(&query, names[i % 5], type, 1232);
        (void)dns_answer(zone, q, 1232, &rng, &out);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &t[1]);
    double seconds =
        (double)(t[1].tv_sec - t[0].tv_sec) + (double)(t[1].tv_nsec - t[0].tv_nsec) / 1e9;
    print_message("%.0f queries/s\n", ROUNDS / seconds);
    close_zone();
}
