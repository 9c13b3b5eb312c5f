// SPDX-License-Identifier: Apache-2.0
//
// linux.seccomp of a container (spec/node.md 3.4). RuntimeDefault is a list of refused calls, not
// of allowed ones: compiling it costs crun 1 ms instead of 4 (spec/machine.md, trap 3). It refuses
// what Docker's default profile refuses of the calls that kernels have today; a call's row names
// the capability that frees it. Only the native architecture is listed: calls of others end the
// process.
#include "node/oci_spec.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/socket.h>

static const struct {
    const char *call, *cap; /* cap NULL = always refused */
} refused[] = {
    {"acct",                    "CAP_SYS_PACCT"      },
    {"bpf",                     "CAP_BPF"            },
    {"clock_settime",           "CAP_SYS_TIME"       },
    {"delete_module",           "CAP_SYS_MODULE"     },
    {"fanotify_init",           "CAP_SYS_ADMIN"      },
    {"finit_module",            "CAP_SYS_MODULE"     },
    {"fsconfig",                "CAP_SYS_ADMIN"      },
    {"fsmount",                 "CAP_SYS_ADMIN"      },
    {"fsopen",                  "CAP_SYS_ADMIN"      },
    {"fspick",                  "CAP_SYS_ADMIN"      },
    {"get_mempolicy",           "CAP_SYS_NICE"       },
    {"init_module",             "CAP_SYS_MODULE"     },
    {"ioperm",                  "CAP_SYS_RAWIO"      },
    {"iopl",                    "CAP_SYS_RAWIO"      },
    {"kcmp",                    "CAP_SYS_PTRACE"     },
    {"lookup_dcookie",          "CAP_SYS_ADMIN"      },
    {"mbind",                   "CAP_SYS_NICE"       },
    {"mount",                   "CAP_SYS_ADMIN"      },
    {"mount_setattr",           "CAP_SYS_ADMIN"      },
    {"move_mount",              "CAP_SYS_ADMIN"      },
    {"open_by_handle_at",       "CAP_DAC_READ_SEARCH"},
    {"open_tree",               "CAP_SYS_ADMIN"      },
    {"perf_event_open",         "CAP_PERFMON"        },
    {"pidfd_getfd",             "CAP_SYS_PTRACE"     },
    {"process_madvise",         "CAP_SYS_PTRACE"     },
    {"quotactl",                "CAP_SYS_ADMIN"      },
    {"quotactl_fd",             "CAP_SYS_ADMIN"      },
    {"reboot",                  "CAP_SYS_BOOT"       },
    {"set_mempolicy",           "CAP_SYS_NICE"       },
    {"set_mempolicy_home_node", "CAP_SYS_NICE"       },
    {"setdomainname",           "CAP_SYS_ADMIN"      },
    {"sethostname",             "CAP_SYS_ADMIN"      },
    {"setns",                   "CAP_SYS_ADMIN"      },
    {"settimeofday",            "CAP_SYS_TIME"       },
    {"syslog",                  "CAP_SYSLOG"         },
    {"umount",                  "CAP_SYS_ADMIN"      },
    {"umount2",                 "CAP_SYS_ADMIN"      },
    {"unshare",                 "CAP_SYS_ADMIN"      },
    {"vhangup",                 "CAP_SYS_TTY_CONFIG" },
    {"_sysctl",                 NULL                 },
    {"add_key",                 NULL                 },
    {"create_module",           NULL                 },
    {"get_kernel_syms",         NULL                 },
    {"io_uring_enter",          NULL                 },
    {"io_uring_register",       NULL                 },
    {"io_uring_setup",          NULL                 },
    {"kexec_file_load",         NULL                 },
    {"kexec_load",              NULL                 },
    {"keyctl",                  NULL                 },
    {"migrate_pages",           NULL                 },
    {"move_pages",              NULL                 },
    {"nfsservctl",              NULL                 },
    {"pivot_root",              NULL                 },
    {"query_module",            NULL                 },
    {"request_key",             NULL                 },
    {"swapoff",                 NULL                 },
    {"swapon",                  NULL                 },
    {"sysfs",                   NULL                 },
    {"uselib",                  NULL                 },
    {"userfaultfd",             NULL                 },
    {"ustat",                   NULL                 },
};

/* Refused when (first argument & mask) == value. */
static const struct {
    const char *call, *cap;
    uint64_t mask, value;
} refused_masked[] = {
    {"clone",       "CAP_SYS_ADMIN", CLONE_NEWNS,                     CLONE_NEWNS      },
    {"clone",       "CAP_SYS_ADMIN", CLONE_NEWCGROUP,                 CLONE_NEWCGROUP  },
    {"clone",       "CAP_SYS_ADMIN", CLONE_NEWUTS,                    CLONE_NEWUTS     },
    {"clone",       "CAP_SYS_ADMIN", CLONE_NEWIPC,                    CLONE_NEWIPC     },
    {"clone",       "CAP_SYS_ADMIN", CLONE_NEWUSER,                   CLONE_NEWUSER    },
    {"clone",       "CAP_SYS_ADMIN", CLONE_NEWPID,                    CLONE_NEWPID     },
    {"clone",       "CAP_SYS_ADMIN", CLONE_NEWNET,                    CLONE_NEWNET     },
 /* bit 31 is set in 0xffffffff only, which asks and changes nothing */
    {"personality", NULL,            0x80000000u | ADDR_NO_RANDOMIZE, ADDR_NO_RANDOMIZE},
    {"personality", NULL,            0x80000000u | READ_IMPLIES_EXEC, READ_IMPLIES_EXEC},
    {"socket",      NULL,            0xffffffffu,                     AF_VSOCK         },
};

