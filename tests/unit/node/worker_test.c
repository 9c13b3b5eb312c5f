// SPDX-License-Identifier: Apache-2.0
#include "fake_cluster.h"

#include "test.h"

#include "base/mem.h"

#include <stdlib.h>

static const char one[] =
    "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u1\",\"generation\":1},"
    "\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Always\","
    "\"containers\":[{\"name\":\"app\",\"image\":\"busybox\"}]},\"status\":{\"phase\":\"Pending\"}"
    "}";

static const struct val *status_of(struct fake_cluster *c, const char *name)
{
    struct object *object = fake_get(c, KIND_POD, "default", name);
    return object ? val_get(object_val(object), S("status")) : NULL;
}

static struct str condition(struct fake_cluster *c, const char *name, const char *type)
{
    const struct val *list = val_get(status_of(c, name), S("conditions"));
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_get(val_at(list, i), S("type"))), str_of(type))) {
            return val_text(val_get(val_at(list, i), S("status")));
        }
    }
    return S("");
}

/* What happened first. */
static struct str first_lines(struct fake_cluster *c, int count)
{
    struct str log = buf_str(&c->log);
    for (size_t i = 0; i < log.n; i++) {
        if (log.p[i] == '\n' && --count == 0) {
            return str_sub(log, 0, i + 1);
        }
    }
    return log;
}

TEST(worker_starts_a_pod_and_tells_of_it)
{
    struct fake_cluster c;
    fake_init(&c);
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, USEC_PER_SEC);
    EXPECT_STR("0s create app_0\n0s start app_0\n", buf_str(&c.log));
    EXPECT_STR(" Pending Running", buf_str(&c.phases));
    EXPECT_STR("True", condition(&c, "web", "Ready"));
    EXPECT_STR("True", condition(&c, "web", "PodReadyToStartContainers"));
    EXPECT_STR("10.244.0.2", val_text_at(status_of(&c, "web"), "podIP"));
    EXPECT(val_path(status_of(&c, "web"), "containerStatuses.0.state.running.startedAt") != NULL);
    EXPECT_STR("fake://u1_app_0",
               val_text_at(status_of(&c, "web"), "containerStatuses.0.containerID"));
    uint64_t rev = c.rev;
    fake_run(&c, 60 * USEC_PER_SEC);
    EXPECT_INT(rev, c.rev); /* nothing changed, nothing written */
    fake_done(&c);
}

TEST(worker_backs_off_from_a_crashing_container)
{
    struct fake_cluster c;
    fake_init(&c);
    c.run_for = USEC_PER_SEC;
    c.exit_code = 1;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, 95 * USEC_PER_SEC);
    /* 1 s of life each; first restart at once, then 10, 20, 40 s */
    EXPECT_STR("0s create app_0\n0s start app_0\n1s exit app_0\n"
               "1s create app_1\n1s start app_1\n2s exit app_1\n"
               "12s create app_2\n12s start app_2\n13s exit app_2\n"
               "33s create app_3\n33s start app_3\n34s exit app_3\n"
               "74s create app_4\n74s start app_4\n75s exit app_4\n",
               buf_str(&c.log));
    const struct val *status = status_of(&c, "web");
    EXPECT_STR("Running", val_text_at(status, "phase"));
    EXPECT_STR("CrashLoopBackOff", val_text_at(status, "containerStatuses.0.state.waiting.reason"));
    EXPECT_STR("back-off 1m20s restarting failed container=app pod=web_default(u1)",
               val_text_at(status, "containerStatuses.0.state.waiting.message"));
    EXPECT_INT(4, val_number_at(status, "containerStatuses.0.restartCount", -1));
    EXPECT_INT(1, val_number_at(status, "containerStatuses.0.lastState.terminated.exitCode", -1));
    fake_done(&c);
}

TEST(worker_forgets_back_off_after_ten_good_minutes)
{
    struct fake_cluster c;
    fake_init(&c);
    c.run_for = 605 * USEC_PER_SEC;
    c.exit_code = 1;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, 1900 * USEC_PER_SEC);
    EXPECT_STR("0s create app_0\n0s start app_0\n605s exit app_0\n"
               "605s create app_1\n605s start app_1\n1210s exit app_1\n"
               "1210s create app_2\n1210s start app_2\n1815s exit app_2\n"
               "1815s create app_3\n1815s start app_3\n",
               buf_str(&c.log));
    fake_done(&c);
}

/* The second create has the id of the first: a late removal would take its container away. */
TEST(worker_creates_again_after_what_failed_is_gone)
{
    struct fake_cluster c;
    fake_init(&c);
    c.creates_refused = 1;
    c.removal = 25 * USEC_PER_SEC;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, 60 * USEC_PER_SEC);
    EXPECT_STR("0s refuse app_0\n25s create app_0\n25s start app_0\n", buf_str(&c.log));
    EXPECT_INT(1, c.containers.count);
    fake_done(&c);
}

