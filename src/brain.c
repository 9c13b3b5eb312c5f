// SPDX-License-Identifier: Apache-2.0
//
// Composition: rooms are opened in the order of the layers, each step tells `coracle up` what it
// did, and SIGTERM takes the way back.
#include "brain.h"

#include "auth/auth.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/control_gate.h"
#include "control/bootstrap.h"
#include "control/control.h"
#include "control/policy_loop.h"
#include "control/proxy_loop.h"
#include "control/publish.h"
#include "hull/hull.h"
#include "node/image_confine.h"
#include "node/node.h"
#include "node/runtime_conmon.h"
#include "scheduler/scheduler.h"
#include "server/cert_renewal.h"
#include "server/server.h"
#include "store/journal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_ROOM "brain"

/* The cluster's addresses: fixed, since the namespace is the cluster's own. */
#define POD_CIDR       0x0af40000u /* 10.244.0.0 */
#define SERVICE_CIDR   0x0a600000u /* 10.96.0.0 */
#define SERVICE_IP     "10.96.0.1"
#define DNS_IP         "10.96.0.10"
#define CLUSTER_DOMAIN "cluster.local"
#define ISSUER         "https://kubernetes.default.svc.cluster.local"

enum {
    POD_PREFIX = 16,
    SERVICE_PREFIX = 12,
    API_PORT_INSIDE = 6443,
    DNS_PORT = 53,
    UPSTREAMS_MAX = 3,
    PEM_BYTES_MAX = 64 << 10,
    NOTES_MAX = 5
};

/* Memory is given back when an interval of quiet follows this much work, counted in CPU time. */
static const usec rest_interval = 10 * USEC_PER_SEC;
static const usec rest_quiet = 20 * USEC_PER_MS;
static const usec rest_work = 200 * USEC_PER_MS;
static const size_t rest_freed = 1 << 20;

#define SHUTDOWN_LIMIT (35 * USEC_PER_SEC)
#define SWEEP_DELAY    (5 * USEC_PER_SEC) /* all ports that are wanted have been told long before */

struct brain {
    /* arguments */
    const char *data;
    const char *name;
    int port, api_fd, control_fd, keeper_fd, ports_fd, progress_fd;
    /* what lives as long as the process */
    struct loop *loop;
    struct rng rng;
    struct store *store;
    struct api *api;
    struct auth *auth;
    struct client *client;
    struct recorder *recorder;
    struct control *control;
    struct pod_net *net;
    struct rule_loader *rules;
    struct proxy_loop *proxy;
    struct policy_loader *policy_rules;
    struct policy_loop *policies;
    struct publish *publish;
    struct runtime *runtime;
    struct image_store *images;
    struct node *node;
    struct tls_server *tls;
    struct cert_renewal *renewal;
    struct server *server;
    struct dns_server *dns;
    struct control_gate *gate;
    struct io *signals;
    struct timer sweep;
    int signal_fd;
    bool is_ready;
    bool is_stopping; /* SIGTERM came, ready or not */
    char node_address[IP4_TEXT_MAX];
    char api_address[64];
    const char *notes[NOTES_MAX + 1];
    uint32_t upstreams[UPSTREAMS_MAX];
    size_t upstreams_count;
    enum hull_cgroups cgroups;
    struct timer rest_timer;
    usec cpu_seen; /* at the last look */
    usec cpu_work; /* since memory was given back */
    size_t window_seen;
};

