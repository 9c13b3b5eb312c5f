// SPDX-License-Identifier: Apache-2.0
//
// Pods: what the API server fills in (service account, token volume, tolerations, priority), what
// may change on a live pod, field selectors, graceful deletion (spec/api.md 3.8, 10.3, 13;
// spec/node.md 4.3).
#include "api/strategy_pod.h"

#include "api/api.h"
#include "api/difference.h"
#include "api/rules.h"
#include "base/mem.h"
#include "data/quantity.h"

#include <stdlib.h>

#define TOKEN_MOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

enum { TOKEN_SECONDS = 3607, TOLERATION_SECONDS = 300 };

static void pod_defaults(struct arena *arena, struct val *obj)
{
    pod_spec_defaults(arena, val_need_map(arena, obj, S("spec")), /*is_pod=*/true);
}

/* Adds what quantities of cpu and memory a map holds to seen; true when both are there. */
static bool has_both(const struct val *map)
{
    return val_get(map, S("cpu")) != NULL && val_get(map, S("memory")) != NULL;
}

static bool is_equal_quantity(const struct val *a, const struct val *b)
{
    struct quantity x;
    struct quantity y;
    struct err err;
    return quantity_parse(val_text(a), &x, &err) == 0 &&
           quantity_parse(val_text(b), &y, &err) == 0 && quantity_cmp(x, y) == 0;
}

struct str pod_qos_class(const struct val *spec)
{
    static const char *const lists[] = {"initContainers", "containers"};
    static const struct str names[] = {
        {"cpu",    3},
        {"memory", 6}
    };
    bool is_any_set = false;
    bool is_guaranteed = true;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct val *containers = val_get(spec, str_of(lists[i]));
        for (size_t k = 0; k < val_count(containers); k++) {
            const struct val *limits = val_path(val_at(containers, k), "resources.limits");
            const struct val *requests = val_path(val_at(containers, k), "resources.requests");
            is_guaranteed = is_guaranteed && has_both(limits);
            for (size_t n = 0; n < ARRAY_LEN(names); n++) {
                const struct val *limit = val_get(limits, names[n]);
                const struct val *request = val_get(requests, names[n]);
                is_any_set = is_any_set || limit != NULL || request != NULL;
                is_guaranteed =
                    is_guaranteed && (request == NULL || is_equal_quantity(limit, request));
            }
        }
    }
    return !is_any_set ? S("BestEffort") : is_guaranteed ? S("Guaranteed") : S("Burstable");
}

static void pod_prepare(struct arena *arena, struct val *obj, const struct val *old,
                        struct str subresource)
{
    if (old == NULL) {
        struct val status = val_map();
        (void)val_set(arena, &status, S("phase"), val_str(S("Pending")));
        (void)val_set(arena, &status, S("qosClass"),
                      val_str(pod_qos_class(val_get(obj, S("spec")))));
        (void)val_set(arena, obj, S("status"), status);
        return;
    }
    bool is_status = str_eq(subresource, S("status"));
    struct str kept = is_status ? S("spec") : S("status");
    const struct val *before = val_get(old, kept);
    if (before != NULL && !str_eq(subresource, S("binding"))) {
        (void)val_set(arena, obj, kept, val_copy(arena, before));
    }
    struct val *status = val_slot(obj, S("status"));
    const struct val *qos = val_path(old, "status.qosClass");
    if (is_status && status != NULL && qos != NULL) {
        (void)val_set(arena, status, S("qosClass"), *qos);
    }
}

static bool mounts_token(const struct val *container)
{
    const struct val *mounts = val_get(container, S("volumeMounts"));
    for (size_t i = 0; i < val_count(mounts); i++) {
        if (str_eq(val_text_at(val_at(mounts, i), "mountPath"), S(TOKEN_MOUNT))) {
            return true;
        }
    }
    return false;
}

/* One source of the projected volume, {key: body}. */
static void add_source(struct arena *arena, struct val *sources, struct str key, struct val body)
{
    struct val source = val_map();
    (void)val_set(arena, &source, key, body);
    (void)val_push(arena, sources, source);
}

static struct val one_item(struct arena *arena, struct str key, struct str value, struct str path)
{
    struct val item = val_map();
    struct val items = val_list();
    (void)val_set(arena, &item, key, val_str(value));
    (void)val_set(arena, &item, S("path"), val_str(path));
    (void)val_push(arena, &items, item);
    return items;
}

