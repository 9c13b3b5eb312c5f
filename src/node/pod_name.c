// SPDX-License-Identifier: Apache-2.0
//
// A pod's own name resolves before its first process runs: containers wait until the headless
// Service that publishes pods which are not ready, and that the pod names as its subdomain, has the
// pod's address in a slice, from which DNS answers. Not for ever: what keeps the slice away (a
// controller that is busy, a Service without a port) must not keep the pod away.
#include "controllers/endpoint.h"
#include "controllers/meta.h"
#include "node/pod.h"

enum { NAME_WAIT_SECONDS = 2 };

/* Containers of this sandbox that were begun: too late to wait. */
static bool has_begun(const struct pod_facts *f)
{
    for (size_t i = 0; i < f->slots_count; i++) {
        const struct run *run = &f->slots[i].cur;
        if (f->slots[i].is_pending || (run->state != RUN_NONE && run->sandbox == f->sandbox)) {
            return true;
        }
    }
    return false;
}

static const struct val *publisher_of(const struct pod *pod)
{
    struct client *client = pod->node->config.client;
    const struct val *spec = val_get(pod->facts.pod, S("spec"));
    struct str subdomain = val_text(val_get(spec, S("subdomain")));
    if (subdomain.n == 0 || val_text(val_get(spec, S("hostname"))).n == 0) {
        return NULL;
    }
    struct object *object = client->ops->get(client, KIND_SERVICE, str_of(pod->ns), subdomain);
    const struct val *service = object == NULL ? NULL : object_val(object);
    bool is_one = service != NULL && service_is_headless(service) &&
                  val_true_at(service, "spec.publishNotReadyAddresses") &&
                  service_selects(service, pod->facts.pod);
    return is_one ? service : NULL;
}

struct search {
    struct str service;
    struct str ip;
    bool is_found;
};

static bool search_slice(void *ctx, struct object *object)
{
    struct search *search = ctx;
    const struct val *slice = object_val(object);
    const struct val *labels = val_path(slice, "metadata.labels");
    if (!str_eq(val_text(val_get(labels, S("kubernetes.io/service-name"))), search->service)) {
        return true;
    }
    const struct val *endpoints = val_get(slice, S("endpoints"));
    for (size_t i = 0; i < val_count(endpoints) && !search->is_found; i++) {
        const struct val *addresses = val_get(val_at(endpoints, i), S("addresses"));
        search->is_found = str_eq(val_text(val_at(addresses, 0)), search->ip);
    }
    return !search->is_found;
}

usec pod_name_wait(const struct pod *pod)
{
    const struct pod_facts *f = &pod->facts;
    struct client *client = pod->node->config.client;
    if (f->sandbox_state != SANDBOX_READY || f->ip[0] == '\0' || has_begun(f)) {
        return 0;
    }
    const struct val *service = publisher_of(pod);
    if (service == NULL) {
        return 0;
    }
    struct search search = {.service = meta_name(service), .ip = str_of(f->ip)};
    client->ops->list(client, KIND_ENDPOINT_SLICE, str_of(pod->ns), search_slice, &search);
    if (search.is_found) {
        return 0;
    }
    return f->name_wait_until != 0 ? f->name_wait_until : f->now + NAME_WAIT_SECONDS * USEC_PER_SEC;
}

void pod_names_changed(void *ctx, const struct kind *kind, struct object *object,
                       struct object *before, bool is_delete)
{
    struct node *node = ctx;
    struct str ns = val_text_at(object_val(object), "metadata.namespace");
    (void)kind;
    (void)before;
    (void)is_delete;
    for (size_t i = 0; i < node->pods.count; i++) {
        struct pod *pod = node->pods.entries[i].value;
        if (pod->facts.name_wait_until != 0 && str_eq(str_of(pod->ns), ns)) {
            pod_wake(pod);
        }
    }
}
