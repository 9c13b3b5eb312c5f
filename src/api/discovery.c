// SPDX-License-Identifier: Apache-2.0
//
// What this server offers, as documents (spec/api.md 1.1 to 1.3): plain and aggregated discovery.
// All follow from the kind table, which is constant, so each document is made once, at the first
// question, and kept for the life of the process.
#include "api/render.h"

#include "base/map.h"
#include "base/mem.h"
#include "data/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { DISCOVERY_BYTES_MAX = 1 << 20, VERBS_SORTED_COUNT = VERB_COUNT };

/* Documents by a name of ours ("v2 apis", "list apps/v1"); values are char *. */
static struct map made;

static void put(struct buf *out, struct str text)
{
    (void)buf_add(out, text);
}

static void put_member(struct buf *out, const char *key, struct str text)
{
    (void)buf_addf(out, "\"%s\":", key);
    (void)json_write_string(out, text);
}

/* Keeps the text of out under name; frees out. */
static struct str keep(struct str name, struct buf *out)
{
    struct str text = {NULL, out->n};
    text.p = buf_take(out);
    free(map_put(&made, name, (void *)(uintptr_t)text.p));
    return text;
}

static bool find(struct str name, struct str *ret)
{
    *ret = str_of(map_find(&made, name));
    return ret->n != 0;
}

/* Verbs are listed by name, as upstream does. */
static void put_verbs(struct buf *out, unsigned verbs)
{
    static const enum api_verb order[VERBS_SORTED_COUNT] = {
        VERB_CREATE, VERB_DELETE, VERB_DELETE_COLLECTION, VERB_GET, VERB_LIST, VERB_PATCH,
        VERB_UPDATE, VERB_WATCH,
    };
    const char *separator = "";
    put(out, S("\"verbs\":["));
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        if ((verbs & 1U << order[i]) != 0) {
            (void)buf_addf(out, "%s\"" STR_FMT "\"", separator, STR_ARG(verb_name(order[i])));
            separator = ",";
        }
    }
    put(out, S("]"));
}

static void put_names(struct buf *out, const struct kind *k)
{
    for (size_t i = 0; i < k->short_names_count; i++) {
        put(out, i == 0 ? S(",\"shortNames\":[") : S(","));
        (void)json_write_string(out, k->short_names[i]);
    }
    if (k->short_names_count > 0) {
        put(out, S("]"));
    }
    if (k->category.n > 0) {
        (void)buf_addf(out, ",\"categories\":[\"" STR_FMT "\"]", STR_ARG(k->category));
    }
}

/* The kind of a subresource's body; its kind's own where the row says nothing. */
static struct subresource body_of(const struct kind *k, const struct subresource *s)
{
    struct subresource body = *s;
    if (s->kind_name.n == 0) {
        body.kind_group = k->group;
        body.kind_version = k->version;
        body.kind_name = k->name;
    }
    return body;
}

static bool same_version(const struct kind *k, struct str group, struct str version)
{
    return str_eq(k->group, group) && str_eq(k->version, version);
}

/* One entry of an APIResourceList, and one for each subresource. */
static void put_resource(struct buf *out, const struct kind *k, const struct subresource *s)
{
    put(out, S("{"));
    if (s == NULL) {
        put_member(out, "name", k->plural);
    } else {
        (void)buf_addf(out, "\"name\":\"" STR_FMT "/" STR_FMT "\"", STR_ARG(k->plural),
                       STR_ARG(s->name));
    }
    put(out, S(","));
    put_member(out, "singularName", s == NULL ? k->singular : S(""));
    (void)buf_addf(out, ",\"namespaced\":%s,",
                   (k->flags & KIND_NAMESPACED) != 0 ? "true" : "false");
    if (s == NULL) {
        put_member(out, "kind", k->name);
        put(out, S(","));
        put_verbs(out, k->verbs);
        put_names(out, k);
    } else {
        struct subresource body = body_of(k, s);
        if (!same_version(k, body.kind_group, body.kind_version)) {
            put_member(out, "group", body.kind_group);
            put(out, S(","));
            put_member(out, "version", body.kind_version);
            put(out, S(","));
        }
        put_member(out, "kind", body.kind_name);
        put(out, S(","));
        put_verbs(out, s->verbs);
    }
    put(out, S("}"));
}

