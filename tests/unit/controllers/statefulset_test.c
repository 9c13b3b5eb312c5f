// SPDX-License-Identifier: Apache-2.0
//
// The golden traces of spec/statefulset.md 2.14, and what they leave out. A trace is a list of
// steps: something happens, one decision is made and performed, its actions are compared.
#include "controllers/meta.h"
#include "controllers/statefulset.h"
#include "data/json.h"
#include "set_steps.h"
#include "test.h"

#include <stdio.h>

TEST(t1_creates_in_order)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":2," CLAIM);
    EXPECT_STR(
        "CREATE controllerrevisions default/A\n" STATUS
        "CREATE persistentvolumeclaims default/data-web-0\n"
        "EVENT statefulsets default/web Normal SuccessfulCreate: create Claim data-web-0 Pod "
        "web-0 in StatefulSet web success\n"
        "CREATE pods default/web-0\n"
        "EVENT statefulsets default/web Normal SuccessfulCreate: create Pod web-0 in "
        "StatefulSet web successful\n",
        cluster_decide(&c, &controller_statefulset, "default", "web", true));
    static const struct step steps[] = {
        {"status",      "0/0/0 cur 0 A upd 0 A"                                    },
        {"none",        STATUS                                                     },
        {"status",      "1/0/0 cur 1 A upd 1 A"                                    },
        {"none",        ""                                                         },
        {"ready web-0", STATUS "CREATE persistentvolumeclaims default/data-web-1\n"
                               "CREATE pods default/web-1\n"},
        {"none",        STATUS                                                     },
        {"ready web-1", STATUS                                                     },
        {"status",      "2/2/2 cur 2 A upd 2 A"                                    },
        {"none",        ""                                                         },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

/* A claim that is refused is the pod's failure, too. */
TEST(a_refused_claim_is_told_twice)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1," CLAIM);
    struct env env = {.now_wall = c.now, .rng = &c.rng, .arena = c.arena};
    struct actions actions;
    actions_init(&actions, c.arena);
    controller_statefulset.decide(&c.view, S("default"), S("web"), &env, &actions);
    size_t told = 0;
    for (size_t i = 0; i < actions.count; i++) {
        const struct action *action = &actions.list[i];
        if (action->type == ACTION_CREATE && action->kind == kind_of(KIND_PVC)) {
            EXPECT_STR("create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: %s",
                       val_text_at(action->failure_events[0], "message"));
            EXPECT_STR("create Pod web-0 in StatefulSet web failed error: failed to create PVC "
                       "data-web-0: %s",
                       val_text_at(action->failure_events[1], "message"));
            EXPECT_STR("FailedCreate", val_text_at(action->failure_events[1], "reason"));
            told++;
        }
    }
    EXPECT_INT(1, told);
    cluster_close(&c);
}

TEST(new_pod_has_its_identity)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1,\"ordinals\":{\"start\":4}," CLAIM);
    run_op(&c, "none");
    const struct val *pod = cluster_find(&c, KIND_POD, "default", "web-4");
    EXPECT(pod != NULL);
    EXPECT_STR("web-4", val_text_at(pod, "spec.hostname"));
    EXPECT_STR("web", val_text_at(pod, "spec.subdomain"));
    EXPECT_STR("web-", val_text_at(pod, "metadata.generateName"));
    EXPECT_STR("web-4", meta_label(pod, S("statefulset.kubernetes.io/pod-name")));
    EXPECT_STR("4", meta_label(pod, S("apps.kubernetes.io/pod-index")));
    EXPECT_STR("data-web-4", val_text_at(pod, "spec.volumes.0.persistentVolumeClaim.claimName"));
    EXPECT(val_true_at(pod, "metadata.ownerReferences.0.controller"));
    const struct val *claim = cluster_find(&c, KIND_PVC, "default", "data-web-4");
    EXPECT_STR("web", meta_label(claim, S("app")));
    EXPECT(val_path(claim, "metadata.ownerReferences") == NULL);
    cluster_close(&c);
}

