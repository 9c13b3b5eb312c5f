// SPDX-License-Identifier: Apache-2.0
//
// Loads the API and prints one line of "name=value" pairs. Clients are threads, each on one TLS
// connection; they share the machine with the server, so rates are of both together.
// Arguments, by what is measured (PKI_DIR and PORT come first, "-" and 0 for sync):
// - sync DIR TIMES: what this disk takes for 4 KB and a flush
// - create CLIENTS SECONDS: durable ConfigMaps
// - get CLIENTS SECONDS: one ConfigMap again and again
// - fill COUNT: pods that no scheduler takes
// - list PATH TIMES: whole lists, one after the other
// - watch COUNT: opens watches; at a line of input, one change to all of them
// - share COUNT: opens watches, 100 a connection (HTTP/2); ends at a line of input
// - start NODE IMAGE COUNT: bound pods, one after the other, by their stamps
// - hold NODE IMAGE COUNT [FIRST]: the same, but they stay
// - drop COUNT: ends those that stay
// - roll STATEFULSET_JSON: one StatefulSet named bench, of two replicas
// - scale POLICY COUNT IMAGE: a StatefulSet without probes until all are Ready, then its end
// - stages IMAGE: what a user waits for, from the API to an app that resolves names
// - service NETNS SELECTOR TIMES: new Services until a connection gets through
#include "wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 256,
    SAMPLES_MAX = 1 << 20,
    PATH_BYTES = 256,
    BODY_BYTES = 2048,
    WATCHES_MAX = 4096
};

#define CONFIG_MAPS "/api/v1/namespaces/default/configmaps"
#define PODS        "/api/v1/namespaces/default/pods"
#define SERVICES    "/api/v1/namespaces/default/services"
#define SETS        "/apis/apps/v1/namespaces/default/statefulsets"

static int64_t samples[SAMPLES_MAX];
static atomic_size_t samples_count;
static int64_t deadline;
static atomic_int serial;
static int serial_end;

