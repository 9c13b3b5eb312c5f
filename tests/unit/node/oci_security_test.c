// SPDX-License-Identifier: Apache-2.0
//
// Seccomp's default, capabilities of this node, sysctls: pure.
#include "node/oci_spec.h"

#include "test.h"

#include "base/mem.h"
#include "data/json.h"

static const struct val *read_json(struct arena *arena, const char *json)
{
    struct err err = {0};
    struct val *v = arena_alloc(arena, sizeof *v);
    EXPECT_OK(json_read(str_of(json), arena, NULL, v, &err));
    return v;
}

static bool refuses(const struct val *profile, const char *call)
{
    const struct val *rules = val_get(profile, S("syscalls"));
    for (size_t i = 0; i < val_count(rules); i++) {
        const struct val *names = val_get(val_at(rules, i), S("names"));
        for (size_t k = 0; k < val_count(names); k++) {
            if (str_eq(val_text(val_at(names, k)), str_of(call))) {
                return true;
            }
        }
    }
    return false;
}

TEST(seccomp_default_frees_calls_by_capability)
{
    static const struct {
        const char *caps, *call;
        bool is_refused;
    } rows[] = {
        {"[]",                  "mount",         true },
        {"[\"CAP_SYS_ADMIN\"]", "mount",         false},
        {"[\"CAP_SYS_ADMIN\"]", "bpf",           false},
        {"[\"CAP_SYS_ADMIN\"]", "keyctl",        true },
        {"[\"CAP_SYS_ADMIN\"]", "clone",         false},
        {"[]",                  "clone",         true },
        {"[]",                  "clone3",        true },
        {"[\"CAP_SYS_TIME\"]",  "reboot",        true },
        {"[\"CAP_SYS_TIME\"]",  "clock_settime", false},
        {"[]",                  "openat",        false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1 << 20);
        struct val profile = oci_seccomp_default(read_json(arena, rows[i].caps), arena);
        EXPECT_INT(rows[i].is_refused, refuses(&profile, rows[i].call));
        arena_free(arena);
    }
}

/* A node with one id gives each container a user namespace in which it has the wanted number. */
TEST(one_id_stands_for_any)
{
    static const struct {
        bool has_one_id;
        const char *pod, *want;
    } rows[] = {
        {false, "{\"runAsUser\":999,\"fsGroup\":5}", "999 0 groups 1 users null"},
        {true,  "{\"runAsUser\":999,\"fsGroup\":5}",
         "999 0 groups 0 users [{\"containerID\":999,"
         "\"hostID\":0,\"size\":1}]"                                            },
        {true,  "{\"fsGroup\":5}",                   "0 0 groups 0 users null"  },
        {true,  "{\"runAsGroup\":7}",
         "0 7 groups 0 users [{\"containerID\":0,"
         "\"hostID\":0,\"size\":1}]"                                            },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1 << 20);
        auto_free char *pod = xasprintf("{\"spec\":{\"securityContext\":%s}}", rows[i].pod);
        struct oci_machine machine = {.has_one_id = rows[i].has_one_id};
        struct env_list env = {0};
        struct val argv = val_list();
        struct oci_input input = {.pod = read_json(arena, pod),
                                  .container = read_json(arena, "{\"name\":\"c\"}"),
                                  .argv = &argv,
                                  .env = &env,
                                  .rootfs = "/",
                                  .id = "id",
                                  .machine = &machine};
        struct val spec;
        struct err err = {0};
        EXPECT_OK(oci_spec_build(&input, arena, &spec, &err));
        struct buf got;
        buf_init(&got, 4096);
        (void)buf_addf(&got, "%lld %lld groups %zu users ",
                       (long long)val_number_at(&spec, "process.user.uid", -1),
                       (long long)val_number_at(&spec, "process.user.gid", -1),
                       val_count(val_path(&spec, "process.user.additionalGids")));
        const struct val *map = val_path(&spec, "linux.uidMappings");
        struct val none = val_null();
        (void)json_write(&got, map == NULL ? &none : map);
        EXPECT_STR(rows[i].want, buf_str(&got));
        buf_done(&got);
        arena_free(arena);
    }
}

TEST(capabilities_end_where_the_nodes_own_end)
{
    struct arena *arena = arena_new(1 << 20);
    struct oci_machine machine = {.caps = 1 | 1 << 21}; /* CHOWN and SYS_ADMIN */
    struct oci_input input = {.container =
                                  read_json(arena, "{\"securityContext\":{\"privileged\":true}}"),
                              .machine = &machine};
    struct val caps = oci_capabilities(&input, arena);
    const struct val *list = val_get(&caps, S("bounding"));
    EXPECT_INT(2, val_count(list));
    EXPECT_STR("CAP_CHOWN", val_text(val_at(list, 0)));
    EXPECT_STR("CAP_SYS_ADMIN", val_text(val_at(list, 1)));
    arena_free(arena);
}

TEST(sysctls_are_safe_and_the_pods_own)
{
#define SYSCTL(extra, name)                                                                        \
    "{\"spec\":{" extra "\"securityContext\":{\"sysctls\":[{\"name\":\"" name                      \
    "\",\"value\":\"1\"}]}}}"
    static const struct {
        const char *pod, *want;
    } rows[] = {
        {SYSCTL("",                                              "net.ipv4.tcp_syncookies"), ""},
        {SYSCTL("",                                                      "kernel.msgmax"),                                                                        "forbidden sysctl: \"kernel.msgmax\" not allowlisted"},
        {SYSCTL("\"hostNetwork\":true,", "net.ipv4.tcp_syncookies"),
         "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled"},
        {"{\"spec\":{}}",                            "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new(1 << 16);
        EXPECT_STR(rows[i].want, pod_forbidden_sysctl(read_json(arena, rows[i].pod), arena));
        arena_free(arena);
    }
}
