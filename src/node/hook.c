// SPDX-License-Identifier: Apache-2.0
//
// postStart and preStop handlers: exec, httpGet, sleep (spec/node.md 1.8). No retries; a limit cuts
// them off (0 = none).
#include "base/mem.h"
#include "node/pod.h"
#include "node/probe_http.h"

#include <stdlib.h>

enum { HOOK_HTTP_TIMEOUT_SECONDS = 30 };

struct hook {
    struct pod *pod;
    hook_done_fn *done;
    void *ctx;
    struct timer timer;
    struct err err;
};

static void finish(struct hook *hook)
{
    hook->done(hook->ctx, hook->err.code < 0 ? &hook->err : NULL);
    pod_unref(hook->pod);
    free(hook);
}

static void timed_out(void *ctx)
{
    finish(ctx);
}

/* done never comes from inside hook_run. */
static void finish_after(struct hook *hook, usec delay)
{
    timer_start(hook->pod->node->config.loop, &hook->timer, delay, timed_out, hook);
}

static void exec_done(void *ctx, int exit_code, struct str output, const struct err *err)
{
    struct hook *hook = ctx;
    if (err) {
        hook->err = *err;
    } else if (exit_code != 0) {
        (void)err_set(&hook->err, ERR_IO, "command exited with %d: " STR_FMT, exit_code,
                      STR_ARG(str_trim(output)));
    }
    finish(hook);
}

static void http_done(void *ctx, int code, struct str location, struct str body,
                      const struct err *err)
{
    struct hook *hook = ctx;
    (void)location;
    (void)body;
    if (err) {
        hook->err = *err;
    } else if (code < 200 || code >= 400) {
        (void)err_set(&hook->err, ERR_IO, "HTTP hook failed with statuscode: %d", code);
    }
    finish(hook);
}

static void run_http(struct hook *hook, size_t index, const struct val *get, usec limit)
{
    struct pod *pod = hook->pod;
    struct str host = val_text(val_get(get, S("host")));
    struct str path = val_text(val_get(get, S("path")));
    uint16_t port;
    bool is_host = pod_is_host_network(pod->facts.pod);
    if (probe_port_find(pod->facts.slots[index].spec, val_get(get, S("port")), &port, &hook->err) <
        0) {
        finish_after(hook, 0);
        return;
    }
    struct http_header headers[] = {
        {S("User-Agent"), S("kube-lifecycle/1.35")},
        {S("Accept"),     S("*/*")                }
    };
    struct http_call_config config = {
        .host = host.n ? host : str_of(is_host ? pod->node->host_ip : pod->facts.ip),
        .port = port,
        .is_tls = str_eq(val_text(val_get(get, S("scheme"))), S("HTTPS")),
        .method = S("GET"),
        .target = path.n ? path : S("/"),
        .headers = headers,
        .headers_count = ARRAY_LEN(headers),
        .timeout = limit > 0 ? limit : HOOK_HTTP_TIMEOUT_SECONDS * USEC_PER_SEC,
        .body_bytes_max = 10 << 10,
    };
    (void)http_call(pod->node->config.loop, &config, http_done, hook);
}

void hook_run(struct pod *pod, size_t index, const struct val *handler, usec limit,
              hook_done_fn *done, void *ctx)
{
    struct slot *slot = &pod->facts.slots[index];
    struct hook *hook = xcalloc(1, sizeof *hook);
    hook->pod = pod_ref(pod);
    hook->done = done;
    hook->ctx = ctx;
    const struct val *command = val_path(handler, "exec.command");
    const struct val *sleep_for = val_path(handler, "sleep.seconds");
    if (command) {
        struct runtime *runtime = pod->node->config.runtime;
        struct arena *arena = arena_new(1 << 16);
        usec timeout = limit > 0 ? limit : USEC_PER_DAY;
        runtime->ops->exec(runtime, run_id(pod, slot, slot->cur.attempt, arena), command, timeout,
                           exec_done, hook);
        arena_free(arena);
    } else if (sleep_for) {
        usec span = val_number(sleep_for, 0) * USEC_PER_SEC;
        finish_after(hook, limit > 0 && span > limit ? limit : span);
    } else if (val_get(handler, S("httpGet"))) {
        run_http(hook, index, val_get(handler, S("httpGet")), limit);
    } else {
        (void)err_set(&hook->err, ERR_UNSUPPORTED, "this kind of hook is not supported");
        finish_after(hook, 0);
    }
}
