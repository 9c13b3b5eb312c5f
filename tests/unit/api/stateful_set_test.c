// SPDX-License-Identifier: Apache-2.0
//
// StatefulSets as the API takes them (spec/statefulset.md 1): defaults, upstream's messages, what
// may change, and what coracle adds.
#include "bench.h"

#include "api/set_options.h"
#include "base/mem.h"

#define META      "'metadata':{'name':'web'}"
#define SELECTOR  "'selector':{'matchLabels':{'app':'x'}}"
#define POD_SPEC  "'containers':[{'name':'c','image':'a'}]"
#define TEMPLATE  "'template':{'metadata':{'labels':{'app':'x'}},'spec':{" POD_SPEC "}}"
#define SET(spec) "{" META ",'spec':{" SELECTOR "," TEMPLATE spec "}}"
#define CLAIM(metadata, size)                                                                      \
    "'volumeClaimTemplates':[{'metadata':{'name':'data'" metadata "},'spec':{'accessModes':"       \
    "['ReadWriteOnce'],'resources':{'requests':{'storage':'" size "'}}}}]"
#define INVALID "StatefulSet.apps \"web\" is invalid: "
#define IMMUTABLE                                                                                  \
    INVALID "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', "      \
            "'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "                   \
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
#define LONG_52 "a123456789b123456789c123456789d123456789e123456789f1"

static struct answer create(struct api_bench *b, const char *body)
{
    return ask(b,
               (struct ask){
                   .verb = VERB_CREATE, .kind = KIND_STATEFUL_SET, .ns = "default", .body = body});
}

static struct answer patch(struct api_bench *b, const char *sub, const char *body)
{
    return ask(b, (struct ask){.verb = VERB_PATCH,
                               .patch = PATCH_MERGE,
                               .kind = KIND_STATEFUL_SET,
                               .ns = "default",
                               .name = "web",
                               .sub = sub,
                               .body = body});
}

