// SPDX-License-Identifier: Apache-2.0
//
// Validation of pod specs: containers, ports, probes, environment, resources, and what they refer
// to. Volumes are in pod_volumes.c. Closed sets of values are checked by schema (check_enums).
#include "api/strategy_pod.h"

#include "api/names.h"
#include "api/rules.h"
#include "base/mem.h"
#include "data/quantity.h"

static const char *const lists[] = {"initContainers", "containers"};

struct check {
    struct causes *causes;
    struct str *volumes; /* that mounts may name, sorted */
    size_t volumes_count;
    const bool *repeated; /* for the container to come: its name came before, over all lists */
    bool is_host_network;
};

static struct str at(struct check *c, struct str path, const char *name)
{
    return arena_fmt(c->causes->arena, STR_FMT ".%s", STR_ARG(path), name);
}

static struct str at_index(struct check *c, struct str path, const char *name, size_t i)
{
    return arena_fmt(c->causes->arena, STR_FMT ".%s[%zu]", STR_ARG(path), name, i);
}

static void require(struct check *c, struct str path, const char *detail)
{
    cause_add(c->causes, CAUSE_REQUIRED, path, NULL, str_of(detail));
}

static void check_ports(struct check *c, const struct val *container, struct str path)
{
    const struct val *ports = val_get(container, S("ports"));
    struct arena *a = c->causes->arena;
    const bool *repeated = names_repeated(a, names_of(a, ports, "name"), val_count(ports));
    for (size_t i = 0; i < val_count(ports); i++) {
        const struct val *port = val_at(ports, i);
        struct str here = at_index(c, path, "ports", i);
        const struct val *number = val_get(port, S("containerPort"));
        const struct val *host = val_get(port, S("hostPort"));
        const struct val *name = val_get(port, S("name"));
        if (number == NULL) {
            require(c, at(c, here, "containerPort"), "");
        } else {
            check_port(number, at(c, here, "containerPort"), c->causes);
        }
        if (val_number(host, 0) != 0) {
            check_port(host, at(c, here, "hostPort"), c->causes);
        }
        if (c->is_host_network && val_number(host, 0) != val_number(number, 0)) {
            cause_add(c->causes, CAUSE_INVALID, at(c, here, "hostPort"), host,
                      S("must match `containerPort` when `hostNetwork` is true"));
        }
        if (val_text(name).n > 0) {
            check_rule(rule_port_name(val_text(name)), at(c, here, "name"), name, c->causes);
        }
        if (repeated[i] && val_text(name).n > 0) {
            cause_add(c->causes, CAUSE_DUPLICATE, at(c, here, "name"), name, S(""));
        }
    }
}

static void check_value_from(struct check *c, const struct val *from, struct str path)
{
    static const char *const sources[] = {"fieldRef", "resourceFieldRef", "configMapKeyRef",
                                          "secretKeyRef", "fileKeyRef"};
    size_t found = 0;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        found += val_get(from, str_of(sources[i])) != NULL;
    }
    if (found != 1) {
        cause_add(c->causes, CAUSE_INVALID, path, val_is(from, VAL_MAP) ? from : NULL,
                  found == 0
                      ? S("must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                          "`secretKeyRef` or `fileKeyRef`")
                      : S("may not have more than one field specified at a time"));
    }
    for (size_t i = 2; i < 4; i++) {
        const struct val *ref = val_get(from, str_of(sources[i]));
        if (ref != NULL && val_text_at(ref, "key").n == 0) {
            require(c, at(c, at(c, path, sources[i]), "key"), "");
        }
        if (ref != NULL && val_text_at(ref, "name").n == 0) {
            require(c, at(c, at(c, path, sources[i]), "name"), "");
        }
    }
    const struct val *field = val_get(from, S("fieldRef"));
    if (field != NULL && val_text_at(field, "fieldPath").n == 0) {
        require(c, at(c, at(c, path, "fieldRef"), "fieldPath"), "");
    }
}