static void report(struct brain *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void report(struct brain *b, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    if (b->progress_fd >= 0 && n > 0) {
        size_t len = (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
        line[len] = '\n';
        (void)!write(b->progress_fd, line, len + 1);
    }
}

static void note(struct brain *b, const char *text)
{
    for (size_t i = 0; i < NOTES_MAX; i++) {
        if (b->notes[i] == NULL) {
            b->notes[i] = text;
            log_warn("%s", text); /* what waits for `up` gets them all at the end */
            return;
        }
    }
}

/* ---- arguments ------------------------------------------------------------------------------- */

static int parse(struct brain *b, int argc, char **argv)
{
    const struct {
        const char *name;
        int *number;
        const char **text;
    } rows[] = {
        {"--data",        NULL,            &b->data},
        {"--name",        NULL,            &b->name},
        {"--port",        &b->port,        NULL    },
        {"--api-fd",      &b->api_fd,      NULL    },
        {"--control-fd",  &b->control_fd,  NULL    },
        {"--keeper-fd",   &b->keeper_fd,   NULL    },
        {"--ports-fd",    &b->ports_fd,    NULL    },
        {"--progress-fd", &b->progress_fd, NULL    },
    };
    for (int i = 0; i + 1 < argc; i += 2) {
        size_t k = 0;
        uint64_t number;
        while (k < ARRAY_LEN(rows) && strcmp(argv[i], rows[k].name) != 0) {
            k++;
        }
        if (k == ARRAY_LEN(rows)) {
            return ERR_INVALID;
        }
        if (rows[k].text != NULL) {
            *rows[k].text = argv[i + 1];
        } else if (str_to_u64(str_of(argv[i + 1]), &number) == 0 && number <= 65535) {
            *rows[k].number = (int)number;
        } else {
            return ERR_INVALID;
        }
    }
    return argc % 2 == 0 && b->data != NULL && b->name != NULL && b->api_fd >= 0 &&
                   b->control_fd >= 0 && b->keeper_fd >= 0 && b->ports_fd >= 0
               ? 0
               : ERR_INVALID;
}

static struct str data_path(struct brain *b, struct arena *arena, const char *name)
{
    return arena_fmt(arena, "%s/%s", b->data, name);
}

static int read_pem(struct brain *b, struct arena *arena, const char *name, struct str *ret,
                    struct err *err)
{
    auto_buf struct buf pem;
    buf_init(&pem, PEM_BYTES_MAX);
    if (file_read(AT_FDCWD, data_path(b, arena, name).p, &pem, err) < 0) {
        return err->code;
    }
    *ret = arena_dup(arena, buf_str(&pem));
    return 0;
}

/* ---- rooms, bottom to top -------------------------------------------------------------------- */

static int open_store(struct brain *b, struct arena *arena, struct err *err)
{
    struct journal *journal = journal_open_sqlite(data_path(b, arena, "state.db").p, err);
    b->store = journal == NULL ? NULL : store_open(b->loop, journal, err);
    if (b->store == NULL) {
        return err_wrap(err, "store");
    }
    struct store_stats stats = store_stats(b->store);
    report(b, "store\t%zu objects, revision %llu", stats.objects_count,
           (unsigned long long)stats.rev);
    return 0;
}

static int open_api(struct brain *b, struct arena *arena, struct err *err)
{
    static const struct str masters[] = {
        {"system:masters",       14},
        {"system:authenticated", 20}
    };
    struct api_config config = {.loop = b->loop,
                                .store = b->store,
                                .rng = &b->rng,
                                .service_cidr = SERVICE_CIDR,
                                .service_prefix = SERVICE_PREFIX,
                                .cluster_domain = S(CLUSTER_DOMAIN)};
    struct api_user user = {
        .name = S("system:coracle"), .groups = masters, .groups_count = ARRAY_LEN(masters)};
    struct str key;
    if (read_pem(b, arena, "pki/service-accounts.key", &key, err) < 0) {
        return err->code;
    }
    b->api = api_new(&config);
    struct auth_config auth = {
        .api = b->api, .loop = b->loop, .rng = &b->rng, .token_key_pem = key, .issuer = S(ISSUER)};
    b->auth = auth_new(&auth, err);
    if (b->auth == NULL) {
        return err->code;
    }
    auth_register(b->auth);
    b->client = client_local_new(b->api, &user);
    b->recorder = recorder_new(b->loop, &b->rng, b->client);
    return 0;
}

static int open_network(struct brain *b, struct err *err)
{
    struct pod_net_config config = {.pod_cidr = POD_CIDR,
                                    .pod_prefix = POD_PREFIX,
                                    .service_cidr = SERVICE_CIDR,
                                    .service_prefix = SERVICE_PREFIX,
                                    .netns_dir = "/run/coracle/netns"};
    uint32_t dns;
    b->net = pod_net_open(&config, err);
    if (b->net == NULL || ip4_parse(S(DNS_IP), &dns) < 0 ||
        pod_net_add_local(b->net, dns, err) < 0) {
        return err_wrap(err, "network");
    }
    ip4_format(pod_net_node_address(b->net), b->node_address);
    b->rules = rule_loader_open(err);
    if (b->rules == NULL) {
        return err_wrap(err, "service rules");
    }
    b->policy_rules = policy_loader_open(err);
    if (b->policy_rules == NULL) {
        return err_wrap(err, "network policies");
    }
    report(b, "network\tpods 10.244.0.0/%d, services 10.96.0.0/%d", POD_PREFIX, SERVICE_PREFIX);
    return 0;
}

static int write_objects(struct brain *b, struct arena *arena, struct err *err)
{
    struct bootstrap_config config = {.volumes_dir = data_path(b, arena, "volumes"),
                                      .api_address = str_of(b->node_address),
                                      .api_port = API_PORT_INSIDE,
                                      .service_ip = S(SERVICE_IP),
                                      .dns_ip = S(DNS_IP)};
    auth_bootstrap_objects(arena, &config.more, &config.more_count);
    if (read_pem(b, arena, "pki/ca.crt", &config.ca_pem, err) < 0 ||
        bootstrap_write(b->client, &config, err) < 0) {
        return err->code;
    }
    store_flush(b->store);
    return 0;
}

static struct hull_port port_of(const struct publish_claim *claim)
{
    return (struct hull_port){.is_udp = claim->protocol == IPPROTO_UDP,
                              .address = claim->address,
                              .port = claim->port,
                              .target = claim->target,
                              .target_port = claim->target_port};
}

static int open_port(void *ctx, const struct publish_claim *claim, struct err *err)
{
    const struct brain *b = ctx;
    struct hull_port port = port_of(claim);
    return hull_publish(b->keeper_fd, b->ports_fd, &port, err);
}

static void close_port(void *ctx, const struct publish_claim *claim)
{
    const struct brain *b = ctx;
    struct hull_port port = port_of(claim);
    hull_unpublish(b->ports_fd, &port);
}

static void sweep_ports(void *ctx)
{
    const struct brain *b = ctx;
    hull_sweep(b->ports_fd);
}

static void start_controllers(struct brain *b)
{
    struct proxy_config proxy = {.pod_cidr = POD_CIDR,
                                 .pod_prefix = POD_PREFIX,
                                 .service_cidr = SERVICE_CIDR,
                                 .service_prefix = SERVICE_PREFIX};
    struct control_config config = {.loop = b->loop, .rng = &b->rng, .client = b->client};
    size_t count;
    const struct controller *const *rows = controllers(&count);
    b->control = control_new(&config);
    for (size_t i = 0; i < count; i++) {
        control_add(b->control, rows[i]);
    }
    control_add(b->control, &scheduler_controller);
    b->proxy = proxy_loop_new(b->loop, b->client, b->rules, &proxy);
    b->policies = policy_loop_new(b->loop, b->client, b->policy_rules);
    struct publish_config publish = {.loop = b->loop,
                                     .client = b->client,
                                     .recorder = b->recorder,
                                     .open = open_port,
                                     .close = close_port,
                                     .ctx = b};
    b->publish = publish_new(&publish);
    timer_start(b->loop, &b->sweep, SWEEP_DELAY, sweep_ports, b);
    report(b, "control\t%zu controllers, scheduler, services, network policies, published ports",
           count);
}

static int launch_worker(void *ctx, int fd, struct err *err)
{
    const struct brain *b = ctx;
    return hull_run_image_worker(b->keeper_fd, fd, err);
}

static int start_node(struct brain *b, struct arena *arena, struct err *err)
{
    b->cgroups = hull_cgroups_probe();
    if (b->cgroups == HULL_CGROUPS_NONE) {
        note(b,
             "no cgroup can be written here: limits of memory, CPU and processes are not enforced");
    }
    bool has_one_id = hull_has_one_id();
    if (has_one_id) {
        note(b,
             "no sub-ids for this user in /etc/subuid: each container has one user only, who owns "
             "all files in it");
    }
    if (!image_confine_has_landlock()) {
        note(b,
             "this kernel has no Landlock (5.19 and newer have it): what unpacks images can look "
             "at other processes of the same user");
    }
    bool has_cgroups = b->cgroups != HULL_CGROUPS_NONE;
    struct str cgroup = has_cgroups ? arena_fmt(arena, "/coracle-%s", b->name) : S("");
    struct runtime_conmon_config runtime = {.state_dir = "/run/coracle",
                                            .has_cgroups = has_cgroups,
                                            .cgroup = has_cgroups ? cgroup.p : NULL};
    b->runtime = runtime_conmon_open(b->loop, &runtime, err);
    b->images =
        b->runtime == NULL ? NULL : image_store_open(b->loop, data_path(b, arena, "images").p, err);
    if (b->images == NULL) {
        return err_wrap(err, "node");
    }
    image_store_launch_by(b->images, launch_worker, b);
    struct node_config config = {.loop = b->loop,
                                 .rng = &b->rng,
                                 .client = b->client,
                                 .recorder = b->recorder,
                                 .runtime = b->runtime,
                                 .images = b->images,
                                 .net = b->net,
                                 .name = str_of(b->name),
                                 .root_dir = data_path(b, arena, "node"),
                                 .log_dir = data_path(b, arena, "logs"),
                                 .cluster_dns = S(DNS_IP),
                                 .cluster_domain = S(CLUSTER_DOMAIN),
                                 .cgroup_parent = cgroup,
                                 .has_one_id = has_one_id,
                                 .has_cgroups = has_cgroups};
    b->node = node_new(&config, err);
    if (b->node == NULL) {
        return err_wrap(err, "node");
    }
    report(b, "node\t%s with " STR_FMT " " STR_FMT, b->name, STR_ARG(b->runtime->name),
           STR_ARG(b->runtime->version));
    return 0;
}

/* ---- doors ----------------------------------------------------------------------------------- */

static bool is_ready(void *ctx)
{
    return ((struct brain *)ctx)->is_ready;
}

/* A socket of the cluster's network that outlives this process. */
static int listen_inside(const struct brain *b, const char *protocol, const char *address,
                         uint16_t port, struct err *err)
{
    return hull_listen(b->keeper_fd, protocol, address, port, err);
}

/* The pods' way to the API: the host's 127.0.0.1 is not reachable from here. */
static int listen_for_pods(struct brain *b, struct err *err)
{
    int fd = listen_inside(b, "tcp", b->node_address, API_PORT_INSIDE, err);
    return fd < 0 ? err->code : server_listen(b->server, fd, err);
}

static int open_server(struct brain *b, struct arena *arena, struct err *err)
{
    struct str cert = {0};
    struct str key = {0};
    struct str ca = {0};
    if (read_pem(b, arena, "pki/server.crt", &cert, err) < 0 ||
        read_pem(b, arena, "pki/server.key", &key, err) < 0 ||
        read_pem(b, arena, "pki/ca.crt", &ca, err) < 0) {
        return err->code;
    }
    b->tls = tls_server_new(cert, key, ca, err);
    struct server_config config = {.loop = b->loop,
                                   .api = b->api,
                                   .auth = b->auth,
                                   .tls = b->tls,
                                   .sessions = node_session_ops(),
                                   .sessions_node = node_sessions(b->node),
                                   .address = str_of(b->api_address),
                                   .is_ready = is_ready,
                                   .ctx = b};
    b->server = b->tls == NULL ? NULL : server_new(&config, err);
    if (b->server == NULL || server_listen(b->server, b->api_fd, err) < 0 ||
        listen_for_pods(b, err) < 0) {
        return err_wrap(err, "api");
    }
    b->renewal = cert_renewal_new(b->loop, data_path(b, arena, "pki").p, b->tls);
    report(b, "api\thttps://%s", b->api_address);
    return 0;
}

/* Resolvers of the host, as init kept them. 127.x is the host's own and can't be reached from here,
 * but the way out has a resolver that asks it. */
static void read_upstreams(struct brain *b)
{
    bool has_egress = if_nametoindex(HULL_EGRESS_LINK) != 0;
    if (!has_egress) {
        note(b, "pods have no way out: install slirp4netns or pasta, and let it open /dev/net/tun");
        return;
    }
    auto_buf struct buf text;
    buf_init(&text, 1 << 16);
    struct err err;
    if (file_read(AT_FDCWD, "/run/coracle/resolv.conf", &text, &err) < 0) {
        return;
    }
    struct str rest = buf_str(&text);
    while (rest.p != NULL && b->upstreams_count < UPSTREAMS_MAX) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        uint32_t address;
        if (str_starts(line, S("nameserver ")) &&
            ip4_parse(str_trim(str_sub(line, 11, line.n)), &address) == 0 && address >> 24 != 127) {
            b->upstreams[b->upstreams_count++] = address;
        }
    }
    if (b->upstreams_count == 0) {
        b->upstreams[b->upstreams_count++] = HULL_EGRESS_DNS;
    }
}

static int open_dns(struct brain *b, struct err *err)
{
    struct dns_server_config config = {
        .loop = b->loop, .rng = &b->rng, .client = b->client, .cluster_domain = S(CLUSTER_DOMAIN)};
    read_upstreams(b);
    config.upstreams = b->upstreams;
    config.upstreams_count = b->upstreams_count;
    config.service_cidr = SERVICE_CIDR;
    config.service_prefix = SERVICE_PREFIX;
    config.pod_cidr = POD_CIDR;
    config.pod_prefix = POD_PREFIX;
    if (ip4_parse(S(DNS_IP), &config.address) < 0) {
        return err_set(err, ERR_INTERNAL, "dns: address");
    }
    config.udp_fd = listen_inside(b, "udp", DNS_IP, DNS_PORT, err);
    config.tcp_fd = config.udp_fd < 0 ? -1 : listen_inside(b, "tcp", DNS_IP, DNS_PORT, err);
    b->dns = config.tcp_fd < 0 ? NULL : dns_server_new(&config, err);
    if (b->dns == NULL) {
        return err_wrap(err, "dns");
    }
    report(b, "dns\t" DNS_IP ", zone " CLUSTER_DOMAIN);
    return 0;
}

static int open_gate(struct brain *b, struct err *err)
{
    struct control_gate_config config = {.loop = b->loop,
                                         .store = b->store,
                                         .client = b->client,
                                         .images = b->images,
                                         .api_address = str_of(b->api_address),
                                         .notes = b->notes};
    b->gate = control_gate_new(&config, b->control_fd, err);
    return b->gate == NULL ? err->code : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_stopped(void *ctx)
{
    struct brain *b = ctx;
    store_flush(b->store);
    loop_stop(b->loop);
}

static void on_signal(void *ctx, int events)
{
    struct brain *b = ctx;
    struct signalfd_siginfo info;
    (void)events;
    while (read(b->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM && !b->is_stopping) {
            log_info("stopping");
            b->is_stopping = true;
            b->is_ready = false;
            node_shutdown(b->node, SHUTDOWN_LIMIT, on_stopped, b);
        }
    }
}

static int watch_signals(struct brain *b, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    b->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (b->signal_fd < 0) {
        return err_errno(err, "signalfd");
    }
    b->signals = io_start(b->loop, b->signal_fd, IO_READ, on_signal, b, err);
    return b->signals == NULL ? err->code : 0;
}

/* Start-up runs much code once: its pages go back to the page cache alone, and what is used again
 * is mapped again. Only what was never written is given back. */
static int unmap_code(struct dl_phdr_info *info, size_t size, void *ctx)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)size;
    (void)ctx;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) == 0) {
            uintptr_t from = (info->dlpi_addr + segment->p_vaddr) & ~(uintptr_t)(page - 1);
            uintptr_t to = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;
            (void)madvise((void *)from, to - from, MADV_DONTNEED);
        }
    }
    return 0;
}

