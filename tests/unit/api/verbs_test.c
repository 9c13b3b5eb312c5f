// SPDX-License-Identifier: Apache-2.0
//
// Requests and their answers (spec/api.md 3 to 6).
#include "bench.h"

#include "base/limits.h"
#include "base/mem.h"

#include <stdio.h>

static struct answer create(struct api_bench *b, enum kind_id kind, const char *body)
{
    return ask(b, (struct ask){.verb = VERB_CREATE, .kind = kind, .ns = "default", .body = body});
}

TEST(create_refuses_in_upstreams_words)
{
    static const struct {
        enum kind_id kind;
        const char *ns;
        const char *body;
        int code;
        const char *message;
    } rows[] = {
        {KIND_CONFIG_MAP,     "default", "{'metadata':{'name':'a'},'data':{'k':'v'}}",        201, ""  },
        {KIND_CONFIG_MAP,     "default", "{'metadata':{'name':'a'}}",                         409,
         "configmaps \"a\" already exists"                                                             },
        {KIND_CONFIG_MAP,     "nope",    "{'metadata':{'name':'a'}}",                         404,
         "namespaces \"nope\" not found"                                                               },
        {KIND_CONFIG_MAP,     "default", "{'metadata':{'name':'b','namespace':'x'}}",         400,
         "the namespace of the provided object does not match the namespace sent on the request"       },
        {KIND_CONFIG_MAP,     "default", "{'apiVersion':'v2','metadata':{'name':'b'}}",       400,
         "the API version in the data (v2) does not match the expected API version (v1)"               },
        {KIND_CONFIG_MAP,     "default", "{'metadata':{'name':'b','resourceVersion':'5'}}",   500,
         "resourceVersion should not be set on objects to be created"                                  },
        {KIND_CONFIG_MAP,     "default", "{'metadata':{}}",                                   422,
         "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is "
         "required"                                                                                    },
        {KIND_CONFIG_MAP,     "default", "{'metadata':{'name':'b'},'data':{'a b':'v'}}",      422,
         "ConfigMap \"b\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must "
         "consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
         "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"                              },
        {KIND_CONFIG_MAP,     "default", "{'metadata':{'name':'b'},'data':[]}",               400, NULL},
        {KIND_NAMESPACE,      "",        "{'metadata':{'name':'a.b'}}",                       422, NULL},
        {KIND_ROLE,           "default",
         "{'metadata':{'name':'system:x'},'rules':[{'verbs':['get'],"
         "'apiGroups':[''],'resources':['pods']}]}",                                          201, ""  },
        {KIND_ROLE_BINDING,   "default",
         "{'metadata':{'name':'b'},'roleRef':{'kind':'Role','name':''}}",                     422,
         "RoleBinding.rbac.authorization.k8s.io \"b\" is invalid: roleRef.name: Required value"        },
        {KIND_NETWORK_POLICY, "default",
         "{'metadata':{'name':'n'},'spec':{'podSelector':{},'policyTypes':['Up'],'ingress':["
         "{'ports':[{'port':0},{'port':'x','endPort':5},{'endPort':5}],"
         "'from':[{},{'podSelector':{},'ipBlock':{'cidr':'10.0.0.0'}}]}],'egress':[{'to':[{"
         "'ipBlock':{'cidr':'fd00::/8','except':['fd00::/8','fc00::/16','fd01::/16']}}]}]}}", 422,
         "NetworkPolicy.networking.k8s.io \"n\" is invalid: ["
         "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, "
         "spec.ingress[0].ports[1].endPort: Invalid value: 5: may not be specified when `port` is "
         "non-numeric, "
         "spec.ingress[0].ports[2].endPort: Invalid value: 5: may not be specified when `port` is "
         "not specified, "
         "spec.ingress[0].from[0]: Required value: must specify a peer, "
         "spec.ingress[0].from[1].ipBlock.cidr: Invalid value: \"10.0.0.0\": must be a valid CIDR "
         "value, (e.g. 10.9.8.0/24 or 2001:db8::/64), "
         "spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer, "
         "spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"fd00::/8\": must be a strict "
         "subset of `cidr`, "
         "spec.egress[0].to[0].ipBlock.except[1]: Invalid value: \"fc00::/16\": must be a strict "
         "subset of `cidr`, "
         "spec.policyTypes[0]: Unsupported value: \"Up\": supported values: \"Ingress\", "
         "\"Egress\"]"                                                                                 },
    };
    struct api_bench b;
    bench_open(&b);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer got = ask(&b, (struct ask){.verb = VERB_CREATE,
                                                 .kind = rows[i].kind,
                                                 .ns = rows[i].ns,
                                                 .body = rows[i].body});
        if (rows[i].message != NULL) {
            EXPECT_STR(rows[i].message, got.message);
        }
        EXPECT_INT(rows[i].code, got.code);
    }
    bench_close(&b);
}

