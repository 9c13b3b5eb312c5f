// SPDX-License-Identifier: Apache-2.0
#include "api/schema.h"

#include "api/kind.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "test.h"

struct told {
    struct arena *arena;
    struct str text;
};

static void tell(void *ctx, struct str path)
{
    struct told *t = ctx;
    t->text = arena_fmt(t->arena, STR_FMT STR_FMT " ", STR_ARG(t->text), STR_ARG(path));
}

/* Decodes json as type; gives the JSON again, or the error. */
static struct str decode(struct arena *arena, const char *type, const char *json,
                         struct str *unknown)
{
    struct err err = {0};
    struct val v;
    EXPECT_OK(json_read(str_of(json), arena, NULL, &v, &err));
    struct told told = {arena, S("")};
    int rc = schema_decode(schema_find(str_of(type)), arena, &v, tell, &told, &err);
    *unknown = told.text;
    if (rc < 0) {
        EXPECT_INT(ERR_SYNTAX, rc);
        return arena_dup(arena, str_of(err.msg));
    }
    struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    EXPECT_INT(0, json_write(&out, &v));
    struct str text = arena_dup(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

TEST(schema_decode_brings_values_to_the_typed_form)
{
    // clang-format off
    static const struct {
        const char *type, *in, *out, *unknown;
    } rows[] = {
        {"core.v1.Pod",                  "{\"metadata\":{\"creationTimestamp\":null,\"name\":\"a\"}}",
         "{\"metadata\":{\"name\":\"a\"}}",                                                                                                                                                   ""   },
        {"apps.v1.StatefulSet",
         "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"foo\":1}]}},\"bar\":"
         "2}}",                                                                                           "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}}}",
         "spec.bar spec.template.spec.containers[0].foo "                                                                                                                                          },
        {"apps.v1.StatefulSetSpec",      "{\"replicas\":0,\"serviceName\":\"\",\"minReadySeconds\":0}",
         "{\"replicas\":0}",                                                                                                                                             ""   },
        {"apps.v1.StatefulSetStatus",    "{\"availableReplicas\":0,\"readyReplicas\":0,\"replicas\":0}",
         "{\"availableReplicas\":0,\"replicas\":0}",                                                                                                                                                ""   },
        {"core.v1.ResourceRequirements",
         "{\"limits\":{\"cpu\":\"1000m\",\"memory\":1024},\"requests\":{\"cpu\":0.5}}",                   "{\"limits\":{\"cpu\":\"1\",\"memory\":\"1024\"},\"requests\":{\"cpu\":\"500m\"}}", ""   },
        {"core.v1.ServicePort",          "{\"port\":80,\"targetPort\":\"http\"}",
         "{\"port\":80,\"targetPort\":\"http\"}",                                                                                                                                             ""   },
        {"core.v1.ServicePort",          "{\"port\":80,\"targetPort\":8080}",
         "{\"port\":80,\"targetPort\":8080}",                                                                                                                                                 ""   },
        {"core.v1.Secret",               "{\"data\":{\"a\":\"aGk=\",\"b\":null}}",
         "{\"data\":{\"a\":\"aGk=\",\"b\":\"\"}}",                                                                                                                                            ""   },
        {"core.v1.EphemeralContainer",   "{\"name\":\"a\",\"image\":\"b\",\"^_\":1}",
         "{\"image\":\"b\",\"name\":\"a\"}",                                                                                                                                                  "^_ "},
        {"coordination.v1.LeaseSpec",    "{\"renewTime\":\"2026-01-02T05:04:05+02:00\"}",
         "{\"renewTime\":\"2026-01-02T03:04:05.000000Z\"}",                                                                                                                                   ""   },
        {"authentication.v1.UserInfo",   "{\"extra\":{\"a\":[\"x\"]}}",                                   "{\"extra\":{\"a\":[\"x\"]}}",
         ""                                                                                                                                                                                        },
        {"core.v1.PodSpec",              "{\"hostNetwork\":false,\"securityContext\":{},\"volumes\":[]}",
         "{\"securityContext\":{}}",                                                                                                                                                          ""   },
        {"core.v1.EmptyDirVolumeSource", "{\"sizeLimit\":\"1.5Gi\"}",                                     "{\"sizeLimit\":\"1536Mi\"}",
         ""                                                                                                                                                                                        },
    };
    // clang-format on
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str unknown;
        EXPECT_STR(rows[i].out, decode(arena, rows[i].type, rows[i].in, &unknown));
        EXPECT_STR(rows[i].unknown, unknown);
        EXPECT_STR(rows[i].out, decode(arena, rows[i].type, rows[i].out, &unknown));
        EXPECT_STR("", unknown);
    }
    arena_free(arena);
}

TEST(schema_decode_words_wrong_types_as_go_does)
{
    // clang-format off
    static const struct {
        const char *type, *in, *message;
    } rows[] = {
        {"apps.v1.StatefulSet",          "{\"spec\":{\"replicas\":\"3\"}}",
         "json: cannot unmarshal string into Go struct field StatefulSetSpec.spec.replicas of type "
         "int32"                                                                                                                                    },
        {"apps.v1.StatefulSet",          "{\"spec\":{\"replicas\":3000000000}}",
         "json: cannot unmarshal number 3000000000 into Go struct field "
         "StatefulSetSpec.spec.replicas of type int32"                                                                                              },
        {"core.v1.Pod",                  "{\"spec\":{\"containers\":{\"name\":\"a\"}}}",
         "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
         "[]v1.Container"                                                                                                                           },
        {"core.v1.Pod",                  "{\"spec\":{\"containers\":[{\"name\":1}]}}",
         "json: cannot unmarshal number into Go struct field Container.spec.containers.name of "
         "type string"                                                                                                                              },
        {"core.v1.Pod",                  "{\"metadata\":{\"labels\":{\"a\":1}}}",
         "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
         "string"                                                                                                                                   },
        {"core.v1.Pod",                  "[]",                                           "json: cannot unmarshal array into Go value of type v1.Pod"},
        {"core.v1.Secret",               "{\"data\":{\"a\":\"a*\"}}",                    "illegal base64 data at input byte 1"                      },
        {"core.v1.Secret",               "{\"data\":{\"a\":\"aGk\"}}",                   "illegal base64 data at input byte 3"                      },
        {"core.v1.ResourceRequirements", "{\"limits\":{\"cpu\":\"x\"}}",
         "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"                                                                                           },
    };
    // clang-format on
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str unknown;
        EXPECT_STR(rows[i].message, decode(arena, rows[i].type, rows[i].in, &unknown));
    }
    arena_free(arena);
}

