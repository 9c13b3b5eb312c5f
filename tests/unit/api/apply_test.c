// SPDX-License-Identifier: Apache-2.0
//
// Server-side apply and managed fields (spec/api.md 3.7).
#include "bench.h"

#include "data/json.h"

#include <stdio.h>

static struct answer apply(struct api_bench *b, enum kind_id kind, const char *name,
                           const char *manager, const char *body, bool is_force)
{
    return ask(b, (struct ask){.verb = VERB_PATCH,
                               .patch = PATCH_APPLY,
                               .kind = kind,
                               .ns = "default",
                               .name = name,
                               .manager = manager,
                               .body = body,
                               .is_force = is_force});
}

static struct answer apply_cm(struct api_bench *b, const char *manager, const char *data,
                              bool is_force)
{
    char body[300];
    snprintf(body, sizeof(body),
             "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a'},'data':%s}", data);
    return apply(b, KIND_CONFIG_MAP, "a", manager, body, is_force);
}

/* "manager Operation fields" of each entry, one a line. */
static struct str owners(struct api_bench *b, const struct val *obj)
{
    auto_buf struct buf buf;
    buf_init(&buf, 1 << 16);
    const struct val *list = val_path(obj, "metadata.managedFields");
    for (size_t i = 0; i < val_count(list); i++) {
        const struct val *entry = val_at(list, i);
        (void)buf_addf(&buf, "%s" STR_FMT " " STR_FMT " ", i == 0 ? "" : "\n",
                       STR_ARG(val_text(val_get(entry, S("manager")))),
                       STR_ARG(val_text(val_get(entry, S("operation")))));
        (void)json_write(&buf, val_get(entry, S("fieldsV1")));
    }
    return arena_dup(b->arena, buf_str(&buf));
}

static const char *q(struct api_bench *b, const char *text)
{
    return quoted(b->arena, text).p;
}

TEST(two_managers_share_an_object)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got = apply_cm(&b, "one", "{'a':'1','b':'1'}", false);
    EXPECT_INT(201, got.code);
    EXPECT_STR(q(&b, "one Apply {'f:data':{'f:a':{},'f:b':{}}}"), owners(&b, &got.val));
    got = apply_cm(&b, "two", "{'b':'1','c':'2'}", false); /* same value: shared, no conflict */
    EXPECT_INT(200, got.code);
    EXPECT_STR(q(&b, "one Apply {'f:data':{'f:a':{},'f:b':{}}}\n"
                     "two Apply {'f:data':{'f:b':{},'f:c':{}}}"),
               owners(&b, &got.val));
    got = apply_cm(&b, "one", "{}", false); /* a goes, b is two's, too */
    EXPECT_INT(200, got.code);
    EXPECT(val_path(&got.val, "data.a") == NULL);
    EXPECT_STR("1", val_text_at(&got.val, "data.b"));
    got = apply_cm(&b, "one", "{'b':'9','c':'9'}", false);
    EXPECT_INT(409, got.code);
    EXPECT_STR("Apply failed with 2 conflicts: conflicts with \"two\":\n- .data.b\n- .data.c",
               got.message);
    EXPECT_STR("conflict with \"two\"", val_text_at(&got.val, "details.causes.0.message"));
    EXPECT_STR("FieldManagerConflict", val_text_at(&got.val, "details.causes.0.reason"));
    EXPECT_STR(".data.b", val_text_at(&got.val, "details.causes.0.field"));
    got = apply_cm(&b, "one", "{'b':'9'}", true);
    EXPECT_STR("9", val_text_at(&got.val, "data.b"));
    EXPECT_STR(q(&b, "one Apply {'f:data':{'f:b':{}}}\ntwo Apply {'f:data':{'f:c':{}}}"),
               owners(&b, &got.val));
    bench_close(&b);
}

TEST(reapply_keeps_revision_and_time)
{
    struct api_bench b;
    bench_open(&b);
    struct answer first = apply_cm(&b, "one", "{'a':'1'}", false);
    bench_settle(&b);
    struct answer again = apply_cm(&b, "one", "{'a':'1'}", false);
    EXPECT_INT(200, again.code);
    EXPECT(str_eq(first.json, again.json));
    bench_close(&b);
}

