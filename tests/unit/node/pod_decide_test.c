// SPDX-License-Identifier: Apache-2.0
//
// Tables of facts: what is decided, which phase and which conditions come of it. A pod is written
// as JSON, its containers' state as "name=state" words:
//   -        no instance yet          r / R    running, not ready / ready
//   c        created                  p        a step is under way
//   x0, x1   exited with that code    w1       exited with 1, waits for its back-off
//   i        its image is being pulled
#include "node/pod_decide.h"

#include "test.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/pod_status.h"

#include <stdlib.h>

struct fixture {
    struct arena *arena;
    struct pod_facts facts;
    struct slot slots[8];
    struct volume_fact volumes[2];
};

static void set_state(struct slot *slot, const char *state)
{
    slot->cur = (struct run){0};
    slot->verdicts[PROBE_READINESS] = state[0] == 'R' ? VERDICT_SUCCESS : VERDICT_FAILURE;
    slot->is_post_start_done = true;
    switch (state[0]) {
    case 'c':
        slot->cur.state = RUN_CREATED;
        break;
    case 'r':
    case 'R':
        slot->cur.state = RUN_RUNNING;
        break;
    case 'p':
    case 'i':
        slot->is_pending = true;
        slot->is_pulling = state[0] == 'i';
        break;
    case 'x':
    case 'w':
        slot->cur.state = RUN_EXITED;
        slot->cur.exit_code = state[1] - '0';
        slot->restart_at = state[0] == 'w' ? 100 * USEC_PER_SEC : 0;
        slot->is_backoff_told = state[0] == 'w';
        break;
    default:
        break;
    }
}

static void add_slots(struct fixture *f, const char *path, enum slot_class class)
{
    const struct val *list = val_path(f->facts.pod, path);
    for (size_t i = 0; i < val_count(list); i++) {
        struct slot *slot = &f->slots[f->facts.slots_count++];
        slot->spec = val_at(list, i);
        slot->name = xstrndup(val_text(val_get(slot->spec, S("name"))).p,
                              val_text(val_get(slot->spec, S("name"))).n);
        bool is_sidecar = val_get(slot->spec, S("restartPolicy")) != NULL;
        slot->class = class == SLOT_INIT && is_sidecar ? SLOT_SIDECAR : class;
        slot->has_probe[PROBE_READINESS] = slot->class != SLOT_INIT;
        slot->stop_grace = -1;
    }
}

static void make(struct fixture *f, const char *json, const char *states)
{
    struct err err = {0};
    struct val *pod;
    *f = (struct fixture){.arena = arena_new(BODY_BYTES_MAX)};
    pod = arena_alloc(f->arena, sizeof *pod);
    EXPECT_OK(json_read(str_of(json), f->arena, NULL, pod, &err));
    f->facts = (struct pod_facts){.pod = pod,
                                  .slots = f->slots,
                                  .volumes = f->volumes,
                                  .has_dirs = true,
                                  .sandbox_state = SANDBOX_READY,
                                  .now = 50 * USEC_PER_SEC,
                                  .now_wall = 1700000000 * USEC_PER_SEC,
                                  .start_wall = 1700000000 * USEC_PER_SEC};
    add_slots(f, "spec.initContainers", SLOT_INIT);
    add_slots(f, "spec.containers", SLOT_MAIN);
    struct str rest = str_of(states);
    for (size_t i = 0; i < f->facts.slots_count; i++) {
        struct str word = str_cut(&rest, ' ');
        set_state(&f->slots[i], word.n ? word.p : "-");
    }
}

static void done(struct fixture *f)
{
    for (size_t i = 0; i < f->facts.slots_count; i++) {
        free(f->slots[i].name);
    }
    arena_free(f->arena);
}

#define POD(policy, extra, lists)                                                                  \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u\"" extra                        \
    "},\"spec\":{\"restartPolicy\":\"" policy "\"," lists "}}"
#define AB     "\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]"
#define INIT_A "\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"a\"}]"
#define SIDE_A                                                                                     \
    "\"initContainers\":[{\"name\":\"s1\",\"restartPolicy\":\"Always\"},"                          \
    "{\"name\":\"s2\",\"restartPolicy\":\"Always\"}],\"containers\":[{\"name\":\"a\"}]"