static struct val token_volume(struct arena *arena, struct str name)
{
    struct val token = val_map();
    (void)val_set(arena, &token, S("expirationSeconds"), val_int(TOKEN_SECONDS));
    (void)val_set(arena, &token, S("path"), val_str(S("token")));
    struct val root_ca = val_map();
    (void)val_set(arena, &root_ca, S("name"), val_str(S("kube-root-ca.crt")));
    (void)val_set(arena, &root_ca, S("items"), one_item(arena, S("key"), S("ca.crt"), S("ca.crt")));
    struct val ref = val_map();
    (void)val_set(arena, &ref, S("apiVersion"), val_str(S("v1")));
    (void)val_set(arena, &ref, S("fieldPath"), val_str(S("metadata.namespace")));
    struct val item = val_map();
    (void)val_set(arena, &item, S("fieldRef"), ref);
    (void)val_set(arena, &item, S("path"), val_str(S("namespace")));
    struct val downward = val_map();
    (void)val_push(arena, val_need_list(arena, &downward, S("items")), item);

    struct val sources = val_list();
    add_source(arena, &sources, S("serviceAccountToken"), token);
    add_source(arena, &sources, S("configMap"), root_ca);
    add_source(arena, &sources, S("downwardAPI"), downward);
    struct val projected = val_map();
    (void)val_set(arena, &projected, S("defaultMode"), val_int(0644));
    (void)val_set(arena, &projected, S("sources"), sources);
    struct val volume = val_map();
    (void)val_set(arena, &volume, S("name"), val_str(name));
    (void)val_set(arena, &volume, S("projected"), projected);
    return volume;
}

static void mount_token(struct arena *arena, struct val *spec, struct rng *rng)
{
    static const char *const lists[] = {"initContainers", "containers"};
    char suffix[NAME_SUFFIX_LEN + 1];
    bool is_used = false;
    rng_name_suffix(rng, suffix);
    struct str name = arena_fmt(arena, "kube-api-access-%s", suffix);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct val *containers = val_slot(spec, str_of(lists[i]));
        for (size_t k = 0; k < val_count(containers); k++) {
            struct val *container = &containers->items[k];
            if (mounts_token(container)) {
                continue;
            }
            struct val mount = val_map();
            (void)val_set(arena, &mount, S("mountPath"), val_str(S(TOKEN_MOUNT)));
            (void)val_set(arena, &mount, S("name"), val_str(name));
            (void)val_set(arena, &mount, S("readOnly"), val_bool(true));
            (void)val_push(arena, val_need_list(arena, container, S("volumeMounts")), mount);
            is_used = true;
        }
    }
    if (is_used) {
        (void)val_push(arena, val_need_list(arena, spec, S("volumes")), token_volume(arena, name));
    }
}

static void admit_service_account(struct admission *a, struct val *obj, struct val *spec)
{
    if (val_text_at(spec, "serviceAccountName").n == 0) {
        (void)val_set(a->arena, spec, S("serviceAccountName"), val_str(S("default")));
    }
    struct str name = val_text_at(spec, "serviceAccountName");
    (void)val_set(a->arena, spec, S("serviceAccount"), val_str(name));
    const struct val *account = api_peek(a->api, kind_of(KIND_SERVICE_ACCOUNT), a->ns, name);
    if (account == NULL) {
        struct str pod = val_text_at(obj, "metadata.name");
        *a->denied =
            status_forbidden(a->arena, a->kind, pod,
                             arena_fmt(a->arena,
                                       "error looking up service account " STR_FMT "/" STR_FMT
                                       ": serviceaccount \"" STR_FMT "\" not found",
                                       STR_ARG(a->ns), STR_ARG(name), STR_ARG(name)));
        return;
    }
    const struct val *secrets = val_get(account, S("imagePullSecrets"));
    if (val_count(val_get(spec, S("imagePullSecrets"))) == 0 && val_count(secrets) > 0) {
        (void)val_set(a->arena, spec, S("imagePullSecrets"), val_copy(a->arena, secrets));
    }
    const struct val *wanted = val_get(spec, S("automountServiceAccountToken"));
    wanted = wanted != NULL ? wanted : val_get(account, S("automountServiceAccountToken"));
    if (wanted == NULL || val_is_true(wanted)) {
        mount_token(a->arena, spec, api_config(a->api)->rng);
    }
}

