// SPDX-License-Identifier: Apache-2.0
//
// Loads the API and prints one line of "name=value" pairs. Clients are threads, each on one TLS
// connection; they share the machine with the server, so rates are of both together.
//   load - 0 sync DIR TIMES                       what this disk takes for 4 KB and a flush
//   load PKI_DIR PORT create CLIENTS SECONDS      durable ConfigMaps
//   load PKI_DIR PORT get CLIENTS SECONDS         one ConfigMap again and again
//   load PKI_DIR PORT fill COUNT                  pods that no scheduler takes
//   load PKI_DIR PORT list PATH TIMES             whole lists, one after the other
//   load PKI_DIR PORT watch COUNT                 opens watches, holds them until its input ends
//   load PKI_DIR PORT start NODE IMAGE COUNT      bound pods, one after the other, by their stamps
//   load PKI_DIR PORT hold NODE IMAGE COUNT       the same, but they stay
//   load PKI_DIR PORT drop COUNT                  ends those that stay
//   load PKI_DIR PORT roll STATEFULSET_JSON       one StatefulSet named bench, of two replicas
#include "wire.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS_MAX = 256, SAMPLES_MAX = 1 << 20, PATH_BYTES = 256, BODY_BYTES = 2048 };

#define CONFIG_MAPS "/api/v1/namespaces/default/configmaps"
#define PODS        "/api/v1/namespaces/default/pods"
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
    for (int i = 0; i < count; i++) {
        struct wire *w = wire_open();
        wire_send(w, "GET", CONFIG_MAPS "?watch=1&resourceVersion=0&fieldSelector=metadata.name=no",
                  NULL);
        wire_expect(200, wire_head(w), "watch");
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

static void start_pods(const char *node, const char *image, int count, bool is_held)
{
    struct wire *w = wire_open();
    char name[64];
    for (int i = 0; i < count; i++) {
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
    char name[64];
    for (int i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "hold-%d", i);
        delete_pod(w, name);
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

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        die("usage: load PKI_DIR PORT create|get|fill|list|watch|start|hold|drop|roll ARGUMENTS");
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
    } else if (argc == 7 && strcmp(what, "start") == 0) {
        start_pods(argv[4], argv[5], number(argv[6]), false);
    } else if (argc == 7 && strcmp(what, "hold") == 0) {
        start_pods(argv[4], argv[5], number(argv[6]), true);
    } else if (argc == 5 && strcmp(what, "drop") == 0) {
        drop_pods(number(argv[4]));
    } else if (argc == 5 && strcmp(what, "roll") == 0) {
        roll(argv[4]);
    } else {
        die("unknown: %s", what);
    }
    return 0;
}