struct str discovery_resources(struct str group_version)
{
    char name[128];
    (void)snprintf(name, sizeof name, "list " STR_FMT, STR_ARG(group_version));
    struct str text;
    if (find(str_of(name), &text)) {
        return text;
    }
    struct buf out;
    buf_init(&out, DISCOVERY_BYTES_MAX);
    bool is_core = str_find(group_version, '/') < 0;
    put(&out, is_core ? S("{\"kind\":\"APIResourceList\",")
                      : S("{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\","));
    put_member(&out, "groupVersion", group_version);
    put(&out, S(",\"resources\":["));
    size_t count;
    const struct kind *all = kinds(&count);
    bool is_known = false;
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(kind_api_version(&all[i]), group_version)) {
            continue;
        }
        put(&out, is_known ? S(",") : S(""));
        is_known = true;
        put_resource(&out, &all[i], NULL);
        for (size_t j = 0; j < all[i].subresources_count; j++) {
            put(&out, S(","));
            put_resource(&out, &all[i], &all[i].subresources[j]);
        }
    }
    put(&out, S("]}"));
    if (!is_known) {
        buf_done(&out);
        return S("");
    }
    return keep(str_of(name), &out);
}

/* Whether all[i] is the first of its group (of its group and version). */
static bool starts_group(const struct kind *all, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (str_eq(all[j].group, all[i].group)) {
            return false;
        }
    }
    return true;
}

static bool starts_version(const struct kind *all, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (same_version(&all[j], all[i].group, all[i].version)) {
            return false;
        }
    }
    return true;
}

/* "name":…,"versions":[…],"preferredVersion":{…} */
static void put_group(struct buf *out, const struct kind *all, size_t count, size_t first)
{
    struct str versions[2] = {S("\"versions\":["), S(",")};
    size_t seen = 0;
    put_member(out, "name", all[first].group);
    put(out, S(","));
    for (size_t i = first; i < count; i++) {
        if (!str_eq(all[i].group, all[first].group) || !starts_version(all, i)) {
            continue;
        }
        put(out, versions[seen++ > 0]);
        put(out, S("{"));
        put_member(out, "groupVersion", kind_api_version(&all[i]));
        put(out, S(","));
        put_member(out, "version", all[i].version);
        put(out, S("}"));
    }
    put(out, S("],\"preferredVersion\":{"));
    put_member(out, "groupVersion", kind_api_version(&all[first]));
    put(out, S(","));
    put_member(out, "version", all[first].version);
    put(out, S("}"));
}