TEST(schema_fields_tell_keys_numbers_and_strategies)
{
    // clang-format off
    static const struct {
        const char *type, *field, *merge_key, *first_key;
        int list, flags, pb;
    } rows[] = {
        {"core.v1.Container",                 "ports",         "containerPort", "containerPort", SCHEMA_KEYED,
         SCHEMA_PATCH_MERGE,                                                                                                        6 },
        {"core.v1.PodSpec",                   "volumes",       "name",          "name",          SCHEMA_KEYED,
         SCHEMA_PATCH_MERGE | SCHEMA_PATCH_RETAIN_KEYS,                                                                             1 },
        {"meta.v1.ObjectMeta",                "finalizers",    "",              NULL,            SCHEMA_SET,    SCHEMA_PATCH_MERGE, 14},
        {"core.v1.PodSpec",                   "nodeSelector",  "",              NULL,            SCHEMA_ATOMIC, SCHEMA_MAP_ATOMIC,  7 },
        {"apps.v1.StatefulSetSpec",           "replicas",      "",              NULL,            SCHEMA_ATOMIC, SCHEMA_PB_POINTER,  1 },
        {"core.v1.PersistentVolumeSpec",      "claimRef",      "",              NULL,            SCHEMA_ATOMIC, 0,                  4 },
        {"core.v1.Volume",                    "^volumeSource", "",              NULL,            SCHEMA_ATOMIC, SCHEMA_PB_INLINE,   2 },
        {"policy.v1.PodDisruptionBudgetSpec", "selector",      "",              NULL,            SCHEMA_ATOMIC,
         SCHEMA_PATCH_REPLACE | SCHEMA_MAP_ATOMIC,                                                                                  2 },
    };
    // clang-format on
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct schema_type *type = schema_find(str_of(rows[i].type));
        EXPECT(type != NULL);
        const struct schema_field *f = schema_field(type, str_of(rows[i].field));
        EXPECT(f != NULL);
        EXPECT_STR(rows[i].merge_key, f->merge_key);
        EXPECT_INT(rows[i].list, f->list);
        EXPECT_INT(rows[i].flags, f->flags);
        EXPECT_INT(rows[i].pb, f->pb);
        EXPECT_INT(rows[i].first_key != NULL, f->keys_count > 0);
        if (rows[i].first_key != NULL) {
            EXPECT_STR(rows[i].first_key, f->keys[0]);
        }
    }
    EXPECT(schema_find(S("core.v1.Nothing")) == NULL);
    EXPECT_STR("\"TCP\"",
               schema_field(schema_find(S("core.v1.ContainerPort")), S("protocol"))->default_json);
}

