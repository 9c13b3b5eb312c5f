// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include "api/names.h"
#include "base/mem.h"

TEST(names_know_which_came_before)
{
    static const struct {
        const char *names; /* one letter each; '-' is the empty name */
        const char *repeated;
    } rows[] = {
        {"",       ""      },
        {"a",      "."     },
        {"abc",    "..."   },
        {"aaa",    ".rr"   },
        {"cbacab", "...rrr"},
        {"-a-",    "..r"   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_arena struct arena *arena = arena_new(1 << 16);
        struct str all = str_of(rows[i].names);
        struct str names[8];
        for (size_t k = 0; k < all.n; k++) {
            names[k] = all.p[k] == '-' ? S("") : str_sub(all, k, k + 1);
        }
        const bool *repeated = names_repeated(arena, names, all.n);
        for (size_t k = 0; k < all.n; k++) {
            EXPECT_INT(rows[i].repeated[k] == 'r', repeated[k]);
        }
        names_sort(names, all.n);
        for (size_t k = 0; k < all.n; k++) {
            struct str name = all.p[k] == '-' ? S("") : str_sub(all, k, k + 1);
            EXPECT(names_has(names, all.n, name));
        }
        EXPECT(!names_has(names, all.n, S("x")));
    }
}

/* One error for each item that came before, however often; equal names over lists, too. */
TEST(repeated_names_are_told_once_each)
{
    static const struct {
        enum kind_id kind;
        const char *body;
        size_t causes;
    } rows[] = {
        {KIND_SERVICE,
         "{'metadata':{'name':'a'},'spec':{'clusterIP':'None','ports':[{'name':'x','port':1},{'"
         "name':'x','port':2},"
         "{'name':'x','port':3}]}}",                                                    2            },
        {KIND_SERVICE,
         "{'metadata':{'name':'a'},'spec':{'clusterIP':'None','ports':[{'name':'x','port':1},{'"
         "name':'y','port':1},"
         "{'name':'z','port':1},{'name':'u','port':1,'protocol':'UDP'}]}}",             2            },
        {KIND_POD,
         "{'metadata':{'name':'a'},'spec':{'initContainers':[{'name':'c','image':'i'}],"
         "'containers':[{'name':'c','image':'i'},{'name':'d','image':'i'}]}}",          1            },
        {KIND_POD,
         "{'metadata':{'name':'a'},'spec':{'volumes':[{'name':'v'},{'name':'v'},{'name':'v'}],"
         "'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'v','mountPath':'/m'},"
         "{'name':'v','mountPath':'/m'},{'name':'w','mountPath':'/n'}],"
         "'ports':[{'name':'p','containerPort':1},{'name':'p','containerPort':2}]}]}}", 2 + 1 + 1 + 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_bench b;
        bench_open(&b);
        (void)ask(&b, (struct ask){.verb = VERB_CREATE,
                                   .kind = KIND_SERVICE_ACCOUNT,
                                   .ns = "default",
                                   .body = "{'metadata':{'name':'default'}}"});
        struct answer got = ask(&b, (struct ask){.verb = VERB_CREATE,
                                                 .kind = rows[i].kind,
                                                 .ns = "default",
                                                 .body = rows[i].body});
        EXPECT_INT(422, got.code);
        EXPECT_INT((int)rows[i].causes, (int)val_count(val_path(&got.val, "details.causes")));
        bench_close(&b);
    }
}
