// SPDX-License-Identifier: Apache-2.0
//
// The columns of the remaining kinds, one block a kind (spec/api.md 8.2).
#include "api/cells.h"

#include "base/mem.h"

#include <inttypes.h>

static int64_t count_at(const struct cell_in *in, const char *path)
{
    return (int64_t)val_count(val_path(in->obj, path));
}

/* StatefulSet */
static struct val set_ready(const struct cell_in *in)
{
    return val_str(arena_fmt(in->arena, "%" PRId64 "/%" PRId64,
                             val_number_at(in->obj, "status.readyReplicas", 0),
                             val_number_at(in->obj, "spec.replicas", 0)));
}

static const struct column set_list[] = {
    COLUMN_NAME,
    COLUMN("Ready", "string", 0, set_ready),
    COLUMN_AGE,
    COLUMN("Containers", "string", 1, cell_template_containers),
    COLUMN("Images", "string", 1, cell_template_images),
};
const struct table_columns columns_stateful_set = {set_list, ARRAY_LEN(set_list), NULL};

/* Scale: "available" is upstream's word for what is there */
static struct val scale_desired(const struct cell_in *in)
{
    return val_int(val_number_at(in->obj, "spec.replicas", 0));
}

static struct val scale_available(const struct cell_in *in)
{
    return val_int(val_number_at(in->obj, "status.replicas", 0));
}

static const struct column scale_list[] = {
    COLUMN_NAME,
    COLUMN("Desired", "integer", 0, scale_desired),
    COLUMN("Available", "integer", 0, scale_available),
    COLUMN_AGE,
};
const struct table_columns columns_scale = {scale_list, ARRAY_LEN(scale_list), NULL};

/* ControllerRevision */
static struct val revision_controller(const struct cell_in *in)
{
    const struct val *owners = val_path(in->obj, "metadata.ownerReferences");
    for (size_t i = 0; i < val_count(owners); i++) {
        const struct val *o = val_at(owners, i);
        if (!val_is_true(val_get(o, S("controller")))) {
            continue;
        }
        struct str version = val_text(val_get(o, S("apiVersion")));
        ptrdiff_t slash = str_find(version, '/');
        struct str group = slash < 0 ? S("") : str_sub(version, 0, (size_t)slash);
        struct str kind = lower_case(in->arena, arena_fmt(in->arena, STR_FMT "%s" STR_FMT,
                                                          STR_ARG(val_text(val_get(o, S("kind")))),
                                                          group.n == 0 ? "" : ".", STR_ARG(group)));
        return val_str(arena_fmt(in->arena, STR_FMT "/" STR_FMT, STR_ARG(kind),
                                 STR_ARG(val_text(val_get(o, S("name"))))));
    }
    return val_str(S("<none>"));
}

static struct val revision_number(const struct cell_in *in)
{
    return val_int(val_number_at(in->obj, "revision", 0));
}

static const struct column revision_list[] = {
    COLUMN_NAME,
    COLUMN("Controller", "string", 0, revision_controller),
    COLUMN("Revision", "string", 0, revision_number),
    COLUMN_AGE,
};
const struct table_columns columns_controller_revision = {revision_list, ARRAY_LEN(revision_list),
                                                          NULL};

/* Node */
static struct val node_status(const struct cell_in *in)
{
    const struct val *conditions = val_path(in->obj, "status.conditions");
    const char *text = "Unknown";
    for (size_t i = 0; i < val_count(conditions); i++) {
        const struct val *c = val_at(conditions, i);
        if (str_eq(val_text(val_get(c, S("type"))), S("Ready"))) {
            bool is_ready = str_eq(val_text(val_get(c, S("status"))), S("True"));
            text = is_ready ? "Ready" : "NotReady";
        }
    }
    bool is_cordoned = val_true_at(in->obj, "spec.unschedulable");
    return val_str(arena_fmt(in->arena, "%s%s", text, is_cordoned ? ",SchedulingDisabled" : ""));
}

