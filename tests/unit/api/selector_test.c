// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include "api/rules.h"
#include "api/selector.h"
#include "data/json.h"

TEST(label_selectors_match)
{
    static const struct {
        const char *text;
        const char *formatted; /* NULL = a syntax error */
        bool matches;          /* {a:1, b:x, n:7} */
    } rows[] = {
        {"",                 "",                true },
        {"a=1",              "a=1",             true },
        {"a==1,b!=y",        "a=1,b!=y",        true },
        {" b in ( y , x ) ", "b in (x,y)",      true },
        {"b notin (x)",      "b notin (x)",     false},
        {"z notin (x)",      "z notin (x)",     true },
        {"z!=1",             "z!=1",            true },
        {"z",                "z",               false},
        {"!z,a",             "a,!z",            true },
        {"n>6,n<8",          "n>6,n<8",         true },
        {"n>7",              "n>7",             false},
        {"a=",               "a=",              false},
        {"a in (,1)",        "a in (,1)",       true },
        {"example.com/x=1",  "example.com/x=1", false},
        {"a in",             NULL,              false},
        {"a in (b",          NULL,              false},
        {"a,",               NULL,              false},
        {"=b",               NULL,              false},
        {"a b",              NULL,              false},
        {"!a=b",             NULL,              false},
        {"a=b c",            NULL,              false},
        {"n>x",              NULL,              false},
        {"-a",               NULL,              false},
    };
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct err err;
    struct val labels;
    EXPECT_OK(json_read(quoted(arena, "{'a':'1','b':'x','n':'7'}"), arena, NULL, &labels, &err));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct selector *selector = NULL;
        int rc = selector_parse(arena, str_of(rows[i].text), &selector, &err);
        if (rows[i].formatted == NULL) {
            EXPECT_INT(ERR_SYNTAX, rc);
            EXPECT(str_starts(str_of(err.msg), S("unable to parse requirement: ")));
            continue;
        }
        EXPECT_OK(rc);
        EXPECT_STR(rows[i].formatted, selector_format(arena, selector));
        if (selector_matches(selector, &labels) != rows[i].matches) {
            EXPECT_STR("another answer", str_of(rows[i].text));
        }
    }
}

TEST(object_selectors_match)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct err err;
    struct val v;
    struct selector *selector = NULL;
    EXPECT_OK(selector_of_val(arena, NULL, &selector, &err));
    EXPECT(!selector_matches(selector, NULL));
    v = val_map();
    EXPECT_OK(selector_of_val(arena, &v, &selector, &err));
    EXPECT(selector_matches(selector, NULL));
    EXPECT_OK(json_read(quoted(arena, "{'matchLabels':{'a':'1'},'matchExpressions':[{'key':'b',"
                                      "'operator':'DoesNotExist'}]}"),
                        arena, NULL, &v, &err));
    EXPECT_OK(selector_of_val(arena, &v, &selector, &err));
    EXPECT_STR("a=1,!b", selector_format(arena, selector));
    EXPECT_OK(json_read(quoted(arena, "{'matchExpressions':[{'key':'b','operator':'Like'}]}"),
                        arena, NULL, &v, &err));
    EXPECT_INT(ERR_INVALID, selector_of_val(arena, &v, &selector, &err));
}

TEST(names_follow_their_rules)
{
    static const struct {
        struct str (*check)(struct str name, bool is_prefix);
        const char *name;
        bool is_prefix;
        bool is_ok;
    } rows[] = {
        {rule_dns_subdomain,  "a.b-c", false, true },
        {rule_dns_subdomain,  "a..b",  false, false},
        {rule_dns_subdomain,  "a-",    true,  true },
        {rule_dns_subdomain,  "a-",    false, false},
        {rule_dns_subdomain,  "A",     false, false},
        {rule_dns_label,      "0a",    false, true },
        {rule_dns_label,      "a.b",   false, false},
        {rule_dns_label_1035, "0a",    false, false},
        {rule_dns_label_1035, "a0",    false, true },
        {rule_path_segment,   "a:b",   false, true },
        {rule_path_segment,   "a/b",   false, false},
        {rule_path_segment,   "..",    false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str wrong = rows[i].check(str_of(rows[i].name), rows[i].is_prefix);
        if ((wrong.n == 0) != rows[i].is_ok) {
            EXPECT_STR(rows[i].name, wrong);
        }
    }
    EXPECT_INT(0, rule_qualified_name(S("example.com/App_1")).n);
    EXPECT_STR("prefix part must be non-empty", rule_qualified_name(S("/a")));
    EXPECT_STR("name part must be non-empty", rule_qualified_name(S("a/")));
    EXPECT_INT(0, rule_label_value(S("")).n);
    EXPECT(rule_label_value(S("-a")).n != 0);
}
