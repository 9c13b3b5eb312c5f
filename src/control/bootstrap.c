// SPDX-License-Identifier: Apache-2.0
//
// Objects as templates: JSON text with one slot, read and completed. They go through the API like
// anyone's, so they are defaulted and checked.
#include "control/bootstrap.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

static const char *const namespaces[] = {"default", "kube-system", "kube-public",
                                         "kube-node-lease"};

/* Creates obj unless it is there. */
static int create(struct client *client, const struct val *obj, struct err *err)
{
    struct str group;
    struct str version;
    api_version_split(val_text_at(obj, "apiVersion"), &group, &version);
    const struct kind *kind = kind_by_name(group, version, val_text_at(obj, "kind"));
    enum kind_id id = KIND_NAMESPACE;
    while (id < KIND_ID_COUNT && kind_of(id) != kind) {
        id++;
    }
    if (kind == NULL || id == KIND_ID_COUNT) {
        return err_set(err, ERR_INTERNAL, "bootstrap: no kind " STR_FMT,
                       STR_ARG(val_text_at(obj, "kind")));
    }
    struct client_write write = {.verb = VERB_CREATE,
                                 .kind = id,
                                 .ns = val_text_at(obj, "metadata.namespace"),
                                 .body = obj,
                                 .grace_seconds = -1};
    if (client->ops->get(client, id, write.ns, val_text_at(obj, "metadata.name")) != NULL) {
        return 0;
    }
    int r = client->ops->write(client, &write, NULL, NULL, err);
    return r == ERR_EXISTS || r == 0 ? 0
                                     : err_wrap(err, "bootstrap: " STR_FMT " '" STR_FMT "'",
                                                STR_ARG(val_text_at(obj, "kind")),
                                                STR_ARG(val_text_at(obj, "metadata.name")));
}

static int create_text(struct client *client, struct arena *arena, struct str text, struct err *err)
{
    struct val obj;
    return json_read(text, arena, NULL, &obj, err) < 0 ? err_wrap(err, "bootstrap")
                                                       : create(client, &obj, err);
}

static int create_root_ca(struct client *client, struct arena *arena, struct str pem,
                          struct err *err)
{
    struct val obj = val_map();
    (void)val_set(arena, &obj, S("apiVersion"), val_str(S("v1")));
    (void)val_set(arena, &obj, S("kind"), val_str(S("ConfigMap")));
    (void)val_set_path(arena, &obj, "metadata.name", val_str(S("kube-root-ca.crt")));
    (void)val_set_path(arena, &obj, "metadata.namespace", val_str(S("kube-system")));
    struct val *data = val_need_map(arena, &obj, S("data"));
    (void)val_set(arena, data, S("ca.crt"), val_str(pem));
    return create(client, &obj, err);
}

/* A service without selector, and the slice that says where it is served. */
static int create_service(struct client *client, struct arena *arena, struct str metadata,
                          struct str ip, struct str ports, struct str name_and_ns,
                          struct str address, struct str slice_ports, struct err *err)
{
    struct str service =
        arena_fmt(arena,
                  "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{" STR_FMT "},"
                  "\"spec\":{\"clusterIP\":\"" STR_FMT "\",\"ports\":[" STR_FMT "]}}",
                  STR_ARG(metadata), STR_ARG(ip), STR_ARG(ports));
    struct str slice = arena_fmt(
        arena,
        "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{" STR_FMT
        "},"
        "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"" STR_FMT
        "\"],\"conditions\":{\"ready\":true}}],\"ports\":[" STR_FMT "]}",
        STR_ARG(name_and_ns), STR_ARG(address), STR_ARG(slice_ports));
    int r = create_text(client, arena, service, err);
    return r < 0 ? r : create_text(client, arena, slice, err);
}

static int create_api_service(struct client *client, struct arena *arena,
                              const struct bootstrap_config *config, struct err *err)
{
    struct str endpoints = arena_fmt(
        arena,
        "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"kubernetes\","
        "\"namespace\":\"default\",\"labels\":{\"endpointslice.kubernetes.io/"
        "skip-mirror\":\"true\"}},"
        "\"subsets\":[{\"addresses\":[{\"ip\":\"" STR_FMT
        "\"}],\"ports\":[{\"name\":\"https\",\"port\":%d,\"protocol\":\"TCP\"}]}]}",
        STR_ARG(config->api_address), config->api_port);
    int r = create_text(client, arena, endpoints, err);
    return r < 0
               ? r
               : create_service(
                     client, arena,
                     S("\"name\":\"kubernetes\",\"namespace\":\"default\",\"labels\":{"
                       "\"component\":"
                       "\"apiserver\",\"provider\":\"kubernetes\"}"),
                     config->service_ip,
                     arena_fmt(
                         arena,
                         "{\"name\":\"https\",\"port\":443,\"protocol\":\"TCP\",\"targetPort\":%d}",
                         config->api_port),
                     S("\"name\":\"kubernetes\",\"namespace\":\"default\",\"labels\":{"
                       "\"kubernetes.io/service-name\":\"kubernetes\"}"),
                     config->api_address,
                     arena_fmt(arena, "{\"name\":\"https\",\"port\":%d,\"protocol\":\"TCP\"}",
                               config->api_port),
                     err);
}

static int create_dns_service(struct client *client, struct arena *arena,
                              const struct bootstrap_config *config, struct err *err)
{
    struct str ports = S("{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"},"
                         "{\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\"}");
    return create_service(
        client, arena,
        S("\"name\":\"kube-dns\",\"namespace\":\"kube-system\",\"labels\":{\"k8s-app\":"
          "\"kube-dns\",\"kubernetes.io/cluster-service\":\"true\","
          "\"kubernetes.io/name\":\"CoreDNS\"}"),
        config->dns_ip, ports,
        S("\"name\":\"kube-dns\",\"namespace\":\"kube-system\",\"labels\":{"
          "\"kubernetes.io/service-name\":\"kube-dns\"}"),
        config->dns_ip, ports, err);
}

static int create_storage_class(struct client *client, struct arena *arena,
                                const struct bootstrap_config *config, struct err *err)
{
    struct val obj;
    struct str text = S(
        "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"StorageClass\",\"metadata\":{\"name\":"
        "\"standard\",\"annotations\":{\"storageclass.kubernetes.io/is-default-class\":\"true\"}},"
        "\"provisioner\":\"coracle.io/"
        "directory\",\"reclaimPolicy\":\"Delete\",\"volumeBindingMode\":"
        "\"Immediate\",\"allowVolumeExpansion\":true,\"parameters\":{}}");
    if (json_read(text, arena, NULL, &obj, err) < 0) {
        return err_wrap(err, "bootstrap");
    }
    (void)val_set_path(arena, &obj, "parameters.path", val_str(config->volumes_dir));
    return create(client, &obj, err);
}

int bootstrap_write(struct client *client, const struct bootstrap_config *config, struct err *err)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(namespaces); i++) {
        r = create_text(
            client, arena,
            arena_fmt(
                arena,
                "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}",
                namespaces[i]),
            err);
    }
    for (size_t i = 0; r == 0 && i < config->more_count; i++) {
        r = create(client, &config->more[i], err);
    }
    r = r < 0 ? r : create_root_ca(client, arena, config->ca_pem, err);
    r = r < 0 ? r : create_storage_class(client, arena, config, err);
    r = r < 0 ? r : create_api_service(client, arena, config, err);
    return r < 0 ? r : create_dns_service(client, arena, config, err);
}