static void tolerate(struct arena *arena, struct val *spec, struct str key)
{
    struct val *list = val_need_list(arena, spec, S("tolerations"));
    for (size_t i = 0; i < val_count(list); i++) {
        struct str k = val_text_at(val_at(list, i), "key");
        struct str effect = val_text_at(val_at(list, i), "effect");
        bool is_all = k.n == 0 && str_eq(val_text_at(val_at(list, i), "operator"), S("Exists"));
        if ((str_eq(k, key) || is_all) && (effect.n == 0 || str_eq(effect, S("NoExecute")))) {
            return;
        }
    }
    struct val t = val_map();
    (void)val_set(arena, &t, S("effect"), val_str(S("NoExecute")));
    (void)val_set(arena, &t, S("key"), val_str(key));
    (void)val_set(arena, &t, S("operator"), val_str(S("Exists")));
    (void)val_set(arena, &t, S("tolerationSeconds"), val_int(TOLERATION_SECONDS));
    (void)val_push(arena, list, t);
}

static void admit_priority(struct admission *a, struct val *spec)
{
    static const struct {
        struct str name;
        int64_t value;
    } system_classes[] = {
        {{"system-cluster-critical", 23}, 2000000000},
        {{"system-node-critical", 20},    2000001000}
    };
    int64_t value = 0;
    struct str name = val_text_at(spec, "priorityClassName");
    for (size_t i = 0; i < ARRAY_LEN(system_classes); i++) {
        value = str_eq(name, system_classes[i].name) ? system_classes[i].value : value;
    }
    const struct kind *kind = kind_by_name(S("scheduling.k8s.io"), S("v1"), S("PriorityClass"));
    const struct val *class =
        name.n > 0 && value == 0 && kind != NULL ? api_peek(a->api, kind, S(""), name) : NULL;
    if (name.n > 0 && value == 0 && class == NULL) {
        *a->denied = status_forbidden(
            a->arena, a->kind, S(""),
            arena_fmt(a->arena, "no PriorityClass with name " STR_FMT " was found", STR_ARG(name)));
        return;
    }
    value = class != NULL ? val_number_at(class, "value", 0) : value;
    (void)val_set(a->arena, spec, S("priority"), val_int(value));
    if (val_text_at(spec, "preemptionPolicy").n == 0) {
        struct str policy = val_text_at(class, "preemptionPolicy");
        (void)val_set(a->arena, spec, S("preemptionPolicy"),
                      val_str(policy.n > 0 ? policy : S("PreemptLowerPriority")));
    }
}

static void pod_admit(struct admission *a, struct val *obj)
{
    struct val *spec = val_need_map(a->arena, obj, S("spec"));
    if (a->subresource.n > 0) {
        return;
    }
    tolerate(a->arena, spec, S("node.kubernetes.io/not-ready"));
    tolerate(a->arena, spec, S("node.kubernetes.io/unreachable"));
    if (a->old != NULL) {
        return;
    }
    admit_service_account(a, obj, spec);
    if (a->denied->code != 0) {
        return;
    }
    if (val_true_at(spec, "shareProcessNamespace") && a->warn != NULL) {
        a->warn(a->warn_ctx,
                S("spec.shareProcessNamespace: not offered by this node: containers keep "
                  "process namespaces of their own"));
    }
    admit_priority(a, spec);
}

static void pod_validate(const struct val *obj, struct causes *causes)
{
    pod_spec_validate(val_get(obj, S("spec")), S("spec"), NULL, 0, causes);
}

/* Makes the parts of a spec that may change equal to the old ones, so that what differs then
 * mustn't. */
