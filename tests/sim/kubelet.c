// SPDX-License-Identifier: Apache-2.0
//
// A fake kubelet: what a node does to the API, without containers. A pod that is bound here goes
// Pending, Running, Ready; in phase 1 it turns unready or ends at random; with a deletionTimestamp
// it stops after a while and is removed. At most one pod of a name runs: a successor waits until
// the one before it has stopped, also when that one was deleted by force. It also takes the place
// of the node for volumes that are to be removed.
//
// Records outlive the brain, as containers do; a write that was under way in a crash is repeated.
#include "sim.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <stdlib.h>

#define NODE "node-1"

enum record_state { POD_SEEN, POD_PENDING, POD_RUNNING, POD_READY, POD_ENDED, POD_STOPPING };

struct record {
    struct kubelet *kubelet;
    struct str ns, name, uid; /* owned */
    enum record_state state;
    enum record_state next; /* state once the write under way succeeds */
    bool is_writing;
    bool is_forced; /* the object is gone, the container not yet */
    usec due;
    usec started_wall;
    usec ready_wall;
    int ip;
};

struct kubelet {
    struct sim *sim;
    struct record **records; /* in order of arrival */
    size_t records_count, records_cap;
    struct timer timer;
    usec volumes_due;
    int ips;
};

static void plan(struct kubelet *k);

static usec span(struct sim *sim, unsigned ms_max)
{
    return (usec)rng_below(&sim->rng, ms_max + 1) * USEC_PER_MS;
}

static void record_free(struct record *r)
{
    free((void *)(uintptr_t)r->ns.p);
    free((void *)(uintptr_t)r->name.p);
    free((void *)(uintptr_t)r->uid.p);
    free(r);
}

static struct str own(struct str s)
{
    return (struct str){xstrndup(s.p, s.n), s.n};
}

static struct record *find(struct kubelet *k, struct str uid)
{
    for (size_t i = 0; i < k->records_count; i++) {
        if (str_eq(k->records[i]->uid, uid)) {
            return k->records[i];
        }
    }
    return NULL;
}

static void drop(struct kubelet *k, struct record *r)
{
    size_t i = 0;
    while (k->records[i] != r) {
        i++;
    }
    memmove(&k->records[i], &k->records[i + 1], (--k->records_count - i) * sizeof(struct record *));
    record_free(r);
}

/* Is an earlier pod of this name still running? */
static bool has_predecessor(struct kubelet *k, const struct record *r)
{
    for (size_t i = 0; k->records[i] != r; i++) {
        if (str_eq(k->records[i]->ns, r->ns) && str_eq(k->records[i]->name, r->name)) {
            return true;
        }
    }
    return false;
}

struct pending {
    struct kubelet *kubelet;
    char uid[UUID_LEN + 1];
};

static void written(void *ctx, struct object *object, const struct val *val, const struct err *err)
{
    (void)object;
    (void)val;
    struct pending *p = ctx;
    struct kubelet *k = p->kubelet;
    struct record *r = find(k, str_of(p->uid));
    free(p);
    if (r == NULL) {
        return;
    }
    r->is_writing = false;
    if (err == NULL) {
        r->state = r->next;
    } else {
        r->due = sim_now(k->sim) + USEC_PER_SEC;
    }
    plan(k);
}

static void write_pod(struct record *r, struct client_write write, struct str json,
                      enum record_state next, usec delay)
{
    struct kubelet *k = r->kubelet;
    struct pending *p = xcalloc(1, sizeof *p);
    p->kubelet = k;
    memcpy(p->uid, r->uid.p, r->uid.n);
    write.kind = KIND_POD;
    write.ns = r->ns;
    write.name = r->name;
    write.expect_uid = r->uid;
    r->next = next;
    r->is_writing = true;
    r->due = sim_now(k->sim) + delay;
    if (sim_write(k->sim, k->sim->node, write, written, p, json) < 0) {
        free(p);
        r->is_writing = false;
        r->due = sim_now(k->sim) + USEC_PER_SEC;
    }
}

static void write_status(struct record *r, const char *phase, bool is_ready, enum record_state next,
                         usec delay)
{
    struct sim *sim = r->kubelet->sim;
    char start[TIME_TEXT_MAX];
    char since[TIME_TEXT_MAX];
    auto_buf struct buf json;
    buf_init(&json, 1 << 16);
    time_format(r->started_wall, start);
    time_format(r->ready_wall, since);
    bool is_running = strcmp(phase, "Running") == 0;
    bool is_ended = !is_running && strcmp(phase, "Pending") != 0;
    buf_addf(&json, "{\"status\":{\"phase\":\"%s\",\"startTime\":\"%s\",\"hostIP\":\"10.244.0.1\",",
             phase, start);
    if (r->ip > 0) {
        buf_addf(&json, "\"podIP\":\"10.244.%d.%d\",\"podIPs\":[{\"ip\":\"10.244.%d.%d\"}],",
                 1 + r->ip / 250, 1 + r->ip % 250, 1 + r->ip / 250, 1 + r->ip % 250);
    }
    buf_addf(&json, "\"conditions\":[");
    for (int i = 0; i < 2; i++) {
        buf_addf(&json, "{\"type\":\"%s\",\"status\":\"%s\",\"lastTransitionTime\":\"%s\"}%s",
                 i == 0 ? "Ready" : "ContainersReady", is_ready ? "True" : "False", since,
                 i == 0 ? "," : "");
    }
    buf_addf(&json,
             "],\"containerStatuses\":[{\"name\":\"main\",\"image\":\"app\",\"imageID\":\"\","
             "\"restartCount\":0,\"ready\":%s,\"state\":{\"%s\":{%s}}}]}}",
             is_ready ? "true" : "false",
             is_running ? "running" : (is_ended ? "terminated" : "waiting"),
             is_ended ? (strcmp(phase, "Failed") == 0 ? "\"exitCode\":1" : "\"exitCode\":0") : "");
    (void)sim;
    write_pod(r,
              (struct client_write){.verb = VERB_PATCH,
                                    .patch = PATCH_STRATEGIC,
                                    .subresource = S("status"),
                                    .grace_seconds = -1},
              buf_str(&json), next, delay);
}

