// SPDX-License-Identifier: Apache-2.0
#include "api/render.h"

#include "api/event_form.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "data/json.h"
#include "test.h"

static usec now(void)
{
    usec wall = 0;
    EXPECT_INT(0, time_parse(S("2026-01-02T03:05:08Z"), &wall));
    return wall;
}

#define BORN "\"creationTimestamp\":\"2026-01-02T03:04:05Z\""

static struct val parse(struct arena *arena, const char *json)
{
    struct err err = {0};
    struct val v;
    EXPECT_OK(json_read(str_of(json), arena, NULL, &v, &err));
    return v;
}

/* The cells of the one row that json gives, as JSON. */
static struct str cells(struct arena *arena, const struct kind *kind, const char *json)
{
    struct val v = parse(arena, json);
    struct object *object = object_new(S("k"), 7, &v);
    struct render_options options = {.as = RENDER_TABLE, .now_wall = now()};
    struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT_INT(0, render_object(&out, arena, kind, object, &options));
    struct val table = parse(arena, arena_dup(arena, buf_str(&out)).p);
    size_t defined = val_count(val_get(&table, S("columnDefinitions")));
    const struct val *row = val_path(&table, "rows.0.cells");
    EXPECT_INT(defined, val_count(row));
    buf_clear(&out);
    EXPECT_INT(0, json_write(&out, row));
    struct str text = arena_dup(arena, buf_str(&out));
    buf_done(&out);
    object_unref(object);
    return text;
}

struct cells_row {
    enum kind_id kind;
    const char *object;
    const char *cells;
};

static void expect_cells(const struct cells_row *rows, size_t count)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    for (size_t i = 0; i < count; i++) {
        EXPECT_STR(rows[i].cells, cells(arena, kind_of(rows[i].kind), rows[i].object));
    }
    arena_free(arena);
}

TEST(tables_of_the_story)
{
    // clang-format off
    static const struct cells_row rows[] = {
        {KIND_POD,
         "{\"metadata\":{\"name\":\"moscow-time-0\"," BORN "},\"spec\":{\"nodeName\":\"n\","
         "\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Running\",\"podIPs\":"
         "[{\"ip\":\"10.244.0.2\"}],\"containerStatuses\":[{\"name\":\"a\",\"ready\":true,"
         "\"restartCount\":0,\"state\":{\"running\":{}}}]}}",                                    "[\"moscow-time-0\",\"1/1\",\"Running\",\"0\",\"63s\",\"10.244.0.2\",\"n\",\"\\u003cnone"
         "\\u003e\",\"\\u003cnone\\u003e\"]"                                           },
        {KIND_STATEFUL_SET,
         "{\"metadata\":{\"name\":\"moscow-time\"," BORN "},\"spec\":{\"replicas\":2,\"template\":"
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\"},{\"name\":\"b\",\"image\":"
         "\"y\"}]}}},\"status\":{\"readyReplicas\":2}}",                                         "[\"moscow-time\",\"2/2\",\"63s\",\"a,b\",\"x,y\"]"},
        {KIND_SERVICE,
         "{\"metadata\":{\"name\":\"kubernetes\"," BORN "},\"spec\":{\"type\":\"ClusterIP\","
         "\"clusterIPs\":[\"10.96.0.1\"],\"ports\":[{\"port\":443,\"protocol\":\"TCP\"}]}}",     "[\"kubernetes\",\"ClusterIP\",\"10.96.0.1\",\"\\u003cnone\\u003e\",\"443/TCP\",\"63s\","
         "\"\\u003cnone\\u003e\"]"                      },
        {KIND_PVC,
         "{\"metadata\":{\"name\":\"v\"," BORN "},\"spec\":{\"volumeName\":\"pvc-1\","
         "\"storageClassName\":\"standard\",\"volumeMode\":\"Filesystem\"},\"status\":{\"phase\":"
         "\"Bound\",\"capacity\":{\"storage\":\"512Mi\"},\"accessModes\":[\"ReadWriteOnce\"]}}", "[\"v\",\"Bound\",\"pvc-1\",\"512Mi\",\"RWO\",\"standard\",\"\\u003cunset\\u003e\","
         "\"63s\",\"Filesystem\"]"                  },
    };
    // clang-format on
    expect_cells(rows, ARRAY_LEN(rows));
}