static void sample(int64_t us)
{
    size_t i = atomic_fetch_add(&samples_count, 1);
    samples[i % SAMPLES_MAX] = us;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile_ms(double q)
{
    size_t n = samples_count < SAMPLES_MAX ? samples_count : SAMPLES_MAX;
    return n == 0 ? 0 : (double)samples[(size_t)(q * (double)(n - 1))] / 1000;
}

static void print_samples(const char *more)
{
    size_t n = samples_count < SAMPLES_MAX ? samples_count : SAMPLES_MAX;
    qsort(samples, n, sizeof samples[0], by_size);
    (void)printf("count=%zu p50_ms=%.2f p99_ms=%.2f max_ms=%.2f%s\n", n, quantile_ms(0.5),
                 quantile_ms(0.99), quantile_ms(1), more);
}

/* One request and its reply; the time goes into the samples. */
static const char *call(struct wire *w, const char *method, const char *path, const char *body,
                        int want)
{
    const char *text;
    size_t len;
    int64_t start = now_us();
    wire_send(w, method, path, body);
    wire_expect(want, wire_reply(w, &text, &len), text);
    sample(now_us() - start);
    return text;
}

static void *create_maps(void *ctx)
{
    struct wire *w = wire_open();
    char body[BODY_BYTES];
    (void)ctx;
    while (now_us() < deadline) {
        (void)snprintf(body, sizeof body,
                       "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                       "\"bench-%d-%d\"},\"data\":{\"key\":\"%0512d\"}}",
                       (int)getpid(), atomic_fetch_add(&serial, 1), 0);
        (void)call(w, "POST", CONFIG_MAPS, body, 201);
    }
    wire_close(w);
    return NULL;
}

static void *get_map(void *ctx)
{
    struct wire *w = wire_open();
    (void)ctx;
    while (now_us() < deadline) {
        (void)call(w, "GET", CONFIG_MAPS "/kube-root-ca.crt", NULL, 200);
    }
    wire_close(w);
    return NULL;
}

static void *create_pods(void *ctx)
{
    struct wire *w = wire_open();
    char body[BODY_BYTES];
    (void)ctx;
    for (int i; (i = atomic_fetch_add(&serial, 1)) < serial_end;) {
        (void)snprintf(body, sizeof body,
                       "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"fill-%05d"
                       "\",\"labels\":{\"app\":\"fill\"}},\"spec\":{\"schedulerName\":\"nobody\","
                       "\"containers\":[{\"name\":\"c\",\"image\":\"none\",\"ports\":[{"
                       "\"containerPort\":80}]}]}}",
                       i);
        (void)call(w, "POST", PODS, body, 201);
    }
    wire_close(w);
    return NULL;
}

static void run_clients(void *(*client)(void *), int count)
{
    pthread_t threads[CLIENTS_MAX];
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, 256 << 10);
    count = count > CLIENTS_MAX ? CLIENTS_MAX : count;
    int64_t start = now_us();
    for (int i = 0; i < count; i++) {
        if (pthread_create(&threads[i], &attr, client, NULL) != 0) {
            die("can't start a thread");
        }
    }
    for (int i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    char rate[64];
    (void)snprintf(rate, sizeof rate, " rate=%.0f",
                   (double)samples_count * 1e6 / (double)(now_us() - start));
    print_samples(rate);
}

static void list(const char *path, int times)
{
    struct wire *w = wire_open();
    size_t len = 0;
    for (int i = 0; i < times; i++) {
        const char *text;
        int64_t start = now_us();
        wire_send(w, "GET", path, NULL);
        wire_expect(200, wire_reply(w, &text, &len), text);
        sample(now_us() - start);
    }
    char bytes[64];
    (void)snprintf(bytes, sizeof bytes, " bytes=%zu", len);
    print_samples(bytes);
}

/* What every durable write has to wait for at least. */
static void sync_disk(const char *dir, int times)
{
    static const char block[4096];
    char path[PATH_BYTES * 2];
    (void)snprintf(path, sizeof path, "%s/sync", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < times; i++) {
        int64_t start = now_us();
        if (pwrite(fd, block, sizeof block, (i % 256) * (off_t)sizeof block) < 0 ||
            fdatasync(fd) < 0) {
            die("can't write %s", path);
        }
        if (i >= 256) { /* over what exists, as a journal does that has come around */
            sample(now_us() - start);
        }
    }
    (void)close(fd);
    print_samples("");
}

static void watch_many(int count)
{
    static struct wire *watches[WATCHES_MAX];
    count = count > WATCHES_MAX ? WATCHES_MAX : count;
    for (int i = 0; i < count; i++) {
        watches[i] = wire_open();
        wire_send(watches[i], "GET",
                  CONFIG_MAPS "?watch=1&resourceVersion=0&fieldSelector=metadata.name=watched",
                  NULL);
        wire_expect(200, wire_head(watches[i]), "watch");
    }
    (void)printf("open=%d\n", count);
    (void)fflush(stdout);
    (void)getchar();
    struct wire *w = wire_open();
    int64_t start = now_us();
    (void)call(w, "POST", CONFIG_MAPS,
               "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
               "\"watched\"}}",
               201);
    samples_count = 0;
    for (int i = 0; i < count; i++) {
        (void)wire_line(watches[i]);
        sample(now_us() - start);
    }
    print_samples("");
}

static void share_many(int count)
{
    enum { A_CONNECTION = 100 }; /* what the server allows */
    for (int i = 0; i < count; i += A_CONNECTION) {
        share_watches(CONFIG_MAPS "?watch=1&resourceVersion=0&fieldSelector=metadata.name=watched",
                      A_CONNECTION);
    }
    (void)printf("open=%d\n", count);
    (void)fflush(stdout);
    (void)getchar();
}

/* The stamp that the entrypoint wrote first: microseconds of the wall clock. */
static int64_t stamp_of(struct wire *w, const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, PODS "/%s/log", name);
    for (int64_t end = now_us() + 10000000; now_us() < end; (void)usleep(10000)) {
        const char *text;
        size_t len;
        wire_send(w, "GET", path, NULL);
        if (wire_reply(w, &text, &len) == 200 && len > 0) {
            return strtoll(text, NULL, 10);
        }
    }
    die("pod %s has not started within 10 s", name);
}

