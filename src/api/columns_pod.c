// SPDX-License-Identifier: Apache-2.0
//
// The columns of pods: what kubectl shows as READY, STATUS and RESTARTS is worked out here from the
// container statuses (spec/api.md 8.3, spec/node.md 1.12).
#include "api/cells.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <inttypes.h>

struct pod_look {
    struct arena *arena;
    const struct val *spec;
    const struct val *status;
    struct str reason; /* the STATUS cell */
    int64_t ready;
    int64_t total;
    int64_t restarts;
    usec restarted_wall; /* latest end of a container that was restarted, 0 = none */
    int64_t sidecar_restarts;
    usec sidecar_restarted_wall;
    bool is_initializing;
};

static const struct val *condition_of(const struct val *status, struct str type)
{
    const struct val *conditions = val_get(status, S("conditions"));
    for (size_t i = 0; i < val_count(conditions); i++) {
        const struct val *c = val_at(conditions, i);
        if (str_eq(val_text(val_get(c, S("type"))), type)) {
            return c;
        }
    }
    return NULL;
}

static bool condition_is_true(const struct val *status, struct str type)
{
    return str_eq(val_text(val_get(condition_of(status, type), S("status"))), S("True"));
}

static const struct val *by_name(const struct val *list, struct str name)
{
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_get(val_at(list, i), S("name"))), name)) {
            return val_at(list, i);
        }
    }
    return NULL;
}

static bool is_sidecar(const struct val *container)
{
    return str_eq(val_text(val_get(container, S("restartPolicy"))), S("Always"));
}

static void count_restarts(const struct val *status, int64_t *restarts, usec *latest)
{
    *restarts += val_number(val_get(status, S("restartCount")), 0);
    usec wall;
    if (time_parse(val_text_at(status, "lastState.terminated.finishedAt"), &wall) == 0 &&
        wall > *latest) {
        *latest = wall;
    }
}

/* "Error", or "Signal:9" / "ExitCode:1" when the runtime gave no reason. */
static struct str terminated_text(struct arena *arena, const struct val *terminated)
{
    struct str reason = val_text(val_get(terminated, S("reason")));
    if (reason.n != 0) {
        return reason;
    }
    int64_t signal = val_number(val_get(terminated, S("signal")), 0);
    return signal != 0 ? arena_fmt(arena, "Signal:%" PRId64, signal)
                       : arena_fmt(arena, "ExitCode:%" PRId64,
                                   val_number(val_get(terminated, S("exitCode")), 0));
}

/* One init container; true = it is done (or a started sidecar), look at the next. */
static bool look_at_init(struct pod_look *p, const struct val *status, size_t index)
{
    const struct val *inits = val_get(p->spec, S("initContainers"));
    const struct val *container = by_name(inits, val_text(val_get(status, S("name"))));
    const struct val *terminated = val_path(status, "state.terminated");
    const struct val *waiting = val_path(status, "state.waiting");
    struct str why = val_text(val_get(waiting, S("reason")));
    count_restarts(status, &p->restarts, &p->restarted_wall);
    if (is_sidecar(container)) {
        count_restarts(status, &p->sidecar_restarts, &p->sidecar_restarted_wall);
    }
    if (terminated != NULL && val_number(val_get(terminated, S("exitCode")), 0) == 0) {
        return true;
    }
    if (is_sidecar(container) && val_is_true(val_get(status, S("started")))) {
        p->ready += val_is_true(val_get(status, S("ready")));
        return true;
    }
    if (terminated != NULL) {
        p->reason =
            arena_fmt(p->arena, "Init:" STR_FMT, STR_ARG(terminated_text(p->arena, terminated)));
    } else if (why.n != 0 && !str_eq(why, S("PodInitializing"))) {
        p->reason = arena_fmt(p->arena, "Init:" STR_FMT, STR_ARG(why));
    } else {
        p->reason = arena_fmt(p->arena, "Init:%zu/%zu", index, val_count(inits));
    }
    p->is_initializing = true;
    return false;
}

/* App containers from last to first, so that the first one's word stands. */
static void look_at_containers(struct pod_look *p)
{
    const struct val *list = val_get(p->status, S("containerStatuses"));
    bool has_running = false;
    p->restarts = p->sidecar_restarts;
    p->restarted_wall = p->sidecar_restarted_wall;
    for (size_t i = val_count(list); i-- > 0;) {
        const struct val *status = val_at(list, i);
        const struct val *terminated = val_path(status, "state.terminated");
        struct str why = val_text_at(status, "state.waiting.reason");
        count_restarts(status, &p->restarts, &p->restarted_wall);
        if (why.n != 0) {
            p->reason = why;
        } else if (terminated != NULL) {
            p->reason = terminated_text(p->arena, terminated);
        } else if (val_is_true(val_get(status, S("ready"))) &&
                   val_path(status, "state.running") != NULL) {
            has_running = true;
            p->ready++;
        }
    }
    if (str_eq(p->reason, S("Completed")) && has_running) {
        p->reason = condition_is_true(p->status, S("Ready")) ? S("Running") : S("NotReady");
    }
}

