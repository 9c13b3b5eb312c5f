// SPDX-License-Identifier: Apache-2.0
//
// The kernel's constants of Landlock are spelled out: headers are older than kernels (landlock(7)).
#include "node/image_confine.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a program needs to ask a registry by name over TLS. */
static const char *const system_files[] = {
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/static", /* where NixOS' links lead */
    NULL,
};

/* ---- a root of its own ----------------------------------------------------------------------- */

#define ROOT_DIR "root" /* below the store: where it is put together */

/* A file, directory or link like path at target, with the directories that lead there.
 * *ret_is_link: that is all there is to it. */
static int make_place(const char *path, const char *target, bool *ret_is_link, struct err *err)
{
    struct stat st;
    char link[256];
    auto_free char *parent = xstrndup(target, (size_t)(strrchr(target, '/') - target));
    /* Distributions' /lib is a link into /usr; what links in /etc lead to is shown in their place.
     */
    ssize_t n = strncmp(path, "/lib", 4) == 0 ? readlink(path, link, sizeof link - 1) : -1;
    *ret_is_link = n > 0;
    if (stat(path, &st) < 0) {
        return err_errno(err, "'%s'", path);
    }
    if (access(target, F_OK) == 0) {
        return 0; /* below something that is shown already */
    }
    if (dir_make_all(parent, 0755, err) < 0) {
        return err->code;
    }
    if (n > 0) {
        link[n] = '\0';
        return symlink(link, target) < 0 ? err_errno(err, "link '%s'", target) : 0;
    }
    if (S_ISDIR(st.st_mode)) {
        return dir_make_all(target, 0755, err);
    }
    auto_close int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? err_errno(err, "'%s'", target) : 0;
}

static int restrict_mount(const char *target, unsigned depth, uint64_t flags, struct err *err)
{
    struct mount_attr attr = {.attr_set = flags | MOUNT_ATTR_NOSUID};
    /* Before 5.12 the kernel can't: then it is a root of its own, but not read-only. */
    return syscall(SYS_mount_setattr, AT_FDCWD, target, depth, &attr, sizeof attr) < 0 &&
                   errno != ENOSYS
               ? err_errno(err, "protect '%s'", target)
               : 0;
}

/* What isn't there is left out. */
static int show(const char *root, const char *path, struct err *err)
{
    auto_free char *target = xasprintf("%s%s", root, path);
    bool is_link;
    if (make_place(path, target, &is_link, err) < 0) {
        return err->code == ERR_NOT_FOUND ? 0 : err->code;
    }
    if (is_link) {
        return 0;
    }
    return mount(path, target, NULL, MS_BIND | MS_REC, NULL) < 0
               ? err_errno(err, "show '%s'", path)
               : restrict_mount(target, AT_RECURSIVE, MOUNT_ATTR_RDONLY, err);
}

static int show_store(const char *root, const char *store, struct err *err)
{
    auto_free char *target = xasprintf("%s%s", root, store);
    bool is_link;
    if (make_place(store, target, &is_link, err) < 0) {
        return err->code;
    }
    /* Without what is mounted in it: root is. */
    return mount(store, target, NULL, MS_BIND, NULL) < 0 ? err_errno(err, "show '%s'", store)
                                                         : restrict_mount(target, 0, 0, err);
}

static int show_all(const char *root, const struct image_reach *reach, struct err *err)
{
    int r = show(root, "/proc", err);
    for (size_t i = 0; r == 0 && system_files[i] != NULL; i++) {
        r = show(root, system_files[i], err);
    }
    for (size_t i = 0; r == 0 && reach->reads[i] != NULL; i++) {
        r = show(root, reach->reads[i], err);
    }
    r = r < 0 ? r : show_store(root, reach->store, err);
    return r < 0 ? r : restrict_mount(root, 0, MOUNT_ATTR_RDONLY, err);
}

static int enter_root(const struct image_reach *reach, struct err *err)
{
    auto_free char *root = xasprintf("%s/" ROOT_DIR, reach->store);
    if (unshare(CLONE_NEWNS) < 0) {
        /* Only tests run it so; a cluster is made of namespaces. */
        return errno == EPERM ? 0 : err_errno(err, "unshare");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        (mkdir(root, 0700) < 0 && errno != EEXIST) ||
        mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") < 0) {
        return err_errno(err, "mount '%s'", root);
    }
    if (show_all(root, reach, err) < 0) {
        return err->code;
    }
    return chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
                   umount2(".", MNT_DETACH) < 0 || chdir("/") < 0
               ? err_errno(err, "enter '%s'", root)
               : 0;
}