#define NONE4                                                                                      \
    "\"\\u003cunknown\\u003e\",\"\\u003cnone\\u003e\",\"\\u003cnone\\u003e\","                     \
    "\"\\u003cnone\\u003e\",\"\\u003cnone\\u003e\"]"
#define POD(spec, status)                                                                          \
    "{\"metadata\":{\"name\":\"p\"},\"spec\":{" spec "},\"status\":{" status "}}"

TEST(pod_words_follow_the_container_statuses)
{
    // clang-format off
    static const struct cells_row rows[] = {
        {KIND_POD,                                                                              POD("\"containers\":[{}]", "\"phase\":\"Pending\""),
         "[\"p\",\"0/1\",\"Pending\",\"0\"," NONE4},
        {KIND_POD,
         POD("\"containers\":[{},{}]",
         "\"phase\":\"Running\",\"containerStatuses\":[{\"restartCount\":3,\"state\":{"
             "\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{"
             "\"finishedAt\":\"2026-01-02T03:05:00Z\"}}},{\"ready\":true,\"state\":{\"running\":"
             "{}}}]"),
         "[\"p\",\"1/2\",\"CrashLoopBackOff\",\"3 (8s ago)\"," NONE4},
        {KIND_POD,
         POD("\"containers\":[{}],\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}]",
         "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
             "\"terminated\":{\"exitCode\":0}}},{\"name\":\"j\",\"state\":{\"running\":{}}}]"),
         "[\"p\",\"0/1\",\"Init:1/2\",\"0\"," NONE4},
        {KIND_POD,
         POD("\"containers\":[{}],\"initContainers\":[{\"name\":\"i\"}]",
         "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"restartCount\":2,"
             "\"state\":{\"terminated\":{\"exitCode\":1}}}]"),
         "[\"p\",\"0/1\",\"Init:ExitCode:1\",\"2\"," NONE4},
        {KIND_POD,
         POD("\"containers\":[{}],\"initContainers\":[{\"name\":\"i\",\"restartPolicy\":"
             "\"Always\"}]",                                                             "\"phase\":\"Running\",\"initContainerStatuses\":[{\"name\":\"i\",\"restartCount\":1,"
             "\"started\":true,\"ready\":true,\"state\":{\"running\":{}}}],\"containerStatuses\":["
             "{\"ready\":true,\"state\":{\"running\":{}}}]"),
         "[\"p\",\"2/2\",\"Running\",\"1\"," NONE4},
        {KIND_POD,
         POD("\"containers\":[{}]",                                                                                               "\"phase\":\"Succeeded\",\"containerStatuses\":[{\"state\":{"
                                    "\"terminated\":{\"reason\":\"Completed\",\"exitCode\":0}}}]"),
         "[\"p\",\"0/1\",\"Completed\",\"0\"," NONE4},
        {KIND_POD,
         "{\"metadata\":{\"name\":\"p\",\"deletionTimestamp\":\"2026-01-02T03:05:08Z\"},\"spec\":{"
         "\"containers\":[{}]},\"status\":{\"phase\":\"Running\"}}",                                                                                                       "[\"p\",\"0/1\",\"Terminating\",\"0\"," NONE4                                                                                                                 },
    };
    // clang-format on
    expect_cells(rows, ARRAY_LEN(rows));
}

#define NAMED "{\"metadata\":{\"name\":\"a\"," BORN "}"

