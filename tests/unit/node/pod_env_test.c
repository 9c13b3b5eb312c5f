// SPDX-License-Identifier: Apache-2.0
#include "fake_cluster.h"

#include "test.h"

#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/pod_env.h"
#include "node/pod_files.h"

static struct val json(struct arena *arena, const char *text)
{
    struct val v;
    struct err err = {0};
    EXPECT_OK(json_read(str_of(text), arena, NULL, &v, &err));
    return v;
}

TEST(env_expand_table)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"$(A)",        "1"    },
        {"x$(A)y$(B)z", "x1y2z"},
        {"$$(A)",       "$(A)" },
        {"$$$(A)",      "$1"   },
        {"$(NO)",       "$(NO)"},
        {"$(A",         "$(A"  },
        {"$A",          "$A"   },
        {"$",           "$"    },
        {"a$$b",        "a$b"  },
        {"$(C)",        "$(A)" },
        {"",            ""     },
        {"$()",         "$()"  },
    };
    struct arena *arena = arena_new(1 << 16);
    struct env_list env = {.arena = arena};
    env_set(&env, S("A"), S("1"));
    env_set(&env, S("B"), S("2"));
    env_set(&env, S("C"), S("$(A)"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EXPECT_STR(rows[i].want, env_expand(&env, str_of(rows[i].text), arena));
    }
    struct err err = {0};
    struct str out;
    EXPECT(env_expand_strict(&env, S("d/$(NO)"), arena, &out, &err) < 0);
    EXPECT_STR("missing value for \"NO\"", str_of(err.msg));
    arena_free(arena);
}

TEST(env_command_table)
{
    static const struct {
        const char *container, *image, *want;
    } rows[] = {
        {"{}",                                        "{\"Entrypoint\":[\"E\"],\"Cmd\":[\"C\"]}", "[\"E\",\"C\"]"},
        {"{\"args\":[\"A\"]}",                        "{\"Entrypoint\":[\"E\"],\"Cmd\":[\"C\"]}", "[\"E\",\"A\"]"},
        {"{\"command\":[\"K\"]}",                     "{\"Entrypoint\":[\"E\"],\"Cmd\":[\"C\"]}", "[\"K\"]"      },
        {"{\"command\":[\"K\"],\"args\":[\"$(X)\"]}", "{\"Cmd\":[\"C\"]}",                        "[\"K\",\"v\"]"},
        {"{}",                                        "{\"Cmd\":[\"$(X)\"]}",                     "[\"$(X)\"]"   },
        {"{}",                                        "{}",                                       NULL           },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1 << 16);
        struct env_list env = {.arena = arena};
        struct err err = {0};
        struct val c = json(arena, rows[i].container);
        struct val image = json(arena, rows[i].image);
        struct val argv;
        env_set(&env, S("X"), S("v"));
        int rc = env_command(&c, &image, &env, arena, &argv, &err);
        if (!rows[i].want) {
            EXPECT(rc < 0);
            EXPECT_STR("no command specified", str_of(err.msg));
        } else {
            auto_buf struct buf out;
            buf_init(&out, 1 << 16);
            EXPECT_OK(rc);
            json_write(&out, &argv);
            EXPECT_STR(rows[i].want, buf_str(&out));
        }
        arena_free(arena);
    }
}