TEST(t2_parallel_creates_all)
{
    static const struct step steps[] = {
        {"none",   "CREATE controllerrevisions default/A\n" STATUS "CREATE pods default/web-0\n"
                 "CREATE pods default/web-1\nCREATE pods default/web-2\n"},
        {"none",   STATUS                                                                },
        {"status", "3/0/0 cur 3 A upd 3 A"                                               },
    };
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3,\"podManagementPolicy\":\"Parallel\"");
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t3_t4_scale_down_and_up_with_deleted_claims)
{
    static const struct step steps[] = {
        {"set spec.replicas 1",   STATUS "PATCH persistentvolumeclaims default/data-web-2\n"
                                       "PATCH persistentvolumeclaims default/data-web-1\n"
                                       "DELETE pods default/web-2\n"},
        {"none",                  STATUS                                                           },
        {"none",                  ""                                                               },
        {"gone web-2",            STATUS "DELETE pods default/web-1\n"                             },
        {"gone web-1",            STATUS                                                           },
        {"gone-claim data-web-1", ""                                                               },
        {"set spec.replicas 3",   STATUS "CREATE persistentvolumeclaims default/data-web-1\n"
                                       "CREATE pods default/web-1\n"},
        {"ready web-1",           STATUS                                                           }, /* data-web-2 still belongs to the pod that went: wait */
        {"gone-claim data-web-2", "CREATE persistentvolumeclaims default/data-web-2\n"
                                  "CREATE pods default/web-2\n"   },
    };
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3,\"persistentVolumeClaimRetentionPolicy\":{\"whenScaled\":"
                "\"Delete\",\"whenDeleted\":\"Retain\"}," CLAIM);
    settle(&c, 3);
    c.has_slow_pods = true;
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t5_t6_deleted_and_failed_pods_come_back)
{
    static const struct step steps[] = {
        {"delete web-1",       STATUS                              },
        {"none",               ""                                  },
        {"gone web-1",         STATUS "CREATE pods default/web-1\n"},
        {"ready web-1",        STATUS                              },
        {"phase web-1 Failed", STATUS "DELETE pods default/web-1\n"},
        {"none",               STATUS                              },
        {"none",               ""                                  },
        {"gone web-1",         STATUS "CREATE pods default/web-1\n"},
    };
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3");
    settle(&c, 3);
    c.has_slow_pods = true;
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t7_scaling_comes_before_updating)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3");
    settle(&c, 3);
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web", "spec.replicas", "4");
    static const struct step steps[] = {
        {"image b",        "CREATE controllerrevisions default/B\n" STATUS "CREATE pods default/web-3\n"},
        {"revision web-3", "B"                                                                          },
        {"ready web-3",    STATUS "DELETE pods default/web-2\n"                                         },
        {"none",           STATUS "CREATE pods default/web-2\n"                                         },
        {"revision web-2", "B"                                                                          },
        {"none",           STATUS                                                                       },
        {"ready web-2",    STATUS "DELETE pods default/web-1\n"                                         },
        {"none",           STATUS "CREATE pods default/web-1\n"                                         },
        {"ready web-1",    STATUS "DELETE pods default/web-0\n"                                         },
        {"none",           STATUS "CREATE pods default/web-0\n"                                         },
        {"ready web-0",    STATUS                                                                       },
        {"status",         "4/4/4 cur 4 B upd 4 B"                                                      },
        {"none",           ""                                                                           },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t8_condemned_go_before_updating)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3");
    settle(&c, 3);
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web", "spec.replicas", "1");
    static const struct step steps[] = {
        {"image b", "CREATE controllerrevisions default/B\n" STATUS "DELETE pods default/web-2\n"},
        {"none",    STATUS "DELETE pods default/web-1\n"                                         },
        {"none",    STATUS "DELETE pods default/web-0\n"                                         },
        {"none",    STATUS "CREATE pods default/web-0\n"                                         },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t9_partition_keeps_the_lower_pods)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3");
    settle(&c, 3);
    run_op(&c, "set spec.updateStrategy.rollingUpdate.partition 2");
    static const struct step steps[] = {
        {"image b",        "CREATE controllerrevisions default/B\n" STATUS "DELETE pods default/web-2\n"},
        {"none",           STATUS "CREATE pods default/web-2\n"                                         },
        {"ready web-2",    STATUS                                                                       },
        {"status",         "3/3/3 cur 2 A upd 1 B"                                                      },
        {"none",           ""                                                                           },
        {"gone web-0",     STATUS "CREATE pods default/web-0\n"                                         },
        {"revision web-0", "A"                                                                          },
        {"ready web-0",    STATUS                                                                       },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t10_terminating_pod_still_counts_as_ready)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":2");
    settle(&c, 2);
    c.has_slow_pods = true;
    static const struct step steps[] = {
        {"delete web-1", STATUS                 },
        {"status",       "2/2/2 cur 1 A upd 1 A"},
        {"none",         ""                     },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

static void open_broken_rollout(struct cluster *c, const char *strict)
{
    cluster_open(c);
    put_set(c, "\"replicas\":1");
    cluster_set(c, KIND_STATEFUL_SET, "default", "web", "metadata.annotations",
                arena_fmt(c->arena, "{\"coracle.io/strict-rollout\":\"%s\"}", strict).p);
    run_op(c, "none");
    run_op(c, "unready web-0");
}

TEST(t11_strict_waits_in_the_trap)
{
    static const struct step steps[] = {
        {"image b",        "CREATE controllerrevisions default/B\n" STATUS},
        {"none",           ""                                             },
        {"gone web-0",     STATUS "CREATE pods default/web-0\n"           },
        {"revision web-0", "B"                                            },
    };
    struct cluster c;
    open_broken_rollout(&c, "true");
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t11_never_ready_pod_is_replaced)
{
    static const struct step steps[] = {
        {"image b",        "CREATE controllerrevisions default/B\n" STATUS "DELETE pods default/web-0\n"},
        {"none",           STATUS "CREATE pods default/web-0\n"                                         },
        {"revision web-0", "B"                                                                          },
    };
    struct cluster c;
    open_broken_rollout(&c, "false");
    cluster_set(&c, KIND_POD, "default", "web-0", "status.startTime", "\"2027-01-15T08:00:00Z\"");
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t12_no_pods_promote_at_once)
{
    static const struct step steps[] = {
        {"image b", "CREATE controllerrevisions default/B\n" STATUS},
        {"status",  "0/0/0 cur 0 B upd 0 B"                        },
        {"none",    ""                                             },
    };
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":0");
    settle(&c, 0);
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t13_deleting_set_does_nothing)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":2");
    settle(&c, 2);
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web", "metadata.finalizers",
                "[\"foregroundDeletion\"]");
    static const struct step steps[] = {
        {"set metadata.deletionTimestamp \"2026-01-01T00:00:00Z\"", STATUS                 },
        {"gone web-1",                                              STATUS                 },
        {"status",                                                  "1/1/1 cur 1 A upd 1 A"},
        {"image b",                                                 STATUS                 },
        {"none",                                                    ""                     },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(t14_recreated_set_adopts)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":2");
    settle(&c, 2);
    cluster_remove(&c, KIND_STATEFUL_SET, "default", "web");
    const char *pods[] = {"web-0", "web-1"};
    for (int i = 0; i < 2; i++) {
        cluster_set(&c, KIND_POD, "default", pods[i], "metadata.ownerReferences", "null");
    }
    char revision[128];
    snprintf(revision, sizeof revision, STR_FMT, STR_ARG(c.revisions[0]));
    cluster_set(&c, KIND_CONTROLLER_REVISION, "default", revision, "metadata.ownerReferences",
                "null");
    put_set(&c, "\"replicas\":2");
    static const struct step steps[] = {
        {"none",   "PATCH pods default/web-0\nPATCH pods default/web-1\n"
                 "PATCH controllerrevisions default/A\n" STATUS},
        {"none",   ""                                                          },
        {"status", "2/2/2 cur 2 A upd 2 A"                                     },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(relabelled_pod_is_released_and_its_name_blocks)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1");
    settle(&c, 1);
    cluster_set(&c, KIND_POD, "default", "web-0", "metadata.labels", "{\"app\":\"other\"}");
    static const struct step steps[] = {
        {"none",       "PATCH pods default/web-0\n" STATUS},
        {"none",       ""                                 },
        {"gone web-0", "CREATE pods default/web-0\n"      },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

/* A label that comes back before the release is written keeps the pod, and it needs its revision.
 */
TEST(revision_of_a_pod_that_is_let_go_stays_until_it_is)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1,\"revisionHistoryLimit\":0");
    settle(&c, 1);
    run_op(&c, "set spec.updateStrategy {\"type\":\"OnDelete\"}");
    run_op(&c, "image b");
    run_op(&c, "gone web-0");
    EXPECT_STR("B", run_op(&c, "revision web-0"));
    run_op(&c, "image c");
    cluster_set(&c, KIND_POD, "default", "web-0", "metadata.labels.app", "\"other\"");
    static const struct step steps[] = {
        {"none", "PATCH pods default/web-0\n" STATUS     },
        {"none", "DELETE controllerrevisions default/B\n"},
    };
    RUN(&c, steps);
    cluster_close(&c);
}

