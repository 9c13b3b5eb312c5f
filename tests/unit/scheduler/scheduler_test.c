// SPDX-License-Identifier: Apache-2.0
//
// Why a pod fits no node, in upstream's words, and where it goes when it does.
#include "test.h"

#include "controllers/meta.h"
#include "scheduler/scheduler.h"

/* The cluster of the controllers' tests; each room's tests are a program of their own. */
#include "../controllers/cluster.c"

static void put_node(struct cluster *c, const char *name, const char *more)
{
    cluster_put(c, KIND_NODE,
                arena_fmt(c->arena,
                          "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/hostname\":"
                          "\"%s\"}},\"status\":{\"allocatable\":{\"cpu\":\"2\",\"memory\":\"1Gi\","
                          "\"pods\":\"3\"}}%s}",
                          name, name, more)
                    .p);
}

static void put_pod(struct cluster *c, const char *name, const char *labels, const char *spec)
{
    cluster_put(
        c, KIND_POD,
        arena_fmt(c->arena,
                  "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"labels\":{%s}}"
                  ",\"spec\":{%s},\"status\":{\"phase\":\"Pending\"}}",
                  name, labels, spec)
            .p);
}

static struct str decide_now(struct cluster *c)
{
    return cluster_decide(c, &scheduler_controller, "", "pods", /* has_events= */ true);
}

/* When nothing is new any more. */
static struct str decide(struct cluster *c)
{
    c->now += 2 * USEC_PER_SEC;
    return decide_now(c);
}

static struct str message_of(struct cluster *c, const char *pod)
{
    const struct val *obj = cluster_find(c, KIND_POD, "default", pod);
    return val_text(val_get(meta_condition(obj, S("PodScheduled")), S("message")));
}

#define NOT_HELPFUL                                                                                \
    " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
#define NO_VICTIMS                                                                                 \
    " preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
#define PORTS "\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80,\"hostPort\":80}]}]"
#define CLAIM "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]"

TEST(reasons_against_one_node)
{
    static const struct {
        const char *node;
        const char *pod;
        const char *want;
    } cases[] = {
        {",\"spec\":{\"unschedulable\":true}",                                                 "",
         "0/1 nodes are available: 1 node(s) were unschedulable." NOT_HELPFUL                                                                                                                                                 },
        {",\"spec\":{\"taints\":[{\"key\":\"a\",\"value\":\"b\",\"effect\":\"NoSchedule\"}]}", "",
         "0/1 nodes are available: 1 node(s) had untolerated taint(s)." NOT_HELPFUL                                                                                                                                           },
        {",\"spec\":{\"taints\":[{\"key\":\"a\",\"value\":\"b\",\"effect\":\"NoSchedule\"}]}",
         "\"tolerations\":[{\"key\":\"a\",\"operator\":\"Exists\"}]",                                                                    ""                                                                                   },
        {"",                                                                                   "\"nodeSelector\":{\"disk\":\"ssd\"}",
         "0/1 nodes are available: 1 node(s) didn't match Pod's node "
         "affinity/selector." NOT_HELPFUL                                                                                                                                                                                     },
        {"",
         "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
         "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"kubernetes.io/hostname\","
         "\"operator\":\"In\",\"values\":[\"n1\"]}]}]}}}",                                                                               ""                                                                                   },
        {"",                                                                                   PORTS,
         "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod "
         "ports." NO_VICTIMS                                                                                                                                                                                                  },
        {"",
         "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"1500m\","
         "\"memory\":\"2Gi\"}}}]",                                                                                                       "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory." NO_VICTIMS     },
        {"",                                                                                   CLAIM,
         "0/1 nodes are available: persistentvolumeclaim \"data\" not found." NOT_HELPFUL                                                                                                                                     },
        {"",                                                                                   "\"schedulingGates\":[{\"name\":\"g\"}]",
         "Scheduling is blocked due to non-empty scheduling gates"                                                                                                                                                            },
        {"",
         "\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
         "[{\"topologyKey\":\"kubernetes.io/hostname\",\"labelSelector\":{\"matchLabels\":"
         "{\"app\":\"old\"}}}]}}",                                                                                                       "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules." NO_VICTIMS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cluster c;
        cluster_open(&c);
        put_node(&c, "n1", cases[i].node);
        put_pod(&c, "old", "\"app\":\"old\"",
                "\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":"
                "80,\"hostPort\":80}],\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]");
        put_pod(&c, "new", "", cases[i].pod);
        decide(&c);
        EXPECT_STR(cases[i].want, message_of(&c, "new"));
        EXPECT_STR("", decide(&c)); /* told once */
        cluster_close(&c);
    }
}

TEST(no_nodes_and_two_nodes)
{
    struct cluster c;
    cluster_open(&c);
    put_pod(&c, "a", "", "\"containers\":[{\"name\":\"c\"}]");
    decide(&c);
    EXPECT_STR("no nodes available to schedule pods", message_of(&c, "a"));
    put_node(&c, "n1", ",\"spec\":{\"unschedulable\":true}");
    put_node(&c, "n2", "");
    EXPECT_STR("BIND pods default/a\nEVENT pods default/a Normal Scheduled: Successfully assigned "
               "default/a to n2\n",
               decide(&c));
    cluster_close(&c);
}

TEST(pods_of_one_decision_see_each_other)
{
    struct cluster c;
    cluster_open(&c);
    put_node(&c, "n1", "");
    for (int i = 0; i < 4; i++) {
        put_pod(&c, arena_fmt(c.arena, "p%d", i).p, "", "\"containers\":[{\"name\":\"c\"}]");
    }
    decide(&c);
    EXPECT_STR("0/1 nodes are available: 1 Too many pods." NO_VICTIMS, message_of(&c, "p3"));
    EXPECT_STR("n1", val_text_at(cluster_find(&c, KIND_POD, "default", "p2"), "spec.nodeName"));
    cluster_close(&c);
}

TEST(unbound_claims_hold_a_pod_back)
{
    struct cluster c;
    cluster_open(&c);
    put_node(&c, "n1", "");
    put_pod(&c, "a", "", CLAIM);
    cluster_put(&c, KIND_PVC,
                "{\"metadata\":{\"name\":\"data\",\"namespace\":\"default\"},\"spec\":{}}");
    decide(&c);
    EXPECT_STR(
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims." NOT_HELPFUL,
        message_of(&c, "a"));
    cluster_put(&c, KIND_PVC,
                "{\"metadata\":{\"name\":\"data\",\"namespace\":\"default\",\"annotations\":"
                "{\"pv.kubernetes.io/bind-completed\":\"yes\"}},\"spec\":{\"volumeName\":\"v\"}}");
    decide(&c);
    EXPECT_STR("n1", val_text_at(cluster_find(&c, KIND_POD, "default", "a"), "spec.nodeName"));
    cluster_close(&c);
}

TEST(a_pod_just_made_waits_for_its_claims_in_silence)
{
    struct cluster c;
    cluster_open(&c);
    put_node(&c, "n1", "");
    put_pod(&c, "a", "", CLAIM);
    EXPECT_STR("", decide_now(&c));
    EXPECT(str_search(decide(&c), S("FailedScheduling")) >= 0);
    cluster_close(&c);
}