#define GOING ",\"deletionTimestamp\":\"t\",\"deletionGracePeriodSeconds\":7"

static const struct {
    const char *json;
    const char *states;
    const char *plan;
    const char *phase;
    const char *ready; /* ContainersReady */
} rows[] = {
  /* start, side by side; the second starts after the first */
    {POD("Always",    "",    AB),     "- -",      "CREATE a\nCREATE b\n",   "Pending",   "False"},
    {POD("Always",    "",    AB),     "p -",      "CREATE b\n",             "Pending",   "False"},
    {POD("Always",    "",    AB),     "p c",      "",                       "Pending",   "False"},
    {POD("Always",    "",    AB),     "c c",      "START a\n",              "Pending",   "False"},
    {POD("Always",    "",    AB),     "r c",      "START b\n",              "Pending",   "False"},
    {POD("Always",    "",    AB),     "R r",      "",                       "Running",   "False"},
    {POD("Always",    "",    AB),     "R R",      "",                       "Running",   "True" },
 /* ends and restarts */
    {POD("Always",    "",    AB),     "x0 R",     "CREATE a\n",             "Running",   "False"},
    {POD("Always",    "",    AB),     "w1 R",     "",                       "Running",   "False"},
    {POD("OnFailure", "",    AB),     "x0 x1",    "CREATE b\n",             "Running",   "False"},
    {POD("OnFailure", "",    AB),     "x0 x0",    "NETWORK_DOWN\n",         "Succeeded", "False"},
    {POD("Never",     "",    AB),     "x0 R",     "",                       "Running",   "False"},
    {POD("Never",     "",    AB),     "x0 x1",    "NETWORK_DOWN\n",         "Failed",    "False"},
    {POD("Never",     "",    AB),     "x0 x0",    "NETWORK_DOWN\n",         "Succeeded", "False"},
 /* init containers */
    {POD("Always",    "",    INIT_A), "- -",      "CREATE i\n",             "Pending",   "False"},
    {POD("Always",    "",    INIT_A), "r -",      "",                       "Pending",   "False"},
    {POD("Always",    "",    INIT_A), "x0 -",     "CREATE a\n",             "Pending",   "False"},
    {POD("Always",    "",    INIT_A), "x1 -",     "CREATE i\n",             "Pending",   "False"},
    {POD("Never",     "",    INIT_A), "x1 -",     "NETWORK_DOWN\n",         "Failed",    "False"},
    {POD("Always",    "",    INIT_A), "x0 R",     "",                       "Running",   "True" },
 /* sidecars */
    {POD("Never",     "",    SIDE_A), "- - -",    "CREATE s1\n",            "Pending",   "False"},
    {POD("Never",     "",    SIDE_A), "r - -",    "CREATE s2\n",            "Pending",   "False"},
    {POD("Never",     "",    SIDE_A), "r r -",    "CREATE a\n",             "Pending",   "False"},
    {POD("Never",     "",    SIDE_A), "x1 R R",   "CREATE s1\n",            "Running",   "False"},
    {POD("Never",     "",    SIDE_A), "R R x0",   "STOP s2 30s\n",          "Running",   "False"},
    {POD("Never",     "",    SIDE_A), "R x1 x0",  "STOP s1 30s\n",          "Running",   "False"},
    {POD("Never",     "",    SIDE_A), "x1 x1 x0", "NETWORK_DOWN\n",         "Succeeded", "False"},
 /* deletion */
    {POD("Always",    GOING, AB),     "R R",      "STOP a 7s\nSTOP b 7s\n", "Running",   "True" },
    {POD("Always",    GOING, AB),     "i i",      "CANCEL a\nCANCEL b\n",   "Pending",   "False"},
    {POD("Always",    "",    AB),     "i -",      "CREATE b\n",             "Pending",   "False"},
    {POD("Always",    GOING, AB),     "p c",      "DISCARD b\n",            "Pending",   "False"},
    {POD("Always",    GOING, AB),     "x1 x0",    "NETWORK_DOWN\n",         "Running",   "False"},
    {POD("Always",    GOING, SIDE_A), "R R R",    "STOP a 7s\n",            "Running",   "True" },
};