/* The same name only, and only for a moment. */
TEST(a_name_rests_before_it_is_used_again)
{
    static const struct {
        const char *gone;
        int64_t ago_ms;
        const char *want;
        int requeue_ms;
    } cases[] = {
  /* 600 s: the progress deadline */
        {"web-1", 0,  STATUS,                               30    },
        {"web-1", 29, STATUS,                               1     },
        {"web-1", 30, STATUS "CREATE pods default/web-1\n", 600001},
        {"web-2", 0,  STATUS "CREATE pods default/web-1\n", 600001},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cluster c;
        cluster_open(&c);
        put_set(&c, "\"replicas\":2");
        settle(&c, 2);
        cluster_remove(&c, KIND_POD, "default", "web-1");
        c.gone = cases[i].gone;
        c.gone_at = c.now - cases[i].ago_ms * USEC_PER_MS;
        EXPECT_STR(cases[i].want, run_op(&c, "none"));
        EXPECT_INT(cases[i].requeue_ms, (int)(c.requeue_after / USEC_PER_MS));
        cluster_close(&c);
    }
}

TEST(min_ready_seconds_gate_creation)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":2,\"minReadySeconds\":10");
    static const struct step steps[] = {
        {"none",        "CREATE controllerrevisions default/A\n" STATUS "CREATE pods default/web-0\n"},
        {"ready web-0", STATUS                                                                       },
        {"wait 10",     ""                                                                           }, /* equality is not yet */
        {"wait 1",      STATUS "CREATE pods default/web-1\n"                                         },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(rollback_reuses_the_revision)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":0");
    settle(&c, 0);
    static const struct step steps[] = {
        {"image b",                         "CREATE controllerrevisions default/B\n" STATUS},
        {"image a",                         "PATCH controllerrevisions default/A\n" STATUS },
        {"status",                          "0/0/0 cur 0 A upd 0 A"                        },
        {"set spec.revisionHistoryLimit 0", STATUS "DELETE controllerrevisions default/B\n"},
        {"none",                            ""                                             },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(parallel_replaces_broken_old_pods_at_once)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3,\"podManagementPolicy\":\"Parallel\"");
    settle(&c, 3);
    run_op(&c, "unready web-0");
    run_op(&c, "unready web-1");
    static const struct step steps[] = {
        {"image b",     "CREATE controllerrevisions default/B\n" STATUS
                    "DELETE pods default/web-1\nDELETE pods default/web-0\n"},
        {"none",        STATUS "CREATE pods default/web-0\nCREATE pods default/web-1\n"        },
        {"ready web-0", STATUS                                                                 },
        {"ready web-1", STATUS "DELETE pods default/web-2\n"                                   },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(max_unavailable_deletes_two)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":4");
    settle(&c, 4);
    run_op(&c, "set spec.updateStrategy.rollingUpdate.maxUnavailable \"50%\"");
    static const struct step steps[] = {
        {"image b", "CREATE controllerrevisions default/B\n" STATUS
                    "DELETE pods default/web-3\nDELETE pods default/web-2\n"},
        {"none",    STATUS "CREATE pods default/web-2\n"                                       },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(on_delete_never_replaces)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1");
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web", "spec.updateStrategy",
                "{\"type\":\"OnDelete\"}");
    settle(&c, 1);
    static const struct step steps[] = {
        {"image b",        "CREATE controllerrevisions default/B\n" STATUS},
        {"none",           ""                                             },
        {"gone web-0",     STATUS "CREATE pods default/web-0\n"           },
        {"revision web-0", "B"                                            },
        {"ready web-0",    STATUS                                         },
        {"status",         "1/1/1 cur 0 A upd 1 B"                        },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(claims_follow_the_deletion_policy)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1,\"persistentVolumeClaimRetentionPolicy\":{\"whenScaled\":"
                "\"Retain\",\"whenDeleted\":\"Delete\"}," CLAIM);
    settle(&c, 1);
    const struct val *claim = cluster_find(&c, KIND_PVC, "default", "data-web-0");
    EXPECT_STR("StatefulSet", val_text_at(claim, "metadata.ownerReferences.0.kind"));
    static const struct step steps[] = {
        {"set spec.persistentVolumeClaimRetentionPolicy.whenDeleted \"Retain\"",
         STATUS "PATCH persistentvolumeclaims default/data-web-0\n"                },
        {"none",                                                                 ""},
    };
    RUN(&c, steps);
    claim = cluster_find(&c, KIND_PVC, "default", "data-web-0");
    EXPECT(val_path(claim, "metadata.ownerReferences") == NULL);
    cluster_close(&c);
}

