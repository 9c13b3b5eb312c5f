// SPDX-License-Identifier: Apache-2.0
//
// Running probes: a timer each, one attempt at a time, thresholds before a verdict counts.
#define LOG_ROOM "node"
#include "node/probe.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "node/pod_env.h"
#include "node/probe_grpc.h"
#include "node/probe_http.h"

#include <stdlib.h>

enum { OUTPUT_BYTES_MAX = 10 << 10 };

/* Pauses between attempts on a container that has just started: doubling. */
#define SOON_FIRST (20 * USEC_PER_MS)
#define SOON_MAX   (1 * USEC_PER_SEC)

struct probe {
    struct pod *pod; /* held */
    size_t index;
    enum probe_type type;
    int attempt; /* of the container it was made for */
    struct timer timer;
    struct http_call *call;
    struct grpc_call *grpc;
    struct arena *arena; /* of this attempt */
    struct probe_url url;
    int redirects;
    usec deadline;
    bool is_exec_running;
    bool is_stopped; /* waits for its exec to come back */
    enum probe_verdict last;
    int count; /* same results in a row */
    usec soon; /* pause before the next early attempt */
};

static const char *const keys[PROBE_TYPE_COUNT] = {"startupProbe", "livenessProbe",
                                                   "readinessProbe"};
static const char *const names[PROBE_TYPE_COUNT] = {"Startup", "Liveness", "Readiness"};

static const struct val *probe_spec(const struct probe *probe)
{
    return val_get(probe->pod->facts.slots[probe->index].spec, str_of(keys[probe->type]));
}

static usec seconds_of(const struct probe *probe, const char *field, int64_t otherwise)
{
    int64_t n = val_number(val_get(probe_spec(probe), str_of(field)), otherwise);
    return (n < 1 && otherwise > 0 ? otherwise : n) * USEC_PER_SEC;
}

static int threshold_of(const struct probe *probe, const char *field, int64_t otherwise)
{
    int64_t n = val_number(val_get(probe_spec(probe), str_of(field)), otherwise);
    return n < 1 ? (int)otherwise : (int)n;
}

void probes_reset(struct slot *slot)
{
    slot->verdicts[PROBE_STARTUP] = VERDICT_UNKNOWN;
    slot->verdicts[PROBE_LIVENESS] = VERDICT_SUCCESS;
    slot->verdicts[PROBE_READINESS] = VERDICT_FAILURE;
}

/* --- results --- */

static void tick(void *ctx);

static void condemn(struct probe *probe)
{
    struct slot *slot = &probe->pod->facts.slots[probe->index];
    bool is_startup = probe->type == PROBE_STARTUP;
    bool is_main = slot->class == SLOT_MAIN;
    bool is_told = is_main && slot_wants_restart(&probe->pod->facts, slot, 137);
    auto_free char *text =
        xasprintf("%s %s failed %s probe%s", is_main ? "Container" : "Init container", slot->name,
                  is_startup ? "startup" : "liveness", is_told ? ", will be restarted" : "");
    const struct val *grace = val_get(probe_spec(probe), S("terminationGracePeriodSeconds"));
    slot->must_restart = true;
    slot->stop_grace = grace ? val_number(grace, 30) * USEC_PER_SEC : -1;
    text_set(&slot->stop_message, text);
}

static void settle(struct probe *probe, enum probe_verdict verdict)
{
    struct slot *slot = &probe->pod->facts.slots[probe->index];
    probe->count = verdict == probe->last ? probe->count + 1 : 1;
    probe->last = verdict;
    int needed = verdict == VERDICT_SUCCESS ? threshold_of(probe, "successThreshold", 1)
                                            : threshold_of(probe, "failureThreshold", 3);
    if (probe->count < needed || slot->verdicts[probe->type] == verdict) {
        return;
    }
    slot->verdicts[probe->type] = verdict;
    if (verdict == VERDICT_FAILURE && probe->type != PROBE_READINESS &&
        !pod_is_deleting(&probe->pod->facts)) {
        condemn(probe);
    }
    pod_wake(probe->pod);
}

static void free_probe(struct probe *probe)
{
    pod_unref(probe->pod);
    arena_free(probe->arena);
    free(probe);
}

static usec container_age(const struct probe *probe)
{
    usec age = loop_wall(probe->pod->node->config.loop) -
               probe->pod->facts.slots[probe->index].cur.started_wall;
    return age > 0 ? age : 0;
}