TEST(create_sets_what_the_server_owns)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got = create(&b, KIND_CONFIG_MAP,
                               "{'metadata':{'generateName':'web-','uid':'mine',"
                               "'creationTimestamp':null,'generation':7},'data':{'k':'v'}}");
    EXPECT_INT(201, got.code);
    EXPECT_INT(9, val_text_at(&got.val, "metadata.name").n);
    EXPECT_INT(36, val_text_at(&got.val, "metadata.uid").n);
    EXPECT_STR("2026-01-02T03:03:05Z", val_text_at(&got.val, "metadata.creationTimestamp"));
    EXPECT(val_path(&got.val, "metadata.generation") == NULL);
    EXPECT_STR("ConfigMap", val_text_at(&got.val, "kind"));
    EXPECT_STR("default", val_text_at(&got.val, "metadata.namespace"));
    EXPECT(val_text_at(&got.val, "metadata.resourceVersion").n != 0);
    EXPECT_INT(1, val_count(val_path(&got.val, "metadata.managedFields")));

    got = create(&b, KIND_SECRET, "{'metadata':{'name':'s'},'stringData':{'k':'v'}}");
    EXPECT_STR("Opaque", val_text_at(&got.val, "type"));
    EXPECT_STR("dg==", val_text_at(&got.val, "data.k"));
    EXPECT(val_get(&got.val, S("stringData")) == NULL);
    bench_close(&b);
}

TEST(unknown_fields_warn_refuse_or_pass)
{
    struct api_bench b;
    bench_open(&b);
    struct ask in = {.verb = VERB_CREATE,
                     .kind = KIND_CONFIG_MAP,
                     .ns = "default",
                     .is_dry_run = true,
                     .body = "{'metadata':{'name':'a','x':1},'foo':1}"};
    struct answer got = ask(&b, in);
    EXPECT_INT(201, got.code);
    EXPECT_INT(2, got.warnings);
    in.fields = ASK_IGNORE;
    got = ask(&b, in);
    EXPECT_INT(0, got.warnings);
    in.fields = ASK_STRICT;
    got = ask(&b, in);
    EXPECT_STR("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding "
               "error: unknown field \"foo\", unknown field \"metadata.x\"",
               got.message);
    EXPECT(
        ask(&b,
            (struct ask){.verb = VERB_GET, .kind = KIND_CONFIG_MAP, .ns = "default", .name = "a"})
            .code == 404);
    bench_close(&b);
}

TEST(updates_follow_resource_versions)
{
    struct api_bench b;
    bench_open(&b);
    struct answer first = create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'a'},'data':{'k':'v'}}");
    struct str rev = val_text_at(&first.val, "metadata.resourceVersion");
    struct ask put = {.verb = VERB_UPDATE,
                      .kind = KIND_CONFIG_MAP,
                      .ns = "default",
                      .name = "a",
                      .body = "{'metadata':{'name':'a'},'data':{'k':'v'}}"};
    struct answer got = ask(&b, put);
    EXPECT_INT(200, got.code);
    EXPECT(str_eq(rev, val_text_at(&got.val, "metadata.resourceVersion"))); /* no-op */

    put.body = "{'metadata':{'name':'a'},'data':{'k':'w'}}";
    got = ask(&b, put);
    EXPECT_INT(200, got.code);
    EXPECT(!str_eq(rev, val_text_at(&got.val, "metadata.resourceVersion")));
    EXPECT_STR("w", val_text_at(&got.val, "data.k"));

    put.body = "{'metadata':{'name':'a','resourceVersion':'1'}}";
    got = ask(&b, put);
    EXPECT_INT(409, got.code);
    EXPECT_STR("Operation cannot be fulfilled on configmaps \"a\": the object has been modified; "
               "please apply your changes to the latest version and try again",
               got.message);
    put.body = "{'metadata':{'name':'a','uid':'other'}}";
    EXPECT_INT(409, ask(&b, put).code);
    put.body = "{'metadata':{'name':'z'}}";
    got = ask(&b, put);
    EXPECT_STR("the name of the object (z) does not match the name on the URL (a)", got.message);
    put.name = "none";
    put.body = "{'metadata':{'name':'none'}}";
    EXPECT_INT(404, ask(&b, put).code);
    put.kind = KIND_LEASE;
    EXPECT_INT(201, ask(&b, put).code);
    got = ask(&b, put);
    EXPECT_STR("Lease.coordination.k8s.io \"none\" is invalid: metadata.resourceVersion: Invalid "
               "value: 0x0: must be specified for an update",
               got.message);
    bench_close(&b);
}

