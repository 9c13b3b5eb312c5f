// SPDX-License-Identifier: Apache-2.0
//
// The controllers around pods: endpoints, volumes, garbage, namespaces, accounts, budgets.
#include "base/mem.h"
#include "base/timefmt.h"
#include "cluster.h"
#include "controllers/meta.h"
#include "test.h"

extern const struct controller controller_endpointslice;
extern const struct controller controller_endpoints;
extern const struct controller controller_volume;
extern const struct controller controller_volume_protection;
extern const struct controller controller_provisioner;
extern const struct controller controller_garbage;
extern const struct controller controller_namespace;
extern const struct controller controller_serviceaccount;
extern const struct controller controller_pdb;
extern const struct controller controller_podgc;

static void put_pod(struct cluster *c, const char *name, const char *ip, bool is_ready)
{
    struct str json = arena_fmt(
        c->arena,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"labels\":{\"app\":\"web\"}},"
        "\"spec\":{\"nodeName\":\"n1\",\"hostname\":\"%s\",\"subdomain\":\"web\",\"containers\":"
        "[{\"name\":\"c\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080,\"protocol\":"
        "\"TCP\"}]}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"%s\"}}",
        name, name, ip);
    cluster_put(c, KIND_POD, json.p);
    cluster_condition(c, KIND_POD, "default", name, "Ready", is_ready ? "True" : "False");
}

static void put_service(struct cluster *c)
{
    cluster_put(
        c, KIND_SERVICE,
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},\"spec\":{\"clusterIP\":"
        "\"None\",\"selector\":{\"app\":\"web\"},\"ports\":[{\"name\":\"http\",\"port\":80,"
        "\"targetPort\":\"http\",\"protocol\":\"TCP\"}]}}");
}

static size_t count_kind(struct cluster *c, enum kind_id kind, const struct val **ret_first)
{
    struct objs objs = view_objs(&c->view, c->arena, kind, S(""));
    *ret_first = objs.count > 0 ? objs.list[0] : NULL;
    return objs.count;
}

TEST(slice_of_a_service_without_pods)
{
    struct cluster c;
    const struct val *slice;
    cluster_open(&c);
    put_service(&c);
    EXPECT_INT(1, cluster_settle(&c, &controller_endpointslice, "default", "web", 5));
    EXPECT_INT(1, (int)count_kind(&c, KIND_ENDPOINT_SLICE, &slice));
    EXPECT_INT(0, (int)val_count(val_get(slice, S("endpoints"))));
    EXPECT(meta_label(slice, S("kubernetes.io/service-name")).n == 3);
    cluster_close(&c);
}

TEST(slice_shows_conditions_and_hostname)
{
    struct cluster c;
    const struct val *slice;
    cluster_open(&c);
    put_service(&c);
    put_pod(&c, "web-0", "10.0.0.1", true);
    put_pod(&c, "web-1", "10.0.0.2", false);
    EXPECT_INT(1, cluster_settle(&c, &controller_endpointslice, "default", "web", 5));
    EXPECT_INT(1, (int)count_kind(&c, KIND_ENDPOINT_SLICE, &slice));
    EXPECT_INT(8080, (int)val_number_at(slice, "ports.0.port", 0));
    EXPECT_STR("10.0.0.1", val_text_at(slice, "endpoints.0.addresses.0"));
    EXPECT(val_true_at(slice, "endpoints.0.conditions.ready"));
    EXPECT(!val_true_at(slice, "endpoints.1.conditions.ready"));
    EXPECT_STR("web-1", val_text_at(slice, "endpoints.1.hostname"));
    cluster_set(&c, KIND_POD, "default", "web-0", "metadata.finalizers", "[\"f\"]");
    cluster_set(&c, KIND_POD, "default", "web-0", "metadata.deletionTimestamp",
                "\"2026-01-01T00:00:00Z\"");
    EXPECT_INT(1, cluster_settle(&c, &controller_endpointslice, "default", "web", 5));
    count_kind(&c, KIND_ENDPOINT_SLICE, &slice);
    EXPECT(!val_true_at(slice, "endpoints.0.conditions.ready"));
    EXPECT(val_true_at(slice, "endpoints.0.conditions.serving"));
    EXPECT(val_true_at(slice, "endpoints.0.conditions.terminating"));
    cluster_close(&c);
}