TEST(worker_deletes_with_grace)
{
    static const struct {
        bool heeds_term;
        int grace;
        const char *log;
    } rows[] = {
        {true,  30, "0s TERM app_0\n0s exit app_0\n0s delete web\n"                  },
        {false, 30, "0s TERM app_0\n30s KILL app_0\n30s exit app_0\n30s delete web\n"},
        {false, 1,  "0s TERM app_0\n2s KILL app_0\n2s exit app_0\n2s delete web\n"   },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_cluster c;
        fake_init(&c);
        c.heeds_term = rows[i].heeds_term;
        fake_start_node(&c);
        fake_put(&c, KIND_POD, one);
        fake_run(&c, USEC_PER_SEC);
        buf_clear(&c.log);
        c.begun = loop_now(c.loop);
        fake_delete_pod(&c, "web", rows[i].grace);
        fake_run(&c, 40 * USEC_PER_SEC);
        EXPECT_STR(rows[i].log, buf_str(&c.log));
        EXPECT(fake_get(&c, KIND_POD, "default", "web") == NULL);
        EXPECT_STR(" Pending Running Failed", buf_str(&c.phases));
        EXPECT_INT(0, c.containers.count);
        fake_done(&c);
    }
}

TEST(worker_waits_for_the_old_pod_of_the_same_name)
{
    struct fake_cluster c;
    fake_init(&c);
    c.heeds_term = false;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, USEC_PER_SEC);
    buf_clear(&c.log);
    c.begun = loop_now(c.loop);
    fake_remove(&c, KIND_POD, "default", "web"); /* forced */
    static const char two[] =
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u2\"},"
        "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"app\",\"image\":\"b\"}]},"
        "\"status\":{\"phase\":\"Pending\"}}";
    fake_put(&c, KIND_POD, two);
    fake_run(&c, 10 * USEC_PER_SEC);
    EXPECT_STR("0s TERM app_0\n2s KILL app_0\n2s exit app_0\n2s create app_0\n2s start app_0\n",
               buf_str(&c.log));
    fake_done(&c);
}

TEST(worker_counts_ready_by_the_probe)
{
    static const char probed[] =
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u1\"},"
        "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"app\",\"image\":\"b\","
        "\"readinessProbe\":{\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":5,"
        "\"initialDelaySeconds\":3,\"failureThreshold\":2}}]},\"status\":{\"phase\":\"Pending\"}}";
    struct fake_cluster c;
    fake_init(&c);
    c.exec_code = 1;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, probed);
    fake_run(&c, 4 * USEC_PER_SEC);
    EXPECT_STR("False", condition(&c, "web", "Ready"));
    c.exec_code = 0;
    fake_run(&c, 1 * USEC_PER_SEC); /* in its first period a probe comes again soon */
    EXPECT_STR("True", condition(&c, "web", "Ready"));
    c.exec_code = 1;
    fake_run(&c, 6 * USEC_PER_SEC); /* one failure is not enough */
    EXPECT_STR("True", condition(&c, "web", "Ready"));
    fake_run(&c, 5 * USEC_PER_SEC);
    EXPECT_STR("False", condition(&c, "web", "Ready"));
    EXPECT_INT(0, val_number_at(status_of(&c, "web"), "containerStatuses.0.restartCount", -1));
    fake_done(&c);
}

TEST(worker_restarts_what_fails_its_liveness_probe)
{
    static const char probed[] =
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u1\"},"
        "\"spec\":{\"nodeName\":\"n1\",\"terminationGracePeriodSeconds\":5,"
        "\"containers\":[{\"name\":\"app\",\"image\":\"b\",\"livenessProbe\":{"
        "\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":1}}]},\"status\":{\"phase\":\"Pending\"}"
        "}";
    struct fake_cluster c;
    fake_init(&c);
    c.exec_code = 1;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, probed);
    fake_run(&c, 4 * USEC_PER_SEC);
    EXPECT_STR("0s create app_0\n0s start app_0\n3s TERM app_0\n3s exit app_0\n"
               "3s create app_1\n3s start app_1\n",
               first_lines(&c, 6));
    fake_done(&c);
}

TEST(worker_runs_init_containers_and_sidecars_in_order)
{
    static const char init[] =
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u1\"},"
        "\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Never\",\"initContainers\":["
        "{\"name\":\"i1\",\"image\":\"b\"},"
        "{\"name\":\"side\",\"image\":\"b\",\"restartPolicy\":\"Always\"},"
        "{\"name\":\"i2\",\"image\":\"b\"}],"
        "\"containers\":[{\"name\":\"app\",\"image\":\"b\"}]},\"status\":{\"phase\":\"Pending\"}}";
    struct fake_cluster c;
    fake_init(&c);
    c.run_for = USEC_PER_SEC;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, init);
    fake_run(&c, 500 * USEC_PER_MS);
    c.run_for = 0; /* the sidecar stays */
    fake_run(&c, 600 * USEC_PER_MS);
    c.run_for = USEC_PER_SEC;
    fake_run(&c, 10 * USEC_PER_SEC);
    EXPECT_STR("0s create i1_0\n0s start i1_0\n1s exit i1_0\n"
               "1s create side_0\n1s start side_0\n"
               "1s create i2_0\n1s start i2_0\n",
               first_lines(&c, 7));
    fake_done(&c);
}

