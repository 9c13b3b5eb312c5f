// SPDX-License-Identifier: Apache-2.0
//
// Every change that concerns ports plans one pass over all claims in the same turn. Only objects
// with ports of the host are kept, so a pass costs what is published, not what the cluster holds.
#include "control/publish.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "net/pod_net.h"

#include <netinet/in.h>
#include <stdlib.h>

#define LOG_ROOM "publish"
#include "base/log.h"

#define LOOPBACK_TEXT "127.0.0.1"

struct port {
    struct publish_claim claim; /* without its owner */
    bool is_wanted;
};

/* A claim that failed, as it was told. */
struct refusal {
    char *why;
    bool is_wanted;
    bool is_lost; /* to another claim: to be tried at once when it wins */
};

struct publish {
    struct publish_config config;
    struct map services; /* storage key -> struct object, referenced */
    struct map pods;
    struct map ports;    /* "tcp 127.0.0.1 80" -> struct port, open */
    struct map refusals; /* port key, owner's key and uid -> struct refusal */
    bool is_dirty;
    bool is_retry; /* this pass tries again what failed before */
    struct timer retry;
    size_t burst; /* ports that this pass may still open or close */
    struct timer rest;
};

static void refusal_free(void *value)
{
    struct refusal *refusal = value;
    free(refusal->why);
    free(refusal);
}

static void object_free(void *value)
{
    object_unref(value);
}

static const char *protocol_text(const struct publish_claim *claim)
{
    return claim->protocol == IPPROTO_UDP ? "udp" : "tcp";
}

static struct str port_key(struct arena *arena, const struct publish_claim *claim)
{
    char address[IP4_TEXT_MAX];
    ip4_format(claim->address, address);
    return arena_fmt(arena, "%s %s %u", protocol_text(claim), address, claim->port);
}

static struct str refusal_key(struct arena *arena, const struct publish_claim *claim)
{
    return arena_fmt(arena, STR_FMT " " STR_FMT " " STR_FMT, STR_ARG(port_key(arena, claim)),
                     STR_ARG(claim->owner->key),
                     STR_ARG(val_text_at(object_val(claim->owner), "metadata.uid")));
}

/* ---- what could not be had ------------------------------------------------------------------- */

static void refuse(struct publish *p, struct arena *arena, const struct publish_claim *claim,
                   struct str why, bool is_lost)
{
    static const char *const purposes[] = {"nodePort", "load balancer port", "hostPort"};
    const struct val *owner = object_val(claim->owner);
    const struct kind *kind =
        kind_of(claim->purpose == PUBLISH_HOST_PORT ? KIND_POD : KIND_SERVICE);
    struct str key = refusal_key(arena, claim);
    struct refusal *refusal = map_find(&p->refusals, key);
    if (refusal == NULL) {
        refusal = xcalloc(1, sizeof *refusal);
        refusal->why = xstrdup("");
        (void)map_put(&p->refusals, key, refusal);
    }
    refusal->is_wanted = true;
    refusal->is_lost = is_lost;
    if (str_eq(str_of(refusal->why), why)) {
        return;
    }
    free(refusal->why);
    refusal->why = xstrndup(why.p, why.n);
    char address[IP4_TEXT_MAX];
    ip4_format(claim->address, address);
    struct str message = arena_fmt(
        arena, "%s %u/%s of " STR_FMT " " STR_FMT "/" STR_FMT " is not published on %s: " STR_FMT,
        purposes[claim->purpose], claim->port, claim->protocol == IPPROTO_UDP ? "UDP" : "TCP",
        STR_ARG(kind->singular), STR_ARG(val_text_at(owner, "metadata.namespace")),
        STR_ARG(val_text_at(owner, "metadata.name")), address, STR_ARG(why));
    log_warn(STR_FMT, STR_ARG(message));
    recorder_event(p->config.recorder, (struct event_source){.component = S("coracle-publish")},
                   kind, owner, S(""), S("Warning"), S("PortNotPublished"), message);
}

static struct str wording(struct arena *arena, const struct publish_claim *claim,
                          const struct err *err)
{
    enum { PRIVILEGED_PORTS = 1024 };
    if (err->code == ERR_EXISTS) {
        return S("another program of the host has this port; trying again every 5 s");
    }
    if (claim->port < PRIVILEGED_PORTS) {
        return arena_fmt(arena,
                         "%s (ports below 1024 are root's, see sysctl "
                         "net.ipv4.ip_unprivileged_port_start; node ports work for everybody)",
                         err->msg);
    }
    return arena_fmt(arena, "%s; trying again every 5 s", err->msg);
}

/* ---- one pass -------------------------------------------------------------------------------- */

static void plan(void *ctx);

