// SPDX-License-Identifier: Apache-2.0
//
// The three kinds of patch. Rows of RFC 7386 appendix A and RFC 6902 appendix A, and of upstream's
// behaviour for strategic merge.
#include "test.h"

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "data/patch.h"

static struct val parse(struct arena *arena, struct str text)
{
    struct err err = {0};
    struct val v = val_null();
    EXPECT_OK(json_read(text, arena, NULL, &v, &err));
    return v;
}

static struct str text_of(struct arena *arena, const struct val *v)
{
    auto_buf struct buf out;
    buf_init(&out, 8 << 20);
    EXPECT_INT(0, json_write(&out, v));
    return arena_dup(arena, buf_str(&out));
}

/* Single quotes stand for double ones in the rows. */
static struct str quoted(struct arena *arena, const char *text)
{
    struct str s = str_of(text);
    char *out = arena_alloc(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        out[i] = s.p[i] == '\'' ? '"' : s.p[i];
    }
    return (struct str){out, s.n};
}

struct row {
    const char *doc;
    const char *patch;
    const char *want; /* the result; "!text" = an error whose message holds text */
};

typedef int apply_fn(struct arena *arena, const struct val *doc, const struct val *patch,
                     struct val *ret, struct err *err);

static void run(const struct row *rows, size_t count, apply_fn *apply)
{
    for (size_t i = 0; i < count; i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct err err = {0};
        struct str doc_text = quoted(arena, rows[i].doc);
        struct str patch_text = quoted(arena, rows[i].patch);
        struct val doc = parse(arena, doc_text);
        struct val patch = parse(arena, patch_text);
        struct str doc_before = text_of(arena, &doc);
        struct str patch_before = text_of(arena, &patch);
        struct val result;
        int code = apply(arena, &doc, &patch, &result, &err);
        if (rows[i].want[0] == '!') {
            if (code == 0 || strstr(err.msg, rows[i].want + 1) == NULL) {
                test_fail_text(rows[i].patch, str_of(rows[i].want),
                               code == 0 ? text_of(arena, &result) : str_of(err.msg), __FILE__,
                               __LINE__);
            }
        } else {
            EXPECT_OK(code);
            struct str want = quoted(arena, rows[i].want);
            struct str got = text_of(arena, &result);
            if (!str_eq(want, got)) {
                test_fail_text(rows[i].patch, want, got, __FILE__, __LINE__);
            }
        }
        EXPECT(str_eq(doc_before, text_of(arena, &doc)));
        EXPECT(str_eq(patch_before, text_of(arena, &patch)));
    }
}

static int apply_merge(struct arena *arena, const struct val *doc, const struct val *patch,
                       struct val *ret, struct err *err)
{
    err->code = 0;
    *ret = patch_merge(arena, doc, patch);
    return 0;
}

TEST(merge_patch_follows_rfc_7386)
{
    static const struct row rows[] = {
        {"{'a':'b'}",         "{'a':'c'}",                 "{'a':'c'}"        },
        {"{'a':'b'}",         "{'b':'c'}",                 "{'a':'b','b':'c'}"},
        {"{'a':'b'}",         "{'a':null}",                "{}"               },
        {"{'a':'b','b':'c'}", "{'a':null}",                "{'b':'c'}"        },
        {"{'a':['b']}",       "{'a':'c'}",                 "{'a':'c'}"        },
        {"{'a':'c'}",         "{'a':['b']}",               "{'a':['b']}"      },
        {"{'a':{'b':'c'}}",   "{'a':{'b':'d','c':null}}",  "{'a':{'b':'d'}}"  },
        {"{'a':[{'b':'c'}]}", "{'a':[1]}",                 "{'a':[1]}"        },
        {"['a','b']",         "['c','d']",                 "['c','d']"        },
        {"{'a':'b'}",         "['c']",                     "['c']"            },
        {"{'a':'foo'}",       "null",                      "null"             },
        {"{'e':null}",        "{'a':1}",                   "{'a':1,'e':null}" },
        {"[1,2]",             "{'a':'b','c':null}",        "{'a':'b'}"        },
        {"{}",                "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}"  },
    };
    run(rows, ARRAY_LEN(rows), apply_merge);
}

