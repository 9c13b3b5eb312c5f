// SPDX-License-Identifier: Apache-2.0
//
// The engine with all controllers and the scheduler on a real API and store, under the virtual
// clock; the test plays the node.
#include "test.h"

#include "client/client.h"
#include "control/control.h"
#include "controllers/meta.h"
#include "data/json.h"
#include "scheduler/scheduler.h"
#include "store/journal.h"

struct house {
    struct loop *loop;
    struct store *store;
    struct rng rng;
    struct api *api;
    struct client *client;
    struct control *control;
    struct arena *arena;
    int created; /* pods, by trace */
    int decisions;
};

static void turn(struct house *h)
{
    for (int i = 0; i < 400 && loop_turn(h->loop); i++) {
        if (i > 20 && control_is_idle(h->control)) {
            break;
        }
    }
}

static int write(struct house *h, enum api_verb verb, enum kind_id kind, const char *subresource,
                 const char *ns, const char *name, const char *json, struct err *err)
{
    struct val body = val_null();
    if (json != NULL) {
        EXPECT(json_read(arena_dup(h->arena, str_of(json)), h->arena, NULL, &body, err) == 0);
    }
    struct client_write write = {.verb = verb,
                                 .patch = verb == VERB_PATCH ? PATCH_MERGE : PATCH_NONE,
                                 .kind = kind,
                                 .subresource = str_of(subresource),
                                 .ns = str_of(ns),
                                 .name = str_of(name),
                                 .body = json == NULL ? NULL : &body,
                                 .grace_seconds = -1};
    return h->client->ops->write(h->client, &write, NULL, NULL, err);
}

static void put(struct house *h, enum kind_id kind, const char *ns, const char *name,
                const char *json)
{
    struct err err = {0};
    EXPECT_OK(write(h, VERB_CREATE, kind, "", ns, name, json, &err));
    turn(h);
}

static const struct val *get(struct house *h, enum kind_id kind, const char *ns, const char *name)
{
    struct object *object = h->client->ops->get(h->client, kind, str_of(ns), str_of(name));
    return object == NULL ? NULL : object_val(object);
}

static void trace(void *ctx, const struct controller *controller, struct str ns, struct str name,
                  const struct actions *actions)
{
    (void)ns;
    (void)name;
    struct house *h = ctx;
    h->decisions++;
    if (str_eq(controller->name, S("statefulset"))) {
        for (size_t i = 0; i < actions->count; i++) {
            h->created += actions->list[i].type == ACTION_CREATE &&
                          actions->list[i].kind == kind_of(KIND_POD);
        }
    }
}

static void open_house(struct house *h)
{
    struct err err = {0};
    *h = (struct house){.loop = loop_new_virtual(1800000000 * USEC_PER_SEC)};
    h->store = store_open(h->loop, journal_open_memory(), &err);
    rng_seed(&h->rng, 7);
    h->arena = arena_new(64 << 20);
    struct api_config api_config = {.loop = h->loop, .store = h->store, .rng = &h->rng};
    h->api = api_new(&api_config);
    static const struct str groups[] = {
        {"system:masters", 14}
    };
    struct api_user user = {
        .name = S("system:kube-controller-manager"), .groups = groups, .groups_count = 1};
    h->client = client_local_new(h->api, &user);
    struct control_config config = {.loop = h->loop, .rng = &h->rng, .client = h->client};
    h->control = control_new(&config);
    control_set_trace(h->control, trace, h);
    size_t count;
    const struct controller *const *rows = controllers(&count);
    for (size_t i = 0; i < count; i++) {
        control_add(h->control, rows[i]);
    }
    control_add(h->control, &scheduler_controller);
    put(h, KIND_NAMESPACE, "", "kube-system", "{\"metadata\":{\"name\":\"kube-system\"}}");
    put(h, KIND_NAMESPACE, "", "default", "{\"metadata\":{\"name\":\"default\"}}");
    put(h, KIND_NODE, "", "n1",
        "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":"
        "\"8Gi\",\"pods\":\"110\"}}}");
    put(h, KIND_STORAGE_CLASS, "", "standard",
        "{\"metadata\":{\"name\":\"standard\",\"annotations\":{\"storageclass.kubernetes.io/"
        "is-default-class\":\"true\"}},\"provisioner\":\"coracle.io/directory\",\"reclaimPolicy\":"
        "\"Delete\",\"parameters\":{\"path\":\"/data/volumes\"}}");
}