/* A container is probed some milliseconds after its start here, before most programs listen. During
 * its first period a readiness or startup failure is therefore no verdict: the probe comes again
 * soon, and a pod is Ready when its program is, not a period later. */
static bool comes_again_soon(struct probe *probe)
{
    usec early =
        seconds_of(probe, "initialDelaySeconds", 0) + seconds_of(probe, "periodSeconds", 10);
    if (probe->type == PROBE_LIVENESS || probe->last == VERDICT_SUCCESS ||
        container_age(probe) + probe->soon >= early) {
        return false;
    }
    timer_start(probe->pod->node->config.loop, &probe->timer, probe->soon, tick, probe);
    probe->soon = probe->soon * 2 > SOON_MAX ? SOON_MAX : probe->soon * 2;
    return true;
}

static void ended(struct probe *probe, enum probe_verdict verdict, struct str output)
{
    struct pod *pod = probe->pod;
    if (probe->is_stopped) {
        free_probe(probe);
        return;
    }
    if (verdict == VERDICT_FAILURE && comes_again_soon(probe)) {
        return;
    }
    if (verdict == VERDICT_FAILURE) {
        struct arena *arena = arena_new(1 << 16);
        slot_event(pod, probe->index, "Warning", "Unhealthy",
                   arena_fmt(arena, "%s probe failed: " STR_FMT, names[probe->type],
                             STR_ARG(str_sub(output, 0, OUTPUT_BYTES_MAX))));
        arena_free(arena);
    }
    if (verdict != VERDICT_UNKNOWN) {
        settle(probe, verdict);
    }
    timer_start(pod->node->config.loop, &probe->timer, seconds_of(probe, "periodSeconds", 10), tick,
                probe);
}

/* Could not be tried at all: no change of state. */
static void errored(struct probe *probe, const char *message)
{
    auto_free char *text = xasprintf("%s probe errored and resulted in unknown state: %s",
                                     names[probe->type], message);
    slot_event(probe->pod, probe->index, "Warning", "Unhealthy", str_of(text));
    ended(probe, VERDICT_UNKNOWN, S(""));
}

/* --- HTTP --- */

static struct str probe_host(const struct probe *probe, const struct val *action)
{
    struct str host = val_text(val_get(action, S("host")));
    if (host.n) {
        return host;
    }
    bool is_host = pod_is_host_network(probe->pod->facts.pod);
    return str_of(is_host ? probe->pod->node->host_ip : probe->pod->facts.ip);
}

static void ask(struct probe *probe);

/* The result of a probe with the URL it was asked at. */
static void http_failed(struct probe *probe, struct str url, const char *why)
{
    auto_free char *text = xasprintf("Get \"" STR_FMT "\": %s", STR_ARG(url), why);
    ended(probe, VERDICT_FAILURE, str_of(text));
}

/* A redirect that is not followed: fine, but told. */
static void http_left(struct probe *probe, struct str body)
{
    auto_free char *text =
        xasprintf("%s probe warning: Probe terminated redirects, Response body: " STR_FMT,
                  names[probe->type], STR_ARG(body));
    slot_event(probe->pod, probe->index, "Warning", "ProbeWarning", str_of(text));
    ended(probe, VERDICT_SUCCESS, S(""));
}

static void http_ended(void *ctx, int code, struct str location, struct str body,
                       const struct err *err)
{
    struct probe *probe = ctx;
    struct arena *arena = probe->arena;
    struct probe_url next;
    probe->call = NULL;
    if (err) {
        http_failed(probe, probe_url_text(&probe->url, arena), err->msg);
        return;
    }
    switch (probe_redirect(&probe->url, code, location, arena, &next)) {
    case REDIRECT_FOLLOW:
        if (++probe->redirects >= PROBE_REDIRECTS_MAX) {
            http_failed(probe, location, "stopped after 10 redirects");
            return;
        }
        probe->url = next;
        ask(probe);
        return;
    case REDIRECT_BAD: {
        auto_free char *why =
            xasprintf("failed to parse Location header \"" STR_FMT "\"", STR_ARG(location));
        http_failed(probe, probe_url_text(&probe->url, arena), why);
        return;
    }
    case REDIRECT_NONE:
        break;
    }
    if (code >= 300 && code < 400) {
        http_left(probe, body);
    } else if (code >= 200 && code < 300) {
        ended(probe, VERDICT_SUCCESS, S(""));
    } else {
        ended(probe, VERDICT_FAILURE,
              arena_fmt(arena, "HTTP probe failed with statuscode: %d", code));
    }
}

