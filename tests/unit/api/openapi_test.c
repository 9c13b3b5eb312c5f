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

static struct str json_of(struct arena *arena, const struct val *v)
{
    struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT(v != NULL);
    EXPECT_INT(0, json_write(&out, v));
    struct str text = arena_dup(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

/* Every "$ref" below v names a member of definitions. */
static void expect_refs(const struct val *v, struct str prefix, const struct val *definitions)
{
    if (val_is(v, VAL_LIST)) {
        for (size_t i = 0; i < v->n; i++) {
            expect_refs(val_at(v, i), prefix, definitions);
        }
    } else if (val_is(v, VAL_MAP)) {
        struct str ref = val_text(val_get(v, S("$ref")));
        if (ref.n > 0) {
            EXPECT(str_starts(ref, prefix));
            EXPECT(val_get(definitions, str_sub(ref, prefix.n, ref.n)) != NULL);
        }
        for (size_t i = 0; i < v->n; i++) {
            expect_refs(&v->members[i].val, prefix, definitions);
        }
    }
}

TEST(openapi_v3_documents_are_whole)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val index = parse(arena, openapi_v3_index());
    const struct val *paths = val_get(&index, S("paths"));
    EXPECT(val_count(paths) > 10);
    for (size_t i = 0; i < val_count(paths); i++) {
        struct str hash;
        struct val doc = parse(arena, openapi_v3(paths->members[i].key, &hash));
        EXPECT_INT(128, hash.n);
        struct str url = val_text(val_get(&paths->members[i].val, S("serverRelativeURL")));
        EXPECT(str_ends(url, hash));
        const struct val *schemas = val_path(&doc, "components.schemas");
        EXPECT(val_count(schemas) > 2);
        expect_refs(&doc, S("#/components/schemas/"), schemas);
    }
    struct str hash;
    EXPECT_INT(0, openapi_v3(S("apis/none/v1"), &hash).n);
    arena_free(arena);
}

TEST(openapi_v3_tells_what_kubectl_looks_for)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct str hash;
    struct val doc = parse(arena, openapi_v3(S("apis/apps/v1"), &hash));
    const struct val *item = val_get(val_get(&doc, S("paths")),
                                     S("/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"));
    const struct val *patch = val_get(item, S("patch"));
    EXPECT_STR("{\"group\":\"apps\",\"kind\":\"StatefulSet\",\"version\":\"v1\"}",
               json_of(arena, val_get(patch, S("x-kubernetes-group-version-kind"))));
    EXPECT_STR("fieldValidation", val_text_at(patch, "parameters.2.name"));
    const struct val *schemas = val_path(&doc, "components.schemas");
    const struct val *set = val_get(schemas, S("io.k8s.api.apps.v1.StatefulSet"));
    EXPECT_STR("[{\"group\":\"apps\",\"kind\":\"StatefulSet\",\"version\":\"v1\"}]",
               json_of(arena, val_get(set, S("x-kubernetes-group-version-kind"))));
    const struct val *pod = val_get(schemas, S("io.k8s.api.core.v1.PodSpec"));
    EXPECT_STR(
        "{\"description\":\"Volumes that the containers may "
        "mount.\",\"items\":{\"$ref\":\"#/components/schemas/io.k8s.api.core.v1.Volume\"},\"type\":"
        "\"array\",\"x-kubernetes-list-map-keys\":[\"name\"],\"x-kubernetes-list-type\":"
        "\"map\",\"x-kubernetes-patch-merge-key\":\"name\",\"x-kubernetes-patch-strategy\":"
        "\"merge,retainKeys\"}",
        json_of(arena, val_path(pod, "properties.volumes")));
    const struct val *port = val_get(schemas, S("io.k8s.api.core.v1.ContainerPort"));
    EXPECT_STR("{\"default\":\"TCP\",\"description\":\"TCP (default), UDP or "
               "SCTP.\",\"enum\":[\"SCTP\",\"TCP\",\"UDP\"],\"type\":\"string\"}",
               json_of(arena, val_path(port, "properties.protocol")));
    const struct val *get = val_get(schemas, S("io.k8s.api.core.v1.HTTPGetAction"));
    EXPECT_STR("{\"allOf\":[{\"$ref\":\"#/components/schemas/"
               "io.k8s.apimachinery.pkg.util.intstr.IntOrString\"}],\"description\":\"The port's "
               "number or name.\"}",
               json_of(arena, val_path(get, "properties.port")));
    EXPECT_STR(
        "{\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{\"type\":"
        "\"string\"}]}",
        json_of(arena, val_get(schemas, S("io.k8s.apimachinery.pkg.util.intstr.IntOrString"))));
    arena_free(arena);
}