/* Table 1.7, and names that could never run. */
TEST(stateful_set_create_refuses_in_upstreams_words)
{
    static const struct {
        const char *body;
        const char *message; /* the start of it; "" = accepted */
    } rows[] = {
        {SET(""),                                                                                ""                                                },
        {"{" META ",'spec':{" TEMPLATE "}}",                                                     INVALID "[spec.selector: Required value"          },
        {"{" META ",'spec':{'selector':{}," TEMPLATE "}}",
         INVALID "spec.selector: Invalid value: {}: empty selector is invalid for statefulset"                                                     },
        {"{" META ",'spec':{'selector':{'matchLabels':{'app':'y'}}," TEMPLATE "}}",
         INVALID "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does "
                 "not match template `labels`"                                                                                                     },
        {SET(",'podManagementPolicy':'X'"),                                                      INVALID "spec.podManagementPolicy: "              },
        {SET(",'updateStrategy':{'type':'X'}"),                                                  INVALID "spec.updateStrategy: "                   },
        {SET(",'updateStrategy':{'type':'OnDelete','rollingUpdate':{'partition':1}}"),
         INVALID "spec.updateStrategy.rollingUpdate: Invalid value: "                                                                              },
        {SET(",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':-1}}"),
         INVALID "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater "
                 "than or equal to 0"                                                                                                              },
        {SET(",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':0}}"),
         INVALID "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"                                                 },
        {SET(",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':"
             "'101%'}}"),
         INVALID "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must "
                 "not be greater than 100%"                                                                                                        },
        {SET(",'replicas':-1"),
         INVALID "spec.replicas: Invalid value: -1: must be greater than or equal to 0"                                                            },
        {SET(",'minReadySeconds':-1"),                                                           INVALID "spec.minReadySeconds: Invalid value: -1" },
        {SET(",'ordinals':{'start':-1}"),                                                        INVALID "spec.ordinals.start: Invalid value: -1"  },
        {SET(",'serviceName':'A b'"),                                                            INVALID "spec.serviceName: Invalid value: \"A b\""},
        {SET(",'persistentVolumeClaimRetentionPolicy':{'whenScaled':'x'}"),
         INVALID "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"x\": "
                 "supported values: "                                                                                                              },
        {"{" META ",'spec':{" SELECTOR ",'template':{'metadata':{'labels':{'app':'x'}},'spec':{"
         "'restartPolicy':'Never'," POD_SPEC "}}}}",
         INVALID "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported "
                 "values: \"Always\""                                                                                                              },
        {"{" META ",'spec':{" SELECTOR ",'template':{'metadata':{'labels':{'app':'x'}},'spec':{"
         "'activeDeadlineSeconds':5," POD_SPEC "}}}}",
         INVALID "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in "
                 "StatefulSet is not Supported"                                                                                                    },
        {SET(",'volumeClaimTemplates':[{'metadata':{'name':'data'},'spec':{'resources':{"
             "'requests':{'storage':'1Gi'}}}}]"),
         INVALID "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access "
                 "mode is required"                                                                                                                },
        {SET("," CLAIM(",'labels':{'a b':'c'}",                                                  "1Gi")),
         INVALID "spec.volumeClaimTemplates[0].metadata.labels: Invalid value: \"a b\""},
        {"{" META ",'spec':{" SELECTOR ",'template':{'metadata':{'labels':{'app':'x'},"
         "'annotations':{'coracle.io/replace':'true'}},'spec':{" POD_SPEC "}}}}",
         INVALID "spec.template.metadata.annotations[coracle.io/replace]: Forbidden: is for single "
                 "pods"                                                        },
        {"{'metadata':{'name':'" LONG_52 "'},'spec':{" SELECTOR "," TEMPLATE "}}",                                                                                      ""        },
        {"{'metadata':{'name':'" LONG_52 "x'},'spec':{" SELECTOR "," TEMPLATE "}}",
         "StatefulSet.apps \"" LONG_52 "x\" is invalid: metadata.name: Invalid value: \"" LONG_52
         "x\": must be no more than 52 characters: "                                                       },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_bench b;
        bench_open(&b);
        struct answer got = create(&b, rows[i].body);
        EXPECT_INT(rows[i].message[0] == '\0' ? 201 : 422, got.code);
        EXPECT_STR(rows[i].message, str_sub(got.message, 0, strlen(rows[i].message)));
        bench_close(&b);
    }
}

/* Table 1.4: a strategy with a type and nothing else keeps no rollingUpdate. */
TEST(stateful_set_defaults)
{
    // clang-format off
    static const struct {
        const char *body, *path, *want;
    } rows[] = {
        {SET(""), "spec.podManagementPolicy", "OrderedReady"},
        {SET(""), "spec.updateStrategy.type", "RollingUpdate"},
        {SET(""), "spec.updateStrategy.rollingUpdate.partition", "0"},
        {SET(""), "spec.updateStrategy.rollingUpdate.maxUnavailable", "1"},
        {SET(",'updateStrategy':{'type':'RollingUpdate'}"), "spec.updateStrategy.rollingUpdate",
         NULL},
        {SET(""), "spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "Retain"},
        {SET(""), "spec.replicas", "1"},
        {SET(""), "spec.revisionHistoryLimit", "10"},
        {SET(""), "status.availableReplicas", "0"},
        {SET("," CLAIM("", "1Gi")), "spec.volumeClaimTemplates.0.spec.volumeMode", "Filesystem"},
        {SET("," CLAIM("", "1Gi")), "spec.volumeClaimTemplates.0.status.phase", "Pending"},
        {SET("," CLAIM("", "1Gi")), "spec.volumeClaimTemplates.0.kind", "PersistentVolumeClaim"},
    };
    // clang-format on
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_bench b;
        bench_open(&b);
        struct answer got = create(&b, rows[i].body);
        const struct val *v = val_path(&got.val, rows[i].path);
        EXPECT_INT(201, got.code);
        EXPECT_INT(rows[i].want == NULL, v == NULL);
        struct str text = val_text(v);
        if (val_is(v, VAL_INT)) {
            text = arena_fmt(b.arena, "%lld", (long long)val_number(v, -1));
        }
        if (rows[i].want != NULL) {
            EXPECT_STR(rows[i].want, text);
        }
        bench_close(&b);
    }
}