static bool are_claims_bound(struct sim *sim, const struct val *pod)
{
    const struct val *volumes = val_path(pod, "spec.volumes");
    for (size_t i = 0; i < val_count(volumes); i++) {
        struct str name = val_text_at(val_at(volumes, i), "persistentVolumeClaim.claimName");
        const struct val *claim = name.n == 0 ? NULL : sim_get(sim, KIND_PVC, meta_ns(pod), name);
        if (name.n > 0 && (claim == NULL || meta_is_deleting(claim) ||
                           !str_eq(val_text_at(claim, "status.phase"), S("Bound")))) {
            return false;
        }
    }
    return true;
}

static void stop(struct record *r, usec now)
{
    struct sim *sim = r->kubelet->sim;
    if (r->state != POD_STOPPING) {
        bool has_container = r->state == POD_RUNNING || r->state == POD_READY;
        r->state = POD_STOPPING;
        r->due = now + (has_container ? span(sim, sim->swarm.stop_ms) : 0);
        return;
    }
    write_pod(r, (struct client_write){.verb = VERB_DELETE, .grace_seconds = 0}, S(""),
              POD_STOPPING, USEC_PER_SEC);
}

static void live(struct record *r, usec now)
{
    struct sim *sim = r->kubelet->sim;
    usec pause = 2 * USEC_PER_SEC + span(sim, 4000);
    if (sim->is_calm) {
        r->due = now + 3600 * USEC_PER_SEC;
    } else if (sim_chance(sim, sim->swarm.flap, 1000)) {
        r->ready_wall = loop_wall(sim->loop);
        write_status(r, "Running", /*is_ready=*/false, POD_RUNNING, span(sim, 5000));
    } else if (sim_chance(sim, sim->swarm.fail, 1000)) {
        r->ready_wall = loop_wall(sim->loop);
        write_status(r, sim_chance(sim, 1, 3) ? "Succeeded" : "Failed", /*is_ready=*/false,
                     POD_ENDED, 0);
    } else {
        r->due = now + pause;
    }
}

static void advance(struct record *r, const struct val *pod, usec now)
{
    struct sim *sim = r->kubelet->sim;
    struct str image = val_text_at(pod, "spec.containers.0.image");
    switch (r->state) {
    case POD_SEEN:
        if (has_predecessor(r->kubelet, r)) {
            r->due = now + USEC_PER_SEC / 2;
            return;
        }
        r->started_wall = r->ready_wall = loop_wall(sim->loop);
        write_status(r, "Pending", /*is_ready=*/false, POD_PENDING, span(sim, sim->swarm.start_ms));
        return;
    case POD_PENDING:
        if (str_starts(image, S("bad")) || !are_claims_bound(sim, pod)) {
            r->due = now + (str_starts(image, S("bad")) ? 10 * USEC_PER_SEC : USEC_PER_SEC / 2);
            return;
        }
        r->ip = r->ip == 0 ? ++r->kubelet->ips : r->ip;
        write_status(r, "Running", /*is_ready=*/false, POD_RUNNING, span(sim, sim->swarm.ready_ms));
        return;
    case POD_RUNNING:
        r->ready_wall = loop_wall(sim->loop);
        write_status(r, "Running", /*is_ready=*/true, POD_READY, 2 * USEC_PER_SEC);
        return;
    case POD_READY:
        live(r, now);
        return;
    case POD_ENDED:
        r->due = now + 3600 * USEC_PER_SEC;
        return;
    case POD_STOPPING:
        return;
    }
}

static void step(struct record *r, usec now)
{
    struct kubelet *k = r->kubelet;
    const struct val *pod = sim_get(k->sim, KIND_POD, r->ns, r->name);
    if (pod == NULL || !str_eq(meta_uid(pod), r->uid)) {
        drop(k, r); /* stopped after its object was gone */
        return;
    }
    /* What the brain before was told before it died, and never answered. */
    if (r->state == POD_READY && !pod_is_ready(pod)) {
        r->state = pod_is_terminal(pod) ? POD_ENDED : POD_RUNNING;
    }
    if (meta_is_deleting(pod)) {
        stop(r, now);
    } else {
        advance(r, pod, now);
    }
}