TEST(tables_of_the_other_kinds)
{
    // clang-format off
    static const struct cells_row rows[] = {
        {KIND_NAMESPACE,           NAMED ",\"status\":{\"phase\":\"Active\"}}",                                   "[\"a\",\"Active\",\"63s\"]"                                        },
        {KIND_CONFIG_MAP,          NAMED ",\"data\":{\"a\":\"\"},\"binaryData\":{\"b\":\"\"}}",
         "[\"a\",2,\"63s\"]"                                                                                                                                                          },
        {KIND_SECRET,              NAMED ",\"type\":\"Opaque\"}",                                                 "[\"a\",\"Opaque\",0,\"63s\"]"                                      },
        {KIND_SERVICE_ACCOUNT,     NAMED "}",                                                                     "[\"a\",0,\"63s\"]"                                                 },
        {KIND_ROLE,                NAMED "}",                                                                     "[\"a\",\"2026-01-02T03:04:05Z\"]"                                  },
        {KIND_STORAGE_CLASS,
         "{\"metadata\":{\"name\":\"s\"," BORN
         ",\"annotations\":{\"storageclass.kubernetes.io/is-default-class\":\"true\"}},"
         "\"provisioner\":\"p\"}",                                                                                "[\"s (default)\",\"p\",\"Delete\",\"Immediate\",false,\"63s\"]"    },
        {KIND_PDB,                 NAMED ",\"spec\":{\"minAvailable\":1},\"status\":{\"disruptionsAllowed\":1}}",
         "[\"a\",\"1\",\"N/A\",1,\"63s\"]"                                                                                                                                            },
        {KIND_CONTROLLER_REVISION,
         "{\"metadata\":{\"name\":\"r\"," BORN ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\","
         "\"kind\":\"StatefulSet\",\"name\":\"web\",\"controller\":true}]},\"revision\":3}",                      "[\"r\",\"statefulset.apps/web\",3,\"63s\"]"                        },
        {KIND_ENDPOINTS,
         NAMED ",\"subsets\":[{\"addresses\":[{\"ip\":\"1.1.1.1\"},{\"ip\":\"fd00::1\"}],\"ports\":"
               "[{\"port\":80},{\"port\":81}]}]}",                                                                "[\"a\",\"1.1.1.1:80,[fd00::1]:80,1.1.1.1:81 + 1 more...\",\"63s\"]"},
        {KIND_ENDPOINTS,           NAMED "}",                                                                     "[\"a\",\"\\u003cnone\\u003e\",\"63s\"]"                            },
        {KIND_ENDPOINT_SLICE,
         NAMED ",\"addressType\":\"IPv4\",\"ports\":[{\"port\":80},{\"name\":\"x\"},{}],"
               "\"endpoints\":[{\"addresses\":[\"1.1.1.1\"]}]}",                                                  "[\"a\",\"IPv4\",\"80,x,*\",\"1.1.1.1\",\"63s\"]"                   },
        {KIND_PV,
         NAMED ",\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteMany\","
               "\"ReadWriteOnce\"],\"persistentVolumeReclaimPolicy\":\"Delete\",\"claimRef\":{"
               "\"namespace\":\"n\",\"name\":\"c\"},\"storageClassName\":\"s\"},\"status\":{"
               "\"phase\":\"Bound\"}}",                                                                           "[\"a\",\"1Gi\",\"RWO,RWX\",\"Delete\",\"Bound\",\"n/c\",\"s\",\"\\u003cunset\\u003e\","
         "\"\",\"63s\",\"\\u003cunset\\u003e\"]"                                                                                               },
        {KIND_SERVICE,
         NAMED ",\"spec\":{\"type\":\"LoadBalancer\",\"clusterIPs\":[\"None\"],\"selector\":{"
               "\"b\":\"1\",\"a\":\"2\"},\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":"
               "\"TCP\"},{\"port\":81,\"protocol\":\"UDP\"}]}}",                                                  "[\"a\",\"LoadBalancer\",\"None\",\"\\u003cpending\\u003e\",\"80:30080/TCP,81/UDP\","
         "\"63s\",\"a=2,b=1\"]"                                                                                       },
        {KIND_NODE,
         "{\"metadata\":{\"name\":\"n\"," BORN
         ",\"labels\":{\"node-role.kubernetes.io/control-plane\":\"\"}},\"spec\":{"
         "\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
         "\"True\"}],\"nodeInfo\":{\"kubeletVersion\":\"v1\"},\"addresses\":[{\"type\":"
         "\"InternalIP\",\"address\":\"10.0.0.1\"}]}}",                                                           "[\"n\",\"Ready,SchedulingDisabled\",\"control-plane\",\"63s\",\"v1\",\"10.0.0.1\","
         "\"\\u003cnone\\u003e\",\"\\u003cunknown\\u003e\",\"\\u003cunknown\\u003e\","
         "\"\\u003cunknown\\u003e\"]"                                                                                          },
        {KIND_EVENT,
         NAMED ",\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\",\"fieldPath\":\"f\"},"
               "\"type\":\"Normal\",\"reason\":\"Started\",\"message\":\"Started \\n\","
               "\"source\":{\"component\":\"kubelet\",\"host\":\"n\"},\"firstTimestamp\":"
               "\"2026-01-02T03:04:05Z\",\"lastTimestamp\":\"2026-01-02T03:05:00Z\"}",                            "[\"8s\",\"Normal\",\"Started\",\"pod/p\",\"f\",\"kubelet, n\",\"Started\",\"63s\",1,"
         "\"a\"]"                                                                               },
        {KIND_ROLE_BINDING,
         NAMED ",\"roleRef\":{\"kind\":\"Role\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\","
               "\"name\":\"u\"},{\"kind\":\"ServiceAccount\",\"name\":\"s\",\"namespace\":\"n\"}]}",              "[\"a\",\"Role/r\",\"63s\",\"u\",\"\",\"n/s\"]"                     },
        {KIND_LEASE,               NAMED ",\"spec\":{\"holderIdentity\":\"h\"}}",                                 "[\"a\",\"h\",\"63s\"]"                                             },
    };
    // clang-format on
    expect_cells(rows, ARRAY_LEN(rows));
}