static struct val node_roles(const struct cell_in *in)
{
    const struct str prefix = S("node-role.kubernetes.io/");
    const struct val *labels = val_path(in->obj, "metadata.labels");
    struct val roles = val_map();
    for (size_t i = 0; val_is(labels, VAL_MAP) && i < labels->n; i++) {
        const struct member *m = &labels->members[i];
        struct str role = S("");
        if (str_starts(m->key, prefix)) {
            role = str_sub(m->key, prefix.n, m->key.n);
        } else if (str_eq(m->key, S("kubernetes.io/role"))) {
            role = val_text(&m->val);
        }
        if (role.n != 0) {
            (void)val_set(in->arena, &roles, role, val_null());
        }
    }
    struct joined j = {.arena = in->arena};
    for (size_t i = 0; i < val_count(&roles); i++) {
        joined_add(&j, ",", roles.members[i].key);
    }
    return text_or_none(j.text);
}

static struct val node_address(const struct cell_in *in, struct str type)
{
    const struct val *addresses = val_path(in->obj, "status.addresses");
    for (size_t i = 0; i < val_count(addresses); i++) {
        if (str_eq(val_text(val_get(val_at(addresses, i), S("type"))), type)) {
            return val_str(val_text(val_get(val_at(addresses, i), S("address"))));
        }
    }
    return val_str(S("<none>"));
}

static struct val node_internal_ip(const struct cell_in *in)
{
    return node_address(in, S("InternalIP"));
}

static struct val node_external_ip(const struct cell_in *in)
{
    return node_address(in, S("ExternalIP"));
}

static struct val node_version(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "status.nodeInfo.kubeletVersion"));
}

static struct val node_os(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "status.nodeInfo.osImage"), "<unknown>");
}

static struct val node_kernel(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "status.nodeInfo.kernelVersion"), "<unknown>");
}

static struct val node_runtime(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "status.nodeInfo.containerRuntimeVersion"), "<unknown>");
}

static const struct column node_list[] = {
    COLUMN_NAME,
    COLUMN("Status", "string", 0, node_status),
    COLUMN("Roles", "string", 0, node_roles),
    COLUMN_AGE,
    COLUMN("Version", "string", 0, node_version),
    COLUMN("Internal-IP", "string", 1, node_internal_ip),
    COLUMN("External-IP", "string", 1, node_external_ip),
    COLUMN("OS-Image", "string", 1, node_os),
    COLUMN("Kernel-Version", "string", 1, node_kernel),
    COLUMN("Container-Runtime", "string", 1, node_runtime),
};
const struct table_columns columns_node = {node_list, ARRAY_LEN(node_list), NULL};

/* Namespace */
static struct val namespace_status(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "status.phase"));
}

static const struct column namespace_list[] = {
    COLUMN_NAME,
    COLUMN("Status", "string", 0, namespace_status),
    COLUMN_AGE,
};
const struct table_columns columns_namespace = {namespace_list, ARRAY_LEN(namespace_list), NULL};

/* Secret, ConfigMap, ServiceAccount */
static struct val secret_type(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "type"));
}

static struct val data_count(const struct cell_in *in)
{
    return val_int(count_at(in, "data") + count_at(in, "binaryData"));
}

static struct val secrets_count(const struct cell_in *in)
{
    return val_int(count_at(in, "secrets"));
}

static const struct column secret_list[] = {
    COLUMN_NAME,
    COLUMN("Type", "string", 0, secret_type),
    COLUMN("Data", "integer", 0, data_count),
    COLUMN_AGE,
};
const struct table_columns columns_secret = {secret_list, ARRAY_LEN(secret_list), NULL};

static const struct column config_map_list[] = {
    COLUMN_NAME,
    COLUMN("Data", "integer", 0, data_count),
    COLUMN_AGE,
};
const struct table_columns columns_config_map = {config_map_list, ARRAY_LEN(config_map_list), NULL};