TEST(slices_hold_a_hundred_and_stay_as_they_are)
{
    struct cluster c;
    const struct val *slice;
    cluster_open(&c);
    put_service(&c);
    for (int i = 0; i < 150; i++) {
        put_pod(&c, arena_fmt(c.arena, "web-%d", i).p, arena_fmt(c.arena, "10.0.1.%d", i).p, true);
    }
    EXPECT_INT(1, cluster_settle(&c, &controller_endpointslice, "default", "web", 5));
    EXPECT_INT(2, (int)count_kind(&c, KIND_ENDPOINT_SLICE, &slice));
    cluster_condition(&c, KIND_POD, "default", "web-7", "Ready", "False");
    struct str text = cluster_decide(&c, &controller_endpointslice, "default", "web", true);
    EXPECT(str_starts(text, S("UPDATE endpointslices default/web-")));
    EXPECT_INT((int)text.n - 1, (int)str_find(text, '\n')); /* one line */
    cluster_close(&c);
}

TEST(endpoints_object_tells_ready_from_unready)
{
    struct cluster c;
    cluster_open(&c);
    put_service(&c);
    put_pod(&c, "web-0", "10.0.0.1", true);
    put_pod(&c, "web-1", "10.0.0.2", false);
    EXPECT_STR("CREATE endpoints default/web\n",
               cluster_decide(&c, &controller_endpoints, "default", "web", true));
    const struct val *endpoints = cluster_find(&c, KIND_ENDPOINTS, "default", "web");
    EXPECT_STR("10.0.0.1", val_text_at(endpoints, "subsets.0.addresses.0.ip"));
    EXPECT_STR("10.0.0.2", val_text_at(endpoints, "subsets.0.notReadyAddresses.0.ip"));
    EXPECT_STR("", cluster_decide(&c, &controller_endpoints, "default", "web", true));
    cluster_remove(&c, KIND_SERVICE, "default", "web");
    EXPECT_STR("DELETE endpoints default/web\n",
               cluster_decide(&c, &controller_endpoints, "default", "web", true));
    cluster_close(&c);
}

static void put_class(struct cluster *c)
{
    cluster_put(c, KIND_STORAGE_CLASS,
                "{\"metadata\":{\"name\":\"standard\"},\"provisioner\":\"coracle.io/directory\","
                "\"reclaimPolicy\":\"Delete\",\"volumeBindingMode\":\"Immediate\",\"parameters\":"
                "{\"path\":\"/data/volumes/\"}}");
}

static void put_claim(struct cluster *c, const char *name, const char *class)
{
    struct str json = arena_fmt(
        c->arena,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"finalizers\":"
        "[\"kubernetes.io/pvc-protection\"]},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],"
        "\"resources\":{\"requests\":{\"storage\":\"1Gi\"}},\"storageClassName\":\"%s\"},"
        "\"status\":{\"phase\":\"Pending\"}}",
        name, class);
    cluster_put(c, KIND_PVC, json.p);
}

TEST(claim_is_provisioned_bound_and_reclaimed)
{
    struct cluster c;
    const struct val *pv;
    cluster_open(&c);
    put_class(&c);
    put_claim(&c, "data", "standard");
    EXPECT_INT(1, cluster_settle(&c, &controller_volume, "default", "data", 5));
    EXPECT_INT(1, cluster_settle(&c, &controller_provisioner, "default", "data", 5));
    EXPECT_INT(1, (int)count_kind(&c, KIND_PV, &pv));
    EXPECT_STR("/data/volumes/default/data", val_text_at(pv, "spec.hostPath.path"));
    struct str name = arena_dup(c.arena, meta_name(pv));
    EXPECT_INT(1, cluster_settle(&c, &controller_volume, "default", "data", 5));
    const struct val *claim = cluster_find(&c, KIND_PVC, "default", "data");
    EXPECT_STR("Bound", val_text_at(claim, "status.phase"));
    EXPECT_STR("1Gi", val_text_at(claim, "status.capacity.storage"));
    EXPECT(str_eq(name, val_text_at(claim, "spec.volumeName")));
    EXPECT_STR("Bound", val_text_at(cluster_find(&c, KIND_PV, "", name.p), "status.phase"));
    EXPECT_STR("", cluster_decide(&c, &controller_volume, "", name.p, true));

    cluster_remove(&c, KIND_PVC, "default", "data");
    EXPECT_STR(arena_fmt(c.arena,
                         "PATCH_STATUS persistentvolumes " STR_FMT
                         "\nDELETE persistentvolumes " STR_FMT "\n",
                         STR_ARG(name), STR_ARG(name))
                   .p,
               cluster_decide(&c, &controller_volume, "", name.p, true));
    EXPECT_INT(1, cluster_settle(&c, &controller_volume_protection, "", name.p, 5));
    pv = cluster_find(&c, KIND_PV, "", name.p);
    EXPECT_STR("coracle.io/directory", val_text_at(pv, "metadata.finalizers.0"));
    EXPECT_INT(1, (int)val_count(val_path(pv, "metadata.finalizers")));
    cluster_close(&c);
}