static void check_env(struct check *c, const struct val *container, struct str path)
{
    const struct val *env = val_get(container, S("env"));
    for (size_t i = 0; i < val_count(env); i++) {
        const struct val *e = val_at(env, i);
        struct str here = at_index(c, path, "env", i);
        const struct val *from = val_get(e, S("valueFrom"));
        if (val_text_at(e, "name").n == 0) {
            require(c, at(c, here, "name"), "");
        } else {
            check_rule(rule_env_name(val_text_at(e, "name")), at(c, here, "name"),
                       val_get(e, S("name")), c->causes);
        }
        if (from != NULL && val_text_at(e, "value").n > 0) {
            cause_add(c->causes, CAUSE_INVALID, at(c, here, "valueFrom"), NULL,
                      S("may not be specified when `value` is not empty"));
        } else if (from != NULL) {
            check_value_from(c, from, at(c, here, "valueFrom"));
        }
    }
}

static void check_mounts(struct check *c, const struct val *container, struct str path)
{
    const struct val *mounts = val_get(container, S("volumeMounts"));
    struct arena *a = c->causes->arena;
    const bool *repeated = names_repeated(a, names_of(a, mounts, "mountPath"), val_count(mounts));
    for (size_t i = 0; i < val_count(mounts); i++) {
        const struct val *m = val_at(mounts, i);
        struct str here = at_index(c, path, "volumeMounts", i);
        struct str name = val_text_at(m, "name");
        struct str mount_path = val_text_at(m, "mountPath");
        struct str sub_path = val_text_at(m, "subPath");
        if (name.n == 0) {
            require(c, at(c, here, "name"), "");
        } else if (!names_has(c->volumes, c->volumes_count, name)) {
            cause_add(c->causes, CAUSE_NOT_FOUND, at(c, here, "name"), val_get(m, S("name")),
                      S(""));
        }
        if (mount_path.n == 0) {
            require(c, at(c, here, "mountPath"), "");
        }
        if (repeated[i]) {
            cause_add(c->causes, CAUSE_INVALID, at(c, here, "mountPath"),
                      val_get(m, S("mountPath")), S("must be unique"));
        }
        if (str_starts(sub_path, S("/"))) {
            cause_add(c->causes, CAUSE_INVALID, at(c, here, "subPath"), val_get(m, S("subPath")),
                      S("must be a relative path"));
        }
        struct str rest = sub_path;
        while (rest.p != NULL && rest.n > 0) {
            if (str_eq(str_cut(&rest, '/'), S(".."))) {
                cause_add(c->causes, CAUSE_INVALID, at(c, here, "subPath"),
                          val_get(m, S("subPath")), S("must not contain '..'"));
            }
        }
    }
}

static void check_probe(struct check *c, const struct val *container, const char *name,
                        struct str path)
{
    static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "grpc"};
    static const char *const numbers[] = {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                                          "successThreshold", "failureThreshold"};
    const struct val *probe = val_get(container, str_of(name));
    struct str here = at(c, path, name);
    size_t found = 0;
    if (probe == NULL) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
        found += val_get(probe, str_of(handlers[i])) != NULL;
    }
    if (found == 0) {
        require(c, here, "must specify a handler type");
    } else if (found > 1) {
        cause_add(c->causes, CAUSE_FORBIDDEN, here, NULL,
                  S("may not specify more than 1 handler type"));
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        check_not_negative(val_get(probe, str_of(numbers[i])), at(c, here, numbers[i]), c->causes);
    }
    if (strcmp(name, "readinessProbe") != 0 && val_number_at(probe, "successThreshold", 1) != 1) {
        cause_add(c->causes, CAUSE_INVALID, at(c, here, "successThreshold"),
                  val_get(probe, S("successThreshold")), S("must be 1"));
    }
    if (val_get(probe, S("exec")) != NULL && val_count(val_path(probe, "exec.command")) == 0) {
        require(c, at(c, here, "exec.command"), "");
    }
    const struct val *port = val_path(probe, "httpGet.port");
    if (val_is(port, VAL_INT)) {
        check_port(port, at(c, here, "httpGet.port"), c->causes);
    }
    port = val_path(probe, "tcpSocket.port");
    if (val_is(port, VAL_INT)) {
        check_port(port, at(c, here, "tcpSocket.port"), c->causes);
    }
}

static bool read_quantity(const struct val *v, struct quantity *ret)
{
    struct err err;
    return quantity_parse(val_text(v), ret, &err) == 0;
}