/* ---- Landlock -------------------------------------------------------------------------------- */

/* As landlock_ruleset_attr grew: with ABI 4, with ABI 6. */
struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

enum {
    ABI_REFER = 2, /* without it no file can be moved or linked: of no use here */
    ABI_TRUNCATE = 3,
    ABI_NETWORK = 4,
    ABI_DEVICES = 5,
    ABI_SCOPES = 6,
    FILES_TRUNCATE = 1 << 14,
    FILES_DEVICES = 1 << 15,
    NETWORK_BIND = 1 << 0,
    NETWORK_CONNECT = 1 << 1,
    SCOPE_ABSTRACT_UNIX = 1 << 0,
    SCOPE_SIGNAL = 1 << 1,
    FILES_OF_ABI_2 = (1 << 14) - 1,
    READS = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    NOT_IN_STORE = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_SOCK | FILES_DEVICES,
    ON_FILES = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FILES_TRUNCATE,
};

static int landlock_abi(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool image_confine_has_landlock(void)
{
    return landlock_abi() >= ABI_REFER;
}

static int allow(int ruleset, const char *path, uint64_t access, struct err *err)
{
    struct stat st;
    auto_close int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return errno == ENOENT ? 0 : err_errno(err, "'%s'", path);
    }
    struct landlock_path_beneath_attr rule = {
        .allowed_access = S_ISDIR(st.st_mode) ? access : access & ON_FILES, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? err_errno(err, "Landlock rule of '%s'", path)
               : 0;
}

static int restrict_files(const struct image_reach *reach, struct err *err)
{
    int abi = landlock_abi();
    if (abi < ABI_REFER) {
        return 0;
    }
    const struct ruleset rights = {
        .files = FILES_OF_ABI_2 | (abi >= ABI_TRUNCATE ? FILES_TRUNCATE : 0) |
                 (abi >= ABI_DEVICES ? FILES_DEVICES : 0),
        .network =
            abi < ABI_NETWORK ? 0 : NETWORK_BIND | (reach->has_network ? 0 : NETWORK_CONNECT),
        .scopes = abi < ABI_SCOPES ? 0 : SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL,
    };
    auto_close int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
    if (ruleset < 0) {
        return err_errno(err, "Landlock");
    }
    int r = allow(ruleset, reach->store, rights.files & ~(uint64_t)NOT_IN_STORE, err);
    for (size_t i = 0; r == 0 && system_files[i] != NULL; i++) {
        r = allow(ruleset, system_files[i], READS, err);
    }
    for (size_t i = 0; r == 0 && reach->reads[i] != NULL; i++) {
        r = allow(ruleset, reach->reads[i], READS, err);
    }
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        r = err_errno(err, "Landlock");
    }
    return r;
}

/* ---- capabilities ---------------------------------------------------------------------------- */

/* Layers have files of any owner and mode, in directories that nobody may write. */
static const int kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP};

static int drop_capabilities(struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    uint64_t keep = 0;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        keep |= (uint64_t)1 << kept[i];
    }
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if ((keep >> i & 1) == 0) {
            (void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* who may not has none to lose */
        }
    }
    if (syscall(SYS_capget, &header, data) < 0) {
        return err_errno(err, "capget");
    }
    for (size_t i = 0; i < ARRAY_LEN(data); i++) {
        data[i].permitted &= (uint32_t)(keep >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) < 0 ? err_errno(err, "capset") : 0;
}

/* ---- seccomp --------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#else
#error "name the seccomp architecture of this machine"
#endif

enum { RULES_MAX = 256, X32_BIT = 0x40000000 };

/* Calls that neither unpacking nor libcurl has a use for and that reach other processes or the
 * kernel's younger parts. */
static const int refused[] = {
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_process_madvise,
    SYS_kill,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_setns,
    SYS_unshare,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_personality,
    SYS_vhangup,
    SYS_fanotify_init,
    SYS_mbind,
    SYS_set_mempolicy,
    SYS_migrate_pages,
    SYS_move_pages,
    SYS_lookup_dcookie,
    SYS_nfsservctl,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_kexec_file_load,
    SYS_uselib,
    SYS_ustat,
    SYS_sysfs,
    SYS__sysctl,
#endif
};