/* All mistakes at once are told in the order in which upstream's validation meets them. */
TEST(stateful_set_causes_have_upstreams_order)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got = create(
        &b, "{'metadata':{'name':'web','labels':{'a b':'c'}},'spec':{'serviceName':'A b',"
            "'replicas':-1,'minReadySeconds':-1,'ordinals':{'start':-1},'podManagementPolicy':'X',"
            "'updateStrategy':{'type':'X'},'persistentVolumeClaimRetentionPolicy':"
            "{'whenDeleted':'x','whenScaled':'x'},'volumeClaimTemplates':[{'metadata':{'name':"
            "'data'},'spec':{}}],'selector':{},'template':{'spec':{'restartPolicy':'Never',"
            "'activeDeadlineSeconds':1," POD_SPEC "}}}}");
    EXPECT_INT(422, got.code);
    const struct val *causes = val_path(&got.val, "details.causes");
    auto_buf struct buf fields;
    buf_init(&fields, 1 << 12);
    for (size_t i = 0; i < val_count(causes); i++) {
        struct str field = val_text_at(val_at(causes, i), "field");
        buf_addf(&fields, STR_FMT "\n", STR_ARG(field));
    }
    EXPECT_STR("metadata.labels\n"
               "spec.podManagementPolicy\n"
               "spec.updateStrategy\n"
               "spec.persistentVolumeClaimRetentionPolicy.whenDeleted\n"
               "spec.persistentVolumeClaimRetentionPolicy.whenScaled\n"
               "spec.volumeClaimTemplates[0].spec.accessModes\n"
               "spec.volumeClaimTemplates[0].spec.resources[storage]\n"
               "spec.replicas\n"
               "spec.minReadySeconds\n"
               "spec.ordinals.start\n"
               "spec.serviceName\n"
               "spec.selector\n"
               "spec.template.spec.restartPolicy\n"
               "spec.template.spec.activeDeadlineSeconds\n",
               buf_str(&fields));
    bench_close(&b);
}

#define GROW(size) "{'spec':{" CLAIM("", size) "}}"

