// SPDX-License-Identifier: Apache-2.0
//
// How sessions (exec, attach, logs, port-forward) find a pod's containers: node/pod_lookup.h.
#include "base/mem.h"
#include "node/pod.h"

static struct pod *find_pod(struct node *node, struct str ns, struct str name)
{
    struct pod *found = NULL;
    for (size_t i = 0; i < node->pods.count; i++) {
        struct pod *pod = node->pods.entries[i].value;
        if (str_eq(str_of(pod->ns), ns) && str_eq(str_of(pod->name), name) &&
            (!found || !pod->facts.is_gone)) {
            found = pod;
        }
    }
    return found;
}

static int no_container(const struct pod *pod, struct err *err)
{
    auto_buf struct buf names;
    buf_init(&names, 1 << 16);
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        buf_addf(&names, "%s%s", i ? " " : "", pod->facts.slots[i].name);
    }
    return err_set(err, ERR_INVALID,
                   "a container name must be specified for pod %s, choose one of: [" STR_FMT "]",
                   pod->name, STR_ARG(buf_str(&names)));
}

static int pick_slot(const struct pod *pod, struct str name, const struct slot **ret,
                     struct err *err)
{
    size_t mains = 0;
    const struct slot *only = NULL;
    if (name.n == 0) {
        name = val_text(val_get(val_path(pod->facts.pod, "metadata.annotations"),
                                S("kubectl.kubernetes.io/default-container")));
    }
    for (size_t i = 0; i < pod->facts.slots_count; i++) {
        const struct slot *slot = &pod->facts.slots[i];
        if (name.n && str_eq(str_of(slot->name), name)) {
            *ret = slot;
            return 0;
        }
        if (slot->class == SLOT_MAIN) {
            mains++;
            only = slot;
        }
    }
    if (name.n) {
        return err_set(err, ERR_INVALID, "container " STR_FMT " is not valid for pod %s",
                       STR_ARG(name), pod->name);
    }
    if (only == NULL || mains != 1 || pod->facts.slots_count != 1) {
        return no_container(pod, err);
    }
    *ret = only;
    return 0;
}

/* Strings live until the turn ends: an arena that is freed by a deferred call. */
static void free_arena(void *ctx)
{
    arena_free(ctx);
}

static int find_container(void *ctx, struct str ns, struct str name, struct str container,
                          bool is_previous, bool is_log, struct pod_container *ret, struct err *err)
{
    struct node *node = ctx;
    struct pod *pod = find_pod(node, ns, name);
    const struct slot *slot = NULL;
    if (!pod) {
        return err_set(err, ERR_NOT_FOUND, "pods \"" STR_FMT "\" not found", STR_ARG(name));
    }
    int rc = pick_slot(pod, container, &slot, err);
    if (rc < 0) {
        return rc;
    }
    const struct run *run = is_previous ? &slot->last : &slot->cur;
    if (is_previous && run->state != RUN_EXITED) {
        return err_set(err, ERR_INVALID,
                       "previous terminated container \"%s\" in pod \"%s\" not found", slot->name,
                       pod->name);
    }
    if (!is_previous && is_log && (run->state == RUN_NONE || run->state == RUN_CREATED)) {
        return err_set(err, ERR_INVALID, "container \"%s\" in pod \"%s\" is waiting to start: %s",
                       slot->name, pod->name,
                       slot->wait_reason ? slot->wait_reason : "ContainerCreating");
    }
    struct arena *arena = arena_new(1 << 16);
    loop_defer(node->config.loop, free_arena, arena);
    *ret = (struct pod_container){
        .is_running = run->state == RUN_RUNNING,
        .has_stdin = val_is_true(val_get(slot->spec, S("stdin"))),
        .is_stdin_once = val_is_true(val_get(slot->spec, S("stdinOnce"))),
        .has_tty = val_is_true(val_get(slot->spec, S("tty"))),
    };
    if (run->state != RUN_NONE) {
        ret->id = run_id(pod, slot, run->attempt, arena);
        ret->bundle = run_bundle(node, ret->id, arena);
        ret->log_path = run_log(pod, slot, run->attempt, arena);
    }
    return 0;
}

static bool is_running(void *ctx, struct str id)
{
    struct node *node = ctx;
    struct str rest = id;
    struct pod *pod = map_find(&node->pods, str_cut(&rest, '_'));
    struct arena *arena = arena_new(1 << 16);
    bool is_found = false;
    for (size_t i = 0; pod && i < pod->facts.slots_count; i++) {
        const struct slot *slot = &pod->facts.slots[i];
        is_found = is_found || (slot->cur.state == RUN_RUNNING &&
                                str_eq(run_id(pod, slot, slot->cur.attempt, arena), id));
    }
    arena_free(arena);
    return is_found;
}

static int find_netns(void *ctx, struct str ns, struct str name, struct str *ret, struct err *err)
{
    struct node *node = ctx;
    struct pod *pod = find_pod(node, ns, name);
    if (!pod) {
        return err_set(err, ERR_NOT_FOUND, "pods \"" STR_FMT "\" not found", STR_ARG(name));
    }
    if (pod_is_host_network(pod->facts.pod)) {
        *ret = S("");
        return 0;
    }
    if (pod->facts.sandbox_state != SANDBOX_READY) {
        return err_set(err, ERR_INVALID,
                       "unable to forward port because pod is not running. "
                       "Current status=" STR_FMT,
                       STR_ARG(val_text_at(pod->facts.pod, "status.phase")));
    }
    struct arena *arena = arena_new(1 << 16);
    loop_defer(node->config.loop, free_arena, arena);
    *ret = pod_pin(pod, "netns", arena);
    return 0;
}

void pod_lookup_fill(struct node *node, struct pod_lookup *ret)
{
    *ret = (struct pod_lookup){
        .ctx = node, .container = find_container, .is_running = is_running, .netns = find_netns};
}