static struct pod_look look_at(const struct cell_in *in)
{
    struct pod_look p = {
        .arena = in->arena,
        .spec = val_get(in->obj, S("spec")),
        .status = val_get(in->obj, S("status")),
    };
    struct str phase = val_text(val_get(p.status, S("phase")));
    struct str reason = val_text(val_get(p.status, S("reason")));
    const struct val *inits = val_get(p.spec, S("initContainers"));
    const struct val *init_statuses = val_get(p.status, S("initContainerStatuses"));
    p.reason = reason.n != 0 ? reason : phase;
    p.total = (int64_t)val_count(val_get(p.spec, S("containers")));
    for (size_t i = 0; i < val_count(inits); i++) {
        p.total += is_sidecar(val_at(inits, i));
    }
    const struct val *scheduled = condition_of(p.status, S("PodScheduled"));
    if (str_eq(val_text(val_get(scheduled, S("reason"))), S("SchedulingGated"))) {
        p.reason = S("SchedulingGated");
    }
    for (size_t i = 0; i < val_count(init_statuses); i++) {
        if (!look_at_init(&p, val_at(init_statuses, i), i)) {
            break;
        }
    }
    if (!p.is_initializing || condition_is_true(p.status, S("Initialized"))) {
        look_at_containers(&p);
    }
    if (val_text_at(in->obj, "metadata.deletionTimestamp").n != 0) {
        bool is_over = str_eq(phase, S("Succeeded")) || str_eq(phase, S("Failed"));
        if (str_eq(reason, S("NodeLost"))) {
            p.reason = S("Unknown");
        } else if (!is_over) {
            p.reason = S("Terminating");
        }
    }
    return p;
}

static struct val pod_ready(const struct cell_in *in)
{
    struct pod_look p = look_at(in);
    return val_str(arena_fmt(in->arena, "%" PRId64 "/%" PRId64, p.ready, p.total));
}

static struct val pod_status(const struct cell_in *in)
{
    return val_str(look_at(in).reason);
}

static struct val pod_restarts(const struct cell_in *in)
{
    struct pod_look p = look_at(in);
    if (p.restarts == 0 || p.restarted_wall == 0) {
        return val_str(arena_fmt(in->arena, "%" PRId64, p.restarts));
    }
    char ago[TIME_TEXT_MAX];
    span_format_human(in->now - p.restarted_wall, ago);
    return val_str(arena_fmt(in->arena, "%" PRId64 " (%s ago)", p.restarts, ago));
}

static struct val pod_ip(const struct cell_in *in)
{
    return text_or_none(val_text_at(in->obj, "status.podIPs.0.ip"));
}

static struct val pod_node(const struct cell_in *in)
{
    return text_or_none(val_text_at(in->obj, "spec.nodeName"));
}

static struct val pod_nominated(const struct cell_in *in)
{
    return text_or_none(val_text_at(in->obj, "status.nominatedNodeName"));
}

static struct val pod_gates(const struct cell_in *in)
{
    const struct val *gates = val_path(in->obj, "spec.readinessGates");
    size_t open = 0;
    for (size_t i = 0; i < val_count(gates); i++) {
        struct str type = val_text(val_get(val_at(gates, i), S("conditionType")));
        open += condition_is_true(val_get(in->obj, S("status")), type);
    }
    if (val_count(gates) == 0) {
        return val_str(S("<none>"));
    }
    return val_str(arena_fmt(in->arena, "%zu/%zu", open, val_count(gates)));
}

/* "Completed" with upstream's words, for pods that have run to their end. */
static struct val pod_conditions(const struct cell_in *in)
{
    struct str phase = val_text_at(in->obj, "status.phase");
    bool is_good = str_eq(phase, S("Succeeded"));
    if (!is_good && !str_eq(phase, S("Failed"))) {
        return val_null();
    }
    struct val condition = val_map();
    struct val list = val_list();
    (void)val_set(in->arena, &condition, S("type"), val_str(S("Completed")));
    (void)val_set(in->arena, &condition, S("status"), val_str(S("True")));
    (void)val_set(in->arena, &condition, S("reason"), val_str(phase));
    (void)val_set(
        in->arena, &condition, S("message"),
        val_str(is_good ? S("The pod has completed successfully.") : S("The pod failed.")));
    (void)val_push(in->arena, &list, condition);
    return list;
}

static const struct column pod_list[] = {
    COLUMN_NAME,
    COLUMN("Ready", "string", 0, pod_ready),
    COLUMN("Status", "string", 0, pod_status),
    COLUMN("Restarts", "string", 0, pod_restarts),
    COLUMN_AGE,
    COLUMN("IP", "string", 1, pod_ip),
    COLUMN("Node", "string", 1, pod_node),
    COLUMN("Nominated Node", "string", 1, pod_nominated),
    COLUMN("Readiness Gates", "string", 1, pod_gates),
};
const struct table_columns columns_pod = {pod_list, ARRAY_LEN(pod_list), pod_conditions};