static const char pdb[] = "{'metadata':{'name':'p'},'spec':{'minAvailable':1,"
                          "'selector':{'matchLabels':{'a':'b'}}},'status':{'currentHealthy':9}}";

TEST(status_and_spec_keep_apart)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got = create(&b, KIND_PDB, pdb);
    EXPECT(val_path(&got.val, "status.currentHealthy") == NULL);
    EXPECT_INT(1, val_number_at(&got.val, "metadata.generation", 0));
    struct ask patch = {.verb = VERB_PATCH,
                        .patch = PATCH_MERGE,
                        .kind = KIND_PDB,
                        .ns = "default",
                        .name = "p",
                        .body = "{'spec':{'minAvailable':2},'status':{'currentHealthy':3}}"};
    got = ask(&b, patch);
    EXPECT_INT(2, val_number_at(&got.val, "spec.minAvailable", 0));
    EXPECT(val_path(&got.val, "status.currentHealthy") == NULL);
    EXPECT_INT(2, val_number_at(&got.val, "metadata.generation", 0));
    patch.sub = "status";
    patch.body = "{'spec':{'minAvailable':5},'status':{'currentHealthy':3}}";
    got = ask(&b, patch);
    EXPECT_INT(2, val_number_at(&got.val, "spec.minAvailable", 0));
    EXPECT_INT(3, val_number_at(&got.val, "status.currentHealthy", 0));
    EXPECT_INT(2, val_number_at(&got.val, "metadata.generation", 0));
    bench_close(&b);
}

TEST(patches_of_all_types)
{
    static const struct {
        enum api_patch type;
        const char *body;
        int code;
        const char *data; /* of the result, or the message */
    } rows[] = {
        {PATCH_JSON,      "[{'op':'replace','path':'/data/k','value':'j'}]",       200, "j" },
        {PATCH_JSON,      "[{'op':'test','path':'/data/k','value':'z'}]",          422, NULL},
        {PATCH_MERGE,     "{'data':{'k':'m'}}",                                    200, "m" },
        {PATCH_MERGE,     "{'metadata':{'resourceVersion':'1'},'data':{'k':'n'}}", 409, NULL},
        {PATCH_MERGE,     "{'metadata':{'name':'b'}}",                             422, NULL},
        {PATCH_STRATEGIC, "{'data':{'k':'s'}}",                                    200, "s" },
        {PATCH_STRATEGIC, "{'data':{'$patch':'replace','k':'r'}}",                 200, "r" },
    };
    struct api_bench b;
    bench_open(&b);
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'a'},'data':{'k':'v'}}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer got = ask(&b, (struct ask){.verb = VERB_PATCH,
                                                 .patch = rows[i].type,
                                                 .kind = KIND_CONFIG_MAP,
                                                 .ns = "default",
                                                 .name = "a",
                                                 .body = rows[i].body});
        EXPECT_INT(rows[i].code, got.code);
        if (rows[i].data != NULL) {
            EXPECT_STR(rows[i].data, val_text_at(&got.val, "data.k"));
        }
    }
    bench_close(&b);
}