TEST(smallest_fitting_volume_is_bound)
{
    struct cluster c;
    cluster_open(&c);
    put_claim(&c, "data", "manual");
    static const char *const volumes[][2] = {
        {"a", "512Mi"},
        {"b", "5Gi"  },
        {"c", "2Gi"  }
    };
    for (size_t i = 0; i < 3; i++) {
        cluster_put(&c, KIND_PV,
                    arena_fmt(c.arena,
                              "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"capacity\":{\"storage\":"
                              "\"%s\"},\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":"
                              "\"manual\"}}",
                              volumes[i][0], volumes[i][1])
                        .p);
        EXPECT_INT(1, cluster_settle(&c, &controller_volume, "", volumes[i][0], 3));
    }
    EXPECT_INT(1, cluster_settle(&c, &controller_volume, "default", "data", 5));
    EXPECT_STR("c", val_text_at(cluster_find(&c, KIND_PVC, "default", "data"), "spec.volumeName"));
    cluster_remove(&c, KIND_PV, "", "c");
    EXPECT_STR("PATCH_STATUS persistentvolumeclaims default/data\n"
               "EVENT persistentvolumeclaims default/data Warning ClaimLost: Bound claim has lost "
               "its PersistentVolume. Data on the volume is lost!\n",
               cluster_decide(&c, &controller_volume, "default", "data", true));
    cluster_close(&c);
}

TEST(claim_in_use_is_protected)
{
    struct cluster c;
    cluster_open(&c);
    put_claim(&c, "data", "standard");
    put_pod(&c, "web-0", "10.0.0.1", true);
    cluster_set(&c, KIND_POD, "default", "web-0", "spec.volumes",
                "[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]");
    cluster_set(&c, KIND_PVC, "default", "data", "metadata.deletionTimestamp",
                "\"2026-01-01T00:00:00Z\"");
    EXPECT_STR("", cluster_decide(&c, &controller_volume_protection, "default", "data", true));
    cluster_remove(&c, KIND_POD, "default", "web-0");
    EXPECT_STR("PATCH persistentvolumeclaims default/data\n",
               cluster_decide(&c, &controller_volume_protection, "default", "data", true));
    EXPECT(cluster_find(&c, KIND_PVC, "default", "data") == NULL);
    cluster_close(&c);
}

/* The binding of a pod that has no node yet may be under way. */
TEST(claim_of_a_pod_without_node_is_let_go_a_moment_later)
{
    struct cluster c;
    cluster_open(&c);
    put_claim(&c, "data", "standard");
    put_pod(&c, "web-0", "10.0.0.1", true);
    cluster_set(&c, KIND_POD, "default", "web-0", "spec.nodeName", "\"\"");
    cluster_set(&c, KIND_POD, "default", "web-0", "spec.volumes",
                "[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]");
    char since[TIME_TEXT_MAX];
    time_format(c.now, since);
    auto_free char *json = xasprintf("\"%s\"", since);
    cluster_set(&c, KIND_PVC, "default", "data", "metadata.deletionTimestamp", json);
    EXPECT_STR("", cluster_decide(&c, &controller_volume_protection, "default", "data", true));
    EXPECT(c.requeue_after > 0 && c.requeue_after <= 6 * USEC_PER_SEC);
    c.now += c.requeue_after;
    EXPECT_STR("PATCH persistentvolumeclaims default/data\n",
               cluster_decide(&c, &controller_volume_protection, "default", "data", true));
    cluster_close(&c);
}

