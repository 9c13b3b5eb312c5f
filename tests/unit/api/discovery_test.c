// SPDX-License-Identifier: Apache-2.0
#include "api/render.h"
#include "base/limits.h"
#include "data/json.h"
#include "test.h"

static struct val parse(struct arena *arena, struct str json)
{
    struct err err = {0};
    struct val v;
    EXPECT_OK(json_read(json, arena, NULL, &v, &err));
    return v;
}

static const struct val *named(const struct val *list, const char *member, const char *name)
{
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text_at(val_at(list, i), member), str_of(name))) {
            return val_at(list, i);
        }
    }
    return NULL;
}

static struct str json_of(struct arena *arena, const struct val *v)
{
    struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT_INT(0, json_write(&out, v));
    struct str text = arena_dup(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

#define STD_VERBS                                                                                  \
    "\"verbs\":[\"create\",\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\","            \
    "\"update\",\"watch\"]"

TEST(resource_lists_hold_kinds_and_subresources)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val apps = parse(arena, discovery_resources(S("apps/v1")));
    EXPECT_STR("v1", val_text_at(&apps, "apiVersion"));
    EXPECT_STR("apps/v1", val_text_at(&apps, "groupVersion"));
    const struct val *resources = val_get(&apps, S("resources"));
    EXPECT_STR(
        "{\"categories\":[\"all\"],\"kind\":\"StatefulSet\",\"name\":\"statefulsets\","
        "\"namespaced\":true,\"shortNames\":[\"sts\"],\"singularName\":\"statefulset\"," STD_VERBS
        "}",
        json_of(arena, named(resources, "name", "statefulsets")));
    EXPECT_STR("{\"group\":\"autoscaling\",\"kind\":\"Scale\",\"name\":\"statefulsets/scale\","
               "\"namespaced\":true,\"singularName\":\"\",\"verbs\":[\"get\",\"patch\",\"update\"],"
               "\"version\":\"v1\"}",
               json_of(arena, named(resources, "name", "statefulsets/scale")));
    struct val core = parse(arena, discovery_resources(S("v1")));
    EXPECT(val_get(&core, S("apiVersion")) == NULL);
    resources = val_get(&core, S("resources"));
    EXPECT_STR(
        "{\"group\":\"policy\",\"kind\":\"Eviction\",\"name\":\"pods/eviction\","
        "\"namespaced\":true,\"singularName\":\"\",\"verbs\":[\"create\"],\"version\":\"v1\"}",
        json_of(arena, named(resources, "name", "pods/eviction")));
    EXPECT(named(resources, "name", "namespaces/finalize") != NULL);
    EXPECT_INT(0, discovery_resources(S("apps/v2")).n);
    arena_free(arena);
}

TEST(groups_come_in_upstream_order)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val groups = parse(arena, discovery_groups());
    EXPECT_STR("apps", val_text_at(&groups, "groups.0.name"));
    EXPECT_STR("events.k8s.io", val_text_at(&groups, "groups.1.name"));
    EXPECT_STR("{\"name\":\"apps\",\"preferredVersion\":{\"groupVersion\":\"apps/v1\",\"version\":"
               "\"v1\"},\"versions\":[{\"groupVersion\":\"apps/v1\",\"version\":\"v1\"}]}",
               json_of(arena, val_path(&groups, "groups.0")));
    struct val group = parse(arena, discovery_group(S("apps")));
    EXPECT_STR("APIGroup", val_text_at(&group, "kind"));
    EXPECT_INT(0, discovery_group(S("")).n);
    EXPECT_INT(0, discovery_group(S("none")).n);
    struct val versions = parse(arena, discovery_api_versions(arena, S("10.0.0.1:6443")));
    EXPECT_STR("10.0.0.1:6443",
               val_text_at(&versions, "serverAddressByClientCIDRs.0.serverAddress"));
    arena_free(arena);
}

TEST(aggregated_discovery_nests_subresources)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val api = parse(arena, discovery_aggregated(S("api"), /*is_v2beta1=*/false));
    EXPECT_STR("apidiscovery.k8s.io/v2", val_text_at(&api, "apiVersion"));
    EXPECT_INT(1, val_count(val_get(&api, S("items"))));
    EXPECT_STR("", val_text_at(&api, "items.0.metadata.name"));
    const struct val *resources = val_path(&api, "items.0.versions.0.resources");
    const struct val *pods = named(resources, "resource", "pods");
    EXPECT_STR("Namespaced", val_text_at(pods, "scope"));
    EXPECT_STR("{\"responseKind\":{\"group\":\"\",\"kind\":\"Pod\",\"version\":\"\"},"
               "\"subresource\":\"log\",\"verbs\":[\"get\"]}",
               json_of(arena, named(val_get(pods, S("subresources")), "subresource", "log")));
    struct val apis = parse(arena, discovery_aggregated(S("apis"), /*is_v2beta1=*/true));
    EXPECT_STR("apidiscovery.k8s.io/v2beta1", val_text_at(&apis, "apiVersion"));
    const struct val *apps = val_path(&apis, "items.0.versions.0");
    EXPECT_STR("Current", val_text_at(apps, "freshness"));
    const struct val *sts = named(val_get(apps, S("resources")), "resource", "statefulsets");
    EXPECT_STR("autoscaling", val_text_at(sts, "subresources.0.responseKind.group"));
    /* The same text again, not a second one. */
    EXPECT(discovery_aggregated(S("api"), false).p == discovery_aggregated(S("api"), false).p);
    arena_free(arena);
}