TEST(patches_that_make_no_object_are_refused_as_upstream_does)
{
    static const struct {
        enum api_patch type;
        int fields; /* ASK_… */
        const char *body;
        const char *message;
    } rows[] = {
        {PATCH_STRATEGIC, ASK_STRICT, "{'data':{'k':5,'a':[true,null]}}",
         " \"\" is invalid: patch: Invalid value: \"map[data:map[a:[true <nil>] k:5]]\": json: "
         "cannot unmarshal array into Go struct field ConfigMap.data of type string"},
        {PATCH_STRATEGIC, ASK_STRICT, "{'dato':{'k':'x'}}",
         " \"\" is invalid: patch: Invalid value: \"map[dato:map[k:x]]\": strict decoding error: "
         "unknown field \"dato\""                                                   },
        {PATCH_MERGE,     ASK_IGNORE, "{'metadata':null,'data':{'k':5}}",
         " \"\" is invalid: patch: Invalid value: "
         "\"{\\\"apiVersion\\\":\\\"v1\\\",\\\"data\\\":{\\\"k\\\":5},\\\"kind\\\":"
         "\\\"ConfigMap\\\"}\": json: cannot unmarshal number into Go struct field "
         "ConfigMap.data of type string"                                            },
    };
    struct api_bench b;
    bench_open(&b);
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'a'},'data':{'k':'v'}}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer got = ask(&b, (struct ask){.verb = VERB_PATCH,
                                                 .patch = rows[i].type,
                                                 .kind = KIND_CONFIG_MAP,
                                                 .ns = "default",
                                                 .name = "a",
                                                 .fields = rows[i].fields,
                                                 .body = rows[i].body});
        EXPECT_INT(422, got.code);
        EXPECT_STR(rows[i].message, got.message);
    }
    bench_close(&b);
}

TEST(claims_grow_where_their_class_lets_them)
{
    struct api_bench b;
    bench_open(&b);
    (void)create(&b, KIND_STORAGE_CLASS, "{'metadata':{'name':'c'},'provisioner':'x'}");
    (void)create(&b, KIND_PVC,
                 "{'metadata':{'name':'d'},'spec':{'storageClassName':'c','accessModes':"
                 "['ReadWriteOnce'],'resources':{'requests':{'storage':'1Mi'}}}}");
    struct ask patch = {.verb = VERB_PATCH,
                        .patch = PATCH_MERGE,
                        .kind = KIND_PVC,
                        .ns = "default",
                        .name = "d",
                        .sub = "status",
                        .body = "{'status':{'phase':'Bound'}}"};
    EXPECT_INT(200, ask(&b, patch).code);
    patch.sub = NULL;
    patch.body = "{'spec':{'resources':{'requests':{'storage':'2Mi'}}}}";
    struct answer got = ask(&b, patch);
    EXPECT_STR("persistentvolumeclaims \"d\" is forbidden: only dynamically provisioned pvc can be "
               "resized and the storageclass that provisions the pvc must support resize",
               got.message);
    (void)ask(&b, (struct ask){.verb = VERB_PATCH,
                               .patch = PATCH_MERGE,
                               .kind = KIND_STORAGE_CLASS,
                               .name = "c",
                               .body = "{'allowVolumeExpansion':true}"});
    EXPECT_INT(200, ask(&b, patch).code);
    bench_close(&b);
}

TEST(deletes_wait_for_finalizers)
{
    struct api_bench b;
    bench_open(&b);
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'a','finalizers':['x.io/y']}}");
    struct ask del = {.verb = VERB_DELETE, .kind = KIND_CONFIG_MAP, .ns = "default", .name = "a"};
    struct answer got = ask(&b, del);
    EXPECT_INT(200, got.code);
    EXPECT(!got.is_deleted);
    EXPECT_STR("2026-01-02T03:03:05Z", val_text_at(&got.val, "metadata.deletionTimestamp"));
    struct ask patch = {.verb = VERB_PATCH,
                        .patch = PATCH_MERGE,
                        .kind = KIND_CONFIG_MAP,
                        .ns = "default",
                        .name = "a",
                        .body = "{'metadata':{'finalizers':['x.io/y','x.io/z']}}"};
    got = ask(&b, patch);
    EXPECT_STR("ConfigMap \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can "
               "be added if the object is being deleted, found new finalizers "
               "[]string{\"x.io/z\"}",
               got.message);
    patch.body = "{'metadata':{'finalizers':null}}";
    EXPECT_INT(200, ask(&b, patch).code);
    EXPECT_INT(404, ask(&b, del).code);
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'a'}}");
    del.propagation = "Foreground";
    got = ask(&b, del);
    EXPECT_STR("foregroundDeletion", val_text_at(&got.val, "metadata.finalizers.0"));
    del.propagation = "Background";
    got = ask(&b, del);
    EXPECT(got.is_deleted);
    bench_close(&b);
}

