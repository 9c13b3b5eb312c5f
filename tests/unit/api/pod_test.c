// SPDX-License-Identifier: Apache-2.0
//
// What an update of a pod may change.
#include "bench.h"

#include "base/mem.h"

/* With the two that admission adds. */
#define TOLERATIONS                                                                                \
    "'tolerations':[{'key':'node.kubernetes.io/not-ready','operator':'Exists',"                    \
    "'effect':'NoExecute'},{'key':'node.kubernetes.io/unreachable','operator':'Exists',"           \
    "'effect':'NoExecute'},"

static struct answer write_pod(struct api_bench *b, enum api_verb verb, const char *tolerations)
{
    auto_free char *body = xasprintf(
        "{'metadata':{'name':'p'},'spec':{%s" TOLERATIONS "%s]}}",
        verb == VERB_CREATE ? "'containers':[{'name':'c','image':'i'}]," : "", tolerations);
    return ask(b, (struct ask){.verb = verb,
                               .patch = PATCH_MERGE,
                               .kind = KIND_POD,
                               .ns = "default",
                               .name = verb == VERB_CREATE ? NULL : "p",
                               .body = body});
}

static void open_with_account(struct api_bench *b)
{
    bench_open(b);
    struct answer got = ask(b, (struct ask){.verb = VERB_CREATE,
                                            .kind = KIND_SERVICE_ACCOUNT,
                                            .ns = "default",
                                            .body = "{'metadata':{'name':'default'}}"});
    EXPECT_INT(201, got.code);
}

TEST(tolerations_stay_but_for_their_seconds)
{
    static const struct {
        const char *tolerations;
        int code;
    } rows[] = {
        {"{'key':'a','operator':'Exists','effect':'NoExecute','tolerationSeconds':9}",           200},
        {"{'key':'b','operator':'Exists'},{'key':'a','operator':'Exists','effect':'NoExecute'}",
         200                                                                                        },
        {"{'key':'b','operator':'Exists'}",                                                      422},
        {"{'key':'b','operator':'Exists'},{'key':'a','operator':'Exists'}",                      422},
    };
    struct api_bench b;
    open_with_account(&b);
    EXPECT_INT(201, write_pod(&b, VERB_CREATE,
                              "{'key':'a','operator':'Exists','effect':'NoExecute',"
                              "'tolerationSeconds':5}")
                        .code);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EXPECT_INT(rows[i].code, write_pod(&b, VERB_PATCH, rows[i].tolerations).code);
    }
    bench_close(&b);
}

/* Compared by pairs, they took all memory of the request and ended the process. */
TEST(tolerations_without_number)
{
    struct api_bench b;
    struct buf list;
    open_with_account(&b);
    buf_init(&list, 1 << 20);
    for (int i = 0; i < 9000; i++) {
        (void)buf_addf(&list, "%s{'key':'k%d','operator':'Exists'}", i == 0 ? "" : ",", i);
    }
    (void)buf_add(&list, (struct str){"", 1});
    EXPECT_INT(201, write_pod(&b, VERB_CREATE, list.p).code);
    list.p[list.n - 1] = ',';
    (void)buf_add(&list, S("{'key':'more','operator':'Exists'}"));
    (void)buf_add(&list, (struct str){"", 1});
    EXPECT_INT(200, write_pod(&b, VERB_PATCH, list.p).code);
    buf_done(&list);
    bench_close(&b);
}