/* One request of the probe's chain, in what is left of its time. */
static void ask(struct probe *probe)
{
    struct loop *loop = probe->pod->node->config.loop;
    struct http_header headers[PROBE_HEADERS_MAX];
    usec left = probe->deadline - loop_now(loop);
    struct http_call_config config = {
        .host = probe->url.host,
        .port = probe->url.port,
        .is_tls = probe->url.is_tls,
        .method = S("GET"),
        .target = probe->url.target,
        .headers = headers,
        .headers_count = probe_headers(val_get(probe_spec(probe), S("httpGet")), headers),
        .timeout = left > 0 ? left : 0,
        .body_bytes_max = OUTPUT_BYTES_MAX,
    };
    probe->call = http_call(loop, &config, http_ended, probe);
}

/* The action's port; false: told. */
static bool find_port(struct probe *probe, const struct val *action, uint16_t *ret)
{
    const struct slot *slot = &probe->pod->facts.slots[probe->index];
    struct err err = {0};
    if (probe_port_find(slot->spec, val_get(action, S("port")), ret, &err) < 0) {
        errored(probe, err.msg);
        return false;
    }
    return true;
}

static void run_http(struct probe *probe, const struct val *get)
{
    uint16_t port;
    if (find_port(probe, get, &port)) {
        struct str host = arena_dup(probe->arena, probe_host(probe, get));
        probe->url = probe_url_of(get, host, port, probe->arena);
        ask(probe);
    }
}

/* --- gRPC --- */

static void grpc_ended(void *ctx, const struct grpc_answer *answer, const struct err *err)
{
    struct probe *probe = ctx;
    struct str output = S("");
    char span[TIME_TEXT_MAX];
    probe->grpc = NULL;
    span_format_go(seconds_of(probe, "timeoutSeconds", 1), span);
    uint16_t port = 0;
    struct err unused;
    (void)!probe_port_find(NULL, val_path(probe_spec(probe), "grpc.port"), &port, &unused);
    struct str address =
        arena_fmt(probe->arena, STR_FMT ":%d", STR_ARG(probe_host(probe, NULL)), port);
    bool is_good = grpc_health_words(answer, err, address, span, probe->arena, &output);
    ended(probe, is_good ? VERDICT_SUCCESS : VERDICT_FAILURE, output);
}

static void run_grpc(struct probe *probe, const struct val *grpc)
{
    struct arena *arena = probe->arena;
    uint16_t port;
    if (!find_port(probe, grpc, &port)) {
        return;
    }
    struct grpc_call_config config = {
        .host = probe_host(probe, NULL),
        .port = port,
        .path = S("/grpc.health.v1.Health/Check"),
        .message = grpc_health_request(val_text(val_get(grpc, S("service"))), arena),
        .user_agent = S("kube-probe/1.35"),
        .timeout = seconds_of(probe, "timeoutSeconds", 1)};
    probe->grpc = grpc_call(probe->pod->node->config.loop, &config, grpc_ended, probe);
}

/* --- TCP and exec --- */

static void tcp_ended(void *ctx, int code, struct str location, struct str body,
                      const struct err *err)
{
    struct probe *probe = ctx;
    (void)code;
    (void)location;
    (void)body;
    probe->call = NULL;
    ended(probe, err ? VERDICT_FAILURE : VERDICT_SUCCESS, err ? str_of(err->msg) : S(""));
}

static void exec_ended(void *ctx, int exit_code, struct str output, const struct err *err)
{
    struct probe *probe = ctx;
    probe->is_exec_running = false;
    if (probe->is_stopped) {
        free_probe(probe);
    } else if (err && err->code == ERR_TIMEOUT) {
        ended(probe, VERDICT_FAILURE, str_of(err->msg));
    } else if (err) {
        errored(probe, err->msg);
    } else {
        ended(probe, exit_code == 0 ? VERDICT_SUCCESS : VERDICT_FAILURE, output);
    }
}

static void run_exec(struct probe *probe, const struct val *command)
{
    const struct slot *slot = &probe->pod->facts.slots[probe->index];
    struct runtime *runtime = probe->pod->node->config.runtime;
    struct arena *arena = arena_new(1 << 20);
    struct env_list env = {.arena = arena};
    struct val argv = val_list();
    env_static(slot->spec, &env);
    for (size_t i = 0; i < val_count(command); i++) {
        val_push(arena, &argv, val_str(env_expand(&env, val_text(val_at(command, i)), arena)));
    }
    probe->is_exec_running = true;
    runtime->ops->exec(runtime, run_id(probe->pod, slot, probe->attempt, arena), &argv,
                       seconds_of(probe, "timeoutSeconds", 1), exec_ended, probe);
    arena_free(arena);
}