static void close_house(struct house *h)
{
    control_free(h->control);
    client_local_free(h->client);
    api_free(h->api);
    store_close(h->store);
    loop_free(h->loop);
    arena_free(h->arena);
}

static void make_ready(struct house *h, const char *pod)
{
    struct err err = {0};
    EXPECT_OK(write(h, VERB_PATCH, KIND_POD, "status", "default", pod,
                    "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.9\",\"conditions\":"
                    "[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":"
                    "\"2027-01-15T08:00:00Z\"}]}}",
                    &err));
    turn(h);
}

#define SET(replicas)                                                                              \
    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":" replicas                            \
    ",\"serviceName\":\"web\",\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":"      \
    "{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\","      \
    "\"image\":\"nginx\"}]}},\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"data\"},"         \
    "\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":"      \
    "\"1Gi\"}}}}]}}"

struct count {
    int events;
    struct str reason;
};

static bool count_event(void *ctx, struct object *object)
{
    struct count *count = ctx;
    count->events += str_eq(val_text_at(object_val(object), "reason"), count->reason);
    return true;
}

TEST(a_set_comes_up_in_order_on_bound_claims)
{
    struct house h;
    open_house(&h);
    put(&h, KIND_SERVICE, "default", "web",
        "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"clusterIP\":\"None\",\"selector\":{\"app\":"
        "\"web\"},\"ports\":[{\"port\":80}]}}");
    put(&h, KIND_STATEFUL_SET, "default", "web", SET("2"));
    const struct val *pod = get(&h, KIND_POD, "default", "web-0");
    EXPECT(pod != NULL);
    EXPECT(get(&h, KIND_POD, "default", "web-1") == NULL);
    const struct val *claim = get(&h, KIND_PVC, "default", "data-web-0");
    EXPECT_STR("Bound", val_text_at(claim, "status.phase"));
    EXPECT_STR("n1", val_text_at(pod, "spec.nodeName"));
    EXPECT(meta_is_condition_true(pod, S("PodScheduled")));

    make_ready(&h, "web-0");
    EXPECT(get(&h, KIND_POD, "default", "web-1") != NULL);
    make_ready(&h, "web-1");
    const struct val *set = get(&h, KIND_STATEFUL_SET, "default", "web");
    EXPECT_INT(2, (int)val_number_at(set, "status.readyReplicas", 0));
    EXPECT_INT(2, (int)val_number_at(set, "status.updatedReplicas", 0));
    EXPECT_INT(2, h.created);
    const struct val *endpoints = get(&h, KIND_ENDPOINTS, "default", "web");
    EXPECT_INT(2, (int)val_count(val_path(endpoints, "subsets.0.addresses")));
    EXPECT(get(&h, KIND_SERVICE_ACCOUNT, "default", "default") != NULL);

    struct count count = {0, S("SuccessfulCreate")};
    h.client->ops->list(h.client, KIND_EVENT, S(""), count_event, &count);
    EXPECT_INT(4, count.events);
    count = (struct count){0, S("Scheduled")};
    h.client->ops->list(h.client, KIND_EVENT, S(""), count_event, &count);
    EXPECT_INT(2, count.events);
    int decisions = h.decisions;
    turn(&h);
    EXPECT_INT(decisions, h.decisions);
    close_house(&h);
}

TEST(a_deleted_set_leaves_its_claims)
{
    struct house h;
    struct err err = {0};
    open_house(&h);
    put(&h, KIND_STATEFUL_SET, "default", "web", SET("1"));
    make_ready(&h, "web-0");
    EXPECT_OK(write(&h, VERB_DELETE, KIND_STATEFUL_SET, "", "default", "web", NULL, &err));
    turn(&h);
    EXPECT(get(&h, KIND_STATEFUL_SET, "default", "web") == NULL);
    EXPECT(meta_is_deleting(get(&h, KIND_POD, "default", "web-0")));
    EXPECT_STR("Bound", val_text_at(get(&h, KIND_PVC, "default", "data-web-0"), "status.phase"));
    close_house(&h);
}

/* The set is accepted, but its pods name an account that isn't there. */
TEST(a_refused_write_sends_its_event_and_backs_off)
{
    struct house h;
    struct err err = {0};
    open_house(&h);
    struct str json = arena_fmt(h.arena, "%s", SET("1"));
    struct val body;
    EXPECT(json_read(json, h.arena, NULL, &body, &err) == 0);
    val_set_path(h.arena, &body, "spec.template.spec.serviceAccountName", val_str(S("nobody")));
    struct client_write create = {.verb = VERB_CREATE,
                                  .kind = KIND_STATEFUL_SET,
                                  .ns = S("default"),
                                  .name = S("web"),
                                  .body = &body,
                                  .grace_seconds = -1};
    EXPECT_OK(h.client->ops->write(h.client, &create, NULL, NULL, &err));
    for (int i = 0; i < 100; i++) {
        (void)loop_turn(h.loop);
    }
    EXPECT(!control_is_idle(h.control));
    EXPECT(get(&h, KIND_PVC, "default", "data-web-0") != NULL);
    EXPECT(get(&h, KIND_POD, "default", "web-0") == NULL);
    const struct val *set = get(&h, KIND_STATEFUL_SET, "default", "web");
    EXPECT_INT(1, (int)val_number_at(set, "status.observedGeneration", 0));
    struct count count = {0, S("FailedCreate")};
    h.client->ops->list(h.client, KIND_EVENT, S(""), count_event, &count);
    EXPECT_INT(1, count.events);
    close_house(&h);
}

TEST(an_unschedulable_pod_says_why)
{
    struct house h;
    open_house(&h);
    put(&h, KIND_POD, "default", "big",
        "{\"metadata\":{\"name\":\"big\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
        "\"i\",\"resources\":{\"requests\":{\"cpu\":\"8\"}}}]}}");
    const struct val *pod = get(&h, KIND_POD, "default", "big");
    EXPECT_STR("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
               "1 No preemption victims found for incoming pod.",
               val_text(val_get(meta_condition(pod, S("PodScheduled")), S("message"))));
    struct err err = {0};
    EXPECT_OK(write(&h, VERB_PATCH, KIND_NODE, "status", "", "n1",
                    "{\"status\":{\"allocatable\":{\"cpu\":\"16\"}}}", &err));
    turn(&h);
    EXPECT_STR("n1", val_text_at(get(&h, KIND_POD, "default", "big"), "spec.nodeName"));
    close_house(&h);
}

TEST(a_repeated_event_is_counted)
{
    struct house h;
    open_house(&h);
    struct recorder *recorder = recorder_new(h.loop, &h.rng, h.client);
    struct event_source source = {S("kubelet"), S("n1")};
    struct val node = val_copy(h.arena, get(&h, KIND_NODE, "", "n1"));
    for (int i = 0; i < 3; i++) {
        recorder_event(recorder, source, kind_of(KIND_NODE), &node, S(""), S("Normal"),
                       S("NodeReady"), S("Node n1 status is now: NodeReady"));
        turn(&h);
    }
    struct count count = {0, S("NodeReady")};
    h.client->ops->list(h.client, KIND_EVENT, S(""), count_event, &count);
    EXPECT_INT(1, count.events);
    recorder_free(recorder);
    close_house(&h);
}