TEST(namespaces_end_by_finalize)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got = create(&b, KIND_NAMESPACE, "{'metadata':{'name':'n'}}");
    EXPECT_STR("kubernetes", val_text_at(&got.val, "spec.finalizers.0"));
    EXPECT_STR("Active", val_text_at(&got.val, "status.phase"));
    struct ask del = {.verb = VERB_DELETE, .kind = KIND_NAMESPACE, .name = "n"};
    got = ask(&b, del);
    EXPECT_STR("Terminating", val_text_at(&got.val, "status.phase"));
    got = ask(&b, (struct ask){.verb = VERB_CREATE,
                               .kind = KIND_CONFIG_MAP,
                               .ns = "n",
                               .body = "{'metadata':{'name':'a'}}"});
    EXPECT_INT(403, got.code);
    EXPECT_STR("configmaps \"a\" is forbidden: unable to create new content in namespace n because "
               "it is being terminated",
               got.message);
    EXPECT_STR("NamespaceTerminating", val_text_at(&got.val, "details.causes.0.reason"));
    got = ask(&b, (struct ask){.verb = VERB_UPDATE,
                               .kind = KIND_NAMESPACE,
                               .sub = "finalize",
                               .name = "n",
                               .body = "{'metadata':{'name':'n'},'spec':{}}"});
    EXPECT_INT(200, got.code);
    EXPECT_INT(404, ask(&b, del).code);
    del.name = "default";
    EXPECT_INT(403, ask(&b, del).code);
    bench_close(&b);
}

TEST(lists_page_over_one_snapshot)
{
    struct api_bench b;
    bench_open(&b);
    for (int i = 0; i < 5; i++) {
        char body[100];
        snprintf(body, sizeof(body), "{'metadata':{'name':'c%d','labels':{'odd':'%d'}}}", i, i % 2);
        EXPECT_INT(201, create(&b, KIND_CONFIG_MAP, body).code);
    }
    struct ask list = {.verb = VERB_LIST, .kind = KIND_CONFIG_MAP, .ns = "default", .limit = 2};
    struct answer got = ask(&b, list);
    EXPECT_STR("c0 c1", got.json);
    EXPECT_INT(3, got.remaining);
    uint64_t rev = got.rev;
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'c2a'}}");
    char next[512];
    snprintf(next, sizeof(next), STR_FMT, STR_ARG(got.next));
    list.next = next;
    got = ask(&b, list);
    EXPECT_STR("c2 c3", got.json);
    EXPECT_INT(rev, got.rev);
    snprintf(next, sizeof(next), STR_FMT, STR_ARG(got.next));
    got = ask(&b, list);
    EXPECT_STR("c4", got.json);
    EXPECT_INT(0, got.next.n);
    list = (struct ask){.verb = VERB_LIST, .kind = KIND_CONFIG_MAP, .labels = "odd in (1)"};
    EXPECT_STR("c1 c3", ask(&b, list).json);
    list.labels = NULL;
    list.selects = "metadata.name!=c1,metadata.namespace=default";
    EXPECT_STR("c0 c2 c2a c3 c4", ask(&b, list).json);
    list.selects = "spec.nope=1";
    EXPECT_STR("field label not supported: spec.nope", ask(&b, list).message);
    list.selects = NULL;
    list.rv = "999999";
    got = ask(&b, list);
    EXPECT_INT(504, got.code);
    list.rv = "0";
    list.rv_match = "Exact";
    EXPECT_INT(422, ask(&b, list).code);
    bench_close(&b);
}