/* --- turns --- */

/* Liveness and readiness wait for the startup probe; the startup probe ends with its success. */
static bool is_its_turn(const struct probe *probe)
{
    const struct slot *slot = &probe->pod->facts.slots[probe->index];
    bool is_started = slot_is_started(slot);
    return probe->type == PROBE_STARTUP ? !is_started : is_started;
}

static void tick(void *ctx)
{
    struct probe *probe = ctx;
    const struct val *spec = probe_spec(probe);
    if (!is_its_turn(probe)) {
        return; /* probes_update starts the timer again when it is */
    }
    arena_free(probe->arena);
    probe->arena = arena_new(1 << 20);
    probe->redirects = 0;
    probe->deadline =
        loop_now(probe->pod->node->config.loop) + seconds_of(probe, "timeoutSeconds", 1);
    if (val_get(spec, S("httpGet"))) {
        run_http(probe, val_get(spec, S("httpGet")));
    } else if (val_get(spec, S("tcpSocket"))) {
        const struct val *tcp = val_get(spec, S("tcpSocket"));
        uint16_t port;
        if (!find_port(probe, tcp, &port)) {
            return;
        }
        probe->call = tcp_call(probe->pod->node->config.loop, probe_host(probe, tcp), port,
                               seconds_of(probe, "timeoutSeconds", 1), tcp_ended, probe);
    } else if (val_path(spec, "exec.command")) {
        run_exec(probe, val_path(spec, "exec.command"));
    } else if (val_get(spec, S("grpc"))) {
        run_grpc(probe, val_get(spec, S("grpc")));
    } else {
        errored(probe, "missing probe handler");
    }
}

static void start_probe(struct pod *pod, size_t index, enum probe_type type)
{
    struct slot *slot = &pod->facts.slots[index];
    struct probe *probe = xcalloc(1, sizeof *probe);
    probe->pod = pod_ref(pod);
    probe->index = index;
    probe->type = type;
    probe->attempt = slot->cur.attempt;
    pod->work[index]->probes[type] = probe;
    probe->soon = SOON_FIRST;
    usec first = seconds_of(probe, "initialDelaySeconds", 0);
    if (type == PROBE_LIVENESS && first == 0) {
        /* As upstream, whose first tick passes before the container runs: else failureThreshold 1
         * would condemn every program that needs a moment to start. */
        first = seconds_of(probe, "periodSeconds", 10);
    }
    usec age = container_age(probe);
    timer_start(pod->node->config.loop, &probe->timer, first > age ? first - age : 0, tick, probe);
}

static void stop_probe(struct pod *pod, size_t index, enum probe_type type)
{
    struct probe *probe = pod->work[index]->probes[type];
    if (!probe) {
        return;
    }
    pod->work[index]->probes[type] = NULL;
    timer_stop(&probe->timer);
    if (probe->call) {
        http_call_cancel(probe->call);
    }
    grpc_call_cancel(probe->grpc);
    if (probe->is_exec_running) {
        probe->is_stopped = true;
        return;
    }
    free_probe(probe);
}

void probes_stop(struct pod *pod, size_t index)
{
    for (int t = 0; t < PROBE_TYPE_COUNT; t++) {
        stop_probe(pod, index, (enum probe_type)t);
    }
}

void probes_update(struct pod *pod)
{
    bool is_deleting = pod_is_deleting(&pod->facts);
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        struct slot *slot = &pod->facts.slots[i];
        for (int t = 0; t < PROBE_TYPE_COUNT; t++) {
            enum probe_type type = (enum probe_type)t;
            struct probe *probe = pod->work[i]->probes[t];
            bool is_wanted = slot->has_probe[t] && slot->cur.state == RUN_RUNNING &&
                             !slot->must_restart && !(is_deleting && type != PROBE_READINESS);
            bool is_over = probe && !is_its_turn(probe) && !probe->call && !probe->grpc &&
                           !probe->is_exec_running;
            if (!is_wanted || is_over) {
                stop_probe(pod, i, type);
            } else if (!probe && (type == PROBE_STARTUP) != slot_is_started(slot)) {
                start_probe(pod, i, type);
            }
        }
    }
}