TEST(updates_take_fields_from_appliers)
{
    struct api_bench b;
    bench_open(&b);
    (void)apply_cm(&b, "one", "{'a':'1','b':'1'}", false);
    struct ask patch = {.verb = VERB_PATCH,
                        .patch = PATCH_MERGE,
                        .kind = KIND_CONFIG_MAP,
                        .ns = "default",
                        .name = "a",
                        .manager = "kubectl-edit",
                        .body = "{'data':{'a':'2'}}"};
    struct answer got = ask(&b, patch);
    EXPECT_STR(q(&b, "one Apply {'f:data':{'f:b':{}}}\nkubectl-edit Update {'f:data':{'f:a':{}}}"),
               owners(&b, &got.val));
    got = apply_cm(&b, "one", "{'a':'1','b':'1'}", false);
    EXPECT_STR("Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.a",
               got.message);
    /* kubectl migrates managers by a JSON patch on managedFields. */
    patch.patch = PATCH_JSON;
    patch.body = "[{'op':'replace','path':'/metadata/managedFields','value':[{'manager':'one',"
                 "'operation':'Apply','apiVersion':'v1','fieldsType':'FieldsV1','fieldsV1':"
                 "{'f:data':{'f:a':{},'f:b':{}}}}]}]";
    got = ask(&b, patch);
    EXPECT_STR(q(&b, "one Apply {'f:data':{'f:a':{},'f:b':{}}}"), owners(&b, &got.val));
    EXPECT_INT(200, apply_cm(&b, "one", "{'a':'1'}", false).code);
    /* An empty list asks for a fresh start; the next apply finds an owner for what is there. */
    patch.patch = PATCH_MERGE;
    patch.body = "{'metadata':{'managedFields':[]}}";
    got = ask(&b, patch);
    EXPECT(val_path(&got.val, "metadata.managedFields") == NULL);
    got = apply_cm(&b, "one", "{'z':'1'}", false);
    EXPECT_STR(q(&b, "one Apply {'f:data':{'f:z':{}}}\n"
                     "before-first-apply Update {'f:data':{'f:a':{}}}"),
               owners(&b, &got.val));
    bench_close(&b);
}

TEST(apply_refuses_what_it_cannot_type)
{
    static const struct {
        const char *manager;
        const char *body;
        int code;
        const char *message;
    } rows[] = {
        {"m", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'managedFields':[]}}", 400,
         "metadata.managedFields must be nil"                                                    },
        {"",  "{'apiVersion':'v1','kind':'ConfigMap'}",                                 422,
         "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for "
         "apply patch"                                                                           },
        {"m", "{'apiVersion':'v1','kind':'ConfigMap','bogus':{'x':1}}",                 500,
         "failed to create typed patch object (default/a; v1, Kind=ConfigMap): .bogus: field not "
         "declared in schema"                                                                    },
        {"m", "{'apiVersion':'v1','kind':'ConfigMap','bogus':1,'metadata':{'x':1}}",    500,
         "failed to create typed patch object (default/a; v1, Kind=ConfigMap): errors:\n  .bogus: "
         "field not declared in schema\n  .metadata.x: field not declared in schema"             },
        {"m", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'uid':'u'}}",          409,
         "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object "
         "specified uid u, and no existing object was found"                                     },
        {"m", "{'apiVersion':'v1','kind':'Secret'}",                                    400, NULL},
    };
    struct api_bench b;
    bench_open(&b);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer got = apply(&b, KIND_CONFIG_MAP, "a", rows[i].manager, rows[i].body, false);
        EXPECT_INT(rows[i].code, got.code);
        if (rows[i].message != NULL) {
            EXPECT_STR(rows[i].message, got.message);
        }
    }
    bench_close(&b);
}

#define SET(containers)                                                                            \
    "{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'w'},'spec':{"                \
    "'serviceName':'w','selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{"    \
    "'a':'b'}},'spec':{'containers':[" containers "]}}}}"