TEST(schema_tables_are_sorted)
{
    size_t count;
    const struct schema_type *types = schema_types(&count);
    EXPECT(count > 200);
    for (size_t i = 0; i < count; i++) {
        EXPECT(i == 0 || str_cmp(types[i - 1].name, types[i].name) < 0);
        for (size_t j = 1; j < types[i].fields_count; j++) {
            EXPECT(str_cmp(types[i].fields[j - 1].name, types[i].fields[j].name) < 0);
        }
    }
}

TEST(kinds_are_found_by_plural_name_and_id)
{
    const struct kind *sts = kind_by_plural(S("apps"), S("v1"), S("statefulsets"));
    EXPECT(sts != NULL && sts == kind_of(KIND_STATEFUL_SET));
    EXPECT_STR("apps/v1", kind_api_version(sts));
    EXPECT_STR("statefulsets.apps", kind_qualified(sts));
    EXPECT_STR("sts", sts->short_names[0]);
    EXPECT_INT(1, sts->short_names_count);
    EXPECT_INT(2, sts->subresources_count);
    EXPECT_STR("Scale", kind_subresource(sts, S("scale"))->kind_name);
    EXPECT(kind_subresource(sts, S("log")) == NULL);
    EXPECT_STR("v1", kind_api_version(kind_of(KIND_POD)));
    EXPECT_STR("pods", kind_qualified(kind_of(KIND_POD)));
    EXPECT(kind_by_name(S(""), S("v1"), S("StatefulSet")) == NULL);
    EXPECT(kind_by_plural(S("apps"), S("v1beta1"), S("statefulsets")) == NULL);
    size_t count;
    const struct kind *all = kinds(&count);
    for (size_t i = 0; i < count; i++) {
        EXPECT(kind_type(&all[i]) != NULL);
        EXPECT((all[i].flags & KIND_VIRTUAL) != 0 || all[i].storage.n > 0);
    }
    for (int id = 0; id < KIND_ID_COUNT; id++) {
        EXPECT(kind_of((enum kind_id)id) != NULL);
    }
    struct str group;
    struct str version;
    api_version_split(S("apps/v1"), &group, &version);
    EXPECT_STR("apps", group);
    EXPECT_STR("v1", version);
    api_version_split(S("v1"), &group, &version);
    EXPECT_STR("", group);
}