static void post_pod(struct wire *w, const char *node, const char *image, const char *name)
{
    char body[BODY_BYTES];
    const char *text;
    size_t len;
    (void)snprintf(body, sizeof body,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"},"
                   "\"spec\":{\"nodeName\":\"%s\",\"terminationGracePeriodSeconds\":0,"
                   "\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}",
                   name, node, image);
    wire_send(w, "POST", PODS, body);
    wire_expect(201, wire_reply(w, &text, &len), text);
}

static void delete_pod(struct wire *w, const char *name)
{
    char path[PATH_BYTES];
    const char *text;
    size_t len;
    (void)snprintf(path, sizeof path, PODS "/%s", name);
    wire_send(w, "DELETE", path, NULL);
    (void)wire_reply(w, &text, &len);
    (void)usleep(100000); /* its end must not lie in the next one's start */
}

static void start_pods(const char *node, const char *image, int first, int count, bool is_held)
{
    struct wire *w = wire_open();
    char name[64];
    for (int i = first; i < first + count; i++) {
        (void)snprintf(name, sizeof name, is_held ? "hold-%d" : "start-%d", i);
        int64_t start = wall_us();
        post_pod(w, node, image, name);
        sample(stamp_of(w, name) - start);
        if (!is_held) {
            delete_pod(w, name);
        }
    }
    if (!is_held) {
        print_samples("");
    }
}

static void drop_pods(int count)
{
    struct wire *w = wire_open();
    const char *text;
    size_t len;
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, PODS "/hold-%d", i);
        wire_send(w, "DELETE", path, NULL);
        (void)wire_reply(w, &text, &len);
    }
}

/* True when the pod's condition of this type is "True": looks inside that condition's braces. */
static bool is_condition(const char *json, const char *type)
{
    char key[64];
    (void)snprintf(key, sizeof key, "\"type\":\"%s\"", type);
    const char *at = strstr(json, key);
    if (at == NULL) {
        return false;
    }
    const char *from = at;
    while (from > json && *from != '{') {
        from--;
    }
    const char *status = strstr(from, "\"status\":\"True\"");
    const char *end = strchr(at, '}');
    return status != NULL && end != NULL && status < end;
}

/* What a rollout of two ordered pods costs beyond the time that they need to become ready once
 * their container runs: moments as a watching client sees them. */
static void roll(const char *manifest)
{
    struct wire *w = wire_open();
    struct wire *watch = wire_open();
    const char *text;
    size_t len;
    int64_t added[2] = {0, 0};
    int64_t running[2] = {0, 0};
    int64_t ready[2] = {0, 0};
    wire_send(watch, "GET", PODS "?watch=1&labelSelector=app=bench", NULL);
    wire_expect(200, wire_head(watch), "watch");
    int64_t start = now_us();
    wire_send(w, "POST", SETS, manifest);
    wire_expect(201, wire_reply(w, &text, &len), text);
    while (ready[1] == 0) {
        const char *event = wire_line(watch);
        int i = strstr(event, "\"name\":\"bench-1\"") != NULL;
        int64_t now = now_us();
        added[i] = added[i] == 0 ? now : added[i];
        if (running[i] == 0 && strstr(event, "\"running\":{") != NULL) {
            running[i] = now;
        }
        if (ready[i] == 0 && is_condition(event, "Ready")) {
            ready[i] = now;
        }
    }
    int64_t probes = ready[0] - running[0] + ready[1] - running[1];
    (void)printf(
        "total_ms=%.1f probes_ms=%.1f over_ms=%.1f next_ms=%.1f run0_ms=%.1f run1_ms=%.1f\n",
        (double)(ready[1] - start) / 1000, (double)probes / 1000,
        (double)(ready[1] - start - probes) / 1000, (double)(added[1] - ready[0]) / 1000,
        (double)(running[0] - added[0]) / 1000, (double)(running[1] - added[1]) / 1000);
}