static void mask_mutable(struct arena *arena, struct val *spec, const struct val *old)
{
    static const char *const lists[] = {"initContainers", "containers"};
    static const struct str fields[] = {
        {"activeDeadlineSeconds",         21},
        {"tolerations",                   11},
        {"schedulingGates",               15},
        {"ephemeralContainers",           19},
        {"nodeName",                      8 },
        {"terminationGracePeriodSeconds", 29}
    };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct val *containers = val_slot(spec, str_of(lists[i]));
        const struct val *before = val_get(old, str_of(lists[i]));
        for (size_t k = 0; k < val_count(containers) && k < val_count(before); k++) {
            const struct val *image = val_get(val_at(before, k), S("image"));
            (void)val_set(arena, &containers->items[k], S("image"),
                          image == NULL ? val_null() : *image);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct val *v = val_get(old, fields[i]);
        (void)val_remove(spec, fields[i]);
        if (v != NULL) {
            (void)val_set(arena, spec, fields[i], *v);
        }
    }
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* What two tolerations must share to be the same but for their seconds: a text for each, sorted. */
static struct str *toleration_texts(struct arena *arena, const struct val *tolerations)
{
    size_t count = val_count(tolerations);
    struct str *texts = arena_alloc(arena, (count + 1) * sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        const struct val *v = val_at(tolerations, i);
        texts[i] = arena_fmt(arena, STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT,
                             STR_ARG(val_text_at(v, "key")), STR_ARG(val_text_at(v, "operator")),
                             STR_ARG(val_text_at(v, "value")), STR_ARG(val_text_at(v, "effect")));
    }
    qsort(texts, count, sizeof *texts, by_text);
    return texts;
}

/* Each toleration stays, but for its seconds. */
static void check_tolerations(const struct val *spec, const struct val *before,
                              struct causes *causes)
{
    const struct val *old = val_get(before, S("tolerations"));
    const struct val *now = val_get(spec, S("tolerations"));
    if (val_eq(old, now)) {
        return;
    }
    const struct str *had = toleration_texts(causes->arena, old);
    const struct str *has = toleration_texts(causes->arena, now);
    for (size_t i = 0; i < val_count(old); i++) {
        if (bsearch(&had[i], has, val_count(now), sizeof *has, by_text) == NULL) {
            cause_add(causes, CAUSE_FORBIDDEN, S("spec.tolerations"), NULL,
                      S("existing toleration can not be modified except its tolerationSeconds"));
        }
    }
}

static bool check_containers(const struct val *spec, const struct val *before, const char *list,
                             struct causes *causes)
{
    if (val_count(val_get(spec, str_of(list))) == val_count(val_get(before, str_of(list)))) {
        return true;
    }
    cause_add(causes, CAUSE_FORBIDDEN, arena_fmt(causes->arena, "spec.%s", list), NULL,
              S("pod updates may not add or remove containers"));
    return false;
}

static void pod_validate_update(const struct val *obj, const struct val *old, struct causes *causes)
{
    const struct val *before = val_get(old, S("spec"));
    const struct val *spec = val_get(obj, S("spec"));
    struct val masked = val_copy(causes->arena, spec);
    if (!check_containers(spec, before, "containers", causes) ||
        !check_containers(spec, before, "initContainers", causes)) {
        return;
    }
    check_tolerations(spec, before, causes);
    mask_mutable(causes->arena, &masked, before);
    if (val_text_at(before, "nodeName").n > 0) {
        const struct val *node = val_get(spec, S("nodeName"));
        (void)val_remove(&masked, S("nodeName"));
        if (node != NULL) {
            (void)val_set(causes->arena, &masked, S("nodeName"), *node);
        }
    }
    if (val_eq(&masked, before)) {
        return;
    }
    cause_add(causes, CAUSE_FORBIDDEN, S("spec"), NULL,
              arena_fmt(causes->arena,
                        "pod updates may not change fields other than `spec.containers[*].image`,"
                        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                        "`spec.tolerations` (only additions to existing tolerations),"
                        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
                        "previously negative)" STR_FMT,
                        STR_ARG(difference_text(causes->arena, before, &masked))));
}

static bool pod_field(struct arena *arena, const struct val *obj, struct str path, struct str *ret)
{
    static const char *const texts[] = {
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",      "spec.serviceAccountName",
        "status.phase",  "status.podIP",       "status.nominatedNodeName"};
    (void)arena;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (str_eq(path, str_of(texts[i]))) {
            *ret = val_text_at(obj, texts[i]);
            return true;
        }
    }
    if (str_eq(path, S("spec.host"))) {
        *ret = val_text_at(obj, "spec.nodeName");
        return true;
    }
    if (str_eq(path, S("spec.hostNetwork"))) {
        *ret = val_true_at(obj, "spec.hostNetwork") ? S("true") : S("false");
        return true;
    }
    if (str_eq(path, S("status.podIPs"))) {
        *ret = val_text_at(obj, "status.podIP");
        return true;
    }
    return false;
}

/* A pod that no node has taken, or whose containers are done, is gone at once. */
static int64_t pod_grace_seconds(const struct val *obj, int64_t asked)
{
    struct str phase = val_text_at(obj, "status.phase");
    if (val_text_at(obj, "spec.nodeName").n == 0 || str_eq(phase, S("Succeeded")) ||
        str_eq(phase, S("Failed"))) {
        return 0;
    }
    int64_t grace =
        asked >= 0 ? asked : val_number_at(obj, "spec.terminationGracePeriodSeconds", 30);
    return grace < 0 ? 1 : grace;
}

const struct strategy strategy_pod = {
    .defaults = pod_defaults,
    .prepare = pod_prepare,
    .admit = pod_admit,
    .validate = pod_validate,
    .validate_update = pod_validate_update,
    .field = pod_field,
    .grace_seconds = pod_grace_seconds,
};
