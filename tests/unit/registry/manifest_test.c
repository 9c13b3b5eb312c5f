// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "data/json.h"
#include "registry/manifest.h"

#define D(digit) "sha256:000000000000000000000000000000000000000000000000000000000000000" digit
#if defined(__aarch64__)
#define OURS   "\"architecture\":\"arm64\""
#define OTHERS "\"architecture\":\"amd64\""
#else
#define OURS   "\"architecture\":\"amd64\""
#define OTHERS "\"architecture\":\"arm64\""
#endif
#define ENTRY(digit, platform)                                                                     \
    "{\"digest\":\"" D(digit) "\",\"size\":1,\"platform\":{" platform "}}"

TEST(the_manifest_of_this_machine_is_chosen)
{
    static const struct {
        const char *list, *want; /* a digest, or the error */
    } cases[] = {
        {ENTRY("1",                                       "\"os\":\"linux\"," OTHERS) "," ENTRY("2",                    "\"os\":\"linux\"," OURS), D("2")},
        {ENTRY("1",                                         "\"os\":\"windows\"," OURS) "," ENTRY("2",                                                                                                     "\"os\":\"linux\"," OURS), D("2")},
        {ENTRY("1","\"os\":\"linux\"," OURS
                    ",\"variant\":\"v9\"") "," ENTRY("2","\"os\":\"linux\"," OURS),
         D("2")},
        {ENTRY("1",                                               "\"os\":\"unknown\",\"architecture\":\"unknown\"") "," ENTRY(
             "2",                                                                                                   "\"os\":\"linux\"," OURS),
         D("2")},
        {"{\"digest\":\"" D("3") "\",\"size\":1}",                      D("3")                                                                                                       },
        {ENTRY("1",                                       "\"os\":\"linux\",\"architecture\":\"s390x\""),
         "no match for platform in manifest: it has 1, none for linux/"},
        {"",                                          "no match for platform in manifest: it has 0, none for linux/"                                                                                                     },
        {"{\"digest\":\"sha256:12\",\"size\":1}",
         "manifest has digest 'sha256:12', expected sha256:…"},
        {"{\"digest\":\"" D("3") "\"}","manifest " D("3") " has no size"                                               },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct val v;
        struct err err;
        struct descriptor d;
        struct str text = arena_fmt(arena, "{\"manifests\":[%s]}", cases[i].list);
        EXPECT_OK(json_read(text, arena, NULL, &v, &err));
        EXPECT(manifest_is_index(&v));
        struct str got = manifest_choose(&v, &d, &err) < 0 ? str_of(err.msg) : d.digest;
        EXPECT_STR(cases[i].want, str_sub(got, 0, strlen(cases[i].want)));
    }
}

TEST(manifests_that_are_no_image_are_refused)
{
#define CONFIG                                                                                     \
    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D(      \
        "1") "\",\"size\":7}"
    static const struct {
        const char *text, *want; /* want NULL = fine */
    } cases[] = {
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" D("2") "\",\"size\":5}]}",
         NULL                                                                                                                                                                               },
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[]}",                                                    NULL                                                                          },
        {"{\"schemaVersion\":1,\"fsLayers\":[]}",                                                             "docker's manifest schema 1 is not supported"                                 },
        {"{\"schemaVersion\":2}",                                                                             "not a manifest"                                                              },
        {"[]",                                                                                                "not a manifest"                                                              },
        {"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\"},"
         "\"layers\":[]}",                                                                           "not an image that can run: its config is 'application/vnd.oci.empty.v1+json'"},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"../../x\",\"size\":5}]}",
         "layer has digest '../../x', expected sha256:…"                                                                                                                                  },
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" D("2") "\",\"size\":-5}]}",
         "layer " D("2") " has no size"                                                                                                                                                     },
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" D(
             "2") "\",\"size\":"
                  "9223372036854775807},{\"digest\":\"" D("2") "\",\"size\":9223372036854775807}]}",
         "layers of more than 68719476736 bytes"                                                                                                                                            },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct val v;
        struct err err = {0};
        struct manifest m;
        EXPECT_OK(json_read(str_of(cases[i].text), arena, NULL, &v, &err));
        int r = manifest_read(&v, &m, &err);
        EXPECT(r == 0 || cases[i].want != NULL);
        const char *want = cases[i].want == NULL ? "" : cases[i].want;
        EXPECT_STR(want, str_sub(str_of(err.msg), 0, strlen(want)));
    }
}
