// SPDX-License-Identifier: Apache-2.0
//
// Defaults of pod specs (upstream pkg/apis/core/v1/defaults.go; spec/api.md 13). Idempotent.
#include "api/strategy_pod.h"

#include "api/defaults.h"
#include "base/mem.h"

enum { FILE_MODE_DEFAULT = 0644, TOKEN_SECONDS_DEFAULT = 3600, GRACE_SECONDS_DEFAULT = 30 };

/* The tag after the last '/' decides (spec/node.md 5.1). */
static struct str default_pull_policy(struct str image)
{
    ptrdiff_t slash = str_rfind(image, '/');
    struct str last = str_sub(image, slash < 0 ? 0 : (size_t)slash + 1, image.n);
    ptrdiff_t colon = str_find(last, ':');
    bool has_digest = str_find(last, '@') >= 0;
    bool is_latest = colon < 0 || str_eq(str_sub(last, (size_t)colon + 1, last.n), S("latest"));
    return !has_digest && is_latest ? S("Always") : S("IfNotPresent");
}

static void http_get_defaults(struct arena *arena, struct val *action)
{
    if (action != NULL) {
        default_text(arena, action, S("path"), S("/"));
        default_text(arena, action, S("scheme"), S("HTTP"));
    }
}

static void probe_defaults(struct arena *arena, struct val *probe)
{
    if (probe == NULL) {
        return;
    }
    default_number(arena, probe, S("timeoutSeconds"), 1);
    default_number(arena, probe, S("periodSeconds"), 10);
    default_number(arena, probe, S("successThreshold"), 1);
    default_number(arena, probe, S("failureThreshold"), 3);
    http_get_defaults(arena, val_slot(probe, S("httpGet")));
    struct val *grpc = val_slot(probe, S("grpc"));
    if (grpc != NULL) {
        default_val(arena, grpc, S("service"), val_str(S("")));
    }
}

static void field_ref_defaults(struct arena *arena, struct val *ref)
{
    if (ref != NULL) {
        default_text(arena, ref, S("apiVersion"), S("v1"));
    }
}

/* Limits become requests where there are none; pods only. */
static void request_defaults(struct arena *arena, struct val *container)
{
    struct val *resources = val_slot(container, S("resources"));
    const struct val *limits = val_get(resources, S("limits"));
    for (size_t i = 0; i < val_count(limits); i++) {
        struct val *requests = val_need_map(arena, resources, S("requests"));
        default_val(arena, requests, limits->members[i].key, limits->members[i].val);
    }
}

static void port_defaults(struct arena *arena, struct val *container, bool is_host_network)
{
    struct val *ports = val_slot(container, S("ports"));
    for (size_t i = 0; i < val_count(ports); i++) {
        struct val *port = &ports->items[i];
        default_text(arena, port, S("protocol"), S("TCP"));
        if (is_host_network) {
            default_number(arena, port, S("hostPort"), val_number_at(port, "containerPort", 0));
        }
    }
}

