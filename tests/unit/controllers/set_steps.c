// SPDX-License-Identifier: Apache-2.0
#include "set_steps.h"

#include "controllers/meta.h"
#include "data/json.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static void ready(struct cluster *c, const char *pod)
{
    cluster_set(c, KIND_POD, "default", pod, "status.phase", "\"Running\"");
    cluster_condition(c, KIND_POD, "default", pod, "Ready", "True");
}

void put_set(struct cluster *c, const char *spec)
{
    struct str json = arena_fmt(
        c->arena,
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"generation\":1},\"spec\":"
        "{\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"serviceName\":\"web\",\"template\":"
        "{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
        "\"image\":\"a\"}]}},\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":"
        "{\"partition\":0}},%s}}",
        spec);
    cluster_put(c, KIND_STATEFUL_SET, json.p);
}

static struct str status_text(struct cluster *c)
{
    const struct val *s =
        val_get(cluster_find(c, KIND_STATEFUL_SET, "default", "web"), S("status"));
    return arena_fmt(c->arena, "%d/%d/%d cur %d " STR_FMT " upd %d " STR_FMT,
                     (int)val_number(val_get(s, S("replicas")), -1),
                     (int)val_number(val_get(s, S("readyReplicas")), 0),
                     (int)val_number(val_get(s, S("availableReplicas")), -1),
                     (int)val_number(val_get(s, S("currentReplicas")), 0),
                     STR_ARG(cluster_letter(c, val_text(val_get(s, S("currentRevision"))))),
                     (int)val_number(val_get(s, S("updatedReplicas")), 0),
                     STR_ARG(cluster_letter(c, val_text(val_get(s, S("updateRevision"))))));
}

static struct str revision_of(struct cluster *c, const char *pod)
{
    const struct val *obj = cluster_find(c, KIND_POD, "default", pod);
    return cluster_letter(c, meta_label(obj, S("controller-revision-hash")));
}

static void delete_pod(struct cluster *c, const char *pod)
{
    cluster_set(c, KIND_POD, "default", pod, "metadata.deletionTimestamp",
                "\"2026-01-01T00:00:00Z\"");
}

static struct str condition_text(struct cluster *c, const char *type)
{
    const struct val *condition =
        meta_condition(cluster_find(c, KIND_STATEFUL_SET, "default", "web"), str_of(type));
    return arena_fmt(
        c->arena, STR_FMT " " STR_FMT ": " STR_FMT, STR_ARG(val_text_at(condition, "status")),
        STR_ARG(val_text_at(condition, "reason")), STR_ARG(val_text_at(condition, "message")));
}

static void annotate(struct cluster *c, enum kind_id kind, const char *name, const char *key,
                     const char *value)
{
    const struct val *old =
        val_path(cluster_find(c, kind, "default", name), "metadata.annotations");
    struct val annotations = old == NULL ? val_map() : val_copy(c->arena, old);
    val_set(c->arena, &annotations, str_of(key), val_str(arena_dup(c->arena, str_of(value))));
    auto_buf struct buf json;
    buf_init(&json, 1 << 16);
    EXPECT_INT(0, json_write(&json, &annotations));
    cluster_set(c, kind, "default", name, "metadata.annotations",
                arena_dup(c->arena, buf_str(&json)).p);
}

/* It was ready, and its container keeps ending. */
static void crash(struct cluster *c, const char *pod)
{
    c->now += 60 * USEC_PER_SEC;
    cluster_condition(c, KIND_POD, "default", pod, "Ready", "False");
    cluster_set(c, KIND_POD, "default", pod, "status.containerStatuses",
                "[{\"name\":\"c\",\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}]");
}

struct str run_op(struct cluster *c, const char *op)
{
    char a[128] = "";
    char b[128] = "";
    char verb[32] = "";
    sscanf(op, "%31s %127s %127s", verb, a, b);
    struct str v = str_of(verb);
    const char *set = "web";
    if (str_eq(v, S("status"))) {
        return status_text(c);
    }
    if (str_eq(v, S("revision"))) {
        return revision_of(c, a);
    }
    if (str_eq(v, S("condition"))) {
        return condition_text(c, a);
    }
    if (str_eq(v, S("ready"))) {
        ready(c, a);
    } else if (str_eq(v, S("unready"))) {
        cluster_condition(c, KIND_POD, "default", a, "Ready", "False");
    } else if (str_eq(v, S("phase"))) {
        cluster_set(c, KIND_POD, "default", a, "status.phase", arena_fmt(c->arena, "\"%s\"", b).p);
    } else if (str_eq(v, S("gone"))) {
        cluster_remove(c, KIND_POD, "default", a);
    } else if (str_eq(v, S("gone-claim"))) {
        cluster_remove(c, KIND_PVC, "default", a);
    } else if (str_eq(v, S("annotate"))) {
        annotate(c, KIND_STATEFUL_SET, set, a, b);
    } else if (str_eq(v, S("mark"))) {
        annotate(c, KIND_POD, a, "coracle.io/replace", "true");
    } else if (str_eq(v, S("crash"))) {
        ready(c, a);
        crash(c, a);
    } else if (str_eq(v, S("delete"))) {
        delete_pod(c, a);
    } else if (str_eq(v, S("wait"))) {
        c->now += atol(a) * USEC_PER_SEC;
    } else if (str_eq(v, S("image")) || str_eq(v, S("set"))) {
        bool is_image = str_eq(v, S("image"));
        cluster_set(c, KIND_STATEFUL_SET, "default", set,
                    is_image ? "spec.template.spec.containers" : a,
                    is_image ? arena_fmt(c->arena, "[{\"name\":\"c\",\"image\":\"%s\"}]", a).p : b);
        int64_t generation = val_number_at(cluster_find(c, KIND_STATEFUL_SET, "default", set),
                                           "metadata.generation", 0);
        cluster_set(c, KIND_STATEFUL_SET, "default", set, "metadata.generation",
                    arena_fmt(c->arena, "%d", (int)generation + 1).p);
    }
    return cluster_decide(c, &controller_statefulset, "default", set, /* has_events= */ false);
}

void run_steps(struct cluster *c, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str got = run_op(c, steps[i].op);
        if (!str_eq(got, str_of(steps[i].want))) {
            print_error("step %d, '%s':\n", (int)i, steps[i].op);
        }
        EXPECT_STR(steps[i].want, got);
    }
}

void settle(struct cluster *c, int n)
{
    for (int round = 0; round < 100; round++) {
        bool is_moving = cluster_decide(c, &controller_statefulset, "default", "web", true).n > 0;
        for (int i = 0; i < n; i++) {
            char pod[32];
            snprintf(pod, sizeof pod, "web-%d", i);
            const struct val *obj = cluster_find(c, KIND_POD, "default", pod);
            if (obj != NULL && !pod_is_ready(obj)) {
                ready(c, pod);
                is_moving = true;
            }
        }
        if (!is_moving) {
            return;
        }
    }
    fail_msg("the set does not come to rest");
}
