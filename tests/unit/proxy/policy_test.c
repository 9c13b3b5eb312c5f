// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "data/yaml.h"
#include "proxy/policy.h"

enum { OBJECTS_MAX = 8 };

/* The world of all rows: two namespaces, and pods whose addresses say which they are. */
static const char *const namespaces[] = {"metadata: {name: a, labels: {team: x}}",
                                         "metadata: {name: b}", NULL};
#define POD(ns, name, labels, ip, rest)                                                            \
    "metadata: {namespace: " ns ", name: " name ", labels: {" labels "}}\n"                        \
    "spec: {containers: [{ports: [{name: http, containerPort: 80" ip                               \
    "}, {name: dns, containerPort: 53, protocol: UDP}]}]" rest "}\n"                               \
    "status: {podIP: 10.0.0." ip "}\n"
static const char *const pods[] = {POD("a", "db", "app: db", "1", ""),
                                   POD("a", "web", "app: web", "2", ""),
                                   POD("b", "web", "app: web", "3", ""),
                                   POD("a", "host", "app: web", "4", ", hostNetwork: true"),
                                   "metadata: {namespace: a, name: done, labels: {app: web}}\n"
                                   "status: {podIP: 10.0.0.5, phase: Succeeded}\n",
                                   "metadata: {namespace: a, name: new, labels: {app: web}}\n",
                                   NULL};

#define POLICY(name, spec) "metadata: {namespace: a, name: " name "}\nspec: {" spec "}"
#define DB                 "podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], "
#define WEB_OUT            "podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], "

static const struct {
    const char *what;
    const char *policies[OBJECTS_MAX];
    const char *want;
} rows[] = {
    {"nobody comes",
     {POLICY("p", "podSelector: {}, policyTypes: [Ingress]")},
     "ingress: none else: 10.0.0.1-10.0.0.2\n"                                 },
    {"everybody comes and goes: an empty rule",
     {POLICY("p", "podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]")},
     "ingress: 10.0.0.1-10.0.0.2 from any\ningress: none else: 10.0.0.1-10.0.0.2\n"
     "egress: 10.0.0.1-10.0.0.2 to any\negress: none else: 10.0.0.1-10.0.0.2\n"},
    {"rules of a direction that isn't named don't count",
     {POLICY("p", DB "egress: [{}]")},
     "ingress: none else: 10.0.0.1\n"                                          },
    {"a policy that selects no pod",
     {POLICY("p", "podSelector: {matchLabels: {app: none}}, policyTypes: [Ingress]")},
     ""                                                                        },
    {"pods of the namespace; each port, by default all of it",
     {POLICY("p", DB "ingress: [{from: [{podSelector: {}}], ports: [{port: 5, protocol: TCP}, "
                     "{port: 7, endPort: 9, protocol: UDP}, {protocol: SCTP}]}]")},
     "ingress: 10.0.0.1 from 10.0.0.1-10.0.0.2 protocol 6 ports 5-5\n"
     "ingress: 10.0.0.1 from 10.0.0.1-10.0.0.2 protocol 17 ports 7-9\n"
     "ingress: 10.0.0.1 from 10.0.0.1-10.0.0.2 protocol 132 ports 0-65535\n"
     "ingress: none else: 10.0.0.1\n"                                          },
    {"namespaces, and pods of namespaces",
     {POLICY("p", DB "ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}]}, "
                     "{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]}]")},
     "ingress: 10.0.0.1 from 10.0.0.1-10.0.0.2\ningress: 10.0.0.1 from 10.0.0.2-10.0.0.3\n"
     "ingress: none else: 10.0.0.1\n"                                          },
    {"a named port is each pod's own, on the side that is connected to",
     {POLICY("in",
             "podSelector: {}, policyTypes: [Ingress], "
             "ingress: [{ports: [{port: http, protocol: TCP}, {port: none, protocol: TCP}]}]"),
      POLICY("out", WEB_OUT "egress: [{to: [{podSelector: {matchLabels: {app: db}}}], "
                            "ports: [{port: dns, protocol: UDP}, {port: dns, protocol: TCP}]}]")},
     "ingress: 10.0.0.1 from any protocol 6 ports 801-801\n"
     "ingress: 10.0.0.2 from any protocol 6 ports 802-802\n"
     "ingress: none else: 10.0.0.1-10.0.0.2\n"
     "egress: 10.0.0.2 to 10.0.0.1 protocol 17 ports 53-53\n"
     "egress: none else: 10.0.0.2\n"                                           },
    {"blocks without their exceptions, joined; IPv6 matches nothing",
     {POLICY("p", WEB_OUT "egress: [{to: [{ipBlock: {cidr: 10.1.0.0/24, except: [10.1.0.0/28, "
                          "10.1.0.8/29, 10.1.0.255/32]}}, {ipBlock: {cidr: 10.1.0.255/32}}]}, "
                          "{to: [{ipBlock: {cidr: '2001:db8::/32'}}]}, "
                          "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [0.0.0.0/1]}}]}]")},
     "egress: 10.0.0.2 to 10.1.0.16-10.1.0.255\n"
     "egress: 10.0.0.2 to 128.0.0.0-255.255.255.255\n"
     "egress: none else: 10.0.0.2\n"                                           },
    {"policies add up",
     {POLICY("p1", DB "ingress: [{from: [{ipBlock: {cidr: 1.1.1.1/32}}]}]"),
      POLICY("p2", DB "ingress: [{from: [{ipBlock: {cidr: 2.2.2.2/32}}]}]")},
     "ingress: 10.0.0.1 from 1.1.1.1\ningress: 10.0.0.1 from 2.2.2.2\n"
     "ingress: none else: 10.0.0.1\n"                                          },
};