/* A pod that is deleted in the foreground waits for the claim that it owns: it has to be let go. */
TEST(claim_of_a_pod_that_only_its_finalizer_keeps_is_free)
{
    static const struct {
        const char *grace, *want;
    } rows[] = {
        {"30", ""                                           },
        {"0",  "PATCH persistentvolumeclaims default/data\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cluster c;
        cluster_open(&c);
        put_claim(&c, "data", "standard");
        put_pod(&c, "web-0", "10.0.0.1", true);
        cluster_set(&c, KIND_POD, "default", "web-0", "spec.volumes",
                    "[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]");
        cluster_set(&c, KIND_POD, "default", "web-0", "metadata.finalizers",
                    "[\"foregroundDeletion\"]");
        cluster_set(&c, KIND_POD, "default", "web-0", "metadata.deletionTimestamp",
                    "\"2026-01-01T00:00:00Z\"");
        cluster_set(&c, KIND_POD, "default", "web-0", "metadata.deletionGracePeriodSeconds",
                    rows[i].grace);
        cluster_set(&c, KIND_PVC, "default", "data", "metadata.deletionTimestamp",
                    "\"2026-01-01T00:00:00Z\"");
        EXPECT_STR(rows[i].want,
                   cluster_decide(&c, &controller_volume_protection, "default", "data", true));
        cluster_close(&c);
    }
}

#define REF(name, uid)                                                                             \
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\",\"name\":\"" name "\",\"uid\":\"" uid    \
    "\",\"controller\":true,\"blockOwnerDeletion\":true}"

static void put_owned(struct cluster *c, const char *refs)
{
    cluster_put(c, KIND_CONFIG_MAP,
                arena_fmt(c->arena,
                          "{\"metadata\":{\"name\":\"x\",\"namespace\":\"default\","
                          "\"ownerReferences\":[%s]}}",
                          refs)
                    .p);
}

static void put_owner(struct cluster *c, const char *finalizers)
{
    cluster_put(c, KIND_STATEFUL_SET,
                arena_fmt(c->arena,
                          "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u1\""
                          "%s}}",
                          finalizers)
                    .p);
}

TEST(garbage_goes_when_its_owners_are_gone)
{
    struct cluster c;
    cluster_open(&c);
    put_owner(&c, "");
    put_owned(&c, REF("web", "u1"));
    EXPECT_STR("", cluster_decide(&c, &controller_garbage, "default", "configmaps/x", true));
    put_owned(&c, REF("web", "u1") "," REF("web", "old"));
    EXPECT_STR("PATCH configmaps default/x\n",
               cluster_decide(&c, &controller_garbage, "default", "configmaps/x", true));
    EXPECT_INT(1, (int)val_count(val_path(cluster_find(&c, KIND_CONFIG_MAP, "default", "x"),
                                          "metadata.ownerReferences")));
    cluster_remove(&c, KIND_STATEFUL_SET, "default", "web");
    EXPECT_STR("DELETE configmaps default/x\n",
               cluster_decide(&c, &controller_garbage, "default", "configmaps/x", true));
    cluster_close(&c);
}

#define DELETED(finalizer)                                                                         \
    ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"finalizers\":[\"" finalizer "\"]"

TEST(foreground_waits_for_dependents)
{
    struct cluster c;
    cluster_open(&c);
    put_owner(&c, DELETED("foregroundDeletion"));
    put_owned(&c, REF("web", "u1"));
    cluster_set(&c, KIND_CONFIG_MAP, "default", "x", "metadata.finalizers", "[\"f\"]");
    EXPECT_STR("DELETE configmaps default/x\n",
               cluster_decide(&c, &controller_garbage, "default", "statefulsets.apps/web", true));
    EXPECT_STR("",
               cluster_decide(&c, &controller_garbage, "default", "statefulsets.apps/web", true));
    cluster_set(&c, KIND_CONFIG_MAP, "default", "x", "metadata.finalizers", "null");
    EXPECT_STR("PATCH statefulsets default/web\n",
               cluster_decide(&c, &controller_garbage, "default", "statefulsets.apps/web", true));
    EXPECT(cluster_find(&c, KIND_STATEFUL_SET, "default", "web") == NULL);
    cluster_close(&c);
}

TEST(orphans_are_let_go)
{
    struct cluster c;
    cluster_open(&c);
    put_owner(&c, DELETED("orphan"));
    put_owned(&c, REF("web", "u1"));
    EXPECT_STR("PATCH configmaps default/x\nPATCH statefulsets default/web\n",
               cluster_decide(&c, &controller_garbage, "default", "statefulsets.apps/web", true));
    EXPECT(cluster_find(&c, KIND_STATEFUL_SET, "default", "web") == NULL);
    EXPECT_STR("", cluster_decide(&c, &controller_garbage, "default", "configmaps/x", true));
    cluster_close(&c);
}

TEST(namespace_ends_when_it_is_empty)
{
    struct cluster c;
    cluster_open(&c);
    cluster_put(&c, KIND_NAMESPACE,
                "{\"metadata\":{\"name\":\"default\",\"deletionTimestamp\":"
                "\"2026-01-01T00:00:00Z\"},\"spec\":{\"finalizers\":[\"kubernetes\"]},\"status\":"
                "{\"phase\":\"Terminating\"}}");
    put_pod(&c, "web-0", "10.0.0.1", true);
    put_service(&c);
    c.has_slow_pods = true;
    EXPECT_STR("DELETE pods default/web-0\nPATCH_STATUS namespaces default\n",
               cluster_decide(&c, &controller_namespace, "", "default", true));
    cluster_remove(&c, KIND_POD, "default", "web-0");
    EXPECT_STR("DELETE services default/web\nPATCH_STATUS namespaces default\n",
               cluster_decide(&c, &controller_namespace, "", "default", true));
    EXPECT_STR("PATCH_STATUS namespaces default\nFINALIZE namespaces default\n",
               cluster_decide(&c, &controller_namespace, "", "default", true));
    cluster_close(&c);
}

TEST(namespace_begins_with_account_and_certificate)
{
    struct cluster c;
    cluster_open(&c);
    cluster_put(&c, KIND_NAMESPACE, "{\"metadata\":{\"name\":\"a\"}}");
    cluster_put(&c, KIND_CONFIG_MAP,
                "{\"metadata\":{\"name\":\"kube-root-ca.crt\",\"namespace\":\"kube-system\"},"
                "\"data\":{\"ca.crt\":\"X\"}}");
    EXPECT_STR("CREATE serviceaccounts a/default\nCREATE configmaps a/kube-root-ca.crt\n",
               cluster_decide(&c, &controller_serviceaccount, "", "a", true));
    EXPECT_STR("", cluster_decide(&c, &controller_serviceaccount, "", "a", true));
    cluster_close(&c);
}

TEST(budget_counts_healthy_pods)
{
    struct cluster c;
    cluster_open(&c);
    put_pod(&c, "web-0", "10.0.0.1", true);
    put_pod(&c, "web-1", "10.0.0.2", true);
    put_pod(&c, "web-2", "10.0.0.3", false);
    cluster_put(
        &c, KIND_PDB,
        "{\"metadata\":{\"name\":\"b\",\"namespace\":\"default\",\"generation\":1},\"spec\":"
        "{\"minAvailable\":1,\"selector\":{\"matchLabels\":{\"app\":\"web\"}}}}");
    EXPECT_STR("STATUS poddisruptionbudgets default/b\n",
               cluster_decide(&c, &controller_pdb, "default", "b", true));
    const struct val *b = cluster_find(&c, KIND_PDB, "default", "b");
    EXPECT_INT(2, (int)val_number_at(b, "status.currentHealthy", -1));
    EXPECT_INT(1, (int)val_number_at(b, "status.disruptionsAllowed", -1));
    EXPECT_INT(3, (int)val_number_at(b, "status.expectedPods", -1));
    EXPECT_STR("", cluster_decide(&c, &controller_pdb, "default", "b", true));
    cluster_close(&c);
}

TEST(pods_of_a_lost_node_are_failed_and_deleted)
{
    struct cluster c;
    cluster_open(&c);
    put_pod(&c, "web-0", "10.0.0.1", true);
    EXPECT_STR("", cluster_decide(&c, &controller_podgc, "", "pods", true));
    c.now += 60 * USEC_PER_SEC;
    EXPECT_STR("PATCH_STATUS pods default/web-0\nDELETE pods default/web-0\n",
               cluster_decide(&c, &controller_podgc, "", "pods", true));
    cluster_close(&c);
}