struct str discovery_groups(void)
{
    struct str text;
    if (find(S("groups"), &text)) {
        return text;
    }
    struct buf out;
    buf_init(&out, DISCOVERY_BYTES_MAX);
    put(&out, S("{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":["));
    size_t count;
    const struct kind *all = kinds(&count);
    const char *separator = "";
    for (size_t i = 0; i < count; i++) {
        if (all[i].group.n > 0 && starts_group(all, i)) {
            (void)buf_addf(&out, "%s{", separator);
            put_group(&out, all, count, i);
            put(&out, S("}"));
            separator = ",";
        }
    }
    put(&out, S("]}"));
    return keep(S("groups"), &out);
}

struct str discovery_group(struct str group)
{
    char name[128];
    (void)snprintf(name, sizeof name, "group " STR_FMT, STR_ARG(group));
    struct str text;
    if (find(str_of(name), &text)) {
        return text;
    }
    size_t count;
    const struct kind *all = kinds(&count);
    for (size_t i = 0; i < count; i++) {
        if (group.n > 0 && str_eq(all[i].group, group)) {
            struct buf out;
            buf_init(&out, DISCOVERY_BYTES_MAX);
            put(&out, S("{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\","));
            put_group(&out, all, count, i);
            put(&out, S("}"));
            return keep(str_of(name), &out);
        }
    }
    return S("");
}

struct str discovery_api_versions(struct arena *arena, struct str server_address)
{
    struct buf out;
    buf_init(&out, DISCOVERY_BYTES_MAX);
    put(&out, S("{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":["
                "{\"clientCIDR\":\"0.0.0.0/0\","));
    put_member(&out, "serverAddress", server_address);
    put(&out, S("}]}"));
    struct str text = arena_dup(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

/* Aggregated: group and version are left empty where they are the enclosing ones. */
static void put_response_kind(struct buf *out, const struct kind *k, const struct subresource *body)
{
    bool is_same = same_version(k, body->kind_group, body->kind_version);
    put(out, S("\"responseKind\":{"));
    put_member(out, "group", is_same ? S("") : body->kind_group);
    put(out, S(","));
    put_member(out, "version", is_same ? S("") : body->kind_version);
    put(out, S(","));
    put_member(out, "kind", body->kind_name);
    put(out, S("},"));
}

static void put_aggregated_resource(struct buf *out, const struct kind *k)
{
    struct subresource own = body_of(k, &(struct subresource){.verbs = k->verbs});
    put(out, S("{"));
    put_member(out, "resource", k->plural);
    put(out, S(","));
    put_response_kind(out, k, &own);
    put_member(out, "scope", (k->flags & KIND_NAMESPACED) != 0 ? S("Namespaced") : S("Cluster"));
    put(out, S(","));
    put_member(out, "singularResource", k->singular);
    put(out, S(","));
    put_verbs(out, k->verbs);
    put_names(out, k);
    for (size_t i = 0; i < k->subresources_count; i++) {
        struct subresource body = body_of(k, &k->subresources[i]);
        put(out, i == 0 ? S(",\"subresources\":[{") : S(",{"));
        put_member(out, "subresource", body.name);
        put(out, S(","));
        put_response_kind(out, k, &body);
        put_verbs(out, body.verbs);
        put(out, S("}"));
    }
    put(out, k->subresources_count > 0 ? S("]}") : S("}"));
}

static void put_aggregated_group(struct buf *out, const struct kind *all, size_t count,
                                 size_t first)
{
    const char *separator = "";
    put(out, S("{\"metadata\":{"));
    put_member(out, "name", all[first].group);
    put(out, S("},\"versions\":["));
    for (size_t i = first; i < count; i++) {
        if (!str_eq(all[i].group, all[first].group) || !starts_version(all, i)) {
            continue;
        }
        (void)buf_addf(out, "%s{", separator);
        separator = ",";
        put_member(out, "version", all[i].version);
        put(out, S(",\"freshness\":\"Current\",\"resources\":["));
        const char *between = "";
        for (size_t j = i; j < count; j++) {
            if (same_version(&all[j], all[i].group, all[i].version)) {
                (void)buf_addf(out, "%s", between);
                between = ",";
                put_aggregated_resource(out, &all[j]);
            }
        }
        put(out, S("]}"));
    }
    put(out, S("]}"));
}

struct str discovery_aggregated(struct str root, bool is_v2beta1)
{
    char name[128];
    const char *version = is_v2beta1 ? "v2beta1" : "v2";
    (void)snprintf(name, sizeof name, "%s " STR_FMT, version, STR_ARG(root));
    struct str text;
    if (find(str_of(name), &text)) {
        return text;
    }
    struct buf out;
    buf_init(&out, DISCOVERY_BYTES_MAX);
    (void)buf_addf(&out,
                   "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/%s\","
                   "\"metadata\":{},\"items\":[",
                   version);
    size_t count;
    const struct kind *all = kinds(&count);
    bool wants_core = str_eq(root, S("api"));
    const char *separator = "";
    for (size_t i = 0; i < count; i++) {
        if ((all[i].group.n == 0) == wants_core && starts_group(all, i)) {
            (void)buf_addf(&out, "%s", separator);
            separator = ",";
            put_aggregated_group(&out, all, count, i);
        }
    }
    put(&out, S("]}"));
    return keep(str_of(name), &out);
}
