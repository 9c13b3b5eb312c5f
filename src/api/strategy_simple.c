// SPDX-License-Identifier: Apache-2.0
//
// The strategies of the core kinds whose rules are few: defaults, checks, immutable fields
// (spec/api.md 5.2, 6; upstream's registry and validation packages). RBAC and storage kinds have
// files of their own.
#include "api/strategy.h"

#include "api/meta.h"
#include "api/rules.h"
#include "base/enc.h"
#include "base/limits.h"

static const struct val *old_or_null(const struct val *old, struct str key)
{
    return val_get(old, key);
}

/* Field selectors that read one path of the object: rows of (selector, path in the object). */
struct field_row {
    const char *label;
    const char *path;
};

static bool field_of_rows(const struct field_row *rows, size_t count, struct arena *arena,
                          const struct val *obj, struct str path, struct str *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(path, str_of(rows[i].label))) {
            continue;
        }
        const struct val *v = val_path(obj, rows[i].path);
        if (val_is(v, VAL_BOOL)) {
            *ret = val_is_true(v) ? S("true") : S("false");
        } else if (val_is(v, VAL_INT)) {
            *ret = arena_fmt(arena, "%lld", (long long)v->i);
        } else {
            *ret = val_text(v);
        }
        return true;
    }
    return false;
}

static bool has_text(const struct val *list, struct str text)
{
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_at(list, i)), text)) {
            return true;
        }
    }
    return false;
}

/* Namespace */

static void namespace_defaults(struct arena *arena, struct val *obj)
{
    struct val *meta = meta_of(arena, obj);
    struct str name = val_text(val_get(meta, S("name")));
    if (name.n != 0) {
        struct val *labels = val_need_map(arena, meta, S("labels"));
        (void)val_set(arena, labels, S("kubernetes.io/metadata.name"), val_str(name));
    }
}

static void namespace_prepare(struct arena *arena, struct val *obj, const struct val *old,
                              struct str subresource)
{
    (void)subresource;
    if (old == NULL) {
        (void)val_set_path(arena, obj, "status.phase", val_str(S("Active")));
        struct val *spec = val_need_map(arena, obj, S("spec"));
        struct val *finalizers = val_need_list(arena, spec, S("finalizers"));
        if (!has_text(finalizers, S("kubernetes"))) {
            (void)val_push(arena, finalizers, val_str(S("kubernetes")));
        }
        return;
    }
    /* Only /finalize moves the finalizers. */
    const struct val *spec = old_or_null(old, S("spec"));
    if (spec != NULL) {
        (void)val_set(arena, obj, S("spec"), val_copy(arena, spec));
    }
}

static bool namespace_field(struct arena *arena, const struct val *obj, struct str path,
                            struct str *ret)
{
    static const struct field_row rows[] = {
        {"status.phase", "status.phase" },
        {"name",         "metadata.name"}
    };
    return field_of_rows(rows, 2, arena, obj, path, ret);
}

const struct strategy strategy_namespace = {.defaults = namespace_defaults,
                                            .prepare = namespace_prepare,
                                            .check_name = rule_dns_label,
                                            .field = namespace_field};

/* Node */

static bool node_field(struct arena *arena, const struct val *obj, struct str path, struct str *ret)
{
    if (str_eq(path, S("spec.unschedulable"))) {
        *ret = val_true_at(obj, "spec.unschedulable") ? S("true") : S("false");
        return true;
    }
    (void)arena;
    return false;
}

/* Cordoning is a taint as well, for those who look at taints alone. Upstream's node lifecycle
 * controller adds it a moment later. */
static void node_prepare(struct arena *arena, struct val *obj, const struct val *old,
                         struct str subresource)
{
    static const struct str key = {"node.kubernetes.io/unschedulable", 32};
    (void)old;
    if (subresource.n > 0) {
        return;
    }
    struct val *spec = val_need_map(arena, obj, S("spec"));
    const struct val *taints = val_get(spec, S("taints"));
    struct val kept = val_list();
    for (size_t i = 0; i < val_count(taints); i++) {
        if (!str_eq(val_text_at(val_at(taints, i), "key"), key)) {
            (void)val_push(arena, &kept, *val_at(taints, i));
        }
    }
    if (val_true_at(spec, "unschedulable")) {
        struct val taint = val_map();
        (void)val_set(arena, &taint, S("effect"), val_str(S("NoSchedule")));
        (void)val_set(arena, &taint, S("key"), val_str(key));
        (void)val_push(arena, &kept, taint);
    }
    (void)val_remove(spec, S("taints"));
    if (val_count(&kept) > 0) {
        (void)val_set(arena, spec, S("taints"), kept);
    }
}

