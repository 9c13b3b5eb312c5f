// SPDX-License-Identifier: Apache-2.0
//
// The pod worker with real containers: conmon, crun, an image from an archive, volumes, and a brain
// that is replaced meanwhile. No network.
#include "archive_fixture.h"
#include "fake_cluster.h"
#include "sandbox.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/runtime_conmon.h"

#include <fcntl.h>
#include <stdlib.h>

static const char pod_json[] =
    "{\"metadata\":{\"name\":\"web-0\",\"namespace\":\"default\",\"uid\":\"u1\",\"labels\":{"
    "\"app\":"
    "\"web\"}},\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Always\",\"hostname\":\"web-0\","
    "\"subdomain\":\"web\",\"terminationGracePeriodSeconds\":2,\"containers\":[{\"name\":\"app\","
    "\"image\":\"demo:1\",\"command\":[\"/bin/busybox\",\"sh\",\"-c\"],\"args\":[\"trap 'exit 7' "
    "TERM; { echo $(GREETING); /bin/busybox hostname; /bin/busybox cat /conf/key /info/app; } > "
    "/data/new; /bin/busybox mv /data/new /data/out; while true; do /bin/busybox sleep 0.05; "
    "done\"],"
    "\"env\":[{\"name\":\"GREETING\",\"value\":\"hello\"}],"
    "\"readinessProbe\":{\"exec\":{\"command\":[\"/bin/busybox\",\"test\",\"-s\",\"/data/out\"]},"
    "\"periodSeconds\":1},"
    "\"volumeMounts\":[{\"name\":\"data\",\"mountPath\":\"/data\",\"subPath\":\"inner\"},"
    "{\"name\":\"conf\",\"mountPath\":\"/conf\"},{\"name\":\"info\",\"mountPath\":\"/info\"}]}],"
    "\"volumes\":[{\"name\":\"data\",\"emptyDir\":{}},"
    "{\"name\":\"conf\",\"configMap\":{\"name\":\"m\"}},"
    "{\"name\":\"info\",\"downwardAPI\":{\"items\":[{\"path\":\"app\",\"fieldRef\":{"
    "\"fieldPath\":\"metadata.labels['app']\"}}]}}]},\"status\":{\"phase\":\"Pending\"}}";

struct real {
    struct fake_cluster c;
    struct runtime *runtime;
    struct image_store *images;
    bool is_done;
};

static void on_loaded(void *ctx, const struct str *names, size_t count, const struct err *err)
{
    struct real *r = ctx;
    (void)names;
    (void)count;
    if (err) {
        fprintf(stderr, "%s\n", err->msg);
    }
    CHECK(err == NULL);
    r->is_done = true;
}

static void load_image(struct real *r)
{
    struct err err;
    struct buf layer;
    auto_buf struct buf out;
    auto_buf struct buf busybox;
    buf_init(&layer, 16 << 20);
    buf_init(&out, 16 << 20);
    buf_init(&busybox, 16 << 20);
    CHECK_OK(file_read(AT_FDCWD, "/bin/busybox", &busybox, &err));
    tar_add(&layer, '5', "bin", "", S(""));
    tar_add(&layer, '0', "bin/busybox", "", buf_str(&busybox));
    tar_end(&layer);
    docker_archive(&out, "demo:1", &layer, 1);
    buf_done(&layer);
    CHECK_OK(file_write_atomic(AT_FDCWD, "/run/demo.tar", buf_str(&out), 0600, &err));
    image_load(r->images, "/run/demo.tar", on_loaded, r);
    sandbox_wait(r->c.loop, &r->is_done);
}

static void start_brain(struct real *r)
{
    struct err err;
    struct runtime_conmon_config conmon = {.state_dir = "/run/coracle"};
    r->runtime = runtime_conmon_open(r->c.loop, &conmon, &err);
    CHECK(r->runtime != NULL);
    struct node_config config = {.loop = r->c.loop,
                                 .rng = &r->c.rng,
                                 .client = &r->c.client,
                                 .runtime = r->runtime,
                                 .images = r->images,
                                 .name = S("n1"),
                                 .root_dir = S("/run/data/node"),
                                 .log_dir = S("/run/data/logs"),
                                 .run_dir = S("/run/coracle"),
                                 .cluster_dns = S("10.96.0.10"),
                                 .cluster_domain = S("cluster.local")};
    r->c.node = node_new(&config, &err);
    CHECK(r->c.node != NULL);
}