TEST(env_build_knows_all_sources)
{
    struct fake_cluster c;
    fake_init(&c);
    fake_put(&c, KIND_CONFIG_MAP,
             "{\"metadata\":{\"name\":\"m\",\"namespace\":\"default\"},\"data\":{\"K\":\"v\"}}");
    fake_put(&c, KIND_SECRET,
             "{\"metadata\":{\"name\":\"s\",\"namespace\":\"default\"},\"data\":{\"P\":\"cHc=\"}}");
    fake_put(&c, KIND_SERVICE,
             "{\"metadata\":{\"name\":\"my-db\",\"namespace\":\"default\"},\"spec\":{\"clusterIP\":"
             "\"10.96.0.9\",\"ports\":[{\"name\":\"sql\",\"port\":5432,\"protocol\":\"TCP\"}]}}");
    struct arena *arena = arena_new(1 << 20);
    struct val pod = json(arena, "{\"metadata\":{\"name\":\"web-0\",\"namespace\":\"default\","
                                 "\"labels\":{\"app\":\"web\"}},\"spec\":{}}");
    struct val container =
        json(arena,
             "{\"name\":\"app\",\"resources\":{\"limits\":{\"cpu\":\"250m\"}},"
             "\"envFrom\":[{\"prefix\":\"C_\",\"configMapRef\":{\"name\":\"m\"}}],\"env\":["
             "{\"name\":\"A\",\"value\":\"$(C_K)-$(MY_DB_SERVICE_HOST)-$(LATER)\"},"
             "{\"name\":\"LATER\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"P\"}}},"
             "{\"name\":\"NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}},"
             "{\"name\":\"APP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['app']"
             "\"}}},"
             "{\"name\":\"CPU\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\","
             "\"divisor\":\"1m\"}}},"
             "{\"name\":\"NONE\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"x\",\"key\":\"y\","
             "\"optional\":true}}}]}");
    struct pod_source source = {.client = &c.client, .pod = &pod, .pod_ip = S("10.244.0.2")};
    struct env_list env = {.arena = arena};
    struct err err = {0};
    EXPECT_OK(env_build(&source, &container, NULL, S("web-0"), &env, &err));
    static const char *const want[][2] = {
        {"A",                         "v-10.96.0.9-$(LATER)"},
        {"LATER",                     "pw"                  },
        {"NAME",                      "web-0"               },
        {"APP",                       "web"                 },
        {"CPU",                       "250"                 },
        {"HOSTNAME",                  "web-0"               },
        {"MY_DB_PORT",                "tcp://10.96.0.9:5432"},
        {"MY_DB_SERVICE_PORT_SQL",    "5432"                },
        {"MY_DB_PORT_5432_TCP_PROTO", "tcp"                 },
        {"MY_DB_PORT_5432_TCP_ADDR",  "10.96.0.9"           },
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const struct env_var *var = env_find(&env, str_of(want[i][0]));
        EXPECT(var != NULL);
        EXPECT_STR(want[i][1], var->value);
    }
    EXPECT(env_find(&env, S("NONE")) == NULL);
    struct val bad = json(arena, "{\"envFrom\":[{\"configMapRef\":{\"name\":\"x\"}}]}");
    EXPECT(env_build(&source, &bad, NULL, S("h"), &env, &err) < 0);
    EXPECT_STR("configmap \"x\" not found", str_of(err.msg));
    arena_free(arena);
    fake_done(&c);
}

TEST(pod_files_text)
{
    struct arena *arena = arena_new(1 << 20);
    auto_buf struct buf out;
    buf_init(&out, 1 << 16);
    struct val pod =
        json(arena, "{\"metadata\":{\"name\":\"web-0\",\"namespace\":\"shop\"},\"spec\":{"
                    "\"hostname\":\"web-0\",\"subdomain\":\"web\",\"hostAliases\":[{"
                    "\"ip\":\"1.2.3.4\",\"hostnames\":[\"a\",\"b\"]}],\"dnsConfig\":{"
                    "\"options\":[{\"name\":\"ndots\",\"value\":\"2\"}]}}}");
    pod_hosts_write(&out, &pod, S("10.244.0.7"), S("cluster.local"), S(""), arena);
    EXPECT_STR("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
               "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
               "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
               "10.244.0.7\tweb-0.web.shop.svc.cluster.local\tweb-0\n"
               "\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n",
               buf_str(&out));
    buf_clear(&out);
    (void)pod_resolv_write(&out, &pod, S("10.96.0.10"), S("cluster.local"),
                           S("search lan\nnameserver 8.8.8.8\n"), arena);
    EXPECT_STR("search shop.svc.cluster.local svc.cluster.local cluster.local lan\n"
               "nameserver 10.96.0.10\noptions ndots:2\n",
               buf_str(&out));
    buf_clear(&out);
    val_set_path(arena, &pod, "spec.dnsPolicy", val_str(S("Default")));
    (void)pod_resolv_write(&out, &pod, S("10.96.0.10"), S("cluster.local"),
                           S("search lan\nnameserver 8.8.8.8\n"), arena);
    EXPECT_STR("search lan\nnameserver 8.8.8.8\noptions ndots:2\n", buf_str(&out));
    arena_free(arena);
}