TEST(eviction_heeds_budgets)
{
    struct api_bench b;
    bench_open(&b);
    EXPECT_INT(201, create(&b, KIND_PDB, pdb).code);
    EXPECT_INT(201, create(&b, KIND_SERVICE_ACCOUNT, "{'metadata':{'name':'default'}}").code);
    struct answer got = create(&b, KIND_POD,
                               "{'metadata':{'name':'w','labels':{'a':'b'}},'spec':"
                               "{'containers':[{'name':'c','image':'i'}]}}");
    EXPECT_INT(201, got.code);
    got = ask(&b, (struct ask){.verb = VERB_CREATE,
                               .kind = KIND_POD,
                               .sub = "binding",
                               .ns = "default",
                               .name = "w",
                               .body = "{'target':{'kind':'Node','name':'n1'}}"});
    EXPECT_INT(201, got.code);
    got = ask(&b, (struct ask){.verb = VERB_CREATE,
                               .kind = KIND_POD,
                               .sub = "binding",
                               .ns = "default",
                               .name = "w",
                               .body = "{'target':{'kind':'Node','name':'n1'}}"});
    EXPECT_STR("Operation cannot be fulfilled on pods/binding \"w\": pod w is already assigned to "
               "node \"n1\"",
               got.message);
    struct ask patch = {.verb = VERB_PATCH,
                        .patch = PATCH_MERGE,
                        .kind = KIND_POD,
                        .sub = "status",
                        .ns = "default",
                        .name = "w",
                        .body = "{'status':{'phase':'Running'}}"};
    EXPECT_INT(200, ask(&b, patch).code);
    patch.kind = KIND_PDB;
    patch.name = "p";
    patch.body = "{'status':{'observedGeneration':1,'desiredHealthy':1,'currentHealthy':0,"
                 "'disruptionsAllowed':0,'expectedPods':1}}";
    EXPECT_INT(200, ask(&b, patch).code);
    struct ask evict = {.verb = VERB_CREATE,
                        .kind = KIND_POD,
                        .sub = "eviction",
                        .ns = "default",
                        .name = "w",
                        .body = "{'deleteOptions':{'gracePeriodSeconds':0}}"};
    got = ask(&b, evict);
    EXPECT_INT(429, got.code);
    EXPECT_STR("The disruption budget p needs 1 healthy pods and has 0 currently",
               val_text_at(&got.val, "details.causes.0.message"));
    patch.body = "{'status':{'disruptionsAllowed':1}}";
    EXPECT_INT(200, ask(&b, patch).code);
    EXPECT_INT(201, ask(&b, evict).code);
    got = ask(&b, (struct ask){.verb = VERB_GET, .kind = KIND_PDB, .ns = "default", .name = "p"});
    EXPECT_INT(0, val_number_at(&got.val, "status.disruptionsAllowed", 7));
    bench_close(&b);
}

TEST(roles_never_change_their_ref)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got = create(&b, KIND_ROLE_BINDING,
                               "{'metadata':{'name':'b'},'roleRef':{'kind':'Role','name':'r'},"
                               "'subjects':[{'kind':'User','name':'u'}]}");
    EXPECT_STR("rbac.authorization.k8s.io", val_text_at(&got.val, "subjects.0.apiGroup"));
    got = ask(&b, (struct ask){.verb = VERB_PATCH,
                               .patch = PATCH_MERGE,
                               .kind = KIND_ROLE_BINDING,
                               .ns = "default",
                               .name = "b",
                               .body = "{'roleRef':{'name':'x'}}"});
    EXPECT_INT(422, got.code);
    EXPECT_STR("roleRef", val_text_at(&got.val, "details.causes.0.field"));
    bench_close(&b);
}

TEST(delete_collection_answers_once)
{
    struct api_bench b;
    bench_open(&b);
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'a'}}");
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'b'}}");
    struct ask del = {.verb = VERB_DELETE_COLLECTION, .kind = KIND_CONFIG_MAP, .ns = "default"};
    EXPECT_STR("a b", ask(&b, del).json);
    EXPECT_STR("", ask(&b, del).json);
    bench_close(&b);
}

TEST(scale_reads_and_writes_replicas)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got =
        create(&b, KIND_STATEFUL_SET,
               "{'metadata':{'name':'w'},'spec':{'serviceName':'w','replicas':2,'selector':"
               "{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':"
               "{'containers':[{'name':'c','image':'i'}]}}}}");
    EXPECT_INT(201, got.code);
    struct ask scale = {
        .verb = VERB_GET, .kind = KIND_STATEFUL_SET, .sub = "scale", .ns = "default", .name = "w"};
    got = ask(&b, scale);
    EXPECT_INT(2, val_number_at(&got.val, "spec.replicas", 0));
    EXPECT_STR("a=b", val_text_at(&got.val, "status.selector"));
    scale.verb = VERB_UPDATE;
    scale.body = "{'metadata':{'name':'w'},'spec':{'replicas':5}}";
    got = ask(&b, scale);
    EXPECT_STR("Scale", val_text_at(&got.val, "kind"));
    EXPECT_INT(5, val_number_at(&got.val, "spec.replicas", 0));
    scale.body = "{'metadata':{'name':'w'},'spec':{'replicas':-1}}";
    EXPECT_STR("Scale.autoscaling \"w\" is invalid: spec.replicas: Invalid value: -1: must be "
               "greater than or equal to 0",
               ask(&b, scale).message);
    scale.sub = NULL;
    scale.verb = VERB_GET;
    got = ask(&b, scale);
    EXPECT_INT(5, val_number_at(&got.val, "spec.replicas", 0));
    EXPECT_INT(2, val_number_at(&got.val, "metadata.generation", 0));
    bench_close(&b);
}