static void check_resources(struct check *c, const struct val *container, struct str path)
{
    const struct val *limits = val_path(container, "resources.limits");
    const struct val *requests = val_path(container, "resources.requests");
    const struct quantity zero = {0};
    struct arena *a = c->causes->arena;
    for (int side = 0; side < 2; side++) {
        const struct val *map = side == 0 ? limits : requests;
        for (size_t i = 0; i < val_count(map); i++) {
            struct quantity q;
            struct str here =
                arena_fmt(a, STR_FMT ".resources.%s[" STR_FMT "]", STR_ARG(path),
                          side == 0 ? "limits" : "requests", STR_ARG(map->members[i].key));
            if (read_quantity(&map->members[i].val, &q) && quantity_cmp(q, zero) < 0) {
                cause_add(c->causes, CAUSE_INVALID, here, &map->members[i].val,
                          S("must be greater than or equal to 0"));
            }
        }
    }
    for (size_t i = 0; i < val_count(requests); i++) {
        const struct member *m = &requests->members[i];
        struct quantity request;
        struct quantity limit;
        const struct val *other = val_get(limits, m->key);
        if (other != NULL && read_quantity(&m->val, &request) && read_quantity(other, &limit) &&
            quantity_cmp(request, limit) > 0) {
            cause_add(c->causes, CAUSE_INVALID, at(c, path, "resources.requests"), &m->val,
                      arena_fmt(a, "must be less than or equal to " STR_FMT " limit of " STR_FMT,
                                STR_ARG(m->key), STR_ARG(val_text(other))));
        }
    }
}

