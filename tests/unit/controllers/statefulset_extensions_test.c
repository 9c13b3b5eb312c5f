// SPDX-License-Identifier: Apache-2.0
//
// What coracle adds to StatefulSets (docs/statefulsets.md): traces, as in statefulset_test.c.
#include "controllers/meta.h"
#include "controllers/statefulset.h"
#include "set_steps.h"
#include "test.h"

static void open_set(struct cluster *c, const char *spec, int ready)
{
    cluster_open(c);
    put_set(c, spec);
    settle(c, ready);
}

TEST(paused_set_updates_nothing_and_keeps_its_pods)
{
    static const struct step steps[] = {
        {"annotate coracle.io/paused true",  ""                                                          },
        {"image b",                          "CREATE controllerrevisions default/B\n" STATUS             },
        {"condition Progressing",            "Unknown RolloutPaused: annotation coracle.io/paused is set"},
        {"gone web-1",                       STATUS "CREATE pods default/web-1\n"                        },
        {"revision web-1",                   "A"                                                         },
        {"ready web-1",                      STATUS                                                      },
        {"annotate coracle.io/paused false", STATUS "DELETE pods default/web-2\n"                        },
        {"none",                             STATUS "CREATE pods default/web-2\n"                        },
        {"ready web-2",                      STATUS "DELETE pods default/web-1\n"                        },
        {"none",                             STATUS "CREATE pods default/web-1\n"                        },
        {"annotate coracle.io/paused true",  STATUS                                                      },
        {"ready web-1",                      STATUS                                                      },
        {"gone web-2",                       STATUS "CREATE pods default/web-2\n"                        },
        {"revision web-2",                   "B"                                                         }, /* as it was */
        {"ready web-2",                      STATUS                                                      },
        {"gone web-0",                       STATUS "CREATE pods default/web-0\n"                        },
        {"revision web-0",                   "A"                                                         }, /* as it was */
    };
    struct cluster c;
    open_set(&c, "\"replicas\":3", 3);
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(reserved_ordinals_are_left_out)
{
    static const struct step steps[] = {
        {"annotate coracle.io/reserved-ordinals 1",            STATUS "CREATE pods default/web-3\n"            },
        {"ready web-3",                                        STATUS "DELETE pods default/web-1\n"            },
        {"none",                                               STATUS                                          },
        {"status",                                             "3/3/3 cur 3 A upd 3 A"                         },
        {"none",                                               ""                                              },
        {"set spec.replicas 2",                                STATUS "DELETE pods default/web-3\n"            },
        {"none",                                               STATUS                                          },
        {"condition Progressing",                              "True RolloutComplete: 2 replicas are available"},
        {"annotate coracle.io/reserved-ordinals 0-2147483647",
         STATUS "DELETE pods default/web-2\n"                                                                  },
    };
    struct cluster c;
    open_set(&c, "\"replicas\":3", 3);
    RUN(&c, steps);
    cluster_close(&c);
}

/* The partition counts slots, as rollout status does. */
TEST(reserved_ordinals_and_partition)
{
    static const struct step steps[] = {
        {"image b",     "CREATE controllerrevisions default/B\n" STATUS "DELETE pods default/web-3\n"},
        {"none",        STATUS "CREATE pods default/web-3\n"                                         },
        {"ready web-3", STATUS                                                                       },
        {"status",      "3/3/3 cur 2 A upd 1 B"                                                      },
        {"none",        ""                                                                           },
    };
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":3");
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web", "metadata.annotations",
                "{\"coracle.io/reserved-ordinals\":\"0\"}");
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web",
                "spec.updateStrategy.rollingUpdate.partition", "2");
    settle(&c, 4);
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(marked_pods_are_replaced_within_the_budget)
{
    static const struct step steps[] = {
        {"mark web-2",    "DELETE pods default/web-2\n"       },
        {"mark web-0",    STATUS "CREATE pods default/web-2\n"}, /* one at a time */
        {"ready web-2",   STATUS "DELETE pods default/web-0\n"},
        {"none",          STATUS "CREATE pods default/web-0\n"},
        {"unready web-2", STATUS                              }, /* waits at web-0 */
        {"ready web-0",   STATUS                              },
        {"mark web-2",    "DELETE pods default/web-2\n"       }, /* broken: at once */
    };
    struct cluster c;
    open_set(&c, "\"replicas\":3", 3);
    RUN(&c, steps);
    cluster_close(&c);
}