TEST(json_patch_follows_rfc_6902)
{
    static const struct row rows[] = {
        {"{'a':1}",              "[{'op':'add','path':'/b','value':2}]",                                  "{'a':1,'b':2}"            },
        {"{'a':[1,3]}",          "[{'op':'add','path':'/a/1','value':2}]",                                "{'a':[1,2,3]}"            },
        {"{'a':[1]}",            "[{'op':'add','path':'/a/-','value':[2]}]",                              "{'a':[1,[2]]}"            },
        {"{'a':[1]}",            "[{'op':'add','path':'','value':{}}]",                                   "{}"                       },
        {"{'a':1,'b':2}",        "[{'op':'remove','path':'/a'}]",                                         "{'b':2}"                  },
        {"{'a':[1,2,3]}",        "[{'op':'remove','path':'/a/1'}]",                                       "{'a':[1,3]}"              },
        {"{'a':1}",              "[{'op':'replace','path':'/a','value':null}]",                           "{'a':null}"               },
        {"{'a':{'b':1},'c':{}}", "[{'op':'move','from':'/a/b','path':'/c/d'}]",
         "{'a':{},'c':{'d':1}}"                                                                                                      },
        {"{'a':[1,2,3]}",        "[{'op':'move','from':'/a/0','path':'/a/2'}]",                           "{'a':[2,3,1]}"            },
        {"{'a':{'b':1}}",        "[{'op':'copy','from':'/a','path':'/c'},{'op':'remove','path':'/a/b'}]",
         "{'a':{},'c':{'b':1}}"                                                                                                      },
        {"{'a/b':1,'m~n':2}",
         "[{'op':'test','path':'/a~1b','value':1},{'op':'test','path':'/m~0n','value':2.0}]",             "{'a/b':1,'m~n':2}"        },
        {"{'a':1}",              "[{'op':'test','path':'/x','value':null}]",                              "{'a':1}"                  },
        {"{'a':1}",              "[{'op':'test','path':'/a','value':'1'}]",
         "!testing value /a failed: test failed"                                                                                     },
        {"{'a':1}",              "[{'op':'add','path':'/x/y','value':1}]",
         "!add operation does not apply: doc is missing path: \"/x/y\": missing value"                                               },
        {"{'a':1}",              "[{'op':'replace','path':'/x','value':1}]",
         "!replace operation does not apply: doc is missing key: /x: missing value"                                                  },
        {"{'a':1}",              "[{'op':'remove','path':'/x'}]",                                         "!missing value"           },
        {"{'a':[1]}",            "[{'op':'add','path':'/a/3','value':1}]",                                "!invalid index referenced"},
        {"{'a':[1]}",            "[{'op':'remove','path':'/a/-'}]",                                       "!invalid index referenced"},
        {"{'a':[1]}",            "[{'op':'add','path':'/a/01','value':1}]",                               "!invalid index referenced"},
        {"{'a':{}}",             "[{'op':'move','from':'/a','path':'/a/b'}]",                             "!lies within"             },
        {"{}",                   "[{'op':'fly','path':'/a'}]",                                            "!Unexpected kind: fly"    },
        {"{}",                   "[{'op':'add','value':1}]",                                              "!path"                    },
        {"{}",                   "[{'op':'copy','path':'/a'}]",                                           "!from"                    },
        {"{}",                   "{}",                                                                    "!list of operations"      },
        {"{}",                   "[1]",                                                                   "!not a map"               },
    };
    run(rows, ARRAY_LEN(rows), patch_json);
}

TEST(json_patch_copies_are_capped)
{
    auto_arena struct arena *arena = arena_new(64 << 20);
    auto_buf struct buf text;
    buf_init(&text, 1 << 20);
    (void)buf_addc(&text, '[');
    for (int i = 0; i < 40; i++) {
        (void)buf_addf(&text, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}",
                       i == 0 ? "" : ",");
    }
    (void)buf_addc(&text, ']');
    struct val doc = parse(arena, S("{\"a\":[\"0123456789\"]}"));
    struct val patch = parse(arena, buf_str(&text));
    struct val result;
    struct err err = {0};
    EXPECT_INT(ERR_LIMIT, patch_json(arena, &doc, &patch, &result, &err));
}

TEST(json_patch_operations_are_capped)
{
    auto_arena struct arena *arena = arena_new(64 << 20);
    struct val patch = val_list();
    for (int i = 0; i <= JSON_PATCH_OPS_MAX; i++) {
        (void)val_push(arena, &patch, val_map());
    }
    struct val doc = val_map();
    struct val result;
    struct err err = {0};
    EXPECT_INT(ERR_LIMIT, patch_json(arena, &doc, &patch, &result, &err));
}

/* A schema of a few pod fields: type pointers are names. */
static bool pod_field(void *ctx, const void *type, struct str name, struct patch_field *ret)
{
    static const struct {
        const char *type;
        const char *name;
        const char *next;
        const char *merge_key;
        bool is_merge;
        bool is_replace;
    } fields[] = {
        {"Pod",       "spec",       "PodSpec",   "",              false, false},
        {"Pod",       "finalizers", NULL,        "",              true,  false},
        {"Pod",       "selector",   "Selector",  "",              false, true },
        {"PodSpec",   "containers", "Container", "name",          true,  false},
        {"PodSpec",   "args",       NULL,        "",              false, false},
        {"PodSpec",   "volumes",    "Volume",    "name",          true,  false},
        {"Container", "ports",      "Port",      "containerPort", true,  false},
        {"Container", "env",        "Env",       "name",          true,  false},
    };
    (void)ctx;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(type, fields[i].type) == 0 && str_eq(name, str_of(fields[i].name))) {
            *ret = (struct patch_field){.is_merge = fields[i].is_merge,
                                        .is_replace = fields[i].is_replace,
                                        .merge_key = str_of(fields[i].merge_key),
                                        .type = fields[i].next};
            return true;
        }
    }
    return false;
}