static const struct column account_list[] = {
    COLUMN_NAME,
    COLUMN("Secrets", "integer", 0, secrets_count),
    COLUMN_AGE,
};
const struct table_columns columns_service_account = {account_list, ARRAY_LEN(account_list), NULL};

/* Event, in the core form */
static struct str event_first_seen(const struct cell_in *in)
{
    struct str first = val_text_at(in->obj, "firstTimestamp");
    return age_of(in, first.n != 0 ? first : val_text_at(in->obj, "eventTime"));
}

static struct val event_last(const struct cell_in *in)
{
    struct str last = val_text_at(in->obj, "lastTimestamp");
    if (val_get(in->obj, S("series")) != NULL) {
        return val_str(age_at(in, "series.lastObservedTime"));
    }
    return val_str(last.n != 0 ? age_of(in, last) : event_first_seen(in));
}

static struct val event_first(const struct cell_in *in)
{
    return val_str(event_first_seen(in));
}

static struct val event_type(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "type"));
}

static struct val event_reason(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "reason"));
}

static struct val event_object(const struct cell_in *in)
{
    struct str kind = lower_case(in->arena, val_text_at(in->obj, "involvedObject.kind"));
    struct str name = val_text_at(in->obj, "involvedObject.name");
    return val_str(arena_fmt(in->arena, STR_FMT "%s" STR_FMT, STR_ARG(kind), name.n == 0 ? "" : "/",
                             STR_ARG(name)));
}

static struct val event_subobject(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "involvedObject.fieldPath"));
}

static struct val event_source(const struct cell_in *in)
{
    struct str component = val_text_at(in->obj, "source.component");
    struct str host = val_text_at(in->obj, "source.host");
    component = component.n != 0 ? component : val_text_at(in->obj, "reportingComponent");
    host = host.n != 0 ? host : val_text_at(in->obj, "reportingInstance");
    return val_str(arena_fmt(in->arena, STR_FMT "%s" STR_FMT, STR_ARG(component),
                             host.n == 0 ? "" : ", ", STR_ARG(host)));
}

static struct val event_message(const struct cell_in *in)
{
    return val_str(str_trim(val_text_at(in->obj, "message")));
}

static struct val event_count(const struct cell_in *in)
{
    int64_t count = val_number_at(in->obj, "count", 0);
    return val_int(val_number_at(in->obj, "series.count", count == 0 ? 1 : count));
}

static const struct column event_list[] = {
    COLUMN("Last Seen", "string", 0, event_last),
    COLUMN("Type", "string", 0, event_type),
    COLUMN("Reason", "string", 0, event_reason),
    COLUMN("Object", "string", 0, event_object),
    COLUMN("Subobject", "string", 1, event_subobject),
    COLUMN("Source", "string", 1, event_source),
    COLUMN("Message", "string", 0, event_message),
    COLUMN("First Seen", "string", 1, event_first),
    COLUMN("Count", "string", 1, event_count),
    {COLUMN_TEXT("Name"), COLUMN_TEXT("string"), COLUMN_TEXT("name"), 1, cell_name},
};
const struct table_columns columns_event = {event_list, ARRAY_LEN(event_list), NULL};

/* PodDisruptionBudget */
static struct val budget_text(const struct cell_in *in, const char *path)
{
    return text_or(number_text(in->arena, val_path(in->obj, path)), "N/A");
}

static struct val budget_min(const struct cell_in *in)
{
    return budget_text(in, "spec.minAvailable");
}

static struct val budget_max(const struct cell_in *in)
{
    return budget_text(in, "spec.maxUnavailable");
}

static struct val budget_allowed(const struct cell_in *in)
{
    return val_int(val_number_at(in->obj, "status.disruptionsAllowed", 0));
}

static const struct column budget_list[] = {
    COLUMN_NAME,
    COLUMN("Min Available", "string", 0, budget_min),
    COLUMN("Max Unavailable", "string", 0, budget_max),
    COLUMN("Allowed Disruptions", "integer", 0, budget_allowed),
    COLUMN_AGE,
};
const struct table_columns columns_pod_disruption_budget = {budget_list, ARRAY_LEN(budget_list),
                                                            NULL};