static void node_validate(const struct val *obj, struct causes *causes)
{
    static const struct str effects[] = {
        {"NoSchedule",       10},
        {"PreferNoSchedule", 16},
        {"NoExecute",        9 }
    };
    const struct val *taints = val_path(obj, "spec.taints");
    for (size_t i = 0; i < val_count(taints); i++) {
        const struct val *taint = val_at(taints, i);
        struct str wrong = rule_qualified_name(val_text(val_get(taint, S("key"))));
        if (wrong.n != 0) {
            cause_add(causes, CAUSE_INVALID, arena_fmt(causes->arena, "spec.taints[%zu].key", i),
                      val_get(taint, S("key")), wrong);
        }
        struct str effect = val_text(val_get(taint, S("effect")));
        if (!str_eq(effect, effects[0]) && !str_eq(effect, effects[1]) &&
            !str_eq(effect, effects[2])) {
            cause_add_unsupported(causes, arena_fmt(causes->arena, "spec.taints[%zu].effect", i),
                                  val_get(taint, S("effect")), effects, 3);
        }
    }
}

const struct strategy strategy_node = {
    .prepare = node_prepare, .validate = node_validate, .field = node_field};

/* ConfigMap and Secret: keys, size, immutable */

enum { DATA_BYTES_MAX = 1 << 20 };

static bool key_ok(struct str key)
{
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool is_ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.';
        if (!is_ok) {
            return false;
        }
    }
    return key.n != 0;
}

static struct str check_key(struct str key)
{
    if (key.n > NAME_LEN_MAX) {
        return S("must be no more than 253 characters");
    }
    if (str_eq(key, S(".")) || str_eq(key, S(".."))) {
        return str_eq(key, S(".")) ? S("must not be '.'") : S("must not be '..'");
    }
    if (str_starts(key, S(".."))) {
        return S("must not start with '..'");
    }
    return key_ok(key) ? S("")
                       : S("a valid config key must consist of alphanumeric characters, '-', '_' "
                           "or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used "
                           "for validation is '[-._a-zA-Z0-9]+')");
}

static size_t check_data(const struct val *data, const char *field, struct causes *causes)
{
    size_t bytes = 0;
    for (size_t i = 0; val_is(data, VAL_MAP) && i < data->n; i++) {
        struct str key = data->members[i].key;
        bytes += val_text(&data->members[i].val).n;
        struct str wrong = check_key(key);
        if (wrong.n != 0) {
            struct val shown = val_str(key);
            cause_add(causes, CAUSE_INVALID,
                      arena_fmt(causes->arena, "%s[" STR_FMT "]", field, STR_ARG(key)), &shown,
                      wrong);
        }
    }
    return bytes;
}

static void check_immutable_data(const struct val *obj, const struct val *old,
                                 struct causes *causes)
{
    static const char *const fields[] = {"data", "binaryData"};
    if (!val_is_true(val_get(old, S("immutable")))) {
        return;
    }
    if (!val_is_true(val_get(obj, S("immutable")))) {
        cause_add(causes, CAUSE_FORBIDDEN, S("immutable"), NULL,
                  S("field is immutable when `immutable` is set"));
    }
    for (size_t i = 0; i < 2; i++) {
        const struct val *is = val_get(obj, str_of(fields[i]));
        const struct val *was = val_get(old, str_of(fields[i]));
        if (val_count(is) + val_count(was) != 0 &&
            (is == NULL || was == NULL || !val_eq(is, was))) {
            cause_add(causes, CAUSE_FORBIDDEN, str_of(fields[i]), NULL,
                      S("field is immutable when `immutable` is set"));
        }
    }
}

static void config_map_validate(const struct val *obj, struct causes *causes)
{
    const struct val *data = val_get(obj, S("data"));
    const struct val *binary = val_get(obj, S("binaryData"));
    size_t bytes = check_data(data, "data", causes) + check_data(binary, "binaryData", causes);
    for (size_t i = 0; val_is(binary, VAL_MAP) && i < binary->n; i++) {
        struct str key = binary->members[i].key;
        if (val_get(data, key) != NULL) {
            struct val shown = val_str(key);
            cause_add(causes, CAUSE_INVALID,
                      arena_fmt(causes->arena, "data[" STR_FMT "]", STR_ARG(key)), &shown,
                      S("duplicate of key present in binaryData"));
        }
    }
    if (bytes > DATA_BYTES_MAX) {
        cause_add(causes, CAUSE_TOO_LONG, S("[]"), NULL, S("may not be more than 1048576 bytes"));
    }
}

const struct strategy strategy_config_map = {.validate = config_map_validate,
                                             .validate_update = check_immutable_data};