/* One port more in this pass? Else another pass follows in the next turn. */
static bool may_change(struct publish *p)
{
    if (p->burst == 0) {
        timer_start(p->config.loop, &p->rest, 0, plan, p);
    }
    return p->burst > 0;
}

/* The port, open and leading where claim says, or NULL when it can't be had. */
static struct port *open_port(struct publish *p, struct arena *arena,
                              const struct publish_claim *claim, struct port *port)
{
    struct err err = {0};
    struct str key = port_key(arena, claim);
    if (p->config.open(p->config.ctx, claim, &err) < 0) {
        refuse(p, arena, claim, wording(arena, claim, &err), /*is_lost=*/false);
        return NULL;
    }
    if (port == NULL) {
        port = xcalloc(1, sizeof *port);
        (void)map_put(&p->ports, key, port);
        log_debug("port " STR_FMT " is open", STR_ARG(key));
    }
    p->burst--;
    port->claim = *claim;
    port->claim.owner = NULL;
    return port;
}

static void serve_winner(struct publish *p, struct arena *arena, const struct publish_claim *claim)
{
    struct port *port = map_find(&p->ports, port_key(arena, claim));
    struct refusal *refusal = map_find(&p->refusals, refusal_key(arena, claim));
    bool is_there = port != NULL && port->claim.target == claim->target &&
                    port->claim.target_port == claim->target_port;
    bool is_waiting = port == NULL && refusal != NULL && !refusal->is_lost && !p->is_retry;
    if (is_waiting || (!is_there && !may_change(p))) {
        if (refusal != NULL) {
            refusal->is_wanted = true;
        }
    } else if (!is_there) {
        port = open_port(p, arena, claim, port);
    }
    if (port != NULL) {
        port->is_wanted = true;
    }
}

static void serve_loser(struct publish *p, struct arena *arena, const struct publish_claim *claim,
                        const struct publish_claim *winner)
{
    const struct val *owner = object_val(winner->owner);
    bool is_pod = winner->purpose == PUBLISH_HOST_PORT;
    if (winner->owner == claim->owner && winner->target == claim->target &&
        winner->target_port == claim->target_port) {
        return; /* the same thing asked for twice */
    }
    refuse(p, arena, claim,
           arena_fmt(arena, "%s " STR_FMT "/" STR_FMT " has this port", is_pod ? "pod" : "service",
                     STR_ARG(val_text_at(owner, "metadata.namespace")),
                     STR_ARG(val_text_at(owner, "metadata.name"))),
           /*is_lost=*/true);
}

/* Closes ports and forgets refusals that nobody asked for in this pass; the marks are down for the
 * next one afterwards. */
static void drop_unwanted(struct publish *p)
{
    for (size_t i = p->ports.count; i-- > 0;) {
        struct port *port = p->ports.entries[i].value;
        if (!port->is_wanted && may_change(p)) {
            log_debug("port " STR_FMT " is closed", STR_ARG(p->ports.entries[i].key));
            p->burst--;
            p->config.close(p->config.ctx, &port->claim);
            free(map_remove(&p->ports, p->ports.entries[i].key));
        } else {
            port->is_wanted = false;
        }
    }
    for (size_t i = p->refusals.count; i-- > 0;) {
        struct refusal *refusal = p->refusals.entries[i].value;
        if (!refusal->is_wanted) {
            refusal_free(map_remove(&p->refusals, p->refusals.entries[i].key));
        } else {
            refusal->is_wanted = false;
        }
    }
}

/* ---- status of load balancers ---------------------------------------------------------------- */

static bool is_balanced(struct publish *p, struct arena *arena, struct object *service,
                        const struct publish_claim *claims, size_t count)
{
    bool has_ports = false;
    for (size_t i = 0; i < count; i++) {
        if (claims[i].owner == service && claims[i].purpose == PUBLISH_LOAD_BALANCER) {
            const struct port *port = map_find(&p->ports, port_key(arena, &claims[i]));
            if (!claims[i].is_winner || port == NULL) {
                return false;
            }
            has_ports = true;
        }
    }
    return has_ports;
}

static int write_ingress(struct publish *p, struct arena *arena, const struct val *service,
                         bool is_balanced_now, struct err *err)
{
    struct val body = val_map();
    struct val ingress = val_null(); /* takes it away */
    if (is_balanced_now) {
        struct val point = val_map();
        (void)val_set(arena, &point, S("ip"), val_str(S(LOOPBACK_TEXT)));
        (void)val_set(arena, &point, S("ipMode"), val_str(S("Proxy")));
        ingress = val_list();
        (void)val_push(arena, &ingress, point);
    }
    (void)val_set_path(arena, &body, "status.loadBalancer.ingress", ingress);
    struct client_write write = {.verb = VERB_PATCH,
                                 .patch = PATCH_MERGE,
                                 .kind = KIND_SERVICE,
                                 .subresource = S("status"),
                                 .ns = val_text_at(service, "metadata.namespace"),
                                 .name = val_text_at(service, "metadata.name"),
                                 .body = &body,
                                 .expect_uid = val_text_at(service, "metadata.uid"),
                                 .grace_seconds = -1};
    return p->config.client->ops->write(p->config.client, &write, NULL, NULL, err);
}