static int apply_strategic(struct arena *arena, const struct val *doc, const struct val *patch,
                           struct val *ret, struct err *err)
{
    static const struct patch_schema schema = {pod_field, NULL};
    return patch_strategic(arena, doc, patch, &schema, "Pod", ret, err);
}

TEST(strategic_merges_maps_and_lists)
{
    static const struct row rows[] = {
        {"{'a':1,'m':{'x':1}}",                                                         "{'a':null,'m':{'y':2}}",                            "{'m':{'x':1,'y':2}}"                                                        },
        {"{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'1'}]}}",
         "{'spec':{'containers':[{'name':'b','image':'2'}]}}",                                                                               "{'spec':{'containers':[{'image':'1','name':'a'},{'image':'2','name':'b'}]}}"},
        {"{'spec':{'containers':[{'name':'a'}]}}",
         "{'spec':{'containers':[{'name':'c','x':null,'env':[{'name':'E','$patch':'delete'}]}]}}",                                           "{'spec':{'containers':[{'env':[],'name':'c'},{'name':'a'}]}}"               },
        {"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
         "{'spec':{'containers':[{'name':'a','$patch':'delete'}]}}",                                                                         "{'spec':{'containers':[{'name':'b'}]}}"                                     },
        {"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
         "{'spec':{'containers':[{'$patch':'replace'},{'name':'z'}]}}",                                                                      "{'spec':{'containers':[{'name':'z'}]}}"                                     },
        {"{'spec':{'args':['1','2']}}",                                                 "{'spec':{'args':['3']}}",                           "{'spec':{'args':['3']}}"                                                    },
        {"{'finalizers':['a','b']}",                                                    "{'finalizers':['c','a']}",                          "{'finalizers':['c','a','b']}"                                               },
        {"{'finalizers':['a','b','a']}",                                                "{'$deleteFromPrimitiveList/finalizers':['a','z']}",
         "{'finalizers':['b']}"                                                                                                                                                                                           },
        {"{}",                                                                          "{'$deleteFromPrimitiveList/finalizers':['a']}",     "{}"                                                                         },
        {"{'selector':{'a':1,'b':2}}",                                                  "{'selector':{'c':3}}",                              "{'selector':{'c':3}}"                                                       },
        {"{'unknown':{'l':[1]}}",                                                       "{'unknown':{'l':[2],'k':{'n':null}}}",
         "{'unknown':{'k':{},'l':[2]}}"                                                                                                                                                                                   },
        {"{'spec':'text'}",                                                             "{'spec':{'args':[]}}",                              "{'spec':{'args':[]}}"                                                       },
        {"null",                                                                        "{'a':1}",                                           "{'a':1}"                                                                    },
        {"{'spec':{'containers':[{'name':'a','ports':[{'containerPort':80}]}]}}",
         "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':80,'name':'x'},"
         "{'containerPort':81}]}]}}",                                                                                                        "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':80,'name':'x'},"
         "{'containerPort':81}]}]}}"                                                                                                                                                 },
    };
    run(rows, ARRAY_LEN(rows), apply_strategic);
}