static void secret_defaults(struct arena *arena, struct val *obj)
{
    if (val_text(val_get(obj, S("type"))).n == 0) {
        (void)val_set(arena, obj, S("type"), val_str(S("Opaque")));
    }
    const struct val *plain = val_get(obj, S("stringData"));
    if (plain == NULL) {
        return;
    }
    struct val texts = *plain;
    struct val *data = texts.n == 0 ? NULL : val_need_map(arena, obj, S("data"));
    for (size_t i = 0; val_is(&texts, VAL_MAP) && i < texts.n; i++) {
        auto_buf struct buf buf;
        buf_init(&buf, (size_t)2 * BODY_BYTES_MAX);
        (void)base64_encode(&buf, val_text(&texts.members[i].val));
        (void)val_set(arena, data, texts.members[i].key, val_str(arena_dup(arena, buf_str(&buf))));
    }
    (void)val_remove(obj, S("stringData"));
}

static void secret_validate(const struct val *obj, struct causes *causes)
{
    static const struct {
        const char *type;
        const char *key;
    } required[] = {
        {"kubernetes.io/tls",              "tls.crt"          },
        {"kubernetes.io/tls",              "tls.key"          },
        {"kubernetes.io/dockercfg",        ".dockercfg"       },
        {"kubernetes.io/dockerconfigjson", ".dockerconfigjson"},
        {"kubernetes.io/ssh-auth",         "ssh-privatekey"   }
    };
    const struct val *data = val_get(obj, S("data"));
    struct str type = val_text(val_get(obj, S("type")));
    size_t bytes = check_data(data, "data", causes) / 4 * 3;
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (str_eq(type, str_of(required[i].type)) &&
            val_get(data, str_of(required[i].key)) == NULL) {
            cause_add(causes, CAUSE_REQUIRED, arena_fmt(causes->arena, "data[%s]", required[i].key),
                      NULL, S(""));
        }
    }
    if (bytes > DATA_BYTES_MAX) {
        cause_add(causes, CAUSE_TOO_LONG, S("data"), NULL, S("may not be more than 1048576 bytes"));
    }
}

static void check_fixed(const struct val *obj, const struct val *old, const char *field,
                        struct causes *causes)
{
    const struct val *is = val_path(obj, field);
    const struct val *was = val_path(old, field);
    bool is_same = is == NULL || was == NULL ? is == was : val_eq(is, was);
    if (!is_same) {
        cause_add(causes, CAUSE_INVALID, str_of(field), is, S("field is immutable"));
    }
}

static void secret_validate_update(const struct val *obj, const struct val *old,
                                   struct causes *causes)
{
    check_fixed(obj, old, "type", causes);
    check_immutable_data(obj, old, causes);
}

static bool secret_field(struct arena *arena, const struct val *obj, struct str path,
                         struct str *ret)
{
    static const struct field_row rows[] = {
        {"type", "type"}
    };
    return field_of_rows(rows, 1, arena, obj, path, ret);
}

const struct strategy strategy_secret = {.defaults = secret_defaults,
                                         .validate = secret_validate,
                                         .validate_update = secret_validate_update,
                                         .field = secret_field};

/* Small ones */

const struct strategy strategy_service_account = {.validate = NULL};
const struct strategy strategy_endpoints = {.validate = NULL};

static void lease_validate(const struct val *obj, struct causes *causes)
{
    static const char *const fields[] = {"spec.leaseDurationSeconds", "spec.leaseTransitions"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *v = val_path(obj, fields[i]);
        if (v != NULL && val_number(v, 0) < (i == 0 ? 1 : 0)) {
            cause_add(causes, CAUSE_INVALID, str_of(fields[i]), v,
                      i == 0 ? S("must be greater than 0")
                             : S("must be greater than or equal to 0"));
        }
    }
}
const struct strategy strategy_lease = {.validate = lease_validate};

static void event_validate(const struct val *obj, struct causes *causes)
{
    struct str ns = val_text_at(obj, "metadata.namespace");
    const struct val *of = val_path(obj, "involvedObject.namespace");
    bool is_ok = val_text(of).n == 0 ? str_eq(ns, S("default")) || val_get(obj, S("regarding"))
                                     : str_eq(ns, val_text(of));
    if (!is_ok) {
        struct val shown = of == NULL ? val_str(S("")) : *of;
        cause_add(causes, CAUSE_INVALID, S("involvedObject.namespace"), &shown,
                  S("does not match event.namespace"));
    }
}