/* Another class' status is left alone; ours goes when the service stops being a load balancer. */
static void update_status(struct publish *p, struct arena *arena,
                          const struct publish_claim *claims, size_t count)
{
    for (size_t i = 0; i < p->services.count; i++) {
        struct object *object = p->services.entries[i].value;
        const struct val *service = object_val(object);
        const struct val *ingress = val_path(service, "status.loadBalancer.ingress");
        bool is_theirs = val_text_at(service, "spec.loadBalancerClass").n > 0;
        bool has = val_count(ingress) == 1 &&
                   str_eq(val_text_at(val_at(ingress, 0), "ip"), S(LOOPBACK_TEXT));
        bool wants =
            publish_is_load_balancer(service) && is_balanced(p, arena, object, claims, count);
        struct err err = {0};
        if (is_theirs || (wants ? has : val_count(ingress) == 0)) {
            continue;
        }
        if (write_ingress(p, arena, service, wants, &err) < 0) {
            log_warn("status of service " STR_FMT ": %s", STR_ARG(object->key), err.msg);
        }
    }
}

/* ---- when ------------------------------------------------------------------------------------ */

static void on_retry(void *ctx);

static struct object **objects_of(struct arena *arena, const struct map *map)
{
    struct object **list = arena_alloc(arena, (map->count + 1) * sizeof(struct object *));
    for (size_t i = 0; i < map->count; i++) {
        list[i] = map->entries[i].value;
    }
    return list;
}

static void pass(void *ctx)
{
    struct publish *p = ctx;
    auto_arena struct arena *arena = arena_new(DECIDE_ARENA_MAX);
    struct publish_claim *claims;
    const struct publish_claim *winner = NULL;
    size_t count;
    p->is_dirty = false;
    p->burst = PUBLISH_BURST;
    publish_claims(arena, objects_of(arena, &p->services), p->services.count,
                   objects_of(arena, &p->pods), p->pods.count, &claims, &count);
    for (size_t i = 0; i < count; i++) {
        if (claims[i].is_winner) {
            winner = &claims[i];
            serve_winner(p, arena, winner);
        } else if (winner != NULL) { /* claims of one port stand together, the winner first */
            serve_loser(p, arena, &claims[i], winner);
        }
    }
    drop_unwanted(p);
    update_status(p, arena, claims, count);
    p->is_retry = false;
    if (p->refusals.count > 0 && !timer_is_running(&p->retry)) {
        timer_start(p->config.loop, &p->retry, PUBLISH_RETRY, on_retry, p);
    }
}

static void plan(void *ctx)
{
    struct publish *p = ctx;
    if (!p->is_dirty) {
        p->is_dirty = true;
        loop_defer(p->config.loop, pass, p);
    }
}

static void on_retry(void *ctx)
{
    struct publish *p = ctx;
    p->is_retry = true;
    plan(p);
}

static void take_in(struct publish *p, struct map *map, struct object *object, bool is_kept)
{
    struct object *before =
        is_kept ? map_put(map, object->key, object_ref(object)) : map_remove(map, object->key);
    if (is_kept || before != NULL) {
        plan(p);
    }
    object_unref(before);
}

static void on_service(void *ctx, const struct kind *kind, struct object *object,
                       struct object *before, bool is_delete)
{
    struct publish *p = ctx;
    (void)kind;
    (void)before;
    take_in(p, &p->services, object, !is_delete && publish_concerns_service(object_val(object)));
}

static void on_pod(void *ctx, const struct kind *kind, struct object *object, struct object *before,
                   bool is_delete)
{
    struct publish *p = ctx;
    (void)kind;
    (void)before;
    take_in(p, &p->pods, object, !is_delete && publish_concerns_pod(object_val(object)));
}

struct publish *publish_new(const struct publish_config *config)
{
    struct publish *p = xcalloc(1, sizeof *p);
    p->config = *config;
    config->client->ops->watch(config->client, KIND_SERVICE, on_service, p);
    config->client->ops->watch(config->client, KIND_POD, on_pod, p);
    return p;
}

void publish_free(struct publish *p)
{
    if (p != NULL) {
        timer_stop(&p->retry);
        timer_stop(&p->rest);
        map_done(&p->ports, free);
        map_done(&p->refusals, refusal_free);
        map_done(&p->services, object_free);
        map_done(&p->pods, object_free);
        free(p);
    }
}

size_t publish_count(const struct publish *p)
{
    return p->ports.count;
}