/* In this order, on a set with a template of 2Gi and one claim of it that has 2Gi. */
TEST(stateful_set_updates)
{
    static const struct {
        const char *sub, *body;
        const char *message; /* "" = accepted */
        bool is_marked;      /* as one whose claim templates were edited */
    } rows[] = {
        {"",    "{'spec':{'replicas':2}}",                                                 "",          false                                              },
        {"",    "{'spec':{'revisionHistoryLimit':3,'minReadySeconds':1}}",                 "",          false                                              },
        {"",    "{'spec':{'ordinals':{'start':2}}}",                                       "",          false                                              },
        {"",    "{'spec':{'serviceName':'other'}}",                                        IMMUTABLE,   false                                              },
        {"",    "{'spec':{'podManagementPolicy':'Parallel'}}",                             IMMUTABLE,   false                                              },
        {"",    "{'spec':{'selector':{'matchLabels':{'app':null}}}}",                      INVALID,     false                                              },
        {"",    GROW("2048Mi"),                                                            "",          false                                              },
        {"",    "{'spec':{'volumeClaimTemplates':null}}",                                  IMMUTABLE,   false                                              },
        {"",
         "{'spec':{'volumeClaimTemplates':[{'metadata':{'name':'data'},'spec':{"
         "'accessModes':['ReadOnlyMany'],'resources':{'requests':{'storage':'2Gi'}}}}]}}", IMMUTABLE,   false                                              },
        {"",    GROW("1Gi"),
         INVALID
         "spec.volumeClaimTemplates[0].spec.resources.requests.storage: Forbidden: claims can't "
         "shrink, and claim data-web-0 has 2Gi already",                                                false                                              },
        {"",    "{'spec':{" CLAIM(",'labels':{'a b':'c'}",                                 "2Gi") "}}",
         INVALID "spec.volumeClaimTemplates[0].metadata.labels",                                                                                             false},
        {"",     "{'spec':{" CLAIM(",'labels':{'tier':'db'}",                                                                             "2Gi") "}}",                                         "",     true},
        {"", GROW("3Gi"),                                                                          "",                                                                                    true                                                                                                                       },
        {"", GROW("2Gi"),                                                                          "", true},
        {"", "{'metadata':{'annotations':{'coracle.io/paused':'yes'}}}",
         INVALID "metadata.annotations[coracle.io/paused]: Invalid value: \"yes\": must be 'true' "
                 "or 'false'",                                                                                    true                                                                                                                                                           },
        {"status", "{'status':{'replicas':1,'readyReplicas':2}}",
         INVALID "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
         true},
        {"status",  "{'status':{'updatedReplicas':-1}}",
         INVALID "status.updatedReplicas: Invalid value: -1: must be greater than or equal to 0",
         true                                                                                                                                                                                                                                                        },
    };
    struct api_bench b;
    bench_open(&b);
    EXPECT_INT(201, create(&b, SET("," CLAIM("", "2Gi"))).code);
    struct answer claim =
        ask(&b, (struct ask){.verb = VERB_CREATE,
                             .kind = KIND_PVC,
                             .ns = "default",
                             .body = "{'metadata':{'name':'data-web-0'},'spec':{'accessModes':"
                                     "['ReadWriteOnce'],'resources':{'requests':{'storage':"
                                     "'2Gi'}}}}"});
    EXPECT_INT(201, claim.code);
    claim = ask(&b, (struct ask){.verb = VERB_PATCH,
                                 .patch = PATCH_MERGE,
                                 .kind = KIND_PVC,
                                 .ns = "default",
                                 .name = "data-web-0",
                                 .sub = "status",
                                 .body = "{'status':{'capacity':{'storage':'2Gi'}}}"});
    EXPECT_INT(200, claim.code);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer got = patch(&b, rows[i].sub, rows[i].body);
        EXPECT_INT(rows[i].message[0] == '\0' ? 200 : 422, got.code);
        EXPECT_STR(rows[i].message, str_sub(got.message, 0, strlen(rows[i].message)));
        got = patch(&b, "", "{}");
        EXPECT_INT(rows[i].is_marked, val_get(val_path(&got.val, "metadata.annotations"),
                                              SET_TEMPLATES_EDITED) != NULL);
    }
    bench_close(&b);
}

/* The ordinals of the first five slots. */
TEST(stateful_set_options_reserve_ordinals)
{
    static const struct {
        const char *text;
        int start;
        const char *want; /* NULL = malformed */
    } rows[] = {
        {"",            0, "0 1 2 3 4 "  },
        {"1",           0, "0 2 3 4 5 "  },
        {"4-6, 1",      0, "0 2 3 7 8 "  },
        {"0-2,1-4",     0, "5 6 7 8 9 "  },
        {"0-5",         3, "6 7 8 9 10 " },
        {"0,9",         3, "3 4 5 6 7 "  },
        {"3,4,5,7",     3, "6 8 9 10 11 "},
        {"5-4",         0, NULL          },
        {"x",           0, NULL          },
        {"1,,2",        0, NULL          },
        {"99999999999", 0, NULL          },
    };
    auto_arena struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct val annotations = val_map();
        struct set_options options;
        struct causes causes = {.arena = arena};
        auto_buf struct buf got;
        buf_init(&got, 1 << 10);
        val_set(arena, &annotations, S("coracle.io/reserved-ordinals"),
                val_str(str_of(rows[i].text)));
        set_options_check(&annotations, &causes);
        EXPECT_INT(rows[i].want == NULL, causes.count);
        set_options_read(&annotations, &options);
        for (int64_t k = 0; k < 5; k++) {
            int64_t ordinal = set_options_ordinal(&options, rows[i].start, k);
            EXPECT_INT(ordinal, set_options_skip(&options, ordinal));
            buf_addf(&got, "%lld ", (long long)ordinal);
        }
        EXPECT_STR(rows[i].want == NULL ? "0 1 2 3 4 " : rows[i].want, buf_str(&got));
    }
}
