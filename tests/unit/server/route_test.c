// SPDX-License-Identifier: Apache-2.0
#include "server/route.h"

#include "test.h"

#include "base/mem.h"

TEST(route_parses_paths)
{
    static const struct {
        const char *path;
        const char *want; /* group/version/ns/resource/name/subresource/tail, "-" = no resource */
    } cases[] = {
        {"/api",                                            "-"                              },
        {"/api/v1",                                         "-"                              },
        {"/apis/apps/v1/",                                  "-"                              },
        {"/healthz",                                        "-"                              },
        {"/api/v1/pods",                                    "|v1||pods|||"                   },
        {"/api/v1/namespaces/d/pods",                       "|v1|d|pods|||"                  },
        {"/api/v1/namespaces/d/pods/p/exec",                "|v1|d|pods|p|exec|"             },
        {"/api/v1/namespaces/d/pods/p/proxy/a/b",           "|v1|d|pods|p|proxy|a/b"         },
        {"/api/v1/namespaces",                              "|v1||namespaces|||"             },
        {"/api/v1/namespaces/d",                            "|v1|d|namespaces|d||"           },
        {"/api/v1/namespaces/d/status",                     "|v1|d|namespaces|d|status|"     },
        {"/api/v1/namespaces/d/finalize",                   "|v1|d|namespaces|d|finalize|"   },
        {"/apis/apps/v1/namespaces/d/statefulsets/w/scale", "apps|v1|d|statefulsets|w|scale|"},
        {"/api/v1/watch/namespaces/d/pods/p",               "|v1|d|pods|p||"                 },
        {"/api/v1/nodes/n",                                 "|v1||nodes|n||"                 },
        {"//api//v1//nodes//",                              "|v1||nodes|||"                  },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route r = route_parse(str_of(cases[i].path));
        auto_buf struct buf got;
        buf_init(&got, 1000);
        if (r.is_resource) {
            (void)buf_addf(&got,
                           STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT
                                   "|" STR_FMT,
                           STR_ARG(r.group), STR_ARG(r.version), STR_ARG(r.ns), STR_ARG(r.resource),
                           STR_ARG(r.name), STR_ARG(r.subresource), STR_ARG(r.tail));
        } else {
            (void)buf_addc(&got, '-');
        }
        EXPECT_STR(cases[i].want, buf_str(&got));
    }
}

TEST(route_names_verbs)
{
    static const struct {
        const char *method, *path;
        bool is_watch;
        const char *want; /* RBAC verb; "!" = also no API verb */
    } cases[] = {
        {"GET",    "/api/v1/pods",                            false, "list"            },
        {"GET",    "/api/v1/pods",                            true,  "watch"           },
        {"GET",    "/api/v1/namespaces/d/pods/p",             true,  "get"             },
        {"HEAD",   "/api/v1/namespaces/d/pods/p",             false, "get"             },
        {"GET",    "/api/v1/watch/pods",                      false, "watch"           },
        {"POST",   "/api/v1/namespaces/d/pods",               false, "create"          },
        {"PUT",    "/api/v1/namespaces/d/pods/p",             false, "update"          },
        {"PATCH",  "/api/v1/namespaces/d/pods/p",             false, "patch"           },
        {"DELETE", "/api/v1/namespaces/d/pods/p",             false, "delete"          },
        {"DELETE", "/api/v1/namespaces/d/pods",               false, "deletecollection"},
        {"GET",    "/api/v1/namespaces/d/pods/p/exec",        false, "create"          },
        {"GET",    "/api/v1/namespaces/d/pods/p/portforward", false, "create"          },
        {"GET",    "/api/v1/namespaces/d/pods/p/log",         false, "get"             },
        {"GET",    "/version",                                false, "get"             },
        {"POST",   "/version",                                false, "post"            },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route r = route_parse(str_of(cases[i].path));
        EXPECT_STR(cases[i].want, route_rbac_verb(&r, str_of(cases[i].method), cases[i].is_watch));
    }
    enum api_verb verb;
    struct route list = route_parse(S("/api/v1/namespaces/d/pods"));
    struct route one = route_parse(S("/api/v1/namespaces/d/pods/p"));
    EXPECT(!route_verb(&list, S("PUT"), false, &verb));
    EXPECT(!route_verb(&one, S("POST"), false, &verb));
    EXPECT(!route_verb(&one, S("BREW"), false, &verb));
}