/* A StatefulSet without probes: ready is running. Its end counts apart. */
static void scale(const char *policy, int count, const char *image)
{
    struct wire *w = wire_open();
    struct wire *watch = wire_open();
    char body[BODY_BYTES];
    const char *text;
    size_t len;
    (void)snprintf(
        body, sizeof body,
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\",\"metadata\":{\"name\":\"scale\"},"
        "\"spec\":{\"serviceName\":\"scale\",\"replicas\":%d,\"podManagementPolicy\":\"%s\","
        "\"selector\":{\"matchLabels\":{\"app\":\"scale\"}},\"template\":{\"metadata\":"
        "{\"labels\":{\"app\":\"scale\"}},\"spec\":{\"terminationGracePeriodSeconds\":1,"
        "\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}}}",
        count, policy, image);
    wire_send(watch, "GET", PODS "?watch=1&labelSelector=app=scale", NULL);
    wire_expect(200, wire_head(watch), "watch");
    int64_t start = now_us();
    wire_send(w, "POST", SETS, body);
    wire_expect(201, wire_reply(w, &text, &len), text);
    static bool is_ready[CLIENTS_MAX];
    for (int ready = 0; ready < count;) {
        const char *event = wire_line(watch);
        const char *name = strstr(event, "\"name\":\"scale-");
        long i = name == NULL ? 0 : strtol(name + strlen("\"name\":\"scale-"), NULL, 10);
        if (i >= 0 && i < CLIENTS_MAX && !is_ready[i] && is_condition(event, "Ready")) {
            is_ready[i] = true;
            ready++;
        }
    }
    int64_t up = now_us();
    wire_send(w, "DELETE", SETS "/scale", NULL);
    wire_expect(200, wire_reply(w, &text, &len), text);
    for (int gone = 0; gone < count;) {
        gone += strstr(wire_line(watch), "\"type\":\"DELETED\"") != NULL;
    }
    (void)printf("ready_ms=%.1f gone_ms=%.1f\n", (double)(up - start) / 1000,
                 (double)(now_us() - up) / 1000);
}

static void wait_until_there(struct wire *w, const char *path)
{
    const char *text;
    size_t len;
    do {
        wire_send(w, "GET", path, NULL);
    } while (wire_reply(w, &text, &len) != 200);
}

/* The stages of minikube's time-to-k8s, behind its "command": the API answers, the Service of the
 * API is there, that of DNS, an app runs, and names resolve in it. */
static void stages(const char *image)
{
    char path[PATH_BYTES];
    const char *text;
    size_t len;
    int64_t start = now_us();
    struct wire *w = wire_open();
    wait_until_there(w, "/version");
    int64_t api = now_us();
    wait_until_there(w, "/api/v1/namespaces/default/services/kubernetes");
    int64_t service = now_us();
    wait_until_there(w, "/api/v1/namespaces/kube-system/services/kube-dns");
    int64_t dns = now_us();
    (void)snprintf(path, sizeof path,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"stages\"},"
                   "\"spec\":{\"terminationGracePeriodSeconds\":0,\"containers\":[{\"name\":\"c\","
                   "\"image\":\"%s\",\"args\":[\"resolve\"]}]}}",
                   image);
    wire_send(w, "POST", PODS, path);
    wire_expect(201, wire_reply(w, &text, &len), text);
    do {
        wire_send(w, "GET", PODS "/stages", NULL);
        wire_expect(200, wire_reply(w, &text, &len), text);
    } while (!is_condition(text, "Ready"));
    int64_t app = now_us();
    do {
        wire_send(w, "GET", PODS "/stages/log", NULL);
    } while (wire_reply(w, &text, &len) != 200 || strstr(text, "resolved") == NULL);
    int64_t resolved = now_us();
    delete_pod(w, "stages");
    (void)printf("api_ms=%.1f service_ms=%.1f dns_ms=%.1f app_ms=%.1f resolved_ms=%.1f\n",
                 (double)(api - start) / 1000, (double)(service - start) / 1000,
                 (double)(dns - start) / 1000, (double)(app - start) / 1000,
                 (double)(resolved - start) / 1000);
}