static const struct val *status_of(struct real *r)
{
    struct object *object = fake_get(&r->c, KIND_POD, "default", "web-0");
    return object ? val_get(object_val(object), S("status")) : NULL;
}

static bool is_ready(struct real *r)
{
    return val_true_at(status_of(r), "containerStatuses.0.ready");
}

static bool is_running(struct real *r)
{
    return val_path(status_of(r), "containerStatuses.0.state.running") != NULL;
}

static bool is_gone(struct real *r)
{
    return fake_get(&r->c, KIND_POD, "default", "web-0") == NULL;
}

static void wait_for(struct real *r, bool (*what)(struct real *r))
{
    for (int i = 0; i < 5000 && !what(r); i++) {
        sandbox_pause(r->c.loop, 1);
    }
    if (!what(r)) {
        auto_buf struct buf text;
        buf_init(&text, 1 << 20);
        if (status_of(r)) {
            json_write_pretty(&text, status_of(r));
        }
        fprintf(stderr, STR_FMT "\n", STR_ARG(buf_str(&text)));
    }
    CHECK(what(r));
}

static bool has_mounts_of(const char *text)
{
    auto_buf struct buf mounts;
    struct err err;
    buf_init(&mounts, 1 << 20);
    CHECK_OK(file_read(AT_FDCWD, "/proc/self/mountinfo", &mounts, &err));
    return str_search(buf_str(&mounts), str_of(text)) >= 0;
}

static void run_pod(void)
{
    static struct real r;
    struct err err;
    auto_buf struct buf text;
    buf_init(&text, 1 << 16);
    fake_init_on(&r.c, loop_new());
    r.images = image_store_open(r.c.loop, "/run/images", &err);
    CHECK(r.images != NULL);
    load_image(&r);
    start_brain(&r);
    fake_put(
        &r.c, KIND_CONFIG_MAP,
        "{\"metadata\":{\"name\":\"m\",\"namespace\":\"default\"},\"data\":{\"key\":\"one\\n\"}}");
    sandbox_pause(r.c.loop, 20);
    usec begun = clock_system()->mono(clock_system()->ctx);
    fake_put(&r.c, KIND_POD, pod_json);
    wait_for(&r, is_running);
    fprintf(stderr, "bound to running: %.1f ms\n",
            (double)(clock_system()->mono(clock_system()->ctx) - begun) / 1000.0);
    wait_for(&r, is_ready);
    CHECK_OK(file_read(AT_FDCWD,
                       "/run/data/node/pods/u1/volumes/kubernetes.io~empty-dir/data/inner/out",
                       &text, &err));
    CHECK_STR("hello\nweb-0\none\nweb", buf_str(&text));

    /* the next brain finds the pod as it is */
    node_free(r.c.node);
    r.runtime->ops->close(r.runtime);
    r.c.watches_count = 0;
    uint64_t rev = r.c.rev;
    start_brain(&r);
    sandbox_pause(r.c.loop, 300);
    CHECK(is_ready(&r) && is_running(&r));
    CHECK_INT(0, val_number_at(status_of(&r), "containerStatuses.0.restartCount", -1));
    CHECK(r.c.rev <= rev + 3); /* node, its status, lease: nothing about the pod */

    /* a changed ConfigMap reaches the volume */
    fake_put(
        &r.c, KIND_CONFIG_MAP,
        "{\"metadata\":{\"name\":\"m\",\"namespace\":\"default\"},\"data\":{\"key\":\"two\\n\"}}");
    sandbox_pause(r.c.loop, 200);
    buf_clear(&text);
    CHECK_OK(file_read(AT_FDCWD, "/run/data/node/pods/u1/volumes/kubernetes.io~configmap/conf/key",
                       &text, &err));
    CHECK_STR("two\n", buf_str(&text));

    fake_delete_pod(&r.c, "web-0", 2);
    wait_for(&r, is_gone);
    sandbox_pause(r.c.loop, 100);
    CHECK(!has_mounts_of("u1"));
    CHECK(access("/run/data/node/pods/u1", F_OK) < 0);
    r.runtime->ops->close(r.runtime);
    node_free(r.c.node);
    r.c.node = NULL;
    image_store_close(r.images);
}

TEST(worker_runs_a_real_pod)
{
    sandbox_run(run_pod);
}