TEST(worker_goes_on_with_containers_that_run_already)
{
    struct fake_cluster c;
    fake_init(&c);
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, USEC_PER_SEC);
    node_free(c.node);
    c.watches_count = 0;
    buf_clear(&c.log);
    fake_start_node(&c);
    fake_run(&c, 20 * USEC_PER_SEC);
    EXPECT_STR("", buf_str(&c.log));
    EXPECT_STR("Running", val_text_at(status_of(&c, "web"), "phase"));
    EXPECT_STR("True", condition(&c, "web", "Ready"));
    EXPECT_INT(0, val_number_at(status_of(&c, "web"), "containerStatuses.0.restartCount", -1));
    fake_done(&c);
}

/* The brain died before anybody wrote down that there is a second instance. */
TEST(worker_goes_on_with_the_newest_container_that_it_finds)
{
    struct fake_cluster c;
    fake_init(&c);
    c.run_for = USEC_PER_SEC;
    c.exit_code = 1;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, USEC_PER_MS);
    c.run_for = 0; /* the second one stays */
    fake_run(&c, 3 * USEC_PER_SEC);
    EXPECT(str_ends(buf_str(&c.log), S("start app_1\n")));
    node_free(c.node);
    c.watches_count = 0;
    fake_put(&c, KIND_POD, one);
    buf_clear(&c.log);
    fake_start_node(&c);
    fake_run(&c, 20 * USEC_PER_SEC);
    EXPECT_STR("", buf_str(&c.log));
    EXPECT_INT(1, val_number_at(status_of(&c, "web"), "containerStatuses.0.restartCount", -1));
    fake_done(&c);
}

TEST(worker_kills_orphans)
{
    struct fake_cluster c;
    fake_init(&c);
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, USEC_PER_SEC);
    node_free(c.node);
    c.watches_count = 0;
    fake_remove(&c, KIND_POD, "default", "web");
    buf_clear(&c.log);
    fake_start_node(&c);
    fake_run(&c, 20 * USEC_PER_SEC);
    EXPECT_STR("1s KILL app_0\n1s exit app_0\n", first_lines(&c, 2));
    fake_done(&c);
}

TEST(worker_waits_for_the_first_containers_of_a_name)
{
    static const struct {
        unsigned kills_refused;
        const char *log;
    } rows[] = {
        {0, "1s KILL app_0\n1s exit app_0\n1s create app_0\n1s start app_0\n"},
        {3, "1s KILL app_0\n4s KILL app_0\n9s KILL app_0\n14s KILL app_0\n14s exit app_0\n"
            "14s create app_0\n14s start app_0\n"                 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_cluster c;
        fake_init(&c);
        fake_start_node(&c);
        fake_put(&c, KIND_POD, one);
        fake_run(&c, USEC_PER_SEC);
        node_free(c.node);
        c.watches_count = 0;
        fake_remove(&c, KIND_POD, "default", "web");
        char *anew = xstrdup(one);
        char *uid = strstr(anew, "\"u1\"");
        uid[2] = '2';
        fake_put(&c, KIND_POD, anew);
        free(anew);
        buf_clear(&c.log);
        c.kills_refused = rows[i].kills_refused;
        fake_start_node(&c);
        fake_run(&c, 60 * USEC_PER_SEC);
        EXPECT_STR(rows[i].log, buf_str(&c.log));
        EXPECT_INT(1, c.containers.count);
        fake_done(&c);
    }
}

/* Deleted by force while the disk is slow: the API knows already, the event comes later. */
TEST(worker_waits_for_the_news_that_its_pod_is_gone)
{
    struct fake_cluster c;
    fake_init(&c);
    c.run_for = 2 * USEC_PER_SEC;
    fake_start_node(&c);
    fake_put(&c, KIND_POD, one);
    fake_run(&c, USEC_PER_SEC);
    for (size_t i = c.objects.count; i-- > 0;) {
        if (str_ends(c.objects.entries[i].key, S("/default/web"))) {
            object_unref(map_remove(&c.objects, c.objects.entries[i].key));
        }
    }
    unsigned updates = c.updates_count;
    fake_run(&c, 5 * USEC_PER_SEC);
    EXPECT(c.updates_count > updates && c.updates_count < updates + 10);
    fake_done(&c);
}