/* Lease */
static struct val lease_holder(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "spec.holderIdentity"));
}

static const struct column lease_list[] = {
    COLUMN_NAME,
    COLUMN("Holder", "string", 0, lease_holder),
    COLUMN_AGE,
};
const struct table_columns columns_lease = {lease_list, ARRAY_LEN(lease_list), NULL};

/* PodTemplate */
static struct val template_containers(const struct cell_in *in)
{
    return val_str(
        join_members(in->arena, val_path(in->obj, "template.spec.containers"), S("name"), ","));
}

static struct val template_images(const struct cell_in *in)
{
    return val_str(
        join_members(in->arena, val_path(in->obj, "template.spec.containers"), S("image"), ","));
}

static struct val template_labels(const struct cell_in *in)
{
    return labels_cell(in, val_path(in->obj, "template.metadata.labels"));
}

static const struct column template_list[] = {
    COLUMN_NAME,
    COLUMN("Containers", "string", 0, template_containers),
    COLUMN("Images", "string", 0, template_images),
    COLUMN("Pod Labels", "string", 0, template_labels),
};
const struct table_columns columns_pod_template = {template_list, ARRAY_LEN(template_list), NULL};

/* RoleBinding, ClusterRoleBinding */
static struct val binding_role(const struct cell_in *in)
{
    return val_str(arena_fmt(in->arena, STR_FMT "/" STR_FMT,
                             STR_ARG(val_text_at(in->obj, "roleRef.kind")),
                             STR_ARG(val_text_at(in->obj, "roleRef.name"))));
}

static struct val binding_subjects(const struct cell_in *in, struct str kind)
{
    const struct val *subjects = val_get(in->obj, S("subjects"));
    struct joined j = {.arena = in->arena};
    for (size_t i = 0; i < val_count(subjects); i++) {
        const struct val *s = val_at(subjects, i);
        struct str ns = val_text(val_get(s, S("namespace")));
        struct str name = val_text(val_get(s, S("name")));
        if (!str_eq(val_text(val_get(s, S("kind"))), kind)) {
            continue;
        }
        joined_add(&j, ", ",
                   !str_eq(kind, S("ServiceAccount"))
                       ? name
                       : arena_fmt(in->arena, STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name)));
    }
    return val_str(j.text);
}

static struct val binding_users(const struct cell_in *in)
{
    return binding_subjects(in, S("User"));
}

static struct val binding_groups(const struct cell_in *in)
{
    return binding_subjects(in, S("Group"));
}

static struct val binding_accounts(const struct cell_in *in)
{
    return binding_subjects(in, S("ServiceAccount"));
}

static const struct column binding_list[] = {
    COLUMN_NAME,
    COLUMN("Role", "string", 0, binding_role),
    COLUMN_AGE,
    COLUMN("Users", "string", 1, binding_users),
    COLUMN("Groups", "string", 1, binding_groups),
    COLUMN("ServiceAccounts", "string", 1, binding_accounts),
};
const struct table_columns columns_role_binding = {binding_list, ARRAY_LEN(binding_list), NULL};

/* PriorityClass */
static struct val priority_value(const struct cell_in *in)
{
    return val_int(val_number_at(in->obj, "value", 0));
}

static struct val priority_default(const struct cell_in *in)
{
    return val_bool(val_true_at(in->obj, "globalDefault"));
}

static struct val priority_preemption(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "preemptionPolicy"), "<unset>");
}

static const struct column priority_list[] = {
    COLUMN_NAME,
    COLUMN("Value", "integer", 0, priority_value),
    COLUMN("Global-Default", "boolean", 0, priority_default),
    COLUMN_AGE,
    COLUMN("PreemptionPolicy", "string", 0, priority_preemption),
};
const struct table_columns columns_priority_class = {priority_list, ARRAY_LEN(priority_list), NULL};