TEST(openapi_v2_json_is_whole)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val doc = parse(arena, openapi_v2_json());
    const struct val *definitions = val_get(&doc, S("definitions"));
    EXPECT(val_count(definitions) > 150);
    expect_refs(&doc, S("#/definitions/"), definitions);
    arena_free(arena);
}

/* A reader of just enough protobuf: the bytes of the n-th field `number` of a message. */
static bool field(struct str message, unsigned number, size_t n, struct str *ret)
{
    while (message.n > 0) {
        uint64_t head[2] = {0, 0};
        for (size_t i = 0; i < 2; i++) {
            unsigned shift = 0;
            uint8_t byte = 0x80;
            for (; (byte & 0x80) != 0; shift += 7) {
                EXPECT(message.n > 0);
                byte = (uint8_t)*message.p;
                head[i] |= (uint64_t)(byte & 0x7f) << shift;
                message = str_sub(message, 1, message.n);
            }
        }
        EXPECT_INT(2, head[0] & 7);
        EXPECT(head[1] <= message.n);
        if (head[0] >> 3 == number && n-- == 0) {
            *ret = str_sub(message, 0, (size_t)head[1]);
            return true;
        }
        message = str_sub(message, (size_t)head[1], message.n);
    }
    return false;
}

static struct str at(struct str message, unsigned number, size_t n)
{
    struct str ret = S("");
    EXPECT(field(message, number, n, &ret));
    return ret;
}

/* The value of a named item (1=name, 2=value) among fields `number`. */
static struct str named(struct str message, unsigned number, const char *name)
{
    struct str item;
    for (size_t i = 0; field(message, number, i, &item); i++) {
        if (str_eq(at(item, 1, 0), str_of(name))) {
            return at(item, 2, 0);
        }
    }
    test_fail_text("named item", str_of(name), S("nothing"), __FILE__, __LINE__);
    return S("");
}

TEST(openapi_v2_protobuf_has_the_numbers_of_gnostic)
{
    struct str doc = openapi_v2_protobuf();
    EXPECT_STR("2.0", at(doc, 1, 0));
    EXPECT_STR("Kubernetes", at(at(doc, 2, 0), 1, 0));
    struct str set = named(at(doc, 9, 0), 1, "io.k8s.api.apps.v1.StatefulSet");
    EXPECT_STR("object", at(at(set, 22, 0), 1, 0));
    EXPECT_STR("[{\"group\":\"apps\",\"kind\":\"StatefulSet\",\"version\":\"v1\"}]",
               at(named(set, 31, "x-kubernetes-group-version-kind"), 2, 0));
    EXPECT_STR("#/definitions/io.k8s.api.apps.v1.StatefulSetSpec",
               at(named(at(set, 25, 0), 1, "spec"), 1, 0));
    struct str pod = named(at(doc, 9, 0), 1, "io.k8s.api.core.v1.PodSpec");
    EXPECT_STR("containers", at(pod, 19, 0));
    struct str volumes = named(at(pod, 25, 0), 1, "volumes");
    EXPECT_STR("#/definitions/io.k8s.api.core.v1.Volume", at(at(at(volumes, 23, 0), 1, 0), 1, 0));
    EXPECT_STR("\"name\"", at(named(volumes, 31, "x-kubernetes-patch-merge-key"), 2, 0));
    struct str item = named(at(doc, 8, 0), 2, "/api/v1/namespaces/{namespace}/pods/{name}");
    struct str patch = at(item, 8, 0);
    struct str query = at(at(at(at(patch, 8, 0), 1, 0), 2, 0), 3, 0);
    EXPECT_STR("query", at(query, 2, 0));
    EXPECT_STR("dryRun", at(query, 4, 0));
    EXPECT_STR("{\"group\":\"\",\"kind\":\"Pod\",\"version\":\"v1\"}",
               at(named(patch, 13, "x-kubernetes-group-version-kind"), 2, 0));
}
