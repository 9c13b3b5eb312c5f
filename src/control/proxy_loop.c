// SPDX-License-Identifier: Apache-2.0
#include "control/proxy_loop.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/internal.h"

#include <stdlib.h>

#define LOG_ROOM "proxy"

#define RETRY_DELAY (1 * USEC_PER_SEC)

struct proxy_loop {
    struct loop *loop;
    struct client *client;
    struct rule_loader *loader;
    struct proxy_config config;
    bool is_dirty;
    struct timer retry;
};

static void rebuild(void *ctx);

static void apply(struct proxy_loop *proxy)
{
    auto_arena struct arena *arena = arena_new(DECIDE_ARENA_MAX);
    struct ruleset set;
    struct err err = {0};
    struct object_list services = objects_of(proxy->client, KIND_SERVICE, arena);
    struct object_list slices = objects_of(proxy->client, KIND_ENDPOINT_SLICE, arena);
    proxy_build(arena, services.list, services.count, slices.list, slices.count, &proxy->config,
                &set);
    if (rule_loader_apply(proxy->loader, &set, &err) < 0) {
        log_warn("load service rules: %s, retrying in 1 s", err.msg);
        timer_start(proxy->loop, &proxy->retry, RETRY_DELAY, rebuild, proxy);
    }
}

static void rebuild(void *ctx)
{
    struct proxy_loop *proxy = ctx;
    proxy->is_dirty = false;
    apply(proxy);
}

static void on_event(void *ctx, const struct kind *kind, struct object *object,
                     struct object *before, bool is_delete)
{
    struct proxy_loop *proxy = ctx;
    (void)kind;
    (void)object;
    (void)before;
    (void)is_delete;
    if (!proxy->is_dirty) {
        proxy->is_dirty = true;
        loop_defer(proxy->loop, rebuild, proxy);
    }
}

struct proxy_loop *proxy_loop_new(struct loop *loop, struct client *client,
                                  struct rule_loader *loader, const struct proxy_config *config)
{
    struct proxy_loop *proxy = xcalloc(1, sizeof *proxy);
    *proxy =
        (struct proxy_loop){.loop = loop, .client = client, .loader = loader, .config = *config};
    client->ops->watch(client, KIND_SERVICE, on_event, proxy);
    client->ops->watch(client, KIND_ENDPOINT_SLICE, on_event, proxy);
    return proxy;
}

void proxy_loop_free(struct proxy_loop *proxy)
{
    if (proxy != NULL) {
        timer_stop(&proxy->retry);
        free(proxy);
    }
}