static void container_defaults(struct arena *arena, struct val *c, bool is_pod,
                               bool is_host_network)
{
    static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    static const char *const hooks[] = {"lifecycle.postStart.httpGet", "lifecycle.preStop.httpGet"};
    default_text(arena, c, S("imagePullPolicy"), default_pull_policy(val_text_at(c, "image")));
    default_text(arena, c, S("terminationMessagePath"), S("/dev/termination-log"));
    default_text(arena, c, S("terminationMessagePolicy"), S("File"));
    default_val(arena, c, S("resources"), val_map());
    port_defaults(arena, c, is_host_network);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        probe_defaults(arena, val_slot(c, str_of(probes[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
        http_get_defaults(arena, val_slot_path(c, hooks[i]));
    }
    struct val *env = val_slot(c, S("env"));
    for (size_t i = 0; i < val_count(env); i++) {
        field_ref_defaults(arena, val_slot_path(&env->items[i], "valueFrom.fieldRef"));
    }
    if (is_pod) {
        request_defaults(arena, c);
    }
}

static void items_defaults(struct arena *arena, struct val *source)
{
    struct val *items = val_slot(source, S("items"));
    for (size_t i = 0; i < val_count(items); i++) {
        field_ref_defaults(arena, val_slot(&items->items[i], S("fieldRef")));
    }
}

static void projected_defaults(struct arena *arena, struct val *projected)
{
    struct val *sources = val_slot(projected, S("sources"));
    for (size_t i = 0; i < val_count(sources); i++) {
        struct val *token = val_slot(&sources->items[i], S("serviceAccountToken"));
        if (token != NULL) {
            default_number(arena, token, S("expirationSeconds"), TOKEN_SECONDS_DEFAULT);
        }
        struct val *downward = val_slot(&sources->items[i], S("downwardAPI"));
        if (downward != NULL) {
            items_defaults(arena, downward);
        }
    }
}

static void volume_defaults(struct arena *arena, struct val *volume)
{
    static const char *const with_mode[] = {"secret", "configMap", "downwardAPI", "projected"};
    if (val_count(volume) <= 1) {
        (void)val_set(arena, volume, S("emptyDir"), val_map());
    }
    for (size_t i = 0; i < ARRAY_LEN(with_mode); i++) {
        struct val *source = val_slot(volume, str_of(with_mode[i]));
        if (source != NULL) {
            default_val(arena, source, S("defaultMode"), val_int(FILE_MODE_DEFAULT));
        }
    }
    struct val *projected = val_slot(volume, S("projected"));
    if (projected != NULL) {
        projected_defaults(arena, projected);
    }
    struct val *downward = val_slot(volume, S("downwardAPI"));
    if (downward != NULL) {
        items_defaults(arena, downward);
    }
    struct val *host_path = val_slot(volume, S("hostPath"));
    if (host_path != NULL) {
        default_val(arena, host_path, S("type"), val_str(S("")));
    }
    struct val *claim = val_slot_path(volume, "ephemeral.volumeClaimTemplate.spec");
    if (claim != NULL) {
        default_text(arena, claim, S("volumeMode"), S("Filesystem"));
    }
}

static void spread_defaults(struct arena *arena, struct val *spec)
{
    struct val *list = val_slot(spec, S("topologySpreadConstraints"));
    for (size_t i = 0; i < val_count(list); i++) {
        default_val(arena, &list->items[i], S("nodeAffinityPolicy"), val_str(S("Honor")));
        default_val(arena, &list->items[i], S("nodeTaintsPolicy"), val_str(S("Ignore")));
    }
}

void pod_spec_defaults(struct arena *arena, struct val *spec, bool is_pod)
{
    static const char *const lists[] = {"initContainers", "containers"};
    bool is_host_network = val_true_at(spec, "hostNetwork");
    default_text(arena, spec, S("dnsPolicy"), S("ClusterFirst"));
    default_text(arena, spec, S("restartPolicy"), S("Always"));
    default_text(arena, spec, S("schedulerName"), S("default-scheduler"));
    default_val(arena, spec, S("securityContext"), val_map());
    default_val(arena, spec, S("terminationGracePeriodSeconds"), val_int(GRACE_SECONDS_DEFAULT));
    if (val_text_at(spec, "serviceAccountName").n == 0 &&
        val_text_at(spec, "serviceAccount").n > 0) {
        (void)val_set(arena, spec, S("serviceAccountName"), *val_get(spec, S("serviceAccount")));
    }
    if (val_text_at(spec, "serviceAccountName").n > 0) {
        (void)val_set(arena, spec, S("serviceAccount"), *val_get(spec, S("serviceAccountName")));
    }
    if (is_pod) {
        default_val(arena, spec, S("enableServiceLinks"), val_bool(true));
    }
    struct val *volumes = val_slot(spec, S("volumes"));
    for (size_t i = 0; i < val_count(volumes); i++) {
        volume_defaults(arena, &volumes->items[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct val *containers = val_slot(spec, str_of(lists[i]));
        for (size_t k = 0; k < val_count(containers); k++) {
            container_defaults(arena, &containers->items[k], is_pod, is_host_network);
        }
    }
    struct val *ephemeral = val_slot(spec, S("ephemeralContainers"));
    for (size_t i = 0; i < val_count(ephemeral); i++) {
        container_defaults(arena, &ephemeral->items[i], false, false);
    }
    spread_defaults(arena, spec);
}

void pod_template_defaults(struct arena *arena, struct val *template)
{
    struct val *metadata = val_need_map(arena, template, S("metadata"));
    if (val_is(val_get(metadata, S("creationTimestamp")), VAL_NULL)) {
        (void)val_remove(metadata, S("creationTimestamp"));
    }
    pod_spec_defaults(arena, val_need_map(arena, template, S("spec")), /*is_pod=*/false);
}