TEST(lists_merge_by_their_keys)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got =
        apply(&b, KIND_STATEFUL_SET, "w", "one",
              SET("{'name':'c','image':'i:1','ports':[{'containerPort':80}]}"), false);
    EXPECT_INT(201, got.code);
    got = apply(&b, KIND_STATEFUL_SET, "w", "two",
                SET("{'name':'side','image':'s'},{'name':'c','image':'i:1','env':[{'name':'E',"
                    "'value':'1'}]}"),
                false);
    EXPECT_INT(200, got.code);
    const struct val *containers = val_path(&got.val, "spec.template.spec.containers");
    EXPECT_INT(2, val_count(containers));
    EXPECT_STR("side", val_text_at(containers, "0.name"));
    EXPECT_INT(80, val_number_at(containers, "1.ports.0.containerPort", 0));
    EXPECT_STR("E", val_text_at(containers, "1.env.0.name"));

    /* The same port with its key spelled out is the same item, in conflict when it changes. */
    got = apply(&b, KIND_STATEFUL_SET, "w", "two",
                SET("{'name':'c','image':'i:2','ports':[{'containerPort':80,'protocol':'TCP',"
                    "'name':'http'}]}"),
                false);
    EXPECT_STR("Apply failed with 1 conflict: conflict with \"one\": "
               ".spec.template.spec.containers[name=\"c\"].image",
               got.message);
    got = apply(&b, KIND_STATEFUL_SET, "w", "two",
                SET("{'name':'c','ports':[{'containerPort':80,'protocol':'TCP',"
                    "'name':'http'}]}"),
                false);
    EXPECT_INT(200, got.code);
    containers = val_path(&got.val, "spec.template.spec.containers");
    EXPECT_INT(1, val_count(containers)); /* side was two's alone */
    EXPECT_INT(1, val_count(val_path(containers, "0.ports")));
    EXPECT_STR("http", val_text_at(containers, "0.ports.0.name"));
    EXPECT(val_path(containers, "0.env") == NULL);
    /* Re-apply: nothing moves. */
    struct answer again = apply(&b, KIND_STATEFUL_SET, "w", "two",
                                SET("{'name':'c','ports':[{'containerPort':80,'protocol':'TCP',"
                                    "'name':'http'}]}"),
                                false);
    EXPECT(str_eq(got.json, again.json));
    bench_close(&b);
}

TEST(status_has_owners_of_its_own)
{
    struct api_bench b;
    bench_open(&b);
    (void)apply(&b, KIND_STATEFUL_SET, "w", "one", SET("{'name':'c','image':'i'}"), false);
    struct answer got = ask(&b, (struct ask){.verb = VERB_PATCH,
                                             .patch = PATCH_MERGE,
                                             .kind = KIND_STATEFUL_SET,
                                             .sub = "status",
                                             .ns = "default",
                                             .name = "w",
                                             .manager = "ctl",
                                             .body = "{'status':{'replicas':1,'conditions':[{"
                                                     "'type':'T','status':'True'}]}}"});
    EXPECT_INT(200, got.code);
    const struct val *entry = val_path(&got.val, "metadata.managedFields.1");
    EXPECT_STR("status", val_text(val_get(entry, S("subresource"))));
    EXPECT(val_path(entry, "fieldsV1.f:status.f:replicas") != NULL);
    EXPECT(val_path(entry, "fieldsV1.f:spec") == NULL);
    /* main's re-apply is still a no-op */
    struct answer again =
        apply(&b, KIND_STATEFUL_SET, "w", "one", SET("{'name':'c','image':'i'}"), false);
    EXPECT(str_eq(got.json, again.json));
    bench_close(&b);
}

TEST(many_updaters_become_ancient)
{
    struct api_bench b;
    bench_open(&b);
    (void)apply_cm(&b, "one", "{'x':'1'}", false);
    struct answer got = {0};
    for (int i = 0; i < 12; i++) {
        char manager[20];
        char body[60];
        snprintf(manager, sizeof(manager), "m%02d", i);
        snprintf(body, sizeof(body), "{'data':{'k%02d':'v'}}", i);
        got = ask(&b, (struct ask){.verb = VERB_PATCH,
                                   .patch = PATCH_MERGE,
                                   .kind = KIND_CONFIG_MAP,
                                   .ns = "default",
                                   .name = "a",
                                   .manager = manager,
                                   .body = body});
    }
    EXPECT_INT(11, val_count(val_path(&got.val, "metadata.managedFields")));
    EXPECT_STR("ancient-changes", val_text_at(&got.val, "metadata.managedFields.1.manager"));
    EXPECT(val_path(&got.val, "metadata.managedFields.1.fieldsV1.f:data.f:k02") != NULL);
    bench_close(&b);
}