TEST(marked_pods_are_replaced_on_delete_and_paused_too)
{
    static const char *const changes[][2] = {
        {"spec.updateStrategy",                         "{\"type\":\"OnDelete\"}"         },
        {"metadata.annotations",                        "{\"coracle.io/paused\":\"true\"}"},
        {"spec.updateStrategy.rollingUpdate.partition", "3"                               },
    };
    for (size_t i = 0; i < 3; i++) {
        struct cluster c;
        open_set(&c, "\"replicas\":2", 2);
        cluster_set(&c, KIND_STATEFUL_SET, "default", "web", changes[i][0], changes[i][1]);
        settle(&c, 2);
        EXPECT_STR("DELETE pods default/web-0\n", run_op(&c, "mark web-0"));
        cluster_close(&c);
    }
}

/* Its container was ready for a moment and crashes: the most frequent broken rollout. */
TEST(a_crashing_pod_does_not_stop_the_repaired_rollout)
{
    struct cluster c;
    open_set(&c, "\"replicas\":2", 2);
    run_op(&c, "image b");
    run_op(&c, "none");
    run_op(&c, "crash web-1");
    run_op(&c, "set spec.template.spec.containers [{\"name\":\"c\",\"image\":\"c\"}]");
    EXPECT_STR("C",
               cluster_letter(&c, val_text_at(cluster_find(&c, KIND_STATEFUL_SET, "default", "web"),
                                              "status.updateRevision")));
    EXPECT(cluster_find(&c, KIND_POD, "default", "web-1") == NULL);
    cluster_close(&c);
}

TEST(a_freed_rollout_says_so)
{
    struct cluster c;
    open_set(&c, "\"replicas\":1", 1);
    run_op(&c, "crash web-0");
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web", "spec.template.spec.containers",
                "[{\"name\":\"c\",\"image\":\"b\"}]");
    struct str got = cluster_decide(&c, &controller_statefulset, "default", "web", true);
    EXPECT(str_search(got, S("Warning BrokenPodReplaced: Pod web-0 does not get ready")) >= 0);
    cluster_close(&c);
}

static void fail_two(struct cluster *c, const char *strict)
{
    open_set(c, "\"replicas\":4", 4);
    c->has_slow_pods = true;
    cluster_set(c, KIND_STATEFUL_SET, "default", "web", "metadata.annotations",
                arena_fmt(c->arena, "{\"coracle.io/strict-rollout\":\"%s\"}", strict).p);
    cluster_set(c, KIND_STATEFUL_SET, "default", "web", "spec.replicas", "1");
    cluster_set(c, KIND_POD, "default", "web-2", "status.phase", "\"Failed\"");
    cluster_set(c, KIND_POD, "default", "web-3", "status.phase", "\"Failed\"");
}

/* Upstream waits for ever: two that ended stop an ordered scale-down. */
TEST(ended_pods_do_not_stop_a_scale_down)
{
    static const struct step freely[] = {
        {"none",       STATUS "DELETE pods default/web-3\n"},
        {"gone web-3", STATUS "DELETE pods default/web-2\n"},
        {"gone web-2", STATUS "DELETE pods default/web-1\n"},
    };
    static const struct step strictly[] = {
        {"none", STATUS},
        {"none", ""    },
    };
    struct cluster c;
    fail_two(&c, "false");
    RUN(&c, freely);
    cluster_close(&c);
    fail_two(&c, "true");
    RUN(&c, strictly);
    cluster_close(&c);
}

/* --- in place --- */

static void set_template(struct cluster *c, const char *template)
{
    cluster_set(c, KIND_STATEFUL_SET, "default", "web", "spec.template", template);
}