/* Removes the node's finalizer from volumes whose directory is to go (provisioner.c). */
static void release_volumes(struct kubelet *k)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    struct objs volumes = sim_list(k->sim, arena, KIND_PV, S(""));
    for (size_t i = 0; i < volumes.count; i++) {
        const struct val *volume = volumes.list[i];
        if (meta_is_deleting(volume) && val_count(val_path(volume, "metadata.finalizers")) == 1 &&
            has_finalizer(volume, S("coracle.io/directory"))) {
            (void)sim_write(k->sim, k->sim->node,
                            (struct client_write){.verb = VERB_PATCH,
                                                  .patch = PATCH_MERGE,
                                                  .kind = KIND_PV,
                                                  .name = meta_name(volume),
                                                  .grace_seconds = -1},
                            NULL, NULL, S("{\"metadata\":{\"finalizers\":null}}"));
        }
    }
}

static void tick(void *ctx)
{
    struct kubelet *k = ctx;
    usec now = sim_now(k->sim);
    if (now >= k->volumes_due) {
        release_volumes(k);
        k->volumes_due = now + 5 * USEC_PER_SEC;
    }
    for (size_t i = k->records_count; i-- > 0;) {
        struct record *r = k->records[i];
        if (!r->is_writing && r->due <= now) {
            step(r, now);
        }
    }
    plan(k);
}

static void plan(struct kubelet *k)
{
    usec now = sim_now(k->sim);
    usec next = k->volumes_due;
    for (size_t i = 0; i < k->records_count; i++) {
        const struct record *r = k->records[i];
        next = !r->is_writing && r->due < next ? r->due : next;
    }
    timer_start(k->sim->loop, &k->timer, next > now ? next - now : 0, tick, k);
}

static void on_pod(void *ctx, const struct kind *kind, struct object *object, struct object *before,
                   bool is_delete)
{
    (void)kind;
    (void)before;
    struct kubelet *k = ctx;
    struct sim *sim = k->sim;
    const struct val *pod = object_val(object);
    struct record *r = find(k, meta_uid(pod));
    usec now = sim_now(sim);
    if (!str_eq(val_text_at(pod, "spec.nodeName"), S(NODE))) {
        return;
    }
    if (is_delete) {
        if (r != NULL && !r->is_forced) {
            r->is_forced = true;
            r->due = now + (r->state == POD_STOPPING ? 0 : span(sim, sim->swarm.stop_ms));
        }
    } else if (r == NULL) {
        r = xcalloc(1, sizeof *r);
        *r = (struct record){.kubelet = k,
                             .ns = own(meta_ns(pod)),
                             .name = own(meta_name(pod)),
                             .uid = own(meta_uid(pod)),
                             .due = now};
        if (k->records_count == k->records_cap) {
            k->records_cap = k->records_cap == 0 ? 16 : k->records_cap * 2;
            k->records = xrealloc(k->records, k->records_cap * sizeof(struct record *));
        }
        k->records[k->records_count++] = r;
    } else if (meta_is_deleting(pod) && r->state != POD_STOPPING) {
        r->due = now;
    }
    plan(k);
}

struct kubelet *kubelet_new(struct sim *sim)
{
    struct kubelet *k = xcalloc(1, sizeof *k);
    k->sim = sim;
    return k;
}

static void register_node(struct sim *sim)
{
    if (sim_get(sim, KIND_NODE, S(""), S(NODE)) == NULL) {
        struct client_write create = {.verb = VERB_CREATE, .kind = KIND_NODE, .grace_seconds = -1};
        struct client_write status = {.verb = VERB_PATCH,
                                      .patch = PATCH_MERGE,
                                      .kind = KIND_NODE,
                                      .name = S(NODE),
                                      .subresource = S("status"),
                                      .grace_seconds = -1};
        (void)sim_write(sim, sim->user, create, NULL, NULL,
                        S("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":"
                          "\"" NODE "\",\"labels\":{\"kubernetes.io/hostname\":\"" NODE "\"}}}"));
        store_flush(sim->store);
        (void)sim_write(sim, sim->user, status, NULL, NULL,
                        S("{\"status\":{\"allocatable\":{\"cpu\":\"8\",\"memory\":\"16Gi\","
                          "\"pods\":\"110\"},\"capacity\":{\"cpu\":\"8\",\"memory\":\"16Gi\","
                          "\"pods\":\"110\"},\"conditions\":[{\"type\":\"Ready\",\"status\":"
                          "\"True\"}]}}"));
        store_flush(sim->store);
    }
}

void kubelet_attach(struct kubelet *k)
{
    struct sim *sim = k->sim;
    k->timer = (struct timer){0};
    for (size_t i = 0; i < k->records_count; i++) {
        struct record *r = k->records[i];
        r->is_writing = false;
        r->due = sim_now(sim) + span(sim, 1000);
    }
    if (!sim->swarm.has_agent) {
        register_node(sim);
        sim->node->ops->watch(sim->node, KIND_POD, on_pod, k);
    }
    plan(k);
}