static struct str condition(const struct val *status, const char *type)
{
    const struct val *list = val_get(status, S("conditions"));
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_get(val_at(list, i), S("type"))), str_of(type))) {
            return val_text(val_get(val_at(list, i), S("status")));
        }
    }
    return S("");
}

TEST(pod_decide_table)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        struct plan plan;
        auto_buf struct buf out;
        buf_init(&out, 1 << 16);
        make(&f, rows[i].json, rows[i].states);
        pod_decide(&f.facts, f.arena, &plan);
        EXPECT_INT(0, plan_write(&out, &f.facts, &plan));
        EXPECT_STR(rows[i].plan, buf_str(&out));
        struct val status = pod_status(&f.facts, f.arena);
        EXPECT_STR(rows[i].phase, val_text_at(&status, "phase"));
        EXPECT_STR(rows[i].ready, condition(&status, "ContainersReady"));
        done(&f);
    }
}

/* By its name as the status shows it; the restart waits for nothing but the stop. */
TEST(pod_decide_restarts_a_container_with_another_image)
{
    static const struct {
        const char *image;
        const char *plan;
        const char *ready;
    } cases[] = {
        {"app",                          "",             "True" },
        {"docker.io/library/app:latest", "",             "True" },
        {"app:2",                        "STOP a 30s\n", "False"},
        {"app:Not A Name",               "",             "True" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct plan plan;
        auto_buf struct buf out;
        buf_init(&out, 1 << 16);
        make(&f, POD("Always", "", AB), "R R");
        f.slots[0].cur.image = xstrdup("docker.io/library/app:latest");
        struct val spec = val_copy(f.arena, f.slots[0].spec);
        val_set(f.arena, &spec, S("image"), val_str(str_of(cases[i].image)));
        f.slots[0].spec = &spec;
        pod_decide(&f.facts, f.arena, &plan);
        plan_write(&out, &f.facts, &plan);
        EXPECT_STR(cases[i].plan, buf_str(&out));
        struct val status = pod_status(&f.facts, f.arena);
        EXPECT_STR(cases[i].ready, condition(&status, "ContainersReady"));
        free(f.slots[0].cur.image);
        done(&f);
    }
}

TEST(pod_decide_waits_for_ground)
{
    struct fixture f;
    struct plan plan;
    auto_buf struct buf out;
    buf_init(&out, 1 << 16);
    make(&f, POD("Always", "", AB), "- -");
    f.facts.has_dirs = false;
    f.facts.sandbox_state = SANDBOX_NONE;
    f.volumes[0].name = xstrdup("v");
    f.facts.volumes_count = 1;
    pod_decide(&f.facts, f.arena, &plan);
    plan_write(&out, &f.facts, &plan);
    EXPECT_STR("PREPARE_DIRS\n", buf_str(&out));
    f.facts.is_port_taken = true;
    buf_clear(&out);
    pod_decide(&f.facts, f.arena, &plan);
    plan_write(&out, &f.facts, &plan);
    EXPECT_STR("FAIL\n", buf_str(&out));
    f.facts.is_port_taken = false;
    f.facts.has_dirs = true;
    buf_clear(&out);
    pod_decide(&f.facts, f.arena, &plan);
    plan_write(&out, &f.facts, &plan);
    EXPECT_STR("NETWORK_UP\nMOUNT_VOLUME v\n", buf_str(&out));
    f.facts.sandbox_state = SANDBOX_READY;
    f.volumes[0].state = VOLUME_FAILED;
    f.volumes[0].retry_at = 60 * USEC_PER_SEC;
    pod_decide(&f.facts, f.arena, &plan);
    EXPECT_INT(0, plan.count);
    EXPECT_INT(60 * USEC_PER_SEC, plan.wake_at);
    f.volumes[0].state = VOLUME_MOUNTED;
    f.facts.name_wait_until = 52 * USEC_PER_SEC;
    pod_decide(&f.facts, f.arena, &plan);
    EXPECT_INT(0, plan.count);
    EXPECT_INT(52 * USEC_PER_SEC, plan.wake_at);
    f.facts.now = 52 * USEC_PER_SEC;
    pod_decide(&f.facts, f.arena, &plan);
    EXPECT_INT(STEP_CREATE, plan.steps[0].type);
    free(f.volumes[0].name);
    done(&f);
}

TEST(pod_decide_keeps_the_active_deadline)
{
    struct fixture f;
    struct plan plan;
    make(&f, POD("Always", "", "\"activeDeadlineSeconds\":5," AB), "R R");
    pod_decide(&f.facts, f.arena, &plan);
    EXPECT_INT(55 * USEC_PER_SEC, plan.wake_at);
    f.facts.now_wall += 5 * USEC_PER_SEC;
    pod_decide(&f.facts, f.arena, &plan);
    EXPECT_INT(1, plan.count);
    EXPECT_INT(STEP_FAIL, plan.steps[0].type);
    done(&f);
}

TEST(pod_status_says_what_is_missing)
{
    struct fixture f;
    make(&f, POD("Always", "", INIT_A), "r -");
    struct val status = pod_status(&f.facts, f.arena);
    EXPECT_STR("PodInitializing", val_text_at(&status, "containerStatuses.0.state.waiting.reason"));
    EXPECT_STR("containers with incomplete status: [i]",
               val_text_at(&status, "conditions.1.message"));
    EXPECT_STR("containers with unready status: [a]", val_text_at(&status, "conditions.2.message"));
    EXPECT_STR("PodReadyToStartContainers", val_text_at(&status, "conditions.0.type"));
    EXPECT_STR("True", val_text_at(&status, "conditions.0.status"));
    done(&f);
}

TEST(pod_status_is_stable)
{
    struct fixture f;
    make(&f, POD("Always", "", AB), "R r");
    struct val first = pod_status(&f.facts, f.arena);
    struct val pod = val_copy(f.arena, f.facts.pod);
    val_set(f.arena, &pod, S("status"), first);
    f.facts.pod = &pod;
    f.facts.now_wall += 3600 * USEC_PER_SEC;
    struct val second = pod_status(&f.facts, f.arena);
    EXPECT(val_eq(&first, &second));
    done(&f);
}

/* A pod that was ready for a moment is told from one that never was, though times have seconds. */
TEST(pod_status_shows_that_a_pod_was_ready)
{
    struct fixture f;
    make(&f, POD("Always", "", AB), "r r");
    struct val never = pod_status(&f.facts, f.arena);
    EXPECT_STR("2023-11-14T22:13:20Z", val_text_at(&never, "conditions.2.lastTransitionTime"));
    set_state(&f.slots[0], "R");
    set_state(&f.slots[1], "R");
    struct val pod = val_copy(f.arena, f.facts.pod);
    val_set(f.arena, &pod, S("status"), pod_status(&f.facts, f.arena));
    f.facts.pod = &pod;
    set_state(&f.slots[0], "r");
    f.facts.now_wall += USEC_PER_SEC / 2;
    struct val lost = pod_status(&f.facts, f.arena);
    EXPECT_STR("Ready", val_text_at(&lost, "conditions.2.type"));
    EXPECT_STR("False", val_text_at(&lost, "conditions.2.status"));
    EXPECT_STR("2023-11-14T22:13:22Z", val_text_at(&lost, "conditions.2.lastTransitionTime"));
    done(&f);
}

/* Found by the simulation: the worker spun from the end of the grace to the container's exit. */
TEST(pod_decide_does_not_wake_for_a_grace_that_is_over)
{
    struct fixture f;
    struct plan plan;
    make(&f, POD("Always", "", AB), "R R");
    f.facts.is_gone = true;
    for (size_t i = 0; i < f.facts.slots_count; i++) {
        f.slots[i].is_stopping = true;
        f.slots[i].stop_at = f.facts.now + USEC_PER_SEC;
    }
    pod_decide(&f.facts, f.arena, &plan);
    EXPECT_INT(0, plan.count);
    EXPECT_INT(f.facts.now + USEC_PER_SEC, plan.wake_at);
    f.facts.now += USEC_PER_SEC;
    pod_decide(&f.facts, f.arena, &plan);
    EXPECT_INT(0, plan.count);
    EXPECT_INT(0, plan.wake_at);
    done(&f);
}