TEST(in_place_where_the_difference_allows_it)
{
#define LABELS   "\"metadata\":{\"labels\":{\"app\":\"web\""
#define C(image) "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"" image "\""
    static const struct {
        const char *template;
        const char *want;
        const char *image, *extra; /* of the pod, afterwards */
    } rows[] = {
        {"{" LABELS "}}," C("b") "}]}}",                                  "PATCH pods default/web-1\n",  "b", "" },
        {"{" LABELS ",\"x\":\"y\"}}," C("a") "}]}}",                      "PATCH pods default/web-1\n",  "a", "y"},
        {"{" LABELS "},\"annotations\":{\"k\":\"v\"}}," C("b") "}]}}",    "PATCH pods default/web-1\n",
         "b",                                                                                                 "" },
        {"{" LABELS "}}," C("b") ",\"command\":[\"x\"]}]}}",              "DELETE pods default/web-1\n", "",  "" },
        {"{" LABELS "}}," C("a") "},{\"name\":\"d\",\"image\":\"d\"}]}}",
         "DELETE pods default/web-1\n",                                                                  "",  "" },
        {"{" LABELS "}},\"spec\":{\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":"
         "\"c\",\"image\":\"b\"}]}}",                            "DELETE pods default/web-1\n", "",  "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cluster c;
        open_set(&c, "\"replicas\":2", 2);
        run_op(&c, "annotate coracle.io/in-place-update true");
        set_template(&c, rows[i].template);
        struct str got = run_op(&c, "none");
        EXPECT_STR(rows[i].want, str_sub(got, got.n - strlen(rows[i].want), got.n));
        const struct val *pod = cluster_find(&c, KIND_POD, "default", "web-1");
        EXPECT_STR(rows[i].image, val_text_at(pod, "spec.containers.0.image"));
        EXPECT_STR(rows[i].extra, meta_label(pod, S("x")));
        cluster_close(&c);
    }
}

/* Not before its node has looked: what it says of itself is about the old image. */
TEST(in_place_waits_for_the_node)
{
    static const struct step before[] = {
        {"annotate coracle.io/in-place-update true", ""                                                                          },
        {"image b",                                  "CREATE controllerrevisions default/B\n" STATUS "PATCH pods default/web-1\n"},
    };
    static const struct step after[] = {
        {"none",                  STATUS                                          },
        {"status",                "2/1/1 cur 1 A upd 1 B"                         },
        {"condition Progressing", "True RolloutProgressing: waiting for Pod web-1"},
        {"none",                  ""                                              },
    };
    struct cluster c;
    open_set(&c, "\"replicas\":2", 2);
    RUN(&c, before);
    struct str uid = meta_uid(cluster_find(&c, KIND_POD, "default", "web-1"));
    cluster_set(&c, KIND_POD, "default", "web-1", "metadata.generation", "2");
    RUN(&c, after);
    cluster_set(&c, KIND_POD, "default", "web-1", "status.observedGeneration", "2");
    EXPECT_STR(STATUS "PATCH pods default/web-0\n", run_op(&c, "none"));
    EXPECT(str_eq(uid, meta_uid(cluster_find(&c, KIND_POD, "default", "web-1"))));
    cluster_close(&c);
}

TEST(without_the_annotation_pods_are_replaced)
{
    struct cluster c;
    open_set(&c, "\"replicas\":1", 1);
    EXPECT_STR("CREATE controllerrevisions default/B\n" STATUS "DELETE pods default/web-0\n",
               run_op(&c, "image b"));
    cluster_close(&c);
}

/* --- claim templates --- */

static void put_claim(struct cluster *c, const char *name, const char *has, const char *class)
{
    cluster_set(c, KIND_PVC, "default", name, "spec",
                arena_fmt(c->arena,
                          "{\"storageClassName\":\"%s\",\"resources\":{\"requests\":{\"storage\":"
                          "\"%s\"}}}",
                          class, has)
                    .p);
    cluster_set(
        c, KIND_PVC, "default", name, "status",
        arena_fmt(c->arena, "{\"phase\":\"Bound\",\"capacity\":{\"storage\":\"%s\"}}", has).p);
}

static void open_claims(struct cluster *c, const char *class)
{
    open_set(c, "\"replicas\":2," CLAIM, 2);
    cluster_put(c, KIND_STORAGE_CLASS,
                "{\"metadata\":{\"name\":\"elastic\"},\"allowVolumeExpansion\":true}");
    cluster_put(c, KIND_STORAGE_CLASS, "{\"metadata\":{\"name\":\"fixed\"}}");
    put_claim(c, "data-web-0", "1Gi", class);
    put_claim(c, "data-web-1", "1Gi", class);
    cluster_set(c, KIND_STATEFUL_SET, "default", "web", "spec.volumeClaimTemplates",
                "[{\"metadata\":{\"name\":\"data\",\"labels\":{\"tier\":\"db\",\"app\":\"no\"}},"
                "\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}]");
}

TEST(edited_templates_are_carried_to_claims)
{
    static const struct step steps[] = {
        {"annotate coracle.io/claim-templates-edited true",
         STATUS "PATCH persistentvolumeclaims default/data-web-0\n"
                "PATCH persistentvolumeclaims default/data-web-1\n"},
        {"condition ClaimsUpToDate",
         "False ClaimsLagBehind: 0 of 2 claims have what their templates ask for; data-web-0 (1Gi "
         "of 2Gi) is growing; data-web-1 (1Gi of 2Gi) is growing"  },
        {"none",                                            ""     },
    };
    struct cluster c;
    open_claims(&c, "elastic");
    EXPECT_STR("", run_op(&c, "none")); /* found, not edited: claims are used as they are */
    RUN(&c, steps);
    const struct val *claim = cluster_find(&c, KIND_PVC, "default", "data-web-1");
    EXPECT_STR("2Gi", val_text_at(claim, "spec.resources.requests.storage"));
    EXPECT_STR("db", meta_label(claim, S("tier")));
    EXPECT_STR("web", meta_label(claim, S("app"))); /* the selector's */
    cluster_set(&c, KIND_PVC, "default", "data-web-0", "status.capacity.storage", "\"2Gi\"");
    cluster_set(&c, KIND_PVC, "default", "data-web-1", "status.capacity.storage", "\"2Gi\"");
    EXPECT_STR(STATUS, run_op(&c, "none"));
    EXPECT_STR("True ClaimsFollowTemplates: 2 of 2 claims have what their templates ask for",
               run_op(&c, "condition ClaimsUpToDate"));
    cluster_close(&c);
}

TEST(claims_of_a_fixed_class_do_not_grow)
{
    struct cluster c;
    open_claims(&c, "fixed");
    run_op(&c, "annotate coracle.io/claim-templates-edited true");
    EXPECT_STR("False ClaimsLagBehind: 0 of 2 claims have what their templates ask for; "
               "data-web-0 (1Gi of 2Gi) can't grow: class \"fixed\" doesn't allow it; data-web-1 "
               "(1Gi of 2Gi) can't grow: class \"fixed\" doesn't allow it",
               run_op(&c, "condition ClaimsUpToDate"));
    EXPECT_STR("1Gi", val_text_at(cluster_find(&c, KIND_PVC, "default", "data-web-0"),
                                  "spec.resources.requests.storage"));
    EXPECT_STR("", run_op(&c, "none"));
    cluster_close(&c);
}

/* --- conditions --- */

TEST(conditions_tell_the_course_of_a_rollout)
{
    static const struct step steps[] = {
        {"condition Available",   " : "                                                                        },
        {"none",                  "CREATE controllerrevisions default/A\n" STATUS "CREATE pods default/web-0\n"},
        {"condition Available",
         "False MinimumReplicasUnavailable: 0 of 2 replicas are available, 2 needed"                           },
        {"condition Progressing", "True RolloutProgressing: waiting for Pod web-0"                             },
        {"ready web-0",           STATUS "CREATE pods default/web-1\n"                                         },
        {"condition Progressing", "True RolloutProgressing: waiting for Pod web-1"                             },
        {"ready web-1",           STATUS                                                                       },
        {"condition Available",
         "True MinimumReplicasAvailable: 2 of 2 replicas are available, 2 needed"                              },
        {"condition Progressing", "True RolloutComplete: 2 replicas are available"                             },
        {"image b",               "CREATE controllerrevisions default/B\n" STATUS "DELETE pods default/web-1\n"},
        {"condition Available",
         "True MinimumReplicasAvailable: 2 of 2 replicas are available, 1 needed"                              },
        {"none",                  STATUS "CREATE pods default/web-1\n"                                         },
        {"wait 599",              STATUS                                                                       },
        {"condition Progressing", "True RolloutProgressing: waiting for Pod web-1"                             },
        {"wait 2",                STATUS                                                                       },
        {"condition Progressing",
         "False ProgressDeadlineExceeded: no progress for 600 seconds, waiting for Pod web-1"                  },
        {"none",                  ""                                                                           },
        {"ready web-1",           STATUS "DELETE pods default/web-0\n"                                         },
        {"condition Progressing", "True RolloutProgressing: bringing pods to revision web-"                    },
    };
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":2");
    size_t count = sizeof steps / sizeof steps[0];
    run_steps(&c, steps, count - 1);
    struct str got = run_op(&c, steps[count - 1].op);
    EXPECT_STR(steps[count - 1].want, str_sub(got, 0, strlen(steps[count - 1].want)));
    cluster_close(&c);
}