/* Only the next brain, which reads the journal again, can tell what is on the disk. Answers to what
 * failed are on their way: this runs behind those who write them. */
static void check_store(void *ctx)
{
    const struct brain *b = ctx;
    if (store_is_broken(b->store)) {
        log_error(
            "the journal failed: ending, so that the next brain starts from what is on the disk");
        _exit(1);
    }
}

static void give_back_memory(void)
{
    objects_rest();
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(unmap_code, NULL);
}

/* What a burst of work has left: freed blocks that malloc keeps, code that ran once. */
static void look_at_rest(void *ctx)
{
    struct brain *b = ctx;
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    usec cpu = (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * USEC_PER_SEC + use.ru_utime.tv_usec +
               use.ru_stime.tv_usec;
    usec spent = cpu - b->cpu_seen;
    b->cpu_seen = cpu;
    b->cpu_work += spent;
    size_t window = store_stats(b->store).window_bytes;
    if (window + rest_freed < b->window_seen) {
        b->cpu_work += rest_work; /* old versions went, on a timer: little work, much memory */
    }
    b->window_seen = window;
    if (spent < rest_quiet && b->cpu_work >= rest_work) {
        give_back_memory();
        b->cpu_work = 0;
    }
    timer_start(b->loop, &b->rest_timer, rest_interval, look_at_rest, b);
}

/* Ready when what users rely on at once is there: the default account of the default namespace,
 * which the first pod needs, and the node. */
static void check_ready(void *ctx)
{
    struct brain *b = ctx;
    if (b->progress_fd < 0 || b->is_stopping ||
        b->client->ops->get(b->client, KIND_SERVICE_ACCOUNT, S("default"), S("default")) == NULL ||
        b->client->ops->get(b->client, KIND_CONFIG_MAP, S("default"), S("kube-root-ca.crt")) ==
            NULL ||
        b->client->ops->get(b->client, KIND_NODE, S(""), str_of(b->name)) == NULL) {
        return;
    }
    b->is_ready = true;
    report(b, "objects\tnamespaces, accounts, storage class 'standard', node");
    for (size_t i = 0; b->notes[i] != NULL; i++) {
        report(b, "note\t%s", b->notes[i]);
    }
    report(b, "ready");
    (void)close(b->progress_fd);
    b->progress_fd = -1;
    give_back_memory();
}

static int open_rooms(struct brain *b, struct arena *arena, struct err *err)
{
    if (watch_signals(b, err) < 0 || open_store(b, arena, err) < 0 || open_api(b, arena, err) < 0 ||
        open_network(b, err) < 0 || write_objects(b, arena, err) < 0) {
        return err->code;
    }
    if (start_node(b, arena, err) < 0) {
        return err->code;
    }
    start_controllers(b);
    timer_start(b->loop, &b->rest_timer, rest_interval, look_at_rest, b);
    return open_dns(b, err) < 0 || open_server(b, arena, err) < 0 || open_gate(b, err) < 0
               ? err->code
               : 0;
}

int brain_main(int argc, char **argv)
{
    struct brain b = {
        .api_fd = -1, .control_fd = -1, .keeper_fd = -1, .ports_fd = -1, .progress_fd = -1};
    struct err err = {0};
    (void)prctl(PR_SET_NAME, "coracle-brain");
    /* One arena: a second one doubles what malloc keeps for the pool threads. */
    (void)mallopt(M_ARENA_MAX, 1);
    if (parse(&b, argc, argv) < 0) {
        log_error("this command is for the hull; start a cluster with `coracle up`");
        return 2;
    }
    fd_raise_limit();
    for (int fd = 3; fd < 16; fd++) {
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX); /* for the process' life */
    (void)snprintf(b.api_address, sizeof b.api_address, "127.0.0.1:%d", b.port);
    b.loop = loop_new();
    rng_seed_system(&b.rng);
    if (open_rooms(&b, arena, &err) < 0) {
        log_error("%s", err.msg);
        report(&b, "error\t%s", err.msg);
        return 1;
    }
    if (b.progress_fd < 0) {
        b.is_ready = true; /* started again after a crash: everything was there before */
    }
    loop_on_turn_end(b.loop, check_ready, &b);
    loop_on_turn_end(b.loop, check_store, &b);
    loop_run(b.loop);
    store_close(b.store);
    return 0;
}