/* Patient for 3 ms only: a first packet that comes before the rules is lost, and TCP would send the
 * next after a second. */
static bool can_connect(const char *address, int port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int error = -1;
    socklen_t size = sizeof error;
    (void)inet_pton(AF_INET, address, &sin.sin_addr);
    (void)connect(fd, (struct sockaddr *)&sin, sizeof sin);
    bool is_open = poll(&wait, 1, 3) == 1 &&
                   getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    (void)close(fd);
    return is_open;
}

/* From sending a new Service over pods that run to the first connection through it: the write, the
 * endpoints controller, the proxy, the kernel's rules. */
static void change_services(const char *netns, const char *app, int times)
{
    struct wire *w = wire_open();
    int ns = open(netns, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
        die("can't enter %s", netns);
    }
    for (int i = 0; i < times; i++) {
        char body[BODY_BYTES];
        char address[64] = "";
        const char *text;
        size_t len;
        (void)snprintf(
            body, sizeof body,
            "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"svc-%d\"},"
            "\"spec\":{\"selector\":{\"app\":\"%s\"},\"ports\":[{\"port\":8080}]}}",
            i, app);
        int64_t start = now_us();
        wire_send(w, "POST", SERVICES, body);
        wire_expect(201, wire_reply(w, &text, &len), text);
        const char *at = strstr(text, "\"clusterIP\":\"");
        if (at == NULL || sscanf(at + strlen("\"clusterIP\":\""), "%63[0-9.]", address) != 1) {
            die("no address in %s", text);
        }
        int64_t limit = start + 10000000;
        while (!can_connect(address, 8080) && now_us() < limit) {
        }
        sample(now_us() - start);
        (void)snprintf(body, sizeof body, SERVICES "/svc-%d", i);
        wire_send(w, "DELETE", body, NULL);
        (void)wire_reply(w, &text, &len);
    }
    (void)close(ns);
    print_samples("");
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        die("usage: load PKI_DIR PORT "
            "create|get|fill|list|watch|share|start|hold|drop|roll|scale|stages|service …");
    }
    const char *what = argv[3];
    if (argc == 6 && strcmp(what, "sync") == 0) {
        sync_disk(argv[4], number(argv[5]));
        return 0;
    }
    wire_setup(argv[1], number(argv[2]));
    if (argc == 6 && strcmp(what, "create") == 0) {
        deadline = now_us() + 1000000LL * number(argv[5]);
        run_clients(create_maps, number(argv[4]));
    } else if (argc == 6 && strcmp(what, "get") == 0) {
        deadline = now_us() + 1000000LL * number(argv[5]);
        run_clients(get_map, number(argv[4]));
    } else if (argc == 5 && strcmp(what, "fill") == 0) {
        serial_end = number(argv[4]);
        run_clients(create_pods, 16);
    } else if (argc == 6 && strcmp(what, "list") == 0) {
        list(argv[4], number(argv[5]));
    } else if (argc == 5 && strcmp(what, "watch") == 0) {
        watch_many(number(argv[4]));
    } else if (argc == 5 && strcmp(what, "share") == 0) {
        share_many(number(argv[4]));
    } else if (argc == 7 && strcmp(what, "start") == 0) {
        start_pods(argv[4], argv[5], 0, number(argv[6]), false);
    } else if (argc >= 7 && strcmp(what, "hold") == 0) {
        start_pods(argv[4], argv[5], argc > 7 ? number(argv[7]) : 0, number(argv[6]), true);
    } else if (argc == 5 && strcmp(what, "drop") == 0) {
        drop_pods(number(argv[4]));
    } else if (argc == 5 && strcmp(what, "roll") == 0) {
        roll(argv[4]);
    } else if (argc == 7 && strcmp(what, "scale") == 0) {
        scale(argv[4], number(argv[5]), argv[6]);
    } else if (argc == 5 && strcmp(what, "stages") == 0) {
        stages(argv[4]);
    } else if (argc == 7 && strcmp(what, "service") == 0) {
        change_services(argv[4], argv[5], number(argv[6]));
    } else {
        die("unknown: %s", what);
    }
    return 0;
}