static void check_security(struct check *c, const struct val *context, struct str path)
{
    static const char *const ids[] = {"runAsUser", "runAsGroup", "fsGroup"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        int64_t id = val_number(val_get(context, str_of(ids[i])), 0);
        if (id < 0 || id > INT32_MAX) {
            cause_add(c->causes, CAUSE_INVALID, at(c, path, ids[i]),
                      val_get(context, str_of(ids[i])),
                      S("must be between 0 and 2147483647, inclusive"));
        }
    }
    if (val_true_at(context, "privileged") &&
        val_is(val_get(context, S("allowPrivilegeEscalation")), VAL_BOOL) &&
        !val_true_at(context, "allowPrivilegeEscalation")) {
        cause_add(c->causes, CAUSE_INVALID, path, context,
                  S("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    }
}

static void check_name(struct check *c, const struct val *container, struct str path)
{
    struct str name = val_text_at(container, "name");
    bool is_repeated = *c->repeated++;
    if (name.n == 0) {
        require(c, at(c, path, "name"), "");
        return;
    }
    check_rule(rule_dns_label(name, /*is_prefix=*/false), at(c, path, "name"),
               val_get(container, S("name")), c->causes);
    if (is_repeated) {
        cause_add(c->causes, CAUSE_DUPLICATE, at(c, path, "name"), val_get(container, S("name")),
                  S(""));
    }
}

static void check_container(struct check *c, const struct val *container, struct str path,
                            bool is_init)
{
    static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    bool is_sidecar = is_init && str_eq(val_text_at(container, "restartPolicy"), S("Always"));
    check_name(c, container, path);
    if (str_trim(val_text_at(container, "image")).n == 0) {
        require(c, at(c, path, "image"), "");
    } else if (str_trim(val_text_at(container, "image")).n != val_text_at(container, "image").n) {
        cause_add(c->causes, CAUSE_INVALID, at(c, path, "image"), val_get(container, S("image")),
                  S("must not have leading or trailing whitespace"));
    }
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        if (is_init && !is_sidecar && val_get(container, str_of(probes[i])) != NULL) {
            cause_add(c->causes, CAUSE_FORBIDDEN, at(c, path, probes[i]), NULL,
                      S("may not be set for init containers without restartPolicy=Always"));
        } else {
            check_probe(c, container, probes[i], path);
        }
    }
    if (is_init && !is_sidecar && val_get(container, S("lifecycle")) != NULL) {
        cause_add(c->causes, CAUSE_FORBIDDEN, at(c, path, "lifecycle"), NULL,
                  S("may not be set for init containers without restartPolicy=Always"));
    }
    check_ports(c, container, path);
    check_env(c, container, path);
    check_mounts(c, container, path);
    check_resources(c, container, path);
    check_security(c, val_get(container, S("securityContext")), at(c, path, "securityContext"));
}

static void collect_volumes(struct check *c, const struct val *spec, const struct str *extra,
                            size_t count)
{
    const struct val *volumes = val_get(spec, S("volumes"));
    c->volumes = arena_alloc(c->causes->arena, (val_count(volumes) + count) * sizeof *c->volumes);
    for (size_t i = 0; i < val_count(volumes); i++) {
        c->volumes[c->volumes_count++] = val_text_at(val_at(volumes, i), "name");
    }
    for (size_t i = 0; i < count; i++) {
        c->volumes[c->volumes_count++] = extra[i];
    }
    names_sort(c->volumes, c->volumes_count);
}

static void collect_containers(struct check *c, const struct val *spec)
{
    struct arena *a = c->causes->arena;
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        count += val_count(val_get(spec, str_of(lists[i])));
    }
    struct str *names = arena_alloc(a, count * sizeof *names);
    for (size_t i = 0, at = 0; i < ARRAY_LEN(lists); i++) {
        const struct val *list = val_get(spec, str_of(lists[i]));
        for (size_t k = 0; k < val_count(list); k++) {
            names[at++] = val_text_at(val_at(list, k), "name");
        }
    }
    c->repeated = names_repeated(a, names, count);
}

static void check_pod_fields(struct check *c, const struct val *spec, struct str path)
{
    static const char *const labels[] = {"hostname", "subdomain"};
    check_not_negative(val_get(spec, S("terminationGracePeriodSeconds")),
                       at(c, path, "terminationGracePeriodSeconds"), c->causes);
    if (val_get(spec, S("activeDeadlineSeconds")) != NULL &&
        val_number_at(spec, "activeDeadlineSeconds", 0) < 1) {
        cause_add(c->causes, CAUSE_INVALID, at(c, path, "activeDeadlineSeconds"),
                  val_get(spec, S("activeDeadlineSeconds")),
                  S("must be between 1 and 2147483647, inclusive"));
    }
    for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
        const struct val *v = val_get(spec, str_of(labels[i]));
        if (val_text(v).n > 0) {
            check_rule(rule_dns_label(val_text(v), /*is_prefix=*/false), at(c, path, labels[i]), v,
                       c->causes);
        }
    }
    const struct val *account = val_get(spec, S("serviceAccountName"));
    if (val_text(account).n > 0) {
        check_rule(rule_dns_subdomain(val_text(account), /*is_prefix=*/false),
                   at(c, path, "serviceAccountName"), account, c->causes);
    }
    check_labels(val_get(spec, S("nodeSelector")), at(c, path, "nodeSelector"), c->causes);
    if (str_eq(val_text_at(spec, "dnsPolicy"), S("None")) &&
        val_count(val_path(spec, "dnsConfig.nameservers")) == 0) {
        require(c, at(c, path, "dnsConfig.nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
    check_security(c, val_get(spec, S("securityContext")), at(c, path, "securityContext"));
}

void pod_spec_validate(const struct val *spec, struct str path, const struct str *extra_volumes,
                       size_t extra_count, struct causes *causes)
{
    struct check c = {.causes = causes, .is_host_network = val_true_at(spec, "hostNetwork")};
    collect_containers(&c, spec);
    collect_volumes(&c, spec, extra_volumes, extra_count);
    pod_volumes_validate(val_get(spec, S("volumes")), at(&c, path, "volumes"), causes);
    if (val_count(val_get(spec, S("containers"))) == 0) {
        require(&c, at(&c, path, "containers"), "");
    }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct val *containers = val_get(spec, str_of(lists[i]));
        for (size_t k = 0; k < val_count(containers); k++) {
            check_container(&c, val_at(containers, k), at_index(&c, path, lists[i], k),
                            /*is_init=*/i == 0);
        }
    }
    check_pod_fields(&c, spec, path);
    check_enums(schema_find(S("core.v1.PodSpec")), spec, path, causes);
}

void pod_template_validate(const struct val *template, struct str path,
                           const struct str *extra_volumes, size_t extra_count,
                           struct causes *causes)
{
    struct arena *a = causes->arena;
    check_labels(val_path(template, "metadata.labels"),
                 arena_fmt(a, STR_FMT ".metadata.labels", STR_ARG(path)), causes);
    const struct val *annotations = val_path(template, "metadata.annotations");
    for (size_t i = 0; i < val_count(annotations); i++) {
        struct val key = val_str(annotations->members[i].key);
        check_rule(rule_qualified_name(annotations->members[i].key),
                   arena_fmt(a, STR_FMT ".metadata.annotations", STR_ARG(path)), &key, causes);
    }
    pod_spec_validate(val_get(template, S("spec")), arena_fmt(a, STR_FMT ".spec", STR_ARG(path)),
                      extra_volumes, extra_count, causes);
}