TEST(terminating_claim_holds_the_pod_back)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1," CLAIM);
    cluster_put(&c, KIND_PVC,
                "{\"metadata\":{\"name\":\"data-web-0\",\"namespace\":\"default\",\"uid\":\"x\","
                "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"finalizers\":[\"f\"]}}");
    EXPECT_STR("CREATE controllerrevisions default/A\n" STATUS
               "EVENT statefulsets default/web Warning FailedCreate: create Pod web-0 in "
               "StatefulSet web failed error: pvc data-web-0 is being deleted\n",
               cluster_decide(&c, &controller_statefulset, "default", "web", true));
    cluster_close(&c);
}

TEST(huge_replicas_cost_nothing)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":2147483647");
    static const struct step steps[] = {
        {"none",        "CREATE controllerrevisions default/A\n" STATUS "CREATE pods default/web-0\n"},
        {"ready web-0", STATUS "CREATE pods default/web-1\n"                                         },
    };
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(revision_hash_vectors)
{
    static const struct {
        const char *json;
        int count;
        const char *want;
    } cases[] = {
        {"{\"spec\":{\"template\":{\"$patch\":\"replace\",\"metadata\":{\"annotations\":{\"test\":"
         "\"value\"},\"labels\":{\"app\":\"foo\"}},\"spec\":{\"containers\":[{\"image\":\"test\","
         "\"imagePullPolicy\":\"Always\",\"name\":\"test\",\"resources\":{},"
         "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":"
         "\"File\"}],\"dnsPolicy\":\"ClusterFirst\",\"restartPolicy\":\"Always\","
         "\"schedulerName\":\"default-scheduler\",\"securityContext\":{},"
         "\"terminationGracePeriodSeconds\":30}}}}",                                      0, "776999688b"},
        {"{\"spec\":{\"template\":{\"$patch\":\"replace\",\"metadata\":{\"labels\":{\"app\":"
         "\"web\"}},\"spec\":{\"containers\":[{\"image\":\"nginx\",\"name\":\"c\"}]}}}}", 0, "5f4b46c5cc"},
        {"{\"spec\":{\"template\":{\"$patch\":\"replace\",\"metadata\":{\"labels\":{\"app\":"
         "\"web\"}},\"spec\":{\"containers\":[{\"image\":\"nginx\",\"name\":\"c\"}]}}}}", 2, "5f4b46c5cf"},
    };
    auto_arena struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct val v;
        struct err err = {0};
        EXPECT_OK(json_read(str_of(cases[i].json), arena, NULL, &v, &err));
        EXPECT_STR(cases[i].want, sts_revision_hash(arena, &v, cases[i].count));
    }
}

TEST(ordinals_are_canonical)
{
    static const struct {
        const char *pod;
        int want;
    } cases[] = {
        {"web-0",           0         },
        {"web-10",          10        },
        {"web-007",         -1        },
        {"web-",            -1        },
        {"web",             -1        },
        {"other-1",         -1        },
        {"web-x",           -1        },
        {"web-2147483647",  2147483647},
        {"web-1-1",         -1        },
        {"web-99999999999", -1        }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        EXPECT_INT(cases[i].want, (int)sts_ordinal(S("web"), str_of(cases[i].pod)));
    }
}