static struct policy_objects read_all(struct arena *arena, const char *const *texts,
                                      bool is_backwards, const struct val **list)
{
    struct err err = {0};
    size_t count = 0;
    while (count < OBJECTS_MAX && texts[count] != NULL) {
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        struct val *val = arena_alloc(arena, sizeof *val);
        EXPECT_OK(yaml_read(str_of(texts[i]), arena, NULL, val, &err));
        list[is_backwards ? count - 1 - i : i] = val;
    }
    return (struct policy_objects){list, count};
}

TEST(policies_become_rules_in_any_order)
{
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        auto_buf struct buf out;
        const struct val *lists[3][OBJECTS_MAX];
        struct policy_set set;
        bool is_backwards = i % 2 == 1;
        policy_build(arena, read_all(arena, rows[i / 2].policies, is_backwards, lists[0]),
                     read_all(arena, pods, is_backwards, lists[1]),
                     read_all(arena, namespaces, is_backwards, lists[2]), &set);
        buf_init(&out, 1 << 16);
        EXPECT_INT(0, policy_set_write(&out, &set));
        EXPECT_STR(rows[i / 2].want, buf_str(&out));
    }
}

TEST(a_pods_change_matters_by_address_labels_and_end)
{
    static const struct {
        bool want;
        const char *before;
        const char *after;
    } changes[] = {
        {false, "status: {podIP: 1.1.1.1}",   "status: {podIP: 1.1.1.1, phase: Running}" },
        {true,  "status: {}",                 "status: {podIP: 1.1.1.1}"                 },
        {true,  "status: {podIP: 1.1.1.1}",   "status: {podIP: 1.1.1.1, phase: Failed}"  },
        {true,  "metadata: {labels: {a: b}}", "metadata: {labels: {a: c}}"               },
        {true,  "metadata: {labels: {a: b}}", "metadata: {}"                             },
        {false, "metadata: {labels: {a: b}}", "metadata: {labels: {a: b}, generation: 2}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        const char *const texts[] = {changes[i].before, changes[i].after, NULL};
        const struct val *list[OBJECTS_MAX];
        (void)read_all(arena, texts, /*is_backwards=*/false, list);
        EXPECT_INT(changes[i].want, policy_minds(list[1], list[0]));
    }
}
