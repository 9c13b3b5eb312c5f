// SPDX-License-Identifier: Apache-2.0
#include "control/policy_loop.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/internal.h"
#include "proxy/policy.h"

#include <stdlib.h>

#define LOG_ROOM "policy"

#define RETRY_DELAY (1 * USEC_PER_SEC)

struct policy_loop {
    struct loop *loop;
    struct client *client;
    struct policy_loader *loader;
    bool is_dirty;
    struct timer retry;
};

static struct policy_objects all_of(const struct policy_loop *policies, enum kind_id kind,
                                    struct arena *arena)
{
    struct object_list objects = objects_of(policies->client, kind, arena);
    return (struct policy_objects){objects.list, objects.count};
}

static void rebuild(void *ctx)
{
    struct policy_loop *policies = ctx;
    auto_arena struct arena *arena = arena_new(DECIDE_ARENA_MAX);
    struct policy_set set = {0};
    struct err err = {0};
    policies->is_dirty = false;
    struct policy_objects found = all_of(policies, KIND_NETWORK_POLICY, arena);
    if (found.count > 0) {
        policy_build(arena, found, all_of(policies, KIND_POD, arena),
                     all_of(policies, KIND_NAMESPACE, arena), &set);
    }
    if (policy_loader_apply(policies->loader, &set, &err) < 0) {
        log_warn("load network policies: %s, retrying in 1 s", err.msg);
        timer_start(policies->loop, &policies->retry, RETRY_DELAY, rebuild, policies);
    }
}

static void on_event(void *ctx, const struct kind *kind, struct object *object,
                     struct object *before, bool is_delete)
{
    struct policy_loop *policies = ctx;
    bool minds = is_delete || before == NULL || kind != kind_of(KIND_POD) ||
                 policy_minds(object_val(object), object_val(before));
    if (minds && !policies->is_dirty) {
        policies->is_dirty = true;
        loop_defer(policies->loop, rebuild, policies);
    }
}

struct policy_loop *policy_loop_new(struct loop *loop, struct client *client,
                                    struct policy_loader *loader)
{
    static const enum kind_id kinds[] = {KIND_NETWORK_POLICY, KIND_POD, KIND_NAMESPACE};
    struct policy_loop *policies = xcalloc(1, sizeof *policies);
    *policies = (struct policy_loop){.loop = loop, .client = client, .loader = loader};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        client->ops->watch(client, kinds[i], on_event, policies);
    }
    return policies;
}

void policy_loop_free(struct policy_loop *policies)
{
    if (policies != NULL) {
        timer_stop(&policies->retry);
        free(policies);
    }
}