TEST(strategic_obeys_directives)
{
    static const struct row rows[] = {
        {"{'m':{'x':1,'y':2}}",                                              "{'m':{'$patch':'replace','z':3}}",          "{'m':{'z':3}}"                                                                },
        {"{'m':{'x':1}}",                                                    "{'m':{'$patch':'delete'}}",                 "{}"                                                                           },
        {"{'m':{'x':1}}",                                                    "{'m':{'$patch':'merge','y':1}}",            "{'m':{'x':1,'y':1}}"                                                          },
        {"{'x':1}",                                                          "{'$patch':'delete'}",                       "{}"                                                                           },
        {"{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
         "{'spec':{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v',"
         "'hostPath':{'path':'/x'}}]}}",                                                                                  "{'spec':{'volumes':[{'hostPath':{'path':'/x'},'name':'v'}]}}"                 },
        {"{'spec':{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}}",
         "{'spec':{'$setElementOrder/containers':[{'name':'c'},{'name':'b'},{'name':'a'}],"
         "'containers':[{'name':'a','image':'i'}]}}",                                                                     "{'spec':{'containers':[{'name':'c'},{'name':'b'},{'image':'i','name':'a'}]}}" },
        {"{'spec':{'containers':[{'name':'s'},{'name':'a'},{'name':'b'}]}}",
         "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'n'},{'name':'a'}],"
         "'containers':[{'name':'n'}]}}",                                                                                 "{'spec':{'containers':[{'name':'s'},{'name':'b'},{'name':'n'},{'name':'a'}]}}"},
        {"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
         "{'spec':{'$setElementOrder/containers':[{'name':'b'}],"
         "'containers':[{'name':'a','$patch':'delete'}]}}",                                                               "{'spec':{'containers':[{'name':'b'}]}}"                                       },
        {"{'finalizers':['a','b','c']}",
         "{'$deleteFromPrimitiveList/finalizers':['b'],'$setElementOrder/finalizers':['d','c','a'],"
         "'finalizers':['d']}",                                                                                           "{'finalizers':['d','c','a']}"                                                 },
        {"{}",
         "{'spec':{'$setElementOrder/containers':[{'name':'a'}],'containers':[{'name':'a'}]}}",                           "{'spec':{'containers':[{'name':'a'}]}}"                                       },
        {"{'a':1}",                                                          "{'$ref':'#/x'}",                            "{'$ref':'#/x','a':1}"                                                         },
        {"{}",                                                               "{'m':{'$patch':'melt'}}",                   "!unknown patch type found: melt"                                              },
        {"{}",                                                               "{'$fly':1}",                                "!unknown patch directive: $fly"                                               },
        {"{}",                                                               "{'spec':{'containers':[{'image':'x'}]}}",
         "!does not contain declared merge key: name"                                                                                                                                                    },
        {"{}",                                                               "{'spec':{'containers':['x']}}",             "!not a map"                                                                   },
        {"{'m':{'a':1}}",                                                    "{'m':{'$retainKeys':['b'],'c':1}}",         "!retainKeys"                                                                  },
        {"{'m':{'a':1}}",                                                    "{'m':{'$retainKeys':'b'}}",                 "!retainKeys"                                                                  },
        {"{}",
         "{'spec':{'$setElementOrder/containers':[{'name':'a'}],'containers':[{'name':'b'}]}}",                           "!setElementOrder"                                                             },
        {"{}",                                                               "{'finalizers':[{'$retainKeys':[]}]}",       "!no scalar"                                                                   },
        {"{}",                                                               "{'x':[[{'a':1,'$retainKeys':['a']}]]}",     "{'x':[[{'a':1}]]}"                                                            },
        {"{}",                                                               "{'$deleteFromPrimitiveList/finalizers':1}", "!primitive list"                                                              },
        {"{}",                                                               "[]",                                        "!is a map"                                                                    },
    };
    run(rows, ARRAY_LEN(rows), apply_strategic);
}

/* Lists that are merged item by item have a ceiling, in the object and in the patch. */
TEST(strategic_refuses_endless_lists)
{
    static const struct {
        size_t in_object, in_patch;
        const char *want;
    } rows[] = {
        {PATCH_LIST_MAX,     1,                  ""                 },
        {1,                  PATCH_LIST_MAX,     ""                 },
        {PATCH_LIST_MAX + 1, 1,                  "Too many: 2001: a"},
        {1,                  PATCH_LIST_MAX + 1, "Too many: 2001: a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        auto_arena struct arena *arena = arena_new(64 << 20);
        const size_t counts[] = {rows[i].in_object, rows[i].in_patch};
        struct val docs[2];
        for (size_t d = 0; d < ARRAY_LEN(docs); d++) {
            struct val list = val_list();
            for (size_t k = 0; k < counts[d]; k++) {
                struct val item = val_map();
                val_set(arena, &item, S("name"), val_str(arena_fmt(arena, "v%zu", k)));
                val_push(arena, &list, item);
            }
            struct val spec = val_map();
            val_set(arena, &spec, S("volumes"), list);
            docs[d] = val_map();
            val_set(arena, &docs[d], S("spec"), spec);
        }
        struct val out;
        struct err err = {0};
        int rc = apply_strategic(arena, &docs[0], &docs[1], &out, &err);
        EXPECT_INT(rows[i].want[0] == '\0' ? 0 : ERR_INVALID, rc);
        EXPECT_STR(rows[i].want, str_sub(str_of(err.msg), 0, strlen(rows[i].want)));
    }
}

TEST(strategic_restores_a_controller_revision)
{
    static const struct row rows[] = {
        {"{'spec':{'replicas':3,'template':{'metadata':{'labels':{'a':'1'}},'spec':{'x':1}}}}",
         "{'spec':{'template':{'$patch':'replace','spec':{'containers':[{'name':'c'}]}}}}", "{'spec':{'replicas':3,'template':{'spec':{'containers':[{'name':'c'}]}}}}"},
    };
    run(rows, ARRAY_LEN(rows), apply_strategic);
}