#if defined(__x86_64__)
static const char native_arch[] = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
static const char native_arch[] = "SCMP_ARCH_AARCH64";
#else
#error "name the seccomp architecture of this machine"
#endif

static bool has_cap(const struct val *caps, const char *cap)
{
    static const char *const parts[] = {"CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG"};
    bool is_part = false; /* of what CAP_SYS_ADMIN was */
    for (size_t i = 0; cap && i < ARRAY_LEN(parts); i++) {
        is_part = is_part || str_eq(str_of(cap), str_of(parts[i]));
    }
    for (size_t i = 0; cap && i < val_count(caps); i++) {
        struct str name = val_text(val_at(caps, i));
        if (str_eq(name, str_of(cap)) || (is_part && str_eq(name, S("CAP_SYS_ADMIN")))) {
            return true;
        }
    }
    return false;
}

static struct val rule(struct arena *arena, int code)
{
    struct val out = val_map();
    val_set(arena, &out, S("names"), val_list());
    val_set(arena, &out, S("action"), val_str(S("SCMP_ACT_ERRNO")));
    val_set(arena, &out, S("errnoRet"), val_int(code));
    return out;
}

static void add_name(struct arena *arena, struct val *rule, const char *name)
{
    val_push(arena, val_slot(rule, S("names")), val_str(str_of(name)));
}

static struct val masked_rule(struct arena *arena, const char *call, uint64_t mask, uint64_t value)
{
    struct val out = rule(arena, EPERM);
    struct val arg = val_map();
    add_name(arena, &out, call);
    val_set(arena, &arg, S("index"), val_int(0));
    val_set(arena, &arg, S("value"), val_int((int64_t)mask));
    val_set(arena, &arg, S("valueTwo"), val_int((int64_t)value));
    val_set(arena, &arg, S("op"), val_str(S("SCMP_CMP_MASKED_EQ")));
    val_push(arena, val_need_list(arena, &out, S("args")), arg);
    return out;
}

struct val oci_seccomp_default(const struct val *caps, struct arena *arena)
{
    struct val out = val_map();
    struct val calls = val_list();
    struct val plain = rule(arena, EPERM);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (!has_cap(caps, refused[i].cap)) {
            add_name(arena, &plain, refused[i].call);
        }
    }
    val_push(arena, &calls, plain);
    for (size_t i = 0; i < ARRAY_LEN(refused_masked); i++) {
        if (!has_cap(caps, refused_masked[i].cap)) {
            val_push(arena, &calls,
                     masked_rule(arena, refused_masked[i].call, refused_masked[i].mask,
                                 refused_masked[i].value));
        }
    }
    if (!has_cap(caps, "CAP_SYS_ADMIN")) { /* its flags lie in memory: callers fall back to clone */
        struct val clone3 = rule(arena, ENOSYS);
        add_name(arena, &clone3, "clone3");
        val_push(arena, &calls, clone3);
    }
    val_set(arena, &out, S("defaultAction"), val_str(S("SCMP_ACT_ALLOW")));
    val_push(arena, val_need_list(arena, &out, S("architectures")), val_str(str_of(native_arch)));
    val_set(arena, &out, S("syscalls"), calls);
    return out;
}

/* A profile of the node, in the form of config.json. */
static int read_profile(struct str dir, struct str name, struct arena *arena, struct val *ret,
                        struct err *err)
{
    auto_free char *root = xasprintf(STR_FMT, STR_ARG(dir));
    auto_free char *path = xasprintf(STR_FMT, STR_ARG(name));
    auto_buf struct buf text;
    buf_init(&text, BODY_BYTES_MAX);
    auto_close int fd = beneath_open(root, path, O_RDONLY | O_NONBLOCK, err);
    auto_free char *link = xasprintf("/proc/self/fd/%d", fd);
    int rc = fd < 0 ? fd : file_read(AT_FDCWD, link, &text, err);
    rc = rc < 0 ? rc : json_read(arena_dup(arena, buf_str(&text)), arena, NULL, ret, err);
    if (rc == 0 && val_text(val_get(ret, S("defaultAction"))).n == 0) {
        rc = err_set(err, ERR_INVALID, "it has no defaultAction");
    }
    return rc < 0 ? err_wrap(err, "cannot load seccomp profile \"%s/%s\"", root, path) : 0;
}

int oci_seccomp(const struct oci_input *in, const struct val *caps, struct arena *arena,
                struct val *ret, struct err *err)
{
    const struct val *profile = oci_security(in, S("seccompProfile"));
    struct str type = val_text(val_get(profile, S("type")));
    *ret = val_null();
    if (val_true_at(in->container, "securityContext.privileged")) {
        return 0;
    }
    if (str_eq(type, S("RuntimeDefault"))) {
        *ret = oci_seccomp_default(caps, arena);
    } else if (str_eq(type, S("Localhost"))) {
        struct str name = val_text(val_get(profile, S("localhostProfile")));
        return read_profile(in->seccomp_dir, name, arena, ret, err);
    }
    return 0;
}