static bool event_field(struct arena *arena, const struct val *obj, struct str path,
                        struct str *ret)
{
    static const struct field_row rows[] = {
        {"involvedObject.kind",            "involvedObject.kind"           },
        {"involvedObject.namespace",       "involvedObject.namespace"      },
        {"involvedObject.name",            "involvedObject.name"           },
        {"involvedObject.uid",             "involvedObject.uid"            },
        {"involvedObject.apiVersion",      "involvedObject.apiVersion"     },
        {"involvedObject.resourceVersion", "involvedObject.resourceVersion"},
        {"involvedObject.fieldPath",       "involvedObject.fieldPath"      },
        {"regarding.kind",                 "involvedObject.kind"           },
        {"regarding.namespace",            "involvedObject.namespace"      },
        {"regarding.name",                 "involvedObject.name"           },
        {"regarding.uid",                  "involvedObject.uid"            },
        {"reason",                         "reason"                        },
        {"reportingComponent",             "reportingComponent"            },
        {"reportingController",            "reportingComponent"            },
        {"source",                         "source.component"              },
        {"type",                           "type"                          },
    };
    bool is_known = field_of_rows(rows, sizeof(rows) / sizeof(rows[0]), arena, obj, path, ret);
    if (is_known && str_eq(path, S("source")) && ret->n == 0) {
        *ret = val_text_at(obj, "reportingComponent");
    }
    return is_known;
}
const struct strategy strategy_event = {.validate = event_validate, .field = event_field};

static void endpoint_slice_validate(const struct val *obj, struct causes *causes)
{
    static const struct str types[] = {
        {"FQDN", 4},
        {"IPv4", 4},
        {"IPv6", 4}
    };
    const struct val *type = val_get(obj, S("addressType"));
    struct str text = val_text(type);
    if (text.n == 0) {
        cause_add(causes, CAUSE_REQUIRED, S("addressType"), NULL, S(""));
    } else if (!str_eq(text, types[0]) && !str_eq(text, types[1]) && !str_eq(text, types[2])) {
        cause_add_unsupported(causes, S("addressType"), type, types, 3);
    }
    const struct val *endpoints = val_get(obj, S("endpoints"));
    if (val_count(endpoints) > 1000) {
        struct val count = val_int((int64_t)val_count(endpoints));
        cause_add(causes, CAUSE_TOO_MANY, S("endpoints"), &count,
                  S("must have at most 1000 items"));
    }
    for (size_t i = 0; i < val_count(endpoints); i++) {
        if (val_count(val_get(val_at(endpoints, i), S("addresses"))) == 0) {
            cause_add(causes, CAUSE_REQUIRED,
                      arena_fmt(causes->arena, "endpoints[%zu].addresses", i), NULL,
                      S("must contain at least 1 address"));
        }
    }
}

static void endpoint_slice_update(const struct val *obj, const struct val *old,
                                  struct causes *causes)
{
    check_fixed(obj, old, "addressType", causes);
}
const struct strategy strategy_endpoint_slice = {.validate = endpoint_slice_validate,
                                                 .validate_update = endpoint_slice_update};

static void controller_revision_validate(const struct val *obj, struct causes *causes)
{
    const struct val *revision = val_get(obj, S("revision"));
    if (val_number(revision, 0) < 0) {
        cause_add(causes, CAUSE_INVALID, S("revision"), revision,
                  S("must be greater than or equal to 0"));
    }
}

static void controller_revision_update(const struct val *obj, const struct val *old,
                                       struct causes *causes)
{
    check_fixed(obj, old, "data", causes);
}
const struct strategy strategy_controller_revision = {
    .validate = controller_revision_validate, .validate_update = controller_revision_update};

/* Counts or percentages of a disruption budget. */
static void check_budget_value(const struct val *v, struct str path, struct causes *causes)
{
    struct str text = val_text(v);
    bool is_percent = text.n > 1 && text.p[text.n - 1] == '%';
    for (size_t i = 0; is_percent && i + 1 < text.n; i++) {
        is_percent = text.p[i] >= '0' && text.p[i] <= '9';
    }
    if (val_is(v, VAL_STR) && !is_percent) {
        cause_add(causes, CAUSE_INVALID, path, v,
                  S("a valid percent string must be a numeric string followed by an ending '%' "
                    "(e.g. '1%', '93%', regex used for validation is '[0-9]+%')"));
    } else if (val_number(v, 0) < 0) {
        cause_add(causes, CAUSE_INVALID, path, v, S("must be greater than or equal to 0"));
    }
}

static void pod_disruption_budget_validate(const struct val *obj, struct causes *causes)
{
    const struct val *spec = val_get(obj, S("spec"));
    const struct val *min = val_get(spec, S("minAvailable"));
    const struct val *max = val_get(spec, S("maxUnavailable"));
    if (min != NULL && max != NULL) {
        cause_add(causes, CAUSE_INVALID, S("spec"), spec,
                  S("minAvailable and maxUnavailable cannot be both set"));
    }
    check_budget_value(min, S("spec.minAvailable"), causes);
    check_budget_value(max, S("spec.maxUnavailable"), causes);
}
const struct strategy strategy_pod_disruption_budget = {.validate = pod_disruption_budget_validate};