static struct str rendered(struct arena *arena, struct buf *out)
{
    struct str text = arena_dup(arena, buf_str(out));
    buf_done(out);
    return text;
}

TEST(lists_and_events_have_their_envelopes)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val v = parse(arena, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":"
                                "\"a\",\"resourceVersion\":\"7\"}}");
    struct object *object = object_new(S("k"), 7, &v);
    struct api_result result = {.list = &object,
                                .list_count = 1,
                                .is_list = true,
                                .list_rev = 9,
                                .list_continue = S("x"),
                                .list_remaining = 3};
    const struct kind *kind = kind_of(KIND_SECRET);
    struct render_options options = {.as = RENDER_PLAIN, .now_wall = now()};
    struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT_INT(0, render_list(&out, arena, kind, &result, &options));
    EXPECT_STR("{\"kind\":\"SecretList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
               "\"9\",\"continue\":\"x\",\"remainingItemCount\":3},\"items\":[{\"apiVersion\":"
               "\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}}"
               "]}",
               rendered(arena, &out));
    options.as = RENDER_PARTIAL;
    buf_init(&out, JSON_BYTES_MAX);
    struct api_event event = {.type = API_MODIFIED, .object = object};
    EXPECT_INT(0, render_event(&out, arena, kind, &event, &options));
    EXPECT_STR("{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"PartialObjectMetadata\","
               "\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"name\":\"a\","
               "\"resourceVersion\":\"7\"}}}\n",
               rendered(arena, &out));
    options.as = RENDER_TABLE;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT_INT(0, render_event(&out, arena, kind, &event, &options));
    EXPECT_STR("{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Table\",\"apiVersion\":"
               "\"meta.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"7\"},\"columnDefinitions\":"
               "null,\"rows\":[{\"cells\":[\"a\",\"\",0,\"\\u003cunknown\\u003e\"],\"object\":{"
               "\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{"
               "\"name\":\"a\",\"resourceVersion\":\"7\"}}}]}}\n",
               rendered(arena, &out));
    options.as = RENDER_PLAIN;
    buf_init(&out, JSON_BYTES_MAX);
    event = (struct api_event){.type = API_BOOKMARK, .rev = 12, .is_initial_end = true};
    EXPECT_INT(0, render_event(&out, arena, kind, &event, &options));
    EXPECT_STR("{\"type\":\"BOOKMARK\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Secret\","
               "\"metadata\":{\"annotations\":{\"k8s.io/initial-events-end\":\"true\"},"
               "\"resourceVersion\":\"12\"}}}\n",
               rendered(arena, &out));
    buf_init(&out, 10);
    EXPECT_INT(ERR_LIMIT, render_list(&out, arena, kind, &result, &options));
    buf_done(&out);
    object_unref(object);
    arena_free(arena);
}

TEST(events_have_two_forms)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val core = parse(arena, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"message\":\"m\","
                                   "\"involvedObject\":{\"name\":\"p\"},\"count\":2}");
    struct val other = event_to_events(arena, &core);
    struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    EXPECT_INT(0, json_write(&out, &other));
    EXPECT_STR("{\"apiVersion\":\"events.k8s.io/v1\",\"deprecatedCount\":2,\"kind\":\"Event\","
               "\"note\":\"m\",\"regarding\":{\"name\":\"p\"}}",
               rendered(arena, &out));
    struct val back = event_to_core(arena, &other);
    EXPECT(val_eq(&core, &back));
    arena_free(arena);
}