/* A version has a bucket of its own, and an entry that is alone with its version stays. */
TEST(ancient_changes_are_kept_apart_by_version)
{
    struct api_bench b;
    bench_open(&b);
    struct answer got = apply_cm(&b, "one", "{'x':'1'}", false);
    auto_buf struct buf body;
    buf_init(&body, 1 << 14);
    (void)buf_add(&body, S("{'data':{'y':'2'},'metadata':{'managedFields':["));
    static const char *const versions[] = {"v0", "v2", "v3", "v2", "v1", "v1",
                                           "v1", "v1", "v1", "v1", "v1", "v1"};
    for (int i = 0; i < 12; i++) {
        (void)buf_addf(&body,
                       "%s{'manager':'%s','operation':'Update','apiVersion':'%s','fieldsType':"
                       "'FieldsV1','time':'2026-01-01T00:00:%02dZ','fieldsV1':{'f:data':{'f:k%02d':"
                       "{}}}}",
                       i == 0 ? "" : ",", i == 7 ? "ancient-changes" : "m", versions[i], i, i);
    }
    (void)buf_add(&body, S("]}}"));
    got = ask(&b, (struct ask){.verb = VERB_PATCH,
                               .patch = PATCH_MERGE,
                               .kind = KIND_CONFIG_MAP,
                               .ns = "default",
                               .name = "a",
                               .manager = "new",
                               .body = arena_dup(b.arena, buf_str(&body)).p});
    EXPECT_STR(q(&b, "m Update {'f:data':{'f:k00':{}}}\n"
                     "m Update {'f:data':{'f:k02':{}}}\n"
                     "ancient-changes Update {'f:data':{'f:k01':{},'f:k03':{}}}\n"
                     "m Update {'f:data':{'f:k04':{}}}\n"
                     "ancient-changes Update {'f:data':{'f:k05':{},'f:k06':{},'f:k07':{}}}\n"
                     "m Update {'f:data':{'f:k08':{}}}\n"
                     "m Update {'f:data':{'f:k09':{}}}\n"
                     "m Update {'f:data':{'f:k10':{}}}\n"
                     "m Update {'f:data':{'f:k11':{}}}\n"
                     "new Update {'f:data':{'f:y':{}}}"),
               owners(&b, &got.val));
    bench_close(&b);
}

/* Applying counts no entries: what it wrote once, it writes again. */
TEST(an_intent_applied_twice_leaves_updaters_alone)
{
    struct api_bench b;
    bench_open(&b);
    (void)apply_cm(&b, "one", "{'x':'1'}", false);
    for (int i = 0; i < 10; i++) {
        char manager[20];
        char body[60];
        snprintf(manager, sizeof(manager), "m%02d", i);
        snprintf(body, sizeof(body), "{'data':{'k%02d':'v'}}", i);
        (void)ask(&b, (struct ask){.verb = VERB_PATCH,
                                   .patch = PATCH_MERGE,
                                   .kind = KIND_CONFIG_MAP,
                                   .ns = "default",
                                   .name = "a",
                                   .manager = manager,
                                   .body = body});
    }
    struct answer first = apply_cm(&b, "one", "{'x':'1','y':'2'}", false);
    EXPECT_INT(11, val_count(val_path(&first.val, "metadata.managedFields")));
    struct answer second = apply_cm(&b, "one", "{'x':'1','y':'2'}", false);
    EXPECT(str_eq(first.json, second.json));
    bench_close(&b);
}

static struct answer apply_set(struct api_bench *b, const char *security)
{
    char body[500];
    snprintf(body, sizeof(body),
             "{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'a'},'spec':{"
             "'serviceName':'a','selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{"
             "'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i',"
             "'securityContext':%s}]}}}}",
             security);
    return apply(b, KIND_STATEFUL_SET, "a", "one", body, false);
}

/* Found by the fuzzer: what an intent emptied went at the first apply and came back at the second,
 * which was a new template, and so a rolling update. */
TEST(an_empty_map_of_an_intent_stays)
{
    struct api_bench b;
    bench_open(&b);
    EXPECT_INT(201, apply_set(&b, "{'runAsUser':1}").code);
    struct answer got = apply_set(&b, "{}");
    EXPECT_INT(200, got.code);
    EXPECT(val_is(val_path(&got.val, "spec.template.spec.containers.0.securityContext"), VAL_MAP));
    struct str rv = val_text_at(&got.val, "metadata.resourceVersion");
    got = apply_set(&b, "{}");
    EXPECT_STR(rv.p, val_text_at(&got.val, "metadata.resourceVersion"));
    bench_close(&b);
}