TEST(conditions_of_others_stay)
{
    struct cluster c;
    open_set(&c, "\"replicas\":1", 1);
    cluster_condition(&c, KIND_STATEFUL_SET, "default", "web", "Theirs", "True");
    EXPECT_STR(STATUS "DELETE pods default/web-0\n", run_op(&c, "set spec.replicas 0"));
    run_op(&c, "none");
    EXPECT_STR("True : ", run_op(&c, "condition Theirs"));
    EXPECT_STR("True MinimumReplicasAvailable: 0 of 0 replicas are available, 0 needed",
               run_op(&c, "condition Available"));
    cluster_close(&c);
}

TEST(the_progress_deadline_can_be_set)
{
    struct cluster c;
    cluster_open(&c);
    put_set(&c, "\"replicas\":1");
    cluster_set(&c, KIND_STATEFUL_SET, "default", "web", "metadata.annotations",
                "{\"coracle.io/progress-deadline-seconds\":\"5\"}");
    run_op(&c, "none");
    EXPECT_INT(5000, (int)(c.requeue_after / USEC_PER_MS) / 10 * 10);
    EXPECT_STR(STATUS, run_op(&c, "wait 6"));
    EXPECT_STR("False ProgressDeadlineExceeded: no progress for 5 seconds, waiting for Pod web-0",
               run_op(&c, "condition Progressing"));
    cluster_close(&c);
}