TEST(pods_leave_with_grace)
{
    struct api_bench b;
    if (kind_of(KIND_POD)->strategy == NULL) {
        skip(); /* grace is the pod strategy's */
    }
    bench_open(&b);
    EXPECT_INT(201, create(&b, KIND_SERVICE_ACCOUNT, "{'metadata':{'name':'default'}}").code);
    (void)create(&b, KIND_POD,
                 "{'metadata':{'name':'w'},'spec':{'nodeName':'n',"
                 "'containers':[{'name':'c','image':'i'}]}}");
    struct ask del = {.verb = VERB_DELETE, .kind = KIND_POD, .ns = "default", .name = "w"};
    struct answer got = ask(&b, del);
    EXPECT(!got.is_deleted);
    EXPECT_STR("2026-01-02T03:03:35Z", val_text_at(&got.val, "metadata.deletionTimestamp"));
    EXPECT_INT(30, val_number_at(&got.val, "metadata.deletionGracePeriodSeconds", 0));
    del.has_grace = true;
    del.grace = 5;
    got = ask(&b, del);
    EXPECT_STR("2026-01-02T03:03:10Z", val_text_at(&got.val, "metadata.deletionTimestamp"));
    del.grace = 60; /* longer: no change */
    struct answer same = ask(&b, del);
    EXPECT(str_eq(got.json, same.json));
    del.grace = 0;
    EXPECT(ask(&b, del).is_deleted);
    EXPECT_INT(404, ask(&b, del).code);
    bench_close(&b);
}

TEST(delete_options_come_in_the_body)
{
    static const struct {
        const char *body;
        int code;
        bool is_deleted;
    } rows[] = {
        {"{'preconditions':{'uid':'other'}}",                      409, false},
        {"{'preconditions':{'resourceVersion':'1'}}",              409, false},
        {"{'orphanDependents':true,'propagationPolicy':'Orphan'}", 422, false},
        {"{'propagationPolicy':'Sideways'}",                       422, false},
        {"{'dryRun':['Some']}",                                    422, false},
        {"{'dryRun':['All']}",                                     200, true },
        {"{'propagationPolicy':'Orphan'}",                         200, false},
        {"{'orphanDependents':false}",                             200, true },
        {"{}",                                                     404, false},
    };
    struct api_bench b;
    bench_open(&b);
    (void)create(&b, KIND_CONFIG_MAP, "{'metadata':{'name':'a'}}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer got = ask(&b, (struct ask){.verb = VERB_DELETE,
                                                 .kind = KIND_CONFIG_MAP,
                                                 .ns = "default",
                                                 .name = "a",
                                                 .body = rows[i].body});
        EXPECT_INT(rows[i].code, got.code);
        EXPECT_INT(rows[i].is_deleted, got.is_deleted);
    }
    bench_close(&b);
}

/* A body of 3 MiB may hold a million values. */
TEST(objects_have_a_ceiling_of_values)
{
    static const struct {
        const char *item;
        size_t count;
        int code;
    } rows[] = {
        {"'',",    DOC_VALUES_MAX - 1000, 422}, /* each is an error, a thousand are told */
        {"'a/b',", DOC_VALUES_MAX,        413},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_bench b;
        auto_buf struct buf body;
        buf_init(&body, BODY_BYTES_MAX);
        (void)buf_add(&body, S("{'metadata':{'name':'a','finalizers':["));
        for (size_t k = 0; k < rows[i].count; k++) {
            (void)buf_add(&body, str_of(rows[i].item));
        }
        (void)buf_add(&body, S("'a/b']}}"));
        bench_open(&b);
        struct answer got = create(&b, KIND_CONFIG_MAP, body.p);
        EXPECT_INT(rows[i].code, got.code);
        EXPECT(val_count(val_path(&got.val, "details.causes")) <= CAUSES_MAX);
        bench_close(&b);
    }
}