struct filter {
    struct sock_filter rules[RULES_MAX];
    unsigned short count;
};

static void add(struct filter *f, int code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    f->rules[f->count++] =
        (struct sock_filter){.code = (uint16_t)code, .jt = if_true, .jf = if_false, .k = k};
}

static void load_field(struct filter *f, size_t offset)
{
    add(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct filter *f, int error)
{
    add(f, BPF_RET | BPF_K,
        error == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA),
        0, 0);
}

static void refuse(struct filter *f, int call, int error)
{
    add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    answer(f, error);
}

/* Only with one of these as its first argument. The call's number is not loaded any more
 * afterwards, so this ends what is said about the call. */
static void allow_first(struct filter *f, int call, const uint32_t *values, size_t count, int error)
{
    load_field(f, offsetof(struct seccomp_data, nr));
    add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, (uint8_t)(1 + count * 2 + 1));
    load_field(f, offsetof(struct seccomp_data, args[0]) +
                      (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0));
    for (size_t i = 0; i < count; i++) {
        add(f, BPF_JMP | BPF_JEQ | BPF_K, values[i], 0, 1);
        answer(f, 0);
    }
    answer(f, error);
}

static void write_filter(struct filter *f, bool has_network)
{
    static const uint32_t families[] = {AF_INET, AF_INET6,
                                        AF_NETLINK /* getaddrinfo's look at addresses */};
    static const uint32_t myself = 0;
    const uint32_t process = (uint32_t)getpid();
    static const uint32_t spaces = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                   CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    load_field(f, offsetof(struct seccomp_data, arch));
    add(f, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    add(f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    load_field(f, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    add(f, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    answer(f, ENOSYS);
#endif
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        refuse(f, refused[i], EPERM);
    }
    refuse(f, SYS_clone3,
           ENOSYS); /* its flags are out of sight; the C library goes on with clone */
    add(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3);
    load_field(f, offsetof(struct seccomp_data, args[0]) +
                      (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0));
    add(f, BPF_JMP | BPF_JSET | BPF_K, spaces, 0, 1);
    answer(f, EPERM);
    allow_first(f, SYS_socket, families, has_network ? ARRAY_LEN(families) : 0, EAFNOSUPPORT);
    allow_first(f, SYS_prlimit64, &myself, 1, EPERM);
    allow_first(f, SYS_tgkill, &process, 1, EPERM); /* abort() */
    answer(f, 0);
}

static int install_filter(bool has_network, struct err *err)
{
    struct filter filter = {.count = 0};
    write_filter(&filter, has_network);
    const struct sock_fprog program = {.len = filter.count, .filter = filter.rules};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0
               ? err_errno(err, "seccomp")
               : 0;
}

/* ---- limits ---------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_MAX RLIM_INFINITY /* its shadow has terabytes of addresses */
#else
#define MEMORY_MAX ((rlim_t)2 << 30)
#endif

static int set_limits(struct err *err)
{
    static const struct {
        int what;
        rlim_t max;
    } limits[] = {
        {RLIMIT_CORE,   0               },
        {RLIMIT_NOFILE, 256             },
        {RLIMIT_FSIZE,  (rlim_t)64 << 30},
        {RLIMIT_AS,     MEMORY_MAX      },
    };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct rlimit now;
        if (getrlimit((__rlimit_resource_t)limits[i].what, &now) < 0) {
            return err_errno(err, "getrlimit");
        }
        rlim_t max = limits[i].max < now.rlim_max ? limits[i].max : now.rlim_max;
        const struct rlimit less = {.rlim_cur = max, .rlim_max = max};
        if (setrlimit((__rlimit_resource_t)limits[i].what, &less) < 0) {
            return err_errno(err, "setrlimit");
        }
    }
    return 0;
}

int image_confine(const struct image_reach *reach, struct err *err)
{
    if (set_limits(err) < 0 || enter_root(reach, err) < 0) {
        return err_wrap(err, "confine the image worker");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return err_errno(err, "no_new_privs");
    }
    if (restrict_files(reach, err) < 0 || drop_capabilities(err) < 0 ||
        install_filter(reach->has_network, err) < 0) {
        return err_wrap(err, "confine the image worker");
    }
    return 0;
}
